"""Files that a party keeps for itself: its ledger and its newest head, a log for its operator."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from secure_fedsa.errors import StorageError
from secure_fedsa.privacy.ledger import FILE_NAME as LEDGER_FILE
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.wire import canonical

LOCAL_LOG_FILE = "local-log.jsonl"
HEAD_FILE = "ledger-head"
_LOCK_TRIES, _LOCK_SECONDS = 1000, 0.005


def open_ledger(folder: Path, *, delta: float) -> Ledger:
    """Open the ledger, or start it once; a ledger that vanished is never started anew.

    Args:
        folder: The party's state folder.
        delta: Of a ledger that is started.

    Raises:
        LedgerError: If it is damaged, was cut back, or vanished.
        StorageError: If it cannot be read or written.
    """
    known = known_head(folder)
    if known is not None or (folder / LEDGER_FILE).exists():
        return Ledger.open(folder, known_head=known)
    ledger = Ledger.create(folder, delta=delta)
    note_head(folder, ledger)
    return ledger


def known_head(folder: Path) -> str | None:
    """Return the head that :func:`note_head` remembered, if any.

    Raises:
        StorageError: If it cannot be read.
    """
    marker = folder / HEAD_FILE
    try:
        return marker.read_text(encoding="ascii") if marker.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {marker}.", why=f"{error}.") from error


def note_head(folder: Path, ledger: Ledger) -> None:
    """Remember the newest head, so that a ledger cut back or removed is noticed.

    Raises:
        StorageError: If it cannot be written.
    """
    partial = folder / f"{HEAD_FILE}.partial"
    try:
        with partial.open("w", encoding="ascii") as file:
            file.write(ledger.head().hash)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / HEAD_FILE)
    except OSError as error:
        raise StorageError(f"Cannot write in {folder}.", why=f"{error.strerror}.") from error


def tell_operator(folder: Path, entry: dict[str, Any]) -> None:
    """Tell this party's operator, and nobody else, what went on among its records.

    It depends on private records: it stays in the state folder, and that it could not be
    written is not shown to anybody either.
    """
    with suppress(OSError):
        path = folder / LOCAL_LOG_FILE
        with local_log_lock(folder):
            path.touch(mode=0o600)
            with path.open("ab+") as file:
                file.seek(max(0, file.tell() - 1))
                cut_off = file.read(1) not in (b"", b"\n")  # by a crash: it stays a line of its own
                file.write(b"\n" * cut_off + canonical.encode(entry) + b"\n")


@contextmanager
def local_log_lock(folder: Path) -> Iterator[None]:
    """Hold a folder's local log against another process that writes or shortens it.

    Raises:
        OSError: If another one holds it for seconds, or the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for left in reversed(range(_LOCK_TRIES)):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise
                time.sleep(_LOCK_SECONDS)
        yield
    finally:
        os.close(handle)
