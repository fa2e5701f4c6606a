"""Sensitivity, calibration and noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import opendp.prelude as dp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.entropy import SeededNoise, SystemNoise
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_of, rho_of
from secure_fedsa.privacy.clipping import summarise
from secure_fedsa.privacy.mechanisms import (
    Neighbours,
    add_noise,
    calibrate,
    count_unit,
    differing_coordinates,
    draw_noise,
    l2_sensitivity,
    plan_release,
)
from secure_fedsa.signals import Noise, PrivateSummary, SummaryShape, int_array

BAD = [0, -1, math.nan, math.inf, -math.inf, True, "1", None]


def contributions(grid: int, unit: int, classes: int, dimension: int) -> npt.NDArray[np.int64]:
    """Every vector that one record can add to a summary, unusable records included."""
    found = {(0,) * (classes * (dimension + 1))}
    for row in itertools.product(range(-grid, grid + 1), repeat=dimension):
        for label in range(classes):
            one = summarise(
                np.array([row], dtype=np.int64).reshape(1, dimension),
                np.array([label]),
                np.ones(1, dtype=np.bool_),
                classes,
                unit,
                grid=grid,
            )[0]
            blocks = np.concatenate([one.sums, one.counts[:, None]], axis=1)
            found.add(tuple(blocks.ravel().tolist()))
    return np.array(sorted(found))


@pytest.mark.parametrize(
    ("grid", "unit", "classes", "dimension"),
    [(2, 1, 2, 2), (3, 1, 2, 1), (2, 5, 3, 1), (1, 1, 2, 2)],
)
def test_sensitivity_is_the_worst_case_of_all_neighbours(
    grid: int, unit: int, classes: int, dimension: int
) -> None:
    """If this fails, noise is made for a smaller change than one person can cause."""
    vectors = contributions(grid, unit, classes, dimension)
    squared = int((vectors**2).sum(axis=1).max())
    assert l2_sensitivity(grid, unit, "add-remove") == pytest.approx(math.sqrt(squared), rel=1e-15)
    differences = vectors[:, None] - vectors[None, :]
    replaced = int((differences**2).sum(axis=2).max())
    assert l2_sensitivity(grid, unit, "replace-one") == pytest.approx(
        math.sqrt(replaced), rel=1e-15
    )
    pairs = (vectors[:, None] + vectors[None, :]).reshape(-1, vectors.shape[1])
    pairs = np.unique(pairs, axis=0)
    two = int((pairs**2).sum(axis=1).max())
    assert l2_sensitivity(grid, unit, "add-remove", 2) == pytest.approx(math.sqrt(two), rel=1e-15)
    norms = (pairs**2).sum(axis=1)
    distances = norms[:, None] + norms[None, :] - 2 * pairs @ pairs.T
    group = l2_sensitivity(grid, unit, "replace-one", 2)
    assert group == pytest.approx(math.sqrt(int(distances.max())), rel=1e-15)


def test_sensitivity_formulas_of_the_design() -> None:
    """If this fails, agreement and code charge different amounts."""
    grid, unit = 1024, 256
    w = unit / grid
    assert l2_sensitivity(grid, unit, "add-remove") == pytest.approx(grid * math.hypot(1, w))
    assert l2_sensitivity(grid, unit, "replace-one") == 2 * grid
    heavy = l2_sensitivity(grid, 2 * grid, "replace-one")
    assert heavy == pytest.approx(grid * math.sqrt(2 + 2 * 2**2))
    assert l2_sensitivity(grid, unit, "add-remove", 7) == pytest.approx(7 * grid * math.hypot(1, w))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 2**30), st.integers(1, 2**30), st.integers(1, 2**20), st.booleans())
def test_sensitivity_is_never_rounded_down(
    grid: int, unit: int, records: int, replace: bool
) -> None:
    """If this fails, the noise is short by a rounding error: the proof has a hole."""
    value = l2_sensitivity(grid, unit, "replace-one" if replace else "add-remove", records)
    exact = max(4 * grid**2, 2 * (grid**2 + unit**2)) if replace else grid**2 + unit**2
    assert Fraction(value) ** 2 >= exact * records**2
    assert value <= math.sqrt(exact) * records * (1 + 1e-14)


def test_differing_coordinates() -> None:
    """If this fails, the transfer bound is computed for too few coordinates."""
    shape = SummaryShape(classes=5, dimension=10)
    assert differing_coordinates(shape, "add-remove") == 11
    assert differing_coordinates(shape, "replace-one") == 22
    assert differing_coordinates(shape, "replace-one", 100) == shape.noise_values


def test_known_multiplier() -> None:
    """If this fails, the noise of every published run is not what the tables say."""
    assert calibrate(1.0, 1e-5) == pytest.approx(4.0451, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(
    st.floats(0.01, 50),
    st.floats(-30, -1),
    st.integers(1, 40),
    st.sampled_from(["add-remove", "replace-one"]),
    st.integers(1, 5),
)
def test_calibrated_releases_keep_the_budget_and_waste_little(
    epsilon: float, log_delta: float, releases: int, neighbours: Neighbours, records: int
) -> None:
    """If this fails, a run spends more than the institution agreed to, or far less."""
    delta = 10.0**log_delta
    event = plan_release(
        SummaryShape(10, 256),
        grid=1024,
        count_unit=256,
        neighbours=neighbours,
        noise_multiplier=calibrate(epsilon, delta, releases=releases),
        max_records=records,
    )
    spent = epsilon_of([event] * releases, delta)
    assert spent <= epsilon
    assert spent == pytest.approx(epsilon, rel=1e-6)


@pytest.mark.parametrize("multiplier", [0.7, 4.05, 30.0])
def test_rho_is_what_opendp_proves(multiplier: float) -> None:
    """If this fails, our sampler's own library disagrees with what the ledger charges."""
    event = plan_release(
        SummaryShape(3, 4),
        grid=1024,
        count_unit=256,
        neighbours="add-remove",
        noise_multiplier=multiplier,
    )
    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
    measurement: Any = dp.m.make_gaussian(*space, scale=event.noise_scale)
    theirs = measurement.map(event.sensitivity)
    assert rho_of([event]) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.statistical
