"""One release, several target tasks: on garments, and on persons with outcomes.

The student's tasks share one selection, one noisy sum and one network; no teacher was trained on
any of them but the ten classes, and on persons on none. Accuracies of regressions are shares of
the variance explained (R2), and named so.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from torch import nn

from benchmarks.baselines.networks import Inputs, Network
from benchmarks.noisy_release import NoisyRelease
from benchmarks.utility.persons import Persons, persons
from secure_fedsa.cli.datasets import LabelledImages
from secure_fedsa.cli.splits import DemoData, TeacherData, demo_split
from secure_fedsa.entropy import training_generator
from secure_fedsa.models.amalgamation import Release, StudentData, without_teachers
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.multi_task import TargetTask, amalgamate_tasks, distil_tasks
from secure_fedsa.models.scatter import from_upper_triangle
from secure_fedsa.planning.traffic import traffic
from secure_fedsa.roles.noisy_release import noise_plan

FloatArray = npt.NDArray[np.float64]
Tests = Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]

_GROUPS = {0: 0, 2: 0, 4: 0, 6: 0, 5: 1, 7: 1, 9: 1, 1: 2, 3: 2, 8: 3}
_INK = 40  # grey level from which a pixel belongs to the garment


@dataclass(frozen=True, slots=True, repr=False)
class Suite:
    """A student with several tasks, its teachers, and the test of each task.

    Attributes:
        data: Teachers, probes, and the first task, which selects.
        tasks: All tasks, the first included.
        tests: Records and true targets of each.
    """

    data: DemoData
    tasks: tuple[TargetTask, ...]
    tests: Tests


def garments(images: LabelledImages, seed: int, *, labels: int, probes: int, records: int) -> Suite:
    """Return the ten classes, four groups, long sleeves, and the garment's area."""
    data = demo_split(images, seed=seed, labels=labels, probes=probes, records=records)
    own = data.images

    def task(name: str, targets: npt.NDArray[Any], classes: int) -> TargetTask:
        return TargetTask(name, "classification", own, targets, classes)

    tasks = (
        task("ten classes", data.labels, 10),
        task("groups of garments", _groups(data.labels), 4),
        task("long sleeves", _sleeves(data.labels), 2),
        TargetTask("area (R2)", "regression", own, _area(own)),
    )
    tested, truth = data.test_images, data.test_labels
    targets = (truth, _groups(truth), _sleeves(truth), _area(tested))
    tests = {task.name: (tested, right) for task, right in zip(tasks, targets, strict=True)}
    return Suite(data, tasks, tests)


def people(seed: int) -> Suite:
    """Return persons with outcomes: death within the follow-up, and years followed."""
    found: Persons = persons(seed)
    first = found.tasks[0]
    tested, truth = found.tests[first.name]
    data = DemoData(
        source="flchain",
        class_names=("alive", "died"),
        probes=found.probes,
        images=first.records,
        labels=np.asarray(first.targets, dtype=np.int64),
        test_images=tested,
        test_labels=np.asarray(truth, dtype=np.int64),
        teachers=tuple(
            TeacherData(
                one.id,
                tuple(f"{one.question}: {answer}" for answer in range(one.classes)),
                tuple(range(one.classes)),
                one.records,
                one.labels,
                "relevant",
            )
            for one in found.institutions
        ),
    )
    return Suite(data, found.tasks, found.tests)


@dataclass(frozen=True, slots=True)
class Scores:
    """What one release came to.

    Attributes:
        by_method: Each task's test accuracy or R2, by method.
        payload_bytes: The most that one teacher sends.
    """

    by_method: dict[str, dict[str, float]]
    payload_bytes: int


NO_TEACHERS, SCATTER = "no teachers", "secure-fedsa (scatter)"


