"""Three lower bounds on epsilon at one delta, from the same scores.

* Parametric: scores are Gaussian around two means, and a t statistic bounds the distance of the
  means over the noise's standard deviation, both as found.
* GDP with Clopper-Pearson: guess each coin by the planned midpoint and bound how often that is
  right; only that the mechanism is mu-GDP for some mu, and canaries independent, is assumed.
* Generic: :mod:`secure_fedsa.audit.canaries.one_run`, which assumes neither.

Each holds with the confidence that it is asked for, each by itself.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, chi2, nct, norm

from secure_fedsa.audit.canaries.one_run import epsilon_bound, planned_guesses
from secure_fedsa.audit.canaries.scores import FloatArray, Scores
from secure_fedsa.audit.canaries.trade_off import MOST_EPSILON, gaussian_epsilon, mu_of_accuracy

ERROR = 0.05
"""Probability that one bound, by itself, is above the truth."""

_EXACT_NCT = 1e3  # t statistics up to which the library's distribution is used


@dataclass(frozen=True, slots=True)
class Fit:
    """Scores as a line through their loads: shift times load, plus noise.

    Attributes:
        shift: Distance of the two means as found, in planned standard deviations.
        information: Its variance is the noise's over this.
        variance: Of the noise as found, in planned variances.
        freedom: Degrees of freedom of the variance.
        residuals: float64 (M,): what is left, in planned standard deviations of each group.
        centre: What all scores have in common beside noise and canaries; 0 unless it was fitted.
        centre_information: Its variance is the noise's over this.
    """

    shift: float
    information: float
    variance: float
    freedom: int
    residuals: FloatArray
    centre: float = 0.0
    centre_information: float = math.inf


@dataclass(frozen=True, slots=True)
class Bound:
    """One method's answer.

    Attributes:
        method: parametric, gdp or generic.
        epsilon: The lower bound at 95% confidence; None if the method gives none.
        mu: Likewise of mu, for the methods that bound one.
        alarm_epsilon: The same bound at the confidence that the verdict asks for.
        details: What it comes from, as JSON values.
        reason: Why there is no bound; empty if there is one.
    """

    method: str
    epsilon: float | None
    mu: float | None
    alarm_epsilon: float | None
    details: dict[str, Any]
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def fit(scores: Scores, *, any_centre: bool = False) -> Fit | None:
    """Return the least-squares fit; None if there are too few canaries of either kind.

    The noise may have any one mean in all coordinates: it is fitted too, and canaries' signs keep
    it apart from the shift.

    Args:
        scores: The scores.
        any_centre: Fit what all scores have in common too, whatever it comes from. By plan an
            absent canary's score is noise, so that there is no such thing, and to leave it out
            makes the bound for add-remove tighter; the check of the distribution tests it.
    """
    present = scores.coins
    if min(present.sum(), (~present).sum()) < 2 or len(scores) < 5:
        return None
    weight = np.where(present, 1 / scores.spread, 1.0)
    columns = [np.where(present, scores.loads[1], scores.loads[0])]
    if scores.common.any():
        columns.append(scores.common)
    if any_centre:
        columns.append(np.ones(len(scores)))
    design, target = np.stack(columns, axis=1) * weight[:, None], scores.values * weight
    found, _, rank, _ = np.linalg.lstsq(design, target)
    if rank < len(columns):
        return None
    freedom = len(scores) - len(columns)
    residuals = target - design @ found
    spread = np.diag(np.linalg.inv(design.T @ design))
    return Fit(
        shift=float(found[0]),
        information=1 / float(spread[0]),
        variance=float(residuals @ residuals) / freedom,
        freedom=freedom,
        residuals=residuals,
        centre=float(found[-1]) if any_centre else 0.0,
        centre_information=1 / float(spread[-1]) if any_centre else math.inf,
    )


def mu_bound(found: Fit, error: float) -> float:
    """Return a lower bound on the true shift over the true noise, exact if scores are Gaussian.

    The statistic has a noncentral t distribution, of noncentrality mu sqrt(information). Where the
    library's is not reliable (noise next to nothing), the union of a chi-square and a Gaussian
    bound takes its place, which is looser.
    """
    if found.shift <= 0:
        return 0.0
    root = math.sqrt(found.information)
    deviation = math.sqrt(found.variance)
    if deviation * _EXACT_NCT < found.shift * root:
        if deviation == 0:
            return math.inf
        least = math.sqrt(float(chi2.ppf(error / 2, found.freedom)) / found.freedom)
        centre = found.shift * root / deviation * least - float(norm.isf(error / 2))
        return max(0.0, centre / root)
    statistic = found.shift * root / deviation

    def excess(centre: float) -> float:
        return float(nct.sf(statistic, found.freedom, centre)) - error

    if excess(0.0) >= 0:
        return 0.0
    return float(brentq(excess, 0.0, statistic + 10 * (1 + statistic), xtol=1e-9)) / root


def parametric(scores: Scores, *, delta: float, error: float, against: str = "") -> Bound:
    """Return the parametric bound.

    Args:
        scores: The scores.
        delta: At which epsilon is wanted.
        error: Of the bound for the verdict.
        against: What the distribution check found against Gaussian scores; empty if nothing.
    """
    found = fit(scores)
    if found is None:
        return Bound("parametric", None, None, None, {}, "Too few canaries of either kind.")
    details = {
        "shift": found.shift,
        "planned_shift": scores.shift,
        "noise": math.sqrt(found.variance),
    }
    if against:
        return Bound("parametric", None, None, None, details, against)
    free = fit(scores, any_centre=True)
    if free is not None:
        details["epsilon_of_any_centre"] = gaussian_epsilon(mu_bound(free, ERROR), delta)
    mu = mu_bound(found, ERROR)
    return Bound(
        "parametric",
        gaussian_epsilon(mu, delta),
        min(mu, MOST_EPSILON),
        gaussian_epsilon(mu_bound(found, error), delta),
        details,
    )


def gdp(scores: Scores, *, delta: float, error: float) -> Bound:
    """Return the GDP bound: Clopper-Pearson on the share of coins that the midpoint tells.

    The interval is on the accuracy, one binomial of M fair coins, instead of one each on true and
    false positives: by the Neyman-Pearson lemma accuracy bounds mu as well, and nothing has to be
    split. Both rates and their 97.5% limits are in the details.
    """
    number = len(scores)
    guessed = scores.values > scores.midpoint
    right = int((guessed == scores.coins).sum())

    def mu(level: float) -> float:
        return mu_of_accuracy(clopper_pearson(right, number, level))

    present, absent = int(scores.coins.sum()), int((~scores.coins).sum())
    hits, alarms = int(guessed[scores.coins].sum()), int(guessed[~scores.coins].sum())
    details = {
        "threshold": scores.midpoint,
        "right": right,
        "true_positives": hits / present if present else None,
        "true_positives_at_least": clopper_pearson(hits, present, 0.025),
        "false_positives": alarms / absent if absent else None,
        "false_positives_at_most": 1 - clopper_pearson(absent - alarms, absent, 0.025),
    }
    found = mu(ERROR)
    return Bound(
        "gdp",
        gaussian_epsilon(found, delta),
        min(found, MOST_EPSILON),
        gaussian_epsilon(mu(error), delta),
        details,
    )


def clopper_pearson(hits: int, trials: int, error: float) -> float:
    """Return the one-sided lower limit of a probability (Clopper and Pearson 1934).

    >>> clopper_pearson(0, 10, 0.05)
    0.0
    """
    return 0.0 if hits == 0 else float(beta.ppf(error, hits, trials - hits + 1))


def generic(scores: Scores, *, delta: float, error: float) -> Bound:
    """Return the generic bound: guess the highest scores present and the lowest absent."""
    number = len(scores)
    guesses = planned_guesses(number, scores.shift, delta=delta, error=ERROR)
    order = np.argsort(scores.values, kind="stable")
    half = guesses // 2
    right = int((~scores.coins[order[:half]]).sum() + scores.coins[order[number - half :]].sum())
    if not half:
        right = 0

    def bound(level: float) -> float:
        return epsilon_bound(number, guesses, right, delta=delta, error=level)

    return Bound("generic", bound(ERROR), None, bound(error), {"guesses": guesses, "right": right})
