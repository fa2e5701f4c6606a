"""Budgets as filters: what holds when a later run is chosen by what an earlier one showed."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from statistics import NormalDist

import pytest

from secure_fedsa.errors import BudgetError
from secure_fedsa.privacy.accountant import epsilon_from_rho
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budget_filter import (
    admits,
    counted_rho,
    filter_order,
    is_of_one_kind,
    rho_budget,
    step_divergence,
)
from secure_fedsa.privacy.budgets import (
    Limit,
    Spend,
    fits,
    nearest_fit,
    require_within,
    require_within_budget,
    rounded_down,
    rounded_up,
    what_is_left,
)
from secure_fedsa.privacy.events import (
    DpSgdTraining,
    ExponentialMechanism,
    PermuteAndFlip,
    Selection,
)
from secure_fedsa.privacy.mechanisms import calibrate, plan_release
from secure_fedsa.signals import SummaryShape

DELTA = 1e-5
BUDGET = 2.0
FIRST = DpSgdTraining(2.4, 1.0, 1)
SECONDS = (DpSgdTraining(3.585, 1.0, 1), DpSgdTraining(0.3914, 0.001, 1))
"""Either of the two after the first: epsilon just below 2 at delta 1e-5."""

_normal = NormalDist().cdf


def gaussian_delta(noise: float, epsilon: float) -> float:
    """Return the exact delta of a Gaussian mechanism (Balle and Wang 2018)."""
    shift = 1 / noise
    return _normal(shift / 2 - epsilon / shift) - math.exp(epsilon) * _normal(
        -shift / 2 - epsilon / shift
    )


def sampled_delta(noise: float, rate: float, epsilon: float) -> float:
    """Return the exact delta of one sampled Gaussian step, of a record that is removed."""
    ratio = math.exp(epsilon)
    if ratio <= 1 - rate:
        return 1 - ratio
    cut = noise**2 * math.log((ratio - 1 + rate) / rate) + 0.5
    mixture = (1 - rate) * _normal(-cut / noise) + rate * _normal((1 - cut) / noise)
    return mixture - ratio * _normal(-cut / noise)


def deltas_after_first() -> tuple[float, float, float]:
    """Return delta at the budget: with either second run, and with the one that hurts more.

    The loss of the first run, a Gaussian, is normal; whoever sees its result knows it.
    """
    shift = 1 / FIRST.noise_multiplier
    mean, points = shift**2 / 2, 4001
    total, either, other, worse = 0.0, 0.0, 0.0, 0.0
    for index in range(points):
        place = -9 + 18 * index / (points - 1)
        weight = math.exp(-(place**2) / 2)
        left = BUDGET - (mean + shift * place)
        one = gaussian_delta(SECONDS[0].noise_multiplier, left)
        two = sampled_delta(SECONDS[1].noise_multiplier, SECONDS[1].sampling_rate, left)
        total += weight
        either, other, worse = (
            either + weight * one,
            other + weight * two,
            worse + weight * max(one, two),
        )
    return either / total, other / total, worse / total


@pytest.mark.slow
def test_choosing_by_results_breaks_what_plain_composition_allows() -> None:
    """If this fails, two sound epsilons become an unsound one for whoever picks the better attack.

    Both second runs keep epsilon 2 at delta 1e-5 by their loss distributions, and the exact delta
    of choosing between them by the first result is almost twice that. The filter refuses both.
    """
    one, two, worse = deltas_after_first()
    assert one < DELTA
    assert two < DELTA
    assert worse > 1.8 * DELTA
    for second in SECONDS:
        both = Amount.of([FIRST, second])
        assert Spend.of(both, DELTA).epsilon <= BUDGET
        assert not admits(both, BUDGET, DELTA)
        assert not fits(both, BUDGET, DELTA)
    with pytest.raises(BudgetError) as refusal:
        require_within_budget(
            "run", "it", Amount.of([FIRST]), Amount.of([SECONDS[0]]), BUDGET, DELTA
        )
    assert "proved to hold" in str(refusal.value)
    assert "What fits: " in str(refusal.value)


def test_of_one_kind_nothing_is_lost() -> None:
    """If this fails, a filter costs accuracy where theory says that it is free."""
    rho = rho_budget(BUDGET, DELTA)
    assert fits(Amount(rho), BUDGET, DELTA)
    assert not fits(Amount(rho * 1.000001), BUDGET, DELTA)
    training = Amount.of([FIRST, FIRST])
    exact = Spend.of(training, DELTA).epsilon
    assert fits(training, exact, DELTA)
    assert not fits(training, exact * 0.9999, DELTA)
    assert is_of_one_kind(training)
    assert not is_of_one_kind(Amount.sum([training, Amount(rho / 10)]))


@pytest.mark.parametrize("budget", [0.1, 1.0, 4.0, 20.0])
def test_the_filter_of_a_mix_is_a_bound_that_the_budget_implies(budget: float) -> None:
    """If this fails, the fixed order promises another epsilon than the agreement's."""
    order, rho = filter_order(budget, DELTA), rho_budget(budget, DELTA)
    implied = rho * order + math.log1p(-1 / order) - math.log(DELTA * order) / (order - 1)
    assert implied <= budget * (1 + 1e-9)
    assert implied == pytest.approx(epsilon_from_rho(rho, DELTA), rel=1e-9)
    # A mix that fits a budget fits every larger one: a later agreement may have that.
    mix = Amount.sum([Amount(rho / 3), Amount.of([DpSgdTraining(5.0, 0.01, 100)])])
    larger = [budget * factor for factor in (1.0, 1.1, 1.5, 3.0)]
    found = [admits(mix, value, DELTA) for value in larger]
    assert found == sorted(found)


