"""One claim: what noise promises to one kind of unit, with all that the figure needs beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.planning import unit_words
from secure_fedsa.privacy import accountant, training_accountant
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import Event, events_to_list
from secure_fedsa.privacy.shared_noise import SharedNoiseRelease
from secure_fedsa.privacy.shown import at_most

DELTAS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
"""Where the curve of epsilon over delta is drawn, besides at the agreed delta."""

NO_MU = (
    "No mu (Gaussian differential privacy) is claimed: of vectors of discrete Gaussians zCDP is "
    "what is proved, and a sampled training is no Gaussian mechanism."
)

ANOTHER_COUNTS = (
    "Where a record that counted is gone, another one of the same person may count in its place, "
    "so this figure can be above that of a person, all of whose records come or go together. Whose "
    "a record is stays the same."
)
NO_BOUND = "At the agreed delta no bound is known that could be stated."
WORTH_STATING = 100.0  # epsilon: above it, no figure for a unit that is not the agreed one

Curve = tuple[tuple[float, float | None], ...]


@dataclass(frozen=True, slots=True)
class UnitClaim:
    """What holds for one kind of protected unit, against every view of a run.

    Attributes:
        id: ``agreed-unit``, ``one-record``, ``person-with-K-records``,
            ``person-at-every-teacher``, ``institution`` or ``student-record``. Where the sum
            protects institutions, ``institution`` is what colluding members are told, and
            ``institution-in-the-sum`` and ``institution-against-everybody-else`` stand beside.
        unit: The unit in words.
        neighbours: Which data sets are compared, in words; empty where nothing is promised.
        epsilon: Bound at ``delta``, for the worst teacher; None if nothing is promised.
        delta: The agreed delta; None likewise.
        curve: (delta, epsilon) over several deltas; epsilon None where it is not stated.
        rho: zCDP parameter; None where the mechanism has none worth stating.
        events: What the figures were computed from, by teacher.
        accountant: Name of the accountant; empty where nothing is promised.
        accountant_version: Its version.
        why: Why the figures hold, what keeps them true, or why there are none.
        shared: Of a whole institution, the release of the sum that the figures were computed from.
    """

    id: str
    unit: str
    neighbours: str
    epsilon: float | None
    delta: float | None
    curve: Curve
    rho: float | None
    events: dict[str, tuple[Event, ...]]
    accountant: str
    accountant_version: str
    why: str
    shared: SharedNoiseRelease | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as a JSON-able dict; ``mu`` is there, and null."""
        return {
            "id": self.id,
            "unit": self.unit,
            "neighbours": self.neighbours,
            "epsilon": self.epsilon,
            "delta": self.delta,
            "curve": [list(point) for point in self.curve],
            "rho": self.rho,
            "mu": None,
            "events": {name: events_to_list(events) for name, events in self.events.items()}
            | ({} if self.shared is None else {"sum": [self.shared.to_dict()]}),
            "accountant": self.accountant,
            "accountant_version": self.accountant_version,
            "why": self.why,
        }


def no_claim(name: str, unit: str, why: str) -> UnitClaim:
    """Return that nothing is promised to a unit, and why."""
    return UnitClaim(name, unit, "", None, None, (), None, {}, "", "", why)


def too_large(epsilon: float) -> str:
    """Return why a figure is not stated, in words.

    >>> too_large(123.45)
    'The bound that is known is 123.5, and one above 100 promises nothing: no figure is stated.'
    """
    return (
        f"The bound that is known is {at_most(epsilon)}, and one above {WORTH_STATING:g} promises "
        "nothing: no figure is stated."
    )


def claim_of(
    agreement: Agreement,
    name: str,
    unit: str,
    amounts: dict[str, Amount],
    events: dict[str, tuple[Event, ...]],
    why: str,
) -> UnitClaim:
    """Return a claim about a unit, for the teacher that loses most.

    Args:
        agreement: Says delta and neighbours.
        name: The claim's id.
        unit: In words.
        amounts: What the unit loses, by teacher.
        events: What that was computed from, by teacher.
        why: Why it holds.
    """
    delta = agreement.promise.delta
    curve = tuple((at, _worst(amounts, at)) for at in curve_deltas(delta))
    releases = all(amount.releases_only for amount in amounts.values())
    by = accountant if releases else training_accountant
    return UnitClaim(
        id=name,
        unit=unit,
        neighbours=unit_words.neighbours(agreement.promise, unit),
        epsilon=dict(curve)[delta],
        delta=delta,
        curve=curve,
        rho=max(amount.rho for amount in amounts.values()) if releases else None,
        events=events,
        accountant=by.NAME,
        accountant_version=by.VERSION,
        why=why,
    )


def amounts_of(events: dict[str, Event]) -> dict[str, Amount]:
    """Return what each teacher's event costs."""
    return {name: Amount.of([event]) for name, event in events.items()}


def events_held(events: dict[str, Event]) -> dict[str, tuple[Event, ...]]:
    """Return each teacher's event as a claim holds it."""
    return {name: (event,) for name, event in events.items()}


def _worst(amounts: dict[str, Amount], delta: float) -> float | None:
    try:
        return max(amount.epsilon(delta) for amount in set(amounts.values()))
    except PrivacyParameterError:
        return None  # below what the accountant states


def curve_deltas(agreed: float) -> tuple[float, ...]:
    """Return where a curve is drawn, the agreed delta among it, the largest first."""
    return tuple(sorted({*DELTAS, agreed}, reverse=True))