def test_noise_follows_the_discrete_gaussian() -> None:
    """If this fails, the noise is not the one that the proof is about.

    Chi-squared test of 40,000 values at scale 12, with the tail bound of Laurent and Massart
    (2000): false alarm at most one in a million runs.
    """
    scale = 12.0
    noise = draw_noise(SystemNoise(), SummaryShape(8, 4999), scale)
    assert not noise.seeded
    edge = 40
    support = np.arange(-edge, edge + 1)
    mass = np.exp(-(support**2) / (2 * scale**2))
    mass /= np.exp(-(np.arange(-400, 401) ** 2) / (2 * scale**2)).sum()
    inside = noise.values[np.abs(noise.values) <= edge]
    observed = np.bincount(inside + edge, minlength=mass.size).astype(float)
    observed = np.append(observed, noise.values.size - inside.size)
    expected = noise.values.size * np.append(mass, 1 - mass.sum())
    statistic = ((observed - expected) ** 2 / expected).sum()
    exponent = math.log(1e6)
    assert statistic < mass.size + 2 * math.sqrt(mass.size * exponent) + 2 * exponent


@pytest.mark.statistical
def test_noise_coordinates_are_uncorrelated() -> None:
    """If this fails, noise cancels over classes and a difference of them shows a record.

    20,000 pairs of neighbouring values, six standard errors: false alarm below one in 10^8.
    """
    values = draw_noise(SystemNoise(), SummaryShape(8, 4999), 20.0).values.astype(float)
    correlation = float(np.corrcoef(values[::2], values[1::2])[0, 1])
    assert abs(correlation) < 6 / math.sqrt(values.size / 2)


def summary_of(classes: int, dimension: int, value: Any = 5) -> PrivateSummary:
    return PrivateSummary(
        sums=np.full((classes, dimension), value, dtype=np.int64),
        counts=np.arange(classes, dtype=np.int64),
    )


def test_add_noise_puts_each_value_in_its_place() -> None:
    """If this fails, counts get the noise of sums, or one value gets none."""
    noise = Noise(values=int_array(range(100, 112)), seeded=True)
    noisy = add_noise(summary_of(3, 3), noise, noise_scale=7.0, grid=10, count_unit=2)
    assert noisy.sums.tolist() == [[105, 106, 107], [108, 109, 110], [111, 112, 113]]
    assert noisy.counts.tolist() == [109, 111, 113]
    assert (noisy.noise_scale, noisy.grid, noisy.count_unit) == (7.0, 10, 2)
    with pytest.raises(ValueError, match="read-only"):
        noisy.sums[0, 0] = 0


