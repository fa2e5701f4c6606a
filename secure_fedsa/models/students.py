"""The student's network and the baselines it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.models.heads import check_labels
from secure_fedsa.models.training import Architecture, Student, TrainingSpec, train

if TYPE_CHECKING:
    from secure_fedsa.models.amalgamation import AmalgamatedModel

LabelArray = npt.NDArray[np.int64]


def distil(
    model: AmalgamatedModel,
    probes: npt.NDArray[Any],
    encoded: npt.NDArray[np.float64],
    labelled: npt.NDArray[Any],
    labels: LabelArray,
    *,
    seed: int,
    spec: TrainingSpec | None = None,
) -> Student:
    """Distil the amalgamated classifier into a network that works alone on raw records.

    The network learns the classifier's probabilities on the probes and the true labels of
    the student's own records (Hinton, Vinyals and Dean 2015).

    Args:
        model: The classifier.
        probes: Raw probes, shape (m, ...).
        encoded: The same probes encoded, in clip norms, shape (m, d).
        labelled: The student's labelled records, raw.
        labels: int64 (n,).
        seed: Public seed.
        spec: Training settings.
    """
    soft = np.exp(model.log_probabilities_of(encoded))
    classes = soft.shape[1]
    check_labels(labelled, labels, classes)
    architecture = Architecture(model.encoder.schema, classes)
    return train(
        np.concatenate([probes, labelled]),
        np.concatenate([soft, np.eye(classes)[labels]]),
        architecture,
        seed=seed,
        purpose="distillation",
        spec=spec,
    )


def from_scratch(
    architecture: Architecture,
    labelled: npt.NDArray[Any],
    labels: LabelArray,
    *,
    seed: int,
    spec: TrainingSpec | None = None,
) -> Student:
    """Train the same network on the student's labels only: the baseline without teachers."""
    check_labels(labelled, labels, architecture.classes)
    targets = np.eye(architecture.classes)[labels]
    return train(labelled, targets, architecture, seed=seed, purpose="scratch", spec=spec)


def self_trained(
    scratch: Student,
    labelled: npt.NDArray[Any],
    labels: LabelArray,
    probes: npt.NDArray[Any],
    *,
    seed: int,
    spec: TrainingSpec | None = None,
) -> Student:
    """Train the same network on the scratch network's own guesses for the probes.

    Soft guesses rather than hard ones, and the true labels beside them: what a student could
    do with its probes without anybody's help.
    """
    soft = np.exp(scratch.log_probabilities(probes))
    targets = np.concatenate([soft, np.eye(scratch.architecture.classes)[labels]])
    return train(
        np.concatenate([probes, labelled]),
        targets,
        scratch.architecture,
        seed=seed,
        purpose="self-training",
        spec=spec,
    )