@pytest.mark.parametrize("noise", [0.4, 0.7, 1.0, 4.0, 100.0])
@pytest.mark.parametrize("rate", [1e-6, 1e-3, 0.1, 0.9, 1.0])
def test_divergences_are_those_of_dp_accounting(noise: float, rate: float) -> None:
    """If this fails, the filter counts a training for less than it told."""
    from dp_accounting.dp_event import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.rdp import RdpAccountant

    for order in (2, 3, 8, 19, 64, 300):
        accountant = RdpAccountant([order])
        accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)), 1000)
        # At this delta no term but the divergence and the conversion is left.
        tiny = 1e-150
        conversion = math.log1p(-1 / order) - math.log(tiny * order) / (order - 1)
        theirs = accountant.get_epsilon(tiny) - conversion
        ours = 1000 * step_divergence(noise, rate, order)
        assert ours >= theirs - 1e-9 * abs(conversion)
        assert ours <= theirs * (1 + 1e-6) + 1e-9 * (1 + abs(conversion))


def test_nothing_unknown_is_in_an_amount() -> None:
    """If this fails, an amount has a part that the filter does not count. Count it first."""
    known = {"rho", "trainings", "unprotected", "selections"}
    assert {field.name for field in fields(Amount)} == known
    assert counted_rho(Amount(unprotected=1), 1.0, DELTA) == math.inf


@pytest.mark.parametrize("chosen", [ExponentialMechanism(0.2, 3), PermuteAndFlip(0.1, 3)])
def test_selections_count_by_one_rule_that_was_fixed_before(chosen: Selection) -> None:
    """If this fails, an owner counts selections whichever way the results made look better.

    A selection is counted by its rho: 3 * 0.2^2 / 8 by its bounded range, 3 * 0.1^2 / 2 without.
    """
    rho = 0.015
    assert math.isclose(counted_rho(Amount.of([chosen]), BUDGET, DELTA), rho, rel_tol=1e-12)
    whole = rho_budget(BUDGET, DELTA)
    for other in (Amount(), Amount.of([DpSgdTraining(4.0, 0.1, 50)])):
        spent = Amount.sum([other, Amount.of([chosen])])
        assert not is_of_one_kind(spent)
        left = what_is_left(spent, BUDGET, DELTA).rho
        assert left <= whole - counted_rho(spent, BUDGET, DELTA)
        assert fits(Amount.sum([spent, Amount(left * 0.999)]), BUDGET, DELTA)
        assert not fits(Amount.sum([spent, Amount(left * 1.001)]), BUDGET, DELTA)


def test_pure_epsilons_do_not_get_round_the_filter() -> None:
    """If this fails, a budget is passed by selections whose sum of epsilons looks small."""
    # By its epsilon it is within; its rho, epsilon^2 / 2, is more than the budget's.
    chosen = Amount.of([PermuteAndFlip(BUDGET * 0.99)])
    assert Spend.of(chosen, DELTA).epsilon < BUDGET
    assert not fits(chosen, BUDGET, DELTA)


# --- the nearest plan that fits --------------------------------------------------------

SPENT = [
    Amount(),
    Amount(0.02),
    Amount.of([DpSgdTraining(4.0, 0.1, 50)]),
    Amount.sum([Amount(0.01), Amount.of([DpSgdTraining(4.0, 0.1, 50)])]),
    Amount.of([ExponentialMechanism(0.1, 2), PermuteAndFlip(0.1)]),
]


