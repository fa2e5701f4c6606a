"""What a training by DP-SGD promises to units that it is not accounted for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.planning import unit_words
from secure_fedsa.planning.unit_claim import (
    ANOTHER_COUNTS,
    NO_BOUND,
    WORTH_STATING,
    UnitClaim,
    curve_deltas,
    events_held,
    no_claim,
    too_large,
)
from secure_fedsa.privacy import groups
from secure_fedsa.privacy.events import DpSgdTraining, Event

_NOT_THE_PERSONS = (
    "The person's figure does not hold for it: where a record that counted is gone, another one of "
    "the same person may count in its place."
)
_LARGER_PERSONS = (2, 5)  # each takes seconds, and more records promise next to nothing


def record_of_a_trained_person(agreement: Agreement, events: dict[str, Event]) -> list[UnitClaim]:
    """Return a claim for one record of a person whose records are one unit of a training."""
    claim = _of_trainings(
        agreement,
        events,
        ("one-record", unit_words.RECORD),
        groups.changed_unit_epsilons,
        f"The lemma on groups: the person leaves, and comes back changed. {ANOTHER_COUNTS}",
    )
    if claim.epsilon is None:
        return [replace(claim, why=f"{claim.why} {_NOT_THE_PERSONS}")]
    return [claim]


def larger_than_trained_for(agreement: Agreement, events: dict[str, Event]) -> list[UnitClaim]:
    """Return claims for persons with several records of trainings that take records."""
    found: list[UnitClaim] = []
    for records in _LARGER_PERSONS:
        unit = (f"person-with-{records}-records", unit_words.person_with(records))
        if found and found[-1].epsilon is None:
            found.append(no_claim(*unit, "More records cost more than fewer, as above."))
            continue

        def of_group(
            event: DpSgdTraining, deltas: Sequence[float], records: int = records
        ) -> list[float | None]:
            return groups.training_epsilons(event, records, deltas)

        claim = _of_trainings(
            agreement,
            events,
            unit,
            of_group,
            "Each step samples the person's records one by one (Ganesh 2024). It holds for "
            "persons with no more records; nothing in this agreement bounds that.",
        )
        found.append(claim)
    return found


def _of_trainings(
    agreement: Agreement,
    events: dict[str, Event],
    unit: tuple[str, str],
    epsilons: Callable[[DpSgdTraining, Sequence[float]], list[float | None]],
    why: str,
) -> UnitClaim:
    """Return a claim, for the worst teacher, about a unit that trainings are not accounted for.

    It has no figure if no bound worth stating holds. ``unit`` is the claim's id and the unit in
    words.
    """
    at = curve_deltas(agreement.promise.delta)
    worst: list[float | None] = [0.0] * len(at)
    try:
        for event in dict.fromkeys(events.values()):
            assert isinstance(event, DpSgdTraining)
            worst = [_larger(a, b) for a, b in zip(worst, epsilons(event, at), strict=True)]
    except PrivacyParameterError as error:
        return no_claim(*unit, f"No bound worth stating is known: {error.what}")
    curve = tuple(zip(at, worst, strict=True))
    epsilon = dict(curve)[agreement.promise.delta]
    if epsilon is None:
        return no_claim(*unit, NO_BOUND)
    if epsilon > WORTH_STATING:
        return no_claim(*unit, too_large(epsilon))
    name, words = unit
    return UnitClaim(
        id=name,
        unit=words,
        neighbours=unit_words.neighbours(agreement.promise, words),
        epsilon=epsilon,
        delta=agreement.promise.delta,
        curve=curve,
        rho=None,
        events=events_held(events),
        accountant=groups.NAME,
        accountant_version=groups.VERSION,
        why=why,
    )


def _larger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)
