"""Ledgers, rosters and what the members gave: who took part, and who paid for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secure_fedsa.privacy.ledger_entries import make_entry
from tests.audit.checking import Lie, check_lie, refused
from tests.audit.forging import Forgery, Value, verify

LEDGER = "transcript/teacher-2-003-ledger.json"
ROSTER = "transcript/key-holder-004-roster.json"
SECOND_ROSTER = "transcript/key-holder-006-roster.json"
TRANSCRIPT = "transcript/"
MEMBERS = ["teacher-1", "teacher-2", "teacher-3", "teacher-4"]

Tell = Callable[[Forgery], None]


def two(kind: str, sender: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.double(forgery.message(kind, sender))

    return tell


def without(kind: str, sender: str, recipient: str = "") -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.remove(forgery.message(kind, sender, recipient))

    return tell


# --- ledgers -----------------------------------------------------------------------


def reserve(change: Callable[[Value], None]) -> Tell:
    """Return a change of teacher-2's charge, its chain of hashes mended."""

    def tell(forgery: Forgery) -> None:
        change(forgery.body("ledger", "teacher-2")["entries"][0])

    return tell


def in_charge(**entries: Any) -> Tell:
    return reserve(lambda entry: entry["body"].update(entries))


def in_event(**entries: Any) -> Tell:
    return reserve(lambda entry: entry["body"]["events"][0].update(entries))


def cheap(forgery: Forgery) -> None:
    """Charge a hundredth of the agreed noise's cost, consistently."""
    body = forgery.body("ledger", "teacher-2")["entries"][0]["body"]
    body["events"][0]["noise_scale"] *= 10
    body["rho"] = body["agreement_rho"] = 0.0037314398202300577


def uncommitted(forgery: Forgery) -> None:
    del forgery.body("ledger", "teacher-2")["entries"][1]


def uncharged(forgery: Forgery) -> None:
    del forgery.body("ledger", "teacher-2")["entries"][0]


def empty(forgery: Forgery) -> None:
    forgery.body("ledger", "teacher-2")["entries"] = []


def charged_twice(forgery: Forgery) -> None:
    entries = forgery.body("ledger", "teacher-2")["entries"]
    again = make_entry(
        entries[0]["data_set"],
        "reserve",
        entries[0]["run_id"],
        entries[0]["body"],
        position=entries[-1]["position"] + 1,
        previous=entries[-1]["hash"],
    )
    entries.append(again)


def anothers_data(forgery: Forgery) -> None:
    data_set = forgery.body("ledger", "teacher-1")["entries"][0]["data_set"]
    for entry in forgery.body("ledger", "teacher-2")["entries"]:
        entry["data_set"] = data_set


