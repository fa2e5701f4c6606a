"""A party's durable memory of one run: what it was told, and what it said.

Events (messages received, randomness drawn, acknowledgements) are stored in order, each
encrypted with AES-256-GCM under one wrapping key that lies beside the database. Replaying
them through the role's pure ``step`` gives back the state, so a crashed run resumes where
it stopped. Outgoing envelopes are stored byte for byte before they are first sent; they are
signed, and sealed where they must be, so they need no wrapping.

Erasure destroys the wrapping key: what it protected cannot be read again.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import StorageError
from secure_fedsa.messages import RULES
from secure_fedsa.roles import effects as fx
from secure_fedsa.signals import NoisySummary, Signal, from_int64_bytes
from secure_fedsa.wire import bodies, canonical
from secure_fedsa.wire.envelope import Header

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outbox (sequence INTEGER PRIMARY KEY, slot TEXT NOT NULL,
    envelope BLOB NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
_KEY_FILE = "wrapping.key"
_DATABASE = "journal.sqlite"
_LOCK_FILE = "lock"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A stored envelope, exactly as it is sent every time."""

    sequence: int
    slot: str
    envelope: bytes


class Journal:
    """One party's journal of one run, in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _storage(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (folder / _LOCK_FILE).open("a")
            _lock(self._lock, folder)
            self._connection = sqlite3.connect(folder / _DATABASE, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_SCHEMA)
            if not self.finished and not self._key_path.exists() and not self._count("events"):
                _write_private(self._key_path, secret_bytes(32))

    @property
    def _key_path(self) -> Path:
        return self.folder / _KEY_FILE

    @property
    def finished(self) -> bool:
        """Whether the party's part in this run is over."""
        return self.fact("finished") is not None

    @property
    def erased(self) -> bool:
        """Whether the run's secrets are gone."""
        return not self._key_path.exists()

    def _count(self, table: str) -> int:
        row = self._connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()  # noqa: S608
        return int(row[0])

    def _cipher(self) -> AESGCM:
        try:
            return AESGCM(self._key_path.read_bytes())
        except FileNotFoundError as error:
            raise StorageError(
                f"The secrets of the run in {self.folder} were erased.",
                do="Start a new run.",
            ) from error
        except ValueError as error:
            raise StorageError(f"The wrapping key in {self.folder} is damaged.") from error

    def append(self, event: fx.Event) -> None:
        """Store one event durably."""
        with _storage(self.folder):
            nonce = secret_bytes(12)
            number = self._count("events")
            plain = canonical.encode(_to_json(event))
            sealed = nonce + self._cipher().encrypt(nonce, plain, _place(number))
            self._connection.execute("INSERT INTO events VALUES (?, ?)", (number, sealed))

    def events(self) -> Iterator[fx.Event]:
        """Yield the stored events, in order.

        Raises:
            StorageError: If one was damaged, or the secrets were erased.
        """
        cipher = self._cipher() if self._count("events") else None
        with _storage(self.folder):
            query = "SELECT sealed FROM events ORDER BY number"
            rows = self._connection.execute(query).fetchall()
        for number, (sealed,) in enumerate(rows):
            assert cipher is not None
            try:
                plain = cipher.decrypt(sealed[:12], sealed[12:], _place(number))
            except (InvalidTag, ValueError) as error:
                raise StorageError(f"The journal in {self.folder} is damaged.") from error
            yield _from_json(canonical.decode(plain))

    def post(self, outgoing: Outgoing) -> None:
        """Store an envelope durably, before it is first sent."""
        with _storage(self.folder):
            self._connection.execute(
                "INSERT INTO outbox VALUES (?, ?, ?)",
                (outgoing.sequence, outgoing.slot, outgoing.envelope),
            )

    def outbox(self) -> list[Outgoing]:
        """Return every stored envelope, in order."""
        rows = self._connection.execute("SELECT * FROM outbox ORDER BY sequence")
        return [Outgoing(*row) for row in rows]

    def note(self, name: str, value: str) -> None:
        """Store a named fact that is not secret."""
        with _storage(self.folder):
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def fact(self, name: str) -> str | None:
        """Return a named fact, or None."""
        query = "SELECT value FROM facts WHERE name = ?"
        row = self._connection.execute(query, (name,)).fetchone()
        return None if row is None else str(row[0])

    def erase(self) -> None:
        """Destroy the wrapping key, then what it wrapped. Again is fine."""
        with _storage(self.folder):
            destroy_key(self.folder)
            self._connection.execute("DELETE FROM events")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the database and let go of the folder."""
        self._connection.close()
        self._lock.close()


def destroy_key(folder: Path) -> None:
    """Overwrite and remove a journal's wrapping key, if it has one; nothing else is looked at.

    Raises:
        OSError: If it could not be; a link in its place is not followed.
    """
    path = folder / _KEY_FILE
    try:
        handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(bytes(32))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
    sync_folder(folder)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a journal's folder without opening it.

    Raises:
        StorageError: If another process is at work in it.
        OSError: If it cannot be held; a link in the place of its lock is not followed.
    """
    handle = os.open(folder / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "a") as file:
        _lock(file, folder)
        yield