def scores(suite: Suite, seed: int, epsilon: float) -> Scores:
    """Release once, amalgamate and distil for all tasks, and test each."""
    with tempfile.TemporaryDirectory() as folder:
        bench = NoisyRelease(seed, suite.data, Path(folder))
        done = bench.round(epsilon)
    encoder, agreement = done.bench.encoder, done.agreement
    found = {NO_TEACHERS: _without(suite, encoder)}
    loads = traffic(agreement).by_party
    sent = max(loads[teacher.id].sent_bytes for teacher in suite.data.teachers)
    if not done.members:
        return Scores(found, sent)
    total = np.sum([done.signals[name].features for name in done.members], axis=0)
    sigma = noise_plan(agreement, done.members[0]).event.noise_scale / agreement.mechanism.grid
    release = Release(
        from_upper_triangle(total[:-1] / agreement.features.scale, encoder.dimension),
        float(total[-1]),
        len(done.members),
        sigma,
    )
    models = amalgamate_tasks(release, encoder, suite.tasks, suite.data.probes)
    found[SCATTER] = _measured(
        suite, {name: model.predict(suite.tests[name][0]) for name, model in models.items()}
    )
    inputs = Inputs.of(suite.data.probes)
    outputs = sum(task.outputs for task in suite.tasks)
    for shape, module in _students(inputs, outputs, seed).items():
        student = distil_tasks(
            module, models, suite.tasks, suite.data.probes, prepare=inputs.tensor, seed=seed
        )
        found[f"secure-fedsa (scatter, one {shape} for all tasks)"] = _measured(
            suite, {name: student.predict(name, suite.tests[name][0]) for name in models}
        )
    return Scores(found, sent)


def _students(inputs: Inputs, outputs: int, seed: int) -> dict[str, nn.Module]:
    """Return two architectures for images, and two for tables."""
    draw = training_generator(seed, "students of all tasks")
    if inputs.schema.kind == "image":
        return {
            "plain CNN": Network(inputs, outputs, draw, shape="plain", neck=False),
            "residual CNN": Network(inputs, outputs, draw, shape="residual", neck=False),
        }
    width = inputs.schema.shape[0]
    return {
        "perceptron": Network(inputs, outputs, draw),
        "gated network": _Gated(width, outputs, draw),
    }


class _Gated(nn.Module):
    """One hidden layer whose units are opened and closed by others."""

    def __init__(self, inputs: int, outputs: int, draw: torch.Generator) -> None:
        super().__init__()
        self.value, self.gate, self.out = (
            nn.utils.skip_init(nn.Linear, a, b)  # type: ignore[no-untyped-call]
            for a, b in ((inputs, 64), (inputs, 64), (64, outputs))
        )
        for layer in (self.value, self.gate, self.out):
            nn.init.kaiming_normal_(layer.weight, generator=draw)
            nn.init.zeros_(layer.bias)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.out(torch.sigmoid(self.gate(rows)) * self.value(rows)))


def _without(suite: Suite, encoder: PublicEncoder) -> dict[str, float]:
    """Return what the public encoder and the labels come to without teachers."""
    said: dict[str, npt.NDArray[Any]] = {}
    for task in suite.tasks:
        tested = suite.tests[task.name][0]
        if task.kind == "classification":
            data = StudentData.encode(
                encoder, task.records, task.targets, suite.data.probes, classes=task.classes
            )
            said[task.name] = without_teachers(encoder, data).predict(tested)
        else:
            line = RidgeCV(np.logspace(-4, 3, 15))
            line.fit(encoder.encode_clipped(task.records)[0], task.targets)
            said[task.name] = np.asarray(line.predict(encoder.encode_clipped(tested)[0]))
    return _measured(suite, said)


def _measured(suite: Suite, said: Mapping[str, npt.NDArray[Any]]) -> dict[str, float]:
    found = {}
    for task in suite.tasks:
        truth, guess = suite.tests[task.name][1], said[task.name]
        if task.kind == "classification":
            found[task.name] = float((guess == truth).mean())
        else:
            found[task.name] = float(1 - ((guess - truth) ** 2).mean() / truth.var())
    return found


def _groups(labels: Sequence[int] | npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.array([_GROUPS[int(label)] for label in labels], dtype=np.int64)


def _sleeves(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.isin(labels, (2, 4, 6)).astype(np.int64)


def _area(images: npt.NDArray[Any]) -> FloatArray:
    return np.asarray((images > _INK).mean(axis=(1, 2)), dtype=np.float64)
