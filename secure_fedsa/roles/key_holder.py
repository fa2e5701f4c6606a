"""The key holder: unblinds scores, selects, signs the roster, opens or permits one sum.

It never sees one teacher's signal: uploads are masked, and what it opens is a complete
roster's sum. With custody "aggregator" it has no feature key; it checks and logs the sum all
the same, and permits the aggregator to open it. It is also the one party that decides who counts as
silent.
"""

from __future__ import annotations

from dataclasses import replace

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, ReleaseRefused, SecureFedsaError, counted, resting_on
from secure_fedsa.messages import (
    STUDENT,
    Abort,
    Permit,
    Roster,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.effects import (
    Deadline,
    Effect,
    Event,
    LogRelease,
    Persist,
    Send,
)
from secure_fedsa.roles.key_holder_facts import KeyHolder, absorb
from secure_fedsa.roles.release import open_sum
from secure_fedsa.roles.release_gate import conflict_of, gate
from secure_fedsa.roles.rosters import CONFLICT_CLAUSE, Opened, roster_hash_of
from secure_fedsa.roles.scores import score_unit
from secure_fedsa.roles.session import Session
from secure_fedsa.selection import choose
from secure_fedsa.wire import canonical


def initial(
    session: Session,
    *,
    opened_before: tuple[Opened, ...] = (),
) -> KeyHolder:
    """Return the state before the run."""
    return KeyHolder(session, opened_before=opened_before)


def expected(state: KeyHolder) -> frozenset[str]:
    """Return the message kinds that the key holder may take now."""
    if state.session.over:
        return frozenset()
    kinds = set(opening.expected(state.session))
    if state.session.all_ready:
        kinds |= {"ledger", "blind", "blinded-scores"}
    if state.roster is not None:
        kinds |= {"roster-signature", "upload"}
        if set(state.uploads) == set(state.roster.members):
            kinds.add("sum")  # it may overtake an upload
    if state.logged:
        kinds |= {"release", "result"}
    return frozenset(kinds)


def step(state: KeyHolder, event: Event) -> tuple[KeyHolder, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    state = absorb(replace(state, session=opening.absorb(session, event)), event)
    state, more = _progress(state, late=isinstance(event, Deadline))
    return state, effects + more


def _progress(state: KeyHolder, *, late: bool) -> tuple[KeyHolder, list[Effect]]:
    session = state.session
    if session.over:
        return state, []
    if session.problem:
        # It tells everybody whoever stopped the run: the one that did may not have.
        session, effects = opening.end(replace(session, unfit=True))
        return replace(state, session=session), effects
    session, effects = opening.progress(session)
    # Its word is the last: no teacher can be charged while the key holder awaits anybody.
    others = set(session.agreement.parties) - {session.me}
    session, more = opening.make_ready(session, complete=others <= set(session.ready))
    effects += more
    state = replace(state, session=session)
    for part in (_select, _release):
        state, more = part(state)
        effects += more
    if late and not effects:
        state, more = _silence(state)
        effects += more
    if state.finished:
        session, more = opening.stop(state.session)
        return replace(state, session=session), effects + more
    return state, effects


def _select(state: KeyHolder) -> tuple[KeyHolder, list[Effect]]:
    """Unblind the scores, choose, and sign the first roster."""
    session = state.session
    if state.blinded is None or state.roster is not None or session.done("select"):
        return state, []
    awaited = set(state.blinded) - (set(state.blinds) & set(state.segments))
    if awaited and not session.done("late"):
        return state, []
    suite, unit = suite_of(session.agreement), score_unit(session.agreement)
    scores: dict[str, float | None] = {}
    for teacher in sorted(set(state.blinded) - awaited):
        try:
            integer = suite.score(state.blinded[teacher], state.blinds[teacher])
        except ProtocolError:
            integer = None  # a malformed blind is a score nobody can read: not selected
        scores[teacher] = None if integer is None else integer * unit
    state = replace(state, scores=scores, session=session.mark("select"))
    selection = session.agreement.selection
    members = choose(scores, select=selection.select, threshold=selection.threshold)
    return _sign_roster(state, members)


def _sign_roster(state: KeyHolder, members: tuple[str, ...]) -> tuple[KeyHolder, list[Effect]]:
    session = state.session
    smallest = session.agreement.selection.smallest_sum
    if len(members) < smallest:
        reason = (
            f"{counted(len(members), 'teacher is', 'teachers are')} left that may be selected, "
            f"and a sum needs {smallest}. "
            "Nothing is released; every teacher's charge of this run stays spent. "
            f"{resting_on(session.agreement.selection.binding)}"
        )
        return _abort(state, "selection", reason, ())
    assert session.query_key is not None
    roster = Roster(
        number=state.roster.number + 1 if state.roster else 1,
        members=members,
        keys_hash=session.keys_hash,
        query_hash=session.query_key.query_hash,
        ledger_heads={name: segment.head for name, segment in state.segments.items()},
        scores=_published(state),
    )
    conflict = conflict_of(state, members)
    if conflict:
        reason = f"The sum would stay closed. {conflict} {resting_on(CONFLICT_CLAUSE)}"
        return _abort(state, "selection", reason, ())
    roster_hash = roster_hash_of(roster, session.run_id)
    state = replace(state, roster=roster, roster_hash=roster_hash, signatures=frozenset())
    return state, [Send(roster)]


def _published(state: KeyHolder) -> dict[str, float]:
    """Return what the agreement lets the roster say about scores."""
    valid = {name: score for name, score in state.scores.items() if score is not None}
    match state.session.agreement.publish.scores:
        case "values":
            return valid
        case "order":
            ranked = sorted(valid, key=lambda name: -valid[name])
            return {name: float(place) for place, name in enumerate(ranked, 1)}
        case _:
            return {}


def _release(state: KeyHolder) -> tuple[KeyHolder, list[Effect]]:
    """Log durably, then open or permit: two effects with an acknowledgement between them."""
    session = state.session
    if state.aggregate is None or state.roster is None:
        return state, []
    sum_hash = canonical.sha256(state.aggregate.ciphertext)
    if not session.done("log-release"):
        try:
            gate(state)
        except ReleaseRefused as error:
            return _abort(state, "release", str(error), ())
        record = LogRelease(
            state.roster_hash,
            state.roster.members,
            {name: state.data_sets[name] for name in state.roster.members},
            sum_hash,
            state.signal_ids,
        )
        return replace(state, session=session.mark("log-release")), [Persist(record)]
    if not state.logged or session.done("release"):
        return state, []
    permit = Permit(state.roster_hash, sum_hash, state.signal_ids)
    effects: list[Effect] = [Send(permit)]
    if session.is_custodian:
        try:
            effects = open_sum(session, permit, state.aggregate)
        except SecureFedsaError as error:
            return _abort(state, "release", str(error), ())
    return replace(state, session=session.mark("release")), effects


def _silence(state: KeyHolder) -> tuple[KeyHolder, list[Effect]]:
    """Decide what a deadline means: leave the silent out while that is safe, else stop."""
    session = state.session
    if not session.all_ready:
        phase, missing = opening.silent(session)
        return _abort(state, phase, "A party is silent. Nothing was charged.", missing)
    if state.roster is None:
        if state.blinded is None or session.done("late"):
            missing = tuple(sorted(opening.teachers_of(session.agreement) - set(state.segments)))
            return _abort(state, "scores", "No scores came. Charges stay spent.", missing)
        return _select(replace(state, session=session.mark("late")))
    members = set(state.roster.members)
    if state.signatures != members and not state.uploads:
        # Nobody uploads before holding every signature, so a smaller roster is safe.
        return _sign_roster(state, tuple(sorted(state.signatures)))
    if state.logged:
        if not (session.is_custodian or state.released):
            custodian = (session.agreement.custodian,)
            return _abort(state, "release", "No release of the permitted sum came.", custodian)
        student = session.agreement.only(STUDENT)
        return _abort(state, "result", "The sum was opened, but the student is silent.", (student,))
    missing = tuple(sorted(members - set(state.uploads)))
    what = (
        "A selected teacher dropped out after the roster was complete."
        if missing
        else "No sum of the signed uploads came from the aggregator."
    )
    reason = (
        f"{what} The sum stays closed, nothing is released; this run's charges stay spent and "
        "are not charged again."
    )
    return _abort(state, "features", reason, missing)


def _abort(
    state: KeyHolder, phase: str, reason: str, missing: tuple[str, ...]
) -> tuple[KeyHolder, list[Effect]]:
    named = f"{reason} Awaited: {', '.join(missing)}." if missing else reason
    session = replace(state.session, problem=f"{phase}: {named}").mark("abort")
    session, effects = opening.stop(session, tell=Abort(phase, reason, missing))
    return replace(state, session=session), effects
