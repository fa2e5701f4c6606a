"""Trainings whose promise is about persons: at most so many records of each are in them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.errors import DataError, RunAborted
from secure_fedsa.models.teachers import Brought, PrivateData, PrivateModel
from secure_fedsa.planning.unit_claims import unit_claims
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.training_accountant import training_epsilon
from secure_fedsa.roles.model_teachers import model_to_ask
from tests import support
from tests.audit.folders import close, run_to_the_end
from tests.models.test_model_teachers import agreement as of_records
from tests.routes import PROMISE, private_training

PERSONS = replace(PROMISE, unit="person")
OWNERS = np.arange(80)
OWNERS[:50] = 7  # fifty records of one person
OWNERS[57] = 7  # and one more that stands later
OWNERS[60] = -1  # and one of nobody


def agreement(most: int) -> Agreement:
    """Return an agreement for persons, with next to no noise, that takes every person."""
    whole = of_records()
    assert whole.training is not None
    quiet = replace(whole.training, noise_multiplier=1e-7, sampling_rate=1.0, steps=5)
    return replace(whole, privacy=replace(PERSONS, max_records=most), training=quiet)


def brought_as(kind: str, records: Any, labels: Any, persons: Any) -> Brought:
    """Return records, or records and a module to train."""
    if kind == "records":
        return PrivateData(records, labels, persons)
    return PrivateModel(torch.nn.Linear(6, 3), records, labels, persons=persons)


def answers(brought: Brought, most: int = 1) -> npt.NDArray[Any]:
    """Return what a model that was trained on it says about public probes."""
    probes, encoder = support.probes(), support.encoder()
    model, failure = model_to_ask(
        brought,
        agreement=agreement(most),
        teacher="teacher-1",
        encoder=encoder,
        noise=SeededNoise(0),
        probes=probes,
    )
    assert failure == ""
    asked = encoder.encode_clipped(probes[:9])[0] if model.on_encoding else probes[:9]
    return model.adapter.outputs(asked)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("kind", ["records", "module"])
def test_no_more_records_of_a_person_reach_a_training(kind: str, most: int) -> None:
    """If this fails, a person's part hangs on records that nobody agreed to count."""
    records, labels = support.table(1, 80)
    labels = labels.copy()
    labels[0] = 99  # the person's first cannot be used, and takes no other's place
    told = answers(brought_as(kind, records, labels, OWNERS), most)
    counted = np.arange(80) >= 50
    counted[1 : 1 + most], counted[57], counted[60] = True, False, False
    few = brought_as(kind, records[counted], labels[counted], OWNERS[counted])
    assert np.allclose(told, answers(few, 80), atol=1e-4)
    everything = answers(brought_as(kind, records, labels, np.arange(80)), most)
    assert not np.allclose(told, everything, atol=1e-2)
    more = answers(brought_as(kind, records, labels, OWNERS), most + 40)
    assert not np.allclose(told, more, atol=1e-3)


@pytest.mark.parametrize("kind", ["records", "module"])
def test_a_training_for_persons_needs_ids(kind: str) -> None:
    """If this fails, persons are promised what nothing enforces."""
    records, labels = support.table(1, 80)
    with pytest.raises(DataError, match="come without person ids"):
        answers(brought_as(kind, records, labels, None))


def world(folder: Path, most: int = 1, **changes: Any) -> support.World:
    """Return three institutions that train a private head each, two of them a module."""
    made = support.make_world(folder, 3, **changes)
    made.shape = private_training("scatter", promise=replace(PERSONS, max_records=most))
    for number in (1, 2):
        records, labels = support.table(number, 200)
        made.brought[f"teacher-{number}"] = PrivateModel(
            torch.nn.Linear(6, 3), records, labels, persons=np.arange(200) // 2
        )
    for name, data in made.data.items():
        made.data[name] = replace(data, persons=np.arange(len(data.labels)) // 2)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("most", "words", "counted"),
    [
        (1, "one person, of whom at most 1 record counts", "at most 1 record counts"),
        (2, "one person, of whom at most 2 records count", "at most 2 records count"),
    ],
)
def test_a_whole_run_promises_it_and_says_so(
    tmp_path: Path, most: int, words: str, counted: str
) -> None:
    """If this fails, no run can promise a person anything of a training."""
    made = close(*run_to_the_end(world(tmp_path / "parties", most)))
    folder = made.write(tmp_path / "run")
    assert verify_folder(folder, made.keys).identities_checked
    assert made.summary["privacy_unit"] == "person"
    assert words in (folder / "report.html").read_text()
    claims = {claim.id: claim for claim in unit_claims(made.agreement)}
    assert counted in claims["agreed-unit"].unit
    (event,) = claims["agreed-unit"].events["teacher-1"]
    assert isinstance(event, DpSgdTraining)
    agreed = claims["agreed-unit"].epsilon
    assert agreed == training_epsilon([event], PERSONS.delta)
    # Another record may take the place of one that is gone: a changed person, not one that left.
    one = claims["one-record"].epsilon
    assert agreed is not None
    assert one is not None
    assert 2 * agreed < one < 3 * agreed
    assert not any(name.startswith("person-with-") for name in claims)


@pytest.mark.parametrize("ids", [None, np.zeros(199, dtype=np.int64)])
@pytest.mark.parametrize("teacher", ["teacher-1", "teacher-3"])
def test_ids_are_asked_for_before_any_charge(
    tmp_path: Path, teacher: str, ids: npt.NDArray[Any] | None
) -> None:
    """If this fails, a budget is lost on a run that could not keep its promise."""
    made = world(tmp_path)
    if teacher in made.brought:
        module = made.brought[teacher]
        assert isinstance(module, PrivateModel)
        made.brought[teacher] = replace(module, persons=ids)
    else:
        made.data[teacher] = replace(made.data[teacher], persons=ids)
    with pytest.raises(RunAborted, match=r"person ids.*Nothing was charged"):
        made.local_run().execute()
    assert all(
        Ledger.open(tmp_path / name).spent().epsilon == 0 for name in support.teacher_names(3)
    )
