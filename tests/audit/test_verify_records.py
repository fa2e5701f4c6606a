"""Release log, student, summary, departures and the receipt's own statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.audit.checking import Lie, check_lie, refused
from tests.audit.forging import Forgery, verify

LOG = "release-log.jsonl"
SUMMARY = "summary.json"
RECEIPT = "receipt.dsse.json"
RESULT = "transcript/student-009-result.json"

Tell = Callable[[Forgery], None]


# --- release log -------------------------------------------------------------------


def logged(**entries: Any) -> Tell:
    """Return a change of what is logged, its hash mended."""

    def tell(forgery: Forgery) -> None:
        forgery.log["body"].update(entries)
        forgery.rehash_log()

    return tell


def placed(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.log.update(entries)
        forgery.rehash_log()

    return tell


def unhashed(forgery: Forgery) -> None:
    forgery.log["hash"] = "00" * 32


LOG_LIES = {
    "another run": Lie(logged(run_id="00" * 32), LOG, "another release"),
    "another agreement": Lie(logged(agreement="00" * 32), LOG, "another release"),
    "another roster": Lie(logged(roster_hash="00" * 32), LOG, "another release"),
    "other members": Lie(logged(members=[]), LOG, "another release"),
    "other data sets": Lie(logged(data_sets={}), LOG, "another release"),
    "another sum": Lie(logged(sum_hash="00" * 32), LOG, "another release"),
    "other signals": Lie(logged(signal_ids={}), LOG, "another release"),
    "an entry more": Lie(logged(note="x"), LOG, "another release"),
    "a field more": Lie(placed(note="x"), LOG, "fields of a log entry"),
    "another hash": Lie(unhashed, LOG, "not its content's"),
    "a first entry after another": Lie(placed(previous="11" * 32), LOG, "not at the place"),
    "a later entry after none": Lie(placed(position=1), LOG, "not at the place"),
    "a position before all": Lie(placed(position=-1), LOG, "no whole number"),
    "a position that is true": Lie(placed(position=True), LOG, "no whole number"),
    "no hash before it": Lie(placed(previous="x"), LOG, "entry before it"),
}


@pytest.mark.parametrize("name", LOG_LIES)
def test_a_lie_in_the_release_log_is_found(name: str) -> None:
    """The log is what keeps a second sum over nearly the same teachers closed."""
    check_lie(LOG_LIES[name])


@pytest.mark.parametrize(
    ("bend", "reason"),
    [
        (lambda line: line[:-1], "exactly one line"),
        (lambda line: line + line, "exactly one line"),
        (lambda line: line + b"\n", "exactly one line"),
        (lambda _line: b"", "exactly one line"),
        (lambda line: line.replace(b":", b": ", 1), "not canonical JSON"),
        (lambda _line: b"[" * 100_000 + b"\n", "not canonical JSON"),
        (lambda _line: b"[]\n", "fields of a log entry"),
        (lambda _line: b"," * 1_000_001 + b"\n", "has 1,000,002 bytes|JSON values"),
    ],
)
def test_the_release_log_is_one_canonical_line(bend: Callable[[bytes], bytes], reason: str) -> None:
    """A second line would be a second opened sum."""
    forgery = Forgery()
    files = forgery.build()
    refused(forgery.receipt({**files, LOG: bend(files[LOG])}), LOG, reason)


def test_a_later_entry_of_the_log_passes() -> None:
    """A key holder that opened other sums before has a log that began earlier."""
    forgery = Forgery("default", 1)
    assert forgery.log["position"] >= 1
    verify(forgery.original.files)


# --- student -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["network.safetensors", "architecture.json", "head.safetensors"])
def test_another_student_is_found(name: str) -> None:
    """Whoever downloads the student must get the one that was made from the sum."""
    forgery = Forgery()
    forgery.files[f"student/{name}"] += b"x"
    refused(forgery.build(), RESULT, "signs another student")


def test_another_encoder_is_found() -> None:
    """The privacy proof is about the agreed encoder's clip norm."""
    forgery = Forgery()
    forgery.files["student/encoder.safetensors"] += b"x"
    refused(forgery.build(), "student/encoder.safetensors", "not the encoder")
