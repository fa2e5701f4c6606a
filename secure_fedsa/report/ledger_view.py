"""What a data set's ledger says, made ready to be shown: as JSON, as text, as a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.privacy import accountant, budget_filter, training_accountant
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend, what_is_left
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    Unprotected,
    events_to_list,
)
from secure_fedsa.privacy.ledger_books import Books, Charge
from secure_fedsa.privacy.ledger_private import OUTSIDE, External
from secure_fedsa.report.summary import VIEWS
from secure_fedsa.roles.charges import terms_of

READING = (
    "What was spent is a reading: it bounds the loss by itself if the parameters of every run were "
    "fixed before the first result. A budget that was fixed before is a filter: it holds also if "
    "later runs were chosen by what earlier ones showed."
)
SAME_FOR_ALL = (
    "Every teacher adds all of its noise itself, and whatever leaves it is computed from what that "
    "noise protects: the bound is the same against everybody, alone or together."
)
TWICE = (
    "Trainings came first and mechanisms of another kind later: if those were chosen by looking at "
    "results, the budget is proved at twice its delta."
)


def accountants(amount: Amount) -> list[tuple[str, str]]:
    """Return name and version of whatever states the epsilon of an amount."""
    found = []
    if amount.unprotected:
        return found
    if amount.rho:
        found.append((accountant.NAME, accountant.VERSION))
    if amount.trainings:
        found.append((training_accountant.NAME, training_accountant.VERSION))
    return found


def described(event: Event) -> str:
    """Return one event in words.

    >>> described(DpSgdTraining(4.0, 0.1, 200))
    'DP-SGD: noise 4, rate 0.1, 200 steps'
    """
    if isinstance(event, DiscreteGaussianRelease):
        return f"discrete Gaussian: noise {event.noise_scale / event.sensitivity:.4g}"
    if isinstance(event, DpSgdTraining):
        return (
            f"DP-SGD: noise {event.noise_multiplier:.4g}, rate {event.sampling_rate:.4g}, "
            f"{event.steps} steps"
        )
    if isinstance(event, Unprotected):
        return "NO DIFFERENTIAL PRIVACY"
    return event.kind


@dataclass(frozen=True, slots=True)
class Row:
    """One charge in the order of the chain, and the data set's total after it.

    Attributes:
        name: The run's id, or what an import was described as.
        day: By this machine's clock; empty if it was not noted.
        agreement: Hash; empty for a use outside.
        what: The events in words.
        events: The same as JSON values; of dp_accounting for a use outside.
        cost: What it spends by itself.
        total: What the data set spent with it, what was inherited included and links not.
        stated: Whether it is somebody's word that this was all: not witnessed by this software.
        committed: Whether the noisy result was stored.
        erased: Whether the run's keys and signals were noted as erased.
        burnt: Why the charge bought nothing, if so.
    """

    name: str
    day: str
    agreement: str
    what: str
    events: Any
    cost: Spend
    total: Spend
    stated: bool
    committed: bool
    erased: bool
    burnt: str


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """All runs under one agreement.

    Attributes:
        agreement: Hash.
        title: Of the agreement, if it was kept.
        runs: Number of runs in this version of the data set.
        spent: At the agreement's delta; at the ledger's if that is not known.
        budget: Of all its runs; None without differential privacy or if not known.
        left: For one more release under it.
    """

    agreement: str
    title: str
    runs: int
    spent: Spend
    budget: float | None
    left: Spend | None


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A whole ledger, to be shown.

    Attributes:
        books: The books, with linked data sets.
        rows: Every charge.
        agreements: By agreement.
        total: With links: the most that a person can have lost.
        alone: Without links.
        before: What was inherited: the total before the first row.
        budget: For all runs on the data set; None if no budget is known.
        budget_from: Who set it.
        left: For one more release.
        unit: For instance "record (add-remove)"; several if agreements differ, empty if unknown.
        remarks: What has to be said besides.
    """

    books: Books
    rows: tuple[Row, ...]
    agreements: tuple[AgreementRow, ...]
    total: Spend
    alone: Spend
    before: Spend
    budget: float | None
    budget_from: str
    left: Spend | None
    unit: str
    remarks: tuple[str, ...] = field(default=())

    @property
    def stated(self) -> int:
        """Number of charges that nobody here witnessed."""
        return sum(row.stated for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """Return the view as JSON values; an epsilon that no bound holds for is null."""
        books = self.books
        return {
            "data_set": books.data_set,
            "delta": books.delta,
            "head": {"position": books.position, "hash": books.head},
            "unit": self.unit,
            "spent": spend_json(self.total),
            "spent_alone": spend_json(self.alone),
            "unprotected_uses": books.spent().unprotected,
            "accountants": _accountants_json(books.spent()),
            "budget": self.budget,
            "budget_from": self.budget_from,
            "left": self.left and spend_json(self.left),
            "limit": books.limit,
            "by_run": [_row_json(row) for row in self.rows],
            "by_agreement": [
                {
                    "agreement": row.agreement,
                    "title": row.title,
                    "runs": row.runs,
                    "spent": spend_json(row.spent),
                    "accountants": _accountants_json(books.spent_under(row.agreement)),
                    "budget": row.budget,
                    "left": row.left and spend_json(row.left),
                }
                for row in self.agreements
            ],
            "by_view": dict.fromkeys(VIEWS, spend_json(self.total)),
            "inherited": {name: amount.to_json() for name, amount in books.inherited.items()},
            "linked": [
                {
                    "data_set": name,
                    "spent": spend_json(Spend.of(books.linked.get(name, link.amount), books.delta)),
                    "known": _how_known(books, name),
                }
                for name, link in books.links.items()
            ],
            "disjoint": sorted(books.disjoint),
            "superseded": books.superseded is not None,
            "remarks": list(self.remarks),
        }


def spend_json(spend: Spend) -> dict[str, float | None]:
    """Return a spend as JSON values."""
    epsilon = spend.epsilon if math.isfinite(spend.epsilon) else None
    return {"epsilon": epsilon, "delta": spend.delta, "rho": spend.rho}


def _accountants_json(amount: Amount) -> list[dict[str, str]]:
    return [{"name": name, "version": version} for name, version in accountants(amount)]


def _row_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "day": row.day or None,
        "agreement": row.agreement or None,
        "what": row.what,
        "events": row.events,
        "spent": spend_json(row.cost),
        "total": spend_json(row.total),
        "stated": row.stated,
        "committed": row.committed,
        "erasure_noted": row.erased,
        "burnt": row.burnt or None,
    }


