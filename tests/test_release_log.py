"""The key holder's memory of what it opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import LedgerError
from secure_fedsa.release_log import FILE_NAME, ReleaseLog
from secure_fedsa.wire import canonical


def body(run_id: str, **more: Any) -> dict[str, Any]:
    """Return what is logged about a release."""
    return {"run_id": run_id, "sum_hash": "5" * 64, **more}


@pytest.fixture
def log(tmp_path: Path) -> ReleaseLog:
    """A log of three releases."""
    made = ReleaseLog(tmp_path)
    for run in ("a", "b", "c"):
        made.append(body(run))
    return made


def test_the_same_release_again_is_the_same_entry(log: ReleaseLog) -> None:
    """After a crash the key holder asks again; that is not a second release."""
    again = log.append(body("b"))
    assert again == log.entries()[1]
    assert len(log.entries()) == 3


def test_one_run_opens_one_sum(log: ReleaseLog) -> None:
    """Two sums of one run may differ by one teacher."""
    with pytest.raises(LedgerError, match="already has a release"):
        log.append(body("b", sum_hash="6" * 64))
    assert len(log.entries()) == 3


def test_every_flipped_bit_is_found(log: ReleaseLog) -> None:
    """Who edits the log could have a forbidden roster opened."""
    data = log.path.read_bytes()
    for position in range(len(data) - 1):
        changed = bytearray(data)
        changed[position] ^= 1
        log.path.write_bytes(bytes(changed))
        with pytest.raises(LedgerError):
            log.entries()


@pytest.mark.parametrize("kept", [[0, 1], [], [1, 2], [0, 2, 1], [0, 0, 1, 2]])
def test_removed_repeated_and_exchanged_entries_are_found(log: ReleaseLog, kept: list[int]) -> None:
    """A log that lost its newest entry would let the same teachers be singled out."""
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(lines[number] for number in kept))
    with pytest.raises(LedgerError):
        log.entries()
    with pytest.raises(LedgerError):
        log.append(body("d"))


def test_a_log_that_vanished_is_not_started_anew(log: ReleaseLog, tmp_path: Path) -> None:
    """Deleting one file must not make the key holder forget."""
    log.path.unlink()
    with pytest.raises(LedgerError, match="removed, cut back"):
        ReleaseLog(tmp_path).entries()


def test_a_line_cut_off_by_a_crash_is_dropped(log: ReleaseLog, tmp_path: Path) -> None:
    """It was never acknowledged, so nothing was opened for it."""
    with log.path.open("ab") as file:
        file.write(b'{"body":{"run_id":"d"')
    assert len(ReleaseLog(tmp_path).entries()) == 3
    assert log.append(body("d"))["position"] == 3
    assert len(log.entries()) == 4


@pytest.mark.parametrize("line", [b"{}", b"7", b"null", b'{"body":7}', b"\xff", b"[]"])
def test_foreign_lines_are_errors_of_ours(log: ReleaseLog, line: bytes) -> None:
    """A damaged log must stop the run with words, not with a traceback."""
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    with pytest.raises(LedgerError, match="Entry 3"):
        log.entries()


@pytest.mark.usefixtures("log")
def test_the_log_is_canonical_json_lines(tmp_path: Path) -> None:
    """Others must be able to check it with their own tools."""
    for line in (tmp_path / FILE_NAME).read_bytes().splitlines():
        assert canonical.encode(json.loads(line)) == line
