"""How much privacy was spent, by whichever mechanisms.

Releases of discrete Gaussians add up in rho (zCDP). Trainings by DP-SGD of one noise and one
sampling rate add up in steps, and privacy loss distributions compose them with others. A
data set that was used by both has the sum of two epsilons, each at half of delta (basic
composition; Dwork, Kenthapadi, McSherry, Mironov and Naor 2006): no tighter bound is claimed. One
use without differential privacy makes every total infinite.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import compose_rho, epsilon_from_rho, rho_for_epsilon, rho_of
from secure_fedsa.privacy.events import (
    DpSgdTraining,
    Event,
    Unprotected,
    event_from_dict,
    events_to_list,
)
from secure_fedsa.privacy.parameters import positive
from secure_fedsa.privacy.training_accountant import training_epsilon

_LEAST_LEFT = 1e-6  # epsilon: for less, no release is calibrated


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of privacy.

    Attributes:
        rho: zCDP parameter of all releases; 0.0 for none.
        trainings: All trainings, at most one of the same noise and sampling rate, sorted.
        unprotected: Number of uses without differential privacy.

    >>> once = Amount.of([DpSgdTraining(4.0, 0.1, 200)])
    >>> Amount.sum([once, once]).trainings
    (DpSgdTraining(noise_multiplier=4.0, sampling_rate=0.1, steps=400),)
    """

    rho: float = 0.0
    trainings: tuple[DpSgdTraining, ...] = ()
    unprotected: int = 0

    @classmethod
    def of(cls, events: Iterable[Event]) -> Amount:
        """Return what composed events spend.

        Raises:
            PrivacyParameterError: If the total is out of range.
        """
        found = tuple(events)
        trainings = [event for event in found if isinstance(event, DpSgdTraining)]
        unprotected = sum(isinstance(event, Unprotected) for event in found)
        others = (e for e in found if not isinstance(e, DpSgdTraining | Unprotected))
        return cls(rho_of(others), _merged(trainings), unprotected)

    @classmethod
    def sum(cls, amounts: Iterable[Amount]) -> Amount:
        """Return the composition of amounts.

        Raises:
            PrivacyParameterError: If the total is out of range.
        """
        found = tuple(amounts)
        return cls(
            compose_rho(amount.rho for amount in found),
            _merged(event for amount in found for event in amount.trainings),
            sum(amount.unprotected for amount in found),
        )

    @property
    def releases_only(self) -> bool:
        """Whether rho says all of it."""
        return not self.trainings and not self.unprotected

    def epsilon(self, delta: float) -> float:
        """Return a bound on the privacy loss at ``delta``; infinite without protection.

        Raises:
            PrivacyParameterError: If ``delta`` is out of range, or no finite bound is known.
        """
        if self.unprotected:
            return math.inf
        if not self.trainings:
            return epsilon_from_rho(self.rho, delta)
        if self.rho == 0:
            return training_epsilon(self.trainings, delta)
        half = delta / 2
        return epsilon_from_rho(self.rho, half) + training_epsilon(self.trainings, half)

    def rho_left(self, budget: float, delta: float) -> float:
        """Return the rho of the largest further release within ``budget`` (epsilon at delta)."""
        if self.unprotected:
            return 0.0
        if self.trainings:
            delta = delta / 2
            try:
                budget -= training_epsilon(self.trainings, delta)
            except PrivacyParameterError:
                return 0.0  # beyond what any accountant here states
            if budget < _LEAST_LEFT:
                return 0.0
        return max(0.0, rho_for_epsilon(budget, delta) - self.rho)

    def to_json(self) -> Any:
        """Return rho alone where it says all, else an object of all three."""
        if self.releases_only:
            return self.rho
        return {
            "rho": self.rho,
            "trainings": events_to_list(self.trainings),
            "unprotected": self.unprotected,
        }

    @classmethod
    def from_json(cls, value: Any) -> Amount:
        """Read :meth:`to_json` back.

        Raises:
            PrivacyParameterError: If it is not an amount above nothing, in its one spelling.
        """
        if not isinstance(value, Mapping):
            return cls(positive(value, "rho"))
        if set(value) != {"rho", "trainings", "unprotected"}:
            raise PrivacyParameterError("An amount has rho, trainings and unprotected.")
        listed, unprotected = value["trainings"], value["unprotected"]
        if not isinstance(listed, list) or type(unprotected) is not int or unprotected < 0:
            raise PrivacyParameterError("An amount's trainings or unprotected uses are malformed.")
        nothing = type(value["rho"]) in (int, float) and value["rho"] == 0
        rho = 0.0 if nothing else positive(value["rho"], "rho")
        found = cls(rho, trainings_from_list(listed), unprotected)
        if found.releases_only:
            raise PrivacyParameterError("An amount of releases alone is written as its rho.")
        return found


def trainings_from_list(values: Iterable[Any]) -> tuple[DpSgdTraining, ...]:
    """Return trainings from JSON-able dicts, in the one order and form that amounts have.

    Raises:
        PrivacyParameterError: If one is another event, or they are not merged and sorted.
    """
    found = tuple(event_from_dict(value) for value in values)
    trainings = tuple(event for event in found if isinstance(event, DpSgdTraining))
    if len(trainings) != len(found) or _merged(trainings) != trainings:
        raise PrivacyParameterError("These are no trainings, each kind once and sorted.")
    return trainings


def _merged(trainings: Iterable[DpSgdTraining]) -> tuple[DpSgdTraining, ...]:
    steps: Counter[tuple[float, float]] = Counter()
    for event in trainings:
        steps[event.noise_multiplier, event.sampling_rate] += event.steps
    return tuple(DpSgdTraining(*kind, count) for kind, count in sorted(steps.items()))
