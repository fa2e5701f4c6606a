"""What an agreement's noise promises to whom: a record, a person, an institution, a student.

Every figure stands with the events that it was computed from, the neighbour relation, the unit and
the accountant. Where nothing is promised, the figure is None and a sentence says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.errors import PrivacyParameterError, counted
from secure_fedsa.messages import STUDENT
from secure_fedsa.planning import unit_words
from secure_fedsa.privacy import accountant, groups, shared_noise, training_accountant
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    events_to_list,
)
from secure_fedsa.privacy.mechanisms import differing_coordinates, l2_sensitivity
from secure_fedsa.privacy.shared_noise import SharedNoiseRelease, View
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.roles.noisy_release import noise_plan, share_plan
from secure_fedsa.roles.private_student import label_plan

DELTAS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
"""Where the curve of epsilon over delta is drawn, besides at the agreed delta."""

LARGER_PERSONS = (2, 5, 10)
"""Records of one person for whom a promise about one record is worked out."""

_OF_TRAININGS = LARGER_PERSONS[:2]  # each takes seconds, and more records promise next to nothing

_ANOTHER_COUNTS = (
    "Where a record that counted is gone, another one of the same person may count in its place, "
    "so this figure can be above that of a person, all of whose records come or go together. Whose "
    "a record is stays the same."
)
_WORTH_STATING = 100.0  # epsilon: above it, a claim for a larger person is left out
NO_MU = (
    "No mu (Gaussian differential privacy) is claimed: of vectors of discrete Gaussians zCDP is "
    "what is proved, and a sampled training is no Gaussian mechanism."
)

GIVEN_THE_ROSTER = (
    "Of one run, whose roster depends on no signal. Not covered: that an institution takes part, "
    "the names of its classes, its ledger, that and when it sent something."
)
_INSTITUTION: dict[View, tuple[str, str, str]] = {
    "sum-and-colluding": (
        "institution",
        "told with max_colluding members",
        (
            "It rests on masks and encryption, and on the word of the other members of the "
            "smallest sum that they drew their shares."
        ),
    ),
    "sum": (
        "institution-in-the-sum",
        "against who sees the sum and colludes with no member",
        "As for colluding members, if all drew their shares.",
    ),
    "everybody-else": (
        "institution-against-everybody-else",
        "against all others together",
        (
            "Masks hide nothing then, and only its own share stands before its signal: no promise "
            "worth the name."
        ),
    ),
}
"""By view: the claim's id, who looks, and what the figure rests on."""

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


