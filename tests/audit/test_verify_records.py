"""Release log, student, summary, departures and the receipt's own statement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secure_fedsa.errors import VerificationError
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


def no_result(forgery: Forgery) -> None:
    forgery.remove(forgery.message("result"))


def two_results(forgery: Forgery) -> None:
    forgery.double(forgery.message("result"))


def abort_of(sender: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.add("abort", sender, {"phase": "x", "reason": "y", "missing": []})

    return tell


ENDINGS = {
    "no result": Lie(no_result, "transcript/", "no result of student"),
    "two results": Lie(two_results, "transcript/student-010-result.json", "a second result"),
    "a member that gave up": Lie(
        abort_of("teacher-1"), "transcript/teacher-1-011-abort.json", "teacher-1 was needed"
    ),
    "a key holder that gave up": Lie(
        abort_of("key-holder"), "transcript/key-holder-006-abort.json", "key-holder was needed"
    ),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_a_run_that_did_not_end_in_order_is_found(name: str) -> None:
    """A run that somebody stopped has no result that all of them stand for."""
    check_lie(ENDINGS[name])


# --- summary -----------------------------------------------------------------------


def stated(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.summary.update(entries)

    return tell


def within(entry: str, **entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.summary[entry].update(entries)

    return tell


def teacher(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.summary["teachers"][1].update(entries)

    return tell


def unstated(name: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        del forgery.summary[name]

    return tell


def a_teacher_less(forgery: Forgery) -> None:
    del forgery.summary["teachers"][1]


SUMMARY_LIES = {
    "an entry less": Lie(unstated("seed"), SUMMARY, "seed: is missing"),
    "an entry more": Lie(stated(verified=True), SUMMARY, "verified: is no entry"),
    "another run": Lie(stated(run_id="00" * 32), SUMMARY, "run_id"),
    "another route": Lie(stated(route="encryption-only"), SUMMARY, "route"),
    "more protection": Lie(within("protection", he=False), SUMMARY, "protection"),
    "another custody": Lie(stated(custody="aggregator"), SUMMARY, "custody"),
    "another delta": Lie(stated(delta=1e-9), SUMMARY, "delta"),
    "another unit": Lie(stated(privacy_unit="person"), SUMMARY, "privacy_unit"),
    "other neighbours": Lie(stated(neighbours="replace-one"), SUMMARY, "neighbours"),
    "other sizes": Lie(stated(values_per_teacher=1), SUMMARY, "values_per_teacher"),
    "a simulation": Lie(stated(simulated=True), SUMMARY, "simulated"),
    "zero for false": Lie(stated(simulated=0), SUMMARY, "simulated"),
    "a smaller epsilon": Lie(stated(epsilon=1.0), SUMMARY, "epsilon: is 1, but the charged"),
    "a slightly smaller epsilon": Lie(stated(epsilon=3.99999), SUMMARY, "epsilon: is 3.99999"),
    "no epsilon": Lie(stated(epsilon=None), SUMMARY, "epsilon: is no number"),
    "epsilon as true": Lie(stated(epsilon=True), SUMMARY, "epsilon: is no number"),
    "a smaller epsilon for one": Lie(
        within("epsilon_by_view", auditor=0.5), SUMMARY, "epsilon_by_view.auditor"
    ),
    "a view more": Lie(within("epsilon_by_view", press=4.0), SUMMARY, "epsilon_by_view"),
    "no views": Lie(stated(epsilon_by_view=[]), SUMMARY, "epsilon_by_view"),
    "a smaller rho": Lie(within("accounting", rho=0.1), SUMMARY, "accounting.rho"),
    "another accounted delta": Lie(within("accounting", delta=0.1), SUMMARY, "accounting.delta"),
    "a smaller accounted epsilon": Lie(
        within("accounting", epsilon=1), SUMMARY, "accounting.epsilon"
    ),
    "no accounting": Lie(stated(accounting=None), SUMMARY, "accounting: is not an object"),
    "a teacher less": Lie(a_teacher_less, SUMMARY, "teachers"),
    "another teacher": Lie(teacher(id="teacher-9"), SUMMARY, "teachers"),
    "another task": Lie(teacher(task=["red"]), SUMMARY, "teachers"),
    "another choice": Lie(teacher(selected=False), SUMMARY, "teachers"),
    "one for true": Lie(teacher(selected=1), SUMMARY, "teachers"),
    "another score": Lie(teacher(score=0.0), SUMMARY, "teachers"),
    "a score where none is shown": Lie(
        teacher(score=0.5), SUMMARY, "teachers", "receipt", "no-key"
    ),
    "a kind that is no text": Lie(teacher(kind=5), SUMMARY, "teachers: one has no kind"),
    "teachers that are none": Lie(stated(teachers=[5]), SUMMARY, "teachers: one has no kind"),
    "no list of teachers": Lie(stated(teachers={}), SUMMARY, "teachers"),
}


@pytest.mark.parametrize("name", SUMMARY_LIES)
def test_a_lie_in_the_summary_is_found(name: str) -> None:
    """Most readers see nothing but the summary."""
    check_lie(SUMMARY_LIES[name])


def test_the_summary_is_an_object() -> None:
    """A list has no entry that could be wrong."""
    forgery = Forgery()
    refused(forgery.receipt({**forgery.build(), SUMMARY: b"[]"}), SUMMARY, "not a JSON object")


def test_what_nobody_can_recompute_is_not_recomputed() -> None:
    """An accuracy that a forger made up passes: the receipt says whose word it is."""
    forgery = Forgery()
    stated(accuracy={"student": 1.0}, engine="magic", payload_bytes=0)(forgery)
    verdict = verify(forgery.build())
    assert {"claim": "accuracy", "by": ["aggregator"]} in verdict.attested
    assert not {"accuracy", "sizes-and-times"} & set(verdict.recomputed)


# --- what the receipt states ---------------------------------------------------------


def predicate(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.predicate.update(entries)

    return tell


def signed_by(*names: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.signers = names

    return tell


def verified_accuracy(forgery: Forgery) -> None:
    forgery.predicate["recomputed"] = [*forgery.predicate["recomputed"], "accuracy"]


def anothers_word(forgery: Forgery) -> None:
    forgery.predicate["attested"] = [
        {**claim, "by": ["student"]} for claim in forgery.predicate["attested"]
    ]


TEACHERS = ("teacher-1", "teacher-2", "teacher-3", "teacher-4")

STATEMENTS = {
    "another agreement": Lie(predicate(agreement="00" * 32), RECEIPT, "states another agreement"),
    "another run": Lie(predicate(run_id="00" * 32), RECEIPT, "states another run_id"),
    "other messages": Lie(
        predicate(transcript_root="00" * 32), RECEIPT, "states another transcript_root"
    ),
    "an accuracy that was verified": Lie(verified_accuracy, RECEIPT, "states another recomputed"),
    "another's word": Lie(anothers_word, RECEIPT, "states another attested"),
    "nobody's word": Lie(predicate(attested=[]), RECEIPT, "states another attested"),
    "no key holder": Lie(signed_by("aggregator", *TEACHERS), RECEIPT, "key-holder did not sign"),
    "no aggregator": Lie(signed_by("key-holder", *TEACHERS), RECEIPT, "aggregator did not sign"),
    "a member less": Lie(
        signed_by("aggregator", "key-holder", *TEACHERS[1:]), RECEIPT, "teacher-1 did not sign"
    ),
    "the student as well": Lie(
        signed_by("aggregator", "key-holder", "student", *TEACHERS),
        RECEIPT,
        "student signed it without having to",
    ),
    "the student alone": Lie(signed_by("student"), RECEIPT, "aggregator did not sign it"),
    "nobody": Lie(signed_by(), RECEIPT, "nobody signed it"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_receipt_states_what_the_folder_gives(name: str) -> None:
    """The receipt is what people keep when the folder is gone."""
    check_lie(STATEMENTS[name])


def test_a_stranger_cannot_sign_the_receipt() -> None:
    """A signature of nobody whom the agreement names says nothing."""
    forgery = Forgery()
    files = forgery.build()
    forgery.identities["aggregator"] = type(forgery.identities["aggregator"]).generate()
    refused(forgery.receipt(files), RECEIPT, "of no party")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "transcript/../agreement.toml",
        "a\x00b",
        "x" * 5000,
        "\x1b[2J",
    ],
)
def test_names_that_lead_out_of_the_folder_are_only_names(name: str) -> None:
    """A receipt is data: it must not make the reader open a file outside the folder."""
    forgery = Forgery()
    files = {**forgery.build(), name: b"x"}
    receipt = forgery.receipt(files)[RECEIPT]
    del files[name]
    with pytest.raises(VerificationError, match="is missing, but the receipt names it") as caught:
        verify({**files, RECEIPT: receipt})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
