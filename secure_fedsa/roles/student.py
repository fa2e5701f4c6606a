"""The student: asks with an encrypted saliency, learns from one released sum."""

from __future__ import annotations

from dataclasses import dataclass, replace

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.messages import (
    AGGREGATOR,
    Query,
    QueryKey,
    QuerySecret,
    Release,
    Result,
    Roster,
    SealedSum,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.effects import (
    BuildStudent,
    DrawEntropy,
    Drawn,
    Effect,
    Event,
    QueryEncryption,
    QueryKeyDraw,
    Received,
    Send,
    Started,
    StudentBuilt,
)
from secure_fedsa.roles.refusals import must_be
from secure_fedsa.roles.rosters import check_roster, roster_hash_of
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import ReleasedSum, from_int64_bytes


@dataclass(frozen=True, slots=True, repr=False)
class Student:
    """The student's state.

    Attributes:
        session: The opening phases.
        saliency: The query before encryption, integers.
        primes: The query key's secret primes.
        query: The encrypted saliency.
        roster: The roster in force.
        roster_hash: Its hash.
        values: The opened sum's bytes.
        values_from: Hash of the message that brought them.
        opened: Whether the custodian told of the release.
        released: The opened sum, once both are known.
        student_sha256: Hash of the student built from it.
    """

    session: Session
    saliency: tuple[int, ...]
    primes: tuple[bytes, ...] = ()
    query: tuple[bytes, ...] = ()
    roster: Roster | None = None
    roster_hash: str = ""
    values: bytes = b""
    values_from: str = ""
    opened: bool = False
    released: ReleasedSum | None = None
    student_sha256: str = ""


def initial(session: Session, *, saliency: tuple[int, ...]) -> Student:
    """Return the state before the run."""
    return Student(session, saliency)


def expected(state: Student) -> frozenset[str]:
    """Return the message kinds that the student may take now."""
    if state.session.over:
        return frozenset()
    kinds = set(opening.expected(state.session))
    if state.session.all_ready:
        kinds.add("roster")
    if state.roster is not None:
        kinds |= {"sealed-sum", "release"}
    return frozenset(kinds)


def step(state: Student, event: Event) -> tuple[Student, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    if isinstance(event, Started):
        effects.append(DrawEntropy("query-key", QueryKeyDraw()))
    state = _absorb(replace(state, session=opening.absorb(session, event)), event)
    state, more = _progress(state)
    return state, effects + more


def _absorb(state: Student, event: Event) -> Student:
    match event:
        case Drawn(tag="query-key", value=primes):
            return replace(state, primes=primes)
        case Drawn(tag="query", value=ciphertexts):
            return replace(state, query=ciphertexts)
        case StudentBuilt(sha256=sha256):
            return replace(state, student_sha256=sha256)
        case Received(header=header, body=Roster() as roster):
            check_roster(roster, state.session, header.sender, before=state.roster)
            roster_hash = roster_hash_of(roster, state.session.run_id)
            state = replace(state, roster=roster, roster_hash=roster_hash)
            # What an earlier roster brought is no part of this one's sum.
            return replace(state, values=b"", values_from="", opened=False)
        case Received(header=header, body=SealedSum() as sealed, hash=digest):
            must_be(not state.values, header.sender, "sent a second sum.")
            _same_roster(state, header.sender, sealed.roster_hash)
            _check_values(state, header.sender, sealed.values)
            return _complete(replace(state, values=sealed.values, values_from=digest))
        case Received(header=header, body=Release() as release, hash=digest):
            must_be(not state.opened, header.sender, "sent a second release.")
            _same_roster(state, header.sender, release.roster_hash)
            if not release.values:
                return _complete(replace(state, opened=True))
            _check_values(state, header.sender, release.values)
            return _complete(replace(state, opened=True, values=release.values, values_from=digest))
        case _:
            return state


def _same_roster(state: Student, sender: str, roster_hash: str) -> None:
    must_be(roster_hash == state.roster_hash, sender, "opened another roster.")


def _check_values(state: Student, sender: str, data: bytes) -> None:
    """Refuse a sum of another length, or beyond what honest members can add up to."""
    assert state.roster is not None
    agreement = state.session.agreement
    must_be(
        len(data) == 8 * agreement.feature_values,
        sender,
        "released a sum of the wrong length.",
        clause="encoder.dimension",
    )
    values = from_int64_bytes(data)
    limit = agreement.largest_opened(len(state.roster.members))
    # Not abs: it leaves the least int64 negative.
    within = -limit <= int(values.min()) and int(values.max()) <= limit
    must_be(within, sender, "released values beyond the agreed range.", clause="features.bound")


def _complete(state: Student) -> Student:
    assert state.roster is not None
    if not (state.opened and state.values):
        return state
    return replace(
        state, released=ReleasedSum(from_int64_bytes(state.values), state.roster.members)
    )


def _progress(state: Student) -> tuple[Student, list[Effect]]:
    session = state.session
    if session.over:
        return state, []
    if session.problem:
        session, effects = opening.end(session)
        return replace(state, session=session), effects
    session, effects = opening.progress(session)
    state = replace(state, session=session)
    for part in (_key, _query, _build):
        state, more = part(state)
        effects += more
    session, more = opening.make_ready(state.session, complete=bool(state.query))
    state = replace(state, session=session)
    return state, effects + more


def _key(state: Student) -> tuple[Student, list[Effect]]:
    """Encrypt the query once the key exists; publish the key, its proof and the hash."""
    session = state.session
    if state.primes and not session.done("query"):
        draw = DrawEntropy("query", QueryEncryption(state.primes, state.saliency))
        return replace(state, session=session.mark("query")), [draw]
    if not (session.run_id and state.query) or session.done("query-key"):
        return state, []
    suite = suite_of(session.agreement)
    modulus, proof = suite.prove_query_key(state.primes, session.run_id, session.me)
    key = QueryKey(modulus, proof, opening.query_hash_of(state.query))
    session = replace(session, query_key=key).mark("query-key")
    return replace(state, session=session), [Send(key)]


def _query(state: Student) -> tuple[Student, list[Effect]]:
    """Send the same ciphertexts to every teacher, and the key to the aggregator."""
    session = state.session
    if not session.keys_complete or not state.query or session.done("send-query"):
        return state, []
    aggregator = session.agreement.only(AGGREGATOR)
    effects: list[Effect] = [Send(QuerySecret(state.primes), aggregator)]
    effects += [Send(Query(state.query), teacher) for teacher in session.agreement.teachers]
    return replace(state, session=session.mark("send-query")), effects


def _build(state: Student) -> tuple[Student, list[Effect]]:
    session = state.session
    if state.released is not None and not session.done("build"):
        return replace(state, session=session.mark("build")), [BuildStudent(state.released)]
    if state.student_sha256 and not session.done("result"):
        session, effects = opening.stop(session.mark("result"))
        result = Result(state.student_sha256, state.values_from)
        return replace(state, session=session), [Send(result), *effects]
    return state, []
