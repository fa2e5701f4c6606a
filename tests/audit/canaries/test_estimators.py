"""Three bounds: each below the truth as often as it says, and none where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from secure_fedsa.audit.canaries.checks import distribution_check, noise_check, shift_check
from secure_fedsa.audit.canaries.estimators import (
    Fit,
    clopper_pearson,
    fit,
    gdp,
    generic,
    mu_bound,
    parametric,
)
from secure_fedsa.audit.canaries.reach import reach
from secure_fedsa.audit.canaries.scores import FloatArray, Scores
from secure_fedsa.audit.canaries.trade_off import (
    MOST_EPSILON,
    gaussian_delta,
    gaussian_epsilon,
    mu_of_accuracy,
)
from secure_fedsa.audit.canaries.verdict import judge

DELTA = 1e-5
ADD, REPLACE = (0.0, 1.0), (-0.5, 0.5)


def made(
    mu: float,
    number: int = 2000,
    *,
    loads: tuple[float, float] = ADD,
    noise: float = 1.0,
    bias: float = 0.0,
    moved: float | None = None,
    seed: int | None = None,
    draws: FloatArray | None = None,
) -> Scores:
    """Return scores planned with ``mu``, and what really happened."""
    draw = np.random.default_rng(seed)
    coins = draw.integers(0, 2, number).astype(bool)
    common: FloatArray = draw.integers(0, 2, number).astype(np.float64) * 2 - 1
    values = draw.normal(size=number) if draws is None else draws
    shift = mu if moved is None else moved
    values = noise * values + bias * common + shift * np.where(coins, loads[1], loads[0])
    return Scores(values, coins, common, mu, loads)


def test_epsilon_of_mu() -> None:
    """The published value of one Gaussian, and that delta and epsilon are each other's inverse."""
    assert gaussian_epsilon(1.0, 1e-5) == pytest.approx(4.377, abs=1e-3)
    for mu in (0.1, 0.5, 3.0, 20.0):
        epsilon = gaussian_epsilon(mu, 1e-6)
        assert gaussian_delta(epsilon, mu) == pytest.approx(1e-6, rel=1e-5)
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert gaussian_epsilon(1e-6, 1e-5) == 0.0
    assert gaussian_epsilon(np.inf, 1e-5) == gaussian_epsilon(1e3, 1e-5) == MOST_EPSILON
    assert mu_of_accuracy(norm.cdf(0.6)) == pytest.approx(1.2)
    assert mu_of_accuracy(0.4) == 0.0


def test_clopper_pearson_is_exact() -> None:
    """By its definition: with that probability, so many hits or more come in 5% of cases."""
    from scipy.stats import binom

    for hits, trials in ((1, 10), (7, 10), (10, 10), (812, 1600)):
        low = clopper_pearson(hits, trials, 0.05)
        assert binom.sf(hits - 1, trials, low) == pytest.approx(0.05, rel=1e-6)


def test_mu_bound_without_and_with_next_to_no_noise() -> None:
    """No noise at all must be the largest finding, not a division by zero."""
    nothing = np.zeros(0)
    assert mu_bound(Fit(1.0, 50.0, 0.0, 98, nothing), 0.05) == np.inf
    assert mu_bound(Fit(-1.0, 50.0, 1.0, 98, nothing), 0.05) == 0.0
    little = mu_bound(Fit(1.0, 50.0, 1e-8, 98, nothing), 0.05)
    assert 7e3 < little < 1e4  # the truth is about 10^4
    near = mu_bound(Fit(1.0, 50.0, 1.0 / 135**2, 98, nothing), 0.05)
    beyond = mu_bound(Fit(1.0, 50.0, 1.0 / 145**2, 98, nothing), 0.05)
    assert near < 135
    assert 0.9 * near < beyond < 145  # the looser bound takes over without a jump up
    bound = parametric(made(0.3, noise=0.0, seed=1), delta=DELTA, error=0.01)
    assert bound.epsilon == MOST_EPSILON


