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
        before = rosters[-1] if rosters else None
        with blaming(message.file):
            check_roster(roster, opening.session, message.header.sender, before=before)
        _check_ledger_heads(roster, message, segments)
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
