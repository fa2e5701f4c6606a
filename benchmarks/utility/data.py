"""Data sets, settings and sizes of the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.baselines.job import FULL, QUICK, Effort
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.splits import DemoData, demo_split

DATASETS: dict[str, Callable[[], LabelledImages]] = {"fashion-mnist": load_fashion_mnist}

SETTINGS = ("nine-teachers", "six-relevant")
"""Six relevant teachers and three that should not count; or the six alone."""


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


def data_of(images: LabelledImages, setting: str, seed: int, scale: Scale) -> DemoData:
    """Return the split of a setting and seed."""
    data = demo_split(
        images, seed=seed, labels=scale.labels, probes=scale.probes, records=scale.records
    )
    if setting == "nine-teachers":
        return data
    return replace(data, teachers=tuple(t for t in data.teachers if t.kind == "relevant"))
