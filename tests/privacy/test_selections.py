"""What selections by noisy maximum cost, against mechanisms whose distributions are computed."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_from_rho
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import (
    MAX_CHOICES,
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
    Selection,
    event_from_dict,
)
from secure_fedsa.privacy.selection_accountant import selection_splits

FloatArray = npt.NDArray[np.float64]
Mechanism = Callable[[FloatArray, float], FloatArray]
ORDERS = (1.01, 1.5, 2.0, 4.0, 16.0, 64.0)
EPSILONS = (0.1, 1.0, 4.0)


def exponential(scores: FloatArray, epsilon: float) -> FloatArray:
    """Return the probabilities of each outcome; scores have sensitivity 1."""
    weights = np.exp(epsilon / 2 * (scores - scores.max()))
    return np.asarray(weights / weights.sum())


def permute_and_flip(scores: FloatArray, epsilon: float) -> FloatArray:
    """Return the probabilities of each outcome, by all orders of the candidates."""
    heads = np.exp(epsilon / 2 * (scores - scores.max()))
    found = np.zeros(len(scores))
    orders = list(itertools.permutations(range(len(scores))))
    for order in orders:
        reached = 1.0
        for candidate in order:
            found[candidate] += reached * heads[candidate]
            reached *= 1 - heads[candidate]
    return found / len(orders)


def losses(mechanism: Mechanism) -> Iterator[tuple[float, FloatArray, FloatArray]]:
    """Yield epsilon, probabilities and privacy losses of neighbours with few candidates."""
    for epsilon, size in itertools.product(EPSILONS, (2, 3)):
        for scores in itertools.product((0.0, 1.0, 4.0, 12.0), repeat=size):
            for change in itertools.product((-1.0, 0.0, 1.0), repeat=size):
                p = mechanism(np.array(scores), epsilon)
                q = mechanism(np.array(scores) + np.array(change), epsilon)
                yield epsilon, p, np.log(p / q)


def renyi(p: FloatArray, loss: FloatArray, order: float) -> float:
    return float(np.log(np.sum(p * np.exp((order - 1) * loss))) / (order - 1))


@pytest.mark.parametrize(
    ("mechanism", "event"),
    [(exponential, ExponentialMechanism), (permute_and_flip, PermuteAndFlip)],
)
def test_no_neighbours_lose_more_than_the_epsilon_and_the_rho_of_a_choice(
    mechanism: Mechanism, event: type[Selection]
) -> None:
    """If this fails, a selection is charged less than it tells; and the bounds are reached."""
    nearest = {"pure": 0.0, "rho": 0.0}
    for epsilon, p, loss in losses(mechanism):
        rho = selection_splits([event(epsilon)])[-1].rho
        pure = float(np.abs(loss).max())
        concentrated = max(renyi(p, loss, order) / order for order in ORDERS)
        assert pure <= epsilon * (1 + 1e-9)
        assert concentrated <= rho * (1 + 1e-9)
        nearest["pure"] = max(nearest["pure"], pure / epsilon)
        nearest["rho"] = max(nearest["rho"], concentrated / rho)
    assert nearest["pure"] > 0.99
    assert nearest["rho"] > 0.9


def test_the_exponential_mechanism_has_a_bounded_range_and_permute_and_flip_has_none() -> None:
    """If this fails, permute-and-flip is charged a quarter of what it tells, or the other four."""

    def widest(mechanism: Mechanism) -> float:
        return max(float(loss.max() - loss.min()) / e for e, _, loss in losses(mechanism))

    assert widest(exponential) <= 1 + 1e-9
    assert widest(permute_and_flip) > 1.9
    passed = [
        renyi(p, loss, order) > order * epsilon**2 / 8
        for epsilon, p, loss in losses(permute_and_flip)
        for order in ORDERS
    ]
    assert any(passed)


def exact_delta(p: FloatArray, q: FloatArray, epsilon: float) -> float:
    return float(np.maximum(p - math.exp(epsilon) * q, 0.0).sum())


def product(parts: list[FloatArray]) -> FloatArray:
    found = np.ones(1)
    for part in parts:
        found = np.outer(found, part).ravel()
    return found


def gaussian(mean: int, scale: float) -> FloatArray:
    x = np.arange(-60, 61)
    weights = np.exp(-((x - mean) ** 2) / (2 * scale**2))
    return np.asarray(weights / weights.sum())


@pytest.mark.parametrize("delta", [1e-2, 1e-3, 1e-5])
def test_amounts_of_both_selections_and_a_release_are_above_the_exact_loss(delta: float) -> None:
    """If this fails, the total of a data set that was selected from and released is too small."""
    worst = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    for choices, flips, epsilon in (
        (1, 0, 1.0),
        (6, 0, 0.3),
        (0, 3, 0.5),
        (4, 3, 0.2),
        (8, 1, 0.1),
    ):
        parts = [
            [exponential(side, epsilon)] * choices + [permute_and_flip(side, epsilon)] * flips
            for side in worst
        ]
        events: list[Event] = []
        events += [ExponentialMechanism(epsilon, choices)] if choices else []
        events += [PermuteAndFlip(epsilon, flips)] if flips else []
        for release in ([], [DiscreteGaussianRelease(1.0, 4.0, 1)]):
            noisy = [[gaussian(side, 4.0)] if release else [] for side in (0, 1)]
            p, q = (product([*parts[at], *noisy[at]]) for at in (0, 1))
            stated = Amount.of([*events, *release]).epsilon(delta)
            assert exact_delta(p, q, stated) <= delta
            assert exact_delta(q, p, stated) <= delta


def test_the_cheapest_way_to_count_is_taken() -> None:
    """If this fails, many small choices cost ten times what they must."""
    one, many = Amount.of([ExponentialMechanism(1.0)]), Amount.of([ExponentialMechanism(0.1, 100)])
    assert one.epsilon(1e-5) == 1.0
    assert many.epsilon(1e-5) == pytest.approx(epsilon_from_rho(0.125, 1e-5), rel=1e-12)
    assert many.epsilon(1e-5) < 2.17
    assert many.epsilon(1e-300) == pytest.approx(10.0)
    both = Amount.sum([one, many])
    assert both.epsilon(1e-5) <= one.epsilon(1e-5) + many.epsilon(1e-5)
    # With releases or trainings beside, neither way is worse than the other alone.
    mixed = Amount.sum([both, Amount.of([DiscreteGaussianRelease(1.0, 4.0, 1)])])
    pure = sum(event.choices * event.epsilon for event in mixed.selections)
    assert mixed.epsilon(1e-5) <= pure + epsilon_from_rho(mixed.rho, 1e-5)
    rho = sum(event.choices * event.epsilon**2 / 8 for event in mixed.selections)
    assert mixed.epsilon(1e-5) <= epsilon_from_rho(mixed.rho + rho, 1e-5) * (1 + 1e-12)


def test_the_rho_of_choices_is_what_the_library_makes_of_it() -> None:
    """If this fails, dp_accounting composes our rho to another epsilon than we do."""
    from dp_accounting import GaussianDpEvent, SelfComposedDpEvent, ZCDpEvent
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant([1 + math.exp(step / 20) for step in range(-80, 200)])
    accountant.compose(SelfComposedDpEvent(ZCDpEvent(0.1**2 / 8), 100))
    accountant.compose(GaussianDpEvent(4.0))
    ours = Amount.of([ExponentialMechanism(0.1, 100), DiscreteGaussianRelease(1024.0, 4096.0, 3)])
    assert ours.epsilon(1e-5) == pytest.approx(accountant.get_epsilon(1e-5), rel=1e-3)
    assert ours.epsilon(1e-5) <= accountant.get_epsilon(1e-5) * (1 + 1e-9)


@pytest.mark.parametrize("kind", [ExponentialMechanism, PermuteAndFlip])
def test_values_that_make_no_selection_are_refused(kind: type[Selection]) -> None:
    """If this fails, a NaN in an imported event is an epsilon of zero."""
    good = kind(0.5, 3).to_dict()
    assert event_from_dict(good) == kind(0.5, 3)
    bad: list[dict[str, Any]] = [
        {**good, name: value}
        for name in ("epsilon", "choices")
        for value in (math.nan, math.inf, 0, -1, True, "1", None, 1e-10, 10**7)
    ]
    bad += [
        {**good, "delta": 1e-5},
        {"kind": kind.kind, "epsilon": 0.5},
        {**good, "kind": "gumbel"},
    ]
    for value in bad:
        with pytest.raises(PrivacyParameterError):
            event_from_dict(value)
    other = PermuteAndFlip if kind is ExponentialMechanism else ExponentialMechanism
    with pytest.raises(PrivacyParameterError):
        other.from_dict(good)
    with pytest.raises(PrivacyParameterError):
        Amount.of([kind(0.5, MAX_CHOICES), kind(0.5)])


def test_a_budget_that_selections_used_up_has_nothing_left() -> None:
    """If this fails, a release is allowed after the budget is gone."""
    spent = Amount.of([PermuteAndFlip(2.0)])
    assert spent.rho_left(2.0, 1e-5) == 0.0
    assert spent.rho_left(2.0 + 1e-9, 1e-5) == 0.0
    assert spent.rho_left(2.5, 1e-5) > 0.0
    mixed = Amount.of([PermuteAndFlip(2.0), DpSgdTraining(4.0, 0.1, 100)])
    assert mixed.rho_left(mixed.epsilon(1e-5), 1e-5) == 0.0
    for bad in (math.nan, -1.0, 0.0):
        with pytest.raises(PrivacyParameterError):
            spent.rho_left(bad, 1e-5)
