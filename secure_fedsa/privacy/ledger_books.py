"""What a chain of ledger entries adds up to, and the rules that it must follow.

Pure: entries come in as JSON-able dicts; :mod:`.ledger_store` keeps them on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secure_fedsa.errors import BudgetError, LedgerError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount, trainings_from_list
from secure_fedsa.privacy.budgets import require_within_budget
from secure_fedsa.privacy.events import Event, Unprotected, events_from_list, events_to_list
from secure_fedsa.privacy.ledger_entries import (
    FIRST_PREVIOUS,
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


@dataclass(slots=True)
class Books:
    """The state that a whole chain adds up to."""

    data_set: str
    delta: float
    inherited: dict[str, Amount] = field(default_factory=dict)
    inherited_rosters: list[list[str]] = field(default_factory=list)
    charges: dict[str, Charge] = field(default_factory=dict)
    notes: list[Entry] = field(default_factory=list)
    superseded: Entry | None = None
    position: int = 0
    head: str = FIRST_PREVIOUS

    def spent_under(self, agreement: str) -> Amount:
        """Return what one agreement spent, inherited charges included."""
        own = (c.cost for c in self.charges.values() if c.agreement == agreement)
        return Amount.sum([self.inherited.get(agreement, Amount()), *own])

    def spent(self) -> Amount:
        """Return what the data set spent, inherited charges included."""
        own = (charge.cost for charge in self.charges.values())
        return Amount.sum([*self.inherited.values(), *own])

    def opened_rosters(self) -> list[frozenset[str]]:
        """Return the rosters noted as opened, those of earlier versions included."""
        own = [note["body"]["members"] for note in self.notes if note["kind"] == "roster-opened"]
        return [frozenset(members) for members in [*self.inherited_rosters, *own]]

    def bequest(self) -> dict[str, Any]:
        """Return what a new version inherits: the amount of each agreement, and opened rosters."""
        names = [*self.inherited, *(charge.agreement for charge in self.charges.values())]
        return {
            "spent": {name: self.spent_under(name).to_json() for name in names},
            "rosters": sorted({tuple(sorted(roster)) for roster in self.opened_rosters()}),
        }

    def require_affordable(
        self,
        run_id: str,
        agreement: str,
        asked: Amount,
        terms: Terms | None,
        data_set_budget: float | None,
    ) -> None:
        """Refuse a charge that a budget or an earlier choice forbids.

        Args:
            run_id: The run, for the message.
            agreement: Hash of its agreement.
            asked: The charge.
            terms: The agreement's budget; None without differential privacy.
            data_set_budget: Epsilon at the ledger's delta; None likewise.

        Raises:
            BudgetError: If a budget would be passed; after a use without differential privacy
                every budget is, and before one every promise of a budget would be broken.
            LedgerError: If the data set has a new version or the agreement's budget changed.
        """
        if self.superseded is not None:
            raise LedgerError(
                "This data set has a new version; its ledger takes no further charge.",
                do="Use the ledger of the new version.",
            )
        for charge in self.charges.values():
            if charge.agreement == agreement and charge.terms != terms:
                raise LedgerError("The budget of an agreement changed between its runs.")
        if terms is None or data_set_budget is None:
            self._require_unpromised(run_id)
            return
        spent = self.spent_under(agreement)
        # Named by the agreement's clauses, so that who is refused knows which one it was.
        whose = "this agreement (privacy.agreement_budget)"
        require_within_budget(run_id, whose, spent, asked, terms.budget, terms.delta)
        whose = "this data set (privacy.data_set_budget)"
        require_within_budget(run_id, whose, self.spent(), asked, data_set_budget, self.delta)

    def _require_unpromised(self, run_id: str) -> None:
        """Refuse a use without differential privacy of data that budgets were promised for."""
        inherited = any(not amount.unprotected for amount in self.inherited.values())
        if inherited or any(charge.terms is not None for charge in self.charges.values()):
            raise BudgetError(
                f"Run {run_id!r} would use data without differential privacy for which earlier "
                "agreements promised a budget.",
                why="No epsilon bounds what it would tell: every such promise would be broken.",
                do="Nothing was charged. Use data, and a ledger, that no budget was promised for; "
                "or agree on a route with differential privacy.",
            )


@dataclass(frozen=True, slots=True)
class Head:
    """The newest entry of a ledger: what others countersign."""

    data_set: str
    position: int
    hash: str


def replay(entries: Iterable[Entry]) -> Books:
    """Return what a whole chain adds up to.

    Raises:
        LedgerError: Naming the first entry that is damaged, missing or against the rules.
    """
    books: Books | None = None
    position = 0
    for position, entry in enumerate(entries):
        check_entry(entry, position)
        previous = FIRST_PREVIOUS if books is None else books.head
        if entry["position"] != position or entry["previous"] != previous:
            bad_entry(position, "it does not follow the entry before it")
        if books is None:
            books = _genesis(entry)
        elif entry["data_set"] != books.data_set:
            bad_entry(position, "it belongs to another data set")
        else:
            _apply(books, entry)
        books.position, books.head = position, entry["hash"]
    if books is None:
        raise LedgerError("The ledger is empty.", do="Restore it from a copy.")
    return books


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
    if len(kinds) != 1 or (terms is None) != (kinds == {Unprotected}):
        raise PrivacyParameterError(
            "A run's events are of one kind, with a budget exactly if they have an epsilon."
        )
    if terms is None:
        return body
    if cost.trainings:
        listed = events_to_list(total.trainings)
        body |= {"stated": stated, "agreement_trainings": listed}
    else:
        body |= {"rho": cost.rho, "agreement_rho": total.rho}
    return body | {"delta": terms.delta, "budget": terms.budget}


def _genesis(entry: Entry) -> Books:
    body = entry["body"]
    if entry["kind"] != "genesis":
        bad_entry(0, "a ledger begins with its data set's genesis")
    inherited: dict[str, Amount] = {}
    rosters: list[list[str]] = []
    try:
        delta = probability(body["delta"], "delta")
        if body["inherits"] is not None:
            if set(body["inherits"]) != {"data_set", "head", "spent", "rosters"}:
                bad_entry(0, "its inheritance is incomplete")
            for name, amount in body["inherits"]["spent"].items():
                inherited[name] = Amount.from_json(amount)
            rosters = [list(map(str, roster)) for roster in body["inherits"]["rosters"]]
    except (PrivacyParameterError, TypeError, AttributeError) as error:
        bad_entry(0, str(error))
    return Books(
        data_set=entry["data_set"], delta=delta, inherited=inherited, inherited_rosters=rosters
    )


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


def _apply(books: Books, entry: Entry) -> None:
    position, kind, run_id = entry["position"], entry["kind"], entry["run_id"]
    if kind == "reserve":
        charge = charge_of(entry)
        try:
            total = Amount.sum([books.spent_under(charge.agreement), charge.cost])
        except PrivacyParameterError as error:
            bad_entry(position, str(error))
        if run_id in books.charges or books.superseded is not None:
            bad_entry(position, "it charges a run twice, or a data set that has a new version")
        # Of uses without differential privacy there is no total that anybody could bound.
        if charge.terms is not None and charge.agreement_total != total:
            bad_entry(position, "the agreement's total is not the sum of its charges")
        books.charges[run_id] = charge
    elif kind == "commit":
        if run_id not in books.charges or books.charges[run_id].committed:
            bad_entry(position, "it commits what was not reserved, or twice")
        books.charges[run_id] = replace(books.charges[run_id], committed=True)
    elif kind == "superseded":
        if books.superseded is not None:
            bad_entry(position, "the data set already has a new version")
        books.superseded = entry
    elif kind in NOTE_FIELDS:
        books.notes.append(entry)
    else:
        bad_entry(position, f"a second {kind}")
