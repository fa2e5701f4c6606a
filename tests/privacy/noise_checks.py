"""Tests of samples against the discrete Gaussian, each as a probability of a worse sample.

A check is a number that is below ``LEVEL`` by chance with about that probability if the noise is
what it says. There are fewer than a hundred of them in all test files together, so a whole run of
the tests raises a false alarm in less than one of a million runs.

What 100,000 values show with probability 0.99 (the level is 5.7 standard errors, and 2.3 more are
needed; of fewer values it goes with the root): a scale that is wrong by 1.8%, a mean off by 0.026
scales, a correlation of 0.026 with another value, one sign in 78 flipped.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import special, stats

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVEL = 1e-8
_LAGS = 10
_CELLS = 60
_FINE = 2000.0  # a larger scale has the continuous distribution's masses, to 1e-8


def masses(edges: IntArray, scale: float) -> FloatArray:
    """Return the probabilities of [edge, next edge), and of all below and all above.

    Mass at x is in proportion to exp(-x^2 / 2 scale^2), on the integers.
    """
    if scale > _FINE:
        below = special.ndtr((edges - 0.5) / scale)
    else:
        reach = math.ceil(12 * scale) + 40
        x = np.arange(-reach, reach + 1)
        weights = np.exp(-(x**2) / (2 * scale**2))
        total = np.concatenate([[0.0], np.cumsum(weights / weights.sum())])
        below = total[np.clip(edges + reach, 0, 2 * reach + 1)]
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def moment(scale: float, power: int) -> float:
    """Return an even moment of the discrete Gaussian."""
    if scale > _FINE:
        return scale**power * (3.0 if power == 4 else 1.0)
    reach = math.ceil(14 * scale) + 40
    x = np.arange(-reach, reach + 1).astype(float)
    weights = np.exp(-(x**2) / (2 * scale**2))
    return float((weights * x**power).sum() / weights.sum())


def cells(size: int, scale: float) -> IntArray:
    """Return edges of cells of about the same expected numbers, a hundred at least."""
    quantiles = np.arange(1, _CELLS) / _CELLS
    edges = np.unique(np.round(scale * special.ndtri(quantiles)).astype(np.int64))
    while size * masses(edges, scale).min() < 100:
        edges = np.delete(edges, int(np.argmin(masses(edges, scale)[:-1])))
    return edges


def chi_square(observed: IntArray, expected: FloatArray) -> float:
    statistic = float(((observed - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, len(expected) - 1))


def normal(deviations: float) -> float:
    return float(2 * special.ndtr(-abs(deviations)))


def share(count: int, size: int, wanted: float) -> float:
    """Return the exact probability of a share as unlikely as this one."""
    return float(stats.binomtest(count, size, wanted).pvalue)


def checks(values: IntArray, scale: float) -> dict[str, float]:
    """Return all checks of one long sample of one scale."""
    assert values.dtype == np.int64
    size, x = len(values), values.astype(np.float64)
    edges = cells(size, scale)
    counts = np.bincount(np.searchsorted(edges, values, "right"), minlength=len(edges) + 1)
    second = moment(scale, 2)
    found = {
        "chi-square": chi_square(counts, size * masses(edges, scale)),
        "mean": normal(float(x.mean()) / math.sqrt(second / size)),
        "variance": variance(values, scale),
        "signs": share(int((values > 0).sum()), int((values != 0).sum()), 0.5),
    }
    for far in (3, 4):
        limit = math.ceil(far * scale)
        beyond = 2 * float(masses(np.array([limit], dtype=np.int64), scale)[-1])
        found[f"beyond {far}"] = share(int((np.abs(values) >= limit).sum()), size, beyond)
    if scale > 2:  # then the residues are even, to 1e-9
        residues = np.bincount(values % 4, minlength=4)
        found["low bits"] = chi_square(residues, np.full(4, size / 4))
    worst = min(correlated(x[lag:], x[:-lag]) for lag in range(1, _LAGS + 1))
    found["autocorrelation"] = min(1.0, _LAGS * worst)
    return found


def variance(values: IntArray, scale: float) -> float:
    """Return the probability of a mean square as far from the true one."""
    second, fourth = moment(scale, 2), moment(scale, 4)
    found = float((values.astype(np.float64) ** 2).mean())
    return normal((found - second) / math.sqrt((fourth - second**2) / len(values)))


def correlated(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> float:
    """Return the probability of a correlation as far from none as that of two samples."""
    return normal(float(np.corrcoef(one, other)[0, 1]) * math.sqrt(len(one)))
