"""What was released, as inert data.

An event says which mechanism ran and with which public parameters; it computes nothing.
Accountants interpret events, ledgers store them, and an auditor accounts from them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

from secure_fedsa.agreement_tables import MOST_STEPS, NOISE_MULTIPLIERS
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.parameters import positive, positive_integer

MAX_COORDINATES = 2**31
MAX_EVENTS = 1024
MAX_MAGNITUDE = 2.0**52
"""Whole numbers beyond it have no canonical JSON, and no int64 mechanism needs them."""
SELECTION_EPSILONS = (1e-9, 1e6)
"""Range of one choice's epsilon: what is below or above is no selection that anybody makes."""
MAX_CHOICES = 10**6


@dataclass(frozen=True, slots=True)
class DiscreteGaussianRelease:
    """One integer vector plus independent discrete Gaussians of one scale.

    Attributes:
        sensitivity: L2 distance that neighbouring data sets can have, in grid units.
        noise_scale: Parameter sigma of the discrete Gaussian, in grid units.
        coordinates: In how many coordinates two neighbours' vectors can differ.

    Raises:
        PrivacyParameterError: If a value is NaN, infinite, zero, negative or beyond 2^52.

    >>> DiscreteGaussianRelease(sensitivity=1000, noise_scale=4050, coordinates=257).to_dict()
    ... # doctest: +NORMALIZE_WHITESPACE
    {'kind': 'discrete-gaussian', 'sensitivity': 1000.0, 'noise_scale': 4050.0,
     'coordinates': 257}
    """

    kind: ClassVar[str] = "discrete-gaussian"

    sensitivity: float
    noise_scale: float
    coordinates: int

    def __post_init__(self) -> None:
        for name in ("sensitivity", "noise_scale"):
            value = positive(getattr(self, name), name)
            if value > MAX_MAGNITUDE:
                raise PrivacyParameterError(f"{name} is {value:g}, beyond 2^52 grid units.")
            object.__setattr__(self, name, value)
        count = positive_integer(self.coordinates, "coordinates", MAX_COORDINATES)
        object.__setattr__(self, "coordinates", count)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict that :func:`event_from_dict` reads back."""
        return {
            "kind": self.kind,
            "sensitivity": self.sensitivity,
            "noise_scale": self.noise_scale,
            "coordinates": self.coordinates,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> DiscreteGaussianRelease:
        """Return the event of a dict.

        Raises:
            PrivacyParameterError: If a key is missing or unknown, or a value is refused.
        """
        _check_keys(value, cls.kind, {"kind", "sensitivity", "noise_scale", "coordinates"})
        return cls(value["sensitivity"], value["noise_scale"], value["coordinates"])


@dataclass(frozen=True, slots=True)
class DpSgdTraining:
    """A model trained by DP-SGD: T Gaussian mechanisms, each on a Poisson sample of the units.

    Holds for add/remove of one unit: a record, whose gradient is clipped, or a person with all its
    records that count, the mean of whose gradients is. The noise is floating-point.

    Attributes:
        noise_multiplier: Standard deviation of a step's noise over the clip norm.
        sampling_rate: Probability with which a step takes a unit, at most 1.
        steps: Number of steps, those of tuning runs that are not public included.

    Raises:
        PrivacyParameterError: If a value is NaN, infinite, zero, negative or out of range.

    >>> DpSgdTraining(noise_multiplier=4.0, sampling_rate=0.1, steps=200).to_dict()
    ... # doctest: +NORMALIZE_WHITESPACE
    {'kind': 'dp-sgd', 'noise_multiplier': 4.0, 'sampling_rate': 0.1, 'steps': 200}
    """

    kind: ClassVar[str] = "dp-sgd"

    noise_multiplier: float
    sampling_rate: float
    steps: int

    def __post_init__(self) -> None:
        noise = positive(self.noise_multiplier, "noise_multiplier")
        rate = positive(self.sampling_rate, "sampling_rate")
        low, high = NOISE_MULTIPLIERS
        if not low <= noise <= high:
            raise PrivacyParameterError(
                f"A noise multiplier of {noise:g} is out of range.",
                do=f"Use one from {low:g} to {high:g}.",
            )
        if rate > 1:
            raise PrivacyParameterError(f"A sampling rate of {rate:g} is above 1.")
        object.__setattr__(self, "noise_multiplier", noise)
        object.__setattr__(self, "sampling_rate", rate)
        object.__setattr__(self, "steps", positive_integer(self.steps, "steps", MOST_STEPS))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict that :func:`event_from_dict` reads back."""
        return {
            "kind": self.kind,
            "noise_multiplier": self.noise_multiplier,
            "sampling_rate": self.sampling_rate,
            "steps": self.steps,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> DpSgdTraining:
        """Return the event of a dict.

        Raises:
            PrivacyParameterError: If a key is missing or unknown, or a value is refused.
        """
        _check_keys(value, cls.kind, {"kind", "noise_multiplier", "sampling_rate", "steps"})
        return cls(value["noise_multiplier"], value["sampling_rate"], value["steps"])


@dataclass(frozen=True, slots=True)
class _Choices:
    """What the two selections by noisy maximum have in common."""

    kind: ClassVar[str]

    epsilon: float
    choices: int = 1

    def __post_init__(self) -> None:
        epsilon = positive(self.epsilon, "epsilon")
        low, high = SELECTION_EPSILONS
        if not low <= epsilon <= high:
            raise PrivacyParameterError(
                f"An epsilon of {epsilon:g} a choice is out of range.",
                do=f"Use one from {low:g} to {high:g}.",
            )
        object.__setattr__(self, "epsilon", epsilon)
        count = positive_integer(self.choices, "choices", MAX_CHOICES)
        object.__setattr__(self, "choices", count)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict that :func:`event_from_dict` reads back."""
        return {"kind": self.kind, "epsilon": self.epsilon, "choices": self.choices}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the event of a dict.

        Raises:
            PrivacyParameterError: If a key is missing or unknown, or a value is refused.
        """
        _check_keys(value, cls.kind, {"kind", "epsilon", "choices"})
        return cls(value["epsilon"], value["choices"])


@dataclass(frozen=True, slots=True)
class ExponentialMechanism(_Choices):
    """Selections by the exponential mechanism, or by adding Gumbel noise to the scores.

    With scores of sensitivity D a choice has weights exp(epsilon score / (2 D)), or Gumbel noise of
    scale 2 D / epsilon before the maximum is taken: the same distribution. Where a record can only
    raise all scores, or only lower them, both may do without the 2. Taking the k largest of scores
    with one such noise each is k choices (Durfee and Rogers 2019). No run of this package charges
    it yet: it is for a party that selects by itself, and for spend from elsewhere.

    Attributes:
        epsilon: Of one choice: a pure bound, and its *bounded range*.
        choices: How many choices of this epsilon.

    Raises:
        PrivacyParameterError: If a value is NaN, infinite, zero, negative or out of range.

    >>> ExponentialMechanism(epsilon=0.1, choices=5).to_dict()
    {'kind': 'exponential-mechanism', 'epsilon': 0.1, 'choices': 5}
    """

    kind: ClassVar[str] = "exponential-mechanism"


@dataclass(frozen=True, slots=True)
class PermuteAndFlip(_Choices):
    """Selections by permute-and-flip (McKenna and Sheldon 2020).

    The same as the maximum of scores with exponential noise (Ding, Kifer and others 2021). It has a
    pure epsilon but no bounded range: two outcomes can move by epsilon each, in opposite
    directions. No run of this package charges it yet.

    Attributes:
        epsilon: Of one choice: a pure bound.
        choices: How many choices of this epsilon.

    Raises:
        PrivacyParameterError: If a value is NaN, infinite, zero, negative or out of range.

    >>> PermuteAndFlip(epsilon=0.1).to_dict()
    {'kind': 'permute-and-flip', 'epsilon': 0.1, 'choices': 1}
    """

    kind: ClassVar[str] = "permute-and-flip"


@dataclass(frozen=True, slots=True)
class Unprotected:
    """A use of the records without differential privacy: no epsilon bounds what it told.

    >>> Unprotected().to_dict()
    {'kind': 'no-differential-privacy'}
    """

    kind: ClassVar[str] = "no-differential-privacy"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict that :func:`event_from_dict` reads back."""
        return {"kind": self.kind}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Unprotected:
        """Return the event of a dict.

        Raises:
            PrivacyParameterError: If a key is missing or unknown.
        """
        _check_keys(value, cls.kind, {"kind"})
        return cls()


Selection: TypeAlias = ExponentialMechanism | PermuteAndFlip
Event: TypeAlias = DiscreteGaussianRelease | DpSgdTraining | Selection | Unprotected

_KINDS: dict[str, type[Event]] = {
    DiscreteGaussianRelease.kind: DiscreteGaussianRelease,
    DpSgdTraining.kind: DpSgdTraining,
    ExponentialMechanism.kind: ExponentialMechanism,
    PermuteAndFlip.kind: PermuteAndFlip,
    Unprotected.kind: Unprotected,
}


def only_releases(events: Iterable[Event]) -> tuple[DiscreteGaussianRelease, ...]:
    """Return events that are all discrete Gaussian releases, as such.

    Raises:
        PrivacyParameterError: If one is another, which has no zCDP parameter worth stating.
    """
    found = tuple(events)
    releases = tuple(event for event in found if isinstance(event, DiscreteGaussianRelease))
    if len(releases) != len(found):
        raise PrivacyParameterError(
            "Only releases of discrete Gaussians are accounted by zCDP.",
            why="A training by DP-SGD is accounted by privacy loss distributions, a selection by "
            "its own epsilon, and a use without differential privacy not at all.",
        )
    return releases


def _check_keys(value: Mapping[str, Any], kind: str, expected: set[str]) -> None:
    if not isinstance(value, Mapping) or set(value) != expected:
        found = sorted(map(str, value)) if isinstance(value, Mapping) else value
        raise PrivacyParameterError(
            "A privacy event does not have the keys of its kind.",
            why=f"Expected {sorted(expected)}, found {found!r}.",
        )
    if value["kind"] != kind:
        raise PrivacyParameterError(f"This is not a {kind} event: {value['kind']!r}.")


def event_from_dict(value: Mapping[str, Any]) -> Event:
    """Return the event of a dict, of whichever known kind.

    Raises:
        PrivacyParameterError: If the kind is unknown or the content is refused.
    """
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise PrivacyParameterError(
            f"Unknown kind of privacy event: {kind!r}.", do=f"Known kinds: {sorted(_KINDS)}."
        )
    return _KINDS[kind].from_dict(value)


def events_to_list(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return a composition as JSON-able dicts, in order."""
    return [event.to_dict() for event in events]


def events_from_list(values: Sequence[Mapping[str, Any]]) -> tuple[Event, ...]:
    """Return a composition from JSON-able dicts: at least one event, at most 1,024.

    Raises:
        PrivacyParameterError: If it is not such a list, or an event is refused.
    """
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= MAX_EVENTS:
        raise PrivacyParameterError(f"A composition is a list of 1 to {MAX_EVENTS} privacy events.")
    return tuple(event_from_dict(value) for value in values)
