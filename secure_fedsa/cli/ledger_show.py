"""What ``ledger show`` prints and draws."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import printable
from secure_fedsa.errors import StorageError, UsageError
from secure_fedsa.privacy.budgets import Spend, rounded_down
from secure_fedsa.privacy.ledger import FILE_NAME, Ledger
from secure_fedsa.report.ledger_reading import ledger_view
from secure_fedsa.report.ledger_view import (
    READING,
    LedgerView,
    accountants,
)
from secure_fedsa.report.markup import number

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

_BAR = 24


def open_ledger(state: Path) -> Ledger:
    """Return the ledger of a state folder, checked against the newest head that was noted.

    Raises:
        UsageError: If the folder has none.
        LedgerError: If it is damaged or was cut.
    """
    from secure_fedsa.engines.own_files import known_head

    known = known_head(state)
    if known is None and not (state / FILE_NAME).is_file():
        raise UsageError(
            f"{state} holds no privacy ledger.",
            do="Name a teacher's own state folder. Its ledger begins with its first run, or with "
            f"secure-fedsa ledger new {state} ...",
        )
    return Ledger.open(state, known_head=known)


def note(ledger: Ledger, kind: str, body: Mapping[str, Any]) -> None:
    """Note something of no run in a ledger, and remember its newest head beside it.

    Raises:
        LedgerError: If it is not well-formed, or the data set has a new version.
        StorageError: If it cannot be written.
    """
    from secure_fedsa.engines.own_files import note_head

    ledger.note(kind, body)
    note_head(ledger.path.parent, ledger)


def view_of(state: Path, files: list[Path], budget: float | None = None) -> LedgerView:
    """Return the ledger of a state folder, made ready to be shown.

    Args:
        state: The state folder.
        files: Agreements, besides those that the folder keeps.
        budget: Epsilon to measure what is left against.
    """
    from secure_fedsa.engines.ledger_notes import charge_days

    books = open_ledger(state).books()
    known = known_agreements(state, files)
    return ledger_view(books, days=charge_days(state), agreements=known, budget=budget)


def known_agreements(state: Path, files: list[Path]) -> dict[str, Agreement]:
    """Return the agreements that a state folder keeps and those of files, by hash."""
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.engines.ledger_notes import kept_agreements
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    found = kept_agreements(state)
    for file in files:
        agreement = read_agreement(file).agreement
        found[agreement_hash(agreement)] = agreement
    return found


def show(arguments: argparse.Namespace) -> int:
    """Show a ledger; the action of ``ledger show``."""
    view = view_of(arguments.state, arguments.agreement, arguments.budget)
    if arguments.out is not None:
        from secure_fedsa.report.ledger_page import ledger_html

        write_text(arguments.out, ledger_html(view))
    print(json.dumps(view.to_json(), indent=2) if arguments.json else shown(view))
    return 0


def write_text(path: Path, text: str) -> None:
    """Write a file that only its owner can read, if it is new.

    Raises:
        StorageError: If it cannot be written.
    """
    try:
        handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise StorageError(
            f"Cannot write {path}.", why=f"{error.strerror}.", do="Name another file."
        ) from error


def shown(view: LedgerView) -> str:
    """Return a ledger as text for a terminal."""
    books = view.books
    lines = [f"Data set {books.data_set[:12]}, {len(view.rows)} charges", *_totals(view)]
    if view.rows or view.before.epsilon > 0:
        lines += ["", "By run, in the order of the ledger", *_runs(view)]
    if view.agreements:
        lines += ["", "By agreement", *_by_agreement(view)]
    lines += [
        "",
        "By view",
        f"  {_epsilon(view.total)}  the same against each of: {', '.join(view.seen_by)}",
        *_wrapped(view.why_the_same),
        *_others(view),
        "",
        *_wrapped(READING, ""),
        *(line for remark in view.remarks for line in _wrapped(remark, "! ")),
    ]
    return printable("\n".join(lines))


def _totals(view: LedgerView) -> list[str]:
    unit = f" per {view.unit}" if view.unit else ""
    lines = [f"  Spent: epsilon {_epsilon(view.total)} at delta {view.total.delta:g}{unit}"]
    lines += [f"    by {name}, version {v}" for name, v in accountants(view.books.spent())]
    if view.books.links:
        lines.append(f"    of it without linked data sets: epsilon {_epsilon(view.alone)}")
    if view.left is None or view.budget is None:
        lines.append("  Left: no budget is known; measure against one with --budget")
    else:
        lines.append(
            f"  Left: epsilon {rounded_down(view.left.epsilon):g} for one more release, within "
            f"{view.budget:g} ({view.budget_from})"
        )
    if view.books.limit is not None:
        lines.append(f"  Limit of the data set: epsilon {view.books.limit:g}")
    if view.books.superseded is not None:
        child = view.books.superseded["body"]["child"]
        lines.append(f"  It has a new version, {child[:12]}, and takes no further charge")
    return lines


def _runs(view: LedgerView) -> list[str]:
    rows: list[tuple[str, ...]] = [("day", "run", "agreement", "alone", "total", "", "what")]
    totals = [row.total.epsilon for row in view.rows if math.isfinite(row.total.epsilon)]
    full = max([*totals, view.budget or 0.0])
    if view.before.epsilon > 0:
        total = _epsilon(view.before)
        told = "of the versions before this one"
        rows.append(("-", "(inherited)", "-", "-", total, _bar(view.before, full), told))
    for row in view.rows:
        marks = [row.what]
        marks += ["stated, not witnessed"] if row.stated else []
        marks += [] if row.committed else ["no result was stored"]
        marks += [f"lost: {row.burnt}"] if row.burnt else []
        if row.agreement and row.erased is not None:
            marks.append("keys and signals erased" if row.erased else "NO ERASURE NOTED")
        rows.append(
            (
                row.day or "-",
                row.name[:12] if row.agreement else row.name[:24],
                row.agreement[:12] or "-",
                _epsilon(row.cost),
                _epsilon(row.total),
                _bar(row.total, full),
                "; ".join(marks),
            )
        )
    return _table(rows)


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
            str(row.runs),
            _epsilon(row.spent),
            f"{row.spent.delta:g}",
            "-" if row.budget is None else f"{row.budget:g}",
            "-" if row.left is None else f"{rounded_down(row.left.epsilon):g}",
            row.title,
        )
        for row in view.agreements
    ]
    return _table(rows)


def _others(view: LedgerView) -> list[str]:
    books, lines = view.books, []
    for name, link in books.links.items():
        amount = Spend.of(books.linked.get(name, link.amount), books.delta)
        lines.append(f"  {name[:12]}  epsilon {_epsilon(amount)}  {link.folder or 'an export'}")
    if lines:
        lines = ["", "Data sets with some of the same persons", *lines]
    for name in books.disjoint:
        lines += ["", f"Signed: no person has a record both here and in data set {name[:12]}"]
    return lines


def _epsilon(spend: Spend) -> str:
    return number(spend.epsilon) if math.isfinite(spend.epsilon) else "unbounded"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[f"{c:<{w}}" for c, w in zip(row, widths, strict=True)] for row in rows]
    return ["  " + "  ".join(cells).rstrip() for cells in padded]


def _wrapped(text: str, first: str = "  ") -> list[str]:
    import textwrap

    return textwrap.wrap(text, 96, initial_indent=first, subsequent_indent=" " * len(first))
