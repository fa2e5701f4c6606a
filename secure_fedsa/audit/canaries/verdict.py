"""From one teacher's scores to bounds, checks and alarms.

An audit of everybody alarms by chance in at most ``FAMILY`` of all audits of sound code: the level
is shared out over teachers, and at each of them over three bounds (a fifth each) and three checks
(a tenth, a tenth and a fifth). Bounds of 95% are reported beside it, and decide nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from secure_fedsa.audit.canaries.checks import (
    Check,
    distribution_check,
    noise_check,
    shift_check,
)
from secure_fedsa.audit.canaries.estimators import Bound, fit, gdp, generic, parametric
from secure_fedsa.audit.canaries.reach import Reach, reach
from secure_fedsa.audit.canaries.scores import Scores
from secure_fedsa.privacy.shown import at_least

FAMILY = 0.05
_BOUND, _NOISE, _SHIFT, _SHAPE = 0.2, 0.1, 0.1, 0.2  # 3 * 0.2 + 0.1 + 0.1 + 0.2 = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """What the audit of one teacher's release found.

    Attributes:
        teacher: Whose release.
        canaries: How many were planted (M).
        present: How many of them the coins put in.
        claim: The proved epsilon that the bounds are compared with.
        bounds: The three methods.
        checks: The three checks.
        alarms: Names of bounds above the claim and of checks that failed.
        own_size: What as many canaries as the teacher has classes could show.
    """

    teacher: str
    canaries: int
    present: int
    claim: float
    bounds: tuple[Bound, ...]
    checks: tuple[Check, ...]
    alarms: tuple[str, ...]
    own_size: Reach

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the share is the bound over the claim."""
        bounds = {}
        for bound in self.bounds:
            share = None if bound.epsilon is None else bound.epsilon / self.claim
            bounds[bound.method] = {"share": share, **bound.to_dict()}
        return {
            "teacher": self.teacher,
            "canaries": self.canaries,
            "present": self.present,
            "claim": self.claim,
            "bounds": bounds,
            "checks": {check.name: check.to_dict() for check in self.checks},
            "alarms": list(self.alarms),
            "own_size": asdict(self.own_size),
        }


def judge(
    scores: Scores, *, teacher: str, claim: float, delta: float, classes: int, audited: int = 1
) -> Finding:
    """Return what the scores of one teacher's canaries say.

    Args:
        scores: The scores.
        teacher: Whose release.
        claim: Proved epsilon at ``delta``.
        delta: Probability.
        classes: Public classes that the teacher really has.
        audited: Teachers over which the alarms' level is shared out.
    """
    level = FAMILY / audited
    found = fit(scores)
    checks: tuple[Check, ...] = ()
    against = ""
    if found is not None:
        shape = distribution_check(scores, found, _SHAPE * level)
        checks = (
            noise_check(found, _NOISE * level),
            shift_check(scores, found, _SHIFT * level),
            shape,
        )
        if shape.p_value is None:
            against = f"The scores' distribution is {shape.found}."
        elif shape.alarm:
            against = f"The scores are not Gaussian as planned ({shape.found})."
    error = _BOUND * level
    bounds = (
        parametric(scores, delta=delta, error=error, against=against),
        gdp(scores, delta=delta, error=error),
        generic(scores, delta=delta, error=error),
    )
    alarms = [
        f"{bound.method}: epsilon is at least {at_least(bound.alarm_epsilon)}, above the claim"
        for bound in bounds
        if bound.alarm_epsilon is not None and bound.alarm_epsilon > claim
    ]
    alarms += [f"{check.name}: {check.found}" for check in checks if check.alarm]
    return Finding(
        teacher=teacher,
        canaries=len(scores),
        present=int(scores.coins.sum()),
        claim=claim,
        bounds=bounds,
        checks=checks,
        alarms=tuple(alarms),
        own_size=reach(classes, scores, delta=delta),
    )
