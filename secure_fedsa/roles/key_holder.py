"""The key holder: unblinds scores, selects, signs the roster, opens one sum.

It holds the feature key and never sees one teacher's signal: uploads are masked, and its
release takes a complete roster's sum. It is also the one party that decides who counts as
silent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, ReleaseRefused, SecureFedsaError
from secure_fedsa.messages import (
    AGGREGATOR,
    STUDENT,
    Abort,
    Blind,
    BlindedScores,
    FeatureKey,
    LedgerSegment,
    Release,
    Result,
    Roster,
    RosterSignature,
    Sum,
    Upload,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.effects import (
    Deadline,
    DrawEntropy,
    Drawn,
    Effect,
    Event,
    FeatureKeyDraw,
    LogRelease,
    Persist,
    Persisted,
    Received,
    Send,
    Started,
)
from secure_fedsa.roles.noisy_release import check_segment, score_unit
from secure_fedsa.roles.rosters import Opened, check_upload, opened_conflict, roster_hash_of
from secure_fedsa.roles.session import Session, must_be, once_only
from secure_fedsa.selection import choose
from secure_fedsa.signals import Aggregate, Encrypted
from secure_fedsa.wire import canonical


@dataclass(frozen=True, slots=True, repr=False)
class KeyHolder:
    """The key holder's state.

    Attributes:
        session: The opening phases.
        opened_before: Sums that this key holder opened, from its release log.
        secret_key: The feature key's secret part.
        segments: Ledger segments by teacher.
        charges: Hash of the ledger's charge by teacher: the only signal id it may upload.
        data_sets: Data set ids by teacher.
        blinds: By teacher.
        blinded: Blinded scores by teacher, once the aggregator sent them.
        scores: By teacher; None for a score out of the public range.
        roster: The roster in force.
        roster_hash: Its hash.
        signatures: Members that signed it.
        uploads: Masked signals by member.
        upload_hashes: Names of the messages that brought them.
        signal_ids: By member.
        aggregate: The recomputed sum, once it equals the aggregator's.
        logged: Whether the release is durable in the log.
        finished: Whether the student's result came.
    """

    session: Session
    opened_before: tuple[Opened, ...] = ()
    secret_key: bytes = b""
    segments: dict[str, LedgerSegment] = field(default_factory=dict)
    charges: dict[str, str] = field(default_factory=dict)
    data_sets: dict[str, str] = field(default_factory=dict)
    blinds: dict[str, bytes] = field(default_factory=dict)
    blinded: dict[str, bytes] | None = None
    scores: dict[str, float | None] = field(default_factory=dict)
    roster: Roster | None = None
    roster_hash: str = ""
    signatures: frozenset[str] = frozenset()
    uploads: dict[str, Encrypted] = field(default_factory=dict)
    upload_hashes: dict[str, str] = field(default_factory=dict)
    signal_ids: dict[str, str] = field(default_factory=dict)
    aggregate: Aggregate | None = None
    logged: bool = False
    finished: bool = False


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
        kinds.add("result")
    return frozenset(kinds)


def step(state: KeyHolder, event: Event) -> tuple[KeyHolder, list[Effect]]:
    """Return the next state and the effects it asks for, in order.

    Raises:
        ProtocolError: If a message is not allowed here; the state is unchanged.
    """
    session, effects = opening.start(state.session, event)
    if isinstance(event, Started):
        effects.append(DrawEntropy("feature-key", FeatureKeyDraw()))
    state = _absorb(replace(state, session=opening.absorb(session, event)), event)
    state, more = _progress(state, late=isinstance(event, Deadline))
    return state, effects + more


def _absorb(state: KeyHolder, event: Event) -> KeyHolder:
    match event:
        case Drawn(tag="feature-key", value=(secret, public)):
            session = replace(state.session, feature_key=public)
            return replace(state, secret_key=secret, session=session)
        case Persisted(record=LogRelease()):
            return replace(state, logged=True)
        case Received():
            return _absorb_message(state, event)
        case _:
            return state


def _absorb_message(state: KeyHolder, event: Received) -> KeyHolder:
    sender, session = event.header.sender, state.session
    match event.body:
        case LedgerSegment() as segment:
            once_only(state.segments, sender, "ledger")
            charge = check_segment(segment, session, sender)
            # Otherwise one data set could stand for two members of a sum.
            must_be(
                segment.entries[0]["data_set"] not in state.data_sets.values(),
                sender,
                "named another teacher's data set as its own.",
            )
            return replace(
                state,
                segments={**state.segments, sender: segment},
                charges={**state.charges, sender: charge.entry_hash},
                data_sets={**state.data_sets, sender: segment.entries[0]["data_set"]},
            )
        case Blind(query_hash=query_hash, blind=blind):
            once_only(state.blinds, sender, "blind")
            _same_query(session, sender, query_hash)
            return replace(state, blinds={**state.blinds, sender: blind})
        case BlindedScores(query_hash=query_hash, scores=scores):
            must_be(state.blinded is None, sender, "sent scores twice.")
            _same_query(session, sender, query_hash)
            must_be(
                set(scores) <= opening.teachers_of(session.agreement),
                sender,
                "sent a score of an unknown teacher.",
            )
            return replace(state, blinded=dict(scores))
        case RosterSignature(roster_hash=roster_hash):
            if state.roster is None or roster_hash != state.roster_hash:
                return state
            must_be(sender in state.roster.members, sender, "signed a roster that it is not in.")
            return replace(state, signatures=state.signatures | {sender})
        case Upload() as upload:
            return _take_upload(state, event, upload)
        case Sum() as total:
            return _take_sum(state, sender, total)
        case Result():
            return replace(state, finished=True)
        case Abort() as abort:
            return _take_abort(state, sender, abort)
        case _:
            return state


def _take_abort(state: KeyHolder, sender: str, abort: Abort) -> KeyHolder:
    """Stop for a party that nobody can replace; a teacher that gave up is only silent."""
    session = state.session
    if session.agreement.parties[sender].role not in (AGGREGATOR, STUDENT) or session.problem:
        return state
    return replace(state, session=replace(session, problem=opening.told_by(sender, abort)))


def _same_query(session: Session, sender: str, query_hash: str) -> None:
    assert session.query_key is not None
    must_be(query_hash == session.query_key.query_hash, sender, "answered another query.")


def _take_upload(state: KeyHolder, event: Received, upload: Upload) -> KeyHolder:
    sender = event.header.sender
    assert state.roster is not None
    once_only(state.uploads, sender, "upload")
    # Else who withholds its signature could still make a smaller roster impossible.
    must_be(sender in state.signatures, sender, "uploaded before it signed the roster.")
    encrypted = check_upload(upload, sender, state.roster, state.roster_hash, state.session)
    must_be(
        upload.signal_id == state.charges.get(sender),
        sender,
        "uploaded a signal that its ledger was not charged for.",
    )
    return replace(
        state,
        uploads={**state.uploads, sender: encrypted},
        upload_hashes={**state.upload_hashes, sender: event.hash},
        signal_ids={**state.signal_ids, sender: upload.signal_id},
    )


def _take_sum(state: KeyHolder, sender: str, total: Sum) -> KeyHolder:
    """Recompute the sum from the signed uploads and pass it through the release gate."""
    assert state.roster is not None
    must_be(state.aggregate is None, sender, "sent a second sum.")
    must_be(total.roster_hash == state.roster_hash, sender, "summed over another roster.")
    must_be(
        total.uploads == state.upload_hashes and set(state.uploads) == set(state.roster.members),
        sender,
        "summed other uploads than the roster's.",
    )
    session = state.session
    aggregate = suite_of(session.agreement).add(state.uploads)
    must_be(
        aggregate.ciphertext == total.ciphertext and aggregate.values == total.values,
        sender,
        "sent a sum that is not the sum of the signed uploads.",
    )
    return replace(state, aggregate=aggregate)


def gate(state: KeyHolder) -> None:
    """Refuse to open a sum that the agreement or the release log forbids.

    Raises:
        ReleaseRefused: Naming the rule.
    """
    agreement, roster = state.session.agreement, state.roster
    if roster is None or state.aggregate is None:
        raise ReleaseRefused("There is no sum to open.")
    members = set(roster.members)
    if not (members == state.signatures == set(state.uploads) == set(state.aggregate.members)):
        raise ReleaseRefused("The roster is not complete.", do="Wait for every member.")
    if len(members) < agreement.selection.smallest_sum:
        raise ReleaseRefused(
            f"A sum over {len(members)} teachers stays closed.",
            why=f"The agreement asks for {agreement.selection.smallest_sum} at least.",
        )
    if not members <= set(state.segments):
        raise ReleaseRefused("A member's ledger does not show the charge.")
    run_id = state.session.run_id
    used = {s for o in state.opened_before if o.run_id != run_id for s in o.signals}
    again = set(state.signal_ids.values()) & used
    if again or len(set(state.signal_ids.values())) != len(members):
        raise ReleaseRefused("A signal was in an opened sum before.", do="Start a new run.")
    conflict = _conflict(state, members)
    if conflict:
        raise ReleaseRefused("The sum stays closed.", why=conflict)


def _conflict(state: KeyHolder, members: Iterable[str]) -> str | None:
    """Return why the release log forbids a sum over these members, or None.

    Compared by name and by data set: a new version of a data set has a new id.
    """
    names = frozenset(members)
    for roster in (names, frozenset(state.data_sets[name] for name in names)):
        conflict = opened_conflict(
            state.opened_before,
            roster,
            run_id=state.session.run_id,
            agreement=state.session.agreement,
        )
        if conflict:
            return conflict
    return None


def _progress(state: KeyHolder, *, late: bool) -> tuple[KeyHolder, list[Effect]]:
    session = state.session
    if session.over:
        return state, []
    if session.problem:
        # It tells everybody whoever stopped the run: the one that did may not have.
        session, effects = opening.end(replace(session, unfit=True))
        return replace(state, session=session), effects
    session, effects = opening.progress(session)
    if session.run_id and session.feature_key and not session.done("feature-key"):
        effects.append(Send(FeatureKey(session.feature_key)))
        session = session.mark("feature-key")
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
            f"{len(members)} teachers are left that may be selected, and a sum needs {smallest}. "
            "Nothing is released; every teacher's charge of this run stays spent."
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
    conflict = _conflict(state, members)
    if conflict:
        return _abort(state, "selection", f"The sum would stay closed. {conflict}", ())
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
    """Log durably, then decrypt: two effects with an acknowledgement between them."""
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
    try:
        released = suite_of(session.agreement).decrypt(state.secret_key, state.aggregate)
    except SecureFedsaError as error:
        return _abort(state, "release", str(error), ())
    published = state.secret_key if session.agreement.publish.feature_key else b""
    body = Release(
        state.roster_hash,
        sum_hash,
        state.signal_ids,
        released.values.astype("<i8").tobytes(),
        published,
    )
    return replace(state, session=session.mark("release")), [Send(body)]


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
