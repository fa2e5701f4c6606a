"""Epsilon of compositions, and the other accountants' opinion."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from secure_fedsa.errors import CrossCheckError, PrivacyParameterError
from secure_fedsa.privacy.accountant import (
    compose_rho,
    epsilon_from_rho,
    epsilon_of,
    rho_for_epsilon,
    rho_of,
)
from secure_fedsa.privacy.cross_check import cross_check, require_agreement, transfer_terms
from secure_fedsa.privacy.events import DiscreteGaussianRelease

BAD = [-1, math.nan, math.inf, -math.inf, "1", None, True]


def release(multiplier: float, grid: float = 1024.0) -> DiscreteGaussianRelease:
    return DiscreteGaussianRelease(grid, grid * multiplier, 257)


def exact_delta(mu: float, epsilon: float) -> float:
    """Balle and Wang (2018), theorem 8: delta of a Gaussian with sensitivity/scale mu."""

    def tail(x: float) -> float:
        return math.erfc(x / math.sqrt(2)) / 2

    return tail(epsilon / mu - mu / 2) - math.exp(epsilon) * tail(epsilon / mu + mu / 2)


@pytest.mark.parametrize(
    ("multiplier", "count", "epsilon"), [(4.05, 1, 0.999), (1.0, 1, 4.729), (2.0, 30, 15.85)]
)
def test_known_epsilons(multiplier: float, count: int, epsilon: float) -> None:
    """If this fails, the receipt states another epsilon than the literature's formula."""
    assert epsilon_of([release(multiplier)] * count, 1e-5) == pytest.approx(epsilon, rel=1e-3)


@settings(max_examples=200, deadline=None)
@given(st.floats(-4, 1.2), st.floats(-300, -0.4))
def test_epsilon_lies_between_the_exact_gaussian_and_the_simple_bound(
    log_mu: float, log_delta: float
) -> None:
    """If this fails, epsilon is under-reported, or the conversion wastes budget."""
    mu, delta = 10**log_mu, 10**log_delta
    epsilon = epsilon_from_rho(mu**2 / 2, delta)
    assert epsilon <= mu**2 / 2 + mu * math.sqrt(-2 * log_delta * math.log(10)) * (1 + 1e-9)
    assume(epsilon < 600)
    assert exact_delta(mu, epsilon) <= delta * (1 + 1e-6) + 1e-300


@settings(max_examples=100, deadline=None)
@given(st.floats(-8, 3), st.floats(-200, -1), st.floats(0, 40))
def test_epsilon_is_the_least_over_orders(log_rho: float, log_delta: float, fold: float) -> None:
    """If this fails, the search missed the best order and people over-pay for noise."""
    rho, delta = 10**log_rho, 10**log_delta
    alpha = 1 + math.exp(fold - 20)
    bound = rho * alpha + math.log1p(-1 / alpha) - (math.log(delta) + math.log(alpha)) / (alpha - 1)
    assume(alpha > 1 + 1e-6)
    assert epsilon_from_rho(rho, delta) <= max(0.0, bound) * (1 + 1e-6) + 1e-12


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-4, 1e3), st.floats(-300, -1))
def test_epsilon_and_rho_are_inverse(epsilon: float, log_delta: float) -> None:
    """If this fails, what is left of a budget is stated wrongly."""
    delta = 10**log_delta
    rho = rho_for_epsilon(epsilon, delta)
    assert epsilon_from_rho(rho, delta) <= epsilon
    assert epsilon_from_rho(rho * (1 + 1e-9), delta) > epsilon


@given(st.lists(st.tuples(st.floats(0.1, 1e6), st.floats(0.1, 1e6)), max_size=6))
def test_rho_adds_up_and_is_never_rounded_down(pairs: list[tuple[float, float]]) -> None:
    """If this fails, many small charges add up to less than they cost."""
    composition = [DiscreteGaussianRelease(*pair, 1) for pair in pairs]
    exact = sum((Fraction(a) / Fraction(b)) ** 2 / 2 for a, b in pairs)
    total = rho_of(composition)
    assert exact <= Fraction(total) <= exact * (1 + Fraction(1, 10**14))
    assert total == rho_of(reversed(composition))