def noted(folder: Path, name: str) -> str | None:
    """Return a named fact of a journal that nobody has open, or None; also if it is damaged."""
    try:
        uri = f"file:{quote(str((folder / _DATABASE).absolute()))}?mode=rw"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            query = "SELECT value FROM facts WHERE name = ?"
            row = connection.execute(query, (name,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return None if row is None else str(row[0])


def _lock(file: IO[str], folder: Path) -> None:
    """Hold the folder against a second process, which would draw noise a second time."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StorageError(
            f"Another process is at work in {folder}.",
            why="Two processes in one run would draw two noises under one charge.",
            do="Wait until it is done.",
        ) from error


def _place(number: int) -> bytes:
    """Return what binds an event to its place, so that none can be moved or left out."""
    return number.to_bytes(8, "big")


def _write_private(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: a crash never leaves half a key."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_folder(path.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole and on the disk, or not at all.

    The folder is for the caller to sync, once for all files.

    Raises:
        OSError: If it cannot be written.
    """
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def sync_folder(folder: Path) -> None:
    """Make new, renamed and removed names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _storage(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.DatabaseError) as error:
        raise StorageError(
            f"Cannot write to {folder}.",
            why=f"{error}.",
            do="Check that the folder is writable and its disk is not full, then run again: "
            "the run resumes and nothing is charged twice.",
        ) from error


_RECORDS: dict[str, type[fx.Record]] = {
    kind.__name__: kind
    for kind in (
        fx.ReserveCharge,
        fx.CommitCharge,
        fx.BindSignal,
        fx.NoteOpened,
        fx.NoteBurned,
        fx.LogRelease,
    )
}


def _to_json(event: fx.Event) -> dict[str, Any]:
    name = type(event).__name__
    match event:
        case fx.Received(header=header, body=body, hash=digest):
            return {
                "event": name,
                "header": header.to_json(),
                "body": bodies.to_json(body),
                "hash": digest,
            }
        case fx.Drawn(tag=tag, value=value):
            return {"event": name, "tag": tag, "value": [canonical.to_base64(v) for v in value]}
        case fx.Persisted(record=record, value=value):
            fields = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
            kind = type(record).__name__
            return {"event": name, "record": kind, "fields": fields, "value": value}
        case fx.SummaryRead(summary=summary):
            return {
                "event": name,
                "shape": list(summary.sums.shape),
                "sums": canonical.to_base64(summary.sums.astype("<i8").tobytes()),
                "counts": canonical.to_base64(summary.counts.astype("<i8").tobytes()),
                "noise_scale": summary.noise_scale,
                "grid": summary.grid,
                "count_unit": summary.count_unit,
            }
        case fx.ModelAsked(signal=signal):
            parts = {"saliency": signal.saliency, "features": signal.features}
            held = {part: array.astype("<i8").tobytes() for part, array in parts.items()}
            return {"event": name} | {part: canonical.to_base64(d) for part, d in held.items()}
        case _:
            plain = {f.name: getattr(event, f.name) for f in dataclasses.fields(event)}
            return {"event": name, **plain}


_PLAIN: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        fx.Started,
        fx.Checked,
        fx.Sent,
        fx.StudentBuilt,
        fx.Finished,
        fx.Failed,
        fx.Deadline,
    )
}


def _from_json(value: dict[str, Any]) -> fx.Event:
    name = value.pop("event")
    if name in _PLAIN:
        event: fx.Event = _PLAIN[name](**value)
        return event
    match name:
        case "Received":
            header = Header.from_json(value["header"])
            body = bodies.from_json(RULES[header.kind].body, value["body"])
            return fx.Received(header, body, value["hash"])
        case "Drawn":
            drawn = tuple(canonical.from_base64(item) for item in value["value"])
            return fx.Drawn(value["tag"], drawn)
        case "Persisted":
            stored: dict[str, Any] = value["fields"]
            fields: dict[str, Any] = {
                name: tuple(item) if isinstance(item, list) else item
                for name, item in stored.items()
            }
            record: Any = _RECORDS[value["record"]]
            return fx.Persisted(record(**fields), value["value"])
        case "SummaryRead":
            sums = from_int64_bytes(canonical.from_base64(value["sums"]))
            counts = from_int64_bytes(canonical.from_base64(value["counts"]))
            return fx.SummaryRead(
                NoisySummary(
                    np.reshape(sums, value["shape"]),
                    counts,
                    float(value["noise_scale"]),
                    int(value["grid"]),
                    int(value["count_unit"]),
                )
            )
        case "ModelAsked":
            saliency, features = (
                from_int64_bytes(canonical.from_base64(value[part]))
                for part in ("saliency", "features")
            )
            return fx.ModelAsked(Signal(saliency, features))
    raise StorageError(f"The journal holds an unknown event {name!r}.")
