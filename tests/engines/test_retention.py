"""``[retention]``: what a run leaves goes when it was agreed that it goes."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Retention
from secure_fedsa.audit.closing import check_own
from secure_fedsa.engines import retention
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.own_files import LOCAL_LOG_FILE, local_log_lock, tell_operator
from secure_fedsa.errors import StorageError
from secure_fedsa.journal import Journal
from secure_fedsa.roles import effects as fx
from tests.support import World, make_world

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
AGREED = Retention(local_log_days=30, unfinished_days=7)
PLAIN = {
    "protection": {"he": False, "masks": False},
    "publish": {"ciphertexts": False, "feature_key": False},
}


def line(days_ago: float | str | None, **more: Any) -> bytes:
    """Return a line of a local log."""
    entry: dict[str, Any] = {"records": 5, **more}
    if isinstance(days_ago, int):
        entry["day"] = (NOW.date() - timedelta(days=days_ago)).isoformat()
    elif days_ago is not None:
        entry["day"] = days_ago
    return json.dumps(entry).encode() + b"\n"


def log(folder: Path) -> list[dict[str, Any]]:
    """Return the entries of a folder's local log."""
    return [json.loads(text) for text in (folder / LOCAL_LOG_FILE).read_bytes().splitlines()]


def trim(folder: Path, *lines: bytes, days: int = 30) -> tuple[tuple[int, int], bytes]:
    """Return what was counted, and the log afterwards."""
    (folder / LOCAL_LOG_FILE).write_bytes(b"".join(lines))
    counted = retention.trim_log(folder, days, NOW.date())
    return counted, (folder / LOCAL_LOG_FILE).read_bytes()


@pytest.mark.parametrize("days", [0, 1, 30, 36_500])
def test_lines_go_at_their_age(tmp_path: Path, days: int) -> None:
    """A day late is a broken promise; a day early is an operator's lost trace."""
    counted, left = trim(tmp_path, *(line(age) for age in range(40)), days=days)
    assert left == b"".join(line(age) for age in range(min(days, 40)))
    assert counted == (max(0, 40 - days), 0)


def test_a_clock_set_back_keeps_no_line_for_ever(tmp_path: Path) -> None:
    """A line of the year 9999 would outlive every agreement."""
    odd = [line(when) for when in ("9999-12-31", (-1), None, 7.5, "20261129", "2026-W48-7")]
    _, left = trim(tmp_path, *odd)
    entries = [json.loads(text) for text in left.splitlines()]
    assert [entry["day"] for entry in entries] == ["2026-11-29"] * len(odd)
    assert retention.trim_log(tmp_path, 30, NOW.date() + timedelta(days=30)) == (len(odd), 0)


@pytest.mark.parametrize(
    "broken",
    [
        b'{"day": "2026-11-',
        b"\x00\xff\xfe\n",
        b"\n",
        b"[1]\n",
        b"[" * 100_000 + b"\n",
        b'{"n": 1' + b"0" * 5000 + b"}\n",
        b'{"records": NaN}\n',
        b'{"a": "' + b"x" * (2 << 20) + b'"}\n',
    ],
    ids=["half", "bytes", "empty", "list", "deep", "huge", "nan", "long"],
)
def test_a_line_that_cannot_be_read_goes_and_its_neighbours_stay(
    tmp_path: Path, broken: bytes
) -> None:
    """Nothing says how old it is; and one bad line must not save or end the others."""
    end = b"" if broken.endswith(b"\n") else b"\n"
    _, left = trim(tmp_path, line(40), line(1), broken + end, line(2), line(41))
    assert left == line(1) + line(2)
    assert trim(tmp_path, line(1), broken)[1] == line(1)