@pytest.mark.statistical
@pytest.mark.parametrize(("loads", "noise"), [(ADD, 1.0), (REPLACE, 0.7)])
def test_bounds_are_below_the_truth(loads: tuple[float, float], noise: float) -> None:
    """A bound that is too often above the truth would accuse sound code.

    Also with noise that is not as planned, and with a bias. 5% of 200 each, so 10; more than 25
    once in 100,000 each.
    """
    mu, above = 0.5, {"parametric": 0, "gdp": 0, "generic": 0}
    truth = gaussian_epsilon(mu / noise, DELTA)
    for _ in range(200):
        scores = made(mu, 400, loads=loads, noise=noise, bias=0.1 if noise == 1 else 0.0)
        for method in (parametric, gdp, generic):
            bound = method(scores, delta=DELTA, error=0.01)
            assert bound.epsilon is not None
            assert bound.alarm_epsilon is not None
            assert bound.alarm_epsilon <= bound.epsilon
            above[bound.method] += bound.epsilon > truth
    assert max(above.values()) <= 25, above


def test_tightness_of_the_parametric_bound() -> None:
    """A valid bound can be useless: with sixteen thousand canaries it is near the truth."""
    for loads, least in ((ADD, 0.80), (REPLACE, 0.74)):
        found = [
            parametric(made(0.5, 16_000, loads=loads, seed=seed), delta=DELTA, error=0.01)
            for seed in range(5)
        ]
        shares = [
            bound.epsilon / gaussian_epsilon(0.5, DELTA)
            for bound in found
            if bound.epsilon is not None
        ]
        assert len(shares) == 5
        assert least < np.mean(shares) < 1.0


def test_null_scores_say_nothing() -> None:
    """Scores that have nothing to do with the coins must not become a privacy loss."""
    scores = made(0.25, 4000, moved=0.0, seed=7)
    for method in (parametric, gdp, generic):
        bound = method(scores, delta=DELTA, error=0.01)
        assert bound.alarm_epsilon == 0.0


def test_canaries_that_ignore_their_coins_leave_no_parametric_bound() -> None:
    """Half of them are in whatever the coin says: an absent one's score is no longer noise alone.

    The scores have nothing to do with the coins, and yet a fit through a known centre sees a shift.
    """
    scores = replace(made(0.25, 16_000, seed=3), coins=made(0.25, 16_000, seed=4).coins)
    finding = judge(scores, teacher="t", claim=1.0, delta=DELTA, classes=3)
    bounds = {bound.method: bound for bound in finding.bounds}
    assert bounds["parametric"].epsilon is None
    assert "have in common" in bounds["parametric"].reason
    assert bounds["gdp"].alarm_epsilon == bounds["generic"].alarm_epsilon == 0.0
    assert {alarm.split(":")[0] for alarm in finding.alarms} == {"shift", "distribution"}
    free = fit(scores, any_centre=True)
    assert free is not None
    assert mu_bound(free, 0.01) == 0.0


def test_the_fit_of_any_centre_costs_precision_for_add_remove_alone() -> None:
    """Why the centre is taken from the plan and tested, and not fitted."""
    for loads, cost in ((ADD, 2.0), (REPLACE, 1.0)):
        scores = made(0.25, 16_000, loads=loads, seed=9)
        known, free = fit(scores), fit(scores, any_centre=True)
        assert known is not None
        assert free is not None
        assert known.information / free.information == pytest.approx(cost, rel=0.05)


def test_noise_with_a_mean_is_not_taken_for_a_canary() -> None:
    """Otherwise noise that is not centred would show as a loss that is not there."""
    plain, biased = made(0.25, seed=5), made(0.25, bias=0.7, seed=5)
    first, second = fit(plain), fit(biased)
    assert first is not None
    assert second is not None
    assert second.shift == pytest.approx(first.shift)
    assert second.variance == pytest.approx(first.variance)


