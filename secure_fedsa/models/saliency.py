"""Saliency: which public directions tell a task's classes apart.

A teacher's saliency is its between-class scatter per record on the leading principal
directions of the public encoder, divided by its size; the student's query is the same of
its few labels. Their inner product, the score, is at most 1, which means that the classes of
both differ along the same directions; 0 means that the teacher's do not differ there or do
not differ at all. Two choices keep useless teachers near 0, so that one public threshold
works for all tasks. The teacher takes its scatter's size over three times as many
directions as it sends: another domain spreads over them, and pays for it. And the divisor
has a public floor: the little that shuffled labels or noise leave is not blown up to unit
size. Both vectors are integers within public bounds when they meet under encryption.

FedSA (arXiv 2207.13309) compares Grad-CAM maps instead. Those are functions of a network
trained on private records, and did not tell good teachers from bad ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.models.scatter import triangle_size, upper_triangle

if TYPE_CHECKING:
    from secure_fedsa.models.encoder import PublicEncoder

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]

_SIZE_SPAN = 3  # the size is taken over so many times the directions that are sent
_SIZE_FLOOR = 0.2  # in units of the scale's variance; an eighth of a typical task's scatter


@dataclass(frozen=True, slots=True)
class SaliencyScale:
    """Public scale of saliency vectors and queries, a function of the encoder alone.

    Attributes:
        directions: Number m of leading principal directions; vectors have m (m + 1) / 2 values.
        variance: Unit of scatter per record: the probes' largest variance along a direction,
            squared clip norms.
        signal_bound: Bound of a teacher's value; 1 for parts of a unit matrix.
        query_bound: Bound of a query's value; 2, as it carries off-diagonal values twice.
    """

    directions: int
    variance: float
    signal_bound: float = 1.0
    query_bound: float = 2.0

    @classmethod
    def of(cls, encoder: PublicEncoder, directions: int = 16) -> SaliencyScale:
        """Read the scale off a public encoder; fewer directions if the encoder has fewer."""
        leading = float(encoder.probe_variances[0]) / encoder.clip_norm**2
        return cls(min(directions, encoder.dimension), leading)

    @property
    def values(self) -> int:
        """Length of a saliency vector or query."""
        return triangle_size(self.directions)

    @property
    def score_bound(self) -> float:
        """Public bound of a score's absolute value."""
        return self.values * self.signal_bound * self.query_bound


def teacher_saliency(scatter: FloatArray, total: float, scale: SaliencyScale) -> FloatArray:
    """Return a teacher's saliency vector from its noisy scatter alone.

    Args:
        scatter: float64 (d, d), from :func:`~secure_fedsa.models.scatter.between_scatter`.
        total: N from the same call, records.
        scale: Public scale.

    Returns:
        float64, shape (m (m + 1) / 2,), within ``scale.signal_bound``.
    """
    span = _SIZE_SPAN * scale.directions
    wide = scatter[:span, :span] / (total * scale.variance)
    block = wide[: scale.directions, : scale.directions]
    block = block / max(float(np.linalg.norm(wide)), _SIZE_FLOOR)
    return np.clip(upper_triangle(block), -scale.signal_bound, scale.signal_bound)


def student_query(encoded: FloatArray, labels: LabelArray, scale: SaliencyScale) -> FloatArray:
    """Return the student's query from its few labelled records.

    Few labels make class means that scatter by chance, by (C - 1) times the within-class
    covariance in expectation. This share is estimated and removed, as the noise's is at the
    teachers. An off-diagonal product occurs twice in the inner product of two symmetric
    matrices, but once in their triangles, so the query carries it twice.

    Args:
        encoded: float64 (n, d), in clip norms (see ``clip_to_norm``).
        labels: int64 (n,).
        scale: Public scale.

    Returns:
        float64, shape (m (m + 1) / 2,), within ``scale.query_bound``.

    Raises:
        DataError: Fewer than two classes, or not more records than classes.
    """
    points = encoded[:, : scale.directions]
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2 or len(points) <= len(classes):
        raise DataError(
            f"{len(points)} labelled records of {len(classes)} classes make no query.",
            do="Give at least two classes and two records of most.",
        )
    counts = np.bincount(index).astype(np.float64)
    means = np.stack([points[index == c].mean(axis=0) for c in range(len(classes))])
    centred = (means - points.mean(axis=0)) * np.sqrt(counts)[:, None]
    within = points - means[index]
    covariance = within.T @ within / (len(points) - len(classes))
    scatter = centred.T @ centred - (len(classes) - 1) * covariance
    block = (scatter + scatter.T) / (2 * len(points) * scale.variance)
    size = float(np.linalg.norm(block))
    if not size > 0:
        raise DataError("The labelled records' classes do not differ at all.")
    doubled = block * (2 - np.eye(len(block))) / size
    return np.clip(upper_triangle(doubled), -scale.query_bound, scale.query_bound)


def public_query(probes: FloatArray, scale: SaliencyScale) -> FloatArray:
    """Return a query that asks with public probes alone: for teachers that tell them apart.

    What the probes differ in is mostly what the student's classes differ in. It costs no privacy,
    and says nothing about which of the probes' classes are the student's.

    Args:
        probes: float64 (m, d), in clip norms (see ``clip_to_norm``).
        scale: Public scale.

    Returns:
        float64, shape (m (m + 1) / 2,), within ``scale.query_bound``.

    Raises:
        DataError: Probes that do not differ at all.
    """
    points = probes[:, : scale.directions]
    centred = points - points.mean(axis=0)
    block = centred.T @ centred
    block, size = (block + block.T) / 2, float(np.linalg.norm(block))
    if not size > 0:
        raise DataError("The probes do not differ at all.")
    doubled = block * (2 - np.eye(len(block))) / size
    return np.clip(upper_triangle(doubled), -scale.query_bound, scale.query_bound)


def quantise(vector: FloatArray, bound: float, bits: int) -> IntArray:
    """Clip to the public bound and truncate toward zero to signed integers.

    Args:
        vector: float64, any shape.
        bound: Public bound that maps to 2^(bits - 1) - 1.
        bits: Width of a signed value, 2 to 62.

    Returns:
        int64 of the same shape, within +-(2^(bits - 1) - 1).

    Raises:
        DataError: A bound or width that makes no sense, or values that are not finite.

    >>> quantise(np.array([0.5, -3.0]), 1.0, 8)
    array([  63, -127])
    """
    if not (np.isfinite(bound) and bound > 0 and 2 <= bits <= 62):
        raise DataError(f"Cannot quantise to {bits} bits within a bound of {bound!r}.")
    if not np.isfinite(vector).all():
        raise DataError("A vector with NaN or infinite values cannot be quantised.")
    steps = 2 ** (bits - 1) - 1
    scaled = np.trunc(np.clip(vector, -bound, bound) / bound * steps)
    # A float cannot hold every integer above 2^53: clip again as integers.
    whole: IntArray = np.clip(scaled.astype(np.int64), -steps, steps)
    return whole


def score_from_integers(
    score: int, scale: SaliencyScale, *, signal_bits: int, query_bits: int
) -> float:
    """Turn the integer inner product of two quantised vectors into a score."""
    signal_step = scale.signal_bound / float(2 ** (signal_bits - 1) - 1)
    return score * signal_step * scale.query_bound / float(2 ** (query_bits - 1) - 1)
