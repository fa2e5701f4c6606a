"""All parties in one process: the embedded engine, and the one that tests drive.

Every message still travels as signed bytes, and every party keeps its own state folder.
Deadlines are logical here: replies of all teachers leave together once every teacher has
computed its own, and a party counts as silent when nothing else can move.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from secure_fedsa.errors import RunAborted
from secure_fedsa.journal import Outgoing
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, RULES, STUDENT
from secure_fedsa.roles import effects as fx
from secure_fedsa.run import PartyRun
from secure_fedsa.wire.envelope import parse

Observer = Callable[[str, fx.Effect], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        run_id: The run.
        problem: Why there is no result; empty if there is one.
        envelopes: Every envelope, as sent, by sender and sequence.
        refused: Messages that a party refused, in words.
    """

    run_id: str
    problem: str
    envelopes: tuple[bytes, ...]
    refused: tuple[str, ...]


class InProcessEngine:
    """Moves messages between parties until the run is over.

    Args:
        parties: The parties that take part; one that is left out is silent.
        observe: Called before every effect; may raise to stop the process there.
    """

    def __init__(self, parties: Iterable[PartyRun], *, observe: Observer | None = None) -> None:
        self.parties = {party.me: party for party in parties}
        self._observe = observe or (lambda _party, _effect: None)
        self._held: list[tuple[str, Outgoing]] = []
        self._queue: deque[tuple[str, bytes]] = deque()

    def run(self) -> Outcome:
        """Run to the end, or take up a run that a crash cut off.

        Raises:
            RunAborted: If no party can move and the run is not over.
        """
        for party in self.parties.values():
            for outgoing in party.begin():
                self._post(party.me, outgoing)
        while not all(party.finished and party.journal.erased for party in self.parties.values()):
            if not (self._work() or self._deliver() or self._release_held() or self._deadline()):
                raise RunAborted(self._stuck())
        return self._outcome()

    def _work(self) -> bool:
        """Perform every pending effect of every party; return if there was one."""
        moved = False
        for party in self.parties.values():
            while party.pending:
                self._observe(party.me, party.pending[0])
                outgoing = party.perform_next()
                moved = True
                if outgoing is not None:
                    self._post(party.me, outgoing)
        return moved

    def _post(self, sender: str, outgoing: Outgoing) -> None:
        if outgoing.slot:
            self._held.append((sender, outgoing))
        else:
            self._queue.append((sender, outgoing.envelope))

    def _deliver(self) -> bool:
        """Hand out what was sent, then let each party take what it can judge."""
        moved = bool(self._queue)
        while self._queue:
            sender, data = self._queue.popleft()
            header = parse(data).header
            for party in self.parties.values():
                wanted = party.role in RULES[header.kind].recipients
                if party.me != sender and wanted and header.recipient in ("*", party.me):
                    party.receive(data)
        for party in self.parties.values():
            while not party.pending and party.take_waiting():
                moved = True
        return moved

    def _release_held(self) -> bool:
        """Let the messages of a slot leave: everybody who computes has finished."""
        moved = bool(self._held)
        self._queue.extend((sender, outgoing.envelope) for sender, outgoing in self._held)
        self._held.clear()
        return moved

    def _deadline(self) -> bool:
        """Tell the parties that nothing came; the key holder, who decides, hears it last."""
        order = sorted(self.parties.values(), key=lambda party: party.role == KEY_HOLDER)
        return any(party.deadline() for party in order)

    def _stuck(self) -> str:
        waiting = [
            f"{party.me} waits ({refusal.reason})"
            for party in self.parties.values()
            for refusal in party.refusals[:1]
        ]
        return "The run cannot go on. " + " ".join(waiting)

    def _outcome(self) -> Outcome:
        envelopes = [
            outgoing.envelope
            for name in sorted(self.parties)
            for outgoing in self.parties[name].journal.outbox()
        ]
        # A teacher that gave up was left out; with a result of the others there is no problem.
        ended = {party.role for party in self.parties.values() if not party.problem}
        problems = [party.problem for party in self.parties.values() if party.problem]
        if {AGGREGATOR, KEY_HOLDER, STUDENT} <= ended:
            problems = []
        refused = tuple(
            f"{refusal.party} refused {refusal.kind} of {refusal.sender}: {refusal.reason}"
            for party in self.parties.values()
            for refusal in party.refusals
        )
        run_ids = [party.journal.fact("run_id") for party in self.parties.values()]
        run_id = next((found for found in run_ids if found), "")
        return Outcome(run_id, problems[0] if problems else "", tuple(envelopes), refused)
