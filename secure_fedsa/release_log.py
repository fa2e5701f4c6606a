"""The key holder's durable, hash-chained memory of what it opened.

One line of canonical JSON an entry, each naming the hash of the one before; a line is on
the disk before the sum that it names is decrypted. The log outlives runs: the release gate
reads it. A file beside it remembers the newest entry, so that a log that was removed or cut
back is noticed and never started anew.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Any

from secure_fedsa.errors import DataError, LedgerError, StorageError
from secure_fedsa.wire import canonical

DOMAIN = "secure-fedsa/v1/release-log"
FIRST = "0" * 64
FILE_NAME = "release-log.jsonl"
HEAD_NAME = "release-log-head"


class ReleaseLog:
    """The log in a state folder; made when it does not exist."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._head = folder / HEAD_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StorageError:
        return StorageError(
            f"Cannot use {self.path}.",
            why=f"{error.strerror}.",
            do="Nothing was opened. Check that the folder is writable and its disk not full.",
        )

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, the whole chain checked.

        Raises:
            LedgerError: Naming the first entry that is not what was written, or if the
                newest are gone.
        """
        try:
            data = self.path.read_bytes()
            return self._checked(data[: data.rfind(b"\n") + 1])
        except OSError as error:
            raise self._unusable(error) from error

    def _checked(self, data: bytes) -> list[dict[str, Any]]:
        entries = check_entries(data)
        known = self._head.read_bytes().decode("ascii", "replace") if self._head.exists() else FIRST
        if known != FIRST and all(entry["hash"] != known for entry in entries):
            raise LedgerError(
                "The release log does not hold the newest sum that it opened.",
                why="It was removed, cut back or replaced by an older copy.",
                do="Restore the log from a copy; do not open sums with this one.",
            )
        return entries

    def _remember(self, entry: dict[str, Any]) -> None:
        partial = self._head.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(entry["hash"].encode())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._head)

    def append(self, body: dict[str, Any]) -> dict[str, Any]:
        """Add an entry durably; the same release again is the same entry.

        Raises:
            LedgerError: If the run already has another release.
            StorageError: If it cannot be written; nothing was opened.
        """
        try:
            with self.path.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                data = file.read()
                whole = data.rfind(b"\n") + 1  # a line cut off by a crash was never acknowledged
                entries = self._checked(data[:whole])
                for entry in entries:
                    if entry["body"]["run_id"] == body["run_id"]:
                        if entry["body"] != body:
                            raise LedgerError(
                                "This run already has a release, of another sum.",
                                do="One run opens one sum. Start a new run.",
                            )
                        return entry
                entry = _entry(entries, body)
                file.seek(whole)
                file.truncate()
                file.write(canonical.encode(entry) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                self._remember(entry)
                return entry
        except OSError as error:
            raise self._unusable(error) from error


def _entry(entries: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, Any]:
    content = {
        "position": len(entries),
        "previous": entries[-1]["hash"] if entries else FIRST,
        "body": body,
    }
    return {**content, "hash": canonical.digest(DOMAIN, content)}


def check_entries(data: bytes) -> list[dict[str, Any]]:
    """Return the entries of a whole log's bytes.

    Raises:
        LedgerError: Naming the first entry that is not what was written.
    """
    entries: list[dict[str, Any]] = []
    for number, line in enumerate(data.splitlines()):
        try:
            entry = canonical.decode(line)
            good = entry == _entry(entries, entry["body"])
        except (DataError, KeyError, TypeError):
            good = False
        if not good:
            raise LedgerError(
                f"Entry {number} of the release log is not what was written.",
                do="Restore the log from a copy; do not open sums with this one.",
            )
        entries.append(entry)
    return entries
