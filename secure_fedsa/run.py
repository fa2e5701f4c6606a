"""One party's run: the only place that performs effects.

A :class:`PartyRun` drives one role. It verifies what arrives before the role sees it,
performs the role's effects strictly in order, makes each durable before the next, and
replays its journal after a crash. Effects are idempotent, so one that was performed but not
acknowledged before a crash is performed again without harm:

* a charge is one per run id; noise that was drawn but not yet used is drawn anew, since
  nothing that depended on it had left;
* an envelope is stored before it is first sent, and every resend is those bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import SecureFedsaError, StorageError
from secure_fedsa.inbox import Inbox, Refusal
from secure_fedsa.journal import Journal, Outgoing
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, KIND_OF, RULES, STUDENT, TEACHER
from secure_fedsa.roles import aggregator, key_holder, student, teacher
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import Noise, NoisySummary, ReleasedSum, Signal
from secure_fedsa.wire.envelope import (
    Directory,
    Envelope,
    Opened,
    open_envelope,
    pack,
)
from secure_fedsa.wire.keys import IdentityKey

_ROLES: dict[str, Any] = {
    TEACHER: teacher,
    AGGREGATOR: aggregator,
    KEY_HOLDER: key_holder,
    STUDENT: student,
}


class Site(Protocol):
    """What a party brings to a run besides its role: storage, data, randomness."""

    def preflight(self) -> str:
        """Return what is wrong before the run, or an empty text."""
        ...

    def draw(self, request: fx.Draw) -> tuple[bytes, ...]:
        """Return fresh secret randomness."""
        ...

    def draw_noise(self, request: fx.NoiseDraw) -> Noise:
        """Return fresh noise."""
        ...

    def read_private(self, noise: Noise) -> NoisySummary:
        """Return the noisy summary of the private records."""
        ...

    def ask_model(self) -> Signal:
        """Return a model's signals; train it privately first, if the route says so."""
        ...

    def persist(self, record: fx.Record, run_id: str) -> Any:
        """Make a record durable and return what the store answers."""
        ...

    def build_student(self, released: ReleasedSum) -> str:
        """Fit the student and return its hash."""
        ...

    def note_erasure(self, run_id: str) -> None:
        """Log that this run's secrets are gone."""
        ...


