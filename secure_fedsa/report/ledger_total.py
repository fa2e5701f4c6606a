"""What all charges of a data set together come to, what for, and what is not known of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import counted
from secure_fedsa.planning.unit_words import unit_and_neighbours
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import Unprotected
from secure_fedsa.privacy.ledger_books import Books, Charge
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.privacy.ledger_private import OUTSIDE, External
from secure_fedsa.report.ledger_seen import (
    Source,
    TotalClaim,
    UnitOfAll,
    total_curve,
    why_no_epsilon,
)
from secure_fedsa.report.ledger_view import (
    SAME_FOR_ALL,
    SAME_FOR_ALL_OF_STUDENT,
    Protected,
    accountants,
)

_NO_TEXT = "the agreement's text was not kept here"
_WORD = (
    "Of uses outside secure-fedsa it is their owner's word, and against those who saw nothing but "
    "what they released."
)
_NOTHING_PROMISED = "the agreement has NO DIFFERENTIAL PRIVACY: nothing is promised for any unit"

OF_OUTSIDE = (
    "a use outside secure-fedsa: its owner's statement names no unit; it is counted as if it had "
    "the runs' unit and neighbours"
)


def agreements_of(books: Books) -> list[str]:
    """Return the agreements that a data set was charged under, inherited ones included."""
    used = [*books.inherited, *(charge.agreement for charge in books.charges.values())]
    return list(dict.fromkeys(used))


def is_of_student(versions: Sequence[Books]) -> bool:
    """Return whether all charges of a data set's versions are for a student's own records."""
    charged = [run_id for books in versions for run_id in books.charges]
    return bool(charged) and all(run_id.startswith(STUDENT_USE) for run_id in charged)


def missing_texts(books: Books, agreements: Mapping[str, Agreement]) -> list[str]:
    """Return the agreements whose texts are not known."""
    return [name for name in agreements_of(books) if name not in agreements and name != OUTSIDE]


def protected_by(name: str, agreements: Mapping[str, Agreement]) -> Protected:
    """Return whom the charges under an agreement are for, or why that is not known.

    Of the student's labelled records too: they are protected by the agreement's own unit, a record,
    and its neighbours.
    """
    agreement = agreements.get(name)
    if agreement is None:
        return Protected(None, _NO_TEXT)
    if agreement.privacy is None:
        return Protected(None, _NOTHING_PROMISED)
    return Protected(agreement.privacy, "")


def total_claim(
    books: Books,
    earlier: Sequence[Books],
    agreements: Mapping[str, Agreement],
    *,
    of_student: bool,
) -> TotalClaim:
    """Return what holds for all charges of a data set together, links included.

    Args:
        books: Of its ledger, with linked data sets.
        earlier: The versions before, as far as they were kept.
        agreements: The agreements that are known, by hash.
        of_student: Whether the ledger is of the student's labelled records.
    """
    total, unit = books.spent(), unit_of(books, agreements)
    why, curve = why_no_epsilon(total, books.delta), total_curve(total, books.delta)
    return TotalClaim(
        unit=unit,
        epsilon=dict(curve)[books.delta],
        delta=books.delta,
        curve=curve,
        rho=total.zcdp,
        sources=(*_sources(earlier, books), *_linked(books)),
        accountants=tuple(accountants(total)),
        why=why or _why_the_same(books, of_student=of_student),
    )


def _why_the_same(books: Books, *, of_student: bool) -> str:
    """Return why one bound holds against every view, and of what that is somebody's word."""
    told = SAME_FOR_ALL_OF_STUDENT if of_student else SAME_FOR_ALL
    return f"{told} {_WORD}" if _outside(books) else told


