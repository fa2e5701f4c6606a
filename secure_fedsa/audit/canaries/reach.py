"""What an audit of a given size can show at all, computed from the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from secure_fedsa.audit.canaries.checks import LEAST_FOR_SHAPE
from secure_fedsa.audit.canaries.estimators import ERROR, Fit, clopper_pearson, mu_bound
from secure_fedsa.audit.canaries.one_run import epsilon_bound, planned_accuracy, planned_guesses
from secure_fedsa.audit.canaries.scores import FloatArray, Scores
from secure_fedsa.audit.canaries.trade_off import gaussian_epsilon, mu_of_accuracy


@dataclass(frozen=True, slots=True)
class Reach:
    """Bounds on epsilon at 95% confidence that so many canaries reach.

    Attributes:
        canaries: How many, one a class.
        parametric: If the statistic comes out as planned; None below the 40 canaries that the
            check of the distribution needs.
        gdp: If as many guesses are right as planned.
        gdp_at_most: If every guess is right: no outcome gives more.
        generic: As ``gdp``.
        generic_at_most: As ``gdp_at_most``.
    """

    canaries: int
    parametric: float | None
    gdp: float
    gdp_at_most: float
    generic: float
    generic_at_most: float


def reach(canaries: int, scores: Scores, *, delta: float) -> Reach:
    """Return what ``canaries`` scores of the same plan as ``scores`` can show."""
    shift = scores.shift

    def by_accuracy(right: int) -> float:
        return gaussian_epsilon(mu_of_accuracy(clopper_pearson(right, canaries, ERROR)), delta)

    def by_guesses(guesses: int, right: int) -> float:
        return epsilon_bound(canaries, guesses, right, delta=delta, error=ERROR)

    guesses = planned_guesses(canaries, shift, delta=delta, error=ERROR)
    return Reach(
        canaries=canaries,
        parametric=_parametric(canaries, scores, delta),
        gdp=by_accuracy(math.floor(canaries * planned_accuracy(1.0, shift))),
        gdp_at_most=by_accuracy(canaries),
        generic=by_guesses(
            guesses, math.floor(guesses * planned_accuracy(guesses / max(1, canaries), shift))
        ),
        generic_at_most=by_guesses(canaries, canaries),
    )


def _parametric(canaries: int, scores: Scores, delta: float) -> float | None:
    if canaries < 2 * LEAST_FOR_SHAPE:
        return None
    nothing: FloatArray = np.zeros(0)
    information = canaries * sum(load**2 for load in scores.loads) / 2
    planned = Fit(scores.shift, information, 1.0, canaries - 2, nothing)
    return gaussian_epsilon(mu_bound(planned, ERROR), delta)