def test_a_last_line_without_its_end_stays_a_line_of_its_own(tmp_path: Path) -> None:
    """Else the next entry would be glued to it, and both would be lost."""
    assert trim(tmp_path, line(1), line(2)[:-1])[1] == line(1) + line(2)
    (tmp_path / LOCAL_LOG_FILE).write_bytes(line(1) + b'{"half')
    tell_operator(tmp_path, {"day": "2026-11-29"})
    assert (tmp_path / LOCAL_LOG_FILE).read_bytes() == line(1) + b'{"half\n{"day":"2026-11-29"}\n'


def test_a_log_that_is_not_there_and_remains_of_a_crash(tmp_path: Path) -> None:
    """What stands in the place of the new log may be older lines, or anybody's file."""
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep me")
    partial = tmp_path / f"{LOCAL_LOG_FILE}.partial"
    partial.symlink_to(victim)
    assert retention.trim_log(tmp_path, 30, NOW.date()) == (0, 0)
    assert (tmp_path / LOCAL_LOG_FILE).read_bytes() == b""
    partial.write_bytes(line(400))
    retention.trim_log(tmp_path, 30, NOW.date())
    assert not partial.exists()
    assert victim.read_bytes() == b"keep me"
    assert (tmp_path / LOCAL_LOG_FILE).stat().st_mode & 0o777 == 0o600