def unit_claims(agreement: Agreement) -> tuple[UnitClaim, ...]:
    """Return what one run under an agreement promises, unit by unit.

    The figures are those of one run; a data set's ledger has the total of all. Takes some seconds
    for a training.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    events = {name: planned_event(agreement, name) for name in agreement.teachers}
    nothing = (*_institution(agreement), _student(agreement))
    if agreement.privacy is None:
        return (_unprotected(events), *nothing)
    promised = [_agreed(agreement, events)]
    if agreement.route == NOISY_RELEASE:
        promised += _units_of_releases(agreement)
    elif agreement.promise.unit == "person":
        promised += _record_of_a_trained_person(agreement, events)
    else:
        promised += _larger_than_trained_for(agreement, events)
    promised.append(_everywhere(agreement, events))
    return (*promised, *nothing)


def _agreed(agreement: Agreement, events: dict[str, Event]) -> UnitClaim:
    promise = agreement.promise
    unit = unit_words.agreed_unit(promise)
    if promise.unit == "record":
        why = "The mechanism is accounted for it."
    else:
        why = (
            "The software counts no more records of a person, by the ids in the teacher's data; "
            "that the ids are right is the teacher's word."
        )
    return _claim(agreement, "agreed-unit", unit, _amounts(events), _held(events), why)


def _units_of_releases(agreement: Agreement) -> list[UnitClaim]:
    """Return claims for one record of a person, or for persons with several records."""
    promise, mechanism = agreement.promise, agreement.mechanism
    releases = {name: noise_plan(agreement, name) for name in agreement.teachers}
    if promise.unit == "person":
        single: dict[str, Event] = {}
        for name, plan in releases.items():
            reach = l2_sensitivity(mechanism.grid, plan.count_unit, "replace-one")
            touched = differing_coordinates(plan.shape, "replace-one")
            single[name] = DiscreteGaussianRelease(reach, plan.event.noise_scale, touched)
        why = f"The same noise, for the sensitivity of a replacement. {_ANOTHER_COUNTS}"
        return [
            _claim(agreement, "one-record", unit_words.RECORD, _amounts(single), _held(single), why)
        ]
    found = []
    for records in LARGER_PERSONS:
        grown = {
            name: groups.group_of_releases(plan.event, records) for name, plan in releases.items()
        }
        held: dict[str, tuple[Event, ...]] = {name: (event,) for name, event in grown.items()}
        found.append(
            _claim(
                agreement,
                f"person-with-{records}-records",
                unit_words.person_with(records),
                {name: Amount.of(events) for name, events in held.items()},
                held,
                f"Group privacy: {records} records move a summary {records} times as far. It holds "
                "for persons with no more records; nothing in this agreement bounds that.",
            )
        )
    return [claim for claim in found if (claim.epsilon or 0.0) <= _WORTH_STATING]


def _record_of_a_trained_person(agreement: Agreement, events: dict[str, Event]) -> list[UnitClaim]:
    """Return a claim for one record of a person whose records are one unit of a training."""
    claim = _of_trainings(
        agreement,
        events,
        ("one-record", unit_words.RECORD),
        groups.changed_unit_epsilons,
        f"The lemma on groups: the person leaves, and comes back changed. {_ANOTHER_COUNTS}",
    )
    return [] if claim is None else [claim]


def _larger_than_trained_for(agreement: Agreement, events: dict[str, Event]) -> list[UnitClaim]:
    """Return claims for persons with several records of trainings that take records."""
    found: list[UnitClaim] = []
    for records in _OF_TRAININGS:

        def of_group(
            event: DpSgdTraining, deltas: Sequence[float], records: int = records
        ) -> list[float | None]:
            return groups.training_epsilons(event, records, deltas)

        claim = _of_trainings(
            agreement,
            events,
            (f"person-with-{records}-records", unit_words.person_with(records)),
            of_group,
            "Each step samples the person's records one by one (Ganesh 2024). It holds for "
            "persons with no more records; nothing in this agreement bounds that.",
        )
        if claim is None:
            break  # more records cost more
        found.append(claim)
    return found


def _of_trainings(
    agreement: Agreement,
    events: dict[str, Event],
    unit: tuple[str, str],
    epsilons: Callable[[DpSgdTraining, Sequence[float]], list[float | None]],
    why: str,
) -> UnitClaim | None:
    """Return a claim, for the worst teacher, about a unit that trainings are not accounted for.

    None if no bound worth stating holds. ``unit`` is the claim's id and the unit in words.
    """
    deltas = _deltas(agreement.promise.delta)
    worst: list[float | None] = [0.0] * len(deltas)
    try:
        for event in dict.fromkeys(events.values()):
            assert isinstance(event, DpSgdTraining)
            worst = [_larger(a, b) for a, b in zip(worst, epsilons(event, deltas), strict=True)]
    except PrivacyParameterError:
        return None
    curve = tuple(zip(deltas, worst, strict=True))
    epsilon = dict(curve)[agreement.promise.delta]
    if epsilon is None or epsilon > _WORTH_STATING:
        return None
    name, words = unit
    return UnitClaim(
        id=name,
        unit=words,
        neighbours=unit_words.neighbours(agreement.promise, words),
        epsilon=epsilon,
        delta=agreement.promise.delta,
        curve=curve,
        rho=None,
        events=_held(events),
        accountant=groups.NAME,
        accountant_version=groups.VERSION,
        why=why,
    )


def _everywhere(agreement: Agreement, events: dict[str, Event]) -> UnitClaim:
    unit = unit_words.at_every_teacher(agreement.promise)
    try:
        amount = Amount.of(events.values())
        amount.epsilon(agreement.promise.delta)
    except PrivacyParameterError:
        return _none(
            "person-at-every-teacher", unit, "The teachers' losses add up beyond any claim."
        )
    why = (
        f"The losses of {len(events)} teachers add up: each of them looks at records of its own, "
        "and what leaves all of them is seen together. Somebody at fewer teachers loses less."
    )
    everyone = {"all": amount}
    return _claim(agreement, "person-at-every-teacher", unit, everyone, _held(events), why)


def _institution(agreement: Agreement) -> tuple[UnitClaim, ...]:
    if agreement.institution_privacy is not None:
        return tuple(_in_the_sum(agreement, view) for view in _INSTITUTION)
    why = (
        "Noise for records does not hide what an institution is. What else stands before that "
        "differs by view: masks and encryption against most, nothing against some."
    )
    if agreement.privacy is None:
        why = "There is no noise. What masks and encryption hide differs by view."
    return (_none("institution", "one institution with all its records", why),)


def _in_the_sum(agreement: Agreement, view: View) -> UnitClaim:
    """Return what the opened sum tells a view about one member's whole signal."""
    event, delta = share_plan(agreement), agreement.promise.delta
    shares, rho = event.shares(view), event.rho(view)
    name, who, why = _INSTITUTION[view]
    noise = "of the members' noise"
    counting = counted(shares, f"share {noise} counts", f"shares {noise} count")
    becomes = "zero" if event.neighbours == "member-to-zero" else "any other within the norm"
    return UnitClaim(
        id=name,
        unit=f"one institution: all that the sum has of it, {who}",
        neighbours=f"sums of the same members in which one's clipped signal becomes {becomes}",
        epsilon=accountant.epsilon_from_rho(rho, delta),
        delta=delta,
        curve=tuple((at, accountant.epsilon_from_rho(rho, at)) for at in _deltas(delta)),
        rho=rho,
        events={},
        accountant=shared_noise.NAME,
        accountant_version=shared_noise.VERSION,
        why=f"{counting}. {why} {GIVEN_THE_ROSTER}",
        shared=event,
    )


