"""The teacher: private records, one charge, two encrypted signals.

Order after readiness, visible in :func:`_summary_effects`: the charge is durable, then the
noise is drawn, then the records are read once. Everything after that is computed from the
noisy summary, so nothing that leaves depends further on a record.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import QueryClaim
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, SecureFedsaError
from secure_fedsa.messages import (
    AGGREGATOR,
    KEY_HOLDER,
    STUDENT,
    Blind,
    Body,
    LedgerSegment,
    MaskShare,
    Query,
    Release,
    Reply,
    Result,
    Roster,
    RosterSignature,
    Upload,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.effects import (
    BindSignal,
    CommitCharge,
    Deadline,
    DrawEntropy,
    Drawn,
    Effect,
    Event,
    FeatureEncryption,
    NoiseDraw,
    NoteBurned,
    NoteOpened,
    Persist,
    Persisted,
    RandomBytes,
    ReadPrivate,
    Received,
    ReplyDraw,
    ReserveCharge,
    Send,
    SummaryRead,
)
from secure_fedsa.roles.noisy_release import check_segment, derive_signal, noise_plan
from secure_fedsa.roles.rosters import Opened, check_roster, opened_conflict, roster_hash_of
from secure_fedsa.roles.session import Session, must_be, once_only
from secure_fedsa.signals import Encrypted, NoisySummary, Signal
from secure_fedsa.wire import canonical

SHARE_BYTES = 32
REPLY_SLOT = "reply"


@dataclass(frozen=True, slots=True, repr=False)
class Teacher:
    """A teacher's state.

    Attributes:
        session: The opening phases.
        query: The student's encrypted saliency.
        randomness: Uniform v that hides the score from the aggregator, and uniform r that
            makes the reply's randomness fresh.
        summary: The noisy summary, once read.
        signal: What the summary says, once the charge is committed.
        signal_id: Hash of the ledger's charge for it; enters at most one opened sum.
        segment: This run's ledger entries.
        roster: The roster in force.
        roster_hash: Its hash.
        roster_from: The party that sent it.
        signatures: Members that signed the roster in force.
        shares_out: Mask values drawn for other members.
        shares_in: Mask values received for the roster in force, by sender.
        early: By sender, its newest roster signature or mask value for a roster that did
            not arrive yet; messages of two senders may overtake each other.
        bound: Roster hash that the signal is bound to, for ever.
        charged: Whether the ledger was charged for this run.
        uploaded: Whether the masked upload was sent.
        released: Roster hash of the newest release that was told.
        left_out: Whether the run went on with a roster that does not have this teacher,
            after its signal was bound to another.
        opened_before: Sums opened over this data set, from its ledger.
    """

    session: Session
    opened_before: tuple[Opened, ...] = ()
    query: tuple[bytes, ...] = ()
    randomness: tuple[bytes, bytes] | None = None
    summary: NoisySummary | None = None
    signal: Signal | None = None
    signal_id: str = ""
    segment: LedgerSegment | None = None
    roster: Roster | None = None
    roster_hash: str = ""
    signatures: frozenset[str] = frozenset()
    shares_out: dict[str, bytes] = field(default_factory=dict)
    shares_in: dict[str, bytes] = field(default_factory=dict)
    early: dict[tuple[str, str], RosterSignature | MaskShare] = field(default_factory=dict)
    bound: str = ""
    bound_durable: bool = False
    encrypted: Encrypted | None = None
    charged: bool = False
    uploaded: bool = False
    released: str = ""
    left_out: bool = False

    @property
    def agreement(self) -> Agreement:
        """The run's agreement."""
        return self.session.agreement

    @property
    def opened(self) -> bool:
        """Whether the sum that this teacher uploaded to was opened."""
        return self.uploaded and self.released == self.bound

    @property
    def others(self) -> tuple[str, ...]:
        """The other members of the roster in force, if this teacher is in it."""
        if self.roster is None or self.session.me not in self.roster.members:
            return ()
        return tuple(name for name in self.roster.members if name != self.session.me)