@pytest.mark.parametrize("spent", SPENT)
@pytest.mark.parametrize("runs", [1, 3])
def test_the_named_release_fits_and_hardly_less_noise_does(spent: Amount, runs: int) -> None:
    """If this fails, a refused institution agrees on what is refused again."""
    asked = Amount(0.5 / calibrate(3.0, DELTA) ** 2)
    found = nearest_fit(spent, asked, 1.5, DELTA, runs=runs)
    assert found.noise_multiplier is not None
    assert found.epsilon is not None
    event = plan_release(
        SummaryShape(3, 8),
        grid=4096,
        count_unit=1024,
        neighbours="add-remove",
        noise_multiplier=found.noise_multiplier,
    )
    cost = Amount.of([event])
    assert fits(Amount.sum([spent, *[cost] * runs]), 1.5, DELTA)
    less = Amount(0.5 / (found.noise_multiplier * 0.999) ** 2)
    assert not fits(Amount.sum([spent, *[less] * runs]), 1.5, DELTA)
    assert found.epsilon == pytest.approx(Spend.of(cost, DELTA).epsilon, rel=1e-6)
    assert found.budget is not None
    whole = Amount.sum([spent, *[asked] * runs])
    assert fits(whole, found.budget, DELTA)
    assert not fits(whole, found.budget * 0.999, DELTA)
    assert f"{found.noise_multiplier:g} or more" in str(found)
    assert f"a budget of {found.budget:g}" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize("spent", [SPENT[0], SPENT[1], SPENT[2]])
def test_the_named_training_fits_and_hardly_less_noise_does(spent: Amount) -> None:
    """If this fails, weeks of training are planned that the ledger then refuses."""
    event = DpSgdTraining(1.0, 0.05, 100)
    found = nearest_fit(spent, Amount.of([event]), 1.5, DELTA)
    assert found.noise_multiplier is not None
    for noise, good in ((found.noise_multiplier, True), (found.noise_multiplier / 1.02, False)):
        more = Amount.of([DpSgdTraining(noise, event.sampling_rate, event.steps)])
        assert fits(Amount.sum([spent, more]), 1.5, DELTA) is good
    assert found.budget is not None
    whole = Amount.sum([spent, Amount.of([event])])
    assert fits(whole, found.budget, DELTA)
    assert not fits(whole, found.budget * 0.999, DELTA)


def test_nothing_is_named_where_nothing_fits() -> None:
    """If this fails, a plan is named for data of which nothing can be promised."""
    for spent in (Amount(unprotected=1), Amount(10.0)):
        found = nearest_fit(spent, Amount(0.1), 1.0, DELTA)
        assert found.noise_multiplier is None
    assert str(nearest_fit(Amount(unprotected=1), Amount(0.1), 1.0, DELTA)) == ""
    with pytest.raises(BudgetError, match="Nothing of this kind fits"):
        require_within_budget("run", "it", Amount(1e4), Amount(0.1), 1.0, DELTA)


def test_a_refusal_names_the_plan() -> None:
    """If this fails, who is refused has to find what fits by trying."""
    spent, asked = Amount(0.02), Amount(0.02)
    found = nearest_fit(spent, asked, 1.0, DELTA)
    with pytest.raises(BudgetError) as refusal:
        require_within_budget("run", "this agreement", spent, asked, 1.0, DELTA)
    assert refusal.value.do == f"Nothing was charged. What fits: {found}."


def test_what_is_left_after_trainings_passes_the_filter() -> None:
    """If this fails, people are told of room that the next charge does not find."""
    spent = SPENT[2]
    left = what_is_left(spent, 1.5, DELTA)
    assert left.rho > 0
    assert fits(Amount.sum([spent, Amount(left.rho * (1 - 1e-9))]), 1.5, DELTA)
    assert not fits(Amount.sum([spent, Amount(left.rho * 1.001)]), 1.5, DELTA)


@pytest.mark.parametrize("value", [1e-9, 0.99999, 1.0, 1.2341, 7.0363, 12345.6, 99999.9])
def test_rounding_goes_to_the_safe_side(value: float) -> None:
    """If this fails, a figure that is read off a page is a little better than the truth."""
    assert value <= rounded_up(value) <= value * 1.002
    assert value * 0.998 <= rounded_down(value) <= value


def test_what_is_named_fits_every_budget_that_is_passed() -> None:
    """If this fails, who follows the advice of a refusal is refused again by the next budget."""
    asked = Amount(0.5 / calibrate(2.5, DELTA) ** 2)
    spent = Amount(0.5 / calibrate(2.7, DELTA) ** 2)
    limits = [Limit("the agreement", Amount(), 2.0, DELTA), Limit("the data", spent, 3.0, DELTA)]
    with pytest.raises(BudgetError) as refusal:
        require_within("run", asked, limits)
    words = str(refusal.value)
    found = re.search(r"noise multiplier of ([0-9.]+) or more", words)
    assert found is not None
    noise = float(found[1])
    require_within("run", Amount(0.5 / noise**2), limits)
    with pytest.raises(BudgetError):
        require_within("run", Amount(0.5 / (0.99 * noise) ** 2), limits)
    raised = re.search(r"budgets of ([0-9.]+) or more for .* and of ([0-9.]+) or more for", words)
    assert raised is not None
    named = (float(raised[1]), float(raised[2]))
    require_within(
        "run",
        asked,
        [replace(one, budget=budget) for one, budget in zip(limits, named, strict=True)],
    )
    fixed = [limits[0], replace(limits[1], fixed=True)]
    with pytest.raises(BudgetError) as refusal:
        require_within("run", asked, fixed)
    assert "budgets of" not in str(refusal.value)
