"""The student's network and the baselines it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.models.heads import check_labels
from secure_fedsa.models.training import (
    Architecture,
    Student,
    TrainingSpec,
    fit_last_layer,
    train,
)

if TYPE_CHECKING:
    from secure_fedsa.models.amalgamation import AmalgamatedModel
    from secure_fedsa.models.encoder import PublicEncoder

LabelArray = npt.NDArray[np.int64]


def student_architecture(encoder: PublicEncoder, classes: int) -> Architecture:
    """Return the network that fits an encoder's records, and its filters if it has any."""
    filters = encoder.filters
    if filters is None:
        return Architecture(encoder.schema, classes)
    specs = [bank.spec for bank in filters.banks]
    return Architecture(
        encoder.schema,
        classes,
        sizes=tuple(spec.size for spec in specs),
        pools=tuple(spec.pool for spec in specs),
        filters=min(24, *(spec.filters for spec in specs)),
    )


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
    the student's own records (Hinton, Vinyals and Dean 2015). For images it starts from a
    few of the public encoder's filters and fits its last layer; ``seed`` and ``spec`` matter
    for tables only.

    Args:
        model: The classifier.
        probes: Raw probes, shape (m, ...).
        encoded: The same probes encoded, in clip norms, shape (m, d).
        labelled: The student's labelled records, raw; none where they may not be looked at.
        labels: int64 (n,).
        seed: Public seed.
        spec: Training settings.
    """
    soft = np.exp(model.log_probabilities_of(encoded))
    classes = soft.shape[1]
    if len(labelled):
        check_labels(labelled, labels, classes)
    architecture = student_architecture(model.encoder, classes)
    records = np.concatenate([probes, labelled])
    targets = np.concatenate([soft, np.eye(classes)[labels]])
    filters = model.encoder.filters
    if filters is not None:
        return fit_last_layer(records, targets, architecture, filters)
    return train(records, targets, architecture, seed=seed, purpose="distillation", spec=spec)


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
