"""The bounds of a summary's release, against distributions that are summed out.

Small enough cases have a privacy loss that can be computed from the definition alone: all data
sets, all outcomes. The headline may never be below it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special

from secure_fedsa.privacy.accountant import epsilon_of, rho_of
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.privacy.cross_check import transfer_terms
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.mechanisms import Neighbours, l2_sensitivity, plan_release
from secure_fedsa.signals import SummaryShape
from tests.privacy.accountant_cases import exact_delta as gaussian_delta

FloatArray = npt.NDArray[np.float64]
DELTAS = (0.1, 1e-2, 1e-4, 1e-7, 1e-11)


def log_pmf(x: npt.NDArray[np.int64], mean: int, scale: float) -> FloatArray:
    """Return the logarithm of the discrete Gaussian's probabilities (CKS20, definition 1)."""
    reach = math.ceil(60 * max(scale, 1.0))
    whole = special.logsumexp(-(np.arange(-reach, reach + 1) ** 2) / (2 * scale**2))
    return np.asarray(-((x - mean) ** 2) / (2 * scale**2) - whole)


def losses(shift: Sequence[int], scale: float) -> tuple[FloatArray, FloatArray]:
    """Return log-probabilities and privacy losses of all outcomes of some weight.

    Outcomes are vectors of integers; the neighbours' means differ by ``shift``.
    """
    weights, loss = np.zeros(1), np.zeros(1)
    for step in shift:
        reach = math.ceil(9.5 * scale) + 1
        x = np.arange(-reach, abs(step) + reach + 1)
        here, there = log_pmf(x, 0, scale), log_pmf(x, step, scale)
        weights = np.add.outer(weights, here).ravel()
        loss = np.add.outer(loss, here - there).ravel()
    return weights, loss


def discrete_delta(shift: Sequence[int], scale: float, epsilon: float) -> float:
    """Return the exact delta of a vector of discrete Gaussians at ``epsilon``, from below."""
    weights, loss = losses(shift, scale)
    gained = loss > epsilon
    return math.fsum(np.exp(weights[gained]) * -np.expm1(epsilon - loss[gained]))


@pytest.mark.parametrize("scale", [0.25, 0.4, 0.7, 1.0, 2.5, 6.0])
@pytest.mark.parametrize("shift", [(1,), (2,), (5,), (1, 1), (2, 1), (3, 4), (1, 1, 1), (2, 0, 1)])
def test_the_headline_is_above_the_exact_loss_of_a_vector(
    shift: tuple[int, ...], scale: float
) -> None:
    """If this fails, epsilon is under-reported: the one thing that must never happen.

    Small scales too, where a discrete Gaussian is nothing like a continuous one.
    """
    if len(shift) == 3 and scale > 2:
        scale = 1.7
    event = DiscreteGaussianRelease(math.hypot(*shift), scale, len(shift))
    weights, loss = losses(shift, scale)
    for order in (1.0001, 1.5, 2.0, 5.0, 20.0):
        divergence = special.logsumexp(weights + (order - 1) * loss) / (order - 1)
        assert divergence <= order * rho_of([event]) * (1 + 1e-9) + 1e-9
    for delta in DELTAS:
        assert discrete_delta(shift, scale, epsilon_of([event], delta)) <= delta


def test_the_exact_loss_is_computed_rightly() -> None:
    """If this fails, the comparison above says nothing: of a large scale it is the Gaussian's."""
    for epsilon in (0.2, 0.5, 1.0):
        found = discrete_delta((30,), 60.0, epsilon)
        assert found == pytest.approx(gaussian_delta(0.5, epsilon), rel=2e-3)


def test_a_headline_ten_per_cent_too_small_would_be_found() -> None:
    """If this fails, the bound is so loose that the test above would pass a wrong one."""
    event = DiscreteGaussianRelease(1.0, 1.0, 1)
    epsilon = epsilon_of([event], 1e-7)
    assert discrete_delta((1,), 1.0, 0.9 * epsilon) > 1e-7


# --- from data sets to the bound -----------------------------------------------------

GRID, UNIT, CLASSES = 2, 1, 2
VALUES = (math.nan, math.inf, -5.0, -1.0, -0.5, 0.0, 0.6, 1.0, 1e300)
LABELS = (0, 1, 2, -1)


def summary(records: Sequence[tuple[tuple[float, ...], int]], dimension: int) -> tuple[int, ...]:
    features = np.array([row for row, _ in records], dtype=np.float64).reshape(-1, dimension)
    labels = np.array([label for _, label in records], dtype=np.int64)
    rows, valid = to_grid(features, 1.0, GRID)
    found, _ = summarise(rows, labels, valid, CLASSES, UNIT, grid=GRID)
    return (*found.sums.ravel().tolist(), *found.counts.tolist())


