"""The headline epsilon of a private training, beside another way to account it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy import training_accountant
from secure_fedsa.privacy.cross_check import MAX_DELTA, MAX_EPSILON
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.parameters import probability


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
    return TrainingCheck(
        epsilon=epsilon,
        delta=delta,
        rdp_epsilon=training_accountant.renyi_epsilon([event], delta),
        accountant=training_accountant.NAME,
        accountant_version=training_accountant.VERSION,
        dp_accounting_version=version("dp-accounting"),
    )
