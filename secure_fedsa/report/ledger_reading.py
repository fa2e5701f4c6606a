"""A data set's ledger read for people: totals, rows and what has to be said with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import counted
from secure_fedsa.privacy import budget_filter
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Limit, Spend, what_is_left
from secure_fedsa.privacy.events import events_to_list
from secure_fedsa.privacy.ledger_books import Books, Charge
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.privacy.ledger_private import OUTSIDE, External
from secure_fedsa.privacy.shown import at_least
from secure_fedsa.report.ledger_seen import TotalClaim, seen_by
from secure_fedsa.report.ledger_total import (
    OF_OUTSIDE,
    agreements_of,
    is_of_student,
    missing_texts,
    not_shown,
    protected_by,
    total_claim,
)
from secure_fedsa.report.ledger_view import (
    TWICE,
    AgreementRow,
    LedgerView,
    Protected,
    Row,
    described,
    how_known,
)
from secure_fedsa.roles.charges import terms_of

_NOT_HELD = (
    "Its own limit and budgets are not known here, and no run on this data set is held to them."
)


def ledger_view(
    books: Books,
    *,
    days: Mapping[str, str],
    agreements: Mapping[str, Agreement],
    budget: float | None = None,
    earlier: Sequence[Books] = (),
    beside: Sequence[Limit] = (),
) -> LedgerView:
    """Return a ledger made ready to be shown.

    Args:
        books: What the chain adds up to, with linked data sets.
        days: Day of each charge by the hash of its entry, as far as known.
        agreements: The agreements that are known, by hash.
        budget: Epsilon for all runs on the data set, if somebody asks with one of their own.
        earlier: The versions before, the oldest first, as far as they were kept.
        beside: What a charge has to keep of linked data sets.
    """
    of_student = is_of_student([*earlier, books])
    known = Known(days, agreements, of_student=of_student)
    found_budget, source, delta = _budget([*earlier, books], agreements, budget)
    total = books.spent()
    left = None if found_budget is None else what_is_left(total, found_budget, delta)
    if books.superseded is not None:
        left = Spend.of(Amount(), delta)  # it takes no further charge
    claim = total_claim(books, earlier, agreements, of_student=of_student)
    before = Spend.of(Amount.sum(books.inherited.values()), books.delta)
    oldest = [*earlier, books][0]
    names = [name for name in agreements_of(books) if name != OUTSIDE]
    return LedgerView(
        books=books,
        rows=_rows(books, known, books.delta),
        earlier=tuple(row for one in earlier for row in _rows(one, known, books.delta)),
        agreements=tuple(_agreement_row(books, earlier, name, known) for name in names),
        total=Spend.of(total, books.delta),
        alone=Spend.of(books.spent_alone(), books.delta),
        before=before,
        start=Spend.of(Amount.sum(oldest.inherited.values()), books.delta),
        budget=found_budget,
        budget_from=source,
        left=left,
        claim=claim,
        seen=seen_by(
            names,
            agreements,
            of_student=of_student,
            why_none="" if claim.epsilon is not None else claim.why,
        ),
        not_shown=not_shown(books, agreements),
        of_student=of_student,
        remarks=(
            *_remarks(books, agreements, claim, known=bool(earlier or books.charges)),
            *_left_beside(beside),
        ),
    )


@dataclass(frozen=True, slots=True)
class Known:
    """What lies beside a ledger: days, agreements, and whose records it is of."""

    days: Mapping[str, str]
    agreements: Mapping[str, Agreement]
    of_student: bool


def _budget(
    versions: Sequence[Books], agreements: Mapping[str, Agreement], asked: float | None
) -> tuple[float | None, str, float]:
    """Return the budget to measure against, who set it, and its delta."""
    clause, books = "privacy.data_set_budget", versions[-1]
    budgets = [
        (agreement.privacy.data_set_budget, min(books.delta, agreement.privacy.delta))
        for name, agreement in agreements.items()
        if name in agreements_of(books) and agreement.privacy is not None
    ]
    own = [
        charge.terms
        for one in versions
        for charge in one.charges.values()
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


def _rows(books: Books, known: Known, delta: float) -> tuple[Row, ...]:
    erased = {note["run_id"] for note in books.notes if note["kind"] == "erasure"}
    burnt = {
        note["run_id"]: note["body"]["reason"] for note in books.notes if note["kind"] == "burn"
    }
    total, rows = Amount.sum(books.inherited.values()), []
    for charge in books.in_order():
        total = Amount.sum([total, charge.cost])
        day = known.days.get(charge.entry_hash, "")
        cost, after = Spend.of(charge.cost, delta), Spend.of(total, delta)
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
                protected=Protected(None, OF_OUTSIDE),
                data_set=books.data_set,
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
                protected=protected_by(charge.agreement, known.agreements),
                data_set=books.data_set,
            )
        rows.append(row)
    return tuple(rows)


def _agreement_row(books: Books, earlier: Sequence[Books], name: str, known: Known) -> AgreementRow:
    charges = _under(name, books)
    before = [charge for one in earlier for charge in _under(name, one)]
    agreement, used = known.agreements.get(name), [*before, *charges]
    terms = used[-1].terms if used else None
    if not used and agreement is not None:
        terms = terms_of(agreement)
    amount = books.spent_under(name)
    delta = books.delta if terms is None else terms.delta
    unknown = name in books.inherited and (not earlier or name in earlier[0].inherited)
    return AgreementRow(
        agreement=name,
        title="" if agreement is None else agreement.title,
        protected=protected_by(name, known.agreements),
        runs=len(charges),
        inherited=None if unknown else len(before),
        spent=Spend.of(amount, delta),
        budget=None if terms is None else terms.budget,
        left=None if terms is None else what_is_left(amount, terms.budget, terms.delta),
    )


def _under(name: str, books: Books) -> list[Charge]:
    return [charge for charge in books.charges.values() if charge.agreement == name]


def _remarks(
    books: Books, agreements: Mapping[str, Agreement], claim: TotalClaim, *, known: bool
) -> tuple[str, ...]:
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
    if " and " in claim.unit.unit:
        remarks.append(
            "Agreements of different units or neighbours: their total bounds one record, added or "
            "removed, of somebody who has no other."
        )
    if missing := missing_texts(books, agreements):
        remarks.append(
            f"Of {counted(len(missing), 'agreement')} the text was not kept here: unit and "
            "neighbours are not known to the ledger, nor what views saw. Name the file with "
            "--agreement."
        )
    named = (agreements[name] for name in agreements_of(books) if name in agreements)
    if not known and any(agreement.student_privacy is not None for agreement in named):
        remarks.append(
            "Whose records these are, a teacher's or the student's, is not known: the version "
            "before was not kept. If they are the student's, no epsilon holds against the student "
            "itself."
        )
    if books.external:
        remarks.append(
            "Uses outside secure-fedsa are the owner's statement: their unit and neighbours are "
            "taken to be those of the runs."
        )
    remarks += [
        f"Linked data set {name[:12]} counts {how_known(books, name)}."
        + ("" if name in books.unreachable else f" {_NOT_HELD}")
        for name in books.links
        if name not in books.linked
    ]
    return tuple(remarks)


def _left_beside(limits: Sequence[Limit]) -> tuple[str, ...]:
    """Return what linked data sets leave for a release here, in sentences."""
    return tuple(
        f"A run here has to keep a budget of {one.whose.rstrip(',')}, too: epsilon "
        f"{at_least(what_is_left(one.spent, one.budget, one.delta).epsilon)} is left for one more "
        f"release, within {one.budget:g} at delta {one.delta:g}."
        for one in limits
    )


def _trained_first(books: Books) -> bool:
    """Return whether a training may have been the first use; what is not known counts as one."""
    before = [*books.inherited.values(), *books.linked.values()]
    before += [link.amount for link in books.links.values()]
    if any(amount.trainings for amount in before):
        return True
    if books.inherited:
        return False
    return bool(books.in_order()[0].cost.trainings)
