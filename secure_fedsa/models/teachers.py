"""What a teacher brings to a run: records, records and a module to train, or a trained model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

if TYPE_CHECKING:
    from torch import nn

    from secure_fedsa.models.adapters import FeatureChoice, Head, TeacherAdapter


@dataclass(frozen=True, slots=True, repr=False)
class PrivateData:
    """A teacher's records and labels; read once, after the charge.

    In the route noisy-release they are summed. In private-training a linear classifier on the
    public encoding is trained on them by DP-SGD.

    Attributes:
        records: Shape (n, ...), as the public encoder takes them; n is private.
        labels: int64 (n,), numbers of the teacher's own classes.
        persons: Whose each record is: integers from 0 up or texts, shape (n,); a negative number or
            an empty text says that nobody knows, and such a record does not count. Needed if the
            agreed unit is a person, and read only then: of each person the first ``max_records``
            usable records count, and a training clips the mean of their gradients. A record with
            several labels stands once for each, under one id.
    """

    records: npt.NDArray[Any]
    labels: npt.NDArray[Any]
    persons: npt.NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class PrivateModel:
    """A torch module that is trained by DP-SGD in the run: for the route private-training.

    A copy of it is trained whose parameters start anew from the agreement's public seed, so nothing
    of an earlier training is left in it, and the module itself stays as it is. It may keep float32
    parameters only. Neither its code nor ``prepare`` nor ``features`` may contain anything that
    was computed from private records, not even their mean: epsilon would not cover that.

    Attributes:
        module: Any architecture that Opacus can train; returns logits or values (n, k).
        records: Shape (n, ...); n is private.
        targets: Classes int64 (n,), labels 0 and 1 (n, k), or values (n,) or (n, k).
        head: The form of its outputs, which decides the loss.
        features: As for :class:`~secure_fedsa.models.adapters.TeacherAdapter`.
        prepare: Turns raw records into what the module takes; likewise. It may not mix records.
        persons: As for :class:`PrivateData`: needed if the agreed unit is a person, of whom one
            record, the first usable one, is trained on.
    """

    module: nn.Module
    records: npt.NDArray[Any]
    targets: npt.NDArray[Any]
    head: Head = "classification"
    features: FeatureChoice = None
    prepare: Callable[[npt.NDArray[Any]], Any] | None = None
    persons: npt.NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, repr=False)
class TrainedModel:
    """A model that was trained before, of any kind, as its adapter.

    For the route encryption-only; for private-training only if the agreement states how it was
    trained (``parties.NAME.stated``).
    """

    adapter: TeacherAdapter


Brought: TypeAlias = PrivateData | PrivateModel | TrainedModel
