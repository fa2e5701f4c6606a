"""Persons with several records, where the promise is about one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, norm

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.groups import (
    changed_unit_epsilons,
    group_of_releases,
    training_epsilons,
)
from secure_fedsa.privacy.training_accountant import training_epsilon
from tests.privacy.accountant_cases import exact_delta

DELTAS = (1e-3, 1e-5, 1e-7)


def one_step_delta(epsilon: float, noise: float, rate: float, records: int) -> float:
    """Delta of one step for a group, by a sum over a fine grid; the larger of both directions."""
    grid = np.linspace(-12 * noise, records + 12 * noise, 400_001)
    width = grid[1] - grid[0]
    without = norm.pdf(grid, 0, noise)
    shifts = np.arange(records + 1)
    with_them = sum(
        binom.pmf(shift, records, rate) * norm.pdf(grid, shift, noise) for shift in shifts
    )
    added = np.maximum(with_them - math.exp(epsilon) * without, 0).sum() * width
    removed = np.maximum(without - math.exp(epsilon) * with_them, 0).sum() * width
    return float(max(added, removed))


@pytest.mark.parametrize("records", [1, 2, 7])
def test_a_group_of_releases_costs_the_square_of_its_size(records: int) -> None:
    """If this fails, persons with several records are told a bound that does not hold."""
    event = DiscreteGaussianRelease(12.0, 60.0, 5)
    assert rho_of([group_of_releases(event, records)]) == pytest.approx(
        records**2 * rho_of([event]), rel=1e-12
    )


def test_a_group_of_one_is_the_training_itself() -> None:
    """If this fails, two figures for the same claim disagree in one report."""
    event = DpSgdTraining(2.0, 0.05, 100)
    for delta, epsilon in zip(DELTAS, training_epsilons(event, 1, DELTAS), strict=True):
        assert epsilon == pytest.approx(training_epsilon([event], delta), rel=1e-6)


@pytest.mark.parametrize("records", [2, 5])
def test_without_sampling_a_group_is_a_gaussian_of_as_many_clip_norms(records: int) -> None:
    """If this fails, a group's figure is below the exact one: somebody was promised too much."""
    event, delta = DpSgdTraining(8.0, 1.0, 4), 1e-5
    (epsilon,) = training_epsilons(event, records, [delta])
    assert epsilon is not None
    ratio = records * math.sqrt(event.steps) / event.noise_multiplier
    assert exact_delta(ratio, epsilon) <= delta
    assert exact_delta(ratio, epsilon * 0.99) > delta


@pytest.mark.slow
@pytest.mark.parametrize("records", [1, 3])
@pytest.mark.parametrize(("noise", "rate"), [(1.0, 0.1), (2.0, 0.3)])
def test_one_step_of_a_group_against_integration(records: int, noise: float, rate: float) -> None:
    """If this fails, the library's mixture is not the one that dominates a step for a group."""
    delta = 1e-5
    (epsilon,) = training_epsilons(DpSgdTraining(noise, rate, 1), records, [delta])
    assert epsilon is not None
    assert one_step_delta(epsilon, noise, rate, records) <= delta * (1 + 1e-6)
    assert one_step_delta(epsilon * 0.98, noise, rate, records) > delta


def test_a_groups_figure_pays_for_the_librarys_rounding() -> None:
    """If this fails, epsilon of many steps at a small delta is below the true one."""
    event, delta = DpSgdTraining(300.0, 1.0, 100_000), 1e-9
    (epsilon,) = training_epsilons(event, 1, [delta])
    assert epsilon is not None
    # The mixture is cut at a larger tail, on the safe side; a tenth of delta would be 0.25%.
    assert 1 - 1e-6 <= epsilon / training_epsilon([event], delta) <= 1 + 5e-4


def test_more_records_lose_more() -> None:
    """If this fails, who has more records is promised as much as who has fewer."""
    event = DpSgdTraining(4.0, 0.1, 200)
    found = [training_epsilons(event, records, [1e-5])[0] for records in (1, 2, 3)]
    assert found == sorted(found, key=lambda value: value or math.inf)
    assert len(set(found)) == 3


