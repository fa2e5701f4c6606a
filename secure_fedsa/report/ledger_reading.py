"""A data set's ledger read for people: totals, rows and what has to be said with them."""

from __future__ import annotations

from collections.abc import Mapping

from secure_fedsa.agreement import Agreement, Promise
from secure_fedsa.privacy import budget_filter
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend, what_is_left
from secure_fedsa.privacy.events import events_to_list
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.privacy.ledger_private import OUTSIDE, External
from secure_fedsa.report.ledger_view import (
    TWICE,
    AgreementRow,
    LedgerView,
    Row,
    described,
    how_known,
)
from secure_fedsa.roles.charges import terms_of


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
    found_budget, source, delta = _budget(books, agreements, budget)
    total = books.spent()
    left = None if found_budget is None else what_is_left(total, found_budget, delta)
    if books.superseded is not None:
        left = Spend.of(Amount(), delta)  # it takes no further charge
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
) -> tuple[float | None, str, float]:
    """Return the budget to measure against, who set it, and its delta."""
    clause = "privacy.data_set_budget"
    budgets = [
        (agreement.privacy.data_set_budget, min(books.delta, agreement.privacy.delta))
        for name, agreement in agreements.items()
        if name in _names(books) and agreement.privacy is not None
    ]
    own = [
        charge.terms
        for charge in books.charges.values()
        if charge.run_id.startswith(STUDENT_USE) and charge.terms is not None
    ]
    if own:
        clause = "student_privacy.budget"
        budgets = [(terms.budget, terms.delta) for terms in own]
    found: float | None = None
    source, delta = "", books.delta
    if budgets:
        (found, delta), source = min(budgets), clause
    if asked is not None:
        found, source, delta = asked, "--budget", books.delta
    if books.limit is not None and (found is None or books.limit < found):
        found, source, delta = books.limit, "the data set's own limit", books.delta
    return found, source, delta


def _rows(books: Books, days: Mapping[str, str]) -> tuple[Row, ...]:
    erased = {note["run_id"] for note in books.notes if note["kind"] == "erasure"}
    burnt = {
        note["run_id"]: note["body"]["reason"] for note in books.notes if note["kind"] == "burn"
    }
    total, rows = Amount.sum(books.inherited.values()), []
    for charge in books.in_order():
        total = Amount.sum([total, charge.cost])
        day = days.get(charge.entry_hash, "")
        cost, after = Spend.of(charge.cost, books.delta), Spend.of(total, books.delta)
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
                day=day,
                cost=cost,
                total=after,
            )
        else:
            row = Row(
                name=charge.run_id,
                agreement=charge.agreement,
                what="; ".join(map(described, charge.events)),
                events=events_to_list(charge.events),
                stated=charge.stated,
                committed=charge.committed,
                erased=None if charge.run_id.startswith(STUDENT_USE) else charge.run_id in erased,
                burnt=burnt.get(charge.run_id, ""),
                day=day,
                cost=cost,
                total=after,
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
        unit="" if known is None or known.privacy is None else _unit(known.privacy),
        runs=len(charges),
        spent=Spend.of(amount, delta),
        budget=None if terms is None else terms.budget,
        left=None if terms is None else what_is_left(amount, terms.budget, terms.delta),
    )


def _units(books: Books, agreements: Mapping[str, Agreement]) -> str:
    known = (agreements[name].privacy for name in _names(books) if name in agreements)
    return " and ".join(sorted({_unit(promise) for promise in known if promise is not None}))


def _unit(promise: Promise) -> str:
    most = f", up to {promise.max_records} records" if promise.unit == "person" else ""
    return f"{promise.unit} ({promise.neighbours}{most})"


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
        f"Linked data set {name[:12]} counts {how_known(books, name)}."
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
    return bool(books.in_order()[0].cost.trainings)
