"""From the few directions of the released sum back to the whole public encoding.

The released scatter shows the leading directions of the task, but its noise turns away some
of what they hold. The classifier on those directions already labels most probes well; a
ridge regression of its posteriors (and of the true labels) on the *whole* encoding finds the
rest by itself, since the probes' own scatter has no noise. This is distillation (Hinton,
Vinyals and Dean 2015) into a linear model, solved exactly, and costs no privacy: the probes
are public and the posteriors are post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secure_fedsa.models.heads import LinearHead

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RefinementSpec:
    """Public settings of the refinement.

    Attributes:
        ridge: Added to the scatter, in units of its mean variance.
        label_weight: How many probes one labelled record counts for.
        share: Weight of the first classifier's posterior beside the regression's.
        sharpness: Turns the sum of both into log-odds.
    """

    ridge: float = 0.03
    label_weight: float = 30.0
    share: float = 0.2
    sharpness: float = 10.0


def fit_refinement(
    labelled: FloatArray,
    labels: LabelArray,
    probes: FloatArray,
    posteriors: FloatArray,
    spec: RefinementSpec,
) -> LinearHead:
    """Regress posteriors and labels on encodings.

    Args:
        labelled: float64 (n, d), centred encodings.
        labels: int64 (n,).
        probes: float64 (m, d), centred encodings.
        posteriors: float64 (m, C), the first classifier's, rows summing to 1.
        spec: Settings.

    Returns:
        An affine map from centred encodings to about a probability for each class.
    """
    points = np.concatenate([probes, labelled])
    targets = np.concatenate([posteriors, np.eye(posteriors.shape[1])[labels]])
    weights = np.concatenate([np.ones(len(probes)), np.full(len(labelled), spec.label_weight)])
    weights /= weights.sum()
    point_mean, target_mean = weights @ points, weights @ targets
    points, targets = points - point_mean, targets - target_mean
    scatter = (points * weights[:, None]).T @ points
    width = len(scatter)
    floor = spec.ridge * float(np.trace(scatter)) / width * np.eye(width)
    moments = (points * weights[:, None]).T @ targets
    solved = np.asarray(np.linalg.solve(scatter + floor, moments), dtype=np.float64)
    return LinearHead(solved, np.asarray(target_mean - point_mean @ solved, dtype=np.float64))
