"""No signature without one's own look: what a signer's own records say against a folder."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.audit import closing
from secure_fedsa.audit.verify import check_files, verify_folder
from secure_fedsa.engines import run_folder
from secure_fedsa.engines.local import OwnRecord
from secure_fedsa.errors import StorageError, VerificationError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, Abort, Upload
from secure_fedsa.report import claims, receipt
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import directory
from secure_fedsa.wire.envelope import pack, parse
from tests.audit import folders
from tests.audit.folders import VARIANTS, Folder, honest
from tests.support import make_world

TEACHER = "teacher-1"


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_an_honest_run_gets_a_receipt_that_verifies(variant: str, tmp_path: Path) -> None:
    """A run whose own parties' receipt does not verify has cost its charge for nothing."""
    made = honest(variant)
    opened = receipt.open_receipt(made.files[receipt.FILE_NAME], made.keys)
    members = made.facts.roster.members
    assert opened.signers == claims.signers(made.agreement, members)
    assert opened.statement.subjects == {
        name: canonical.sha256(data) for name, data in made.proposal.items()
    }
    assert next(iter(made.files)) == "agreement.toml"
    assert list(made.files)[-3:] == ["summary.json", "report.html", "receipt.dsse.json"]
    assert verify_folder(made.write(tmp_path / "run"), made.keys).identities_checked
    assert made.summary["class_names"] == list(made.facts.class_names)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["default", "no-ciphertexts", "plain-sealed"])
def test_the_folder_shows_exactly_what_the_agreement_publishes(variant: str) -> None:
    """A withheld upload that stands in the folder after all is published for ever."""
    made = honest(variant)
    shown = {}
    for data in made.outcome.envelopes:
        header = parse(data).header
        name = f"transcript/{header.sender}-{header.sequence:03d}-{header.kind}.json"
        withheld = run_folder.is_withheld(header.kind, made.agreement)
        assert (made.files[name] == data) != withheld
        shown[header.kind] = "body" in canonical.decode(made.files[name])
        assert canonical.decode(made.files[name])["header"] == header.to_json()
    assert shown["upload"] == shown["sum"] == made.agreement.publish.ciphertexts
    assert shown["release"]
    assert not any(shown[kind] for kind in ("query", "reply", "blind", "mask-share"))


@pytest.mark.slow
def test_the_root_does_not_depend_on_what_is_published() -> None:
    """Somebody who was shown a message's header could not tell that it was of the run."""
    made = honest("no-ciphertexts")
    stated = receipt.open_receipt(made.files[receipt.FILE_NAME], made.keys).statement
    whole = [parse(data).hash for data in made.outcome.envelopes]
    assert stated.predicate["transcript_root"] == receipt.transcript_root(whole)


# --- a signer that remembers something else --------------------------------------


def refusal(made: Folder, own: OwnRecord) -> tuple[str, str]:
    """Return file and words of a signer's refusal."""
    with pytest.raises(VerificationError) as caught:
        closing.endorse(made.proposal, own)
    words = str(caught.value)
    assert f"{own.party} does not sign: " in words
    return caught.value.file, words


def another_message(made: Folder, party: str) -> bytes:
    """Return one more message that a party sent at the end of the run."""
    return pack(
        Abort("end", "for a test", ()),
        identity=made.identities[party],
        directory=directory(made.agreement),
        run_id=made.facts.run_id,
        sender=party,
        recipient="*",
        sequence=len(made.records[party].envelopes),
    ).to_bytes()


def charged_elsewhere(made: Folder) -> tuple[dict[str, Any], ...]:
    """Return a ledger's entries with another charge than the published one."""
    first, *rest = made.records[TEACHER].ledger
    return ({**first, "body": {**first["body"], "rho": first["body"]["rho"] / 2}}, *rest)