class PartyRun:
    """Drives one party through one run.

    Args:
        me: The party.
        agreement: The agreement, signed and checked.
        directory: The parties' keys and roles.
        identity: This party's signing key.
        site: Its storage, data and randomness.
        folder: Where its journal of this run lives.
        state: The role's initial state.
    """

    def __init__(
        self,
        *,
        me: str,
        agreement: Agreement,
        directory: Directory,
        identity: IdentityKey,
        site: Site,
        folder: Path,
        state: Any,
    ) -> None:
        self.me = me
        self.directory = directory
        self.identity = identity
        self.site = site
        self.role = agreement.parties[me].role
        self.machine = _ROLES[self.role]
        self.state = state
        self.pending: deque[fx.Effect] = deque()
        self.inbox = Inbox(me, directory)
        self.journal = Journal(folder)
        self._noise: Noise | None = None
        self._posted = {item.sequence: item for item in self.journal.outbox()}
        self._sent = 0  # how many sends the role was told of; the rest were cut off by a crash
        self._performers: dict[type[fx.Effect], Callable[[Any], fx.Event]] = {
            fx.DrawEntropy: self._draw,
            fx.Preflight: self._preflight,
            fx.Persist: self._persist,
            fx.ReadPrivate: self._read_private,
            fx.AskModel: self._ask_model,
            fx.Send: self._send,
            fx.BuildStudent: self._build_student,
            fx.Finish: self._finish,
            fx.Erase: self._erase,
        }

    # --- life --------------------------------------------------------------------

    @property
    def session(self) -> Session:
        """The opening facts of the role's state."""
        session: Session = self.state.session
        return session

    @property
    def finished(self) -> bool:
        """Whether this party's part is over."""
        return self.journal.finished

    @property
    def problem(self) -> str:
        """Why the run ended without a result for this party; empty if it did not."""
        return self.journal.fact("finished") or ""

    def begin(self) -> list[Outgoing]:
        """Start the run, or take it up after a crash; return what to send again."""
        if not self.finished:
            events = list(self.journal.events())
            for event in events:
                self._replay(event)
            if not events:
                self._feed(fx.Started())
        else:
            self._erase(fx.Erase())  # again is fine: a crash may have come in between
        return [self._posted[sequence] for sequence in sorted(self._posted)]

    def _replay(self, event: fx.Event) -> None:
        if isinstance(event, fx.Received):
            self.inbox.note(event.header, event.hash)
        elif not isinstance(event, fx.Started | fx.Deadline):
            self._answered(event)
            self._sent += isinstance(event, fx.Sent)
        self.state, effects = self.machine.step(self.state, event)
        self.pending.extend(effects)

    def _feed(self, event: fx.Event) -> None:
        """Advance the role by one event; the event is durable before its effects begin."""
        state, effects = self.machine.step(self.state, event)
        self.journal.append(event)
        self.state = state
        self.pending.extend(effects)

    # --- messages ----------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take an envelope that a party signed; it waits until the role can judge its kind."""
        if not self.finished:
            self.inbox.receive(data)

    def take_waiting(self) -> bool:
        """Give the role the first waiting message that it expects; return if there was one.

        Not while effects are pending: they come before whatever a message changes.
        """
        if self.finished:
            self.inbox.clear()
        if self.finished or self.pending:
            return False
        envelope = self.inbox.take(self.machine.expected(self.state))
        if envelope is None:
            return False
        header = envelope.header
        try:
            opened = self._open(envelope)
            self.inbox.check_number(header, envelope.hash)
            self._feed(fx.Received(opened.header, opened.body, opened.hash))
            self.inbox.note(header, envelope.hash)
        except StorageError:
            raise  # of this party's own disk: the message is taken again on resumption
        except SecureFedsaError as error:
            self.inbox.refuse(header.sender, header.kind, error)
        return True

    @property
    def refusals(self) -> list[Refusal]:
        """Messages that this party did not accept."""
        return self.inbox.refusals

    def _open(self, envelope: Envelope) -> Opened:
        header = envelope.header
        # Nonces make the run id; who lacks one can only stop the run without it, while
        # nothing can have been charged.
        early = header.kind == "abort" and not header.run_id and not self.session.all_ready
        run_id = "" if header.kind == "nonce" or early else self.session.run_id
        return open_envelope(
            envelope,
            self.directory,
            run_id=run_id,
            recipient=self.me,
            sealing_private=self.session.sealing_private or None,
        )

    def deadline(self) -> bool:
        """Tell the role that nothing came for the agreed time; return if it acted."""
        if self.finished or self.pending:
            return False
        state, effects = self.machine.step(self.state, fx.Deadline())
        if not effects:
            return False
        self.journal.append(fx.Deadline())
        self.state = state
        self.pending.extend(effects)
        return True

    # --- effects -----------------------------------------------------------------

    def perform_next(self) -> Outgoing | None:
        """Perform the first pending effect and acknowledge it; return what it sent.

        Raises:
            StorageError: If this party's disk fails; the run can be taken up again. Any
                other error ends the run for this party in order: it tells the others and
                erases.
        """
        effect = self.pending[0]
        try:
            event = self._performers[type(effect)](effect)
            if isinstance(event, fx.Erased):
                self.pending.popleft()
                return None
            self._acknowledge(event)
        except StorageError:
            raise
        except SecureFedsaError as error:
            if self.session.over:
                raise
            self._acknowledge(fx.Failed(str(error)))
            return None
        if not isinstance(event, fx.Sent):
            return None
        self._sent += 1
        return self._posted[self._sent - 1]

    def _acknowledge(self, event: fx.Event) -> None:
        """Answer the first pending effect; a failure drops those behind it too."""
        state, effects = self.machine.step(self.state, event)
        self.journal.append(event)
        self.state = state
        self._answered(event)
        self.pending.extend(effects)

    def _answered(self, event: fx.Event) -> None:
        if isinstance(event, fx.Failed):
            self.pending.clear()
        else:
            self.pending.popleft()

    def _draw(self, effect: fx.DrawEntropy) -> fx.Event:
        if isinstance(effect.draw, fx.NoiseDraw):
            self._noise = self.site.draw_noise(effect.draw)
            return fx.Drawn(effect.tag, ())
        return fx.Drawn(effect.tag, self.site.draw(effect.draw))

    def _preflight(self, effect: fx.Preflight) -> fx.Event:
        del effect
        return fx.Checked(self.site.preflight())

    def _persist(self, effect: fx.Persist) -> fx.Event:
        return fx.Persisted(effect.record, self.site.persist(effect.record, self.session.run_id))

    def _read_private(self, effect: fx.ReadPrivate) -> fx.Event:
        if self._noise is None:
            # The noise of before the crash is gone and nothing that held it left: draw anew
            # under the same reservation.
            self._noise = self.site.draw_noise(effect.noise)
        noise, self._noise = self._noise, None
        return fx.SummaryRead(self.site.read_private(noise))

    def _ask_model(self, effect: fx.AskModel) -> fx.Event:
        del effect
        return fx.ModelAsked(self.site.ask_model())

    def _send(self, effect: fx.Send) -> fx.Event:
        rule = RULES[KIND_OF[type(effect.body)]]
        if self._sent not in self._posted:
            envelope = pack(
                effect.body,
                identity=self.identity,
                directory=self.directory,
                # Nonces make the run id, so they alone travel without one.
                run_id="" if rule.kind == "nonce" else self.session.run_id,
                sender=self.me,
                recipient=effect.recipient,
                sequence=self._sent,
                sealing_key=self.session.sealing_keys.get(effect.recipient),
            )
            outgoing = Outgoing(self._sent, effect.slot, envelope.to_bytes())
            self.journal.post(outgoing)
            self._posted[self._sent] = outgoing
        return fx.Sent(rule.kind)

    def _build_student(self, effect: fx.BuildStudent) -> fx.Event:
        return fx.StudentBuilt(self.site.build_student(effect.released))

    def _finish(self, effect: fx.Finish) -> fx.Event:
        self.journal.note("run_id", self.session.run_id)
        self.journal.note("finished", effect.problem)
        return fx.Finished()

    def _erase(self, effect: fx.Erase) -> fx.Event:
        del effect
        self.journal.erase()  # before it is noted: the note must not be a promise
        self.site.note_erasure(self.journal.fact("run_id") or "")
        return fx.Erased()
