"""Charges as dp_accounting's events, and back.

The form is a JSON object a ``DpEvent``: ``class_name``, ``module_name`` and the event's own
fields, which is what ``DpEvent.to_named_tuple`` holds. Nothing here imports a module that a file
names: an event that is not in :data:`KINDS` is refused by its name.

What goes out is what we can prove of our own mechanisms, and no more:

* A release of discrete Gaussians is a ``ZCDpEvent`` of its rho. A ``GaussianDpEvent`` would be
  another mechanism: a privacy loss distribution of it does not bound the discrete one
  (:mod:`.cross_check` has the transfer).
* A training by DP-SGD is its steps of Poisson-sampled Gaussians.
* A selection by noisy maximum, of which the library has no event, is a ``ZCDpEvent`` of the rho
  that :mod:`.selection_accountant` proves of it.
* A use without differential privacy is a ``NonPrivateDpEvent``.

What comes in, and how it is counted (every step is an upper bound):

* Gaussian of noise multiplier z: rho = 1 / (2 z^2). (alpha / (2 z^2) is its Renyi divergence of
  every order alpha.)
* Laplace of noise multiplier b, and discrete Laplace of parameter a and sensitivity D: pure
  epsilon of 1 / b, and a D. Pure epsilon is rho = epsilon^2 / 2 (Bun and Steinke 2016,
  proposition 1.4).
* zCDP with xi = 0: its rho.
* A Gaussian on a Poisson sample: a step of DP-SGD.
* Compositions: the sum.
* Not private: no epsilon bounds the data set any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import rho_of, round_up
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
    Selection,
    Unprotected,
)
from secure_fedsa.privacy.parameters import positive, positive_integer
from secure_fedsa.privacy.selection_accountant import selection_splits

if TYPE_CHECKING:
    from dp_accounting import DpEvent

DpJson = dict[str, Any]

MODULE = "dp_accounting.dp_event"
MAX_EVENTS = 4096
"""Events of one file, each counted once however often it was composed."""
MAX_COUNT = 10**6
_MAX_DEPTH = 16


def _event(class_name: str, **fields: Any) -> DpJson:
    return {"module_name": MODULE, "class_name": class_name, **fields}


def composed(events: Iterable[DpJson]) -> DpJson:
    """Return the composition of events."""
    return _event("ComposedDpEvent", events=list(events))


def event_to_dp(event: Event) -> DpJson:
    """Return one of our events as dp_accounting's.

    Raises:
        PrivacyParameterError: If its kind has none here.

    >>> event_to_dp(DiscreteGaussianRelease(1.0, 4.0, 1))["rho"]
    0.03125
    """
    if isinstance(event, DiscreteGaussianRelease):
        return _zcdp(rho_of([event]))
    if isinstance(event, DpSgdTraining):
        return _training(event)
    if isinstance(event, ExponentialMechanism | PermuteAndFlip):
        return _selections([event])
    if isinstance(event, Unprotected):
        return _event("NonPrivateDpEvent")
    raise PrivacyParameterError(f"A {event.kind} event cannot be exported.")


def amount_to_dp(amount: Amount) -> list[DpJson]:
    """Return an amount, of which the single charges are not known, as dp_accounting's events."""
    found = [_zcdp(amount.rho)] if amount.rho else []
    found += [_training(event) for event in amount.trainings]
    if amount.selections:
        found.append(_selections(amount.selections))
    if amount.unprotected:
        given = _event("NonPrivateDpEvent")
        found.append(_event("SelfComposedDpEvent", event=given, count=amount.unprotected))
    return found


def amount_of_dp(value: Any) -> Amount:
    """Return what an event from elsewhere spends, by the bounds of this module.

    Args:
        value: One JSON object, as parsed.

    Raises:
        PrivacyParameterError: If a kind is not known here, by its name; if fields are missing,
            unknown or out of range; or if there is nothing private in it.

    >>> amount_of_dp(_event("GaussianDpEvent", noise_multiplier=4.0)).rho
    0.03125
    """
    counted = _Counted()
    counted.add(value, 1, 0)
    total = counted.amount()
    if total == Amount():
        raise PrivacyParameterError(
            "These events release nothing.", do="Import the events of what was released."
        )
    return total


