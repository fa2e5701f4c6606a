"""Three checks of scores against the plan: they see smaller faults than a bound on epsilon does."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from secure_fedsa.audit.canaries.estimators import Fit, fit
from secure_fedsa.audit.canaries.scores import FloatArray, Scores

LEAST_FOR_SHAPE = 20
"""Canaries of either kind that the check of the distribution needs."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: noise, shift or distribution.
        p_value: Probability of so large a deviation if all is as planned; None if not checked.
        level: The check alarms below it.
        found: What was found and where the check alarms, as words.
        value: The figure that was compared with the plan; None where there is not one figure.
        planned: What it is by plan; None likewise.
        least: Smallest figure without an alarm; None if the check does not alarm below.
        most: Largest one; None if it does not alarm above.
    """

    name: str
    p_value: float | None
    level: float
    found: str
    value: float | None = None
    planned: float | None = None
    least: float | None = None
    most: float | None = None

    @property
    def alarm(self) -> bool:
        """Whether the plan is refuted at this level."""
        return self.p_value is not None and self.p_value < self.level

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "alarm": self.alarm}


def noise_check(found: Fit, level: float) -> Check:
    """Ask whether the noise is smaller than planned: a chi-square test of its variance."""
    p = float(stats.chi2.cdf(found.variance * found.freedom, found.freedom))
    value = math.sqrt(found.variance)
    least = math.sqrt(float(stats.chi2.ppf(level, found.freedom)) / found.freedom)
    said = (
        f"standard deviation of the noise {value:.4g} of the planned one; alarm below {least:.4g}"
    )
    return Check("noise", p, level, said, value, planned=1.0, least=least)


def shift_check(scores: Scores, found: Fit, level: float) -> Check:
    """Ask whether a canary moves the release as planned: a two-sided t test.

    More means that a record has more influence than was accounted; less, that the canaries did not
    arrive, so that the audit would see nothing.
    """
    deviation = math.sqrt(found.variance / found.information)
    away = found.shift - scores.shift
    if deviation == 0:
        p, reach = 1.0 if away == 0 else 0.0, 0.0
    else:
        p = 2 * float(stats.t.sf(abs(away) / deviation, found.freedom))
        reach = deviation * float(stats.t.isf(level / 2, found.freedom))
    least, most = scores.shift - reach, scores.shift + reach
    said = (
        f"a canary moves its score by {found.shift:.4g}, planned {scores.shift:.4g}; "
        f"alarm below {least:.4g} or above {most:.4g}"
    )
    return Check("shift", p, level, said, found.shift, scores.shift, least, most)


def distribution_check(scores: Scores, found: Fit, level: float) -> Check:
    """Ask whether both groups are Gaussian, with the planned centre and ratio of variances.

    Skewness and kurtosis of each (D'Agostino and Pearson 1973, Anscombe and Glynn 1983), an F
    test, and a t test of what all scores have in common: six tests, each at a sixth of the level.
    """
    absent, present = found.residuals[~scores.coins], found.residuals[scores.coins]
    if not scores.gaussian:
        return Check("distribution", None, level, "by plan not Gaussian: this training's sampling")
    if min(len(absent), len(present)) < LEAST_FOR_SHAPE:
        said = f"not checked: that takes {LEAST_FOR_SHAPE} canaries of either kind"
        return Check("distribution", None, level, said)
    tests = {
        "variances of present and absent": _ratio(present, absent),
        "what all scores have in common": _centre(scores),
    }
    for name, group in (("absent", absent), ("present", present)):
        tests[f"skewness of the {name}"] = _moment(group, stats.skewtest)
        tests[f"kurtosis of the {name}"] = _moment(group, stats.kurtosistest)
    worst = min(tests, key=lambda name: tests[name])
    p = min(1.0, len(tests) * tests[worst])
    said = f"farthest from the plan: {worst}, p {p:.2g}; alarm below {level:.2g}"
    return Check("distribution", p, level, said)


def _centre(scores: Scores) -> float:
    """Return the p-value of a centre other than planned: then absent canaries are not noise."""
    free = fit(scores, any_centre=True)
    if free is None or free.variance <= 1e-18:
        return 1.0
    away = abs(free.centre) * (free.centre_information / free.variance) ** 0.5
    return 2 * float(stats.t.sf(away, free.freedom))


def _moment(group: FloatArray, test: Any) -> float:
    if group.std() <= 1e-9:  # no noise at all has no moments, and is no Gaussian
        return 0.0
    return float(test(group).pvalue)


def _ratio(one: FloatArray, other: FloatArray) -> float:
    first, second = float(one.var(ddof=1)), float(other.var(ddof=1))
    if min(first, second) <= 1e-18:
        return 1.0 if first == second else 0.0
    ratio, freedom = first / second, (len(one) - 1, len(other) - 1)
    return 2 * float(min(stats.f.cdf(ratio, *freedom), stats.f.sf(ratio, *freedom)))
