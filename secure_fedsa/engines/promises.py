"""What agreements promised of a data set and of those linked to it, by the texts that are kept.

A ledger's entries have each agreement's own budget. What it promised of the data set, and for
which unit, only its text says, and that lies in the state folder of each ledger.
"""

from __future__ import annotations

from pathlib import Path

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines.ledger_notes import charged_before, kept_agreements
from secure_fedsa.engines.ledger_versions import earlier_versions
from secure_fedsa.privacy.budgets import Limit
from secure_fedsa.privacy.earlier_promises import promised_terms, require_one_unit
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.roles.private_student import student_terms


def promised_to_student(folder: Path, books: Books) -> tuple[Terms, ...]:
    """Return the budgets of all agreements that the student's records were charged under.

    The report of each says that all uses together stay within its budget: a later agreement with a
    larger one may not spend past it. Of charges in a version before, the agreements that were kept
    say it.

    Args:
        folder: The student's state folder.
        books: Of its ledger.
    """
    found = {charge.terms for charge in books.charges.values() if charge.terms is not None}
    kept = kept_agreements(folder)
    before = (kept[name] for name in books.inherited if name in kept)
    found |= {student_terms(one) for one in before if one.student_privacy is not None}
    return tuple(sorted(found, key=lambda terms: (terms.budget, terms.delta)))


def promised_of(folder: Path, books: Books) -> tuple[Terms, ...]:
    """Return the budgets that agreements promised of all charges of a ledger, whoever's it is.

    Whose records they are, a teacher's or the student's, the runs say. Where none is known, as the
    version before was not kept, both kinds of promises count.

    Args:
        folder: The state folder.
        books: Of its ledger.
    """
    versions = [*earlier_versions(folder, books), books]
    students = {run.startswith(STUDENT_USE) for one in versions for run in one.charges}
    found: set[Terms] = set()
    if students != {True}:
        found |= set(promised_terms(charged_before(folder, books, "")))
    if False not in students:
        found |= set(promised_to_student(folder, books))
    return tuple(sorted(found, key=lambda terms: (terms.budget, terms.delta)))


def promised_beside(books: Books) -> dict[str, tuple[Terms, ...]]:
    """Return what was promised of each linked data set whose ledger is here, by its id."""
    return {name: promised_of(folder_of(books, name), one) for name, one in books.beside.items()}


def limits_beside(books: Books) -> list[Limit]:
    """Return what a charge has to keep of linked data sets; see :meth:`Books.limits_beside`.

    Raises:
        LedgerError: If the total of one of them cannot be known.
    """
    return books.limits_beside(promised_beside(books))


def agreements_beside(books: Books) -> dict[str, Agreement]:
    """Return the agreements that the state folders of linked data sets keep, by hash."""
    found: dict[str, Agreement] = {}
    for name in books.beside:
        found |= kept_agreements(folder_of(books, name))
    return found


def require_unit_of_all(books: Books, earlier: list[Agreement], agreement: Agreement) -> None:
    """Refuse an agreement of another unit than this data set, or a linked one, was charged for.

    Args:
        books: Of the ledger, with the linked ones.
        earlier: The agreements that it was charged under before.
        agreement: The one that is asked for.

    Raises:
        AgreementError: Naming the clause that differs, and the linked data set.
    """
    require_one_unit(earlier, agreement)
    for name, one in books.beside.items():
        theirs = charged_before(folder_of(books, name), one, "")
        require_one_unit(theirs, agreement, f"linked data set {name[:12]}")


def folder_of(books: Books, name: str) -> Path:
    """Return the state folder of a linked data set that is in ``books.beside``."""
    return Path(books.links[name].folder)
