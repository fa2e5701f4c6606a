"""Faults of the kind that audits exist for, planted in the code that runs use.

Each is a change in one place of the package, undone afterwards. The audit is called as always: it
does not know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.audit.worlds import TEACHERS
from secure_fedsa.audit.canaries import audit, training
from secure_fedsa.audit.canaries.audit import SecretNoise
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.models import dp_sgd
from secure_fedsa.privacy import accountant, clipping, mechanisms
from secure_fedsa.roles import noisy_release
from secure_fedsa.signals import IntArray

LESS = 0.9


class LessNoise(SystemNoise):
    """Noise whose scale is 10% too small."""

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return draws of a smaller scale than asked for."""
        return super().discrete_gaussian(LESS * scale, size)


class NoNoise(SystemNoise):
    """Zeros."""

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return no noise at all."""
        del scale
        return np.zeros(size, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and how the audit that should find it is called.

    Attributes:
        plant: Changes the package while it is entered.
        noise: A teacher's source of noise.
        runs: Releases audited together.
        teachers: Whose releases are audited.
    """

    plant: Callable[[], AbstractContextManager[Any]] = nullcontext
    noise: Callable[[str], SecretNoise] = lambda _: SystemNoise()
    runs: int = 1
    teachers: tuple[str, ...] = TEACHERS[:1]


@contextmanager
def _no_clip() -> Iterator[None]:
    """Scale nothing down, and let rows of any length pass the check of their norm."""

    def to_grid(features: Any, clip_norm: float, grid: int) -> tuple[Any, Any]:
        rows = np.trunc(features / clip_norm * grid).astype(np.int64)
        return rows, np.ones(len(rows), dtype=np.bool_)

    def within(rows: Any, grid: int) -> Any:
        del grid
        return np.ones(len(rows), dtype=np.bool_)

    with patch.object(noisy_release, "to_grid", to_grid), patch.object(clipping, "_within", within):
        yield


def _small_sensitivity() -> AbstractContextManager[Any]:
    real = mechanisms.l2_sensitivity
    return patch.object(mechanisms, "l2_sensitivity", lambda *a, **k: real(*a, **k) / 2**0.5)


def _counted_once() -> AbstractContextManager[Any]:
    """An accountant that forgets equal events."""

    def epsilon_of(events: Any, delta: float) -> float:
        return accountant.epsilon_of(set(events), delta)

    return patch.object(audit, "epsilon_of", epsilon_of)


SUMMARY_FAULTS: dict[str, Fault] = {
    "noise 10% too small": Fault(noise=lambda _: LessNoise(), teachers=TEACHERS),
    "one of three teachers without noise": Fault(
        noise=lambda name: NoNoise() if name == TEACHERS[1] else SystemNoise(), teachers=TEACHERS
    ),
    "a clip that does not clip": Fault(plant=_no_clip),
    "sensitivity off by sqrt(2)": Fault(plant=_small_sensitivity),
    "a budget counted once for two releases": Fault(plant=_counted_once, runs=2),
}


def _trained_as(**changes: float) -> Callable[[], AbstractContextManager[Any]]:
    """Return what makes the trainer do another training than it is asked for."""

    def plant() -> AbstractContextManager[Any]:
        real = dp_sgd.train_privately

        def train(*given: Any, spec: Any, **more: Any) -> None:
            factors = {name: getattr(spec, name) * by for name, by in changes.items()}
            real(*given, spec=replace(spec, **factors), **more)

        return patch.object(training, "train_privately", train)

    return plant


TRAINING_FAULTS: dict[str, Fault] = {
    "noise 10% too small": Fault(plant=_trained_as(noise_multiplier=LESS)),
    "clip norm twice as wide": Fault(plant=_trained_as(clip_norm=2.0, noise_multiplier=0.5)),
    "records sampled twice as often": Fault(plant=_trained_as(sampling_rate=2.0)),
}
