"""Who took part in the sum: every roster of the run, in order."""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.audit.layout import TRANSCRIPT
from secure_fedsa.audit.ledgers import Segment
from secure_fedsa.audit.opening import Opening
from secure_fedsa.audit.transcript import Message
from secure_fedsa.messages import Roster
from secure_fedsa.roles.rosters import check_roster, roster_hash_of
from secure_fedsa.selection import choose


@dataclass(frozen=True, slots=True)
class Rosters:
    """The rosters of a run; the sum was opened over the last.

    Attributes:
        rosters: In order, each smaller than the one before.
        hashes: Their hashes.
    """

    rosters: tuple[Roster, ...]
    hashes: tuple[str, ...]

    @property
    def final(self) -> Roster:
        """The roster whose sum was opened."""
        return self.rosters[-1]

    @property
    def final_hash(self) -> str:
        """Its hash, which its members signed."""
        return self.hashes[-1]

    @property
    def members(self) -> tuple[str, ...]:
        """The members of the final roster, sorted."""
        return self.final.members

    def earlier_hashes(self, teacher: str) -> set[str]:
        """Return the hashes of the rosters before the final one that a teacher was in."""
        earlier = zip(self.rosters[:-1], self.hashes[:-1], strict=True)
        return {found for roster, found in earlier if teacher in roster.members}


def check_rosters(opening: Opening, segments: dict[str, Segment]) -> Rosters:
    """Return the rosters of a run.

    Raises:
        VerificationError: If there is none, one breaks the agreement or names what the
            ledgers do not show, or one does not follow from the one before.
    """
    messages = opening.transcript.of("roster")
    require(messages, f"{TRANSCRIPT}/", "holds no roster.")
    rosters: list[Roster] = []
    for message in messages:
        roster = message.says(Roster)
        with blaming(message.file):
            check_roster(roster, opening.session, message.header.sender)
        _check_ledger_heads(roster, message, segments)
        number = len(rosters) + 1
        require(roster.number == number, message.file, f"is roster {roster.number}, not {number}.")
        if rosters:
            smaller = set(roster.members) < set(rosters[-1].members)
            require(smaller, message.file, "is not the roster before it without some members.")
        else:
            _check_choice(roster, message, opening)
        rosters.append(roster)
    hashes = tuple(roster_hash_of(roster, opening.run_id) for roster in rosters)
    return Rosters(tuple(rosters), hashes)


def _check_ledger_heads(roster: Roster, message: Message, segments: dict[str, Segment]) -> None:
    for teacher, head in roster.ledger_heads.items():
        require(
            teacher in segments and segments[teacher].head == head,
            message.file,
            f"countersigns a ledger head that {teacher} did not send.",
        )
    for member in roster.members:
        require(
            member in roster.ledger_heads,
            message.file,
            f"has {member}, whose ledger head it does not countersign.",
        )


def _check_choice(roster: Roster, message: Message, opening: Opening) -> None:
    """Check the first roster against the scores or ranks that it shows."""
    selection = opening.agreement.selection
    match opening.agreement.publish.scores:
        case "values":
            chosen = choose(roster.scores, select=selection.select, threshold=selection.threshold)
        case "order":
            first = sorted(roster.scores, key=lambda name: roster.scores[name])
            chosen = tuple(sorted(first[: len(roster.members)]))
        case "none":
            return
    require(
        chosen == roster.members,
        message.file,
        "selects other teachers than the scores that it shows.",
    )