def test_nothing_costs_nothing() -> None:
    """If this fails, a fresh ledger shows a debt."""
    assert rho_of([]) == 0.0
    assert epsilon_of([], 1e-5) == 0.0


@pytest.mark.parametrize("value", [*BAD, 0, 1, 1.5])
def test_bad_deltas_are_refused(value: Any) -> None:
    """If this fails, delta 1 makes every release look private."""
    with pytest.raises(PrivacyParameterError):
        epsilon_from_rho(0.5, value)
    with pytest.raises(PrivacyParameterError):
        epsilon_from_rho(0.0, value)
    with pytest.raises(PrivacyParameterError):
        rho_for_epsilon(1.0, value)
    with pytest.raises(PrivacyParameterError):
        cross_check([release(4.05)], value)


@pytest.mark.parametrize("value", BAD)
def test_bad_rho_and_epsilon_are_refused(value: Any) -> None:
    """If this fails, a NaN in a ledger reads as epsilon 0."""
    with pytest.raises(PrivacyParameterError):
        epsilon_from_rho(value, 1e-5)
    with pytest.raises(PrivacyParameterError):
        compose_rho([0.1, value])
    with pytest.raises(PrivacyParameterError):
        rho_for_epsilon(value, 1e-5)


def test_absurd_magnitudes_are_refused_not_returned() -> None:
    """If this fails, an overflow reads as a number."""
    with pytest.raises(PrivacyParameterError):
        epsilon_from_rho(1e200, 1e-5)
    with pytest.raises(PrivacyParameterError):
        rho_of([DiscreteGaussianRelease(2.0**52, 1e-300, 1)])
    with pytest.raises(PrivacyParameterError):
        rho_for_epsilon(0, 1e-5)


@pytest.mark.parametrize(
    ("multipliers", "delta"),
    [
        ([4.05], 1e-5),
        ([4.05] * 30, 1e-5),
        ([0.2], 1e-5),
        ([0.7, 5.0, 40.0, 41.0, 42.0], 1e-6),
        ([1e4], 1e-9),
        ([4.05], 1e-12),
        ([4.05], 1e-13),
        ([4.05], 1e-300),
        ([4.05], 5e-324),
        ([0.7], 0.01),
    ],
)
def test_accountants_agree(multipliers: list[float], delta: float) -> None:
    """If this fails, a good agreement is refused, or a wrong accountant goes unnoticed."""
    check = cross_check([release(multiplier) for multiplier in multipliers], delta)
    assert check.epsilon == epsilon_of([release(m) for m in multipliers], delta)
    assert check.rdp_epsilon == pytest.approx(check.epsilon, rel=0.01)
    if delta >= 1e-13:
        assert check.pld_epsilon is not None
        assert check.pld_epsilon <= check.epsilon
        assert check.pld_epsilon >= 0.7 * check.epsilon
    if delta >= 1e-12:
        assert check.pld_epsilon is not None
        assert check.pld_transferred is not None
        assert check.pld_epsilon <= check.pld_transferred <= check.epsilon
    assert check.to_dict()["accountant_version"]
    assert check.dp_accounting_version


def test_alarms() -> None:
    """If this fails, an accountant that under-reports is believed."""
    check = cross_check([release(4.05)], 1e-5)
    assert check.pld_epsilon is not None
    wrong = [
        replace(check, epsilon=check.epsilon * 0.95),
        replace(check, epsilon=check.epsilon * 1.05),
        replace(check, epsilon=check.zcdp_epsilon * 1.01, rdp_epsilon=check.zcdp_epsilon * 1.01),
        replace(check, epsilon=0.9 * check.pld_epsilon, rdp_epsilon=0.9 * check.pld_epsilon),
        replace(check, epsilon=math.nan),
        replace(check, rdp_epsilon=math.nan),
        replace(check, pld_epsilon=math.inf),
        replace(check, rdp_epsilon=0.0),
    ]
    for numbers in wrong:
        with pytest.raises(CrossCheckError):
            require_agreement(numbers)


