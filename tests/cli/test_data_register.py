"""The same records under another state folder: noticed on this machine, or charged twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch.nn import Linear

from secure_fedsa.cli.agreement_file import read_agreement
from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.cli.main import main
from secure_fedsa.engines.data_register import (
    DataRegister,
    alike,
    check_ledgers,
    require_no_second_ledger,
    user_folder,
)
from secure_fedsa.engines.site import load_identity
from secure_fedsa.errors import LedgerError, StorageError
from secure_fedsa.models.teachers import PrivateModel
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from tests.cli.agreements import TEACHERS
from tests.cli.test_run_command import charges, run
from tests.routes import encryption_only, trained_models
from tests.support import World, make_world, table

Capture = pytest.CaptureFixture[str]
DELTA = 1e-5


@pytest.fixture
def register(tmp_path: Path) -> DataRegister:
    """An empty register."""
    return DataRegister(tmp_path / "register")


def state(folder: Path, *, charged: bool = True) -> Path:
    """Make a state folder, charged once."""
    load_identity(folder)
    ledger = Ledger.create(folder, delta=DELTA)
    if charged:
        event = DiscreteGaussianRelease(1.0, 4.0, 1)
        ledger.reserve("run", "agreement", [event], Terms(9.0, DELTA), 9.0)
    return folder


def key(folder: Path) -> str:
    """Return a state folder's public key."""
    return load_identity(folder).public.hex()


def records(seed: int, size: int = 400) -> Any:
    """Return toy records."""
    return table(seed, size)[0]


def changed(kind: str) -> Any:
    """Return the records of seed 1 as somebody else might have saved them."""
    mine = records(1)
    return {
        "the same": mine,
        "in another order": mine[::-1],
        "some added": np.concatenate([mine, records(2, 100)]),
        "some removed": mine[:300],
    }[kind]


@pytest.mark.parametrize("kind", ["the same", "in another order", "some added", "some removed"])
def test_a_second_ledger_for_the_same_records_is_found(
    register: DataRegister, tmp_path: Path, kind: str
) -> None:
    """If this fails, another folder name doubles everybody's privacy loss."""
    one, two = state(tmp_path / "one"), state(tmp_path / "two", charged=False)
    register.remember(one, register.sketch(records(1)))
    sketch = register.sketch(changed(kind))
    for folder in (two, tmp_path / "not there yet"):
        found = register.conflict(folder, sketch, key(two))
        assert found is not None
        assert found.folder == str(one.resolve())
    assert register.conflict(one, sketch, key(one)) is None


def test_other_records_and_uncharged_folders_are_let_pass(
    register: DataRegister, tmp_path: Path
) -> None:
    """If this fails, institutions with other people cannot run on one machine."""
    one = state(tmp_path / "one")
    register.remember(one, register.sketch(records(1)))
    assert register.conflict(tmp_path / "two", register.sketch(records(2)), "") is None
    register.remember(tmp_path / "three", register.sketch(records(3)))  # was never charged
    assert register.conflict(tmp_path / "two", register.sketch(records(3)), "") is None


def test_what_was_said_of_two_data_sets_is_heeded(register: DataRegister, tmp_path: Path) -> None:
    """If this fails, links, versions and signed statements do not let a run begin."""
    sketch = register.sketch(records(1))
    one = state(tmp_path / "one")
    register.remember(one, sketch)
    for action, option in (("link", "--shares"), ("disjoint", "--from")):
        other = state(tmp_path / action, charged=False)
        assert register.conflict(other, sketch, key(other)) is not None
        assert main(["ledger", action, str(other), option, str(one)]) == 0
        assert register.conflict(other, sketch, key(other)) is None
    # Somebody else's statement is not the owner's.
    assert register.conflict(tmp_path / "disjoint", sketch, key(one)) is not None
    for name, parent in (("version", one), ("newest", tmp_path / "version")):
        load_identity(tmp_path / name)
        assert main(["ledger", "new", str(tmp_path / name), "--parent", str(parent)]) == 0
        assert register.conflict(tmp_path / name, sketch, key(tmp_path / name)) is None
        register.remember(tmp_path / name, sketch)


