"""Rows of results: written one by one so that nothing finished is lost, and their means."""

from __future__ import annotations

import fcntl
import json
import math
import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from scipy.stats import t as student_t

from secure_fedsa.errors import StorageError, UsageError

Key = tuple[str | float | int | None, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one split at one epsilon.

    Attributes:
        dataset: Name of the data set.
        setting: Which teachers there are.
        method: Name of the method.
        route: What protects the teachers' records.
        epsilon: Privacy loss bound a teacher; None without differential privacy.
        delta: Its delta; None without differential privacy.
        labels: The student's labelled records.
        teachers: Number of teachers.
        records_per_teacher: Private records each.
        seed: Public seed of split and training.
        accuracy: On the test records.
        seconds: Wall time, with the method's share of work done for several methods.
        payload_bytes: The most that one teacher sends.
    """

    dataset: str
    setting: str
    method: str
    route: str
    epsilon: float | None
    delta: float | None
    labels: int
    teachers: int
    records_per_teacher: int
    seed: int
    accuracy: float
    seconds: float
    payload_bytes: int

    @property
    def key(self) -> Key:
        """What a row is a result of: two rows of one key are the same measurement."""
        return row_key(**{name: getattr(self, name) for name in _KEY})


_KEY = ("dataset", "setting", "method", "epsilon", "delta", "labels", "records_per_teacher", "seed")
_NAMES = frozenset(field.name for field in fields(Row))


def row_key(**values: str | float | None) -> Key:
    """Return the key of a row that may not exist yet."""
    return tuple(values[name] for name in _KEY)


class Journal:
    """The rows beside a result file: one line each, on disk before the next method starts.

    Args:
        path: The file; it stays, and a later run of the same kind goes on from it.
        rows: What it holds.
    """

    def __init__(self, path: Path, rows: dict[Key, Row]) -> None:
        self.path = path
        self.rows = rows

    @classmethod
    @contextmanager
    def open(cls, path: Path, effort: str) -> Iterator[Journal]:
        """Open the rows of an earlier run, or start.

        Args:
            path: Of the journal.
            effort: Name of the scale; rows of another one cannot share a file.

        Raises:
            UsageError: If the rows are of another scale or another benchmark writes them.
            StorageError: If the file cannot be read or is none of ours.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        # Read and append; the lock goes with the handle, also when the process is killed.
        with path.open("a+b") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise UsageError(
                    f"Another benchmark is writing {path}.", do="Wait for it or name another --out."
                ) from error
            handle.seek(0)
            whole, _, torn = handle.read().rpartition(b"\n")
            if torn:  # a line that a crash cut off
                handle.truncate(len(whole) + bool(whole))
            lines = whole.splitlines()
            if not lines:
                _append(handle.fileno(), {"effort": effort})
            yield cls(path, _read(path, lines, effort))

    def add(self, row: Row) -> None:
        """Append a row and wait until it is on disk."""
        with self.path.open("ab") as handle:
            _append(handle.fileno(), asdict(row))
        self.rows[row.key] = row


def _append(descriptor: int, value: dict[str, Any]) -> None:
    line = json.dumps(value).encode() + b"\n"
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def _read(path: Path, lines: list[bytes], effort: str) -> dict[Key, Row]:
    if not lines:
        return {}
    try:
        head, *values = [json.loads(line) for line in lines]
        found = head["effort"]
        rows = [Row(**value) for value in values]
    except (ValueError, TypeError, KeyError) as error:
        raise StorageError(
            f"{path} does not hold rows of this benchmark.",
            do="Move it away or name another --out.",
        ) from error
    if found != effort:
        raise UsageError(
            f"{path} holds rows of a {found} run, this is a {effort} run.",
            do="Name another --out.",
        )
    return {row.key: row for row in rows}


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean over seeds of one method at one epsilon.

    Attributes:
        dataset: As in the rows.
        setting: As in the rows.
        method: As in the rows.
        route: As in the rows.
        epsilon: As in the rows.
        delta: As in the rows.
        labels: As in the rows.
        records_per_teacher: As in the rows.
        seeds: Number of rows.
        accuracy: Mean.
        half_width: Half the 95% confidence interval by Student's t; None of a single row.
        seconds: Mean.
        payload_bytes: Mean, rounded.
    """

    dataset: str
    setting: str
    method: str
    route: str
    epsilon: float | None
    delta: float | None
    labels: int
    records_per_teacher: int
    seeds: int
    accuracy: float
    half_width: float | None
    seconds: float
    payload_bytes: int


def means_of(rows: Sequence[Row]) -> list[Mean]:
    """Return the means over seeds, in the order in which their first rows came."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.key[:-1], []).append(row)
    return [_mean(group) for group in groups.values()]


def _mean(group: list[Row]) -> Mean:
    first, values = group[0], [row.accuracy for row in group]
    half = None
    if len(values) > 1:
        quantile = float(student_t.ppf(0.975, len(values) - 1))
        half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Mean(
        first.dataset,
        first.setting,
        first.method,
        first.route,
        first.epsilon,
        first.delta,
        first.labels,
        first.records_per_teacher,
        len(group),
        statistics.mean(values),
        half,
        statistics.mean(row.seconds for row in group),
        round(statistics.mean(row.payload_bytes for row in group)),
    )