def _student(agreement: Agreement) -> UnitClaim:
    if agreement.student_privacy is not None:
        event = label_plan(agreement).event
        name = agreement.only(STUDENT)
        return _claim(
            agreement,
            "student-record",
            "one labelled record of the student",
            {name: Amount.of([event])},
            {name: (event,)},
            "Noise of its own, against everybody but the student: one noisy summary of them serves "
            "all runs under this agreement; it is charged to the student's own ledger, and the "
            "question comes from public probes. That it is so is the student's word. What the same "
            "person loses at teachers comes on top. Records that accuracies are measured on are "
            "NOT covered.",
        )
    return _none(
        "student-record",
        "one labelled record of the student",
        "The student's own labelled records are NOT protected: the question to the teachers, the "
        "scores and the student itself are made from them without noise.",
    )


def _unprotected(events: dict[str, Event]) -> UnitClaim:
    claim = _none(
        "agreed-unit", unit_words.RECORD, "NO DIFFERENTIAL PRIVACY: the agreement promises none."
    )
    return replace(claim, events=_held(events))


def _none(name: str, unit: str, why: str) -> UnitClaim:
    return UnitClaim(name, unit, "", None, None, (), None, {}, "", "", why)


def _claim(
    agreement: Agreement,
    name: str,
    unit: str,
    amounts: dict[str, Amount],
    events: dict[str, tuple[Event, ...]],
    why: str,
) -> UnitClaim:
    delta = agreement.promise.delta
    curve = tuple((at, _worst(amounts, at)) for at in _deltas(delta))
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


def _amounts(events: dict[str, Event]) -> dict[str, Amount]:
    return {name: Amount.of([event]) for name, event in events.items()}


def _held(events: dict[str, Event]) -> dict[str, tuple[Event, ...]]:
    return {name: (event,) for name, event in events.items()}


def _worst(amounts: dict[str, Amount], delta: float) -> float | None:
    try:
        return max(amount.epsilon(delta) for amount in set(amounts.values()))
    except PrivacyParameterError:
        return None  # below what the accountant states


def _larger(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else max(one, other)


def _deltas(agreed: float) -> tuple[float, ...]:
    return tuple(sorted({*DELTAS, agreed}, reverse=True))
