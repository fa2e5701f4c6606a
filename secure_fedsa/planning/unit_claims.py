"""What an agreement's noise promises to whom: a record, a person, an institution, a student.

Every figure stands with the events that it was computed from, the neighbour relation, the unit and
the accountant. Where nothing is promised, the figure is None and a sentence says why.
"""

from __future__ import annotations

from dataclasses import replace

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.errors import PrivacyParameterError, counted
from secure_fedsa.messages import STUDENT
from secure_fedsa.planning import unit_words
from secure_fedsa.planning.training_claims import (
    larger_than_trained_for,
    record_of_a_trained_person,
)
from secure_fedsa.planning.unit_claim import (
    ANOTHER_COUNTS,
    NO_BOUND,
    WORTH_STATING,
    UnitClaim,
    amounts_of,
    claim_of,
    curve_deltas,
    events_held,
    no_claim,
    too_large,
)
from secure_fedsa.privacy import accountant, groups, shared_noise
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    Event,
)
from secure_fedsa.privacy.mechanisms import differing_coordinates, l2_sensitivity
from secure_fedsa.privacy.shared_noise import View
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.roles.noisy_release import noise_plan, share_plan
from secure_fedsa.roles.private_student import label_plan

LARGER_PERSONS = (2, 5, 10)
"""Records of one person for whom a promise about one record is worked out."""

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

INSTITUTION_CLAIMS: dict[View, str] = {view: name for view, (name, _, _) in _INSTITUTION.items()}
"""By view of a sum that protects institutions: the id of its claim."""


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
        promised += record_of_a_trained_person(agreement, events)
    else:
        promised += larger_than_trained_for(agreement, events)
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
    return claim_of(agreement, "agreed-unit", unit, amounts_of(events), events_held(events), why)


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
        why = f"The same noise, for the sensitivity of a replacement. {ANOTHER_COUNTS}"
        return [
            claim_of(
                agreement,
                "one-record",
                unit_words.RECORD,
                amounts_of(single),
                events_held(single),
                why,
            )
        ]
    found = []
    for records in LARGER_PERSONS:
        grown = {
            name: groups.group_of_releases(plan.event, records) for name, plan in releases.items()
        }
        held: dict[str, tuple[Event, ...]] = {name: (event,) for name, event in grown.items()}
        found.append(
            claim_of(
                agreement,
                f"person-with-{records}-records",
                unit_words.person_with(records),
                {name: Amount.of(events) for name, events in held.items()},
                held,
                f"Group privacy: {records} records move a summary {records} times as far. It holds "
                "for persons with no more records; nothing in this agreement bounds that.",
            )
        )
    return [_worth_stating(claim) for claim in found]


def _worth_stating(claim: UnitClaim) -> UnitClaim:
    """Return a claim, or why its figure says too little to be stated."""
    if claim.epsilon is None:
        return no_claim(claim.id, claim.unit, NO_BOUND)
    if claim.epsilon > WORTH_STATING:
        return no_claim(claim.id, claim.unit, too_large(claim.epsilon))
    return claim


def _everywhere(agreement: Agreement, events: dict[str, Event]) -> UnitClaim:
    unit = unit_words.at_every_teacher(agreement.promise)
    try:
        amount = Amount.of(events.values())
        amount.epsilon(agreement.promise.delta)
    except PrivacyParameterError:
        return no_claim(
            "person-at-every-teacher", unit, "The teachers' losses add up beyond any claim."
        )
    why = (
        f"The losses of {len(events)} teachers add up: each of them looks at records of its own, "
        "and what leaves all of them is seen together. Somebody at fewer teachers loses less."
    )
    everyone = {"all": amount}
    return claim_of(agreement, "person-at-every-teacher", unit, everyone, events_held(events), why)


def _institution(agreement: Agreement) -> tuple[UnitClaim, ...]:
    if agreement.institution_privacy is not None:
        return tuple(_in_the_sum(agreement, view) for view in _INSTITUTION)
    why = (
        "Noise for records does not hide what an institution is. What else stands before that "
        "differs by view: masks and encryption against most, nothing against some."
    )
    if agreement.privacy is None:
        why = "There is no noise. What masks and encryption hide differs by view."
    return (no_claim("institution", "one institution with all its records", why),)


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
        curve=tuple((at, accountant.epsilon_from_rho(rho, at)) for at in curve_deltas(delta)),
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
        return claim_of(
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
    return no_claim(
        "student-record",
        "one labelled record of the student",
        "The student's own labelled records are NOT protected: the question to the teachers, the "
        "scores and the student itself are made from them without noise.",
    )


def _unprotected(events: dict[str, Event]) -> UnitClaim:
    claim = no_claim(
        "agreed-unit", unit_words.RECORD, "NO DIFFERENTIAL PRIVACY: the agreement promises none."
    )
    return replace(claim, events=events_held(events))
