"""Data sets, settings and sizes of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.baselines.job import FULL, QUICK, Effort
from benchmarks.utility.multi_task import Suite, garments, people
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.splits import DemoData, demo_split

DATASETS: dict[str, Callable[[], LabelledImages]] = {"fashion-mnist": load_fashion_mnist}

PERSONS = "flchain"
MULTI_TASK = "multi-task"
SETTINGS = ("nine-teachers", "six-relevant", MULTI_TASK)
"""Six relevant teachers and three that should not count; the six alone; or several target tasks."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the benchmark is.

    Attributes:
        labels: The student's labelled records.
        probes: Public probes.
        records: Records a teacher.
        effort: How much training.
        epsilons: Unless others are named.
        seeds: Unless others are named.
    """

    labels: int
    probes: int
    records: int
    effort: Effort
    epsilons: tuple[float, ...]
    seeds: tuple[int, ...]


FULL_SCALE = Scale(100, 5_000, 4_500, FULL, (0.25, 0.5, 1.0, 2.0, 4.0, 8.0), (0, 1, 2, 3, 4))
QUICK_SCALE = Scale(100, 1_000, 800, QUICK, (1.0,), (0,))


def suite_of(dataset: str, images: LabelledImages | None, seed: int, scale: Scale) -> Suite:
    """Return the student of several tasks of a data set and seed."""
    if images is None or dataset == PERSONS:
        return people(seed)
    return garments(images, seed, labels=scale.labels, probes=scale.probes, records=scale.records)


def data_of(images: LabelledImages, setting: str, seed: int, scale: Scale) -> DemoData:
    """Return the split of a setting and seed."""
    data = demo_split(
        images, seed=seed, labels=scale.labels, probes=scale.probes, records=scale.records
    )
    if setting == "nine-teachers":
        return data
    return replace(data, teachers=tuple(t for t in data.teachers if t.kind == "relevant"))
