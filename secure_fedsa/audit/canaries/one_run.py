"""The generic one-run audit of Steinke, Nasr and Jagielski (2023, arXiv 2305.08846).

If a mechanism is (epsilon, delta)-DP, and each of m fair coins decides whether one record is in its
input, then whoever guesses r of the coins, abstaining for the rest, has v or more right with
probability at most

    f(v) + 2 m delta max_i (f(v - i) - f(v)) / i,    f(v) = P[Binomial(r, q) >= v],

with q = e^epsilon / (1 + e^epsilon) and i from 1 to v (their theorem 5.2 and appendix D). It
assumes nothing about the scores: not that they are independent, nor what they are.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, norm

from secure_fedsa.audit.canaries.trade_off import MOST_EPSILON


def p_value(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """Return the most probable that ``right`` or more right guesses can be under (epsilon, delta).

    Args:
        canaries: m, each decided by a fair coin of its own.
        guesses: r, at most m.
        right: v, at most r.
        epsilon: At least 0.
        delta: From 0 to 1.
    """
    q = 1 / (1 + math.exp(-epsilon))
    least = float(binom.sf(right - 1, guesses, q))
    if delta == 0 or right == 0:
        return min(1.0, least)
    below = np.cumsum(binom.pmf(np.arange(right - 1, -1, -1), guesses, q))
    steepest = float((below / np.arange(1, right + 1)).max())
    return min(1.0, least + 2 * canaries * delta * steepest)


def epsilon_bound(canaries: int, guesses: int, right: int, *, delta: float, error: float) -> float:
    """Return the largest epsilon whose p-value is below ``error``: a lower bound on the true one.

    The published example (appendix D): 75 of 100 guesses right, among 1,000 canaries.

    >>> round(epsilon_bound(1000, 100, 75, delta=1e-4, error=0.05), 3)
    0.673
    """

    def excess(epsilon: float) -> float:
        return p_value(canaries, guesses, right, epsilon, delta) - error

    if guesses == 0 or excess(0.0) >= 0:
        return 0.0
    high = 1.0
    while excess(high) < 0 and high < MOST_EPSILON:
        high *= 2
    if excess(high) < 0:
        return MOST_EPSILON
    found = float(brentq(excess, 0.0, high, xtol=1e-9))
    return max(0.0, found - 1e-8)  # on the side of the bound


@lru_cache(maxsize=256)  # a plan of many canaries takes a good part of a second
def planned_guesses(canaries: int, shift: float, *, delta: float, error: float) -> int:
    """Return how many coins to guess, an even number, fixed before anything is released.

    The one of some 40 numbers that gives the largest bound if every score comes out as planned.
    """
    numbers = {2 * max(1, round(canaries / 2 * 0.85**step)) for step in range(40)}
    usable = sorted(number for number in numbers if number <= canaries)
    if not usable:
        return 0

    def planned(number: int) -> float:
        right = math.floor(number * planned_accuracy(number / canaries, shift))
        return epsilon_bound(canaries, number, right, delta=delta, error=error)

    return max(usable, key=planned)


def planned_accuracy(share: float, shift: float) -> float:
    """Return how often guesses on the most extreme ``share`` of all scores are right by plan."""
    half = shift / 2
    if share <= 0:
        return 1.0  # of no guesses at all

    def beyond(edge: float) -> float:
        return float(norm.sf(edge - half) + norm.sf(edge + half))

    edge = 0.0
    if share < 1:
        edge = float(brentq(lambda at: beyond(at) - share, 0.0, half + 40.0))
    return float(norm.sf(edge - half)) / beyond(edge)
