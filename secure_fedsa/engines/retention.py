"""How long a party keeps what runs leave in its state folder, by the agreement's ``[retention]``.

Two things are limited: lines of the local log, and a run that was cut off and never taken up.
What is secret of a run that ends is erased at its end whether or not there is the table. Ledger and
release log are never touched: they are the record of what was spent and opened.

Nothing that others see depends on how many lines there are, or on there being any: what was trained
on may have made them. Only the party's own operator is told.

Removed means: not in the folder any more. Keys are overwritten first. Neither reaches copies below
the file system, in snapshots or in backups.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from secure_fedsa.agreement import Retention
from secure_fedsa.engines.own_files import LOCAL_LOG_FILE, local_log_lock, tell_operator
from secure_fedsa.errors import DataError, StorageError
from secure_fedsa.journal import destroy_key, held, noted, sync_folder
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.wire import canonical

RUN_FOLDER = "run"
GIVEN_UP_FOLDER = "run.given-up"
"""A run that is being given up: out of the way of a new one before anything in it is touched."""
NOT_REMOVED = "NOT removed: "
JOURNAL_ITEM = "messages sent in the run"
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Kept:
    """What the agreement has a party remove, and it could not.

    Attributes:
        item: As the erasure note names it.
        why: For the operator only.
    """

    item: str
    why: str


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def log_item(retention: Retention) -> str:
    """Return how an erasure note names the lines of the local log that came of age."""
    return f"local log after {retention.local_log_days} days"


def run_item(retention: Retention) -> str:
    """Return how an erasure note names a run that was given up."""
    return f"unfinished run after {retention.unfinished_days} days"


def note_items(items: list[str], kept: tuple[Kept, ...]) -> list[str]:
    """Return an erasure note's items, those that could not be removed marked."""
    failed = {entry.item for entry in kept}
    return [f"{NOT_REMOVED}{item}" if item in failed else item for item in items]


def stamp(retention: Retention | None) -> dict[str, str]:
    """Return the date of a line of the local log, where an agreement limits its age."""
    return {} if retention is None else {"day": now().date().isoformat()}


# --- the local log -----------------------------------------------------------------


def keep_log_short(folder: Path, retention: Retention, time: datetime) -> tuple[Kept, ...]:
    """Remove what came of age from a party's local log, and tell its operator.

    Args:
        folder: The party's state folder.
        retention: What was agreed.
        time: Now.

    Returns:
        What could not be removed; empty if nothing is left to remove.
    """
    item = log_item(retention)
    kept: tuple[Kept, ...] = ()
    told: dict[str, int] = {}
    try:
        removed, redated = trim_log(folder, retention.local_log_days, time.date())
        told = {"lines_removed": removed, "lines_dated_anew": redated}
    except (OSError, StorageError) as error:
        kept = (Kept(item, _why(error)),)
    tell_erasure(folder, [item], kept, time, **told)
    return kept


def tell_erasure(
    folder: Path, items: list[str], kept: tuple[Kept, ...], time: datetime, **more: Any
) -> None:
    """Write to the local log what was removed and what was not, with the date."""
    failed = {entry.item: entry.why for entry in kept}
    entry = {
        "day": time.date().isoformat(),
        "erased": [item for item in items if item not in failed],
        "not_erased": failed,
        **more,
    }
    tell_operator(folder, entry)


def tell_journal(folder: Path) -> None:
    """Write to the local log that a finished run's journal was removed, or that it was not."""
    there = os.path.lexists(folder / RUN_FOLDER)
    kept = (Kept(JOURNAL_ITEM, "It is still there; remove it by hand."),) if there else ()
    tell_erasure(folder, [JOURNAL_ITEM], kept, now())


def trim_log(folder: Path, days: int, today: date) -> tuple[int, int]:
    """Rewrite the local log without the lines that are ``days`` old or older.

    A line that is no JSON object is removed: nothing says how old it is. One without a date, or
    with a date after today (the clock was set back), is dated today, so that it goes ``days`` days
    from now at the latest. A log that is not there becomes an empty one.

    Args:
        folder: The party's state folder.
        days: Age in days at which a line goes.
        today: The date.

    Returns:
        How many lines were removed, and how many were dated anew.

    Raises:
        StorageError: If it is a link, or not this user's own file under one name; it is left alone.
        OSError: If it cannot be read or written; it is as it was.
    """
    path = folder / LOCAL_LOG_FILE
    partial = folder / f"{LOCAL_LOG_FILE}.partial"
    removed = redated = 0
    with local_log_lock(folder):
        partial.unlink(missing_ok=True)  # of a crash: it holds lines too
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                for line in _lines(path):
                    left, anew = _judged(line, days, today)
                    removed += left is None
                    redated += anew and left is not None
                    file.write(left or b"")
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise
        sync_folder(folder)
    return removed, redated


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of the local log; an empty one in the place of one that is too long."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink != 1:
            raise StorageError(
                f"{path} is not a file of its own.",
                why="It is no regular file, another user's, or has a second name.",
                do="Look at it; remove it, or what shares it, by hand.",
            )
        yield from _cut(file)


