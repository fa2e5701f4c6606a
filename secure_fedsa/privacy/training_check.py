"""The headline epsilon of a private training, beside another way to account it and a floor.

A headline below what a test of the training's outputs certainly reaches is wrong, whatever the
accountant says: that is the alarm here.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from secure_fedsa.errors import CrossCheckError, PrivacyParameterError
from secure_fedsa.privacy import training_accountant
from secure_fedsa.privacy.cross_check import MAX_DELTA, MAX_EPSILON
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.parameters import probability
from secure_fedsa.privacy.shown import at_least, at_most
from secure_fedsa.privacy.training_floor import least_epsilon

_ROUNDING = 1e-6  # relative, between the library's numbers on two machines


@dataclass(frozen=True, slots=True)
class TrainingCheck:
    """The accounting numbers of one training by DP-SGD, at one delta.

    All of them are for exact Gaussians; the training's own noise is floating-point.

    Attributes:
        epsilon: The headline, by privacy loss distributions.
        delta: Probability.
        rdp_epsilon: By Renyi divergences of the subsampled Gaussian, for information: mostly above
            the headline. Where a step tells less than the headline's discretisation resolves (small
            sampling rates, many steps), the headline is the larger of the two: it errs on the safe
            side.
        least_epsilon: What a test of the outputs certainly reaches
            (:mod:`secure_fedsa.privacy.training_floor`): the truth is between it and the headline.
        accountant: Name of the headline accountant.
        accountant_version: Its version.
        dp_accounting_version: Version of the library that computed both.
    """

    epsilon: float
    delta: float
    rdp_epsilon: float
    least_epsilon: float
    accountant: str
    accountant_version: str
    dp_accounting_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as a JSON-able dict."""
        return asdict(self)


def training_check(event: DpSgdTraining, delta: float) -> TrainingCheck:
    """Account a training two ways, and raise if either is below its floor.

    Raises:
        CrossCheckError: If a test of the outputs refutes the headline or the Renyi bound.
        PrivacyParameterError: If a value is out of range, or epsilon is above 100 or delta
            above 0.1, where no claim is worth checking.
    """
    delta = probability(delta, "delta")
    epsilon = training_accountant.training_epsilon([event], delta)
    if epsilon > MAX_EPSILON or delta > MAX_DELTA:
        raise PrivacyParameterError(
            f"An epsilon of {at_most(epsilon, 6)} at delta {delta:g} promises nothing.",
            do=f"Aim for an epsilon of at most {MAX_EPSILON:g} at a delta far below {MAX_DELTA:g}.",
        )
    result = TrainingCheck(
        epsilon=epsilon,
        delta=delta,
        rdp_epsilon=training_accountant.renyi_epsilon([event], delta),
        least_epsilon=least_epsilon(event, delta),
        accountant=training_accountant.NAME,
        accountant_version=training_accountant.VERSION,
        dp_accounting_version=version("dp-accounting"),
    )
    require_above_floor(result)
    return result


def require_above_floor(check: TrainingCheck) -> None:
    """Raise if a number of a training is not a bound at all.

    Raises:
        CrossCheckError: Naming the accountant that is refuted, with both numbers.
    """
    numbers = {
        "the headline": check.epsilon,
        "the bound by Renyi divergences": check.rdp_epsilon,
    }
    floor = check.least_epsilon
    if not (math.isfinite(floor) and floor >= 0):
        raise _alarm(check, f"the floor is {floor}")
    for name, number in numbers.items():
        if not (math.isfinite(number) and number >= floor * (1 - _ROUNDING)):
            raise _alarm(
                check,
                f"{name} is epsilon {at_most(number, 6)}, and a test of the outputs certainly "
                f"reaches {at_least(floor, 6)}",
            )


def _alarm(check: TrainingCheck, found: str) -> CrossCheckError:
    return CrossCheckError(
        f"The accounting of a training is wrong at delta {check.delta:g}: {found}.",
        why="No epsilon below what a test reaches can be a bound.",
        do="Do not run. Report this with the versions of secure-fedsa and dp-accounting.",
    )
