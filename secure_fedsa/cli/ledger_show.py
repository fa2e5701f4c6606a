"""What ``ledger show`` prints and draws."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.ledger_text import aligned, by_view_lines, epsilon_of, wrapped
from secure_fedsa.cli.page_file import PAGE, require_ours, write_private
from secure_fedsa.cli.parsing import printable
from secure_fedsa.cli.places import why_not_there
from secure_fedsa.cli.progress import Progress
from secure_fedsa.engines.ledger_notes import charge_days, kept_agreements
from secure_fedsa.engines.ledger_versions import earlier_versions
from secure_fedsa.engines.own_files import known_head, note_head
from secure_fedsa.engines.promises import agreements_beside, limits_beside
from secure_fedsa.errors import LedgerError, UsageError, counted
from secure_fedsa.privacy.budgets import Limit, Spend
from secure_fedsa.privacy.ledger import FILE_NAME, Ledger
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.privacy.shown import at_least
from secure_fedsa.report.ledger_reading import ledger_view
from secure_fedsa.report.ledger_view import READING, LedgerView, Row, accountants, runs_told

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

_BAR = 24
_BEFORE = "in a version before"


def open_ledger(state: Path) -> Ledger:
    """Return the ledger of a state folder, checked against the newest head that was noted.

    Raises:
        UsageError: If the folder has none.
        LedgerError: If it is damaged or was cut.
    """
    known = known_head(state)
    if known is None and not (state / FILE_NAME).is_file():
        raise UsageError(
            f"{state} holds no privacy ledger." if state.exists() else f"{state} does not exist.",
            why=why_not_there(state),
            do="Name the state folder of a teacher or the student. Its ledger begins with its "
            f"first run, or with secure-fedsa ledger new {state} ...",
        )
    return Ledger.open(state, known_head=known)


def note(ledger: Ledger, kind: str, body: Mapping[str, Any], *, again: bool = False) -> None:
    """Note something of no run in a ledger, and remember its newest head beside it.

    Args:
        ledger: The ledger.
        kind: Of the note.
        body: Its content.
        again: Whether a use outside may be one that was charged before.

    Raises:
        LedgerError: As :meth:`~secure_fedsa.privacy.ledger.Ledger.note`.
        StorageError: If it cannot be written.
    """
    ledger.note(kind, body, again=again)
    note_head(ledger.path.parent, ledger)


def view_of(state: Path, files: list[Path], budget: float | None = None) -> LedgerView:
    """Return the ledger of a state folder, made ready to be shown.

    Args:
        state: The state folder.
        files: Agreements, besides those that the folder keeps.
        budget: Epsilon to measure what is left against.
    """
    books = open_ledger(state).books()
    if books.spent().trainings:
        Progress().say("Accounting trainings at each delta; it takes seconds if there are many")
    return ledger_view(
        books,
        days=charge_days(state),
        agreements={**agreements_beside(books), **known_agreements(state, files)},
        budget=budget,
        earlier=earlier_versions(state, books),
        beside=_limits_beside(books),
    )


def _limits_beside(books: Books) -> list[Limit]:
    try:
        return limits_beside(books)
    except (
        LedgerError
    ):  # every charge is refused, and the total of another ledger is not this one's
        return []


def known_agreements(state: Path, files: list[Path]) -> dict[str, Agreement]:
    """Return the agreements that a state folder keeps and those of files, by hash."""
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    found = kept_agreements(state)
    for file in files:
        agreement = read_agreement(file).agreement
        found[agreement_hash(agreement)] = agreement
    return found


def show(arguments: argparse.Namespace) -> int:
    """Show a ledger; the action of ``ledger show``."""
    out: Path | None = arguments.out
    if out is not None:
        require_ours(out, None, PAGE)
    view = view_of(arguments.state, arguments.agreement, arguments.budget)
    if out is not None:
        from secure_fedsa.report.ledger_page import ledger_html

        write_private(out, ledger_html(view))
    if arguments.json:
        page = {} if out is None else {"page": str(out)}
        print(json.dumps({**view.to_json(), **page}, indent=2))
    else:
        print(shown(view) + ("" if out is None else f"\n\nWrote {printable(str(out))}"))
    return 0


def shown(view: LedgerView) -> str:
    """Return a ledger as text for a terminal."""
    books = view.books
    before = f", and {len(view.earlier)} in the versions before" if view.earlier else ""
    charges = counted(len(view.rows), "charge")
    lines = [f"Data set {books.data_set[:12]}, {charges}{before}", *_totals(view)]
    if view.rows or view.before.epsilon > 0:
        lines += ["", "By run, in the order of the ledger", *_runs(view)]
    if view.agreements:
        lines += ["", "By agreement", *_by_agreement(view)]
    lines += [
        "",
        "By view",
        *by_view_lines(view),
        *_others(view),
        "",
        *wrapped(READING, ""),
        *(line for remark in view.remarks for line in wrapped(remark, "! ")),
    ]
    return printable("\n".join(lines))


def _totals(view: LedgerView) -> list[str]:
    at = f"at delta {view.total.delta:g}{view.per_unit}"
    lines = [f"  Spent: epsilon {epsilon_of(view.total)} {at}"]
    lines += [f"    by {name}, version {v}" for name, v in accountants(view.books.spent())]
    if view.books.links:
        lines.append(f"    of it without linked data sets: epsilon {epsilon_of(view.alone)}")
    if view.left is None or view.budget is None:
        lines.append("  Left: no budget is known; measure against one with --budget")
    else:
        lines.append(
            f"  Left: epsilon {at_least(view.left.epsilon)} for one more release, within "
            f"{view.budget:g} ({view.budget_from})"
        )
    if view.books.limit is not None:
        lines.append(f"  Limit of the data set: epsilon {view.books.limit:g}")
    if view.books.superseded is not None:
        child = view.books.superseded["body"]["child"]
        lines.append(f"  It has a new version, {child[:12]}, and takes no further charge")
    return lines


def _runs(view: LedgerView) -> list[str]:
    whole = (*view.earlier, *view.rows)
    totals = [row.total.epsilon for row in whole if math.isfinite(row.total.epsilon)]
    full = max([*totals, view.budget or 0.0])
    head = ("day", "run", "agreement", "alone", "total", "", "for", "what")
    rows: list[tuple[str, ...]] = [head, *(_row(row, full, _BEFORE) for row in view.earlier)]
    if view.before.epsilon > 0:
        total, told = epsilon_of(view.before), "of the versions before this one"
        rows.append(("-", "(inherited)", "-", "-", total, _bar(view.before, full), "-", told))
    return aligned([*rows, *(_row(row, full) for row in view.rows)])


def _row(row: Row, full: float, *marks: str) -> tuple[str, ...]:
    told = [row.what, *marks]
    told += ["stated, not witnessed"] if row.stated else []
    told += [] if row.committed else ["no result was stored"]
    told += [f"lost: {row.burnt}"] if row.burnt else []
    if row.agreement and row.erased is not None:
        told.append("keys and signals erased" if row.erased else "NO ERASURE NOTED")
    return (
        row.day or "-",
        row.name[:12] if row.agreement else row.name[:24],
        row.agreement[:12] or "-",
        epsilon_of(row.cost),
        epsilon_of(row.total),
        _bar(row.total, full),
        str(row.protected) or "not known",
        "; ".join(told),
    )


def _bar(total: Spend, full: float) -> str:
    if not math.isfinite(total.epsilon):
        return "!" * _BAR
    length = 0 if full == 0 else min(_BAR, math.ceil(_BAR * total.epsilon / full))
    return "#" * length + "." * (_BAR - length)


def _by_agreement(view: LedgerView) -> list[str]:
    rows: list[tuple[str, ...]] = [
        ("agreement", "runs", "spent", "delta", "budget", "left", "title")
    ]
    rows += [
        (
            row.agreement[:12],
            runs_told(row),
            epsilon_of(row.spent),
            f"{row.spent.delta:g}",
            "-" if row.budget is None else f"{row.budget:g}",
            "-" if row.left is None else at_least(row.left.epsilon),
            row.title,
        )
        for row in view.agreements
    ]
    return aligned(rows)


def _others(view: LedgerView) -> list[str]:
    books, lines = view.books, []
    for name, link in books.links.items():
        amount = Spend.of(books.linked.get(name, link.amount), books.delta)
        lines.append(f"  {name[:12]}  epsilon {epsilon_of(amount)}  {link.folder or 'an export'}")
    if lines:
        lines = ["", "Data sets with some of the same persons", *lines]
    for name in books.disjoint:
        lines += ["", f"Signed: no person has a record both here and in data set {name[:12]}"]
    return lines
