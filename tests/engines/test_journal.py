"""A party's memory of one run, under crashes and hands that should not touch it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from secure_fedsa.errors import StorageError
from secure_fedsa.journal import Journal, Outgoing
from secure_fedsa.roles import effects as fx

EVENTS: list[fx.Event] = [
    fx.Started(),
    fx.Drawn("nonce", (b"\x01" * 32,)),
    fx.Persisted(fx.BindSignal("r", ("a", "b"), "s")),
    fx.Failed("no disk"),
    fx.Deadline(),
]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of five events."""
    made = Journal(tmp_path)
    for event in EVENTS:
        made.append(event)
    yield made
    made.close()


def test_what_was_told_is_remembered_in_order(journal: Journal, tmp_path: Path) -> None:
    """A run resumes from this alone."""
    journal.close()
    again = Journal(tmp_path)
    assert list(again.events()) == EVENTS
    again.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET sealed = (SELECT sealed FROM events WHERE number = 0) WHERE number = 2",
        "DELETE FROM events WHERE number = 1",
        "UPDATE events SET sealed = x'00' WHERE number = 3",
        "UPDATE events SET number = 9 - number",
    ],
)
def test_moved_removed_and_changed_events_are_found(journal: Journal, statement: str) -> None:
    """An event left out, a binding for instance, would mask one signal twice."""
    with sqlite3.connect(journal.folder / "journal.sqlite") as connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(StorageError, match="damaged"):
        list(journal.events())


def test_a_second_process_is_kept_out(journal: Journal) -> None:
    """Two processes in one run would draw two noises under one charge."""
    with pytest.raises(StorageError, match="Another process"):
        Journal(journal.folder)


@pytest.mark.parametrize("key", [b"", b"short"])
def test_half_a_wrapping_key_is_words_and_not_a_traceback(journal: Journal, key: bytes) -> None:
    """A crash while the key is written must leave a folder that says what is wrong."""
    (journal.folder / "wrapping.key").write_bytes(key)
    with pytest.raises(StorageError, match="wrapping key"):
        list(journal.events())


def test_a_crash_while_the_key_is_written_leaves_no_half_key(tmp_path: Path) -> None:
    """The next start must make a whole one."""
    (tmp_path / "wrapping.partial").write_bytes(b"half")
    journal = Journal(tmp_path)
    journal.append(fx.Started())
    assert len((tmp_path / "wrapping.key").read_bytes()) == 32
    assert (tmp_path / "wrapping.key").stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "wrapping.partial").exists()
    journal.close()


def test_erased_means_that_no_event_opens(journal: Journal, tmp_path: Path) -> None:
    """What the ledger calls erased must be gone, with or without the database's copy."""
    copy = (tmp_path / "journal.sqlite").read_bytes()
    journal.post(Outgoing(0, "", b"signed"))
    journal.erase()
    journal.erase()
    assert journal.erased
    assert list(journal.events()) == []
    assert [item.envelope for item in journal.outbox()] == [b"signed"]
    journal.close()
    (tmp_path / "journal.sqlite").write_bytes(copy)
    again = Journal(tmp_path)
    if not again.erased:  # the copy may predate every event: then a new key opens nothing old
        assert list(again.events()) == []
    else:
        with pytest.raises(StorageError, match="erased"):
            list(again.events())
    again.close()


def test_the_wrapping_key_is_overwritten_before_it_is_removed(
    journal: Journal, tmp_path: Path
) -> None:
    """If this fails, the key stays on the disk after its name is gone, for who reads raw blocks."""
    other_name = tmp_path / "the same blocks"
    other_name.hardlink_to(tmp_path / "wrapping.key")
    assert any(other_name.read_bytes())
    journal.erase()
    assert not (tmp_path / "wrapping.key").exists()
    assert other_name.read_bytes() == bytes(32)
    journal.close()
