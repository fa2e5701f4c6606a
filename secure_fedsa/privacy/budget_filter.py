"""When a budget holds although later runs are chosen by what earlier ones showed.

Whether a next run may be charged is asked of a *filter* (Rogers, Roth, Ullman and Vadhan 2016): a
rule that says stop before a budget, fixed beforehand, could be passed. What was spent so far is an
*odometer's* reading; as a bound of its own it holds only if all parameters were fixed beforehand.
The rule here, of a budget B (epsilon) at a delta:

1. Releases alone: the sum of their rho is at most R, the largest rho whose epsilon at delta is at
   most B. Renyi divergences of one fixed order add up along an adaptive choice of mechanisms and
   parameters (Feldman and Zrnic 2021, their Renyi filter; Whitehouse, Ramdas, Rogers and Wu 2023
   for zCDP), so that all of it is (A, R A)-RDP for every order A, the best one included: no loss.
2. Trainings of one noise and one sampling rate: their privacy loss distribution. How many steps
   there are may depend on what they showed: a query that does not look at the records is one of
   the queries that an adaptive composition of N equal steps may ask, so stopping early is a case
   of all N.
3. Selections by their rho, the last of the ways to count them that
   :mod:`.selection_accountant` lists: fixed before anything ran. To count some by their pure
   epsilons since that turned out better would be a choice by results. Then as 1.
4. Everything else: the privacy loss distributions of mechanisms that are chosen by each other's
   results are no filter in general (Regehr et al. 2026, arXiv 2602.15815, for families that
   composition does not order). Renyi divergences of one order are. The order is
   :func:`filter_order`, fixed by B and delta before anything ran; each training counts as a rho of
   its divergence at that order over the order, and the sum must be at most R. A release counts as
   in 1, a selection as in 3, so 1, 3 and 4 are one filter.

Going from 2 to 4 by looking at results changes the filter on the way: then the sum of both
failure probabilities, twice delta, is what is proved. The arguments:
``docs/decisions/0016-budgets-are-filters.md``.
"""

from __future__ import annotations

import math
from functools import lru_cache

from secure_fedsa.privacy.accountant import rho_for_epsilon
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.parameters import positive, probability
from secure_fedsa.privacy.selection_accountant import selection_splits

NAME = "Renyi filter of one order, fixed by the budget"
VERSION = "1"

_LARGEST_BUDGET = 1e6
_LARGEST_ORDER = 4096  # of budgets below about 0.005: no training of another kind fits those
_GOLDEN = (math.sqrt(5) - 1) / 2
_OUTWARD = 1 + 1e-9


def is_of_one_kind(amount: Amount) -> bool:
    """Return whether an amount is of releases alone, or of trainings of one noise and rate."""
    if amount.selections:
        return False
    return amount.releases_only or (amount.rho == 0 and len(amount.trainings) == 1)


def rho_budget(budget: float, delta: float) -> float:
    """Return R, the largest rho whose epsilon at ``delta`` is at most ``budget``.

    Raises:
        PrivacyParameterError: If a value is out of range.
    """
    return rho_for_epsilon(min(positive(budget, "budget"), _LARGEST_BUDGET), delta)


@lru_cache(maxsize=256)
def filter_order(budget: float, delta: float) -> float:
    """Return the order of Renyi divergences that a budget is held at.

    It is the best one for a budget that releases fill; any fixed order gives a true bound.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> 17 < filter_order(1.0, 1e-5) < 19
    True
    """
    rho, log_delta = rho_budget(budget, delta), math.log(probability(delta, "delta"))

    def epsilon(log_excess: float) -> float:
        excess = math.exp(log_excess)
        return (
            rho * (1 + excess) - math.log1p(1 / excess) - (log_delta + math.log1p(excess)) / excess
        )

    centre = 0.5 * math.log(-log_delta / rho)
    low, high = centre - 8.0, centre + 8.0
    for _ in range(80):
        width = _GOLDEN * (high - low)
        if epsilon(high - width) <= epsilon(low + width):
            high = low + width
        else:
            low = high - width
    return 1 + math.exp((low + high) / 2)


@lru_cache(maxsize=4096)
def step_divergence(noise_multiplier: float, sampling_rate: float, order: int) -> float:
    """Return a bound on the Renyi divergence of one step of DP-SGD, for add or remove.

    The closed form for whole orders (Mironov, Talwar and Zhang 2019, arXiv 1908.10530, section
    3.3): the logarithm of sum_k binomial(A, k) (1-q)^(A-k) q^k exp((k^2 - k) / 2 z^2), over A - 1.

    >>> round(step_divergence(2.0, 1.0, 4), 6)  # without sampling: order / 2 z^2
    0.5
    """
    DpSgdTraining(noise_multiplier, sampling_rate, 1)
    if sampling_rate == 1:
        return order / (2 * noise_multiplier**2) * _OUTWARD
    kept, taken = math.log1p(-sampling_rate), math.log(sampling_rate)
    terms = [
        math.lgamma(order + 1)
        - math.lgamma(k + 1)
        - math.lgamma(order - k + 1)
        + (order - k) * kept
        + k * taken
        + (k * k - k) / (2 * noise_multiplier**2)
        for k in range(order + 1)
    ]
    largest = max(terms)
    total = largest + math.log(math.fsum(math.exp(term - largest) for term in terms))
    # Of the terms' cancellation: they add up to 1 + something small.
    return max(0.0, total + 1e-14 * order) / (order - 1) * _OUTWARD


def counted_rho(amount: Amount, budget: float, delta: float) -> float:
    """Return what the filter of a budget counts of an amount, to compare with R.

    Infinite after a use without differential privacy.

    Raises:
        PrivacyParameterError: If a value is out of range.
    """
    order = filter_order(budget, delta)
    if amount.unprotected or (amount.trainings and order > _LARGEST_ORDER):
        return math.inf
    whole = math.ceil(order)  # divergences grow with the order
    trained = math.fsum(
        event.steps * step_divergence(event.noise_multiplier, event.sampling_rate, whole)
        for event in amount.trainings
    )
    chosen = selection_splits(amount.selections)[-1].rho
    return amount.rho + chosen + trained / order


def admits(amount: Amount, budget: float, delta: float) -> bool:
    """Return whether the filter of a budget lets an amount pass; see the module's docstring.

    Of amounts of one kind, the caller's own comparison of epsilon with the budget is the filter.

    Raises:
        PrivacyParameterError: If a value is out of range.
    """
    if is_of_one_kind(amount):
        return True
    return counted_rho(amount, budget, delta) <= rho_budget(budget, delta)
