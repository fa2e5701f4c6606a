"""How much privacy was spent, by whichever mechanisms.

Releases of discrete Gaussians add up in rho (zCDP). Trainings by DP-SGD of one noise and one
sampling rate add up in steps, and privacy loss distributions compose them with others. A
data set that was used by both has the sum of two epsilons, each at half of delta (basic
composition; Dwork, Kenthapadi, McSherry, Mironov and Naor 2006): no tighter bound is claimed.
Selections add their pure epsilons, at no delta, or their rho to that of the releases, whichever
is less (:mod:`secure_fedsa.privacy.selection_accountant`). One use without differential privacy
makes every total infinite.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import compose_rho, epsilon_from_rho, rho_for_epsilon, rho_of
from secure_fedsa.privacy.events import (
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
    Selection,
    Unprotected,
    event_from_dict,
    events_to_list,
)
from secure_fedsa.privacy.parameters import positive, probability
from secure_fedsa.privacy.selection_accountant import merged_selections, selection_splits
from secure_fedsa.privacy.training_accountant import training_epsilon

_LEAST_LEFT = 1e-6  # epsilon: for less, no release is calibrated
_FIELDS = {"rho", "trainings", "unprotected"}


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount of privacy.

    Attributes:
        rho: zCDP parameter of all releases; 0.0 for none.
        trainings: All trainings, at most one of the same noise and sampling rate, sorted.
        unprotected: Number of uses without differential privacy.
        selections: All selections, at most one of the same kind and epsilon, sorted.

    >>> once = Amount.of([DpSgdTraining(4.0, 0.1, 200)])
    >>> Amount.sum([once, once]).trainings
    (DpSgdTraining(noise_multiplier=4.0, sampling_rate=0.1, steps=400),)
    """

    rho: float = 0.0
    trainings: tuple[DpSgdTraining, ...] = ()
    unprotected: int = 0
    selections: tuple[Selection, ...] = ()

    @classmethod
    def of(cls, events: Iterable[Event]) -> Amount:
        """Return what composed events spend.

        Raises:
            PrivacyParameterError: If the total is out of range.
        """
        found = tuple(events)
        trainings = [event for event in found if isinstance(event, DpSgdTraining)]
        unprotected = sum(isinstance(event, Unprotected) for event in found)
        selections = tuple(_chosen(found))
        # What is none of these must be a release, or is refused: nothing is dropped.
        known = DpSgdTraining | ExponentialMechanism | PermuteAndFlip | Unprotected
        others = (event for event in found if not isinstance(event, known))
        return cls(rho_of(others), _merged(trainings), unprotected, merged_selections(selections))

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
            merged_selections(event for amount in found for event in amount.selections),
        )

    @property
    def releases_only(self) -> bool:
        """Whether rho says all of it."""
        return not self.trainings and not self.unprotected and not self.selections

    @property
    def zcdp(self) -> float | None:
        """The zCDP parameter of all of it, selections counted by theirs.

        None where it has none: DP-SGD is accounted for by its privacy losses, and a use without
        differential privacy by nothing.
        """
        if self.trainings or self.unprotected:
            return None
        return compose_rho([self.rho, selection_splits(self.selections)[-1].rho])

    def epsilon(self, delta: float) -> float:
        """Return a bound on the privacy loss at ``delta``; infinite without protection.

        Raises:
            PrivacyParameterError: If ``delta`` is out of range, or no finite bound is known.
        """
        if self.unprotected:
            return math.inf
        if not self.selections:
            return self._epsilon(self.rho, delta)
        delta = probability(delta, "delta")
        return min(
            split.pure + self._epsilon(compose_rho([self.rho, split.rho]), delta)
            for split in selection_splits(self.selections)
        )

    def _epsilon(self, rho: float, delta: float) -> float:
        """Return a bound for the trainings and for ``rho``, at ``delta`` together."""
        if not self.trainings:
            return epsilon_from_rho(rho, delta)
        if rho == 0:
            return training_epsilon(self.trainings, delta)
        half = delta / 2
        return epsilon_from_rho(rho, half) + training_epsilon(self.trainings, half)

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
        if not self.selections:
            return max(0.0, rho_for_epsilon(budget, delta) - self.rho)
        budget = positive(budget, "budget")
        rooms = (
            (budget - split.pure, compose_rho([self.rho, split.rho]))
            for split in selection_splits(self.selections)
        )
        left = (rho_for_epsilon(room, delta) - rho for room, rho in rooms if room >= _LEAST_LEFT)
        return max([0.0, *left])

    def to_json(self) -> Any:
        """Return rho alone where it says all, else an object of all that there is."""
        if self.releases_only:
            return self.rho
        written: dict[str, Any] = {
            "rho": self.rho,
            "trainings": events_to_list(self.trainings),
            "unprotected": self.unprotected,
        }
        if self.selections:
            written["selections"] = events_to_list(self.selections)
        return written

    @classmethod
    def from_json(cls, value: Any) -> Amount:
        """Read :meth:`to_json` back.

        Raises:
            PrivacyParameterError: If it is not an amount above nothing, in its one spelling.
        """
        if not isinstance(value, Mapping):
            return cls(positive(value, "rho"))
        if set(value) - {"selections"} != _FIELDS:
            raise PrivacyParameterError(
                "An amount has rho, trainings and unprotected, and selections if there are any."
            )
        listed, unprotected = value["trainings"], value["unprotected"]
        if not isinstance(listed, list) or type(unprotected) is not int or unprotected < 0:
            raise PrivacyParameterError("An amount's trainings or unprotected uses are malformed.")
        nothing = type(value["rho"]) in (int, float) and value["rho"] == 0
        rho = 0.0 if nothing else positive(value["rho"], "rho")
        selections: tuple[Selection, ...] = ()
        if "selections" in value:
            selections = selections_from_list(value["selections"])
        found = cls(rho, trainings_from_list(listed), unprotected, selections)
        if found.releases_only:
            raise PrivacyParameterError("An amount of releases alone is written as its rho.")
        return found


def selections_from_list(values: Any) -> tuple[Selection, ...]:
    """Return selections from JSON-able dicts, in the one order and form that amounts have.

    Raises:
        PrivacyParameterError: If it is no list of at least one of them, merged and sorted.
    """
    if not isinstance(values, list) or not values:
        raise PrivacyParameterError("An amount's selections are a list of at least one.")
    found = tuple(event_from_dict(value) for value in values)
    selections = tuple(_chosen(found))
    if len(selections) != len(found) or merged_selections(selections) != selections:
        raise PrivacyParameterError("These are no selections, each kind once and sorted.")
    return selections


def _chosen(events: Iterable[Event]) -> Iterator[Selection]:
    for event in events:
        if isinstance(event, ExponentialMechanism | PermuteAndFlip):
            yield event


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
