"""Between-class scatter from a noisy summary, and its packing into a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

if TYPE_CHECKING:
    from secure_fedsa.signals import NoisySummary

FloatArray = npt.NDArray[np.float64]


def between_scatter(noisy: NoisySummary, *, count_floor: float) -> tuple[FloatArray, float]:
    """Return a teacher's between-class scatter without the noise's expected share.

    In units of the clip norm and of records, let s_c be the noisy sum of class c, n_c the
    noisy count, floored, N = sum n_c, m_c = s_c / n_c and m = sum s_c / N. Then

        sum_c n_c (m_c - m)(m_c - m)^T = sum_c s_c s_c^T / n_c - (sum_c s_c)(sum_c s_c)^T / N.

    Write s_c = S_c + e_c with independent noise of covariance sigma^2 I. Given the n_c, which
    carry noise of their own independent of the e_c, the cross terms vanish in expectation and
    the squares leave sigma^2 (sum_c 1/n_c - C/N) I. This is subtracted, so for *fixed* noisy
    counts the result is an unbiased estimate of the same expression in the exact sums S_c.
    It is not unbiased for the scatter with exact counts: their noise is a relative error of
    sigma / (n_c count weight), and the floor adds a bias for classes smaller than the floor
    (it keeps an empty class from dividing its noise by next to nothing). The estimate of a
    noisy scatter may have negative eigenvalues; clipping them here would bring a bias back.

    Post-processing of the noisy summary: it costs no privacy.

    Args:
        noisy: Noisy sums in grid units, noisy counts in count units.
        count_floor: Public lower bound for n_c, in records, at least 1.

    Returns:
        Scatter, float64 (d, d), in squared clip norms times records, exactly symmetric; and N,
        in records.

    Raises:
        DataError: Shapes that do not fit, fewer than two classes, a floor below 1.
    """
    classes = noisy.sums.shape[0]
    if noisy.sums.ndim != 2 or noisy.counts.shape != (classes,) or classes < 2:
        raise DataError(
            f"A summary with sums {noisy.sums.shape} and counts {noisy.counts.shape}.",
            do="Give sums (classes, d) and counts (classes,) for at least two classes.",
        )
    if not (np.isfinite(count_floor) and count_floor >= 1):
        raise DataError(f"A count floor of {count_floor!r} records.", do="Use at least 1.")
    sums = noisy.sums / noisy.grid
    counts = np.maximum(noisy.counts / noisy.count_unit, count_floor)
    sigma = noisy.noise_scale / noisy.grid
    total = float(counts.sum())
    centred = sums - counts[:, None] * (sums.sum(axis=0) / total)
    weighted = centred / np.sqrt(counts)[:, None]
    scatter = weighted.T @ weighted
    share = sigma**2 * (float((1.0 / counts).sum()) - classes / total)
    scatter = (scatter + scatter.T) / 2 - share * np.eye(len(scatter))
    return scatter, total


def triangle_size(dimension: int) -> int:
    """Return the number of values in the upper triangle, diagonal included.

    >>> triangle_size(256)
    32896
    """
    return dimension * (dimension + 1) // 2


def upper_triangle(matrix: FloatArray) -> FloatArray:
    """Pack a symmetric matrix (d, d) row by row into a vector (d (d + 1) / 2,).

    Raises:
        DataError: Not square, or not exactly symmetric.

    >>> upper_triangle(np.array([[1.0, 2.0], [2.0, 3.0]]))
    array([1., 2., 3.])
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"A matrix of shape {matrix.shape} is not square.")
    if not np.array_equal(matrix, matrix.T):
        raise DataError("The matrix is not symmetric: half of it would be lost.")
    packed: FloatArray = matrix[np.triu_indices(len(matrix))]
    return packed


def from_upper_triangle(values: FloatArray, dimension: int) -> FloatArray:
    """Undo :func:`upper_triangle`.

    Raises:
        DataError: A length that is not d (d + 1) / 2.

    >>> from_upper_triangle(np.array([1.0, 2.0, 3.0]), 2)
    array([[1., 2.],
           [2., 3.]])
    """
    if values.shape != (triangle_size(dimension),):
        raise DataError(
            f"{values.shape} values do not make an upper triangle of dimension {dimension}.",
            do=f"Give a vector of {triangle_size(dimension)} values.",
        )
    matrix = np.zeros((dimension, dimension))
    matrix[np.triu_indices(dimension)] = values
    return matrix + np.triu(matrix, 1).T