def test_every_value_gets_noise_and_seeded_noise_says_so() -> None:
    """If this fails, raw sums leave the teacher, or a test's noise passes as real."""
    shape = SummaryShape(4, 50)
    noise = draw_noise(SeededNoise(1), shape, 1e6)
    assert noise.seeded
    noisy = add_noise(summary_of(4, 50), noise, noise_scale=1e6, grid=10, count_unit=1)
    assert (noisy.sums != 5).all()
    again = draw_noise(SeededNoise(1), shape, 1e6)
    assert np.array_equal(again.values, noise.values)


def test_add_noise_refuses_other_shapes_and_overflow() -> None:
    """If this fails, int64 wraps and a sum's sign flips without a word."""
    noise = Noise(values=int_array([0] * 12), seeded=True)
    parameters: Any = {"noise_scale": 1.0, "grid": 10, "count_unit": 1}
    with pytest.raises(PrivacyParameterError, match="another shape"):
        add_noise(summary_of(3, 4), noise, **parameters)
    for value in (2**62, -(2**62), -(2**63)):
        with pytest.raises(PrivacyParameterError, match="beyond"):
            add_noise(summary_of(3, 3, value), noise, **parameters)
        loud = Noise(values=int_array([value] * 12), seeded=True)
        with pytest.raises(PrivacyParameterError, match="beyond"):
            add_noise(summary_of(3, 3), loud, **parameters)


class BrokenNoise:
    """A source that gives too few values."""

    seeded = True

    def discrete_gaussian(self, scale: float, size: int) -> npt.NDArray[np.int64]:
        """Return one value too few."""
        return np.full(size - 1, round(scale), dtype=np.int64)


def test_a_noise_source_that_breaks_its_contract_is_refused() -> None:
    """If this fails, part of a summary is released without noise."""
    with pytest.raises(PrivacyParameterError, match="another number"):
        draw_noise(BrokenNoise(), SummaryShape(2, 2), 1.0)


@pytest.mark.parametrize("value", BAD)
def test_parameters_are_refused(value: Any) -> None:
    """If this fails, a NaN in the agreement means no noise at all."""
    shape = SummaryShape(2, 2)
    noise = Noise(values=int_array([0] * 6), seeded=True)
    refused: list[Callable[[], object]] = [
        lambda: count_unit(value, 0.25),
        lambda: count_unit(1024, value),
        lambda: l2_sensitivity(value, 1, "add-remove"),
        lambda: l2_sensitivity(1, value, "add-remove"),
        lambda: l2_sensitivity(1, 1, "add-remove", value),
        lambda: l2_sensitivity(1, 1, value),
        lambda: calibrate(value, 1e-5),
        lambda: calibrate(1.0, value),
        lambda: calibrate(1.0, 1e-5, releases=value),
        lambda: draw_noise(SystemNoise(), shape, value),
        lambda: draw_noise(SystemNoise(), SummaryShape(value, 2), 1.0),
        lambda: add_noise(summary_of(2, 2), noise, noise_scale=value, grid=1, count_unit=1),
        lambda: add_noise(summary_of(2, 2), noise, noise_scale=1.0, grid=value, count_unit=1),
        lambda: plan_release(
            shape, grid=1, count_unit=1, neighbours="add-remove", noise_multiplier=value
        ),
    ]
    for call in refused:
        with pytest.raises(PrivacyParameterError):
            call()


def test_out_of_range_parameters_are_refused() -> None:
    """If this fails, noise or counts can leave int64."""
    for call in (
        lambda: calibrate(1.0, 1.0),
        lambda: calibrate(1e7, 1e-5),
        lambda: calibrate(1e-9, 1e-5),
        lambda: draw_noise(SystemNoise(), SummaryShape(2, 2), 2.0**41),
        lambda: count_unit(2**30, 1.5),
        lambda: l2_sensitivity(2**30 + 1, 1, "add-remove"),
    ):
        with pytest.raises(PrivacyParameterError):
            call()
    assert count_unit(4, 1e-9) == 1
