"""The aggregator: opens blinded scores, adds masked ciphertexts, keeps the transcript.

It holds the student's query key, so it can open replies; each reply carries a blind that
only the key holder can take off. It holds the feature key only where the agreement gives it
custody, and then opens nothing but the sum that the key holder permits.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import SecureFedsaError
from secure_fedsa.messages import (
    KEY_HOLDER,
    BlindedScores,
    Body,
    LedgerSegment,
    Permit,
    QuerySecret,
    Release,
    Reply,
    Result,
    Roster,
    Sum,
    Upload,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.charges import check_segment
from secure_fedsa.roles.effects import Deadline, Effect, Event, Received, Send
from secure_fedsa.roles.refusals import must_be, once_only
from secure_fedsa.roles.release import open_sum
from secure_fedsa.roles.rosters import check_roster, check_upload, roster_hash_of
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import Aggregate, Encrypted
from secure_fedsa.wire import canonical


@dataclass(frozen=True, slots=True, repr=False)
class Aggregator:
    """The aggregator's state.

    Attributes:
        session: The opening phases.
        primes: The query key's secret primes.
        heads: Head of the ledger segment by teacher, once it shows the agreed charge.
        replies: Blinded scores still encrypted, by teacher.
        roster: The roster in force.
        roster_hash: Its hash.
        uploads: Masked signals by member.
        upload_hashes: Names of the messages that brought them.
        signal_ids: Signals that they bring, by member.
        aggregate: The sum.
        sum_hash: SHA-256 of the sum's ciphertext.
        permit: The key holder's leave to open it, if this party is the custodian.
        released: Whether the sum was opened.
        student_sha256: Hash of the student; ends the run.
    """

    session: Session
    primes: tuple[bytes, ...] = ()
    heads: dict[str, str] = field(default_factory=dict)
    replies: dict[str, bytes] = field(default_factory=dict)
    roster: Roster | None = None
    roster_hash: str = ""
    uploads: dict[str, Encrypted] = field(default_factory=dict)
    upload_hashes: dict[str, str] = field(default_factory=dict)
    signal_ids: dict[str, str] = field(default_factory=dict)
    aggregate: Aggregate | None = None
    sum_hash: str = ""
    permit: Permit | None = None
    released: bool = False
    student_sha256: str = ""


def initial(session: Session) -> Aggregator:
    """Return the state before the run."""
    return Aggregator(session)


def expected(state: Aggregator) -> frozenset[str]:
    """Return the message kinds that the aggregator may take now."""
    if state.session.over:
        return frozenset()
    kinds = set(opening.expected(state.session))
    if state.session.keys_complete:
        kinds.add("query-secret")
    if state.session.all_ready:
        kinds |= {"reply", "ledger", "roster"}
    if state.roster is not None:
        kinds |= {"roster-signature", "upload"}
    if state.aggregate is not None:
        kinds |= {"permit", "release"}
    if state.released:
        kinds.add("result")
    return frozenset(kinds)


def step(state: Aggregator, event: Event) -> tuple[Aggregator, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    state = replace(state, session=opening.absorb(session, event))
    if isinstance(event, Received):
        state = _absorb_message(state, event)
    state, more = _progress(state, late=isinstance(event, Deadline))
    return state, effects + more


def _absorb_message(state: Aggregator, event: Received) -> Aggregator:
    sender, body = event.header.sender, event.body
    assert isinstance(body, Body)
    match body:
        case QuerySecret(primes=primes):
            must_be(not state.primes, sender, "sent a second query secret.")
            assert state.session.query_key is not None
            must_be(
                suite_of(state.session.agreement).fits(primes, state.session.query_key.modulus),
                sender,
                "sent primes of another query key than the published one.",
                clause="encryption.query_modulus_bits",
            )
            return replace(state, primes=primes)
        case Reply(query_hash=query_hash, reply=reply):
            assert state.session.query_key is not None
            once_only(state.replies, sender, "reply")
            must_be(
                query_hash == state.session.query_key.query_hash, sender, "answered another query."
            )
            return replace(state, replies={**state.replies, sender: reply})
        case LedgerSegment():
            once_only(state.heads, sender, "ledger")
            check_segment(body, state.session, sender)
            if state.roster is not None:
                _same_heads(state.roster, {sender: body.head}, sender)
            return replace(state, heads={**state.heads, sender: body.head})
        case Roster():
            must_be(not state.session.done("sum"), sender, "sent a new roster after the sum.")
            check_roster(body, state.session, sender, before=state.roster)
            _same_heads(body, state.heads, sender)
            return replace(
                state,
                roster=body,
                roster_hash=roster_hash_of(body, state.session.run_id),
                uploads={},
                upload_hashes={},
                signal_ids={},
            )
        case Upload(signal_id=signal_id):
            assert state.roster is not None
            once_only(state.uploads, sender, "upload")
            encrypted = check_upload(body, sender, state.roster, state.roster_hash, state.session)
            return replace(
                state,
                uploads={**state.uploads, sender: encrypted},
                upload_hashes={**state.upload_hashes, sender: event.hash},
                signal_ids={**state.signal_ids, sender: signal_id},
            )
        case Permit():
            must_be(state.permit is None, sender, "permitted a second sum.")
            must_be(body == _permitted(state), sender, "permitted another sum.")
            return replace(state, permit=body)
        case Release(roster_hash=roster_hash, sum_hash=sum_hash, signal_ids=signal_ids):
            told, mine = Permit(roster_hash, sum_hash, signal_ids), _permitted(state)
            must_be(told == mine, sender, "opened another sum.")
            return replace(state, released=True)
        case Result(student_sha256=sha256):
            return replace(state, student_sha256=sha256)
        case _:
            return state


def _permitted(state: Aggregator) -> Permit:
    """Return what alone may be permitted and opened."""
    return Permit(state.roster_hash, state.sum_hash, state.signal_ids)


def _same_heads(roster: Roster, heads: dict[str, str], sender: str) -> None:
    """Refuse a roster, or a member's segment, that does not go with what came before it.

    Of members only: another teacher that tells two heads must not cost everybody a charge.
    """
    for name in roster.members:
        head = roster.ledger_heads[name]
        must_be(
            heads.get(name, head) == head,
            sender,
            f"told another ledger head of {name} than before.",
        )


def _progress(state: Aggregator, *, late: bool) -> tuple[Aggregator, list[Effect]]:
    session = state.session
    if session.over:
        return state, []
    if session.problem:
        session, effects = opening.end(session)
        return replace(state, session=session), effects
    session, effects = opening.progress(session)
    session, more = opening.make_ready(session, complete=bool(state.primes))
    effects += more
    state = replace(state, session=session)
    for part in (_scores, _sum, _open):
        state, more = part(state, late=late)
        effects += more
    if state.student_sha256:
        session, more = opening.stop(state.session)
        return replace(state, session=session), effects + more
    return state, effects


def _scores(state: Aggregator, *, late: bool) -> tuple[Aggregator, list[Effect]]:
    """Open the replies, still blinded, once all came or the deadline passed."""
    session = state.session
    complete = set(state.replies) == opening.teachers_of(session.agreement)
    if session.done("scores") or not state.replies or not (complete or late):
        return state, []
    assert session.query_key is not None
    suite = suite_of(session.agreement)
    scores = suite.open_replies(state.primes, state.replies)
    body = BlindedScores(session.query_key.query_hash, scores)
    state = replace(state, session=session.mark("scores"))
    return state, [Send(body, session.agreement.only(KEY_HOLDER))]


def _sum(state: Aggregator, *, late: bool) -> tuple[Aggregator, list[Effect]]:
    """Add the ciphertexts once every member's upload and charge came; never a partial sum."""
    del late
    session = state.session
    if state.roster is None or session.done("sum"):
        return state, []
    members = set(state.roster.members)
    if set(state.uploads) != members or not members <= set(state.heads):
        return state, []
    aggregate = suite_of(session.agreement).add(state.uploads)
    body = Sum(state.roster_hash, state.upload_hashes, aggregate.values, aggregate.ciphertext)
    sum_hash = canonical.sha256(aggregate.ciphertext)
    session = session.mark("sum")
    return replace(state, session=session, aggregate=aggregate, sum_hash=sum_hash), [Send(body)]


def _open(state: Aggregator, *, late: bool) -> tuple[Aggregator, list[Effect]]:
    """Open the permitted sum, if the feature key is here."""
    del late
    session = state.session
    if state.permit is None or session.done("release"):
        return state, []
    assert state.aggregate is not None
    session = session.mark("release")
    try:
        effects = open_sum(session, state.permit, state.aggregate)
    except SecureFedsaError as error:
        session = replace(session, problem=str(error), unfit=True)
        session, effects = opening.end(session)
        return replace(state, session=session), effects
    return replace(state, session=session, released=True), effects
