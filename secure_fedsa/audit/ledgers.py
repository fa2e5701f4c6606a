"""What each teacher's privacy ledger was charged for this run."""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.audit.evidence import Evidence
from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.audit.layout import ledger_file
from secure_fedsa.audit.opening import Opening
from secure_fedsa.engines.run_folder import json_lines
from secure_fedsa.messages import KEY_HOLDER, LedgerSegment, Roster
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.ledger_books import Charge
from secure_fedsa.roles.charges import check_segment, planned_event


@dataclass(frozen=True, slots=True)
class Segment:
    """A teacher's entries of this run, and what they charge.

    Attributes:
        entries: The entries, checked.
        head: Hash of the last.
        data_set: Id of the data set that was charged.
        charge: The charge; its entry's hash is the only signal id that the teacher may use.
    """

    entries: LedgerSegment
    head: str
    data_set: str
    charge: Charge


@dataclass(frozen=True, slots=True)
class Accounting:
    """What the charged events cost the worst teacher, at the agreement's delta.

    Attributes:
        epsilon: Of the worst teacher.
        delta: The agreement's.
        rho: zCDP parameter; None for trainings, which have none.
    """

    epsilon: float
    delta: float
    rho: float | None


def check_segments(opening: Opening) -> dict[str, Segment]:
    """Return the ledger segments by teacher.

    Raises:
        VerificationError: If a teacher sent two, one is damaged or does not show exactly the
            agreed charge of this run, or two teachers name one data set.
    """
    segments: dict[str, Segment] = {}
    data_sets: dict[str, str] = {}
    for teacher, message in opening.transcript.at_most_one_each("ledger").items():
        said = message.says(LedgerSegment)
        with blaming(message.file):
            charge = check_segment(said, opening.session, teacher)
        data_set = said.entries[0]["data_set"]
        other = data_sets.setdefault(data_set, teacher)
        require(other == teacher, message.file, f"names {other}'s data set as its own.")
        segments[teacher] = Segment(said, said.head, data_set, charge)
    return segments


def account(segments: dict[str, Segment], agreement: Agreement) -> Accounting | None:
    """Return what the segments' events cost, recomputed; None without differential privacy.

    Of trainings, the worst that was agreed counts, also if its teacher fell silent: each segment
    was checked to hold its own.
    """
    if agreement.privacy is None:
        return None
    delta = agreement.promise.delta
    if agreement.route == NOISY_RELEASE:
        costs = {segment.charge.cost for segment in segments.values()}
        worst = max(costs, key=lambda cost: cost.rho)
        return Accounting(worst.epsilon(delta), delta, worst.rho)
    agreed = {Amount.of([planned_event(agreement, name)]) for name in agreement.teachers}
    return Accounting(max(cost.epsilon(delta) for cost in agreed), delta, None)


def check_ledger_files(
    evidence: Evidence, opening: Opening, segments: dict[str, Segment], roster: Roster
) -> None:
    """Check that each ledger file is the teacher's signed segment and the countersigned head.

    Raises:
        VerificationError: If a file is another, missing, or of a teacher without a segment.
    """
    expected = {ledger_file(teacher): teacher for teacher in segments}
    for name in evidence.names:
        if name.startswith("ledger-"):
            require(name in expected, name, "is of nobody who sent a ledger segment.")
    for name, teacher in expected.items():
        require(name in evidence.names, name, f"is missing, but {teacher} sent a segment.")
        countersigned = {
            "countersigned_head": roster.ledger_heads.get(teacher),
            "by": opening.agreement.only(KEY_HOLDER),
        }
        lines = json_lines([*segments[teacher].entries.entries, countersigned])
        require(
            evidence.read(name) == lines,
            name,
            f"is not the segment that {teacher} signed, then the head that the key holder "
            "countersigned.",
        )
