"""``ledger new``, ``link``, ``disjoint`` and ``limit``: how data sets stand to one another."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NoReturn

from secure_fedsa.cli.ledger_exchange import Exported, read_export
from secure_fedsa.cli.ledger_show import known_agreements, note, open_ledger
from secure_fedsa.engines.disjoint import signed_bytes
from secure_fedsa.engines.ledger_notes import charged_before, keep_agreements, keep_days
from secure_fedsa.engines.ledger_versions import keep_versions
from secure_fedsa.engines.own_files import known_head, note_head
from secure_fedsa.engines.promises import promised_of
from secure_fedsa.errors import LedgerError, UsageError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Limit, Spend, fits
from secure_fedsa.privacy.earlier_promises import unit_clause
from secure_fedsa.privacy.ledger import FILE_NAME, Ledger
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.privacy.ledger_private import (
    DISJOINT_DOMAIN,
    STATEMENT,
    Disjoint,
    Link,
)
from secure_fedsa.report.ledger_seen import UnitOfAll
from secure_fedsa.report.ledger_total import unit_of
from secure_fedsa.report.ledger_view import spend_json

_PASSED = """
  WARNING: it is past that already. No run is charged to it any more, and that cannot be undone."""
_BY_EXPORT = (
    "This ledger counts what the export states, and cannot see what is spent there later: link a "
    "newer export before each run, and have its owner link yours. Its limit and budgets are not "
    "known here: no run on this data set is held to them."
)
_NO_UNIT = (
    "The export does not say for which unit and neighbours all of it was charged: the sum holds "
    "only if they are those of this ledger."
)
_NO_FURTHER = (
    "Who is in both has lost that much, linked or not. No further run is charged to either ledger "
    "under a budget that is passed."
)


def new(arguments: argparse.Namespace) -> int:
    """Begin a ledger; the action of ``ledger new``."""
    if known_head(arguments.state) is not None:
        raise LedgerError(
            f"{arguments.state} has, or had, a ledger.",
            why="What it spent would be forgotten.",
            do="Name a new folder, and this one with --parent. If its ledger is gone, restore it.",
        )
    if arguments.parent is None:
        ledger = Ledger.create(arguments.state, delta=arguments.delta)
    else:
        parent = open_ledger(arguments.parent)
        ledger = Ledger.create(arguments.state, delta=parent.delta, parent=parent)
        _follow(parent, ledger)
        note_head(arguments.parent, parent)
        keep_agreements(arguments.parent, arguments.state)
        closed = parent.chain(ledger.books_alone().parent_head)
        keep_versions(arguments.parent, closed, arguments.state)
        keep_days(arguments.parent, arguments.state)
    note_head(arguments.state, ledger)
    books = ledger.books()
    _tell(
        arguments,
        {"data_set": ledger.data_set, "spent": spend_json(Spend.of(books.spent(), books.delta))},
        f"Data set {ledger.data_set[:12]}: spent {Spend.of(books.spent(), books.delta)} at delta "
        f"{books.delta:g}",
    )
    return 0


def _follow(parent: Ledger, child: Ledger) -> None:
    """Have data sets that are linked to a version count its new version instead."""
    link = Link(child.data_set, _folder(child), child.books_alone().spent_alone())
    for other in child.books_alone().links.values():
        if other.folder and (Path(other.folder) / FILE_NAME).is_file():
            note(open_ledger(Path(other.folder)), "link", link.body(parent.data_set))


def link(arguments: argparse.Namespace) -> int:
    """Link two data sets; the action of ``ledger link``."""
    mine = open_ledger(arguments.state)
    books, other = mine.books_alone(), _other(arguments.shares)
    _require_other(mine, other.data_set)
    ours, past = known_agreements(arguments.state, []), list[tuple[str, Limit]]()
    if isinstance(other, Ledger):
        theirs = other.books_alone()
        _require_same_unit(arguments.state, books, arguments.shares, theirs)
        if theirs.superseded is not None:
            raise LedgerError(
                "That data set has a new version.", do="Link the state folder of the new version."
            )
        note(
            mine,
            "link",
            Link(other.data_set, _folder(other), theirs.spent_alone()).body(
                _replaced(books, theirs.parent)
            ),
        )
        note(
            other,
            "link",
            Link(mine.data_set, _folder(mine), books.spent_alone()).body(
                _replaced(theirs, books.parent)
            ),
        )
        told = (
            "Both ledgers note it: each counts the other's spend from now on, and no run on either "
            "takes the other past its limit or budgets."
        )
        past += _passed(arguments.shares, other)
    else:
        _require_same_words(unit_of(books, ours, alone=True), other)
        link = Link(other.data_set, "", other.amount)
        note(mine, "link", link.body(_replaced(books, "")))
        told = _BY_EXPORT
        if not other.unit or other.not_shown:
            told += f" {_NO_UNIT}"
    past += _passed(arguments.state, mine)
    after = mine.books()
    spent = Spend.of(after.spent(), after.delta)
    lines = [f"Linked with data set {other.data_set[:12]}. {told}", f"  together: {spent}"]
    lines += [f"  WARNING: data set {name[:12]} is past {limit} already." for name, limit in past]
    if past:
        lines.append(f"  {_NO_FURTHER}")
    _tell(
        arguments,
        {
            "linked": other.data_set,
            "spent": spend_json(spent),
            "past": [
                {"data_set": name, "whose": one.whose, "budget": one.budget, "delta": one.delta}
                for name, one in past
            ],
        },
        "\n".join(lines),
    )
    return 0


def _passed(state: Path, ledger: Ledger) -> list[tuple[str, Limit]]:
    """Return the limit and promised budgets that a data set is past, with what is linked to it."""
    books = ledger.books()
    limits = books.limits_of_all(
        promised_of(state, books), "a budget that an agreement promised", "its own limit"
    )
    return [(books.data_set, one) for one in limits if not fits(one.spent, one.budget, one.delta)]


def _require_same_unit(state: Path, books: Books, other: Path, theirs: Books) -> None:
    """Refuse to link data sets that were charged for different units or neighbours.

    Raises:
        LedgerError: Naming the clause.
    """
    clause, here, there = unit_clause(
        charged_before(state, books, ""), charged_before(other, theirs, "")
    )
    if clause:
        _refuse_unit(f"{clause} is {here} for {state}, and {there} for {other}")


def _require_same_words(mine: UnitOfAll, other: Exported) -> None:
    """Refuse an export for another unit or other neighbours, as far as both are known."""
    if mine.unit and other.unit and mine.unit != other.unit:
        _refuse_unit(f"This one was charged for {mine.unit}, the export's for {other.unit}")


def _refuse_unit(how: str) -> NoReturn:
    raise LedgerError(
        f"The two data sets were charged for different units or neighbours. {how}.",
        why="Their losses cannot be added: what a run tells of one record is less than what it "
        "tells of a person with several, or of a record that is replaced.",
        do="Nothing was noted, and no total is known for who is in both. Link data sets whose "
        "agreements have the same unit, max_records and neighbours.",
    )


def _replaced(books: Books, parent: str) -> str:
    return parent if parent in books.links else ""


def _folder(ledger: Ledger) -> str:
    return str(ledger.path.parent.resolve())


def _other(path: Path) -> Ledger | Exported:
    """Return the data set of a state folder or of an export."""
    return open_ledger(path) if path.is_dir() else read_export(path)


def _require_other(mine: Ledger, data_set: str) -> None:
    if data_set == mine.data_set:
        raise UsageError(
            "That is the same data set.",
            why="A copy of a state folder is the same ledger twice, and each forgets what the "
            "other spends.",
            do="Keep one of the two folders, the one that was charged last, and remove the other.",
        )


def disjoint(arguments: argparse.Namespace) -> int:
    """Sign that two data sets share nobody; the action of ``ledger disjoint``."""
    from secure_fedsa.cli.keys import existing_identity

    mine = open_ledger(arguments.state)
    books, other = mine.books_alone(), _other(arguments.other)
    _require_other(mine, other.data_set)
    if other.data_set in books.links or other.data_set == books.parent:
        raise LedgerError(
            "The two data sets are linked, or one is a version of the other.",
            why="They have some of the same persons: a statement now would forget their spend.",
            do="Keep the link.",
        )
    identity = existing_identity(arguments.state)
    data = signed_bytes(mine.data_set, other.data_set)
    statement = Disjoint(
        data_set=other.data_set,
        statement=STATEMENT,
        key=identity.public.hex(),
        signature=identity.sign(DISJOINT_DOMAIN, data).hex(),
    )
    note(mine, "disjoint", statement.body())
    _tell(
        arguments,
        {"data_sets": sorted([mine.data_set, other.data_set]), **statement.body()},
        f"Signed, with the key {statement.key[:16]}...: {STATEMENT}\n"
        f"  {mine.data_set} and {other.data_set}",
    )
    return 0


def limit(arguments: argparse.Namespace) -> int:
    """Set the data set's own limit; the action of ``ledger limit``."""
    ledger = open_ledger(arguments.state)
    before = ledger.books_alone().limit
    if before is not None and arguments.epsilon > before:
        raise LedgerError(
            f"The limit is epsilon {before:g} already, and cannot be raised.",
            why="A budget that is raised after results were seen bounds nothing.",
            do="Set a lower one, or leave it.",
        )
    note(ledger, "limit", {"epsilon": arguments.epsilon})
    books = ledger.books()
    spent: Amount = books.spent()
    _tell(
        arguments,
        {"limit": arguments.epsilon, "spent": spend_json(Spend.of(spent, books.delta))},
        f"No run takes this data set past epsilon {arguments.epsilon:g} at delta {books.delta:g}. "
        f"Spent: {Spend.of(spent, books.delta)}"
        + ("" if fits(spent, arguments.epsilon, books.delta) else _PASSED),
    )
    return 0


def _tell(arguments: argparse.Namespace, values: dict[str, Any], text: str) -> None:
    print(json.dumps(values, indent=2) if arguments.json else text)