def test_the_tolerance_that_is_shown_is_where_the_alarm_begins() -> None:
    """Else a reader takes a figure for well within bounds that the check nearly refused."""
    scores = made(0.25, 400, seed=3)
    found = fit(scores)
    assert found is not None
    shift, noise = shift_check(scores, found, 0.01), noise_check(found, 0.01)
    assert shift.least is not None
    assert shift.most is not None
    assert noise.least is not None
    for value, alarm in (
        (shift.most * 1.000001, True),
        (shift.most * 0.999999, False),
        (shift.least * 1.000001, False),
        (shift.least * 0.999999, True),
    ):
        assert shift_check(scores, replace(found, shift=value), 0.01).alarm is alarm
    for value, alarm in ((noise.least * 1.000001, False), (noise.least * 0.999999, True)):
        assert noise_check(replace(found, variance=value**2), 0.01).alarm is alarm
    still = shift_check(scores, replace(found, variance=0.0), 0.01)
    assert (still.least, still.most) == (scores.shift, scores.shift)


def test_checks_find_what_they_are_for() -> None:
    """Each is the only one that sees its fault before epsilon passes the claim."""

    def checks(scores: Scores) -> set[str]:
        found = fit(scores)
        assert found is not None
        every = (
            noise_check(found, 0.005),
            shift_check(scores, found, 0.005),
            distribution_check(scores, found, 0.01),
        )
        return {check.name for check in every if check.alarm}

    number = 16_000
    assert checks(made(0.25, number, seed=11)) == set()
    assert checks(made(0.25, number, noise=0.9, seed=11)) == {"noise"}
    assert checks(made(0.25, number, moved=0.36, seed=11)) == {"shift"}
    assert checks(made(0.25, number, moved=0.0, seed=11)) == {"shift"}
    uniform = np.random.default_rng(2).uniform(-(3**0.5), 3**0.5, number)
    assert checks(made(0.25, number, draws=uniform)) == {"distribution"}
    lazy = np.random.default_rng(2).normal(size=number)
    lazy[::5] = 0.0  # every fifth without noise, the others with more: the variance is as planned
    lazy *= 1.25**0.5
    assert "distribution" in checks(made(0.25, number, draws=lazy, seed=1))


def test_a_failed_check_of_the_distribution_leaves_no_parametric_bound() -> None:
    """A bound that rests on a Gaussian must not be stated of something else."""
    bound = parametric(made(0.3), delta=DELTA, error=0.01, against="Skew.")
    assert (bound.epsilon, bound.alarm_epsilon, bound.reason) == (None, None, "Skew.")


def test_too_few_canaries() -> None:
    """Two or three canaries must give an answer, which is that they say nothing."""
    for number in (2, 3, 4):
        coins = np.arange(number) % 2 == 0
        scores = Scores(np.linspace(0, 1, number), coins, np.ones(number), 1.0)
        assert gdp(scores, delta=DELTA, error=0.01).epsilon == 0.0
        assert generic(scores, delta=DELTA, error=0.01).epsilon == 0.0
    nobody = Scores(np.zeros(9), np.zeros(9, dtype=bool), np.ones(9), 1.0)
    assert parametric(nobody, delta=DELTA, error=0.01).epsilon is None
    assert gdp(nobody, delta=DELTA, error=0.01).details["true_positives"] is None


def test_reach_grows_with_canaries_and_stays_below_the_truth() -> None:
    """Who plans an audit reads here how large it has to be."""
    scores, truth = made(0.25), gaussian_epsilon(0.25, DELTA)
    sizes = [reach(number, scores, delta=DELTA) for number in (2, 4, 40, 1000, 16_000)]
    planned = [max(size.parametric or 0, size.gdp, size.generic) for size in sizes]
    assert planned == sorted(planned)
    assert planned[-1] == pytest.approx(0.92 * truth, rel=0.03)
    assert all(size.gdp <= size.gdp_at_most for size in sizes)
    assert all(size.generic <= size.generic_at_most for size in sizes)
    assert sizes[1].gdp_at_most == 0.0  # four right guesses come by chance in 6% of cases
    assert sizes[0].parametric is None
    assert reach(1, scores, delta=DELTA).generic_at_most == 0.0  # a model that predicts one value
