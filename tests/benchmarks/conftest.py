"""A split of tables so small that every baseline trains in a second or two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from threadpoolctl import threadpool_limits

from benchmarks.baselines.job import Effort, Job
from secure_fedsa.cli.splits import DemoData, TeacherData

TINY = Effort("tiny", 3, 6, 60, 2, 2, 1, 3, 2)


def tiny_data(*, image: bool = False) -> DemoData:
    """Return three classes that are apart, two teachers that know two each and a bad one."""
    draw = np.random.default_rng(5)
    shape = (8, 8) if image else (12,)
    centres = draw.normal(size=(3, *shape))

    def records(classes: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        values: npt.NDArray[Any] = centres[classes] + 0.7 * draw.normal(size=(len(classes), *shape))
        return np.clip(0.5 + 0.15 * values, 0, 1) if image else values

    def teacher(number: int, classes: tuple[int, ...], *, bad: bool = False) -> TeacherData:
        labels = draw.integers(len(classes), size=120)
        values = records(np.array(classes)[labels])
        labels = draw.permutation(labels) if bad else labels
        kind = "shuffled-labels" if bad else "relevant"
        names = tuple("abc"[c] for c in classes)
        return TeacherData(f"teacher-{number}", names, classes, values, labels, kind)  # type: ignore[arg-type]

    labels, test = np.arange(30) % 3, draw.integers(3, size=200)
    return DemoData(
        "tiny",
        ("a", "b", "c"),
        records(draw.integers(3, size=150)),
        records(labels),
        labels,
        records(test),
        test,
        (teacher(1, (0, 1)), teacher(2, (1, 2)), teacher(3, (0, 2), bad=True)),
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As the benchmark itself runs: threads that wait for each other take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def job() -> Job:
    """A small job on tables."""
    return Job(tiny_data(), 0, TINY, epsilon=8.0, delta=1e-5)


@pytest.fixture
def image_job() -> Job:
    """The same on images."""
    return Job(tiny_data(image=True), 0, TINY, epsilon=8.0, delta=1e-5)