def unit_of(books: Books, agreements: Mapping[str, Agreement], *, alone: bool = False) -> UnitOfAll:
    """Return whom a data set's total is for, and of what part of it that is not known.

    Args:
        books: Of its ledger, with linked data sets.
        agreements: The agreements that are known, by hash; of linked data sets too.
        alone: Whether the total is without linked data sets.
    """
    counted_in = [books] if alone else [books, *books.beside.values()]
    names = dict.fromkeys(name for one in counted_in for name in agreements_of(one))
    known = [protected_by(name, agreements).promise for name in names]
    promises = [promise for promise in known if promise is not None]
    return UnitOfAll(
        unit=" and ".join(sorted({unit_and_neighbours(promise) for promise in promises})),
        neighbours=" and ".join(sorted({promise.neighbours for promise in promises})),
        not_shown=_unit_not_shown(books, agreements, alone=alone),
    )


def _unit_not_shown(books: Books, agreements: Mapping[str, Agreement], *, alone: bool) -> str:
    told = _charges_of_no_unit(books, agreements)
    unknown = [
        name
        for name in books.links
        if name not in books.beside or _charges_of_no_unit(books.beside[name], agreements)
    ]
    if unknown and not alone:
        told.append(f"{counted(len(unknown), 'linked data set')} (see the ledger of each)")
    if not agreements_of(books) and not told:
        told.append("nothing was charged yet")
    return "; ".join(told)


def _charges_of_no_unit(books: Books, agreements: Mapping[str, Agreement]) -> list[str]:
    """Return the charges of one ledger whose unit is not known, linked ones left out."""
    missing, outside = missing_texts(books, agreements), _outside(books)
    told = []
    if missing:
        told.append(f"{counted(len(missing), 'agreement')} whose text was not kept here")
    if outside:
        told.append(f"{outside} (the owner's statement names no unit)")
    amounts = (*books.inherited.values(), *(charge.cost for charge in books.charges.values()))
    given = sum(amount.unprotected for amount in amounts)
    if given:
        told.append(f"{counted(given, 'use')} without differential privacy (nothing is promised)")
    return told


def _outside(books: Books) -> str:
    """Return how many uses outside are in a total; those that were inherited are one amount."""
    if OUTSIDE in books.inherited:
        return "uses outside secure-fedsa, of a version before among them"
    here = len(books.external)
    return f"{counted(here, 'use')} outside secure-fedsa" if here else ""


def not_shown(books: Books, agreements: Mapping[str, Agreement]) -> tuple[str, ...]:
    """Return what is not known of what the views saw."""
    told = [
        f"not shown for agreement {name[:12]}: {_NO_TEXT}"
        for name in missing_texts(books, agreements)
    ]
    if outside := _outside(books):
        told.append(f"not shown for {outside}: nobody here knows who saw what of it")
    told += [
        f"not shown for linked data set {name[:12]}: see its own ledger" for name in books.links
    ]
    return tuple(told)


def _sources(earlier: Sequence[Books], books: Books) -> tuple[Source, ...]:
    versions = [*earlier, books]
    found = [
        Source(
            name="",
            kind="inherited",
            data_set=versions[0].data_set,
            agreement="" if name == OUTSIDE else name,
            events=_parts(amount),
            stated=name == OUTSIDE,
        )
        for name, amount in versions[0].inherited.items()
    ]
    found += [_source(one, charge) for one in versions for charge in one.in_order()]
    return tuple(found)


def _source(books: Books, charge: Charge | External) -> Source:
    if isinstance(charge, External):
        parts = _parts(charge.cost)
        return Source(charge.description, "outside", books.data_set, "", parts, stated=True)
    return Source(
        name=charge.run_id,
        kind="run",
        data_set=books.data_set,
        agreement=charge.agreement,
        events=dict(Counter(event.kind for event in charge.events)),
        stated=charge.stated,
    )


def _linked(books: Books) -> tuple[Source, ...]:
    return tuple(
        Source(
            name=name,
            kind="linked",
            data_set=name,
            agreement="",
            events=_parts(books.linked.get(name, link.amount)),
            stated=name not in books.linked,
        )
        for name, link in books.links.items()
    )


def _parts(amount: Amount) -> dict[str, int]:
    """Return the parts of an amount whose single events are not known, by their kinds."""
    found = Counter(event.kind for event in (*amount.trainings, *amount.selections))
    if amount.rho:
        found["zcdp"] += 1
    if amount.unprotected:
        found[Unprotected.kind] += amount.unprotected
    return dict(found)
