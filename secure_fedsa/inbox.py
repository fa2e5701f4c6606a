"""A party's inbox: what arrived, verified, and waits until the role can judge it."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from secure_fedsa.errors import ProtocolError, SecureFedsaError
from secure_fedsa.roles.refusals import shown
from secure_fedsa.wire.envelope import Directory, Envelope, Header, check_signed, parse

# An honest party sends a few messages a roster and other member; more is a flood.
_MOST_WAITING = 512
_MOST_REFUSALS = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that was not accepted, and why."""

    party: str
    sender: str
    kind: str
    reason: str


class Inbox:
    """Keeps signed messages in order of arrival; refuses floods and second versions.

    Args:
        me: The party.
        directory: The parties' keys and roles.
    """

    def __init__(self, me: str, directory: Directory) -> None:
        self.me = me
        self.directory = directory
        self.refusals: list[Refusal] = []
        self._waiting: list[Envelope] = []
        self._seen: dict[tuple[str, int], str] = {}

    def receive(self, data: bytes) -> None:
        """Keep an envelope whose signature and body hash verify.

        A party's own messages, reflected, and what is known already are dropped.
        """
        sender, kind = "?", "?"
        try:
            envelope = parse(data)
            header, digest = envelope.header, envelope.hash
            sender, kind = header.sender, header.kind
            check_signed(envelope, self.directory)
            if (
                sender == self.me
                or self._known(envelope)
                or any(digest == e.hash for e in self._waiting)
            ):
                return
            if sum(e.header.sender == sender for e in self._waiting) >= _MOST_WAITING:
                raise ProtocolError(sender, "sent more than this party can keep.")
            self._waiting.append(envelope)
        except SecureFedsaError as error:
            self.refuse(sender, kind, error)

    def take(self, kinds: AbstractSet[str]) -> Envelope | None:
        """Return the first waiting message of these kinds that is new, or None."""
        self._waiting = [e for e in self._waiting if not self._known(e)]
        for position, envelope in enumerate(self._waiting):
            if envelope.header.kind in kinds:
                del self._waiting[position]
                return envelope
        return None

    def _known(self, envelope: Envelope) -> bool:
        header = envelope.header
        return self._seen.get((header.sender, header.sequence)) == envelope.hash

    def check_number(self, header: Header, digest: str) -> None:
        """Refuse a second message under one number of its sender."""
        if self._seen.get((header.sender, header.sequence), digest) != digest:
            raise ProtocolError(header.sender, "sent two messages under one number.")

    def note(self, header: Header, digest: str) -> None:
        """Remember that the role took a message."""
        self._seen[(header.sender, header.sequence)] = digest

    def refuse(self, sender: str, kind: str, error: SecureFedsaError) -> None:
        """Remember that a message was not accepted, and why."""
        if len(self.refusals) < _MOST_REFUSALS:
            refusal = Refusal(self.me, shown(sender[:40]), shown(kind[:40]), shown(str(error)))
            self.refusals.append(refusal)

    def clear(self) -> None:
        """Drop what waits: the party's part is over."""
        self._waiting.clear()
