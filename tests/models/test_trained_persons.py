"""Trainings whose promise is about persons: one record of each is in them."""

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
OWNERS[:50] = 7  # fifty records of one person, and one more that stands later
OWNERS[60] = -1  # and one of nobody


def agreement() -> Agreement:
    """Return an agreement for persons, with next to no noise, that takes every record."""
    whole = of_records()
    assert whole.training is not None
    quiet = replace(whole.training, noise_multiplier=1e-7, sampling_rate=1.0, steps=5)
    return replace(whole, privacy=PERSONS, training=quiet)


def brought_as(kind: str, records: Any, labels: Any, persons: Any) -> Brought:
    """Return records, or records and a module to train."""
    if kind == "records":
        return PrivateData(records, labels, persons)
    return PrivateModel(torch.nn.Linear(6, 3), records, labels, persons=persons)


def answers(brought: Brought) -> npt.NDArray[Any]:
    """Return what a model that was trained on it says about public probes."""
    probes, encoder = support.probes(), support.encoder()
    model, failure = model_to_ask(
        brought,
        agreement=agreement(),
        teacher="teacher-1",
        encoder=encoder,
        noise=SeededNoise(0),
        probes=probes,
    )
    assert failure == ""
    asked = encoder.encode_clipped(probes[:9])[0] if model.on_encoding else probes[:9]
    return model.adapter.outputs(asked)


@pytest.mark.parametrize("kind", ["records", "module"])
def test_one_record_of_a_person_reaches_a_training(kind: str) -> None:
    """If this fails, somebody with many records loses many times the epsilon that was promised."""
    records, labels = support.table(1, 80)
    labels = labels.copy()
    labels[0] = 99  # the person's first cannot be used, and takes no other's place
    told = answers(brought_as(kind, records, labels, OWNERS))
    one_each = np.array([at == 1 or (at >= 50 and at not in (57, 60)) for at in range(80)])
    one_each[57] = OWNERS[57] != 7
    alone = answers(
        brought_as(kind, records[one_each], labels[one_each], np.arange(one_each.sum()))
    )
    assert np.allclose(told, alone, atol=1e-4)
    everything = answers(brought_as(kind, records, labels, np.arange(80)))
    assert not np.allclose(told, everything, atol=1e-2)


@pytest.mark.parametrize("kind", ["records", "module"])
def test_a_training_for_persons_needs_ids(kind: str) -> None:
    """If this fails, persons are promised what nothing enforces."""
    records, labels = support.table(1, 80)
    with pytest.raises(DataError, match="come without person ids"):
        answers(brought_as(kind, records, labels, None))


def world(folder: Path, **changes: Any) -> support.World:
    """Return three institutions that train a private head each, two of them a module."""
    made = support.make_world(folder, 3, **changes)
    made.shape = private_training("scatter", promise=PERSONS)
    for number in (1, 2):
        records, labels = support.table(number, 200)
        made.brought[f"teacher-{number}"] = PrivateModel(
            torch.nn.Linear(6, 3), records, labels, persons=np.arange(200) // 2
        )
    for name, data in made.data.items():
        made.data[name] = replace(data, persons=np.arange(len(data.labels)) // 2)
    return made


@pytest.mark.slow
def test_a_whole_run_promises_it_and_says_so(tmp_path: Path) -> None:
    """If this fails, no run can promise a person anything of a training."""
    made = close(*run_to_the_end(world(tmp_path / "parties")))
    folder = made.write(tmp_path / "run")
    assert verify_folder(folder, made.keys).identities_checked
    assert made.summary["privacy_unit"] == "person"
    assert "one person, of whom at most 1 record counts" in (folder / "report.html").read_text()
    claims = {claim.id: claim for claim in unit_claims(made.agreement)}
    assert "of whom at most 1 record counts" in claims["agreed-unit"].unit
    assert claims["one-record"].epsilon == claims["agreed-unit"].epsilon
    (event,) = claims["agreed-unit"].events["teacher-1"]
    assert isinstance(event, DpSgdTraining)
    assert claims["agreed-unit"].epsilon == training_epsilon([event], PERSONS.delta)
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
