"""The earlier versions of a data set, kept beside the ledger of the newest one.

A ledger inherits amounts and no runs: its first entry has what each agreement spent, and the hash
of the entry that closed the version before. So a copy of that version's chain, up to that entry,
can be checked against it, and says what the inherited spend was for. A copy that does not fit is
no evidence of anything, and is not shown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from secure_fedsa.errors import LedgerError, StorageError
from secure_fedsa.journal import sync_folder, write_durably
from secure_fedsa.privacy.ledger_books import Books, replay
from secure_fedsa.privacy.ledger_entries import Entry, canonical

VERSIONS_FOLDER = "earlier-versions"

_DATA_SET = re.compile(r"[0-9a-f]{32}")


def keep_versions(parent: Path, entries: Sequence[Entry], child: Path) -> None:
    """Give a data set's new version the chain of the version before, and what that one kept.

    Args:
        parent: State folder of the version before.
        entries: Its chain, up to the entry that closed it.
        child: State folder of the new version.

    Raises:
        StorageError: If they cannot be written.
    """
    folder = child / VERSIONS_FOLDER
    name = f"{entries[0]['data_set']}.jsonl"
    kept = {name: b"".join(canonical(entry) + b"\n" for entry in entries)}
    try:
        for path in sorted((parent / VERSIONS_FOLDER).glob("*.jsonl")):
            kept[path.name] = path.read_bytes()
        folder.mkdir(mode=0o700, exist_ok=True)
        for one, content in kept.items():
            write_durably(folder / one, content)
        sync_folder(folder)
    except OSError as error:
        raise StorageError(f"Cannot write in {child}.", why=f"{error.strerror}.") from error


def earlier_versions(folder: Path, books: Books) -> tuple[Books, ...]:
    """Return the earlier versions of a data set, the oldest first, as far as they were kept.

    The first of them may itself have inherited from one that was not kept.

    Args:
        folder: The state folder.
        books: Of its ledger.
    """
    found: list[Books] = []
    while _DATA_SET.fullmatch(books.parent):
        path = folder / VERSIONS_FOLDER / f"{books.parent}.jsonl"
        try:
            older = replay(json.loads(line) for line in path.read_bytes().splitlines())
        except (OSError, ValueError, RecursionError, LedgerError):
            break
        if (older.data_set, older.head) != (books.parent, books.parent_head):
            break  # not what the newer version's first entry names
        found.insert(0, older)
        books = older
    return tuple(found)
