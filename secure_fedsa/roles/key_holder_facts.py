"""What the key holder knows during a run, and how each event adds to it or is refused."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.messages import (
    AGGREGATOR,
    STUDENT,
    Abort,
    Blind,
    BlindedScores,
    LedgerSegment,
    Release,
    Result,
    Roster,
    RosterSignature,
    Sum,
    Upload,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.charges import check_segment
from secure_fedsa.roles.effects import (
    Event,
    LogRelease,
    Persisted,
    Received,
)
from secure_fedsa.roles.refusals import must_be, once_only, told_by
from secure_fedsa.roles.rosters import Opened, check_upload
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import Aggregate, Encrypted
from secure_fedsa.wire import canonical


@dataclass(frozen=True, slots=True, repr=False)
class KeyHolder:
    """The key holder's state.

    Attributes:
        session: The opening phases.
        opened_before: Sums that this key holder opened, from its release log.
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
        released: Whether the aggregator, if it is the custodian, told of its release.
        finished: Whether the student's result came.
    """

    session: Session
    opened_before: tuple[Opened, ...] = ()
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
    released: bool = False
    finished: bool = False


def absorb(state: KeyHolder, event: Event) -> KeyHolder:
    """Return the state with one event's fact added.

    Raises:
        ProtocolError: If a message is not allowed here.
    """
    match event:
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
        case Release(roster_hash=roster_hash, sum_hash=sum_hash, signal_ids=signal_ids):
            assert state.aggregate is not None
            summed = canonical.sha256(state.aggregate.ciphertext)
            permitted = (state.roster_hash, summed, state.signal_ids)
            opened = (roster_hash, sum_hash, signal_ids)
            must_be(opened == permitted, sender, "opened another sum.")
            return replace(state, released=True)
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
    return replace(state, session=replace(session, problem=told_by(sender, abort)))


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
    must_be(
        total.values == session.agreement.feature_values,
        sender,
        f"sent a sum of {total.values} values.",
        clause="encoder.dimension",
    )
    aggregate = suite_of(session.agreement).add(state.uploads)
    must_be(
        aggregate.ciphertext == total.ciphertext,
        sender,
        "sent a sum that is not the sum of the signed uploads.",
    )
    return replace(state, aggregate=aggregate)
