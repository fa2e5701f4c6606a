"""Which records were charged in which ledger: a register of this user, on this machine only.

A ledger forgets nothing, but another state folder begins with an empty one, and the same people's
privacy would be spent twice. So ``run``, and every other run that asks for it, keeps a sketch of
each teacher's records beside the place of their ledger, and refuses records that another ledger was
charged for, unless the two are linked, one is a version of the other, or somebody signed that they
share no person.

The sketch is the 256 smallest keyed digests (BLAKE2b, a key of this register) of the records
without their labels, so it does not depend on their order and tells two data sets alike from about
a sixteenth of their records in common (Broder 1997, bottom-k). It is private: it never leaves this
machine, and is compared before anything is charged.

Two teachers of one agreement may hold the same records, if both ledgers were charged for them from
the first run on. Records that only the other's was charged for are refused.

What it cannot see: a user or a machine that is another one; records of which every one was changed,
if only by rounding or scaling; a small part of a large data set; other records of the same persons.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines.disjoint import is_signed
from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import LedgerError, StorageError
from secure_fedsa.privacy.ledger import FILE_NAME, Ledger
from secure_fedsa.privacy.ledger_books import Books

_SKETCH = 256
_ALIKE = 1 / 16
_FILE = "data-sets.json"


@dataclass(frozen=True, slots=True)
class Known:
    """Records that a ledger was charged for.

    Attributes:
        folder: The state folder, as it was then.
        data_set: Id of the ledger's data set; empty as long as there was no ledger.
        sketch: Digests, sorted.
    """

    folder: str
    data_set: str
    sketch: tuple[str, ...]


def user_folder() -> Path:
    """Return where this user's register lies (XDG Base Directory: state)."""
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(home) / "secure-fedsa"


def alike(one: tuple[str, ...], other: tuple[str, ...]) -> float:
    """Return the estimated share of records in common: of all records of both, those in both.

    >>> alike(("a", "b"), ("b", "c")), alike((), ("a",))
    (0.3333333333333333, 0.0)
    """
    both = set(one) & set(other)
    smallest = sorted({*one, *other})[:_SKETCH]
    return sum(digest in both for digest in smallest) / len(smallest) if one and other else 0.0


