"""The mechanism: sensitivity of a summary, calibration, and discrete Gaussian noise.

A summary is the vector of C blocks (s_c, n_c), s_c the sum of the class's grid rows (d
integers) and n_c its number of records times the count unit W.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import numpy as np

from secure_fedsa.entropy import NoiseSource
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import rho_for_epsilon
from secure_fedsa.privacy.clipping import MAX_CLASSES, MAX_GRID
from secure_fedsa.privacy.events import MAX_COORDINATES, DiscreteGaussianRelease
from secure_fedsa.privacy.parameters import positive, positive_integer
from secure_fedsa.signals import Noise, NoisySummary, PrivateSummary, SummaryShape, int_array

Neighbours = Literal["add-remove", "replace-one"]

MAX_PERSON_RECORDS = 2**20
MAX_NOISE_SCALE = 2.0**40
_SAFE = 2**62


def count_unit(grid: int, weight: float) -> int:
    """Return W, the grid units that one record adds to its class's count.

    W is ``weight * grid`` rounded to a whole number of at least 1. The sensitivity is
    computed from W, not from the weight, so that rounding costs no privacy.

    Raises:
        PrivacyParameterError: If a value is out of range or W would pass 2^30.

    >>> count_unit(1024, 0.25)
    256
    """
    grid = positive_integer(grid, "grid", MAX_GRID)
    unit = positive(weight, "count weight") * grid
    if unit > MAX_GRID:
        raise PrivacyParameterError(
            f"A count weight of {weight:g} is too large for the grid {grid}.",
            do="Use a smaller weight; 0.25 is usual.",
        )
    return max(1, round(unit))


def l2_sensitivity(
    grid: int, count_unit: int, neighbours: Neighbours, max_records: int = 1
) -> float:
    r"""Return the L2 sensitivity of a summary, in grid units, rounded up.

    Derivation. Write S for the grid, W for the count unit, m for ``max_records``.

    1. One record. ``summarise`` adds, for a usable record of class c, the vector (x, W) to
       block c and nothing elsewhere, with \|x\|_2 <= S checked in integers; for an unusable
       one it adds 0. Call this contribution v. Its norm is at most a = sqrt(S^2 + W^2).
       (With w = W / S this is S sqrt(1 + w^2).) v depends on that record only.
    2. Add or remove one record. The summaries differ by v: a. It is reached at \|x\| = S.
    3. Replace one record. They differ by v - v'.
       - Same class: block c changes by (x - x', W - W) = (x - x', 0), norm at most 2S,
         reached at x' = -x, \|x\| = S. The counts cancel.
       - Two classes: two blocks change, by v and -v', so the squared norm is
         \|v\|^2 + \|v'\|^2 <= 2 (S^2 + W^2): sqrt(2) a, reached.
       - One of them unusable: at most a, below the line before.
       The maximum is max(2S, sqrt(2) a); the second is larger when W > S.
    4. A person with up to m records, or a record with up to m labels that is summed once a
       label. Walk from one data set to the other a contribution at a time; by the triangle
       inequality the distance is at most m times the distance of one step.
       - add-remove: m a, reached when all m contributions are equal.
       - replace-one: m max(2S, sqrt(2) a), reached likewise. A person whose m records
         become m' <= m is m' replacements and m - m' removals, and a removal (a) is a
         shorter step than a replacement.
       A changed label is a replacement. Under add-remove it is one removal and one
       addition: choose replace-one to hide labels alone.

    All squared bounds are integers here, so the only rounding is one square root, upward.

    Args:
        grid: S, in [1, 2^30].
        count_unit: W, in [1, 2^30].
        neighbours: "add-remove" or "replace-one".
        max_records: m, the records that one privacy unit can own, at least 1.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> l2_sensitivity(3, 4, "add-remove"), l2_sensitivity(3, 1, "replace-one", 2)
    (5.0, 12.0)
    """
    grid = positive_integer(grid, "grid", MAX_GRID)
    unit = positive_integer(count_unit, "count_unit", MAX_GRID)
    records = positive_integer(max_records, "max_records", MAX_PERSON_RECORDS)
    if neighbours == "add-remove":
        squared = grid**2 + unit**2
    elif neighbours == "replace-one":
        squared = max(4 * grid**2, 2 * (grid**2 + unit**2))
    else:
        raise PrivacyParameterError(
            f"Unknown neighbour relation {neighbours!r}.", do="Use add-remove or replace-one."
        )
    squared *= records**2
    root = math.sqrt(squared)
    while Fraction(root) ** 2 < squared:
        root = math.nextafter(root, math.inf)
    return root


def differing_coordinates(shape: SummaryShape, neighbours: Neighbours, max_records: int = 1) -> int:
    """Return in how many of its C (d + 1) coordinates a neighbour's summary can differ.

    One record touches one block of d + 1; replacing it touches at most two.
    """
    blocks = (2 if neighbours == "replace-one" else 1) * max_records
    return min(blocks, shape.classes) * (shape.dimension + 1)


def calibrate(epsilon: float, delta: float, *, releases: int = 1) -> float:
    """Return a noise multiplier (noise scale over sensitivity) that keeps the budget.

    ``releases`` summaries of this multiplier compose to at most ``epsilon`` at ``delta`` by
    :func:`secure_fedsa.privacy.accountant.epsilon_of`. The multiplier is rounded up by one
    part in 10^9, more than all the roundings between here and the ledger.

    Raises:
        PrivacyParameterError: If a value is NaN, infinite, zero, negative or out of range.

    >>> round(calibrate(1.0, 1e-5), 2)
    4.05
    """
    releases = positive_integer(releases, "releases", 2**20)
    rho = rho_for_epsilon(epsilon, delta) / releases
    return math.sqrt(1 / (2 * rho)) * (1 + 1e-9)


def plan_release(
    shape: SummaryShape,
    *,
    grid: int,
    count_unit: int,
    neighbours: Neighbours,
    noise_multiplier: float,
    max_records: int = 1,
) -> DiscreteGaussianRelease:
    """Return the event of one noisy summary: its sensitivity, noise scale and coordinates.

    Raises:
        PrivacyParameterError: If a value is out of range.
    """
    sensitivity = l2_sensitivity(grid, count_unit, neighbours, max_records)
    scale = positive(noise_multiplier, "noise_multiplier") * sensitivity
    return DiscreteGaussianRelease(
        sensitivity=sensitivity,
        noise_scale=_check_scale(math.nextafter(scale, math.inf)),
        coordinates=differing_coordinates(shape, neighbours, max_records),
    )


def draw_noise(source: NoiseSource, shape: SummaryShape, scale: float) -> Noise:
    """Draw the noise of one summary, in one batch and before any record is read.

    Args:
        source: Where the integers come from; a seeded one marks the noise.
        shape: Public shape of the summary.
        scale: Parameter of the discrete Gaussian in grid units, at most 2^40.

    Returns:
        int64 values, shape (C (d + 1),): C rows of d for the sums, then C for the counts.
        Use them once: two summaries with the same noise differ by their records.

    Raises:
        PrivacyParameterError: If the scale is refused, or the source broke its contract.
    """
    _check_shape(shape)
    scale = _check_scale(scale)
    values = source.discrete_gaussian(scale, shape.noise_values)
    if values.shape != (shape.noise_values,) or values.dtype != np.int64:
        raise PrivacyParameterError("The noise source gave another number or type of values.")
    _check_range(values, "The noise")
    return Noise(values=int_array(values), seeded=source.seeded)


def add_noise(
    summary: PrivateSummary, noise: Noise, *, noise_scale: float, grid: int, count_unit: int
) -> NoisySummary:
    """Add the noise; everything after this is post-processing.

    No addition can wrap: ``summarise`` keeps every sum below 2^61 (fewer than 2^31 records
    of at most 2^30 each) and both sides are checked to be below 2^62 in size.

    Args:
        summary: Exact sums, int64, (C, d) and (C,).
        noise: From :func:`draw_noise` with the same shape and scale.
        noise_scale: The scale that the noise was drawn with, in grid units.
        grid: Grid units that make up one clip norm (S).
        count_unit: Grid units that one record adds to a count (W).

    Raises:
        PrivacyParameterError: If shapes or ranges do not fit.
    """
    sums, counts = summary.sums, summary.counts
    if sums.ndim != 2 or counts.shape != sums.shape[:1] or sums.shape[0] == 0:
        raise PrivacyParameterError("The summary's sums and counts have no common shape.")
    if noise.values.shape != (sums.size + counts.size,):
        raise PrivacyParameterError("The noise was drawn for a summary of another shape.")
    for values, name in ((sums, "A sum"), (counts, "A count"), (noise.values, "The noise")):
        if values.dtype != np.int64:
            raise PrivacyParameterError(f"{name} is not int64.")
        _check_range(values, name)
    return NoisySummary(
        sums=int_array(sums + noise.values[: sums.size].reshape(sums.shape)),
        counts=int_array(counts + noise.values[sums.size :]),
        noise_scale=_check_scale(noise_scale),
        grid=positive_integer(grid, "grid", MAX_GRID),
        count_unit=positive_integer(count_unit, "count_unit", MAX_GRID),
    )


def _check_scale(scale: float) -> float:
    scale = positive(scale, "noise_scale")
    if scale > MAX_NOISE_SCALE:
        raise PrivacyParameterError(
            f"A noise scale of {scale:g} grid units could leave int64.",
            do="Use a coarser grid.",
        )
    return scale


def _check_shape(shape: SummaryShape) -> None:
    positive_integer(shape.classes, "classes", MAX_CLASSES)
    positive_integer(shape.dimension, "dimension", MAX_COORDINATES)
    positive_integer(shape.noise_values, "number of noise values", MAX_COORDINATES)


def _check_range(values: np.ndarray[tuple[int, ...], np.dtype[np.int64]], name: str) -> None:
    if values.size and (int(values.max()) >= _SAFE or int(values.min()) <= -_SAFE):
        raise PrivacyParameterError(f"{name} is beyond 2^62.", do="Use a coarser grid.")
