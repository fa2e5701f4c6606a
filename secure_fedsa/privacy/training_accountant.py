"""Epsilon of models trained by DP-SGD, by privacy loss distributions (PLD).

A step of DP-SGD is a Gaussian mechanism on a Poisson sample of the units: records, or persons with
all their records that count. T adaptive steps compose. dp_accounting composes their privacy loss
distributions numerically, with discretisation errors on the safe side (Doroshenko, Ghazi, Kamath,
Kumar and Manurangsi 2022, "Connect the dots"). Its Fourier transforms round, though: compared with
sums without cancellation and with the exact Gaussian, delta was wrong by up to 7e-17 a step, either
way, and epsilon at a small delta of many steps was too small. So it is stated for a delta that is
smaller by 1e-15 a step, and not at all where nothing would be left. The neighbours add or remove
one unit. The figure is for exact real-valued Gaussians: the noise of the training is
floating-point, and whoever states this figure must say so.

Opacus's own accountants are not used: one of them is below the true value by 11%.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from secure_fedsa.agreement_tables import MOST_STEPS
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.parameters import positive, probability

if TYPE_CHECKING:
    from dp_accounting import PrivacyAccountant
    from dp_accounting.pld import PLDAccountant

NAME = "PLD of Poisson-subsampled Gaussians by dp_accounting, floating-point noise"
VERSION = "1"
MIN_DELTA = 1e-13
"""Below it the library's discretisation no longer gives a bound worth stating."""

MAX_EPSILON = 200.0
"""By Renyi divergences; above it nothing is accounted."""

PLD_TOLERANCE = 1e-6
"""Relative difference between two machines' epsilons of the same trainings."""

_INTERVAL = 1e-3
_ROUNDING = 1e-15  # of probability, for each step
_ORDERS = [*range(2, 65), 80, 96, 128, 192, 256, 512]
"""Whole numbers, whose divergences are finite sums; the library warns of series for others."""
_STEP_SHARE = 0.02  # of the loss of one step without subsampling, where that is smaller


def training_epsilon(events: Iterable[DpSgdTraining], delta: float) -> float:
    """Return the epsilon at ``delta`` of composed trainings; 0.0 for none.

    Raises:
        PrivacyParameterError: If ``delta`` is out of range, or no finite epsilon holds.

    >>> round(training_epsilon([DpSgdTraining(1.0, 0.01, 1000)], 1e-5), 2)
    1.83
    """
    delta = probability(delta, "delta")
    trainings = tuple(events)
    least = least_delta(trainings)
    if delta < least:
        raise PrivacyParameterError(
            f"A delta of {delta:g} is below what PLD accounting can state.",
            do=f"Use at least {least:g}, or fewer steps.",
        )
    return _training_epsilon(trainings, delta) if trainings else 0.0


@lru_cache(maxsize=256)  # each takes a good part of a second, and every check asks again
def _training_epsilon(trainings: tuple[DpSgdTraining, ...], delta: float) -> float:
    refuse_hopeless(trainings, delta)
    return float(_composed(trainings).get_epsilon(delta - rounding_of(trainings)))


@lru_cache(maxsize=16)  # so that a curve over delta composes once
def _composed(trainings: tuple[DpSgdTraining, ...]) -> PLDAccountant:
    accountant = _accountant(min(event.noise_multiplier for event in trainings))
    for event in trainings:
        _compose(accountant, event)
    return accountant


def noise_multiplier_for(
    epsilon: float, delta: float, *, sampling_rate: float, steps: int
) -> float:
    """Return a noise multiplier, the least to about 0.1%, whose epsilon is not above.

    Raises:
        PrivacyParameterError: If a value is out of range, or no multiplier below 10,000 will do.
    """
    epsilon, delta = positive(epsilon, "epsilon"), probability(delta, "delta")
    DpSgdTraining(1.0, sampling_rate, steps)  # refuses values that make no training

    def fits(multiplier: float) -> bool:
        try:
            return (
                training_epsilon([DpSgdTraining(multiplier, sampling_rate, steps)], delta)
                <= epsilon
            )
        except PrivacyParameterError:
            return False  # too little noise for any claim

    low, high = 0.25, 1.0
    while not fits(high):
        low, high = high, high * 2
        if high > 1e4:
            raise PrivacyParameterError(
                f"No noise makes {steps} steps cost epsilon {epsilon:g}.",
                do="Take fewer steps, or a larger epsilon.",
            )
    while high > low * 1.001:
        middle = (low * high) ** 0.5
        if fits(middle):
            high = middle
        else:
            low = middle
    return high


def renyi_epsilon(events: Iterable[DpSgdTraining], delta: float) -> float:
    """Return the epsilon at ``delta`` of composed trainings by Renyi divergences.

    The subsampled Gaussian of Mironov, Talwar and Zhang (2019): a looser bound than
    :func:`training_epsilon`, found in another way.
    """
    return _renyi(events, delta, _ORDERS)


def runs_within(event: DpSgdTraining, budget: float, delta: float, *, most: int) -> int:
    """Return how many trainings fit into a budget (epsilon at delta), at least 1, at most ``most``.

    The first is taken to fit.
    """

    def fits(count: int) -> bool:
        steps = event.steps * count
        if steps > MOST_STEPS:
            return False
        more = DpSgdTraining(event.noise_multiplier, event.sampling_rate, steps)
        try:
            return training_epsilon([more], delta) <= budget
        except PrivacyParameterError:
            return False

    low, high = 1, 2
    while high <= most and fits(high):
        low, high = high, 2 * high
    while high - low > 1 and low < most:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return min(low, most)


def rounding_of(trainings: Iterable[DpSgdTraining]) -> float:
    """Return the probability that the library's rounding may be worth in composed trainings."""
    return _ROUNDING * sum(event.steps for event in trainings)


def least_delta(trainings: Iterable[DpSgdTraining]) -> float:
    """Return the least delta at which composed trainings have an epsilon here."""
    return MIN_DELTA + rounding_of(trainings)


def interval_for(least_noise: float) -> float:
    """Return the discretisation of privacy losses, for the least noise multiplier of several."""
    return min(_INTERVAL, _STEP_SHARE / least_noise)


def refuse_hopeless(trainings: Iterable[DpSgdTraining], delta: float) -> None:
    """Refuse, at once, what would take minutes to account and promise nothing in the end."""
    if not _renyi(trainings, delta, [2, 3, 4, 6, 8, 12, 16, 32, 64]) < MAX_EPSILON:
        raise PrivacyParameterError(
            f"This training has no privacy loss bound below {MAX_EPSILON:g}.",
            do="Use more noise, fewer steps or a smaller sampling rate.",
        )


def _renyi(trainings: Iterable[DpSgdTraining], delta: float, orders: Sequence[float]) -> float:
    from dp_accounting.rdp import RdpAccountant

    accountant = RdpAccountant(list(orders))
    for event in trainings:
        _compose(accountant, event)
    return float(accountant.get_epsilon(delta))


def _accountant(least_noise: float) -> PLDAccountant:
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant

    return PLDAccountant(
        NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=interval_for(least_noise),
    )


def _compose(accountant: PrivacyAccountant, event: DpSgdTraining) -> None:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
    accountant.compose(step, event.steps)
