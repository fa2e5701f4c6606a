"""The headline epsilon of a private training, checked against another way to account it."""

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

_SLACK = 0.001  # of discretisation, relative


@dataclass(frozen=True, slots=True)
class TrainingCheck:
    """The accounting numbers of one training by DP-SGD, at one delta.

    All of them are for exact Gaussians; the training's own noise is floating-point.

    Attributes:
        epsilon: The headline, by privacy loss distributions.
        delta: Probability.
        rdp_epsilon: By Renyi divergences of the subsampled Gaussian, never below the headline.
        accountant: Name of the headline accountant.
        accountant_version: Its version.
        dp_accounting_version: Version of the library that computed both.
    """

    epsilon: float
    delta: float
    rdp_epsilon: float
    accountant: str
    accountant_version: str
    dp_accounting_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as a JSON-able dict."""
        return asdict(self)


def training_check(event: DpSgdTraining, delta: float) -> TrainingCheck:
    """Account a training two ways.

    Raises:
        CrossCheckError: If the headline is above what Renyi divergences give.
        PrivacyParameterError: If a value is out of range, or epsilon is above 100 or delta
            above 0.1, where no claim is worth checking.
    """
    delta = probability(delta, "delta")
    epsilon = training_accountant.training_epsilon([event], delta)
    if epsilon > MAX_EPSILON or delta > MAX_DELTA:
        raise PrivacyParameterError(
            f"An epsilon of {epsilon:.6g} at delta {delta:g} promises nothing.",
            do=f"Aim for an epsilon of at most {MAX_EPSILON:g} at a delta far below {MAX_DELTA:g}.",
        )
    rdp = training_accountant.renyi_epsilon([event], delta)
    # Where delta alone covers everything, Renyi divergences give 0.
    if rdp > 0 and not (math.isfinite(epsilon) and epsilon <= rdp * (1 + _SLACK)):
        raise CrossCheckError(
            f"The accountants disagree: the headline is epsilon {epsilon:.6g} at delta {delta:g}, "
            f"but Renyi divergences, which are never tighter, give {rdp:.6g}.",
            why="One of them is wrong.",
            do="Do not run. Report this with the versions of secure-fedsa and dp-accounting.",
        )
    return TrainingCheck(
        epsilon=epsilon,
        delta=delta,
        rdp_epsilon=rdp,
        accountant=training_accountant.NAME,
        accountant_version=training_accountant.VERSION,
        dp_accounting_version=version("dp-accounting"),
    )