@pytest.mark.parametrize(
    "plant", ["rho", "conversion", "rdp", "rdp count", "pld high", "pld low", "orders"]
)
def test_a_fault_planted_inside_any_accountant_raises_the_alarm(
    plant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a mistake in one line of an accountant, ours or theirs, goes unnoticed."""
    from dp_accounting import GaussianDpEvent
    from dp_accounting.rdp import RdpAccountant

    from secure_fedsa.privacy import accountant
    from secure_fedsa.privacy import cross_check as module

    module._cross_check.cache_clear()
    convert, rho, pld = accountant.epsilon_from_rho, accountant.rho_of, module._pld_epsilons
    compose = RdpAccountant.compose

    def louder(event: Any) -> Any:
        return GaussianDpEvent(event.noise_multiplier * 1.02)

    planted: dict[str, tuple[Any, str, Any]] = {
        "rho": (accountant, "rho_of", lambda found: rho(found) / 1.03),
        "conversion": (accountant, "epsilon_from_rho", lambda r, d: convert(r, d * 1.2)),
        "rdp": (RdpAccountant, "compose", lambda self, e, n: compose(self, louder(e), n)),
        "rdp count": (RdpAccountant, "compose", lambda self, e, n: compose(self, e, n - 1)),
        "pld high": (module, "_pld_epsilons", lambda r, d: pld(r * 1.01, d)),
        "pld low": (module, "_pld_epsilons", lambda r, d: pld(r * 0.99, d)),
        "orders": (module, "_ORDERS_PER_E_FOLD", 1),
    }
    monkeypatch.setattr(*planted[plant])
    try:
        with pytest.raises(CrossCheckError):
            cross_check([release(4.05)] * 3, 1e-5)
    finally:
        module._cross_check.cache_clear()


def test_what_promises_nothing_is_refused() -> None:
    """If this fails, an agreement with epsilon 1000 gets a receipt."""
    for composition, delta in (([], 1e-5), ([release(0.01)], 1e-5), ([release(4.05)], 0.5)):
        with pytest.raises(PrivacyParameterError):
            cross_check(composition, delta)


@pytest.mark.parametrize(("sigma", "distance"), [(2.0, 1), (3.0, 4), (5.0, 2)])
def test_transfer_bound_holds_where_it_can_be_computed(sigma: float, distance: int) -> None:
    """If this fails, the PLD figure for the discrete mechanism is not a bound at all.

    One coordinate: delta of the discrete Gaussian at epsilon + 2 eta is summed exactly and
    compared with the bound from the continuous one.
    """
    event = DiscreteGaussianRelease(distance, sigma, 1)
    reach = range(-200, 201)
    weights = {x: math.exp(-(x**2) / (2 * sigma**2)) for x in reach}
    total = sum(weights.values())
    for tail in (1e-3, 1e-6, 1e-9):
        eta, tau = transfer_terms([event], tail)
        assert 0 < tau <= tail
        for epsilon in (0.1, 0.5, 1.0, 2.0):
            shifted = math.exp(epsilon + 2 * eta)
            discrete = math.fsum(
                max(0.0, weights[x] - shifted * weights.get(x - distance, 0.0)) / total
                for x in reach
            )
            continuous = exact_delta(distance / sigma, epsilon)
            assert discrete <= math.exp(eta) * continuous + tau


def test_transfer_terms_add_up_and_follow_the_protocol() -> None:
    """If this fails, eta and tau are not the ones that protocol and receipt name."""
    event = release(4.05)
    eta, tau = transfer_terms([event], 1e-6)
    shift = 1 / 4.05
    width = shift + math.sqrt(2 * math.log(4 * 257 / 1e-6))
    assert eta == pytest.approx(257 * (width**2 + 1) / (24 * (1024 * 4.05) ** 2))
    tails = math.exp(-(width**2) / 2) + math.exp(-((width - shift) ** 2) / 2)
    assert tau == pytest.approx(2 * 257 * tails)
    assert transfer_terms([event] * 2, 1e-6)[0] > 2 * eta