def initial(session: Session, *, opened_before: tuple[Opened, ...] = ()) -> Teacher:
    """Return the state before the run."""
    return Teacher(session, opened_before=opened_before)


def expected(state: Teacher) -> frozenset[str]:
    """Return the message kinds that this teacher may take now."""
    kinds = set(opening.expected(state.session))
    if state.session.over:
        return frozenset()
    if state.session.keys_complete:
        kinds.add("query")
    if state.segment is not None:
        kinds |= {"roster", "result"}
    if state.roster is not None:
        kinds |= {"roster-signature", "mask-share", "release"}
    return frozenset(kinds)


def step(state: Teacher, event: Event) -> tuple[Teacher, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    state = _absorb(replace(state, session=opening.absorb(session, event)), event)
    if isinstance(event, Deadline):
        return state, effects  # only the key holder decides who is silent
    state, more = _progress(state)
    return state, effects + more


def _absorb(state: Teacher, event: Event) -> Teacher:
    match event:
        case Received(header=header, body=body):
            return _absorb_message(state, header.sender, body)
        case Drawn(tag="reply", value=(blind, unit)):
            return replace(state, randomness=(blind, unit))
        case Drawn(tag="upload", value=(data,)):
            values = state.agreement.feature_values
            return replace(state, encrypted=Encrypted(data, values))
        case Drawn(tag=tag, value=(data,)) if tag.startswith(f"share:{state.roster_hash}:"):
            other = tag.rpartition(":")[2]
            return replace(state, shares_out={**state.shares_out, other: data})
        case Persisted(record=ReserveCharge()):
            return replace(state, charged=True)
        case SummaryRead(summary=summary):
            return replace(state, summary=summary)
        case Persisted(record=CommitCharge(), value=segment):
            assert state.summary is not None
            signal = derive_signal(state.summary, state.agreement)
            entries = LedgerSegment(tuple(segment["entries"]), segment["head"])
            charge = check_segment(entries, state.session, state.session.me)
            return replace(state, signal=signal, segment=entries, signal_id=charge.entry_hash)
        case Persisted(record=BindSignal(roster_hash=roster_hash)):
            return replace(state, bound=roster_hash, bound_durable=True)
        case _:
            return state


def _absorb_message(state: Teacher, sender: str, body: Body) -> Teacher:
    match body:
        case Query(ciphertexts=ciphertexts):
            return _take_query(state, sender, ciphertexts)
        case Roster():
            return _take_roster(state, sender, body)
        case RosterSignature() | MaskShare():
            return _take_from_member(state, sender, body)
        case Release(roster_hash=roster_hash):
            known = roster_hash == (state.bound or roster_hash)
            must_be(known or state.left_out, sender, "opened another roster.")
            return replace(state, released=roster_hash)
        case Result():
            return replace(state, session=state.session.mark("result-seen"))
        case _:
            return state


def _take_from_member(state: Teacher, sender: str, body: RosterSignature | MaskShare) -> Teacher:
    """Accept a member's signature or mask value, or keep it for a roster still to come."""
    if body.roster_hash != state.roster_hash:
        return replace(state, early={**state.early, (sender, type(body).__name__): body})
    assert state.roster is not None
    member = sender in state.roster.members and sender != state.session.me
    must_be(member, sender, "takes part in a roster that it is not in.")
    match body:
        case RosterSignature():
            must_be(sender not in state.signatures, sender, "signed the roster twice.")
            return replace(state, signatures=state.signatures | {sender})
        case MaskShare(value=value):
            must_be(sender in state.others, sender, "sent a mask value to no member.")
            once_only(state.shares_in, sender, "mask-share")
            # As the masks themselves ask: an honest member never sends these.
            must_be(
                len(value) == SHARE_BYTES and any(value) and value != state.shares_out.get(sender),
                sender,
                "sent a mask value that no honest member sends.",
            )
            return replace(state, shares_in={**state.shares_in, sender: value})


def _take_early(state: Teacher) -> Teacher:
    """Accept what members sent before this roster arrived; bad ones count as not sent."""
    for (sender, _), body in state.early.items():
        if body.roster_hash == state.roster_hash:
            with suppress(ProtocolError):
                state = _take_from_member(state, sender, body)
    return replace(state, early={})


def _take_query(state: Teacher, sender: str, ciphertexts: tuple[bytes, ...]) -> Teacher:
    """Accept the one query of the run, after its key and every ciphertext were checked."""
    session = state.session
    assert session.query_key is not None
    must_be(not state.query, sender, "sent a second query.")
    must_be(
        opening.query_hash_of(ciphertexts) == session.query_key.query_hash,
        sender,
        "sent a query other than the one whose hash it published.",
    )
    try:
        suite_of(session.agreement).check_query(_claim(session, ciphertexts))
    except SecureFedsaError as error:
        raise ProtocolError(sender, "sent a malformed query.", why=str(error)) from error
    return replace(state, query=ciphertexts)


def _claim(session: Session, ciphertexts: tuple[bytes, ...]) -> QueryClaim:
    assert session.query_key is not None
    return QueryClaim(
        session.query_key.modulus,
        session.query_key.proof,
        ciphertexts,
        session.run_id,
        session.agreement.only(STUDENT),
    )


def _take_roster(state: Teacher, sender: str, roster: Roster) -> Teacher:
    """Accept a roster that the agreement and this teacher's own log allow."""
    session, agreement = state.session, state.agreement
    if state.bound and session.me not in roster.members:
        return replace(state, left_out=True)  # its signature was lost on the way
    must_be(not state.bound, sender, "sent a new roster after the signal was bound.")
    must_be(
        roster.number == (state.roster.number + 1 if state.roster else 1),
        sender,
        "sent a roster out of order.",
    )
    check_roster(roster, session, sender)
    if session.me in roster.members:
        assert state.segment is not None
        must_be(
            roster.ledger_heads.get(session.me) == state.segment.head,
            sender,
            "countersigned another ledger head than this teacher's.",
        )
        conflict = opened_conflict(
            state.opened_before,
            frozenset(roster.members),
            run_id=session.run_id,
            agreement=agreement,
        )
        must_be(
            conflict is None,
            sender,
            "asked for a sum that must stay closed.",
            why=conflict or "",
        )
    state = replace(
        state,
        roster=roster,
        roster_hash=roster_hash_of(roster, session.run_id),
        signatures=frozenset(),
        shares_out={},
        shares_in={},
    )
    return _take_early(state)


def _progress(state: Teacher) -> tuple[Teacher, list[Effect]]:
    if state.session.over:
        return state, []
    if state.session.problem:
        return _end(state)
    effects: list[Effect] = []
    for part in (_opening, _summary, _reply, _exchange, _bind, _upload, _close):
        state, more = part(state)
        effects += more
    return state, effects


def _opening(state: Teacher) -> tuple[Teacher, list[Effect]]:
    session, effects = opening.progress(state.session)
    session, more = opening.make_ready(session, complete=bool(state.query))
    return replace(state, session=session), effects + more


def _summary(state: Teacher) -> tuple[Teacher, list[Effect]]:
    session = state.session
    if not session.all_ready:
        return state, []
    if not session.done("summary"):
        return replace(state, session=session.mark("summary")), _summary_effects(state)
    if state.summary is not None and not session.done("commit"):
        return replace(state, session=session.mark("commit")), [Persist(CommitCharge())]
    return state, []


def _summary_effects(state: Teacher) -> list[Effect]:
    """Charge durably, draw everything secret, read the records once: in this order."""
    assert state.session.query_key is not None
    noise = noise_plan(state.agreement, state.session.me)
    draw = NoiseDraw(noise.shape, noise.event.noise_scale)
    return [
        Persist(ReserveCharge()),
        DrawEntropy("reply", ReplyDraw(state.session.query_key.modulus)),
        DrawEntropy("noise", draw),
        ReadPrivate(draw),
    ]


def _reply(state: Teacher) -> tuple[Teacher, list[Effect]]:
    session = state.session
    if state.signal is None or state.segment is None or session.done("reply"):
        return state, []
    assert session.query_key is not None
    assert state.randomness is not None
    suite = suite_of(state.agreement)
    reply = suite.reply(_claim(session, state.query), state.signal, state.randomness)
    query_hash = session.query_key.query_hash
    parties = state.agreement
    effects: list[Effect] = [
        Send(state.segment, slot=REPLY_SLOT),
        Send(Reply(query_hash, reply), parties.only(AGGREGATOR), REPLY_SLOT),
        Send(
            Blind(query_hash, suite.blind_share(state.randomness)),
            parties.only(KEY_HOLDER),
            REPLY_SLOT,
        ),
    ]
    return replace(state, session=session.mark("reply")), effects


def _exchange(state: Teacher) -> tuple[Teacher, list[Effect]]:
    if not state.others:
        return state, []
    name = f"exchange:{state.roster_hash}"
    if not state.session.done(name):
        draws: list[Effect] = [
            DrawEntropy(f"share:{state.roster_hash}:{other}", RandomBytes(SHARE_BYTES))
            for other in state.others
        ]
        return replace(state, session=state.session.mark(name)), draws
    name = f"sign:{state.roster_hash}"
    if set(state.shares_out) == set(state.others) and not state.session.done(name):
        effects: list[Effect] = [
            Send(MaskShare(state.roster_hash, value), other)
            for other, value in sorted(state.shares_out.items())
        ]
        effects.append(Send(RosterSignature(state.roster_hash)))
        return replace(state, session=state.session.mark(name)), effects
    return state, []


def _bind(state: Teacher) -> tuple[Teacher, list[Effect]]:
    complete = (
        bool(state.others)
        and state.signatures == set(state.others)
        and set(state.shares_in) == set(state.others) == set(state.shares_out)
    )
    if not complete or state.session.done("bind"):
        return state, []
    assert state.roster is not None
    record = BindSignal(state.roster_hash, state.roster.members, state.signal_id)
    session = state.session.mark("bind")
    return replace(state, session=session, bound=state.roster_hash), [Persist(record)]


def _upload(state: Teacher) -> tuple[Teacher, list[Effect]]:
    session = state.session
    if not state.bound_durable:
        return state, []
    if not session.done("encrypt"):
        assert state.signal is not None
        assert state.roster is not None
        suite = suite_of(state.agreement)
        masked = suite.mask(
            suite.encode(state.signal),
            me=session.me,
            members=state.roster.members,
            mine=state.shares_out,
            theirs=state.shares_in,
            run_id=session.run_id,
            roster_hash=state.bound,
        )
        draw = DrawEntropy("upload", FeatureEncryption(session.feature_key, masked))
        return replace(state, session=session.mark("encrypt")), [draw]
    if state.encrypted is not None and not state.uploaded:
        upload = Upload(
            state.bound,
            canonical.sha256(session.feature_key),
            state.signal_id,
            state.encrypted.values,
            state.encrypted.ciphertext,
        )
        return replace(state, uploaded=True), [Send(upload)]
    return state, []


def _close(state: Teacher) -> tuple[Teacher, list[Effect]]:
    """Note an opened sum, then end once the student's result is known."""
    effects: list[Effect] = []
    if state.opened and not state.session.done("note-opened"):
        assert state.roster is not None
        effects.append(Persist(NoteOpened(state.bound, state.roster.members, state.signal_id)))
        state = replace(state, session=state.session.mark("note-opened"))
    if state.left_out and state.session.done("result-seen"):
        return _end(state)
    over = state.opened or (state.released and not state.bound)
    if over and state.session.done("result-seen"):
        session, more = opening.stop(state.session)
        return replace(state, session=session), effects + more
    return state, effects


def _end(state: Teacher) -> tuple[Teacher, list[Effect]]:
    """End without a release; a charge that bought nothing is noted as burned.

    Uploaded or not: otherwise stopping every run just after its charge would empty the
    budget, and no limit would ever be reached.
    """
    effects: list[Effect] = []
    if state.charged and not state.opened:
        roster_hash = state.bound if state.uploaded else ""
        effects.append(Persist(NoteBurned(roster_hash, state.signal_id)))
    session, more = opening.end(state.session)
    return replace(state, session=session), effects + more
