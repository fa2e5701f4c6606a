"""From what a teacher brings to a model that is asked: nothing of single records may show."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from secure_fedsa.agreement import Agreement
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models import dp_sgd
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.teachers import PrivateModel
from secure_fedsa.roles import model_teachers
from secure_fedsa.roles.model_teachers import model_to_ask, prepared
from tests import support
from tests.routes import private_training

FORM = torch.zeros(1, 6)
NAMES = support.teacher_names(3)


def agreement() -> Agreement:
    """Return an unsigned agreement of the route private-training."""
    parties = (*NAMES, AGGREGATOR, KEY_HOLDER, STUDENT)
    keys = {name: f"{number:064x}" for number, name in enumerate(parties, 5)}
    return private_training()(support.toy_agreement(keys))


def strict(records: npt.NDArray[Any]) -> torch.Tensor:
    """Leave out records that are not numbers, and refuse one that is far out."""
    if np.any(records[:, 0] > 1e6):
        raise KeyError("an unknown category")
    return torch.from_numpy(records[np.isfinite(records).all(axis=1)]).float()


@pytest.mark.parametrize("value", [np.nan, 1e9])
def test_a_record_that_cannot_be_prepared_is_one_record_less(value: float) -> None:
    """If this fails, what is sent says that somebody has such a record."""
    records = support.table(1, 5)[0].astype(np.float64)
    records[2] = value
    adapter = TeacherAdapter(nn.Linear(6, 3), prepare=strict)
    rows, usable = prepared(adapter, records, FORM)
    assert rows.shape == (5, 6)
    assert usable.tolist() == [True, True, False, True, True]
    assert not rows[2].any()
    torch.testing.assert_close(rows[3], torch.from_numpy(records[3]).float())
    none, nobody = prepared(adapter, records[:0], FORM)
    assert none.shape == (0, 6)
    assert nobody.shape == (0,)


def test_a_training_that_fails_is_done_again_on_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a run that stops after its charge tells that some record stopped it."""
    records, labels = support.table(1, 50)
    brought = PrivateModel(nn.Linear(6, 3), records, labels)
    real, sizes = dp_sgd.train_privately, []

    def failing(module: nn.Module, rows: torch.Tensor, *others: Any, **named: Any) -> None:
        sizes.append(len(rows))
        if len(rows):
            raise MemoryError
        real(module, rows, *others, **named)

    monkeypatch.setattr(model_teachers, "train_privately", failing)
    model, failure = model_to_ask(
        brought,
        agreement=agreement(),
        teacher="teacher-1",
        encoder=support.encoder(),
        noise=SeededNoise(0),
        probes=support.probes(),
    )
    assert (failure, sizes) == ("MemoryError", [50, 0])
    assert np.isfinite(model.adapter.outputs(support.probes()[:5])).all()


def test_the_callers_module_stays_as_it_is() -> None:
    """If this fails, who offers a model to a run loses it, or finds private weights in it."""
    records, labels = support.table(1, 50)
    module = nn.Linear(6, 3)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    model_to_ask(
        PrivateModel(module, records, labels),
        agreement=agreement(),
        teacher="teacher-1",
        encoder=support.encoder(),
        noise=SeededNoise(0),
        probes=support.probes(),
    )
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    assert module.training
