"""A network that can lie: it mutes parties, changes messages and adds forged ones.

A forged message is signed with the identity key of the party that is said to send it, so
what a test forges is what that party could really have done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from secure_fedsa.engines.in_process import InProcessEngine, Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.errors import RunAborted
from secure_fedsa.messages import RULES, Body
from secure_fedsa.run import PartyRun
from secure_fedsa.wire import bodies, canonical
from secure_fedsa.wire.envelope import Header, pack, parse
from tests.support import World

Hook = Callable[[Header, str, bytes], list[bytes]]
"""Given header, recipient and bytes: what arrives there instead."""
Change = Callable[[Any, Any], Any]
"""Given network and body (None if it is sealed): what its sender says instead."""


@dataclass
class Network:
    """One run whose messages pass through a hook.

    Attributes:
        run: The run.
        hook: What becomes of each message; by default it arrives.
        parties: By name, while the run is on.
        watch: Called before every effect.
        problems: By party, why it had no result.
        erased: Parties whose secrets of the run are gone.
    """

    run: LocalRun
    hook: Hook = field(default=lambda _header, _recipient, data: [data])
    parties: dict[str, PartyRun] = field(default_factory=dict)
    watch: Callable[[str, Any], None] | None = None
    problems: dict[str, str] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def execute(self) -> Outcome:
        """Run to the end; an outcome with a problem is returned, not raised."""
        parties = [self.run.party(name) for name in self.run.agreement.parties]
        self.parties |= {party.me: party for party in parties}
        engine = _Engine(parties, self)
        try:
            return engine.run()
        finally:
            for party in parties:
                self.problems[party.me] = party.problem
                if party.journal.erased:
                    self.erased.add(party.me)
                party.journal.close()

    def stuck(self) -> bool:
        """Run, and return whether it cannot come to an end."""
        try:
            self.execute()
        except RunAborted:
            return True
        return False

    def forge(self, sender: str, body: Body, recipient: str, sequence: int) -> bytes:
        """Return a message that ``sender`` could have signed."""
        party = self.parties[sender]
        any_other = (
            next(iter(self.parties.values())) if recipient == "*" else self.parties[recipient]
        )
        return pack(
            body,
            identity=party.identity,
            directory=party.directory,
            run_id=any_other.session.run_id,
            sender=sender,
            recipient=recipient,
            sequence=sequence,
            sealing_key=party.session.sealing_keys.get(recipient),
        ).to_bytes()


class _Engine(InProcessEngine):
    def __init__(self, parties: list[PartyRun], network: Network) -> None:
        super().__init__(parties, observe=network.watch)
        self._network = network

    def _deliver(self) -> bool:
        moved = bool(self._queue)
        while self._queue:
            sender, data = self._queue.popleft()
            header = parse(data).header
            for party in self.parties.values():
                wanted = party.role in RULES[header.kind].recipients
                if party.me != sender and wanted and header.recipient in ("*", party.me):
                    for arriving in self._network.hook(header, party.me, data):
                        party.receive(arriving)
        for party in self.parties.values():
            while not party.pending and party.take_waiting():
                moved = True
        return moved


def lie(
    world: World, sender: str, kind: str, change: Change, *towards: str
) -> tuple[LocalRun, Outcome, Network]:
    """Run with one party's messages of a kind replaced, under the same number and signature.

    ``towards`` are those who get the other ones; all if nobody is named.
    """
    run = world.local_run()

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        meant = not towards or recipient in towards
        if (header.sender, header.kind) != (sender, kind) or not meant:
            return [data]
        body = None if header.message_class == "sealed" else body_of(data)
        told = change(network, body)
        return [network.forge(sender, told, header.recipient, header.sequence)]

    network = Network(run, hook)
    return run, network.execute(), network


def body_of(data: bytes) -> Any:
    """Return the body of a public message."""
    envelope = parse(data)
    return bodies.from_json(RULES[envelope.header.kind].body, envelope.body)


def muted(sender: str, *kinds: str, towards: str = "") -> Hook:
    """Return a hook that loses a party's messages of some kinds."""

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        lost = header.sender == sender and header.kind in kinds and towards in ("", recipient)
        return [] if lost else [data]

    return hook


def ledger_kinds(run: LocalRun, teacher: str, run_id: str) -> list[str]:
    """Return the kinds of a teacher's ledger entries of one run."""
    ledger = run.sites[teacher].ledger
    assert ledger is not None
    if all(run_id != charged for charged in ledger.books().charges):
        return []
    return [entry["kind"] for entry in ledger.segment(run_id)]


def opened_sums(run: LocalRun) -> list[dict[str, Any]]:
    """Return what the key holder's release log says was opened."""
    log = run.sites["key-holder"].release_log
    assert log is not None
    return [entry["body"] for entry in log.entries()]


def sizes_by_kind(envelopes: tuple[bytes, ...], sender: str) -> list[tuple[str, str, int]]:
    """Return (kind, recipient, body bytes) of a party's messages, in order."""
    found = []
    for data in envelopes:
        envelope = parse(data)
        if envelope.header.sender == sender:
            size = len(canonical.encode(envelope.body))
            found.append((envelope.header.kind, envelope.header.recipient, size))
    return found