def test_a_moved_ledger_is_the_same_and_a_removed_one_is_missed(
    register: DataRegister, tmp_path: Path
) -> None:
    """If this fails, a folder cannot be moved; or removing it is a way to forget."""
    sketch = register.sketch(records(1))
    one = state(tmp_path / "one")
    register.remember(one, sketch)
    one.rename(tmp_path / "moved")
    assert register.conflict(tmp_path / "moved", sketch, "") is None
    shutil.rmtree(tmp_path / "moved")
    again = state(tmp_path / "one")
    assert register.conflict(again, sketch, key(again)) is not None


def test_a_copied_ledger_is_told_from_a_moved_one(register: DataRegister, tmp_path: Path) -> None:
    """If this fails, a copy of a state folder is a second budget: each forgets the other."""
    sketch = register.sketch(records(1))
    one = state(tmp_path / "one")
    register.remember(one, sketch)
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(LedgerError, match="copies of one ledger"):
        require_no_second_ledger(register, "t", tmp_path / "copy", sketch, key(one))
    require_no_second_ledger(register, "t", one, sketch, key(one))


def test_sketches_are_keyed_and_private(register: DataRegister, tmp_path: Path) -> None:
    """If this fails, whoever sees the register can test whether somebody is in the data."""
    other = DataRegister(tmp_path / "other")
    assert register.sketch(records(1)) == register.sketch(records(1)[::-1])
    assert alike(register.sketch(records(1)), other.sketch(records(1))) == 0
    path = tmp_path / "register" / "data-sets.json"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("text", ["", "{}", '{"key": "zz", "data_sets": []}', "[1]"])
def test_a_damaged_register_is_not_replaced(
    register: DataRegister, tmp_path: Path, text: str
) -> None:
    """If this fails, damage to one file makes it forget every data set."""
    register.sketch(records(1))
    path = tmp_path / "register" / "data-sets.json"
    path.write_text(text)
    with pytest.raises(StorageError, match="damaged"):
        register.sketch(records(1))
    assert path.read_text() == text


def test_a_run_with_another_states_folder_is_refused(signed: Path, capsys: Capture) -> None:
    """If this fails, `--states other` begins with nothing spent, and nothing warns."""
    agreement = read_agreement(signed / "agreement.toml").agreement
    held, register = load_folder(signed / "data"), DataRegister()
    data = {teacher.id: teacher.images for teacher in held.teachers}
    states = {name: signed / "states" / name for name in TEACHERS}
    sketches = check_ledgers(register, agreement, data, states)
    for folder in sketches:
        Ledger.create(folder, delta=DELTA)
    check_ledgers(register, agreement, data, states)  # the same ones again
    other = signed / "other-states"
    shutil.copytree(signed / "states", other)
    for name in TEACHERS:
        (other / name / "ledger.sqlite").unlink()
    with pytest.raises(LedgerError) as refusal:
        check_ledgers(register, agreement, data, {name: other / name for name in TEACHERS})
    for word in ("teacher-site-0's records", str(signed / "states"), "ledger link", "--parent"):
        assert word in str(refusal.value)
    (signed / "states").rename(signed / "moved-away")
    other.rename(signed / "states")
    capsys.readouterr()
    assert run(signed) == 1
    assert "were charged before" in capsys.readouterr().err
    assert charges(signed) == 0
    known = json.loads((user_folder() / "data-sets.json").read_text())["data_sets"]
    assert {Path(entry["folder"]).name for entry in known} == set(TEACHERS)


def noted(register: DataRegister, world: World, *, ledgers: bool = True) -> Any:
    """Check the records of a world's teachers as a run does, and return what to check again."""
    agreement = world.agreement()
    states = {name: world.folder / name for name in agreement.teachers}
    held = {name: world.data[name].records for name in states}
    sketches = check_ledgers(register, agreement, held, states)
    for folder, sketch in sketches.items():
        if ledgers and not (folder / "ledger.sqlite").exists():
            Ledger.create(folder, delta=DELTA)
        register.remember(folder, sketch)
    return agreement, held, states