def entries_of(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.body("ledger", "teacher-2")["entries"][1].update(entries)

    return tell


def damaged(forgery: Forgery) -> None:
    forgery.body("ledger", "teacher-2")["entries"][0]["body"]["budget"] = 21


def wrong_head(forgery: Forgery) -> None:
    body = forgery.body("ledger", "teacher-2")
    body["head"] = body["entries"][0]["hash"]


LEDGER_LIES = {
    "two segments": Lie(
        two("ledger", "teacher-2"), "transcript/teacher-2-011-ledger.json", "a second ledger"
    ),
    "less noise paid": Lie(cheap, LEDGER, "without the agreed charge", "ledgers"),
    "a charge below its events": Lie(in_charge(rho=0.1), LEDGER, "not what its events", "ledgers"),
    "another delta": Lie(in_charge(delta=1e-4), LEDGER, "without the agreed charge", "ledgers"),
    "another budget": Lie(in_charge(budget=1000), LEDGER, "without the agreed charge", "ledgers"),
    "no noise": Lie(in_event(noise_scale=0), LEDGER, "noise_scale", "ledgers"),
    "an unknown event": Lie(in_event(kind="none"), LEDGER, "Unknown kind", "ledgers"),
    "no events": Lie(in_charge(events=[]), LEDGER, "list of 1 to", "ledgers"),
    "a charge of another agreement": Lie(
        in_charge(agreement="00" * 32), LEDGER, "does not match its hash"
    ),
    "no commitment": Lie(uncommitted, LEDGER, "without the agreed charge", "ledgers"),
    "no charge": Lie(uncharged, LEDGER, "not allowed here", "ledgers"),
    "no entries": Lie(empty, LEDGER, "holds no charge"),
    "two charges": Lie(charged_twice, LEDGER, "not allowed here", "ledgers"),
    "another's data set": Lie(anothers_data, LEDGER, "names teacher-1's data set", "ledgers"),
    "two data sets": Lie(entries_of(data_set="x"), LEDGER, "another run or data set", "ledgers"),
    "a gap": Lie(entries_of(position=0), LEDGER, "does not follow", "ledgers"),
    "a place before all": Lie(
        reserve(lambda entry: entry.update(position=-1)), LEDGER, "not of its form", "ledgers"
    ),
    "a damaged entry": Lie(damaged, LEDGER, "does not match its hash"),
    "a field more": Lie(entries_of(note="x"), LEDGER, "fields of an entry", "ledgers"),
    "another head": Lie(wrong_head, LEDGER, "without the agreed charge"),
}


@pytest.mark.parametrize("name", LEDGER_LIES)
def test_a_lie_about_a_charge_is_found(name: str) -> None:
    """A charge that is not what was agreed hides privacy that was spent."""
    check_lie(LEDGER_LIES[name])


FILE = "ledger-teacher-2.jsonl"


def lines(change: Callable[[list[bytes]], list[bytes]]) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.files[FILE] = b"\n".join(change(forgery.files[FILE].split(b"\n")))

    return tell


def no_file(forgery: Forgery) -> None:
    del forgery.files[FILE]


LEDGER_FILES = {
    "no file": Lie(no_file, FILE, "is missing"),
    "another head": Lie(lines(lambda got: [*got[:-2], got[-2].replace(b"a", b"b"), b""]), FILE, ""),
    "no head": Lie(lines(lambda got: [*got[:-2], b""]), FILE, "is not the segment"),
    "an entry less": Lie(lines(lambda got: got[1:]), FILE, "is not the segment"),
    "no last line feed": Lie(lines(lambda got: got[:-1]), FILE, "is not the segment"),
    "nobody's file": Lie(
        lambda f: f.files.update({"ledger-nobody.jsonl": b""}),
        "ledger-nobody.jsonl",
        "of nobody who sent",
    ),
}


@pytest.mark.parametrize("name", LEDGER_FILES)
def test_a_ledger_file_is_what_was_signed(name: str) -> None:
    """The file is what a privacy officer opens; it must not differ from the message."""
    check_lie(LEDGER_FILES[name])


def test_a_ledger_segment_of_another_run_is_refused() -> None:
    """One charge must not pay for two runs."""
    earlier, forgery = Forgery(), Forgery("default", 1)
    assert earlier.agreement == forgery.agreement
    theirs = earlier.message("ledger", "teacher-2")
    forgery.body("ledger", "teacher-2").update(theirs["body"])
    files = forgery.build("rosters")
    refused(files, LEDGER, "without the agreed charge of this run")
    whole = {**forgery.original.files, LEDGER: earlier.original.files[LEDGER]}
    refused(forgery.receipt(whole), LEDGER, "belongs to another run")
    name = "ledger-teacher-2.jsonl"
    whole = {**forgery.original.files, name: earlier.original.files[name]}
    refused(forgery.receipt(whole), name, "is not the segment")


# --- rosters -----------------------------------------------------------------------


def roster(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.roster.update(entries)

    return tell


def scored(**scores: float) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.roster["scores"] = {name.replace("_", "-"): s for name, s in scores.items()}

    return tell


def silent_teacher(forgery: Forgery) -> None:
    """Leave out teacher-4's segment but keep its countersigned head."""
    forgery.remove(forgery.message("ledger", "teacher-4"))


def another_head(forgery: Forgery) -> None:
    forgery.roster["ledger_heads"]["teacher-4"] = "00" * 32


def uncountersigned(forgery: Forgery) -> None:
    del forgery.roster["ledger_heads"]["teacher-4"]


def next_roster(*members: str, number: int = 2) -> Tell:
    """Return a second roster, with everything that its members then do."""

    def tell(forgery: Forgery) -> None:
        body = {**forgery.roster, "members": list(members), "number": number}
        first = forgery.roster_hash()
        forgery.add("roster", "key-holder", body)
        signed = [m["header"]["sender"] for m in forgery.all("roster-signature")]
        for name in signed:
            message = forgery.add("roster-signature", name, {"roster_hash": first})
            message["body"]["roster_hash"] = forgery.roster_hash()

    return tell


def below_threshold(forgery: Forgery) -> None:
    """Show a score below the threshold for a member."""
    forgery.roster["scores"]["teacher-1"] = -1000.0


def rescored(forgery: Forgery) -> None:
    """Choose anew after a drop-out."""
    next_roster(*MEMBERS[:3])(forgery)
    forgery.roster["scores"] = {**forgery.roster["scores"], "teacher-4": -1.0}


ORDER = {"teacher_1": 1, "teacher_2": 2, "teacher_3": 3, "teacher_4": 4}

ROSTER_LIES = {
    "no roster": Lie(without("roster", "key-holder"), TRANSCRIPT, "holds no roster"),
    "unsorted members": Lie(roster(members=MEMBERS[::-1]), ROSTER, "unsorted", "signatures"),
    "a member twice": Lie(roster(members=[*MEMBERS, "teacher-4"]), ROSTER, "repeated"),
    "a stranger": Lie(roster(members=[*MEMBERS, "teacher-9"]), ROSTER, "unknown", "receipt"),
    "too few": Lie(roster(members=MEMBERS[:2]), ROSTER, "roster of 2 members"),
    "other keys": Lie(roster(keys_hash="00" * 32), ROSTER, "over other keys", "signatures"),
    "another query": Lie(roster(query_hash="00" * 32), ROSTER, "another query", "signatures"),
    "a head nobody sent": Lie(another_head, ROSTER, "that teacher-4 did not send", "signatures"),
    "a head of a silent teacher": Lie(silent_teacher, ROSTER, "teacher-4 did not send"),
    "a member without a head": Lie(uncountersigned, ROSTER, "scores|countersign", "signatures"),
    "scores where ranks were agreed": Lie(
        scored(teacher_1=0.5), ROSTER, "scores in another way", "signatures", "no-key"
    ),
    "scores where none were agreed": Lie(
        scored(teacher_1=0.5),
        "transcript/key-holder-003-roster.json",
        "scores in another way",
        "signatures",
        "nothing",
    ),
    "a rank twice": Lie(
        scored(**{**ORDER, "teacher_2": 1}), ROSTER, "another way", "signatures", "no-key"
    ),
    "a rank left out": Lie(
        scored(**{**ORDER, "teacher_4": 5}), ROSTER, "another way", "signatures", "no-key"
    ),
    "a stranger's score": Lie(scored(teacher_9=0.5), ROSTER, "scores in another way", "signatures"),
    "a choice against the scores": Lie(
        below_threshold, ROSTER, "selected teacher-1.*selection.threshold", "signatures"
    ),
    "a choice without scores": Lie(scored(), ROSTER, "selected teacher-1", "signatures"),
    "other scores in the second roster": Lie(
        rescored, SECOND_ROSTER, "changed the scores between", "uploads"
    ),
    "a choice against the ranks": Lie(
        scored(teacher_1=1, teacher_2=2), ROSTER, "selected teacher-3", "signatures", "no-key"
    ),
    "the second roster first": Lie(
        roster(number=2), ROSTER, "signed roster 2, not 1", "signatures"
    ),
    "the same roster again": Lie(
        next_roster(*MEMBERS), SECOND_ROSTER, "without some members", "uploads"
    ),
    "a larger roster": Lie(next_roster(*MEMBERS, "teacher-5"), SECOND_ROSTER, "unknown", "receipt"),
    "a roster number left out": Lie(
        next_roster(*MEMBERS[:3], number=3), SECOND_ROSTER, "signed roster 3, not 2", "uploads"
    ),
}


@pytest.mark.parametrize("name", ROSTER_LIES)
def test_a_lie_about_the_roster_is_found(name: str) -> None:
    """The roster decides whose signals are added; too few of them would show one."""
    check_lie(ROSTER_LIES[name])


def smaller(variant: str = "default") -> Forgery:
    """Return a run in which teacher-4 fell silent, and a second roster went on without it."""
    forgery = Forgery(variant)
    for kind in ("upload", "roster-signature"):
        for message in forgery.all(kind, "teacher-4"):
            forgery.remove(message)
    next_roster(*MEMBERS[:3])(forgery)
    return forgery


def test_a_run_may_go_on_without_a_silent_teacher() -> None:
    """Each lie about a second roster must be more than that there is one."""
    verdict = verify(smaller("nothing").build("uploads"))
    assert verdict.facts.members == tuple(MEMBERS[:3])
    assert verdict.facts.charged == tuple(MEMBERS)
    assert "teacher-4" not in [signer.party for signer in verdict.signers]


# --- contributions -----------------------------------------------------------------


def unsigned_roster(forgery: Forgery) -> None:
    forgery.body("roster-signature", "teacher-3")["roster_hash"] = "00" * 32


def upload(**entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.body("upload", "teacher-1").update(entries)

    return tell


def redirected(forgery: Forgery) -> None:
    """Two mask values for one member leave another without."""
    forgery.message("mask-share", "teacher-1", "teacher-2")["header"]["recipient"] = "teacher-3"


def anothers_charge(forgery: Forgery) -> None:
    forgery.body("upload", "teacher-1")["signal_id"] = forgery.signal_ids["teacher-2"]


UPLOAD = "transcript/teacher-1-010-upload.json"

GIFTS = {
    "an unsigned roster": Lie(unsigned_roster, TRANSCRIPT, "no signature of teacher-3"),
    "no signature": Lie(
        without("roster-signature", "teacher-3"), TRANSCRIPT, "no signature of teacher-3"
    ),
    "no reply": Lie(without("reply", "teacher-3"), TRANSCRIPT, "no reply of teacher-3"),
    "two replies": Lie(
        two("reply", "teacher-3"), "transcript/teacher-3-011-reply.json", "a second reply"
    ),
    "no blind": Lie(without("blind", "teacher-3"), TRANSCRIPT, "no blind of teacher-3"),
    "two blinds": Lie(
        two("blind", "teacher-3"), "transcript/teacher-3-011-blind.json", "a second blind"
    ),
    "no blinded scores": Lie(
        without("blinded-scores", "aggregator"), TRANSCRIPT, "no blinded-scores of aggregator"
    ),
    "two blinded scores": Lie(
        two("blinded-scores", "aggregator"),
        "transcript/aggregator-005-blinded-scores.json",
        "a second blinded-scores",
    ),
    "no mask value": Lie(
        without("mask-share", "teacher-1", "teacher-2"),
        TRANSCRIPT,
        "no mask-share of teacher-1 for teacher-2",
    ),
    "a mask value for another": Lie(redirected, TRANSCRIPT, "of teacher-1 for teacher-2"),
    "no upload": Lie(without("upload", "teacher-1"), TRANSCRIPT, "no upload of teacher-1"),
    "no withheld upload": Lie(
        without("upload", "teacher-1"), TRANSCRIPT, "no upload of teacher-1", "receipt", "nothing"
    ),
    "two uploads": Lie(
        two("upload", "teacher-1"), "transcript/teacher-1-011-upload.json", "a second upload"
    ),
    "two withheld uploads": Lie(
        two("upload", "teacher-1"),
        "transcript/teacher-1-011-upload.json",
        "a second upload",
        "receipt",
        "nothing",
    ),
    "an upload for another roster": Lie(
        upload(roster_hash="00" * 32), UPLOAD, "for another roster", "sum"
    ),
    "an upload under another key": Lie(upload(key_id="00" * 32), UPLOAD, "another key", "sum"),
    "an upload of another length": Lie(upload(values=15), UPLOAD, "has 15 values, not 16", "sum"),
    "an upload that nobody paid for": Lie(
        upload(signal_id="00" * 32), UPLOAD, "was not charged for", "sum"
    ),
    "an upload that another paid for": Lie(anothers_charge, UPLOAD, "was not charged for", "sum"),
}


@pytest.mark.parametrize("name", GIFTS)
def test_a_lie_about_a_contribution_is_found(name: str) -> None:
    """A member that did not sign, mask or pay did not agree to be added."""
    check_lie(GIFTS[name])


def test_an_upload_of_a_teacher_that_was_left_out_is_for_its_own_roster() -> None:
    """A silent teacher's late upload must not look as if it were in the sum."""
    forgery = smaller("plain")
    first = forgery.roster_hash(forgery.all("roster")[0]["body"])
    late = dict(forgery.body("upload", "teacher-1"), roster_hash=first)
    message = forgery.add("upload", "teacher-4", late)
    forgery.add_up()
    assert verify(forgery.build("uploads")).facts.members == tuple(MEMBERS[:3])
    late["roster_hash"] = forgery.roster_hash()
    refused(forgery.build("uploads"), forgery.name(message), "no earlier roster")


def test_a_teacher_on_no_roster_gives_no_mask_and_no_upload() -> None:
    """Who was never chosen has nothing to give; such a message hides something else."""
    forgery = Forgery("nothing")
    forgery.roster["members"] = MEMBERS[:3]
    forgery.remove(forgery.message("roster-signature", "teacher-4"))
    shares = [*forgery.all("mask-share", "teacher-4"), *forgery.all("mask-share", "", "teacher-4")]
    for message in shares:
        forgery.remove(message)
    upload = forgery.message("upload", "teacher-4")
    refused(forgery.build("signatures"), forgery.name(upload), "who was on no roster")
    forgery.remove(upload)
    assert verify(forgery.build("signatures")).facts.members == tuple(MEMBERS[:3])
    message = forgery.add("mask-share", "teacher-4", None, "teacher-1")
    refused(forgery.build("signatures"), forgery.name(message), "no roster has both")