def test_a_delta_that_cannot_be_stated_is_none_and_not_a_guess() -> None:
    """If this fails, an auditor reads rounding errors of a library as a bound."""
    assert training_epsilons(DpSgdTraining(4.0, 0.1, 200), 2, [1e-13]) == [None]


@pytest.mark.parametrize("records", [0, -1, 65, True, 2.0, math.nan])
def test_a_number_of_records_that_is_none_is_refused(records: Any) -> None:
    """If this fails, a mistaken number gives a figure all the same."""
    with pytest.raises(PrivacyParameterError, match="records"):
        training_epsilons(DpSgdTraining(4.0, 0.1, 200), records, [1e-5])
    with pytest.raises(PrivacyParameterError, match="records"):
        group_of_releases(DiscreteGaussianRelease(1.0, 4.0, 1), records)


def test_what_no_accountant_can_state_is_refused_at_once() -> None:
    """If this fails, a report hangs for minutes on an absurd agreement."""
    with pytest.raises(PrivacyParameterError, match="no privacy loss bound"):
        training_epsilons(DpSgdTraining(0.06, 1.0, 10**6), 2, [1e-5])


def test_a_changed_unit_without_sampling_is_a_gaussian_of_two_clip_norms() -> None:
    """If this fails, a record whose place another takes is promised more than holds."""
    event, delta = DpSgdTraining(8.0, 1.0, 4), 1e-5
    (epsilon,) = changed_unit_epsilons(event, [delta])
    assert epsilon is not None
    assert exact_delta(2 * math.sqrt(event.steps) / event.noise_multiplier, epsilon) <= delta
    added = training_epsilon([event], delta)
    assert 2 * added < epsilon < 3 * added  # the lemma is not tight, nor useless


@pytest.mark.parametrize(("noise", "rate"), [(0.8, 0.05), (1.0, 0.3), (2.0, 0.9)])
def test_one_step_of_a_changed_unit_against_integration(noise: float, rate: float) -> None:
    """If this fails, a sampled training tells more of a changed unit than the figure says."""
    grid = np.linspace(-1 - 12 * noise, 1 + 12 * noise, 400_001)
    width = grid[1] - grid[0]
    one, other = (
        (1 - rate) * norm.pdf(grid, 0, noise) + rate * norm.pdf(grid, shift, noise)
        for shift in (1.0, -1.0)
    )
    for delta, epsilon in zip(
        DELTAS, changed_unit_epsilons(DpSgdTraining(noise, rate, 1), DELTAS), strict=True
    ):
        assert epsilon is not None
        assert np.maximum(one - math.exp(epsilon) * other, 0).sum() * width <= delta


def test_a_changed_unit_pays_for_the_librarys_rounding() -> None:
    """If this fails, a figure at a tiny delta rests on the rounding errors of many steps."""
    event, delta = DpSgdTraining(300.0, 1.0, 100_000), 1e-6
    (epsilon,) = changed_unit_epsilons(event, [delta])
    assert epsilon is not None
    half, ratio = epsilon / 2, math.sqrt(event.steps) / event.noise_multiplier
    step = exact_delta(ratio, half) + 1e-15 * event.steps
    assert step * (1 + math.exp(half)) <= delta * (1 + 1e-6)
    assert exact_delta(ratio, half) * (1 + math.exp(half)) < delta * (1 - 1e-3)


def test_a_changed_unit_has_no_figure_where_none_can_be_stated() -> None:
    """If this fails, a guess stands where nothing is known."""
    event = DpSgdTraining(2.0, 0.05, 100)
    assert changed_unit_epsilons(event, [1e-14]) == [None]
    with pytest.raises(PrivacyParameterError, match="privacy loss bound"):
        changed_unit_epsilons(DpSgdTraining(0.1, 1.0, 1000), [1e-5])