class DataRegister:
    """The register of one user. Every method reads the file again; writers lock it.

    Args:
        folder: Holds the file; made if it is not there. None for this user's own place
            (``$XDG_STATE_HOME`` or ``~/.local/state``, and ``secure-fedsa`` in it).
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or user_folder()) / _FILE

    def sketch(self, records: npt.NDArray[Any]) -> tuple[str, ...]:
        """Return the sketch of records, shape (n, ...).

        Raises:
            StorageError: If the register's key can be neither read nor made.
        """
        with self._locked() as (key, _):
            found: set[str] = set()
            for record in np.ascontiguousarray(records):
                data = f"{record.dtype.str}{record.shape}\n".encode() + record.tobytes()
                found.add(hashlib.blake2b(data, digest_size=16, key=key).hexdigest())
        return tuple(sorted(found)[:_SKETCH])

    def conflict(
        self,
        state: Path,
        sketch: tuple[str, ...],
        key: str,
        *,
        beside: frozenset[str] = frozenset(),
    ) -> Known | None:
        """Return a data set with the same records whose spend this state folder would forget.

        Args:
            state: The state folder that is to be charged; it may not have a ledger yet.
            sketch: Of its records.
            key: Public identity key of the folder's owner, hexadecimal.
            beside: State folders that are charged in the same runs. Records that were charged there
                are let pass if this folder's own ledger was charged for them as well.

        Raises:
            LedgerError: If a ledger is damaged.
            StorageError: If the register or a ledger cannot be read.
        """
        with self._locked() as (_, known):
            pass
        mine = _ledger(state)
        books = None if mine is None else mine.books_alone()
        own = [one.sketch for one in known if books and one.data_set in _names(books)]
        charged = {_data_set(Path(folder)) for folder in beside} - {""}
        for entry in known:
            data_set = entry.data_set or _data_set(Path(entry.folder))
            if not data_set or alike(entry.sketch, sketch) < _ALIKE:
                continue
            newest = _newest(data_set, known)
            together = entry.folder in beside or newest in charged
            if together and _strangers(sketch, entry.sketch, own) < _ALIKE:
                continue
            if books is None:
                return Known(entry.folder, data_set, entry.sketch)
            here = str(state.resolve())
            if data_set == books.data_set and entry.folder != here:
                if _data_set(Path(entry.folder)) == data_set:
                    return Known(entry.folder, data_set, entry.sketch)  # two copies of one ledger
                continue
            counted = {books.data_set, books.parent, *books.links}
            if {data_set, newest} & counted or is_signed(books, data_set, key):
                continue
            return Known(entry.folder, data_set, entry.sketch)
        return None

    def remember(self, state: Path, sketch: tuple[str, ...]) -> None:
        """Note whose ledger counts these records; again, when there is a ledger, is right.

        Raises:
            StorageError: If it cannot be written.
        """
        folder, data_set = str(state.resolve()), _data_set(state)
        with self._locked() as (key, known):
            kept = [
                entry
                for entry in known
                if not (
                    entry.folder == folder
                    and entry.data_set in ("", data_set)
                    and alike(entry.sketch, sketch) == 1
                )
            ]
            kept.append(Known(folder, data_set, sketch))
            self._write(key, kept)

    @contextmanager
    def _locked(self) -> Iterator[tuple[bytes, list[Known]]]:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR, 0o600)
            with os.fdopen(handle, "r+b") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not self._path.exists():
                    self._write(secret_bytes(32), [])
                value = json.loads(self._path.read_bytes())
                known = [
                    Known(entry["folder"], entry["data_set"], tuple(entry["sketch"]))
                    for entry in value["data_sets"]
                ]
                key = bytes.fromhex(value["key"])
                yield key, known
        except OSError as error:
            raise StorageError(
                f"Cannot use the register of data sets, {self._path}.",
                why=f"{error.strerror}.",
                do="Nothing was charged. Set XDG_STATE_HOME to a folder that can be written.",
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise StorageError(
                f"{self._path} is damaged.",
                do="Nothing was charged. Restore it from a copy: without it nobody notices when "
                "the same records are charged to a second ledger.",
            ) from error

    def _write(self, key: bytes, known: list[Known]) -> None:
        value = {"key": key.hex(), "data_sets": [asdict(entry) for entry in known]}
        partial = self._path.with_suffix(".partial")
        handle = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(value).encode())
            file.flush()
            os.fsync(file.fileno())
        partial.rename(self._path)


def require_no_second_ledger(
    register: DataRegister,
    teacher: str,
    state: Path,
    sketch: tuple[str, ...],
    key: str,
    *,
    beside: frozenset[str] = frozenset(),
) -> None:
    """Refuse records that another ledger was charged for.

    Raises:
        LedgerError: Saying where that ledger is, and how the two can be told to belong together.
    """
    found = register.conflict(state, sketch, key, beside=beside)
    if found is None:
        return
    other = found.folder
    if found.data_set == _data_set(state):
        raise LedgerError(
            f"{state} and {other} hold copies of one ledger.",
            why="Each would forget what is charged to the other: the same people would pay twice.",
            do="Nothing was charged. Keep the one that was charged last, and remove the other.",
        )
    swapped = ""
    if other in beside:
        swapped = "If two teachers' records were swapped, give each its own. Otherwise: "
    raise LedgerError(
        f"{teacher}'s records were charged before, in the ledger of {other}.",
        why=f"{state} would begin without what was spent there: the same people would pay twice.",
        do=f"Nothing was charged. {swapped}Run with that state folder. Or, of a new version: "
        f"secure-fedsa ledger new {state} --parent {other}; of a data set that shares persons: "
        f"secure-fedsa ledger link {state} --shares {other}; if no person is in both: secure-fedsa "
        f"ledger disjoint {state} --from {other}. (The last two need a ledger there first: "
        f"secure-fedsa ledger new {state} --delta 1e-5.)",
    )


def check_ledgers(
    register: DataRegister,
    agreement: Agreement,
    records: Mapping[str, npt.NDArray[Any]],
    states: Mapping[str, Path],
) -> dict[Path, tuple[str, ...]]:
    """Refuse records that other ledgers were charged for; return each ledger's sketch.

    Two teachers of one agreement may hold the same records from their first run on: they are
    charged in both ledgers. Records that only one of the two ledgers was charged for are refused
    in the other, as where two teachers' records were swapped.

    Args:
        register: The register; it notes the sketches.
        agreement: Whose teachers these are.
        records: Of each teacher that brings some, shape (n, ...).
        states: State folder of each teacher.

    Raises:
        LedgerError: Naming the other ledger.
        StorageError: If the register cannot be read or written.
    """
    sketches = {}
    for teacher, own in records.items():
        state = states[teacher]
        sketches[state] = register.sketch(own)
        others = (str(states[name].resolve()) for name in agreement.teachers if name != teacher)
        key = agreement.parties[teacher].key
        require_no_second_ledger(
            register, teacher, state, sketches[state], key, beside=frozenset(others)
        )
    for state, sketch in sketches.items():
        register.remember(state, sketch)
    return sketches


def _names(books: Books) -> set[str]:
    """Return the ids of a data set and of the version before it."""
    return {books.data_set, books.parent} - {""}


def _strangers(
    sketch: tuple[str, ...], other: tuple[str, ...], own: list[tuple[str, ...]]
) -> float:
    """Return the estimated share of records that another ledger was charged for, and not one's own.

    Of all records of both. A digest that is larger than all of a full sketch says nothing about
    that sketch's records; where none is left to judge by, all count as strangers.

    >>> _strangers(("a", "b"), ("b", "c"), [("a", "b")]), _strangers(("a",), ("a",), [("b",)])
    (0.0, 1.0)
    """
    last = min((one[-1] for one in own if len(one) >= _SKETCH), default="~")
    both, known = set(sketch) & set(other), {digest for one in own for digest in one}
    judged = [one for one in sorted({*sketch, *other})[:_SKETCH] if one <= last]
    return sum(one in both - known for one in judged) / len(judged) if judged else 1.0


def _ledger(state: Path) -> Ledger | None:
    return Ledger.open(state) if (state / FILE_NAME).is_file() else None


def _data_set(state: Path) -> str:
    ledger = _ledger(state)
    return "" if ledger is None else ledger.data_set


def _newest(data_set: str, known: list[Known]) -> str:
    """Return the id of the newest version of a data set, as far as its folders are here."""
    for _ in known:
        folder = next((entry.folder for entry in known if entry.data_set == data_set), "")
        ledger = _ledger(Path(folder)) if folder else None
        closing = None if ledger is None else ledger.books_alone().superseded
        if closing is None or closing["data_set"] != data_set:
            return data_set
        data_set = str(closing["body"]["child"])
    return data_set
