"""What a teacher knows during a run, and how each event adds to it or is refused."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import QueryClaim
from secure_fedsa.encryption.masks import VALUE_BYTES
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, SecureFedsaError
from secure_fedsa.messages import (
    STUDENT,
    Body,
    LedgerSegment,
    MaskShare,
    Query,
    Release,
    Result,
    Roster,
    RosterSignature,
)
from secure_fedsa.roles import session as opening
from secure_fedsa.roles.charges import check_segment
from secure_fedsa.roles.effects import (
    BindSignal,
    CommitCharge,
    Drawn,
    Event,
    ModelAsked,
    Persisted,
    Received,
    ReserveCharge,
    SummaryRead,
)
from secure_fedsa.roles.noisy_release import derive_signal
from secure_fedsa.roles.refusals import must_be, once_only
from secure_fedsa.roles.rosters import (
    CONFLICT_CLAUSE,
    Opened,
    check_roster,
    opened_conflict,
    roster_hash_of,
)
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import Encrypted, Noise, NoisySummary, Signal, from_int64_bytes

SHARE = "institution-share"
"""Tag of the draw of a share."""


@dataclass(frozen=True, slots=True, repr=False)
class Teacher:
    """A teacher's state.

    Attributes:
        session: The opening phases.
        query: The student's encrypted saliency.
        randomness: Uniform v that hides the score from the aggregator, and uniform r that
            makes the reply's randomness fresh.
        share: Its share of the noise that hides it in the sum, where that is agreed.
        summary: The noisy summary, once read; a model makes none.
        signal: What the summary says, once the charge is committed; or what the model said.
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
    share: Noise | None = None
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


def absorb(state: Teacher, event: Event) -> Teacher:
    """Return the state with one event's fact added.

    Raises:
        ProtocolError: If a message is not allowed here.
    """
    match event:
        case Received(header=header, body=body):
            return _absorb_message(state, header.sender, body)
        case Drawn(tag="reply", value=(blind, unit)):
            return replace(state, randomness=(blind, unit))
        case Drawn(tag=tag, value=(data,)) if tag == SHARE:
            # That seeded noise serves simulations only is checked where it is drawn.
            share = Noise(from_int64_bytes(data), state.agreement.simulation)
            return replace(state, share=share)
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
        case ModelAsked(signal=signal):
            return replace(state, signal=signal)
        case Persisted(record=CommitCharge(), value=segment):
            made = state.signal
            if made is None:
                assert state.summary is not None
                made = derive_signal(state.summary, state.agreement, state.share)
            entries = LedgerSegment(tuple(segment["entries"]), segment["head"])
            charge = check_segment(entries, state.session, state.session.me)
            return replace(state, signal=made, segment=entries, signal_id=charge.entry_hash)
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
                len(value) == VALUE_BYTES and any(value) and value != state.shares_out.get(sender),
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
    must_be(
        len(ciphertexts) == session.agreement.saliency.values,
        sender,
        f"sent a query of {len(ciphertexts)} values, not {session.agreement.saliency.values}.",
        clause="saliency.directions",
    )
    try:
        suite_of(session.agreement).check_query(claim(session, ciphertexts))
    except SecureFedsaError as error:
        raise ProtocolError(
            sender,
            "sent a malformed query.",
            why=str(error),
            clause="encryption.query_modulus_bits",
        ) from error
    return replace(state, query=ciphertexts)


def claim(session: Session, ciphertexts: tuple[bytes, ...]) -> QueryClaim:
    """Return the query with all that its check needs."""
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
    if state.left_out:
        return state
    check_roster(roster, session, sender, before=state.roster)
    if state.bound and session.me not in roster.members:
        return replace(state, left_out=True)  # its signature was lost on the way
    must_be(not state.bound, sender, "sent a new roster after the signal was bound.")
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
            clause=CONFLICT_CLAUSE,
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
