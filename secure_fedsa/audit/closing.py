"""The end of a run: all files of its folder, and the receipt that its parties sign.

The aggregator proposes the files. Every signer (aggregator, key holder, each member) checks
them as a stranger would, then against what it remembers itself: its messages byte for byte,
its ledger, its release log, and that its secrets are gone. A signer that finds anything else
refuses, and there is no receipt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.facts import Facts
from secure_fedsa.audit.verify import check_files
from secure_fedsa.engines import run_folder
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun, OwnRecord
from secure_fedsa.errors import DataError, StorageError, VerificationError
from secure_fedsa.messages import KEY_HOLDER, TEACHER, LedgerSegment, Roster
from secure_fedsa.report import claims, receipt
from secure_fedsa.report.html import report_html
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.receipt import Endorsement
from secure_fedsa.report.summary import RunFacts, summary_json
from secure_fedsa.wire import canonical


def run_files(
    run: LocalRun,
    outcome: Outcome,
    facts: RunFacts,
    student: Mapping[str, bytes],
    *,
    agreement_file: bytes = b"",
    signing: Callable[[tuple[str, ...]], None] = lambda _signers: None,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the run folder's files in the order in which they are written, and the summary.

    Args:
        run: The run that ended.
        outcome: Its messages.
        facts: What is known about it; sizes are filled in here.
        student: The student's files by name, without the model card.
        agreement_file: The file that was signed, with the comments that its signers read; made
            from the agreement if there is none.
        signing: Told who is about to check and sign.

    Raises:
        VerificationError: If a signer refuses; the file that it refuses is named.
    """
    log = run.sites[run.agreement.only(KEY_HOLDER)].release_log
    assert log is not None
    opened = [entry for entry in log.entries() if entry["body"]["run_id"] == outcome.run_id]
    files, summary = proposal(outcome.envelopes, opened, facts, student, agreement_file)
    signers = claims.signers(run.agreement, facts.roster.members)
    signing(signers)
    endorsements = [endorse(files, run.own_record(name)) for name in signers]
    payload = payload_for(files)
    return {**files, receipt.FILE_NAME: receipt.assemble(payload, endorsements)}, summary