def _how_known(books: Books, name: str) -> str:
    if name in books.unreachable:
        return f"as it was when it was linked. {books.unreachable[name]}"
    return "by its own ledger" if name in books.linked else "as its export stated it"


def ledger_view(
    books: Books,
    *,
    days: Mapping[str, str],
    agreements: Mapping[str, Agreement],
    budget: float | None = None,
) -> LedgerView:
    """Return a ledger made ready to be shown.

    Args:
        books: What the chain adds up to, with linked data sets.
        days: Day of each charge by the hash of its entry, as far as known.
        agreements: The agreements that are known, by hash.
        budget: Epsilon for all runs on the data set, if somebody asks with one of their own.
    """
    found_budget, source = _budget(books, agreements, budget)
    total = books.spent()
    left = None if found_budget is None else what_is_left(total, found_budget, books.delta)
    return LedgerView(
        books=books,
        rows=_rows(books, days),
        agreements=tuple(
            _agreement_row(books, name, agreements) for name in _names(books) if name != OUTSIDE
        ),
        total=Spend.of(total, books.delta),
        alone=Spend.of(books.spent_alone(), books.delta),
        before=Spend.of(Amount.sum(books.inherited.values()), books.delta),
        budget=found_budget,
        budget_from=source,
        left=left,
        unit=_units(books, agreements),
        remarks=_remarks(books, agreements),
    )


def _names(books: Books) -> list[str]:
    used = [*books.inherited, *(charge.agreement for charge in books.charges.values())]
    return list(dict.fromkeys(used))


def _budget(
    books: Books, agreements: Mapping[str, Agreement], asked: float | None
) -> tuple[float | None, str]:
    budgets = [
        agreement.privacy.data_set_budget
        for name, agreement in agreements.items()
        if name in _names(books) and agreement.privacy is not None
    ]
    found, source = (max(budgets), "privacy.data_set_budget") if budgets else (None, "")
    if asked is not None:
        found, source = asked, "--budget"
    if books.limit is not None and (found is None or books.limit < found):
        found, source = books.limit, "the data set's own limit"
    return found, source