def differences(neighbours: Neighbours, dimension: int) -> set[tuple[int, ...]]:
    """Return all differences of summaries of neighbouring data sets of up to two records."""
    values = VALUES if dimension == 1 else (math.nan, -3.0, 0.0, 0.5, 1.0)
    kinds = list(itertools.product(itertools.product(values, repeat=dimension), LABELS))
    found = set()
    for kept in [None, *kinds[:: max(1, len(kinds) // 7)]]:
        base = [] if kept is None else [kept]
        sums = {kind: np.array(summary([*base, kind], dimension)) for kind in kinds}
        without = np.array(summary(base, dimension))
        others = [without] if neighbours == "add-remove" else list(sums.values())
        for one, other in itertools.product(sums.values(), others):
            found.add(tuple(sorted(np.abs(one - other).tolist())))
    return found


@pytest.mark.parametrize("neighbours", ["add-remove", "replace-one"])
@pytest.mark.parametrize("dimension", [1, 2])
def test_no_neighbours_are_farther_apart_than_the_sensitivity_and_some_are_as_far(
    neighbours: Neighbours, dimension: int
) -> None:
    """If this fails, noise is made for a smaller change than one record can cause.

    Through clipping, truncation and the checks, with records that are not numbers, too long or
    of no class, in data sets of one and two records.
    """
    longest = max(math.hypot(*change) for change in differences(neighbours, dimension))
    assert longest == pytest.approx(l2_sensitivity(GRID, UNIT, neighbours), rel=1e-15)


@pytest.mark.parametrize("neighbours", ["add-remove", "replace-one"])
@pytest.mark.parametrize("multiplier", [0.3, 0.5])
def test_the_planned_event_bounds_the_exact_loss_of_every_two_neighbours(
    neighbours: Neighbours, multiplier: float
) -> None:
    """If this fails, what the ledger is charged is no bound for some pair of data sets."""
    event = plan_release(
        SummaryShape(CLASSES, 1),
        grid=GRID,
        count_unit=UNIT,
        neighbours=neighbours,
        noise_multiplier=multiplier,
    )
    changes = {tuple(c for c in change if c) for change in differences(neighbours, 1)}
    for delta in (1e-2, 1e-5):
        epsilon = epsilon_of([event], delta)
        assert max(discrete_delta(c, event.noise_scale, epsilon) for c in changes) <= delta


# --- the transfer bound of cross_check, step by step ---------------------------------


def rounded(x: npt.NDArray[np.int64], mean: float, scale: float) -> FloatArray:
    """Return the probabilities of a continuous Gaussian, rounded to whole numbers."""
    z = np.abs(x - mean)
    return np.asarray(special.ndtr((0.5 - z) / scale) - special.ndtr((-0.5 - z) / scale))


def cases() -> Iterator[tuple[float, npt.NDArray[np.int64]]]:
    for scale in (0.3, 0.5, 1.0, 2.0, 7.0, 40.0):
        yield scale, np.arange(-math.ceil(8 * scale), math.ceil(8 * scale) + 1)


def test_the_discrete_gaussian_is_below_the_rounded_one_by_step_a() -> None:
    """If this fails, the transfer of PLD's figure has no proof: step (a)."""
    for scale, x in cases():
        p, q = np.exp(log_pmf(x, 0, scale)), rounded(x, 0, scale)
        seen = q > 1e-14  # farther out the difference of two distribution functions is rounding
        assert (p[seen] <= q[seen] * math.exp(1 / (24 * scale**2)) * (1 + 1e-6)).all()


def test_the_rounded_gaussian_is_below_the_discrete_one_by_step_b() -> None:
    """Step (b), and that its v is within what the docstring of cross_check says."""
    for scale, x in cases():
        p, q = np.exp(log_pmf(x, 0, scale)), rounded(x, 0, scale)
        v = 2 * math.fsum(math.exp(-2 * math.pi**2 * scale**2 * k**2) for k in range(1, 60))
        for width in (1.0, 2.0, 4.0, 7.0):
            inside = np.abs(x) <= width * scale
            most = p * (1 + v) * math.exp(width**2 / (24 * scale**2))
            assert (q[inside] <= most[inside] * (1 + 1e-6)).all()
            assert math.log1p(v) < (width**2 + 1) / (24 * scale**2)


def test_the_tails_of_step_c() -> None:
    """If this fails, tau is too small: outcomes outside the good set are forgotten."""
    for scale, shift in itertools.product((0.3, 1.0, 2.0, 7.0), (0, 1, 3, 9)):
        x = np.arange(-math.ceil(40 * scale) - 20, math.ceil(40 * scale) + 21)
        p = np.exp(log_pmf(x, 0, scale))
        for width in (1.0, 2.0, 5.0, 8.0):
            if width < shift / scale:
                continue
            outside = math.fsum(p[np.abs(x - shift) > width * scale])
            away, towards = width + shift / scale, width - shift / scale
            assert outside <= math.exp(-(away**2) / 2) + math.exp(-(towards**2) / 2)


@pytest.mark.parametrize(("scale", "shift"), [(2.0, (1, 1)), (3.0, (3, 1)), (5.0, (4, 3))])
def test_the_whole_transfer_in_two_dimensions(scale: float, shift: tuple[int, int]) -> None:
    """If this fails, the PLD figure for vectors of discrete Gaussians is not a bound at all."""
    event = DiscreteGaussianRelease(math.hypot(*shift), scale, 2)
    for tail in (1e-3, 1e-6, 1e-9):
        eta, tau = transfer_terms([event], tail)
        for epsilon in (0.1, 0.5, 1.0, 2.0):
            continuous = gaussian_delta(math.hypot(*shift) / scale, epsilon)
            found = discrete_delta(shift, scale, epsilon + 2 * eta)
            assert found <= math.exp(eta) * continuous + tau
