"""Verification of a run folder: a chain of checks that only moves forward and raises.

Each step takes what the steps before it have found and returns something new, so that none
can be skipped; nothing returns a verdict but the end. The order is the protocol's, and the
first failure names its file. Whoever made the folder may have made every byte of it, keys
included: without keys that the reader knows from elsewhere, a folder can only be consistent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secure_fedsa.audit.agreed import Agreed, check_agreement
from secure_fedsa.audit.contributions import check_contributions
from secure_fedsa.audit.departures import check_departures
from secure_fedsa.audit.evidence import Evidence, InMemory
from secure_fedsa.audit.facts import Facts
from secure_fedsa.audit.folder import Folder
from secure_fedsa.audit.layout import check_layout
from secure_fedsa.audit.ledgers import account, check_ledger_files, check_segments
from secure_fedsa.audit.opening import check_opening
from secure_fedsa.audit.receipts import check_receipt, check_statement
from secure_fedsa.audit.records import check_release_log, check_student
from secure_fedsa.audit.rosters import check_rosters
from secure_fedsa.audit.summary import check_summary
from secure_fedsa.audit.sums import check_arithmetic, check_release, check_sum
from secure_fedsa.audit.transcript import check_transcript
from secure_fedsa.audit.trust import check_trust
from secure_fedsa.messages import Release
from secure_fedsa.report.claims import attested, recomputed

__all__ = [
    "CHECKED",
    "UNCHECKED",
    "Facts",
    "Signer",
    "Verdict",
    "check_files",
    "verify_evidence",
    "verify_folder",
]

UNCHECKED = "consistent, identities not checked"
CHECKED = "consistent, identities checked against"


@dataclass(frozen=True, slots=True)
class Signer:
    """A party that signed, the receipt or at least its messages.

    Attributes:
        party: Its name in the agreement.
        role: Its role.
        key: Its Ed25519 public key, hexadecimal.
    """

    party: str
    role: str
    key: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A run folder that passed every check.

    Attributes:
        facts: What was found.
        identities_checked: Whether every key was compared with one that the reader knows.
        signers: Who signed the receipt.
    """

    facts: Facts
    identities_checked: bool
    signers: tuple[Signer, ...]

    def words(self, trusted: str = "") -> str:
        """Return the verdict; ``trusted`` names where the reader's keys came from."""
        return f"{CHECKED} {trusted}".rstrip() if self.identities_checked else UNCHECKED

    @property
    def bound_by_messages(self) -> tuple[Signer, ...]:
        """Parties whose word the receipt names, and who did not sign it."""
        parties = self.facts.agreement.parties
        named = {name for entry in self.attested for name in entry["by"]}
        others = sorted(named - {signer.party for signer in self.signers})
        return tuple(Signer(name, parties[name].role, parties[name].key) for name in others)

    @property
    def recomputed(self) -> list[str]:
        """Claims that this verification recomputed."""
        return recomputed(self.facts.agreement)

    @property
    def attested(self) -> list[dict[str, Any]]:
        """Claims that nobody can recompute, and whose word each is."""
        return attested(self.facts.agreement, self.facts.members, self.facts.charged)


def verify_folder(folder: Path, trust: Mapping[str, str] | None = None) -> Verdict:
    """Verify a run folder from nothing but itself.

    Args:
        folder: The run folder.
        trust: Ed25519 public keys by party (64 hexadecimal digits) that the reader knows
            from elsewhere; None checks no identities.

    Returns:
        The verdict. There is no other way to fail than to raise.

    Raises:
        VerificationError: At the first check that fails, with its file and reason.
        UsageError: If ``folder`` is no run folder, or none that can be read.
        StorageError: If this machine lacks the room to check ciphertexts.
    """
    with Folder(folder) as evidence:
        return verify_evidence(evidence, trust)


def verify_evidence(evidence: Evidence, trust: Mapping[str, str] | None = None) -> Verdict:
    """Verify files whose names and sizes were checked, as :func:`verify_folder` does."""
    agreed = check_agreement(evidence)
    opened = check_receipt(evidence, agreed)
    facts = _check_run(evidence, agreed)
    check_statement(opened, facts)
    if trust is not None:
        check_trust(agreed.agreement, trust)
    parties = agreed.agreement.parties
    signers = (Signer(name, parties[name].role, parties[name].key) for name in opened.signers)
    return Verdict(facts, trust is not None, tuple(signers))


def check_files(files: Mapping[str, bytes]) -> Facts:
    """Check every file but the receipt, before or without one, as :func:`verify_folder` does.

    Every signer of a receipt does this first.

    Args:
        files: Bytes by file name, without a receipt.

    Raises:
        VerificationError: At the first check that fails, with its file and reason.
        StorageError: If this machine lacks the room to check ciphertexts.
    """
    check_layout({name: len(data) for name, data in files.items()}, receipt=False)
    evidence = InMemory(files)
    return _check_run(evidence, check_agreement(evidence))


def _check_run(evidence: Evidence, agreed: Agreed) -> Facts:
    transcript = check_transcript(evidence, agreed)
    opening = check_opening(transcript)
    segments = check_segments(opening)
    rosters = check_rosters(opening, segments)
    check_ledger_files(evidence, opening, segments, rosters.final)
    given = check_contributions(opening, segments, rosters)
    total = check_sum(opening, rosters, given)
    release = check_release(opening, rosters, given, total)
    check_arithmetic(opening, given, total, release)
    check_release_log(evidence, opening, segments, rosters, given, release.says(Release))
    check_student(evidence, opening)
    accounting = account(segments, agreed.agreement)
    check_summary(evidence, opening, rosters.final, accounting)
    check_departures(transcript, rosters)
    return Facts(
        agreement=agreed.agreement,
        agreement_hash=agreed.hash,
        run_id=opening.run_id,
        envelope_hashes=tuple(message.hash for message in transcript.messages),
        members=rosters.members,
        charged=tuple(sorted(segments)),
    )