def _rows(books: Books, days: Mapping[str, str]) -> tuple[Row, ...]:
    erased = {note["run_id"] for note in books.notes if note["kind"] == "erasure"}
    burnt = {
        note["run_id"]: note["body"]["reason"] for note in books.notes if note["kind"] == "burn"
    }
    made: list[Charge | External] = [*books.charges.values(), *books.external]
    made.sort(key=lambda charge: books.positions[charge.entry_hash])
    total, rows = Amount.sum(books.inherited.values()), []
    for charge in made:
        total = Amount.sum([total, charge.cost])
        common = {
            "day": days.get(charge.entry_hash, ""),
            "cost": Spend.of(charge.cost, books.delta),
            "total": Spend.of(total, books.delta),
        }
        if isinstance(charge, External):
            row = Row(
                name=charge.description,
                agreement="",
                what="outside secure-fedsa",
                events=charge.events,
                stated=True,
                committed=True,
                erased=True,
                burnt="",
                **common,
            )
        else:
            row = Row(
                name=charge.run_id,
                agreement=charge.agreement,
                what="; ".join(map(described, charge.events)),
                events=events_to_list(charge.events),
                stated=charge.stated,
                committed=charge.committed,
                erased=charge.run_id in erased,
                burnt=burnt.get(charge.run_id, ""),
                **common,
            )
        rows.append(row)
    return tuple(rows)


def _agreement_row(books: Books, name: str, agreements: Mapping[str, Agreement]) -> AgreementRow:
    charges = [charge for charge in books.charges.values() if charge.agreement == name]
    known = agreements.get(name)
    terms = charges[-1].terms if charges else terms_of(known) if known is not None else None
    amount = books.spent_under(name)
    delta = books.delta if terms is None else terms.delta
    return AgreementRow(
        agreement=name,
        title="" if known is None else known.title,
        runs=len(charges),
        spent=Spend.of(amount, delta),
        budget=terms and terms.budget,
        left=None if terms is None else what_is_left(amount, terms.budget, terms.delta),
    )


def _units(books: Books, agreements: Mapping[str, Agreement]) -> str:
    units = {
        f"{agreements[name].promise.unit} ({agreements[name].promise.neighbours}"
        + (
            f", up to {agreements[name].promise.max_records} records)"
            if agreements[name].promise.unit == "person"
            else ")"
        )
        for name in _names(books)
        if name in agreements and agreements[name].privacy is not None
    }
    return " and ".join(sorted(units))


def _remarks(books: Books, agreements: Mapping[str, Agreement]) -> tuple[str, ...]:
    amount = books.spent()
    remarks = []
    if amount.unprotected:
        remarks.append(
            "NO DIFFERENTIAL PRIVACY: the data were used without it, and no epsilon bounds what "
            "that told. No run that promises one is charged any more."
        )
    if not budget_filter.is_of_one_kind(amount) and not amount.unprotected:
        remarks.append(
            "Mechanisms of several kinds: a budget is held by a Renyi filter of one order "
            f"({budget_filter.NAME}, version {budget_filter.VERSION}) besides epsilon."
        )
        if _trained_first(books):
            remarks.append(TWICE)
    if amount.trainings:
        remarks.append(
            "The noise of trainings is floating-point; their epsilon is that of exact Gaussians."
        )
    if " and " in _units(books, agreements):
        remarks.append(
            "Agreements of different units or neighbours: their total bounds one record, added or "
            "removed."
        )
    missing = [name for name in _names(books) if name not in agreements and len(name) == 64]
    if missing:
        remarks.append(
            f"Of {len(missing)} agreements the text was not kept here: their unit and neighbours "
            "are not known to the ledger. Name their files with --agreement."
        )
    if books.external:
        remarks.append(
            "Uses outside secure-fedsa are the owner's statement: their unit and neighbours are "
            "taken to be those of the runs."
        )
    remarks += [
        f"Linked data set {name[:12]} counts {_how_known(books, name)}."
        for name in books.links
        if name not in books.linked
    ]
    return tuple(remarks)


def _trained_first(books: Books) -> bool:
    """Return whether a training may have been the first use; what is not known counts as one."""
    before = [*books.inherited.values(), *books.linked.values()]
    before += [link.amount for link in books.links.values()]
    if any(amount.trainings for amount in before):
        return True
    if books.inherited:
        return False
    made: list[Charge | External] = [*books.charges.values(), *books.external]
    first = min(made, key=lambda charge: books.positions[charge.entry_hash])
    return bool(first.cost.trainings)
