"""One released sum serves several tasks, and one network of any architecture learns them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from secure_fedsa.errors import DataError
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.amalgamation import AmalgamationSpec, Release
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.multi_task import (
    MultiTaskStudent,
    TargetTask,
    amalgamate_tasks,
    distil_tasks,
)
from secure_fedsa.models.probe_signals import normalised, probe_scatter

FloatArray = npt.NDArray[np.float64]
CLASSES = 6


def world(count: int, seed: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return rows of six clusters in few of twenty columns, and their clusters."""
    centres = 3 * np.random.default_rng(0).normal(size=(CLASSES, 4))
    generator = np.random.default_rng(seed)
    clusters = generator.integers(CLASSES, size=count)
    rows = 2 * generator.normal(size=(count, 20))
    rows[:, :4] = centres[clusters] + generator.normal(size=(count, 4))
    return rows, clusters


PROBES, _ = world(1500, 1)
ENCODER = PublicEncoder.fit(PROBES)
LABELLED, OWN = world(60, 2)
TEST, TRUE = world(1000, 3)


SPEC = AmalgamationSpec(least_width=CLASSES - 1)


def released() -> Release:
    """Return the sum of two teachers who each know other clusters: scatters of one-hot answers."""
    encoded = ENCODER.encode_clipped(PROBES)[0]
    clusters = world(1500, 1)[1]
    parts = [np.eye(CLASSES)[clusters][:, mine] for mine in ([0, 1, 2, 3], [2, 3, 4, 5])]
    scatter = np.sum([probe_scatter(normalised(part), encoded) for part in parts], axis=0)
    return Release(scatter, 2.0, 2, 0.0)


def height(rows: FloatArray) -> FloatArray:
    return np.asarray(rows[:, 0] - rows[:, 1])


TASKS = [
    TargetTask("cluster", "classification", LABELLED, OWN, CLASSES),
    TargetTask("half", "classification", LABELLED, (OWN >= 3).astype(np.int64), 2),
    TargetTask("height", "regression", LABELLED, height(LABELLED)),
]


def share_explained(found: FloatArray, wanted: FloatArray) -> float:
    return float(1 - ((found - wanted) ** 2).mean() / wanted.var())


def test_one_sum_serves_tasks_that_no_teacher_had() -> None:
    models = amalgamate_tasks(released(), ENCODER, TASKS, PROBES, spec=SPEC)
    assert (models["cluster"].predict(TEST) == TRUE).mean() > 0.9
    assert (models["half"].predict(TEST) == (TRUE >= 3)).mean() > 0.83
    assert share_explained(np.asarray(models["height"].predict(TEST)), height(TEST)) > 0.7


class Narrow(nn.Module):
    """Another architecture than an MLP: gated, with a bottleneck."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.gate, self.value = nn.Linear(20, 32), nn.Linear(20, 32)
        self.out = nn.Linear(32, outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.out(torch.sigmoid(self.gate(rows)) * self.value(rows)))


@pytest.mark.parametrize("architecture", ["mlp", "gated"])
def test_students_of_two_architectures_learn_all_tasks_at_once(architecture: str) -> None:
    """If this fails, a student is bound to one network of ours."""
    torch.manual_seed(0)
    outputs = sum(task.outputs for task in TASKS)
    module: nn.Module = Narrow(outputs)
    if architecture == "mlp":
        module = nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, outputs))
    models = amalgamate_tasks(released(), ENCODER, TASKS, PROBES, spec=SPEC)
    student = distil_tasks(module, models, TASKS, PROBES, prepare=as_rows, seed=0)
    assert (student.predict("cluster", TEST) == TRUE).mean() > 0.85
    assert (student.predict("half", TEST) == (TRUE >= 3)).mean() > 0.8
    assert share_explained(student.predict("height", TEST), height(TEST)) > 0.6
    # It stands alone: the public encoder is not asked any more.
    assert TeacherAdapter(student.module).outputs(TEST).shape == (1000, outputs)


def as_rows(records: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.asarray(records, dtype=np.float32))


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([], "at least one task"),
        ([TASKS[0], TASKS[0]], "name of its own"),
        ([TargetTask("a", "classification", LABELLED, OWN, CLASSES + 1)], "missing"),
        ([TargetTask("a", "regression", LABELLED, height(LABELLED)[:5])], "finite number a record"),
        ([TargetTask("a", "regression", LABELLED, np.full(60, np.nan))], "finite number a record"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(tasks: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        amalgamate_tasks(released(), ENCODER, tasks, PROBES)


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    models = amalgamate_tasks(released(), ENCODER, TASKS, PROBES, spec=SPEC)
    with pytest.raises(DataError, match="tasks need 9"):
        distil_tasks(nn.Linear(20, 8), models, TASKS, PROBES, prepare=as_rows, seed=0)
    student = MultiTaskStudent(nn.Linear(20, 9), TASKS, as_rows)
    assert [student.place(task.name) for task in TASKS] == [slice(0, 6), slice(6, 8), slice(8, 9)]
