"""A ledger's entries in an SQLite file: durable, in order, one writer at a time."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from secure_fedsa.errors import LedgerError, StorageError
from secure_fedsa.privacy.ledger_entries import Entry, bad_entry, canonical

MAX_ENTRY_BYTES = 1 << 20

_BUSY_SECONDS = 60.0
_ADVICE = "Nothing was charged. Check that the folder is writable and its disk not full."


def make_file(path: Path) -> None:
    """Make an empty ledger file, readable by its owner only; an existing one is kept.

    Raises:
        StorageError: If the folder cannot be written or cannot hold a write-ahead log.
    """
    folder = path.parent
    with _storage(path):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        with _connect(path) as connection:
            if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != b"wal":
                raise StorageError(
                    "This file system cannot hold a write-ahead log.",
                    do=f"Move {folder} to a local disk.",
                )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS entries "
                "(position INTEGER PRIMARY KEY, entry TEXT NOT NULL) STRICT"
            )
        _sync_folder(folder)


@contextmanager
def transaction(path: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    """Yield a connection in a transaction: on disk at the end, undone on any error.

    A writer holds the only write lock from the first line on, so what it reads stays true.

    Raises:
        StorageError: If the file cannot be read or written; nothing has changed then.
        LedgerError: If it is not a ledger.
    """
    with _storage(path), _connect(path) as connection:
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def read_entries(connection: sqlite3.Connection) -> list[Entry]:
    """Return all entries in order, each exactly as it was written.

    Raises:
        LedgerError: Naming the first one that is not canonical or not at its place.
    """
    entries = []
    rows = connection.execute("SELECT position, entry FROM entries ORDER BY position")
    for index, (position, data) in enumerate(rows):
        try:
            entry = json.loads(data)
            intact = canonical(entry) == data and entry["position"] == position
        except (ValueError, TypeError, KeyError, RecursionError, LedgerError):
            intact = False
        if not intact:
            bad_entry(index, "it is not what was written")
        entries.append(entry)
    return entries


def insert_entry(connection: sqlite3.Connection, entry: Entry) -> None:
    """Write one entry at its position.

    Raises:
        LedgerError: If it is larger than a mebibyte.
    """
    data = canonical(entry)
    if len(data) > MAX_ENTRY_BYTES:
        raise LedgerError("A ledger entry is larger than a mebibyte.")
    connection.execute("INSERT INTO entries VALUES (?, ?)", (entry["position"], data.decode()))


@contextmanager
def _connect(path: Path) -> Iterator[sqlite3.Connection]:
    uri = f"file:{quote(str(path.absolute()))}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None)
    try:
        connection.text_factory = bytes
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
    finally:
        connection.close()


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    """Turn the errors of the disk and of SQLite into ours."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"Cannot use {path}.", why=f"{error.strerror}.", do=_ADVICE) from error
    except sqlite3.OperationalError as error:
        if "no such table" in str(error) or "no such column" in str(error):
            raise LedgerError(f"{path} is not a privacy ledger.", why=f"{error}.") from error
        raise StorageError(f"Cannot use {path}.", why=f"{error}.", do=_ADVICE) from error
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path} is damaged.", why=f"{error}.") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
