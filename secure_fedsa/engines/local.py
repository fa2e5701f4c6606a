"""A whole run on this machine: sites, parties and the in-process engine put together."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines import retention
from secure_fedsa.engines.data_register import DataRegister, check_ledgers
from secure_fedsa.engines.in_process import InProcessEngine, Observer, Outcome
from secure_fedsa.engines.site import LocalSite, SecretNoise, load_identity
from secure_fedsa.errors import AgreementError, RunAborted
from secure_fedsa.journal import Journal
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.saliency import quantise
from secure_fedsa.models.teachers import Brought, TrainedModel
from secure_fedsa.planning import Plan, plan
from secure_fedsa.privacy.shown import at_most
from secure_fedsa.roles import aggregator, key_holder, student, teacher
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.model_teachers import AskedProbes
from secure_fedsa.roles.session import Session
from secure_fedsa.run import PartyRun
from secure_fedsa.signals import FloatArray, ReleasedSum
from secure_fedsa.wire.agreement_signatures import agreement_hash, directory, verify_signatures
from secure_fedsa.wire.keys import IdentityKey

_RUN_FOLDER = retention.RUN_FOLDER
_NOTHING_CHARGED = "Nothing was charged."


@dataclass(frozen=True, slots=True, repr=False)
class OwnRecord:
    """What one party itself remembers of a finished run, and the key that it signs with.

    Attributes:
        party: The party.
        identity: Its signing key.
        run_id: The run, as its own journal noted it.
        envelopes: Every message that it sent, byte for byte, from its journal.
        ledger: A teacher's ledger entries of the run, from its ledger.
        released: The key holder's release log entries of the run, from its log.
        erased: Whether its secrets of the run are gone.
        kept: What ``[retention]`` has it remove and it did not, for its operator; empty if
            nothing, or if that is not agreed.
    """

    party: str
    identity: IdentityKey
    run_id: str
    envelopes: tuple[bytes, ...]
    ledger: tuple[dict[str, Any], ...]
    released: tuple[dict[str, Any], ...]
    erased: bool
    kept: tuple[retention.Kept, ...] = ()


@dataclass(slots=True)
class PhaseClock:
    """Seconds by phase: the time between an effect and the next, by what was done."""

    seconds: dict[str, float] = field(default_factory=dict)
    _phase: str = "opening"
    _since: float = field(default_factory=time.monotonic)

    def switch(self, phase: str) -> None:
        """Book the time since the last switch and go on under ``phase``."""
        now = time.monotonic()
        self.seconds[self._phase] = self.seconds.get(self._phase, 0.0) + now - self._since
        self._phase, self._since = phase, now


def phase_of(effect: fx.Effect) -> str:
    """Return the phase of the run that an effect belongs to."""
    match effect:
        case fx.DrawEntropy(tag="query-key" | "query"):
            return "query"
        case fx.Persist(record=fx.ReserveCharge() | fx.CommitCharge()):
            return "private-summary"
        case fx.DrawEntropy(tag="noise" | "reply") | fx.ReadPrivate() | fx.AskModel():
            return "private-summary"
        case fx.DrawEntropy(tag="upload") | fx.Persist(record=fx.BindSignal()):
            return "features"
        case fx.DrawEntropy(tag=tag) if tag.startswith("share:"):
            return "features"
        case fx.Persist(record=fx.LogRelease() | fx.NoteOpened() | fx.NoteBurned()):
            return "release"
        case fx.BuildStudent():
            return "amalgamation"
        case fx.Send(body=body):
            return _PHASE_OF_MESSAGE.get(type(body).__name__, "opening")
        case fx.Finish() | fx.Erase():
            return "erasure"
        case _:
            return "opening"


_PHASE_OF_MESSAGE = {
    "QueryKey": "query",
    "Query": "query",
    "QuerySecret": "query",
    "Reply": "saliency",
    "Blind": "saliency",
    "BlindedScores": "saliency",
    "LedgerSegment": "saliency",
    "Roster": "saliency",
    "MaskShare": "features",
    "RosterSignature": "features",
    "Upload": "features",
    "Sum": "release",
    "Permit": "release",
    "SealedSum": "release",
    "Release": "release",
    "Result": "amalgamation",
}


def _records(teachers: Mapping[str, Brought]) -> dict[str, npt.NDArray[Any]]:
    return {
        name: brought.records
        for name, brought in teachers.items()
        if not isinstance(brought, TrainedModel)
    }


class LocalRun:
    """One run of all parties on this machine.

    Args:
        agreement: Signed by every party.
        states: State folder of each party.
        teachers: What each teacher brings: records, a module to train, or a trained model.
        encoder: The public encoder.
        probes: The public records behind it, shape (p, ...), as the student holds them.
        query: The student's saliency before quantisation, float64 (m,).
        build: Builds the student from the released sum and returns its hash.
        noise: Source of noise; None for the system's.
        register: Where it is noted which records were charged in which ledger; records that another
            ledger was charged for are refused. None asks none. Of trained models no records are
            known.

    Raises:
        AgreementError: If the agreement cannot hold, or a signature is missing or wrong.
        LedgerError: If a ledger is damaged, or records were charged in another one.
        StorageError: If what was kept as long as ``[retention]`` allows cannot be removed.
    """

    def __init__(
        self,
        agreement: Agreement,
        *,
        states: Mapping[str, Path],
        teachers: Mapping[str, Brought],
        encoder: PublicEncoder,
        probes: npt.NDArray[Any],
        query: FloatArray,
        build: Callable[[ReleasedSum], str],
        noise: SecretNoise | None = None,
        register: DataRegister | None = None,
    ) -> None:
        verify_signatures(agreement)
        self.agreement = agreement
        self.hash = agreement_hash(agreement)
        self.plan: Plan = plan(agreement)
        self.states = dict(states)
        if set(teachers) != set(agreement.teachers):
            raise AgreementError("parties", "the data do not belong to the agreed teachers.")
        saliency = agreement.saliency
        steps = quantise(query, saliency.query_bound, saliency.bits)
        self._query = tuple(int(value) for value in steps)
        self.clock = PhaseClock()

        @cache
        def asked() -> AskedProbes:
            return AskedProbes.of(agreement, probes, encoder)

        sketches: dict[Path, tuple[str, ...]] = {}
        if register is not None:
            sketches = check_ledgers(register, agreement, _records(teachers), self.states)
        self.sites = {
            name: LocalSite(
                name,
                self.states[name],
                agreement,
                self.hash,
                encoder=encoder if party.role in (TEACHER, STUDENT) else None,
                private=teachers.get(name),
                probes=probes if party.role in (TEACHER, STUDENT) else None,
                build=build if party.role == STUDENT else None,
                noise=noise,
                asked=asked,
            )
            for name, party in agreement.parties.items()
        }
        if register is not None:  # now the ledgers exist and have their names
            for state, sketch in sketches.items():
                register.remember(state, sketch)
        self.given_up = self._keep_to_limits()

    def _keep_to_limits(self) -> bool:
        """Remove what was kept as long as was agreed; return if a run was given up for that.

        Before anything is charged: at the end a party that cannot remove it would not sign.
        """
        agreed, now = self.agreement.retention, retention.now()
        if agreed is None:
            return False
        moved = {name: retention.last_moved(state, now) for name, state in self.states.items()}
        ended = [time for time in moved.values() if time is not None]
        over = bool(ended) and retention.is_of_age(max(ended), agreed, now)
        for site in self.sites.values():
            site.keep_log_short()
        found = False
        for name, state in self.states.items():
            if (over and moved[name] is not None) or retention.leftover(state):
                self.sites[name].give_up()
                found = True
        return found

    @property
    def simulated_noise(self) -> bool:
        """Whether any site draws seeded noise: such a run protects nobody and must say so."""
        return any(site.noise.seeded for site in self.sites.values())

    @property
    def unfinished(self) -> bool:
        """Whether an earlier run in these folders was cut off."""
        return any((state / _RUN_FOLDER).exists() for state in self.states.values())

    def party(self, name: str) -> PartyRun:
        """Return one party, with its state read from disk."""
        session = Session(name, self.agreement, self.hash)
        site = self.sites[name]
        role = self.agreement.parties[name].role
        opened = site.opened()
        state: object
        if role == TEACHER:
            state = teacher.initial(session, opened_before=opened)
        elif role == KEY_HOLDER:
            state = key_holder.initial(session, opened_before=opened)
        elif role == AGGREGATOR:
            state = aggregator.initial(session)
        else:
            state = student.initial(session, saliency=self._query)
        return PartyRun(
            me=name,
            agreement=self.agreement,
            directory=directory(self.agreement),
            identity=load_identity(self.states[name]),
            site=site,
            folder=self.states[name] / _RUN_FOLDER,
            state=state,
        )

    def execute(
        self, *, observe: Observer | None = None, without: frozenset[str] = frozenset()
    ) -> Outcome:
        """Run to the end, or take up the run that a crash cut off.

        Args:
            observe: Called before every effect with the party and the effect.
            without: Parties that are silent from the start.

        Raises:
            RunAborted: If the run ended without a release; what was spent is in the message.
        """

        def watched(party: str, effect: fx.Effect) -> None:
            self.clock.switch(phase_of(effect))
            if observe is not None:
                observe(party, effect)

        parties = [self.party(name) for name in self.agreement.parties if name not in without]
        engine = InProcessEngine(parties, observe=watched)
        try:
            outcome = engine.run()
        finally:
            self.clock.switch("after")
            for party in parties:
                party.journal.close()
        if outcome.problem:
            self.discard()
            told = " ".join(dict.fromkeys([outcome.problem, *outcome.refused[:3]]))
            raise RunAborted(
                f"Run {outcome.run_id[:12] or '(no id yet)'} ended without a release.",
                # What was charged is said once, of all parties: one of them speaks for itself.
                why=told.replace(f"{_NOTHING_CHARGED} ", "").replace(f" {_NOTHING_CHARGED}", ""),
                do=self.spent_text(outcome.run_id),
            )
        return outcome

    def discard(self) -> None:
        """Remove the journals of a run that is over; ledgers and logs stay."""
        for state in self.states.values():
            shutil.rmtree(state / _RUN_FOLDER, ignore_errors=True)
            if self.agreement.retention is not None:
                retention.tell_journal(state)

    def own_record(self, name: str) -> OwnRecord:
        """Return what one party remembers of the run that just ended, from its own disk.

        Raises:
            LedgerError: If its ledger or its release log is damaged.
        """
        journal = Journal(self.states[name] / _RUN_FOLDER)
        try:
            run_id = journal.fact("run_id") or ""
            envelopes = tuple(outgoing.envelope for outgoing in journal.outbox())
            erased = journal.erased
        finally:
            journal.close()
        ledger, log = self.sites[name].ledger, self.sites[name].release_log
        charged = ledger is not None and run_id in ledger.books().charges
        entries = log.entries() if log is not None else []
        return OwnRecord(
            party=name,
            identity=load_identity(self.states[name]),
            run_id=run_id,
            envelopes=envelopes,
            ledger=tuple(ledger.segment(run_id)) if ledger is not None and charged else (),
            released=tuple(entry for entry in entries if entry["body"]["run_id"] == run_id),
            erased=erased,
            kept=self._kept(name),
        )

    def _kept(self, name: str) -> tuple[retention.Kept, ...]:
        agreed, kept = self.agreement.retention, self.sites[name].kept
        if agreed is None:
            return ()
        if kept is None:
            return (retention.Kept(retention.log_item(agreed), "It was not tried."),)
        return kept

    def charged(self, run_id: str) -> tuple[str, ...]:
        """Return the teachers whose ledgers a run was charged to."""
        return tuple(
            name
            for name in self.agreement.teachers
            if (ledger := self.sites[name].ledger) is not None and run_id in ledger.books().charges
        )

    def spent_text(self, run_id: str) -> str:
        """Return in words what a run has charged."""
        charged = self.charged(run_id)
        if not charged:
            return _NOTHING_CHARGED
        names = ", ".join(sorted(charged))
        accounting, privacy = self.plan.accounting, self.agreement.privacy
        if accounting is None or privacy is None:
            return f"Noted for ever, as a use WITHOUT DIFFERENTIAL PRIVACY: at {names}."
        return (
            f"Charged, and spent for ever: epsilon {at_most(accounting.epsilon)} at delta "
            f"{privacy.delta:g} at {names}."
        )

    def open_run_id(self) -> str:
        """Return the id of the run that was cut off, or an empty text if it has none yet.

        A party whose part was over has noted the id in its journal. In the ledger, a run
        that was cut off has a charge and no erasure.
        """
        for name in self.agreement.teachers:
            folder, ledger = self.states[name] / _RUN_FOLDER, self.sites[name].ledger
            if ledger is None or not folder.exists():
                continue
            journal = Journal(folder)
            noted = journal.fact("run_id")
            journal.close()
            if noted:
                return noted
            books = ledger.books()
            erased = {note["run_id"] for note in books.notes if note["kind"] == "erasure"}
            still_open = [run_id for run_id in books.charges if run_id not in erased]
            if still_open:
                return still_open[-1]
        return ""