def to_dp_accounting(value: Any) -> DpEvent:
    """Return the library's own object of an event, of the kinds that are known here.

    ``DpEvent.from_named_tuple`` is not used: it imports whatever module a file names.

    Raises:
        PrivacyParameterError: As :func:`amount_of_dp`.
    """
    from dp_accounting import dp_event

    amount_of_dp(value)  # refuses what is not known, before any name is looked up

    def build(node: DpJson) -> DpEvent:
        fields = {k: v for k, v in node.items() if k not in ("module_name", "class_name")}
        if "event" in fields:
            fields["event"] = build(fields["event"])
        if "events" in fields:
            fields["events"] = [build(event) for event in fields["events"]]
        made: DpEvent = getattr(dp_event, node["class_name"])(**fields)
        return made

    return build(value)


def from_dp_accounting(event: DpEvent) -> DpJson:
    """Return the JSON object of one of the library's events, whatever its kind.

    >>> from dp_accounting import GaussianDpEvent
    >>> from_dp_accounting(GaussianDpEvent(2.0))["class_name"]
    'GaussianDpEvent'
    """

    def plain(value: Any) -> Any:
        if hasattr(value, "_asdict"):
            return {name: plain(held) for name, held in value._asdict().items()}
        return [plain(held) for held in value] if isinstance(value, list | tuple) else value

    found: DpJson = plain(event.to_named_tuple())
    return found


