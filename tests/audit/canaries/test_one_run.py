"""The generic one-run audit against its paper and against its own definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from secure_fedsa.audit.canaries.one_run import (
    epsilon_bound,
    p_value,
    planned_accuracy,
    planned_guesses,
)
from secure_fedsa.audit.canaries.trade_off import MOST_EPSILON


@pytest.mark.parametrize(
    ("canaries", "guesses", "right", "delta", "published"),
    [
        (1000, 100, 75, 1e-4, 0.673),  # appendix D
        (100_000, 1510, 1439, 1e-5, 2.675),  # section 7
    ],
)
def test_the_papers_own_examples(
    canaries: int, guesses: int, right: int, delta: float, published: float
) -> None:
    """A bound that is not the published one has no proof. The paper's digits are cut or rounded."""
    found = epsilon_bound(canaries, guesses, right, delta=delta, error=0.05)
    assert abs(found - published) < 1e-3


@pytest.mark.parametrize(("r", "v", "m"), [(1, 1, 3), (7, 5, 9), (12, 12, 12), (10, 0, 40)])
def test_the_p_value_is_the_theorems(r: int, v: int, m: int) -> None:
    """Computed once more in fractions, from f and the maximum as the theorem writes them."""
    q, delta = Fraction(5, 7), Fraction(1, 100)

    def f(least: int) -> Fraction:
        return sum(
            (math.comb(r, k) * q**k * (1 - q) ** (r - k) for k in range(max(0, least), r + 1)),
            Fraction(0),
        )

    steepest = max([(f(v - i) - f(v)) / i for i in range(1, v + 1)], default=Fraction(0))
    expected = min(Fraction(1), f(v) + 2 * m * delta * steepest)
    epsilon = math.log(float(q / (1 - q)))
    assert p_value(m, r, v, epsilon, float(delta)) == pytest.approx(float(expected), rel=1e-9)


def test_ends() -> None:
    """No guess tells nothing; all right among many tells more than half right; none below zero."""
    assert epsilon_bound(100, 0, 0, delta=1e-5, error=0.05) == 0.0
    assert epsilon_bound(100, 100, 50, delta=1e-5, error=0.05) == 0.0
    assert epsilon_bound(100, 100, 0, delta=1e-5, error=0.05) == 0.0
    few = epsilon_bound(1000, 900, 900, delta=0.0, error=0.05)
    assert few == pytest.approx(math.log(0.05 ** (1 / 900) / (1 - 0.05 ** (1 / 900))), abs=1e-6)
    assert epsilon_bound(10**7, 10**7, 10**7, delta=0.0, error=0.05) < MOST_EPSILON
    assert p_value(1000, 100, 75, 0.673, 1e-4) == pytest.approx(0.05, rel=1e-2)


def test_the_number_of_guesses_is_the_plans_alone() -> None:
    """A number chosen after the scores were seen would void the confidence."""
    chosen = planned_guesses(4000, 1.0, delta=1e-5, error=0.05)
    assert chosen % 2 == 0
    assert 2 <= chosen < 4000

    def planned(number: int) -> float:
        right = math.floor(number * planned_accuracy(number / 4000, 1.0))
        return epsilon_bound(4000, number, right, delta=1e-5, error=0.05)

    assert planned(chosen) >= max(planned(number) for number in (100, 1000, 4000))
    assert planned_guesses(1, 1.0, delta=1e-5, error=0.05) == 0


def test_planned_accuracy_is_that_of_gaussian_scores() -> None:
    """Else the plan guesses too often or too seldom, and the bound is loose."""
    draw = np.random.default_rng(3)
    coins = draw.integers(0, 2, 400_000).astype(bool)
    scores = draw.normal(size=400_000) + np.where(coins, 0.4, -0.4)
    for share in (1.0, 0.3, 0.01):
        top = np.argsort(np.abs(scores))[-round(share * len(scores)) :]
        right = ((scores[top] > 0) == coins[top]).mean()
        assert planned_accuracy(share, 0.8) == pytest.approx(right, abs=0.02)


@pytest.mark.statistical
def test_randomised_response_is_not_accused() -> None:
    """Of a mechanism whose epsilon is known, bounds above it are at most as rare as promised.

    Randomised response is where the pure bound is exact: 5% of 2,000 audits, at most 7% here;
    fails by chance less than once in 10,000.
    """
    draw = np.random.default_rng()
    q = math.e / (1 + math.e)
    rights = draw.binomial(300, q, 2000)
    bounds = {v: epsilon_bound(300, 300, v, delta=0.0, error=0.05) for v in set(rights.tolist())}
    assert np.mean([bounds[v] > 1.0 for v in rights.tolist()]) <= 0.07
