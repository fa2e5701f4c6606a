"""The receipt of a run folder: first its form and its files, at the end what it states."""

from __future__ import annotations

from secure_fedsa.audit.agreed import Agreed
from secure_fedsa.audit.evidence import Evidence
from secure_fedsa.audit.facts import Facts
from secure_fedsa.audit.failures import require
from secure_fedsa.report.claims import signers
from secure_fedsa.report.receipt import FILE_NAME, Opened, open_receipt, statement_of


def check_receipt(evidence: Evidence, agreed: Agreed) -> Opened:
    """Return the receipt, once its files are exactly the folder's other files.

    Before anything else of the folder is parsed: a change after signing is named here.

    Raises:
        VerificationError: If the receipt is malformed or wrongly signed, a file is missing,
            was added, or has another hash.
    """
    opened = open_receipt(evidence.read(FILE_NAME), agreed.keys)
    subjects = opened.statement.subjects
    present = set(evidence.names) - {FILE_NAME}
    for name in sorted(present ^ set(subjects)):
        require(name in subjects, name, "is not in the receipt: it was added.")
        require(name in present, name, "is missing, but the receipt names it.")
    for name in sorted(present):
        require(
            evidence.sha256(name) == subjects[name],
            name,
            "is not the file that was signed.",
            why="Its hash is not the one in the receipt.",
        )
    return opened


def check_statement(opened: Opened, facts: Facts) -> None:
    """Check what the receipt states against what was recomputed, and who signed it.

    Raises:
        VerificationError: If it states anything else, or others signed it.
    """
    expected = statement_of(
        facts.agreement,
        agreement_hash=facts.agreement_hash,
        run_id=facts.run_id,
        envelope_hashes=facts.envelope_hashes,
        members=facts.members,
        charged=facts.charged,
        files={},
    ).predicate
    stated = opened.statement.predicate
    for name in sorted(set(expected) | set(stated)):
        same = name in stated and name in expected and stated[name] == expected[name]
        require(same, FILE_NAME, f"states another {name} than the folder gives.")
    needed = signers(facts.agreement, facts.members)
    for name in sorted(set(needed) ^ set(opened.signers)):
        problem = "did not sign it" if name in needed else "signed it without having to"
        require(False, FILE_NAME, f"{name} {problem}.")
