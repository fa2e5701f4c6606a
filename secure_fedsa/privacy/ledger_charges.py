"""What one run charges: the reserve entry of a ledger, and a run's entries by themselves.

Pure, like :mod:`.ledger_books`. The form of these entries is that of the protocol
(protocols/v1/derivations.md, 3): other institutions and auditors read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from secure_fedsa.errors import LedgerError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount, trainings_from_list
from secure_fedsa.privacy.events import Event, Unprotected, events_from_list, events_to_list
from secure_fedsa.privacy.ledger_entries import (
    NOTE_FIELDS,
    RELEASE_FIELDS,
    TRAINING_FIELDS,
    Entry,
    bad_entry,
    check_entry,
)
from secure_fedsa.privacy.parameters import positive, probability


@dataclass(frozen=True, slots=True)
class Terms:
    """The budget that a run's agreement sets.

    Attributes:
        budget: Epsilon for all runs under the agreement together, at ``delta``.
        delta: The agreement's delta.
    """

    budget: float
    delta: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One run's reservation: spent from the moment it is written, committed or not.

    Attributes:
        run_id: The run.
        agreement: Hash of the agreement that it runs under.
        events: What the run releases; of one kind, as an agreement has one route.
        cost: What they spend.
        agreement_total: What the agreement has spent after this charge.
        terms: The agreement's budget; None without differential privacy.
        stated: Whether the training was stated by the institution, and not done by this
            software in the run.
        entry_hash: Hash of the reserve entry.
        committed: True once the noisy summary was persisted: never draw noise again.
    """

    run_id: str
    agreement: str
    events: tuple[Event, ...]
    cost: Amount
    agreement_total: Amount
    terms: Terms | None
    stated: bool
    entry_hash: str
    committed: bool = False


def verify_segment(entries: Sequence[Entry]) -> Charge:
    """Check one run's entries, as taken from a ledger, and return the run's charge.

    A segment shows that these entries exist, unaltered, in one ledger and in this order. It
    does not show that the ledger has no others: the countersigned head is for that.

    Raises:
        LedgerError: If an entry is damaged, entries are out of order or of several runs or
            data sets, or the charge is missing, repeated or not what its events cost.
    """
    charge: Charge | None = None
    before: Entry | None = None
    for index, entry in enumerate(entries):
        check_entry(entry, index)
        if before is not None:
            if any(entry[name] != before[name] for name in ("data_set", "run_id")):
                bad_entry(index, "it belongs to another run or data set")
            gap = entry["position"] - before["position"]
            if gap < 1 or (gap == 1 and entry["previous"] != before["hash"]):
                bad_entry(index, "it does not follow the entry before it")
        before = entry
        if entry["kind"] == "reserve" and charge is None:
            charge = charge_of(entry)
        elif entry["kind"] == "commit" and charge is not None and not charge.committed:
            charge = replace(charge, committed=True)
        elif entry["kind"] not in NOTE_FIELDS:
            bad_entry(index, f"a {entry['kind']} entry is not allowed here")
    if charge is None:
        raise LedgerError("A ledger segment holds no charge for its run.")
    return charge


STUDENT_USE = "student-"
"""Begins the run id of a charge for the student's own labelled records: one serves many runs."""


def same_charge(
    charge: Charge, agreement: str, events: tuple[Event, ...], terms: Terms | None, *, stated: bool
) -> Charge:
    """Return an earlier charge of a run if it was made for exactly this.

    Raises:
        LedgerError: If it was made for anything else.
    """
    known = (charge.agreement, charge.events, charge.terms, charge.stated)
    if known != (agreement, events, terms, stated):
        raise LedgerError(
            f"Run {charge.run_id!r} was charged before, for something else.",
            do="Resume it with its own agreement and events, or start a new run.",
        )
    return charge


def reserve_body(
    agreement: str,
    events: tuple[Event, ...],
    spent_before: Amount,
    terms: Terms | None,
    *,
    stated: bool,
) -> dict[str, Any]:
    """Return the body of a reserve entry.

    Raises:
        PrivacyParameterError: If the events are of several kinds, or do not go with terms.
    """
    body: dict[str, Any] = {"agreement": agreement, "events": events_to_list(events)}
    cost = Amount.of(events)
    total = Amount.sum([spent_before, cost])
    kinds = {type(event) for event in events}
    if len(kinds) != 1 or cost.selections or (terms is None) != (kinds == {Unprotected}):
        raise PrivacyParameterError(
            "A run's events are all releases, or trainings, or uses without differential "
            "privacy, with a budget exactly if they have an epsilon."
        )
    if terms is None:
        return body
    if cost.trainings:
        listed = events_to_list(total.trainings)
        body |= {"stated": stated, "agreement_trainings": listed}
    else:
        body |= {"rho": cost.rho, "agreement_rho": total.rho}
    return body | {"delta": terms.delta, "budget": terms.budget}


def charge_of(entry: Entry) -> Charge:
    """Return the charge of a well-formed reserve entry.

    Raises:
        LedgerError: If the charge is not what its events cost.
    """
    position, body = entry["position"], entry["body"]
    terms: Terms | None = None
    stated = False
    try:
        events = events_from_list(body["events"])
        cost = Amount.of(events)
        if set(body) == RELEASE_FIELDS:
            sound = cost.releases_only and cost.rho == body["rho"]
            total = Amount(positive(body["agreement_rho"], "rho"))
            sound = sound and total.rho >= cost.rho
        elif set(body) == TRAINING_FIELDS:
            stated = body["stated"]
            sound = type(stated) is bool and cost == Amount(trainings=cost.trainings)
            total = Amount(trainings=trainings_from_list(body["agreement_trainings"]))
            sound = sound and bool(cost.trainings) and _holds(total, cost)
        else:
            sound = cost == Amount(unprotected=len(events))
            total = cost
        if "budget" in body:
            delta = probability(body["delta"], "delta")
            terms = Terms(positive(body["budget"], "budget"), delta)
    except (PrivacyParameterError, TypeError) as error:
        bad_entry(position, str(error))
    if not sound or not isinstance(body["agreement"], str):
        bad_entry(position, "its charge is not what its events cost")
    return Charge(
        run_id=entry["run_id"],
        agreement=body["agreement"],
        events=events,
        cost=cost,
        agreement_total=total,
        terms=terms,
        stated=stated,
        entry_hash=entry["hash"],
    )


def _holds(total: Amount, part: Amount) -> bool:
    """Return whether a total of trainings has at least the steps of a part, kind by kind."""
    steps = {(e.noise_multiplier, e.sampling_rate): e.steps for e in total.trainings}
    return all(
        steps.get((e.noise_multiplier, e.sampling_rate), 0) >= e.steps for e in part.trainings
    )
