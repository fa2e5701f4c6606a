"""Honest run folders of the toy world, made once for all tests, and the keys behind them.

Everything is real: parties, ciphertexts, ledgers on disk, the student's training, every
signer's check. Only sizes are small.
"""

from __future__ import annotations

import atexit
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Agreement, Retention
from secure_fedsa.audit import closing, verify
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun, OwnRecord
from secure_fedsa.engines.student import (
    ARCHITECTURE_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    NETWORK_FILE,
    StudentTask,
    StudentWorkshop,
)
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.messages import STUDENT
from secure_fedsa.models.teachers import PrivateModel
from secure_fedsa.report import receipt
from secure_fedsa.report.summary import RunFacts
from secure_fedsa.wire.keys import IdentityKey
from tests.engines.network import Hook, Network
from tests.routes import encryption_only, private_training, small_network, trained_models
from tests.support import (
    CLASSES,
    STUDENT_PROMISE,
    World,
    asked_by_probes,
    encoder,
    institution_promise,
    make_world,
    probes,
    table,
)

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "aggregator": {"custody": "aggregator"},
    "no-key": {"publish": {"feature_key": False, "scores": "order"}},
    "no-ciphertexts": {
        "publish": {"feature_key": False, "ciphertexts": False, "scores": "none"},
    },
    "no-sums": {"publish": {"feature_key": False, "sums": False}},
    "nothing": {
        "custody": "aggregator",
        "publish": {"feature_key": False, "ciphertexts": False, "sums": False, "scores": "none"},
    },
    "private-student": {"student_privacy": STUDENT_PROMISE},
    "institution": institution_promise(3),
    "limited": {"retention": Retention(local_log_days=30, unfinished_days=7)},
    "plain": {"protection": {"he": False, "masks": False}},
    "plain-sealed": {
        "protection": {"he": False, "masks": False},
        "publish": {"ciphertexts": False, "sums": False, "scores": "order"},
    },
}
"""Changes to the toy agreement, by name."""


def _trainings(folder: Path) -> World:
    """Return a world whose teachers' models are trained in the run, but for one."""
    world = make_world(folder)
    world.shape = private_training("scatter", stated=["teacher-3"])
    world.brought["teacher-2"] = PrivateModel(small_network(), *table(1, 200))
    world.brought["teacher-3"] = trained_models()["teacher-3"]
    return world


def _models(folder: Path) -> World:
    """Return a world of models of any kind, without differential privacy."""
    return World(folder, {}, brought=dict(trained_models()), shape=encryption_only("sketch"))


WORLDS: dict[str, Callable[[Path], World]] = {"trainings": _trainings, "models": _models}
"""Worlds of the routes whose teachers are models, by name."""


@dataclass(frozen=True, slots=True, repr=False)
class Folder:
    """One honest run: its folder's content, and what only its parties have.

    Attributes:
        files: Bytes by path, in the order in which they are written, receipt last.
        agreement: What was agreed.
        facts: What the report was made from.
        summary: What summary.json says.
        identities: Every party's signing key.
        records: What every party remembers of the run.
        outcome: Every message, sealed bodies included.
    """

    files: dict[str, bytes]
    agreement: Agreement
    facts: RunFacts
    summary: dict[str, Any]
    identities: dict[str, IdentityKey]
    records: dict[str, OwnRecord]
    outcome: Outcome

    @property
    def keys(self) -> dict[str, str]:
        """Every party's public key, as a trust file names them."""
        return {name: party.key for name, party in self.agreement.parties.items()}

    @property
    def proposal(self) -> dict[str, bytes]:
        """Every file but the receipt."""
        return {name: data for name, data in self.files.items() if name != receipt.FILE_NAME}

    def write(self, folder: Path) -> Path:
        """Write the folder to disk and return it."""
        return write(folder, self.files)


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files below ``folder``, which is made, and return it."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def honest(variant: str = "default", number: int = 0) -> Folder:
    """Return an honest run; ``number`` 1 is the second run of the same parties, and so on.

    Do not change what it holds: other tests get the same object.
    """
    return _honest(variant, number)


@cache  # which would take a call with a default for another one than the same spelled out
def _honest(variant: str, number: int) -> Folder:
    if number:
        _honest(variant, number - 1)
    return close(*run_to_the_end(_world(variant)))


@cache
def _world(variant: str) -> World:
    place = tempfile.TemporaryDirectory(prefix="secure-fedsa-tests-")
    atexit.register(place.cleanup)
    if variant in WORLDS:
        return WORLDS[variant](Path(place.name))
    return make_world(Path(place.name), **VARIANTS[variant])


def _workshop(folder: Path, *, agreed: bool, labels: StudentLabels | None) -> StudentWorkshop:
    """Return the student's workshop; where models are asked, its probes are the agreed ones."""
    unlabelled = probes() if agreed else table(3000, 60)[0]
    records, numbers = table(3001, 12)
    task = StudentTask(CLASSES, records, numbers, unlabelled)
    return StudentWorkshop(task, encoder(), folder, seed=0, labels=labels)


def run_to_the_end(
    world: World, hook: Hook | None = None
) -> tuple[LocalRun, Outcome, dict[str, bytes]]:
    """Run to the end, over a network with a hook if there is one; return the student's files."""
    agreement = world.agreement()
    labels = None
    if agreement.student_privacy is not None:
        world.public = asked_by_probes()
        labels = StudentLabels(world.folder / STUDENT, agreement)
    agreed = agreement.answers is not None
    workshop = _workshop(world.folder / "built", agreed=agreed, labels=labels)
    run = world.local_run(lambda released: workshop.build(released, agreement))
    outcome = run.execute() if hook is None else Network(run, hook).execute()
    names = (NETWORK_FILE, ARCHITECTURE_FILE, HEAD_FILE, ENCODER_FILE)
    return run, outcome, {name: (workshop.folder / name).read_bytes() for name in names}


def facts_of(run: LocalRun, outcome: Outcome) -> RunFacts:
    """Return what the report of a toy run is made from."""
    return RunFacts(
        agreement=run.agreement,
        plan=run.plan,
        run_id=outcome.run_id,
        seed=0,
        simulated_noise=run.simulated_noise,
        demo=False,
        roster=closing.final_roster(outcome.envelopes),
        kinds={},
        accuracy={"student": 0.875, "student_network": 0.75, "scratch": None},
        seconds={"opening": 0.25, "query": 0.5},
        versions={"python": "3.11.2"},
        class_names=CLASSES,
        total_seconds=1.5,
    )


def close(run: LocalRun, outcome: Outcome, student: dict[str, bytes]) -> Folder:
    """Close a run as an application does, and forget its journals."""
    facts = facts_of(run, outcome)
    records = {name: run.own_record(name) for name in run.agreement.parties}
    files, summary = closing.run_files(run, outcome, facts, student)
    run.discard()
    identities = {name: record.identity for name, record in records.items()}
    return Folder(files, run.agreement, facts, summary, identities, records, outcome)


def swap_after_the_check(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Have the summary's accuracy changed as soon as a folder was checked."""
    checked = verify.verify_evidence

    def check_then_swap(*arguments: Any) -> Any:
        verdict = checked(*arguments)
        summary = (folder / "summary.json").read_bytes()
        (folder / "summary.json").write_bytes(summary.replace(b"0.875", b"0.999"))
        return verdict

    monkeypatch.setattr(verify, "verify_evidence", check_then_swap)
