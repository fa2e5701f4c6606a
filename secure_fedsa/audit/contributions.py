"""What the teachers gave: signatures under the roster, replies, masks and uploads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from secure_fedsa.audit.bounds import longest_signal
from secure_fedsa.audit.failures import require
from secure_fedsa.audit.layout import TRANSCRIPT
from secure_fedsa.audit.ledgers import Segment
from secure_fedsa.audit.opening import Opening
from secure_fedsa.audit.rosters import Rosters
from secure_fedsa.audit.transcript import Message
from secure_fedsa.messages import AGGREGATOR, RosterSignature, Upload
from secure_fedsa.wire import canonical


@dataclass(frozen=True, slots=True)
class Contributions:
    """What every member of the final roster gave.

    Attributes:
        uploads: By member, the message that brought its masked signal.
        signal_ids: By member, the ledger charge that pays for it.
    """

    uploads: dict[str, Message]
    signal_ids: dict[str, str]


def check_contributions(
    opening: Opening, segments: dict[str, Segment], rosters: Rosters
) -> Contributions:
    """Return what the members of the final roster gave.

    Raises:
        VerificationError: If a member did not sign the roster, reply, blind or upload, a
            message is there that nobody may have sent, or an upload is for another roster,
            key, length or ledger charge.
    """
    transcript, members = opening.transcript, rosters.members
    _check_signatures(transcript.of("roster-signature"), rosters)
    for kind in ("reply", "blind"):
        transcript.one_each(kind, members)
    transcript.one("blinded-scores", opening.agreement.only(AGGREGATOR))
    _check_masks(transcript.of("mask-share"), rosters)
    uploads = transcript.one_each("upload", members)
    signal_ids = {member: segments[member].charge.entry_hash for member in members}
    for teacher, message in uploads.items():
        if teacher in members:
            _check_upload(message, opening, rosters, signal_ids[teacher])
        else:
            _check_abandoned(message, teacher, rosters)
    return Contributions({member: uploads[member] for member in members}, signal_ids)


def _check_signatures(messages: Iterable[Message], rosters: Rosters) -> None:
    signed = {
        message.header.sender
        for message in messages
        if message.says(RosterSignature).roster_hash == rosters.final_hash
    }
    for member in rosters.members:
        require(
            member in signed, f"{TRANSCRIPT}/", f"holds no signature of {member} under the roster."
        )


def _check_masks(messages: Iterable[Message], rosters: Rosters) -> None:
    """Check that every two members exchanged mask values, and nobody else did."""
    once_members = frozenset(rosters.rosters[0].members)  # later rosters are smaller
    exchanged: set[tuple[str, str]] = set()
    for message in messages:
        pair = (message.header.sender, message.header.recipient)
        require(
            once_members.issuperset(pair),
            message.file,
            f"gives a mask value to {pair[1]}, though no roster has both.",
        )
        exchanged.add(pair)
    for sender, recipient in permutations(rosters.members, 2):
        require(
            (sender, recipient) in exchanged,
            f"{TRANSCRIPT}/",
            f"holds no mask-share of {sender} for {recipient}.",
        )


def _check_upload(message: Message, opening: Opening, rosters: Rosters, signal_id: str) -> None:
    """Check a member's upload, where it is shown."""
    if message.body is None:
        return
    upload, file = message.says(Upload), message.file
    require(upload.roster_hash == rosters.final_hash, file, "is for another roster.")
    key_id = canonical.sha256(opening.session.feature_key)
    require(upload.key_id == key_id, file, "is encrypted under another key.")
    values = opening.agreement.feature_values
    require(upload.values == values, file, f"has {upload.values} values, not {values}.")
    size, most = message.ciphertext.size, longest_signal(opening.agreement)
    require(size <= most, file, f"An encrypted signal of {size} bytes is too long.")
    require(upload.signal_id == signal_id, file, "is a signal that its ledger was not charged for.")


def _check_abandoned(message: Message, teacher: str, rosters: Rosters) -> None:
    """Check the upload of a teacher that the final roster left out."""
    earlier = rosters.earlier_hashes(teacher)
    require(earlier, message.file, f"is of {teacher}, who was on no roster.")
    if message.body is not None:
        meant = message.says(Upload).roster_hash
        require(meant in earlier, message.file, "is for no earlier roster that its sender was in.")