def hostile(folder: Path, kind: str) -> None:
    """Put something else in the place of a local log."""
    path, other = folder / LOCAL_LOG_FILE, folder / "other"
    other.write_bytes(line(400))
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(other)
    elif kind == "second name":
        os.link(other, path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        (folder / f"{LOCAL_LOG_FILE}.partial").mkdir()


@pytest.mark.parametrize("kind", ["link", "second name", "folder", "pipe", "no room"])
def test_what_cannot_be_removed_is_said_and_left_alone(tmp_path: Path, kind: str) -> None:
    """A site that is silent about it makes its note a lie; one that follows a link, a crime."""
    hostile(tmp_path, kind)
    (kept,) = retention.keep_log_short(tmp_path, AGREED, NOW)
    assert kept.item == "local log after 30 days"
    assert kept.why
    assert line(400) in (tmp_path / "other").read_bytes()
    items = retention.note_items(["mask values", kept.item], (kept,))
    assert items == ["mask values", "NOT removed: local log after 30 days"]
    assert str(tmp_path) not in items[1]


def test_another_users_log_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that somebody else put there is not this party's to replace."""
    (tmp_path / LOCAL_LOG_FILE).write_bytes(line(400))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(StorageError, match="not a file of its own"):
        retention.trim_log(tmp_path, 30, NOW.date())
    assert (tmp_path / LOCAL_LOG_FILE).read_bytes() == line(400)


def test_nobody_writes_while_the_log_is_made_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was written in between would be lost."""
    monkeypatch.setattr("secure_fedsa.engines.own_files._LOCK_TRIES", 3)
    (tmp_path / LOCAL_LOG_FILE).write_bytes(line(400))
    with local_log_lock(tmp_path):
        assert retention.keep_log_short(tmp_path, AGREED, NOW)
    assert not retention.keep_log_short(tmp_path, AGREED, NOW)


# --- whole runs --------------------------------------------------------------------


def world(folder: Path, **changes: Any) -> World:
    """Return a world whose agreement has the table."""
    return make_world(folder, **{**PLAIN, "retention": AGREED, **changes})


def notes(run: LocalRun, name: str, kind: str) -> list[dict[str, Any]]:
    """Return the notes of a kind in a teacher's ledger."""
    ledger = run.sites[name].ledger
    assert ledger is not None
    return [note["body"] for note in ledger.books().notes if note["kind"] == kind]


def test_every_party_keeps_to_it_at_the_runs_end(tmp_path: Path) -> None:
    """An agreement about logs that no party acts on is a promise to nobody."""
    made = world(tmp_path)
    for name in made.names:
        (tmp_path / name).mkdir()
        (tmp_path / name / LOCAL_LOG_FILE).write_bytes(line(4000, old=True))
    run = made.local_run()
    run.execute()
    for name in made.names:
        entries = log(tmp_path / name)
        assert not any(entry.get("old") for entry in entries)
        assert all(retention._date(entry["day"]) for entry in entries)
        assert entries[-1]["erased"] == ["local log after 30 days"]
        assert (entries[0]["lines_removed"], entries[-1]["not_erased"]) == (1, {})
    assert notes(run, "teacher-1", "erasure") == [
        {
            "items": [
                *("sealing key", "mask values", "noisy summary", "reply randomness"),
                "local log after 30 days",
            ]
        }
    ]
    assert all(run.own_record(name).kept == () for name in made.names)
    run.discard()
    assert log(tmp_path / "student")[-1]["erased"] == ["messages sent in the run"]


def test_without_the_table_nothing_is_removed_or_dated(tmp_path: Path) -> None:
    """Whoever did not agree to it must find all as it was."""
    made = world(tmp_path, retention=None)
    (tmp_path / "teacher-1").mkdir()
    (tmp_path / "teacher-1" / LOCAL_LOG_FILE).write_bytes(line(4000))
    run = made.local_run()
    run.execute()
    run.discard()
    assert (tmp_path / "teacher-1" / LOCAL_LOG_FILE).read_bytes().startswith(line(4000))
    assert set(log(tmp_path / "teacher-1")[1]) == {"agreement", "records", "zeroed"}
    assert len(log(tmp_path / "teacher-1")) == 2
    assert notes(run, "teacher-1", "erasure")[0]["items"][-1] == "reply randomness"
    assert not (tmp_path / "student" / LOCAL_LOG_FILE).exists()


def test_who_could_not_remove_says_so_and_signs_when_it_could(tmp_path: Path) -> None:
    """Its signature would attest what did not happen."""
    made = world(tmp_path)
    run = made.local_run()
    hostile(tmp_path / "teacher-1", "folder")
    run.execute()
    assert notes(run, "teacher-1", "erasure")[0]["items"][-1].startswith("NOT removed: local log")
    own = run.own_record("teacher-1")
    facts: Any = type("Facts", (), {"run_id": own.run_id})
    with pytest.raises(StorageError, match="does not sign") as caught:
        check_own({}, facts, own)
    assert "without a new charge" in caught.value.do
    (tmp_path / "teacher-1" / LOCAL_LOG_FILE).rmdir()
    again = made.local_run()
    outcome = again.execute()
    assert again.own_record("teacher-1").kept == ()
    assert notes(again, "teacher-1", "erasure")[1]["items"][-1] == "local log after 30 days"
    assert len(again.charged(outcome.run_id)) == 4


@pytest.mark.parametrize("kind", ["link", "second name", "folder", "pipe", "no room"])
def test_a_log_that_could_not_be_made_shorter_is_found_before_any_charge(
    tmp_path: Path, kind: str
) -> None:
    """Found at the end, it would have cost a charge."""
    made = world(tmp_path)
    made.agreement()
    hostile(tmp_path / "key-holder", kind)
    with pytest.raises(StorageError, match=r"key-holder keeps what .* Nothing was charged"):
        made.local_run()


def test_the_note_does_not_tell_whether_there_was_a_log(tmp_path: Path) -> None:
    """With private-training a line means that a training failed: a fact about records."""
    found: list[list[str]] = []
    for lines in (None, b"", line(400) * 3, line(1)):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        if lines is not None:
            (folder / LOCAL_LOG_FILE).write_bytes(lines)
        assert retention.keep_log_short(folder, AGREED, NOW) == ()
        found.append(sorted(path.name for path in folder.iterdir()))
    assert found == [[LOCAL_LOG_FILE]] * 4


class Cut(Exception):
    """The machine stops."""


def cut_off(made: World, after: type[fx.Effect] = fx.ReadPrivate) -> LocalRun:
    """Return a run that stopped before an effect."""

    def stop(_party: str, effect: fx.Effect) -> None:
        if isinstance(effect, after):
            raise Cut

    run = made.local_run()
    with pytest.raises(Cut):
        run.execute(observe=stop)
    return run


def age(folder: Path, days: float) -> None:
    """Let the run in every state folder have stopped that long ago."""
    when = retention.now().timestamp() - days * 86_400
    for run in folder.glob("*/run"):
        for path in (*run.iterdir(), run):
            os.utime(path, (when, when), follow_symlinks=False)


def test_a_run_cut_off_long_ago_is_given_up(tmp_path: Path) -> None:
    """Else the keys and the noisy summary of a run that nobody takes up lie there for ever."""
    made = world(tmp_path)
    first = cut_off(made)
    charged = list(_books(first, "teacher-1").charges)
    age(tmp_path, 6.9)
    assert made.local_run().given_up is False
    assert (tmp_path / "teacher-1" / "run" / "wrapping.key").exists()
    age(tmp_path, 7.1)
    run = made.local_run()
    assert run.given_up is True
    assert run.unfinished is False
    assert not list(tmp_path.glob("*/run*"))
    assert log(tmp_path / "aggregator")[-1]["erased"] == ["unfinished run after 7 days"]
    assert notes(run, "teacher-1", "burn") == [{"reason": "the run was cut off and given up"}]
    assert notes(run, "teacher-1", "erasure") == [{"items": ["unfinished run after 7 days"]}]
    outcome: Outcome = run.execute()
    assert outcome.problem == ""
    assert list(_books(run, "teacher-1").charges) == [*charged, outcome.run_id]


def _books(run: LocalRun, name: str) -> Any:
    ledger = run.sites[name].ledger
    assert ledger is not None
    return ledger.books()


def test_a_run_whose_folder_was_never_written_goes_too(tmp_path: Path) -> None:
    """Its messages would lie there for ever; but its result was there, so no charge is burned."""
    made = world(tmp_path)
    outcome = made.local_run().execute()
    age(tmp_path, 8)
    run = made.local_run()
    assert run.given_up is True
    assert not list(tmp_path.glob("*/run*"))
    assert notes(run, "teacher-1", "burn") == []
    books = _books(run, "teacher-1")
    erasures = [note for note in books.notes if note["kind"] == "erasure"]
    assert [note["run_id"] for note in erasures] == [outcome.run_id] * 2
    assert erasures[1]["body"] == {"items": ["unfinished run after 7 days"]}


def test_a_journal_that_stays_is_told_to_the_operator(tmp_path: Path) -> None:
    """Removing it quietly fails where it is a link, say."""
    made = world(tmp_path)
    run = made.local_run()
    run.execute()
    state = tmp_path / "student"
    (state / "run").rename(state / "elsewhere")
    (state / "run").symlink_to(state / "elsewhere")
    run.discard()
    entry = log(state)[-1]
    assert entry["erased"] == []
    assert set(entry["not_erased"]) == {"messages sent in the run"}


def test_the_key_is_overwritten_and_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else cannot be removed is of no use without it; and a name is not its bytes."""
    made = world(tmp_path)
    cut_off(made)
    age(tmp_path, 8)
    keys = [path.open("rb") for path in tmp_path.glob("*/run/wrapping.key")]
    assert len(keys) == len(made.names)

    def busy(_folder: Path) -> None:
        raise OSError(16, "Device or resource busy")

    with monkeypatch.context() as patched:
        patched.setattr("secure_fedsa.engines.retention.shutil.rmtree", busy)
        with pytest.raises(StorageError, match="unfinished run after 7 days"):
            made.local_run()
        assert not (tmp_path / "teacher-1" / "run.given-up" / "wrapping.key").exists()
        assert log(tmp_path / "teacher-1")[-1]["not_erased"] == {
            "unfinished run after 7 days": "Device or resource busy."
        }
    run = made.local_run()
    assert [note["items"] for note in notes(run, "teacher-1", "erasure")] == [
        ["NOT removed: unfinished run after 7 days"],
        ["unfinished run after 7 days"],
    ]
    for file in keys:
        with file:
            assert file.read() == bytes(32)


def test_one_party_at_work_keeps_the_run(tmp_path: Path) -> None:
    """Parties of one machine take a run up together, or none does."""
    made = world(tmp_path)
    cut_off(made)
    age(tmp_path, 400)
    os.utime(tmp_path / "student" / "run" / "journal.sqlite")
    run = made.local_run()
    assert run.given_up is False
    assert run.execute().problem == ""


def test_a_clock_set_back_gives_nothing_up_and_begins_the_days_anew(tmp_path: Path) -> None:
    """A run of the future would never come of age."""
    made = world(tmp_path)
    cut_off(made)
    age(tmp_path, -4000)
    assert made.local_run().given_up is False
    run = tmp_path / "student" / "run"
    soon = (retention.now() + timedelta(minutes=5)).timestamp()
    assert max(path.stat().st_mtime for path in (run, *run.iterdir())) < soon


@pytest.mark.parametrize("step", ["set aside", "key destroyed", "damaged", "no lock"])
def test_giving_up_goes_on_after_a_crash(tmp_path: Path, step: str) -> None:
    """Half of it would leave keys, or messages of a run that a new one takes for its own."""
    made = world(tmp_path)
    cut_off(made)
    state = tmp_path / "teacher-1"
    parting = state / "run.given-up"
    (state / "run").rename(parting)
    if step == "key destroyed":
        (parting / "wrapping.key").unlink()
    elif step == "damaged":
        (parting / "journal.sqlite").write_bytes(b"no database")
    elif step == "no lock":
        (parting / "lock").unlink()
    run = made.local_run()
    assert run.given_up is True
    assert not parting.exists()
    assert notes(run, "teacher-1", "erasure") == [{"items": ["unfinished run after 7 days"]}]


@pytest.mark.parametrize("kind", ["link", "file", "key is a link", "at work"])
def test_a_run_that_is_not_ones_own_is_left_alone_and_nothing_is_charged(
    tmp_path: Path, kind: str
) -> None:
    """What a link points to is somebody's; two processes in one run would draw two noises."""
    made = world(tmp_path)
    cut_off(made)
    age(tmp_path, 400)
    state = tmp_path / "teacher-1"
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_bytes(b"x" * 64)
    run, journal = state / "run", None
    if kind == "link":
        run.rename(state / "elsewhere")
        run.symlink_to(victim)
    elif kind == "file":
        run.rename(state / "elsewhere")
        run.write_bytes(b"")
        os.utime(run, (0, 0))
    elif kind == "key is a link":
        (run / "wrapping.key").unlink()
        (run / "wrapping.key").symlink_to(victim / "precious")
        age(tmp_path, 400)
    else:
        journal = Journal(run)
        age(tmp_path, 400)
    with pytest.raises(StorageError) as caught:
        made.local_run()
    assert "teacher-1" in str(caught.value)
    assert (victim / "precious").read_bytes() == b"x" * 64
    if journal is not None:
        journal.close()
        age(tmp_path, 400)
        assert made.local_run().given_up is True


def test_the_key_goes_also_where_the_journal_cannot_be_read(tmp_path: Path) -> None:
    """A damaged database is no reason to keep what decrypts its events."""
    made = world(tmp_path)
    cut_off(made)
    (tmp_path / "student" / "run" / "journal.sqlite").write_bytes(b"no database")
    with pytest.raises(sqlite3.DatabaseError):
        sqlite3.connect(tmp_path / "student" / "run" / "journal.sqlite").execute("SELECT 1 FROM a")
    age(tmp_path, 8)
    assert made.local_run().given_up is True
    assert not list(tmp_path.glob("student/run*"))