Change = Callable[[Folder, OwnRecord], OwnRecord]
MEMORIES: dict[str, tuple[str, Change, str, str]] = {
    "a dropped message": (
        TEACHER,
        lambda made, own: replace(own, envelopes=(*own.envelopes, another_message(made, TEACHER))),
        "-abort.json",
        "is missing, and its own record has it",
    ),
    "a message that was never sent": (
        AGGREGATOR,
        lambda _made, own: replace(own, envelopes=own.envelopes[:-1]),
        "transcript/aggregator-",
        "a message that it never sent",
    ),
    "a message that says something else": (
        KEY_HOLDER,
        lambda _made, own: replace(
            own,
            envelopes=(
                *own.envelopes[:-1],
                folders.honest("default", 1).records[KEY_HOLDER].envelopes[-1],
            ),
        ),
        "transcript/key-holder-",
        "is not what its own record has",
    ),
    "an altered ledger": (
        TEACHER,
        lambda made, own: replace(own, ledger=charged_elsewhere(made)),
        "ledger-teacher-1.jsonl",
        "not what its own ledger holds",
    ),
    "a ledger without the charge": (
        TEACHER,
        lambda _made, own: replace(own, ledger=()),
        "ledger-teacher-1.jsonl",
        "not what its own ledger holds",
    ),
    "a foreign release log": (
        KEY_HOLDER,
        lambda _made, own: replace(
            own, released=folders.honest("default", 1).records[KEY_HOLDER].released
        ),
        "release-log.jsonl",
        "is not what its own record has",
    ),
    "secrets that are still there": (
        AGGREGATOR,
        lambda _made, own: replace(own, erased=False),
        "receipt.dsse.json",
        "its own secrets are not erased",
    ),
    "another run": (
        AGGREGATOR,
        lambda _made, own: replace(own, run_id="00" * 32),
        "summary.json",
        "of another run",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORIES)
def test_a_signer_whose_records_differ_does_not_sign(name: str) -> None:
    """Whoever proposes the folder could otherwise have others sign for what they did not do."""
    party, change, file, reason = MEMORIES[name]
    made = honest()
    assert closing.endorse(made.proposal, made.records[party]).keyid == made.keys[party]
    where, words = refusal(made, change(made, made.records[party]))
    assert file in where
    assert reason in words


@pytest.mark.slow
def test_a_signer_checks_the_whole_folder_and_not_only_its_own_part() -> None:
    """The receipt stands for everything; a lie about another teacher is a lie as well."""
    made = honest()
    files = made.proposal
    *start, last = files["student/head.safetensors"]
    files["student/head.safetensors"] = bytes([*start, last ^ 1])
    with pytest.raises(VerificationError, match="key-holder does not sign") as caught:
        closing.endorse(files, made.records[KEY_HOLDER])
    assert caught.value.file.startswith(("student/", "transcript/student-"))


@pytest.mark.slow
def test_a_withheld_upload_must_still_be_ones_own() -> None:
    """Where nobody sees the ciphertexts, only the member can tell that its own went in."""
    made = honest("no-ciphertexts")
    own = made.records[TEACHER]
    at = next(n for n, data in enumerate(own.envelopes) if b'"kind":"upload"' in data)
    header = parse(own.envelopes[at]).header
    body = Upload("00" * 32, "11" * 32, "22" * 32, 16, b"another ciphertext")
    mine = pack(
        body,
        identity=own.identity,
        directory=directory(made.agreement),
        run_id=header.run_id,
        sender=TEACHER,
        recipient=header.recipient,
        sequence=header.sequence,
    ).to_bytes()
    envelopes = (*own.envelopes[:at], mine, *own.envelopes[at + 1 :])
    check_files(made.proposal)
    where, words = refusal(made, replace(own, envelopes=envelopes))
    assert where.endswith("-upload.json")
    assert "is not what its own record has" in words


# --- on real disks ---------------------------------------------------------------


@pytest.mark.slow
def test_no_folder_is_made_when_one_signers_disk_says_otherwise(tmp_path: Path) -> None:
    """The last look before the world sees it: journals and ledgers, not what is in memory."""
    world = make_world(tmp_path)
    run, outcome, student = folders.run_to_the_end(world)
    facts = folders.facts_of(run, outcome)
    journal = tmp_path / AGGREGATOR / "run" / "journal.sqlite"
    whole = journal.read_bytes()
    with sqlite3.connect(journal) as connection:
        connection.execute("UPDATE outbox SET envelope = x'7b7d' WHERE sequence = 0")
    connection.close()
    with pytest.raises(StorageError, match="Messages in the journal of aggregator are damaged"):
        closing.run_files(run, outcome, facts, student)
    with sqlite3.connect(journal) as connection:
        connection.execute("DELETE FROM outbox WHERE sequence = 0")
    connection.close()
    with pytest.raises(VerificationError, match="aggregator does not sign") as caught:
        closing.run_files(run, outcome, facts, student)
    assert caught.value.file == "transcript/aggregator-000-nonce.json"
    journal.write_bytes(whole)

    key = tmp_path / TEACHER / "run" / "wrapping.key"
    key.write_bytes(bytes(32))
    with pytest.raises(VerificationError, match=r"teacher-1 does not sign.*secrets"):
        closing.run_files(run, outcome, facts, student)
    key.unlink()

    asked: list[tuple[str, ...]] = []
    files, _ = closing.run_files(run, outcome, facts, student, signing=asked.append)
    assert asked == [claims.signers(run.agreement, facts.roster.members)]
    again, _ = closing.run_files(run, outcome, facts, student)
    assert files == again
    shutil.rmtree(tmp_path / TEACHER / "run")
    with pytest.raises(VerificationError, match="teacher-1 does not sign"):
        closing.run_files(run, outcome, facts, student)