@pytest.mark.parametrize("shared", [0, 100])
def test_records_swapped_between_two_teachers_are_refused(
    register: DataRegister, tmp_path: Path, shared: int
) -> None:
    """If this fails, each of two hospitals' patients are charged in the other's ledger."""
    world = make_world(tmp_path / "world", 3)
    one, two = (world.data[name].records for name in ("teacher-1", "teacher-2"))
    if shared:  # some records are in both, and the others' persons would be swapped all the same
        two = np.concatenate([two, one[:shared]])
        world.data["teacher-2"] = replace(
            world.data["teacher-2"], records=two, labels=np.zeros(len(two), np.int64)
        )
    agreement, held, states = noted(register, world)
    noted(register, world)  # the same ones again
    fewer = {**held, "teacher-1": one[50:], "teacher-2": two[50:]}
    check_ledgers(register, agreement, fewer, states)
    swapped = {**held, "teacher-1": two, "teacher-2": one}
    with pytest.raises(LedgerError, match=r"teacher-1's records were charged before.*teacher-2"):
        check_ledgers(register, agreement, swapped, states)
    with pytest.raises(LedgerError, match="swapped, give each its own"):
        check_ledgers(register, agreement, swapped, states)
    given = {**held, "teacher-3": two}  # and records that come to a third one later
    with pytest.raises(LedgerError, match="teacher-3's records were charged before"):
        check_ledgers(register, agreement, given, states)


def test_two_teachers_may_hold_the_same_records_from_the_first_run_on(
    register: DataRegister, tmp_path: Path
) -> None:
    """If this fails, an agreement whose teachers share all records never runs a second time."""
    world = make_world(tmp_path / "world", 3)
    world.data["teacher-2"] = world.data["teacher-1"]
    agreement, held, states = noted(register, world)
    noted(register, world)
    more = np.concatenate([held["teacher-1"], records(9, 50)])
    check_ledgers(register, agreement, {**held, "teacher-1": more}, states)
    newer = tmp_path / "newer"  # and a new version of one of them
    assert main(["ledger", "new", str(newer), "--parent", str(states["teacher-2"])]) == 0
    check_ledgers(register, agreement, held, {**states, "teacher-2": newer})


def test_a_large_data_set_may_shrink_to_what_both_hold(
    register: DataRegister, tmp_path: Path
) -> None:
    """If this fails, a sketch of few of one's own records makes the rest look like others'."""
    world = make_world(tmp_path / "world", 3)
    many, labels = table(1, 600)
    for name, few in (("teacher-1", slice(None)), ("teacher-2", slice(500, None))):
        world.data[name] = replace(world.data[name], records=many[few], labels=labels[few])
    agreement, held, states = noted(register, world)
    noted(register, world)
    check_ledgers(register, agreement, {**held, "teacher-1": held["teacher-2"]}, states)


def test_a_register_noted_before_any_charge_is_no_excuse(
    register: DataRegister, tmp_path: Path
) -> None:
    """If this fails, records that were only looked at count as charged in one's own ledger."""
    world = make_world(tmp_path / "world", 3)
    agreement, held, states = noted(register, world, ledgers=False)
    swapped = {**held, "teacher-1": held["teacher-2"], "teacher-2": held["teacher-1"]}
    world.data |= {n: replace(world.data[n], records=swapped[n]) for n in swapped}
    noted(register, world)  # nothing was charged before: the first run may have them so
    with pytest.raises(LedgerError, match="were charged before"):
        check_ledgers(register, agreement, held, states)


@pytest.mark.parametrize("brings", ["records", "module"])
def test_an_embedded_run_refuses_a_copy_of_records_where_it_is_asked_to(
    register: DataRegister, tmp_path: Path, brings: str
) -> None:
    """If this fails, a pipeline that begins a second state folder spends the same people twice."""
    first, second = make_world(tmp_path / "first", 3), make_world(tmp_path / "second", 3)
    first.local_run(register=register).execute()
    first.local_run(register=register)  # its own folder, again
    if brings == "module":
        for name, data in second.data.items():
            second.brought[name] = PrivateModel(Linear(6, 3), data.records, data.labels)
    with pytest.raises(LedgerError, match="records were charged before"):
        second.local_run(register=register)
    assert not list((tmp_path / "second").glob("teacher-*/ledger*"))
    (tmp_path / "first").rename(tmp_path / "elsewhere")  # what was charged there is known still
    with pytest.raises(LedgerError, match="records were charged before"):
        second.local_run(register=register)
    second.brought.clear()
    second.data = {name: replace(d, records=d.records + 1) for name, d in second.data.items()}
    second.local_run(register=register)  # other records


def test_a_trained_model_is_no_record(register: DataRegister, tmp_path: Path) -> None:
    """If this fails, a run of models stops at a register that knows nothing of them."""
    world = World(tmp_path, {}, brought=dict(trained_models()), shape=encryption_only("scatter"))
    world.local_run(register=register)
    assert not (tmp_path / "register").exists()
