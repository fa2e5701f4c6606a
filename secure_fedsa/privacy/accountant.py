"""Epsilon of a composition of discrete Gaussian releases, by a proved bound.

Source: Canonne, Kamath and Steinke, "The Discrete Gaussian for Differential Privacy"
(2020, arXiv 2004.00010), called CKS20 below.

* A vector of integers of L2 sensitivity D plus independent discrete Gaussians of scale
  sigma is rho-zCDP with rho = D^2 / (2 sigma^2) (CKS20, theorem 14, for each coordinate
  at integer distances d_j, added over coordinates: sum d_j^2 <= D^2). This is exact for
  every grid and dimension, and the rho of composed releases add up.
* rho-zCDP is (alpha, rho alpha)-RDP for every alpha > 1, which gives (epsilon, delta) with
  epsilon = rho alpha + log(1 - 1/alpha) - log(delta alpha) / (alpha - 1)
  (CKS20, proposition 12). Any alpha gives a true bound; we take the least.

All of rho is exact rational arithmetic rounded up at the end, so that it is the same number
on every machine. Epsilon goes through ``math.log``: compare it across machines to 1e-9.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.events import Event, only_releases
from secure_fedsa.privacy.parameters import positive, probability

NAME = "zCDP of the discrete Gaussian, converted through RDP (Canonne, Kamath, Steinke 2020)"
VERSION = "1"

EPSILON_TOLERANCE = 1e-9
"""Relative difference between two machines' epsilons of the same rho."""
_GOLDEN = (math.sqrt(5) - 1) / 2


def round_up(value: Fraction) -> float:
    """Return the least float that is not below ``value``.

    Raises:
        PrivacyParameterError: If ``value`` is beyond the largest float.

    >>> Fraction(round_up(Fraction(1, 3))) >= Fraction(1, 3)
    True
    """
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if Fraction(number) < value if math.isfinite(number) else False:
        number = math.nextafter(number, math.inf)
    if math.isinf(number):
        raise PrivacyParameterError(
            "This composition has no finite privacy loss.", do="Use more noise."
        )
    return number


def compose_rho(values: Iterable[float]) -> float:
    """Return the sum of zCDP parameters, added exactly and rounded up once.

    Raises:
        PrivacyParameterError: If a value is negative or not finite.
    """
    total = Fraction(0)
    for value in values:
        total += Fraction(positive(value, "rho")) if value != 0 else 0
    return round_up(total)


def rho_of(events: Iterable[Event]) -> float:
    """Return the zCDP parameter rho of composed events; 0.0 for no events.

    >>> from secure_fedsa.privacy.events import DiscreteGaussianRelease
    >>> rho_of([DiscreteGaussianRelease(1.0, 4.0, 1)] * 2)
    0.0625
    """
    return compose_rho(
        round_up((Fraction(event.sensitivity) / Fraction(event.noise_scale)) ** 2 / 2)
        for event in only_releases(events)
    )


def _epsilon_at(rho: float, log_delta: float, log_excess: float) -> float:
    """Return the conversion at alpha = 1 + exp(log_excess), rounded outward."""
    excess = math.exp(log_excess)
    terms = (
        rho,
        rho * excess,
        -math.log1p(1 / excess),
        -log_delta / excess,
        -math.log1p(excess) / excess,
    )
    return math.fsum(terms) + 1e-14 * math.fsum(map(abs, terms))


def epsilon_from_rho(rho: float, delta: float) -> float:
    """Return the epsilon at ``delta`` of a rho-zCDP mechanism.

    Args:
        rho: zCDP parameter, at least 0 (0 means that nothing was released).
        delta: Probability, strictly between 0 and 1, as small as wanted.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> round(epsilon_from_rho(1 / (2 * 4.05**2), 1e-5), 3)
    0.999
    """
    delta = probability(delta, "delta")
    if rho == 0:
        return 0.0
    rho = positive(rho, "rho")
    if not 1e-150 < rho < 1e150:
        raise PrivacyParameterError(
            f"A rho of {rho:g} is no privacy claim that anybody could use.",
            do="Check the noise scale and the sensitivity.",
        )
    log_delta = math.log(delta)

    def bound(log_excess: float) -> float:
        return _epsilon_at(rho, log_delta, log_excess)

    centre = 0.5 * math.log(-log_delta / rho)
    best = min((centre + step / 4 for step in range(-60, 61)), key=bound)
    low, high = best - 0.25, best + 0.25
    for _ in range(48):
        width = _GOLDEN * (high - low)
        if bound(high - width) <= bound(low + width):
            high = low + width
        else:
            low = high - width
    return max(0.0, min(bound(best), bound((low + high) / 2)))


def epsilon_of(events: Iterable[Event], delta: float) -> float:
    """Return the epsilon at ``delta`` of composed events; 0.0 for no events.

    Raises:
        PrivacyParameterError: If ``delta`` is out of range.
    """
    return epsilon_from_rho(rho_of(events), delta)


def rho_for_epsilon(epsilon: float, delta: float) -> float:
    """Return a rho, the largest to about 1e-12, whose epsilon at ``delta`` is not above.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> rho = rho_for_epsilon(1.0, 1e-5)
    >>> epsilon_from_rho(rho, 1e-5) <= 1.0 < epsilon_from_rho(rho * 1.0001, 1e-5)
    True
    """
    epsilon = positive(epsilon, "epsilon")
    delta = probability(delta, "delta")
    if not 1e-6 <= epsilon <= 1e6:
        raise PrivacyParameterError(
            f"A budget of epsilon {epsilon:g} cannot be calibrated.",
            do="Use an epsilon between 0.000001 and 1000000.",
        )
    low = high = epsilon
    while epsilon_from_rho(low, delta) > epsilon:
        low /= 2
    while epsilon_from_rho(high, delta) <= epsilon:
        high *= 2
    while high > low * (1 + 1e-12):
        middle = math.sqrt(low * high)
        if epsilon_from_rho(middle, delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low
