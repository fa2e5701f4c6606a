"""What a Gaussian mechanism's mu means: its epsilon at a delta, and how often coins are guessed.

Source: Dong, Roth and Su, "Gaussian Differential Privacy" (2019, arXiv 1905.02383); the delta of
an epsilon is that of Balle and Wang, "Improving the Gaussian Mechanism" (2018, arXiv 1805.06530).
"""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.stats import norm

from secure_fedsa.privacy.cross_check import gaussian_log_delta

MOST_EPSILON = 1000.0
"""Larger bounds are given as this: it is no privacy at all."""


def gaussian_delta(epsilon: float, mu: float) -> float:
    """Return the delta of a mu-GDP mechanism at an epsilon, exactly.

    >>> round(gaussian_delta(0.0, 1.0), 4)
    0.3829
    """
    return math.exp(gaussian_log_delta(mu, epsilon))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the epsilon at ``delta`` of a mu-GDP mechanism, at most ``MOST_EPSILON``.

    >>> round(gaussian_epsilon(1.0, 1e-5), 3)
    4.377
    """
    if mu <= 0 or gaussian_delta(0.0, mu) <= delta:
        return 0.0
    if gaussian_delta(MOST_EPSILON, mu) >= delta:
        return MOST_EPSILON
    found = brentq(lambda e: gaussian_delta(e, mu) - delta, 0.0, MOST_EPSILON, xtol=1e-10)
    return float(found)


def mu_of_accuracy(accuracy: float) -> float:
    """Return the least mu under which a fair coin can be guessed right so often.

    Guessing the likelier of two Gaussians mu apart is right with probability Phi(mu / 2); by the
    Neyman-Pearson lemma no test of a mu-GDP mechanism does better.

    >>> mu_of_accuracy(0.5)
    0.0
    """
    return max(0.0, 2 * float(norm.ppf(accuracy))) + 0.0
