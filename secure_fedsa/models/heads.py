"""Classifiers on encoded records: a semi-supervised mixture and a logistic head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import logsumexp

from secure_fedsa.errors import DataError

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]

_LEAST_MASS = 1e-6  # probes: a class that has lost all of them keeps a mean that is a number


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Log-odds that are affine in the features.

    Attributes:
        weights: float64, shape (k, C).
        offsets: float64, shape (C,).
    """

    weights: FloatArray
    offsets: FloatArray

    def logits(self, features: FloatArray) -> FloatArray:
        """Return float64 (n, C) for features (n, k), not normalised."""
        return np.asarray(features @ self.weights + self.offsets, dtype=np.float64)

    def log_probabilities(self, features: FloatArray) -> FloatArray:
        """Return float64 (n, C) for features (n, k)."""
        return log_softmax(self.logits(features))


def log_softmax(logits: FloatArray) -> FloatArray:
    """Return the logarithm of the softmax of each row, float64 (n, C)."""
    return np.asarray(logits - logsumexp(logits, axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class MixtureSpec:
    """Settings of :func:`fit_mixture`.

    Attributes:
        rounds: Rounds of expectation and maximisation.
        shrinkage: Share of a spherical covariance mixed into the shared one.
        balance: Share of uniform class weights mixed into the estimated ones.
        label_weight: How many probes one labelled record counts for.
    """

    rounds: int = 20
    shrinkage: float = 0.5
    balance: float = 0.5
    label_weight: float = 10.0


def check_labels(features: FloatArray, labels: LabelArray, classes: int) -> None:
    """Refuse labels that do not fit the records or miss a class.

    Raises:
        DataError: As said; the text names the missing classes.
    """
    if labels.shape != (len(features),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{labels.shape} labels of type {labels.dtype} for {len(features)} records.",
            do="Give one integer label per labelled record.",
        )
    missing = sorted(set(range(classes)) - {int(label) for label in labels})
    if missing or int(labels.max(initial=0)) >= classes or int(labels.min(initial=0)) < 0:
        raise DataError(
            f"Labels must be 0..{classes - 1} and cover every class; missing: {missing}.",
            do="Label at least one record of each class of the student's task.",
        )


def fit_mixture(
    features: FloatArray,
    labels: LabelArray,
    probes: FloatArray,
    classes: int,
    spec: MixtureSpec,
) -> LinearHead:
    """Fit Gaussians of one shared covariance to labelled and unlabelled records together.

    Expectation-maximisation as in Nigam et al., "Text Classification from Labeled and
    Unlabeled Documents using EM" (2000): labelled records keep their class, probes share
    themselves out. With one covariance the posterior log-odds are affine, so the fitted
    classifier is linear discriminant analysis whose moments also saw the probes.

    Args:
        features: Labelled, float64 (n, k).
        labels: int64 (n,), all of 0..classes-1.
        probes: Unlabelled, float64 (m, k).
        classes: C.
        spec: Settings.

    Raises:
        DataError: Labels that do not fit.
    """
    check_labels(features, labels, classes)
    points = np.concatenate([features, probes])
    known = np.eye(classes)[labels] * spec.label_weight
    means = (known.T @ features) / known.sum(axis=0)[:, None]
    spread = features - means[labels]
    covariance = spread.T @ spread / max(1, len(features) - classes)
    covariance = _shrunk(covariance, 0.5)
    weights = np.full(classes, 1.0 / classes)
    head = _discriminant(means, covariance, weights)
    for _ in range(spec.rounds):
        shares = np.concatenate([known, np.exp(head.log_probabilities(probes))])
        mass = shares.sum(axis=0)
        means = (shares.T @ points) / mass[:, None]
        total = (points * shares.sum(axis=1)[:, None]).T @ points
        covariance = _shrunk((total - (means.T * mass) @ means) / mass.sum(), spec.shrinkage)
        weights = (1 - spec.balance) * mass / mass.sum() + spec.balance / classes
        head = _discriminant(means, covariance, weights)
    return head


def fit_named_mixture(shares: FloatArray, probes: FloatArray, spec: MixtureSpec) -> LinearHead:
    """Fit Gaussians of one shared covariance to unlabelled records, from a guess of their classes.

    As :func:`fit_mixture`, where the only thing that names a Gaussian is where it began.

    Args:
        shares: Each class's share in each probe, float64 (m, C), rows summing to 1.
        probes: float64 (m, k).
        spec: Settings; those of labels do not matter.
    """
    classes = shares.shape[1]
    head = LinearHead(np.zeros((probes.shape[1], classes)), np.zeros(classes))
    for _ in range(spec.rounds):
        mass = np.maximum(shares.sum(axis=0), _LEAST_MASS)
        means = (shares.T @ probes) / mass[:, None]
        covariance = _shrunk(
            (probes.T @ probes - (means.T * mass) @ means) / mass.sum(), spec.shrinkage
        )
        weights = (1 - spec.balance) * mass / mass.sum() + spec.balance / classes
        head = _discriminant(means, covariance, weights)
        shares = np.exp(head.log_probabilities(probes))
    return head


def _shrunk(covariance: FloatArray, share: float) -> FloatArray:
    width = len(covariance)
    sphere = np.trace(covariance) / width * np.eye(width)
    mixed: FloatArray = (1 - share) * (covariance + covariance.T) / 2 + share * sphere
    return mixed + 1e-12 * np.eye(width)


def _discriminant(means: FloatArray, covariance: FloatArray, weights: FloatArray) -> LinearHead:
    solved = np.asarray(np.linalg.solve(covariance, means.T), dtype=np.float64)
    offsets = np.log(weights) - 0.5 * (means.T * solved).sum(axis=0)
    return LinearHead(solved, offsets)


def fit_logistic(
    features: FloatArray, targets: FloatArray, penalty: float, *, rounds: int = 200
) -> LinearHead:
    """Fit multinomial logistic regression with an L2 penalty.

    Args:
        features: float64 (n, k).
        targets: Class probabilities, float64 (n, C).
        penalty: Weight of half the squared weights, against the mean loss.
        rounds: Most iterations of L-BFGS.
    """
    count, width = features.shape
    classes = targets.shape[1]

    def loss(flat: FloatArray) -> tuple[float, FloatArray]:
        weights = flat[: width * classes].reshape(width, classes)
        logits = features @ weights + flat[width * classes :]
        log_p = logits - logsumexp(logits, axis=1, keepdims=True)
        slope = (np.exp(log_p) * targets.sum(axis=1, keepdims=True) - targets) / count
        value = -float((targets * log_p).sum()) / count + 0.5 * penalty * float((weights**2).sum())
        gradient = np.concatenate(
            [(features.T @ slope + penalty * weights).ravel(), slope.sum(axis=0)]
        )
        return value, gradient

    start = np.zeros(width * classes + classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rounds})
    flat = np.asarray(found.x, dtype=np.float64)
    return LinearHead(flat[: width * classes].reshape(width, classes), flat[width * classes :])