def proposal(
    envelopes: tuple[bytes, ...],
    released: list[dict[str, Any]],
    facts: RunFacts,
    student: Mapping[str, bytes],
    agreement_file: bytes = b"",
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return every file but the receipt, in order, and the summary.

    Args:
        envelopes: Every message of the run.
        released: The run's entries in the key holder's release log.
        facts: What is known about the run; sizes are filled in here.
        student: The student's files by name, without the model card.
        agreement_file: As for :func:`run_files`.
    """
    agreement = facts.agreement
    record = run_folder.transcript(envelopes, agreement)
    segments = {
        sender: body
        for sender, body in run_folder.public_bodies(envelopes)
        if isinstance(body, LedgerSegment)
    }
    facts = replace(
        facts,
        payload_bytes=record.payload_bytes,
        bytes_by_kind=record.bytes_by_kind,
        charged=tuple(sorted(segments)),
    )
    summary = summary_json(facts)
    files = {run_folder.AGREEMENT_FILE: agreement_file or run_folder.agreement_toml(agreement)}
    files |= {f"transcript/{name}": data for name, data in record.files.items()}
    for sender, segment in segments.items():
        countersigned = {
            "countersigned_head": facts.roster.ledger_heads.get(sender),
            "by": agreement.only(KEY_HOLDER),
        }
        lines = [*segment.entries, countersigned]
        files[f"ledger-{sender}.jsonl"] = run_folder.json_lines(lines)
    files[run_folder.RELEASE_LOG_FILE] = run_folder.json_lines(released)
    files |= {f"student/{name}": data for name, data in student.items()}
    files[run_folder.MODEL_CARD_FILE] = model_card(facts, summary).encode()
    files[run_folder.SUMMARY_FILE] = canonical.encode(summary)
    files[run_folder.REPORT_FILE] = report_html(facts, summary).encode()
    return files, summary


def final_roster(envelopes: tuple[bytes, ...]) -> Roster:
    """Return the roster whose sum was opened: the last one that was signed."""
    bodies = run_folder.public_bodies(envelopes)
    return next(body for _, body in reversed(bodies) if isinstance(body, Roster))


def payload_for(files: Mapping[str, bytes]) -> bytes:
    """Return the payload that is true of files, after checking them as a stranger would.

    Raises:
        VerificationError: Naming the first file that does not hold, and why.
    """
    return _payload(files, check_files(files))


def _payload(files: Mapping[str, bytes], facts: Facts) -> bytes:
    statement = receipt.statement_of(
        facts.agreement,
        agreement_hash=facts.agreement_hash,
        run_id=facts.run_id,
        envelope_hashes=facts.envelope_hashes,
        members=facts.members,
        charged=facts.charged,
        files=files,
    )
    return receipt.payload_of(statement)


def endorse(files: Mapping[str, bytes], own: OwnRecord) -> Endorsement:
    """Return one party's signature under the receipt of files that it checked.

    Raises:
        VerificationError: If the files do not hold, or not what the party remembers.
        StorageError: If its own record is damaged.
    """
    try:
        facts = check_files(files)
        check_own(files, facts, own)
        payload = _payload(files, facts)
    except VerificationError as error:
        raise VerificationError(
            error.file,
            f"{own.party} does not sign: {error.what.removeprefix(f'{error.file}: ')}",
            why=error.why,
            do="Nothing was written. Find out who changed the file, and do not trust this run.",
        ) from error
    return receipt.sign(payload, own.identity)


def check_own(files: Mapping[str, bytes], facts: Facts, own: OwnRecord) -> None:
    """Check files against what one party itself remembers of the run.

    Args:
        files: Every file of the run folder but the receipt, by path.
        facts: What they were found to say.
        own: What the party remembers.

    Raises:
        VerificationError: Naming the file that is not as the party remembers it.
    """
    if own.run_id != facts.run_id:
        raise VerificationError(run_folder.SUMMARY_FILE, "it is of another run than its own last.")
    if not own.erased:
        raise VerificationError(
            receipt.FILE_NAME, "it would attest an erasure, and its own secrets are not erased."
        )
    if own.kept:
        items = ", ".join(entry.item for entry in own.kept)
        raise StorageError(
            f"{own.party} does not sign: it would attest that it removed what the agreement's "
            f"[retention] limits, and it could not: {items}.",
            why=own.kept[0].why,
            do="Nothing was written. Put that right, then run the same command again: it writes "
            "the folder without a new charge.",
        )
    _check_own_messages(files, facts.agreement, own)
    role = facts.agreement.parties[own.party].role
    if role == TEACHER:
        _check_own_ledger(files, own)
    elif role == KEY_HOLDER:
        _same(files, run_folder.RELEASE_LOG_FILE, run_folder.json_lines(own.released))


def _check_own_messages(files: Mapping[str, bytes], agreement: Agreement, own: OwnRecord) -> None:
    try:
        record = run_folder.transcript(own.envelopes, agreement)
    except DataError as error:
        raise StorageError(
            f"Messages in the journal of {own.party} are damaged, so it does not sign.",
            why=error.what,
            do="Nothing was written. Restore the state folder from a copy.",
        ) from error
    sent = {f"transcript/{name}": data for name, data in record.files.items()}
    named_mine = re.compile(rf"transcript/{re.escape(own.party)}-[0-9]+-[a-z-]+\.json")
    for name in sorted(name for name in files if named_mine.fullmatch(name)):
        if name not in sent:
            raise VerificationError(name, "it is a message that it never sent.")
    for name, data in sent.items():
        _same(files, name, data)


def _check_own_ledger(files: Mapping[str, bytes], own: OwnRecord) -> None:
    name = f"ledger-{own.party}.jsonl"
    lines = files.get(name, b"").splitlines()
    try:
        published = [canonical.decode(line) for line in lines[:-1]]  # the last is countersigned
    except DataError as error:
        raise VerificationError(name, "it is not canonical JSON lines.") from error
    if not published or published != list(own.ledger[: len(published)]):
        raise VerificationError(name, "it is not what its own ledger holds of this run.")


def _same(files: Mapping[str, bytes], name: str, mine: bytes) -> None:
    if name not in files:
        raise VerificationError(name, "it is missing, and its own record has it.")
    if files[name] != mine:
        raise VerificationError(name, "it is not what its own record has.")