def _cut(file: IO[bytes]) -> Iterator[bytes]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE and not line.endswith(b"\n"):
            while line and not line.endswith(b"\n"):
                line = file.readline(_LONGEST_LINE)
            line = b"\n"
        yield line


def _judged(line: bytes, days: int, today: date) -> tuple[bytes | None, bool]:
    """Return a line as it stays, or None if it goes; and whether it was dated anew."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None, False
    if not isinstance(entry, dict):
        return None, False
    dated = _date(entry.get("day"))
    anew = dated is None or dated > today
    if dated is None or anew:
        dated = today
        try:
            line = canonical.encode({**entry, "day": today.isoformat()})
        except DataError:
            return None, True
    of_age = (today - dated).days >= days
    return (None if of_age else line.rstrip(b"\n") + b"\n"), anew


def _date(value: object) -> date | None:
    """Return the date of a text in the one form that is written."""
    try:
        found = date.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.isoformat() == value else None


# --- a run that was cut off --------------------------------------------------------


def last_moved(folder: Path, time: datetime) -> datetime | None:
    """Return when a party's run was last at work, or None if it has none.

    Times after now (the clock was set back) are set to now, so that the days begin anew.

    Raises:
        StorageError: If what stands there is no folder of this user's own.
        OSError: If it cannot be read.
    """
    run = folder / RUN_FOLDER
    if not os.path.lexists(run):
        return None
    _check_own(run)
    stamps = []
    for path in (run, *run.iterdir()):
        moved = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
        if moved > time:
            os.utime(path, (time.timestamp(), time.timestamp()), follow_symlinks=False)
        stamps.append(min(moved, time))
    return max(stamps)


def is_of_age(moved: datetime, retention: Retention, time: datetime) -> bool:
    """Return whether a run that was last at work then is to be given up."""
    return time - moved >= timedelta(days=retention.unfinished_days)


def leftover(folder: Path) -> bool:
    """Return whether a run was being given up when something stopped it."""
    return os.path.lexists(folder / GIVEN_UP_FOLDER)


def give_up(
    folder: Path, retention: Retention, time: datetime, ledger: Ledger | None
) -> tuple[Kept, ...]:
    """Give up a run that was cut off: its key is overwritten, its journal removed, notes taken.

    Args:
        folder: The party's state folder.
        retention: What was agreed.
        time: Now.
        ledger: A teacher's ledger; its charge stays, and what became of it is noted.

    Returns:
        What could not be removed; empty if nothing is left to remove.

    Raises:
        LedgerError: If the ledger is damaged.
        StorageError: If the ledger cannot be written; the next time goes on from there.
    """
    item, parting = run_item(retention), folder / GIVEN_UP_FOLDER
    run_id = ""
    kept: tuple[Kept, ...] = ()
    try:
        _set_aside(folder)
        destroy_key(parting)  # first, and whatever state the rest is in
        run_id = noted(parting, "run_id") or ""
        _remove(parting)
    except (OSError, StorageError) as error:
        kept = (Kept(item, _why(error)),)
    if ledger is not None:
        _note(ledger, run_id, retention, kept)
    tell_erasure(folder, [item], kept, time)
    return kept


def _set_aside(folder: Path) -> None:
    """Move the run out of the way of a new one; again is fine."""
    run, parting = folder / RUN_FOLDER, folder / GIVEN_UP_FOLDER
    if os.path.lexists(parting):
        _check_own(parting)
        return
    _check_own(run)
    with held(run):
        run.rename(parting)
    sync_folder(folder)


def _check_own(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise StorageError(
            f"{path} is not a folder of its own.",
            why="It is a link, a file, or another user's.",
            do="Look at it, and remove it by hand.",
        )


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    sync_folder(folder.parent)


def _note(ledger: Ledger, run_id: str, retention: Retention, kept: tuple[Kept, ...]) -> None:
    """Note in a teacher's ledger that a charge bought nothing, and that its run was given up.

    A run that has not noted its id is that of the newest charge without an erasure, if there is
    one: a state folder has one run at a time.
    """
    books = ledger.books()
    item = run_item(retention)
    failed = note_items([item], (Kept(item, ""),))  # by an earlier attempt: it is still open
    done = {(n["kind"], n["run_id"]) for n in books.notes if n["body"].get("items") != failed}
    open_runs = [name for name in books.charges if ("erasure", name) not in done]
    run_id = run_id or (open_runs[-1] if open_runs else "")
    if run_id not in books.charges:
        return
    if not {("burn", run_id), ("roster-opened", run_id)} & done:
        ledger.record("burn", run_id, {"reason": "the run was cut off and given up"})
    ledger.record("erasure", run_id, {"items": note_items([item], kept)})


def _why(error: OSError | StorageError) -> str:
    if isinstance(error, StorageError):
        return str(error)
    return f"{error.strerror or error}."
