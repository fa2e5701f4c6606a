"""What a chain of ledger entries adds up to, and the rules that it must follow.

Pure: entries come in as JSON-able dicts; :mod:`.ledger_store` keeps them on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secure_fedsa.errors import LedgerError, PrivacyParameterError
from secure_fedsa.privacy.accountant import compose_rho, rho_of
from secure_fedsa.privacy.budgets import require_within_budget
from secure_fedsa.privacy.events import Event, events_from_list
from secure_fedsa.privacy.ledger_entries import (
    FIRST_PREVIOUS,
    NOTE_FIELDS,
    Entry,
    bad_entry,
    check_entry,
)
from secure_fedsa.privacy.parameters import positive, probability


@dataclass(frozen=True, slots=True)
class Charge:
    """One run's reservation: spent from the moment it is written, committed or not.

    Attributes:
        run_id: The run.
        agreement: Hash of the agreement that it runs under.
        events: What the run releases.
        rho: Their zCDP parameter.
        agreement_rho: The agreement's total after this charge.
        delta: The agreement's delta.
        budget: The agreement's epsilon, for all its runs together, at ``delta``.
        entry_hash: Hash of the reserve entry.
        committed: True once the noisy summary was persisted: never draw noise again.
    """

    run_id: str
    agreement: str
    events: tuple[Event, ...]
    rho: float
    agreement_rho: float
    delta: float
    budget: float
    entry_hash: str
    committed: bool = False


@dataclass(slots=True)
class Books:
    """The state that a whole chain adds up to."""

    data_set: str
    delta: float
    inherited: dict[str, float] = field(default_factory=dict)
    inherited_rosters: list[list[str]] = field(default_factory=list)
    charges: dict[str, Charge] = field(default_factory=dict)
    notes: list[Entry] = field(default_factory=list)
    superseded: Entry | None = None
    position: int = 0
    head: str = FIRST_PREVIOUS

    def agreement_rhos(self, agreement: str) -> list[float]:
        """Return the charges under one agreement, inherited ones included."""
        own = [charge.rho for charge in self.charges.values() if charge.agreement == agreement]
        return [self.inherited.get(agreement, 0.0), *own]

    def all_rhos(self) -> list[float]:
        """Return every charge on the data set, inherited ones included."""
        own = [charge.rho for charge in self.charges.values()]
        return [*self.inherited.values(), *own]

    def opened_rosters(self) -> list[frozenset[str]]:
        """Return the rosters noted as opened, those of earlier versions included."""
        own = [note["body"]["members"] for note in self.notes if note["kind"] == "roster-opened"]
        return [frozenset(members) for members in [*self.inherited_rosters, *own]]

    def bequest(self) -> dict[str, Any]:
        """Return what a new version inherits: rho for each agreement, and opened rosters."""
        names = [*self.inherited, *(charge.agreement for charge in self.charges.values())]
        return {
            "spent": {name: compose_rho(self.agreement_rhos(name)) for name in names},
            "rosters": sorted({tuple(sorted(roster)) for roster in self.opened_rosters()}),
        }

    def require_affordable(
        self,
        run_id: str,
        agreement: str,
        asked: float,
        agreement_budget: tuple[float, float],
        dataset_budget: float,
    ) -> None:
        """Refuse a charge of ``asked`` (rho) that a budget or an earlier choice forbids.

        ``agreement_budget`` is (epsilon, delta); the data set's is at the ledger's delta.

        Raises:
            BudgetError: If a budget would be passed.
            LedgerError: If the data set has a new version or the agreement's budget changed.
        """
        if self.superseded is not None:
            raise LedgerError(
                "This data set has a new version; its ledger takes no further charge.",
                do="Use the ledger of the new version.",
            )
        for charge in self.charges.values():
            same = (charge.budget, charge.delta) == agreement_budget
            if charge.agreement == agreement and not same:
                raise LedgerError("The budget of an agreement changed between its runs.")
        spent = compose_rho(self.agreement_rhos(agreement))
        # Named by the agreement's clauses, so that who is refused knows which one it was.
        whose = "this agreement (privacy.agreement_budget)"
        require_within_budget(run_id, whose, spent, asked, *agreement_budget)
        total = compose_rho(self.all_rhos())
        whose = "this data set (privacy.data_set_budget)"
        require_within_budget(run_id, whose, total, asked, dataset_budget, self.delta)


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
    charge: Charge, agreement: str, events: tuple[Event, ...], delta: float, budget: float
) -> Charge:
    """Return an earlier charge of a run if it was made for exactly this.

    Raises:
        LedgerError: If it was made for anything else.
    """
    known = (charge.agreement, charge.events, charge.delta, charge.budget)
    if known != (agreement, events, delta, budget):
        raise LedgerError(
            f"Run {charge.run_id!r} was charged before, for something else.",
            do="Resume it with its own agreement and events, or start a new run.",
        )
    return charge


def _genesis(entry: Entry) -> Books:
    body = entry["body"]
    if entry["kind"] != "genesis":
        bad_entry(0, "a ledger begins with its data set's genesis")
    inherited: dict[str, float] = {}
    rosters: list[list[str]] = []
    try:
        delta = probability(body["delta"], "delta")
        if body["inherits"] is not None:
            if set(body["inherits"]) != {"data_set", "head", "spent", "rosters"}:
                bad_entry(0, "its inheritance is incomplete")
            for name, rho in body["inherits"]["spent"].items():
                inherited[name] = positive(rho, "rho")
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
    try:
        events = events_from_list(body["events"])
        rho = rho_of(events)
        delta = probability(body["delta"], "delta")
        budget = positive(body["budget"], "budget")
        agreement_rho = positive(body["agreement_rho"], "rho")
    except PrivacyParameterError as error:
        bad_entry(position, str(error))
    if rho != body["rho"] or agreement_rho < rho or not isinstance(body["agreement"], str):
        bad_entry(position, "its charge is not what its events cost")
    return Charge(
        run_id=entry["run_id"],
        agreement=body["agreement"],
        events=events,
        rho=rho,
        agreement_rho=agreement_rho,
        delta=delta,
        budget=budget,
        entry_hash=entry["hash"],
    )


def _apply(books: Books, entry: Entry) -> None:
    position, kind, run_id = entry["position"], entry["kind"], entry["run_id"]
    if kind == "reserve":
        charge = charge_of(entry)
        total = compose_rho([*books.agreement_rhos(charge.agreement), charge.rho])
        if run_id in books.charges or books.superseded is not None:
            bad_entry(position, "it charges a run twice, or a data set that has a new version")
        if charge.agreement_rho != total:
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
