"""The teacher: private records, one charge, two encrypted signals.

Order after readiness, visible in :func:`_summary_effects`: the charge is durable, then the
noise is drawn, then the records are read once. Everything after that is computed from the
noisy summary, so nothing that leaves depends further on a record. In the routes whose teachers
are models, the model is trained (private-training) and asked once instead.
"""

from __future__ import annotations

from dataclasses import replace

from secure_fedsa.agreement import NOISY_RELEASE
from secure_fedsa.encryption.masks import VALUE_BYTES
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.messages import (
    AGGREGATOR,
    KEY_HOLDER,
    Blind,
    MaskShare,
    Reply,
    RosterSignature,
    Upload,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.effects import (
    AskModel,
    BindSignal,
    CommitCharge,
    Deadline,
    DrawEntropy,
    Effect,
    Event,
    FeatureEncryption,
    NoiseDraw,
    NoteBurned,
    NoteOpened,
    Persist,
    RandomBytes,
    ReadPrivate,
    ReplyDraw,
    ReserveCharge,
    Send,
    ShareDraw,
)
from secure_fedsa.roles.noisy_release import noise_plan, share_plan
from secure_fedsa.roles.rosters import Opened
from secure_fedsa.roles.session import Session
from secure_fedsa.roles.teacher_facts import SHARE, Teacher, absorb, claim
from secure_fedsa.wire import canonical

REPLY_SLOT = "reply"


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
        # The end too: a teacher that refused every roster must not wait for ever.
        kinds |= {"roster", "release", "result"}
    if state.roster is not None:
        kinds |= {"roster-signature", "mask-share"}
    return frozenset(kinds)


def step(state: Teacher, event: Event) -> tuple[Teacher, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    state = absorb(replace(state, session=opening.absorb(session, event)), event)
    if isinstance(event, Deadline):
        return state, effects  # only the key holder decides who is silent
    state, more = _progress(state)
    return state, effects + more


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
    made = state.summary is not None or state.signal is not None
    if made and not session.done("commit"):
        return replace(state, session=session.mark("commit")), [Persist(CommitCharge())]
    return state, []


def _summary_effects(state: Teacher) -> list[Effect]:
    """Charge durably, draw everything secret, read the records once: in this order.

    A model's training draws its noise step by step, so that is part of asking it.
    """
    assert state.session.query_key is not None
    first: list[Effect] = [
        Persist(ReserveCharge()),
        DrawEntropy("reply", ReplyDraw(state.session.query_key.modulus)),
    ]
    if state.agreement.route != NOISY_RELEASE:
        return [*first, AskModel()]
    if state.agreement.institution_privacy is not None:
        # Kept with the run's secrets, so that a crash does not make a second share of one charge.
        first.append(DrawEntropy(SHARE, ShareDraw(share_plan(state.agreement))))
    noise = noise_plan(state.agreement, state.session.me)
    draw = NoiseDraw(noise.shape, noise.event.noise_scale)
    return [*first, DrawEntropy("noise", draw), ReadPrivate(draw)]


def _reply(state: Teacher) -> tuple[Teacher, list[Effect]]:
    session = state.session
    if state.signal is None or state.segment is None or session.done("reply"):
        return state, []
    assert session.query_key is not None
    assert state.randomness is not None
    suite = suite_of(state.agreement)
    reply = suite.reply(claim(session, state.query), state.signal, state.randomness)
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
            DrawEntropy(f"share:{state.roster_hash}:{other}", RandomBytes(VALUE_BYTES))
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
