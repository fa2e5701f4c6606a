"""What data sets with some of the same persons have spent by now, from their own ledgers.

Each of them counts this data set, so its own limit and budgets bind a charge here too: its books
are kept with what they count in turn, two links far and no further.

Why one cannot be read is told to other parties before a run: it names no folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.ledger_books import Books, replay
from secure_fedsa.privacy.ledger_entries import Entry
from secure_fedsa.privacy.ledger_private import Link

FILE_NAME = "ledger.sqlite"


def linked_paths(books: Books) -> list[Path]:
    """Return the ledger files of linked data sets that lie on this machine, sorted.

    The others are noted in ``books.unreachable``. A data set that is known by an export alone is in
    neither: it counts as it was then.
    """
    found = []
    for name, link in books.links.items():
        if not link.folder:
            told = link.amount
            books.promised_elsewhere |= bool(told.rho or told.trainings or told.selections)
            continue
        path = Path(link.folder) / FILE_NAME
        if path.is_file():
            found.append(path.resolve())
        else:
            books.unreachable[name] = "It is not where it was."
    return sorted(set(found))


def add_linked(books: Books, path: Path, entries: Sequence[Entry]) -> None:
    """Add what a linked ledger says to the books.

    Raises:
        LedgerError: If it is damaged.
    """
    other = replay(entries)
    for name, link in books.links.items():
        if not link.folder or (Path(link.folder) / FILE_NAME).resolve() != path:
            continue
        if other.data_set != name:
            books.unreachable[name] = "Another data set's ledger is where it was."
        elif other.superseded is not None:
            books.unreachable[name] = (
                f"It has a new version ({other.superseded['body']['child'][:12]})."
            )
        else:
            books.linked[name] = other.spent_alone()
            books.promised_elsewhere |= other.is_promised()
            # It counts this data set, under this id, whatever its own chain has noted by now.
            other.links.pop(books.parent, None)
            other.links[books.data_set] = Link(books.data_set, "", Amount())
            other.linked[books.data_set] = books.spent_alone()
            books.beside[name] = other


def add_unreachable(books: Books, path: Path) -> None:
    """Note that a linked ledger could not be read."""
    for name, link in books.links.items():
        if link.folder and (Path(link.folder) / FILE_NAME).resolve() == path:
            books.unreachable[name] = "It is damaged, or its file cannot be opened."