def read_events(text: str) -> DpJson:
    """Return the event of a file's text.

    Raises:
        PrivacyParameterError: If it is not JSON, or not an event of a known kind.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PrivacyParameterError("The events are not JSON.", why=f"{error}.") from error
    amount_of_dp(value)
    found: DpJson = value
    return found


def _zcdp(rho: float) -> DpJson:
    return _event("ZCDpEvent", rho=rho, xi=0.0)


def _selections(events: Iterable[Selection]) -> DpJson:
    return _zcdp(selection_splits(events)[-1].rho)


def _training(event: DpSgdTraining) -> DpJson:
    step = _event(
        "PoissonSampledDpEvent",
        sampling_probability=event.sampling_rate,
        event=_event("GaussianDpEvent", noise_multiplier=event.noise_multiplier),
    )
    return _event("SelfComposedDpEvent", event=step, count=event.steps)


class _Counted:
    """A running total: rho exactly, trainings by their steps."""

    def __init__(self) -> None:
        self.rho = Fraction(0)
        self.steps: dict[tuple[float, float], int] = {}
        self.unprotected = 0
        self.seen = 0

    def amount(self) -> Amount:
        trainings = [DpSgdTraining(*kind, count) for kind, count in self.steps.items()]
        return Amount(
            rho=round_up(self.rho),
            trainings=Amount.of(trainings).trainings,
            unprotected=self.unprotected,
        )

    def add(self, node: Any, count: int, depth: int) -> None:
        self.seen += 1
        if depth > _MAX_DEPTH or self.seen > MAX_EVENTS or count > MAX_COUNT:
            raise PrivacyParameterError(
                "The events are too many, or nested too deeply.",
                do=f"At most {MAX_EVENTS} events, {_MAX_DEPTH} levels and {MAX_COUNT} repetitions.",
            )
        kind = _kind_of(node)
        fields = {k: v for k, v in node.items() if k not in ("module_name", "class_name")}
        known = KINDS[kind][0]
        if not set(known) >= set(fields) >= set(known) - {"xi"}:
            raise PrivacyParameterError(
                f"A {kind} does not have the fields of its kind.",
                why=f"Expected {', '.join(known) or 'none'}; found {', '.join(fields) or 'none'}.",
            )
        KINDS[kind][1](self, fields, count, depth)

    def gaussian(self, fields: DpJson, count: int, _: int) -> None:
        noise = positive(fields["noise_multiplier"], "noise_multiplier")
        self.rho += Fraction(round_up(1 / (2 * Fraction(noise) ** 2))) * count

    def laplace(self, fields: DpJson, count: int, _: int) -> None:
        noise = positive(fields["noise_multiplier"], "noise_multiplier")
        self._pure(1 / Fraction(noise), count)

    def discrete_laplace(self, fields: DpJson, count: int, _: int) -> None:
        parameter = positive(fields["noise_parameter"], "noise_parameter")
        sensitivity = positive_integer(fields["sensitivity"], "sensitivity", 2**52)
        self._pure(Fraction(parameter) * sensitivity, count)

    def _pure(self, epsilon: Fraction, count: int) -> None:
        self.rho += Fraction(round_up(epsilon**2 / 2)) * count

    def zcdp(self, fields: DpJson, count: int, _: int) -> None:
        if fields.get("xi", 0) != 0 or isinstance(fields.get("xi"), bool):
            raise PrivacyParameterError("A ZCDpEvent is taken with xi = 0 only.")
        self.rho += Fraction(positive(fields["rho"], "rho")) * count

    def sampled(self, fields: DpJson, count: int, _: int) -> None:
        inner, rate = fields["event"], fields["sampling_probability"]
        if _kind_of(inner) != "GaussianDpEvent":
            raise PrivacyParameterError(
                f"A Poisson sample is taken of a GaussianDpEvent, not of a {_kind_of(inner)}.",
                do="Write composed steps as the composition of sampled Gaussians.",
            )
        if set(inner) != {"module_name", "class_name", "noise_multiplier"}:
            raise PrivacyParameterError("A GaussianDpEvent has a noise_multiplier.")
        step = DpSgdTraining(inner["noise_multiplier"], rate, 1)  # refuses bad numbers
        key = (step.noise_multiplier, step.sampling_rate)
        self.steps[key] = self.steps.get(key, 0) + count

    def repeated(self, fields: DpJson, count: int, depth: int) -> None:
        times = positive_integer(fields["count"], "count", MAX_COUNT)
        self.add(fields["event"], count * times, depth + 1)

    def all_of(self, fields: DpJson, count: int, depth: int) -> None:
        if not isinstance(fields["events"], list):
            raise PrivacyParameterError("The events of a ComposedDpEvent are a list.")
        for event in fields["events"]:
            self.add(event, count, depth + 1)

    def not_private(self, _: DpJson, count: int, __: int) -> None:
        self.unprotected += count

    def nothing(self, *_: object) -> None:
        pass


_Rule = Callable[[_Counted, DpJson, int, int], None]
KINDS: dict[str, tuple[tuple[str, ...], _Rule]] = {
    "NoOpDpEvent": ((), _Counted.nothing),
    "NonPrivateDpEvent": ((), _Counted.not_private),
    "GaussianDpEvent": (("noise_multiplier",), _Counted.gaussian),
    "LaplaceDpEvent": (("noise_multiplier",), _Counted.laplace),
    "DiscreteLaplaceDpEvent": (("noise_parameter", "sensitivity"), _Counted.discrete_laplace),
    "ZCDpEvent": (("rho", "xi"), _Counted.zcdp),
    "PoissonSampledDpEvent": (("sampling_probability", "event"), _Counted.sampled),
    "SelfComposedDpEvent": (("event", "count"), _Counted.repeated),
    "ComposedDpEvent": (("events",), _Counted.all_of),
}
"""Fields of each kind that is known here, and how it is counted."""


def _kind_of(node: Any) -> str:
    if not isinstance(node, Mapping):
        raise PrivacyParameterError("An event is a JSON object with a class_name.")
    module, kind = node.get("module_name"), node.get("class_name")
    if module != MODULE or not isinstance(kind, str) or kind not in KINDS:
        _refuse_kind(module, kind)
    return kind


def _refuse_kind(module: Any, kind: Any) -> NoReturn:
    raise PrivacyParameterError(
        f"Events of the kind {str(module)[:80]}.{str(kind)[:80]} are not counted here.",
        why="No bound for them is known to this ledger, and a wrong one is worse than none.",
        do=f"Known kinds of {MODULE}: {', '.join(KINDS)}. Bound others by a ZCDpEvent that you "
        "can prove.",
    )
