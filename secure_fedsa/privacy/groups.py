"""What a mechanism that is accounted for one record says about somebody with several.

* Releases of discrete Gaussians: k records move a summary k times as far (triangle inequality), so
  rho grows by k^2.
* DP-SGD on Poisson samples: of k records a step takes Binomial(k, q), whose clipped gradients move
  the sum by at most as many clip norms. The mixture of Gaussians with these shifts dominates a step
  (Ganesh 2024, "Tight group-level DP guarantees for DP-SGD with sampling via mixture of Gaussians
  mechanisms"); dp_accounting composes its privacy loss distributions. This is far below what the
  general lemma on groups gives (k epsilon, at a delta grown by exp((k - 1) epsilon)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.parameters import positive_integer, probability
from secure_fedsa.privacy.training_accountant import (
    MAX_EPSILON,
    interval_for,
    least_delta,
    refuse_hopeless,
    rounding_of,
)

if TYPE_CHECKING:
    from dp_accounting.pld import PLDAccountant

MOST_RECORDS = 64
_FINE = 1e-4  # relative, of an epsilon that is searched for
NAME = "PLD of mixtures of Gaussians by dp_accounting, floating-point noise"
VERSION = "1"


def group_of_releases(event: DiscreteGaussianRelease, records: int) -> DiscreteGaussianRelease:
    """Return the event that a release is to somebody with ``records`` of what it is accounted for.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> group_of_releases(DiscreteGaussianRelease(10.0, 40.0, 4), 3).sensitivity
    30.0
    """
    records = positive_integer(records, "records", MOST_RECORDS)
    return DiscreteGaussianRelease(
        event.sensitivity * records, event.noise_scale, event.coordinates * records
    )


def training_epsilons(
    event: DpSgdTraining, records: int, deltas: Sequence[float]
) -> list[float | None]:
    """Return the epsilon of a training for somebody with ``records`` records, at each delta.

    Neighbours add or remove all of that person's records. Takes about a second.

    Args:
        event: The training, accounted for one record.
        records: Records of one person (k), 1 to 64.
        deltas: Probabilities; None stands where a delta is below what can be stated.

    Raises:
        PrivacyParameterError: If a value is out of range, or no bound worth stating holds.
    """
    records = positive_integer(records, "records", MOST_RECORDS)
    deltas = [probability(delta, "delta") for delta in deltas]
    if deltas:  # several records tell more than one: what is hopeless for it is for them
        refuse_hopeless([event], max(deltas))
    least = least_delta([event])
    accountant = _composed(event, records)
    return [
        float(accountant.get_epsilon(delta - rounding_of([event]))) if delta >= least else None
        for delta in deltas
    ]


def changed_unit_epsilons(event: DpSgdTraining, deltas: Sequence[float]) -> list[float | None]:
    """Return the epsilon of a training where one of its units is changed, not added or removed.

    Args:
        event: The training, accounted for adding or removing a unit.
        deltas: Probabilities; None stands where a delta is below what can be stated.

    Raises:
        PrivacyParameterError: If a value is out of range, or no bound worth stating holds.
    """
    deltas = [probability(delta, "delta") for delta in deltas]
    if deltas:
        refuse_hopeless([event], max(deltas))
    return [_changed(event, delta) for delta in deltas]


def _changed(event: DpSgdTraining, delta: float) -> float | None:
    accountant, least, rounding = _composed(event, 1), least_delta([event]), rounding_of([event])

    def holds(half: float) -> bool:
        one = max(float(accountant.get_delta(half)), least) + rounding
        return one * (1 + math.exp(half)) <= delta

    low, high = 0.0, 1.0
    # In small steps: far up it fails again, where no delta is below the least.
    while not holds(high):
        low, high = high, 1.1 * high
        if high > MAX_EPSILON:
            return None
    while high - low > _FINE * high:
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return 2 * high


@lru_cache(maxsize=16)
def _composed(event: DpSgdTraining, records: int) -> PLDAccountant:
    from dp_accounting import NeighboringRelation
    from dp_accounting.dp_event import MixtureOfGaussiansDpEvent
    from dp_accounting.pld import PLDAccountant
    from scipy.stats import binom

    accountant = PLDAccountant(
        NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=interval_for(event.noise_multiplier),
    )
    shifts = list(range(records + 1))
    chances = [float(binom.pmf(shift, records, event.sampling_rate)) for shift in shifts]
    step = MixtureOfGaussiansDpEvent(event.noise_multiplier, [float(s) for s in shifts], chances)
    accountant.compose(step, event.steps)
    return accountant
