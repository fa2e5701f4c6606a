"""What a chain of ledger entries adds up to, and the rules that it must follow.

Pure: entries come in as JSON-able dicts; :mod:`.ledger_store` keeps them on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from secure_fedsa.errors import BudgetError, LedgerError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Limit, require_within
from secure_fedsa.privacy.ledger_charges import (
    Charge,
    Terms,
    charge_of,
    reserve_body,
    same_charge,
    verify_segment,
)
from secure_fedsa.privacy.ledger_entries import (
    FIRST_PREVIOUS,
    NOTE_FIELDS,
    PRIVATE_FIELDS,
    Entry,
    bad_entry,
    check_entry,
)
from secure_fedsa.privacy.ledger_private import (
    OUTSIDE,
    Disjoint,
    External,
    Link,
    disjoint_of,
    external_of,
    limit_of,
    link_of,
)
from secure_fedsa.privacy.parameters import probability

__all__ = [
    "Books",
    "Charge",
    "Head",
    "Terms",
    "charge_of",
    "replay",
    "reserve_body",
    "same_charge",
    "verify_segment",
]


@dataclass(slots=True)
class Books:
    """The state that a whole chain adds up to.

    ``positions`` has the place of each entry in the chain by its hash; ``parent_head`` is that of
    the entry that closed the version before.
    ``linked``, ``beside``, ``promised_elsewhere`` and ``unreachable`` are no part of the chain:
    whoever opens the ledger reads what linked data sets have spent by now, their own books (which
    count this data set, whatever they note), and whether a budget was promised for them, or why
    that cannot be known.
    """

    data_set: str
    delta: float
    parent: str = ""
    parent_head: str = ""
    inherited: dict[str, Amount] = field(default_factory=dict)
    inherited_rosters: list[list[str]] = field(default_factory=list)
    charges: dict[str, Charge] = field(default_factory=dict)
    notes: list[Entry] = field(default_factory=list)
    external: list[External] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    disjoint: dict[str, Disjoint] = field(default_factory=dict)
    limit: float | None = None
    superseded: Entry | None = None
    positions: dict[str, int] = field(default_factory=dict)
    linked: dict[str, Amount] = field(default_factory=dict)
    beside: dict[str, Books] = field(default_factory=dict)
    promised_elsewhere: bool = False
    unreachable: dict[str, str] = field(default_factory=dict)
    position: int = 0
    head: str = FIRST_PREVIOUS

    def spent_under(self, agreement: str) -> Amount:
        """Return what one agreement spent, inherited charges included."""
        own = (c.cost for c in self.charges.values() if c.agreement == agreement)
        return Amount.sum([self.inherited.get(agreement, Amount()), *own])

    def spent_alone(self) -> Amount:
        """Return what the data set spent, with what it inherited and what was imported."""
        own = (charge.cost for charge in self.charges.values())
        outside = (external.cost for external in self.external)
        return Amount.sum([*self.inherited.values(), *own, *outside])

    def spent_elsewhere(self) -> Amount:
        """Return what data sets with some of the same persons spent, as far as it is known."""
        return Amount.sum(self.linked.get(name, link.amount) for name, link in self.links.items())

    def spent(self) -> Amount:
        """Return the most that one person in the data set can have lost, links included."""
        return Amount.sum([self.spent_alone(), self.spent_elsewhere()])

    def opened_rosters(self) -> list[frozenset[str]]:
        """Return the rosters noted as opened, those of earlier versions included."""
        own = [note["body"]["members"] for note in self.notes if note["kind"] == "roster-opened"]
        return [frozenset(members) for members in [*self.inherited_rosters, *own]]

    def bequest(self) -> dict[str, Any]:
        """Return what a new version inherits: the amount of each agreement, and opened rosters."""
        names = [*self.inherited, *(charge.agreement for charge in self.charges.values())]
        spent = {name: self.spent_under(name) for name in names}
        if self.external:
            imported = (external.cost for external in self.external)
            spent[OUTSIDE] = Amount.sum([spent.get(OUTSIDE, Amount()), *imported])
        return {
            "spent": {name: amount.to_json() for name, amount in spent.items()},
            "rosters": sorted({tuple(sorted(roster)) for roster in self.opened_rosters()}),
        }

    def in_order(self) -> list[Charge | External]:
        """Return every charge in the order of the chain, those of uses outside included."""
        made: list[Charge | External] = [*self.charges.values(), *self.external]
        return sorted(made, key=lambda charge: self.positions[charge.entry_hash])

    def private_notes(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the links, statements and limit that stand, as a new version takes them over."""
        return [
            *(("link", link.body()) for link in self.links.values()),
            *(("disjoint", statement.body()) for statement in self.disjoint.values()),
            *([("limit", {"epsilon": self.limit})] if self.limit is not None else []),
        ]

    def require_affordable(
        self,
        run_id: str,
        agreement: str,
        asked: Amount,
        terms: Terms | None,
        data_set_budget: float | None,
        promises: Sequence[Terms] = (),
        beside: Mapping[str, Sequence[Terms]] | None = None,
    ) -> None:
        """Refuse a charge that a budget or an earlier choice forbids, here or of a linked data set.

        Args:
            run_id: The run, for the message.
            agreement: Hash of its agreement.
            asked: The charge.
            terms: The agreement's budget; None without differential privacy.
            data_set_budget: Epsilon at the agreement's delta or, if that is smaller, at the
                ledger's; None likewise.
            promises: What earlier agreements promised of all runs on this data set.
            beside: What was promised of each linked data set, by its id.

        Raises:
            BudgetError: If a budget would be passed; after a use without differential privacy
                every budget is, and before one every promise of a budget would be broken.
            LedgerError: If the data set has a new version, the agreement's budget changed, or
                what a linked data set, or one linked to it, spent cannot be known.
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
        limits = [Limit(whose, spent, terms.budget, terms.delta, own=True)]
        require_within(run_id, asked, limits if self.unreachable else [])
        self.require_reachable()
        whose, everything = "this data set (privacy.data_set_budget)", self.spent()
        # The agreement promised its own delta, and a ledger may have begun with a larger one.
        delta = min(self.delta, terms.delta)
        # Once charged, the agreement's promise binds every later one: nobody can raise it.
        promised = agreement in {*self.inherited, *(c.agreement for c in self.charges.values())}
        limits.append(Limit(whose, everything, data_set_budget, delta, fixed=promised))
        limits += self.limits_of_all(
            promises, "this data set, by an earlier agreement,", "this data set (its own limit)"
        )
        require_within(run_id, asked, [*limits, *self.limits_beside(beside or {})])

    def limits_of_all(
        self, promises: Iterable[Terms], by_agreement: str, by_owner: str
    ) -> list[Limit]:
        """Return what all that was spent of this data set, links included, has to keep.

        Args:
            promises: Budgets that agreements promised of all charges.
            by_agreement: What such a budget is called.
            by_owner: What the owner's limit is called.
        """
        spent = self.spent()
        limits = [
            Limit(by_agreement, spent, one.budget, min(self.delta, one.delta), fixed=True)
            for one in promises
        ]
        if self.limit is not None:
            limits.append(Limit(by_owner, spent, self.limit, self.delta, fixed=True))
        return limits

    def limits_beside(self, promises: Mapping[str, Sequence[Terms]]) -> list[Limit]:
        """Return what a charge has to keep of linked data sets: it counts in the total of each.

        Of a data set that is known by an export alone nothing is known to keep.

        Args:
            promises: What agreements promised of each, by its id.

        Raises:
            LedgerError: If the total of one with a budget cannot be known.
        """
        found = []
        for name, other in self.beside.items():
            whose = f"linked data set {name[:12]}"
            limits = other.limits_of_all(
                promises.get(name, ()),
                f"{whose}, by an agreement of its own,",
                f"{whose} (its own limit)",
            )
            if limits:
                other.require_reachable()
            found += limits
        return found

    def require_reachable(self) -> None:
        """Refuse a charge where what a linked data set spent cannot be known.

        Raises:
            LedgerError: Naming that data set.
        """
        for name, why in self.unreachable.items():
            raise LedgerError(
                f"Data set {name[:12]} shares persons with data set {self.data_set[:12]}, and its "
                "ledger cannot be read.",
                why=f"{why} What it spent since it was linked is not known.",
                do="Nothing was charged. Put its state folder back, or link it again where it is: "
                "secure-fedsa ledger link STATE --shares ITS-STATE",
            )

    def require_first(self, body: Mapping[str, Any]) -> None:
        """Refuse a use outside that this data set was charged for before.

        Args:
            body: Of its entry.

        Raises:
            LedgerError: Naming the earlier entry, if its description and its events are the same.
        """
        for one in self.external:
            if one.is_of(body):
                raise LedgerError(
                    f"{one.description!r} with the same events was charged before: entry "
                    f"{self.positions[one.entry_hash]} of data set {self.data_set[:12]}, hash "
                    f"{one.entry_hash[:12]}.",
                    why="Charged twice, one use would count as two, and no charge is taken back.",
                    do="Nothing was charged now. If it was another use: --again, or better a "
                    "description of its own.",
                )

    def is_promised(self) -> bool:
        """Return whether a budget was promised for the data set or a version before it.

        By an agreement that it was charged under, or by its owner's limit.
        """
        inherited = (a for name, a in self.inherited.items() if name != OUTSIDE)
        return (
            self.limit is not None
            or any(not amount.unprotected for amount in inherited)
            or any(charge.terms is not None for charge in self.charges.values())
        )

    def _require_unpromised(self, run_id: str) -> None:
        """Refuse a use without differential privacy of data that budgets were promised for."""
        self.require_reachable()
        if self.is_promised() or self.promised_elsewhere:
            raise BudgetError(
                f"Run {run_id!r} would use data without differential privacy for which earlier "
                "agreements, or their owner's limit, promised a budget.",
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
        books.positions[entry["hash"]] = position
    if books is None:
        raise LedgerError("The ledger is empty.", do="Restore it from a copy.")
    return books


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
        data_set=entry["data_set"],
        delta=delta,
        parent="" if body["inherits"] is None else str(body["inherits"]["data_set"]),
        parent_head="" if body["inherits"] is None else str(body["inherits"]["head"]),
        inherited=inherited,
        inherited_rosters=rosters,
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
    elif kind in PRIVATE_FIELDS:
        _apply_private(books, entry)
    else:
        bad_entry(position, f"a second {kind}")


def _apply_private(books: Books, entry: Entry) -> None:
    position, kind = entry["position"], entry["kind"]
    if books.superseded is not None:
        bad_entry(position, "the data set has a new version")
    if kind == "external":
        books.external.append(external_of(entry))
    elif kind == "link":
        link = link_of(entry)
        books.disjoint.pop(link.data_set, None)  # a statement that turned out wrong
        books.links.pop(entry["body"]["replaces"], None)
        books.links[link.data_set] = link
    elif kind == "disjoint":
        statement = disjoint_of(entry)
        if statement.data_set in books.links:
            bad_entry(position, "it says disjoint of what is linked")
        books.disjoint[statement.data_set] = statement
    else:
        books.limit = limit_of(entry, books.limit)
