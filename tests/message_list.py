"""Every message of a run, one by one: what the plan only counts, really built and added up.

Slow on purpose: bodies and envelopes are encoded, long fields with filler of their lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.query_proof import ROUNDS
from secure_fedsa.messages import (
    AGGREGATOR,
    KEY_HOLDER,
    KIND_OF,
    RULES,
    STUDENT,
    TEACHER,
    Blind,
    BlindedScores,
    Body,
    FeatureKey,
    Keys,
    LedgerSegment,
    MaskShare,
    Nonce,
    Permit,
    Query,
    QueryKey,
    QuerySecret,
    Ready,
    Release,
    Reply,
    Result,
    Roster,
    RosterSignature,
    SealedSum,
    Sum,
    Upload,
)
from secure_fedsa.planning.sizes import (
    array_length,
    base64_length,
    public_key_bytes,
    reply_bytes,
    score_bytes,
    secret_key_bytes,
    signal_bytes,
)
from secure_fedsa.planning.traffic import Load, Traffic
from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.events import events_to_list
from secure_fedsa.privacy.ledger_entries import make_entry
from secure_fedsa.roles.noisy_release import noise_plan
from secure_fedsa.wire import bodies, canonical, envelope, keys

_HASH = "0" * 64
_DATA_SET = "0" * 32
_SCORE = 0.1234567890123456  # as many digits as most scores have
_RANDOM_BYTES = 32  # of a nonce and of a mask share
_SEALING_BYTES = 1136  # HPKE: 1,088 of ML-KEM-768, 32 of X25519, 16 of the tag


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a run.

    Attributes:
        sender: Party.
        recipient: Party, or ``*`` for a public message.
        kind: Its name on the wire.
        body_bytes: Length of its canonical body, before sealing.
        envelope_bytes: Length of the whole signed envelope.
    """

    sender: str
    recipient: str
    kind: str
    body_bytes: int
    envelope_bytes: int


@dataclass(frozen=True, slots=True)
class _Draft:
    """A message whose long fields were left empty; ``filler`` is what they add on the wire."""

    body: Body
    recipient: str = envelope.EVERYONE
    filler: int = 0


def messages_of(agreement: Agreement, members: Iterable[str]) -> tuple[Message, ...]:
    """Return the messages of a run whose sum is over ``members``, by sender."""
    roster = tuple(sorted(members))
    return tuple(
        _measured(sender, number, draft)
        for sender in sorted(agreement.parties)
        for number, draft in enumerate(_drafts(agreement, sender, roster))
    )


# --- who says what -----------------------------------------------------------------


def _drafts(agreement: Agreement, party: str, roster: tuple[str, ...]) -> Iterator[_Draft]:
    role = agreement.parties[party].role
    yield _Draft(Nonce(b""), filler=base64_length(_RANDOM_BYTES))
    yield _Draft(Keys(b""), filler=base64_length(keys.SEALING_PUBLIC_BYTES))
    if party == agreement.custodian:
        yield _Draft(FeatureKey(b""), filler=base64_length(public_key_bytes(agreement)))
    if role == STUDENT:
        yield from _query(agreement)
    yield _Draft(Ready(_HASH, _HASH))
    if role == TEACHER:
        yield from _answer(agreement, party)
    if party in roster:
        yield from _upload(agreement, party, roster)
    if role == AGGREGATOR:
        yield from _aggregate(agreement, roster)
    if role == KEY_HOLDER:
        yield _Draft(_roster(agreement, roster))
        if agreement.custody == AGGREGATOR:
            yield _Draft(Permit(_HASH, _HASH, dict.fromkeys(roster, _HASH)))
    if party == agreement.custodian:
        yield from _release(agreement, roster)
    if role == STUDENT:
        yield _Draft(Result(_HASH, _HASH))


def _query(agreement: Agreement) -> Iterator[_Draft]:
    encrypted = agreement.protection.he
    size = agreement.encryption.query_modulus_bits // 8
    modulus, roots = (size, ROUNDS) if encrypted else (len(b"none"), 0)
    prime = size // 2 if encrypted else len(b"none")
    yield _Draft(
        QueryKey(b"", (), _HASH), filler=base64_length(modulus) + array_length(roots, modulus)
    )
    for teacher in agreement.teachers:
        filler = array_length(agreement.saliency.values, reply_bytes(agreement))
        yield _Draft(Query(()), teacher, filler)
    yield _Draft(QuerySecret(()), agreement.only(AGGREGATOR), array_length(2, prime))


def _answer(agreement: Agreement, teacher: str) -> Iterator[_Draft]:
    yield _Draft(_segment(agreement, teacher))
    reply, blind = reply_bytes(agreement), score_bytes(agreement)
    yield _Draft(Reply(_HASH, b""), agreement.only(AGGREGATOR), base64_length(reply))
    if not agreement.protection.he:
        blind = 0
    yield _Draft(Blind(_HASH, b""), agreement.only(KEY_HOLDER), base64_length(blind))


def _upload(agreement: Agreement, teacher: str, roster: tuple[str, ...]) -> Iterator[_Draft]:
    for other in roster:
        if other != teacher:
            yield _Draft(MaskShare(_HASH, b""), other, base64_length(_RANDOM_BYTES))
    yield _Draft(RosterSignature(_HASH))
    body = Upload(_HASH, _HASH, _HASH, agreement.feature_values, b"")
    yield _Draft(body, filler=base64_length(signal_bytes(agreement)))


def _aggregate(agreement: Agreement, roster: tuple[str, ...]) -> Iterator[_Draft]:
    scores: dict[str, Any] = dict.fromkeys(agreement.teachers, b"")
    filler = base64_length(score_bytes(agreement)) * len(scores)
    yield _Draft(BlindedScores(_HASH, scores), agreement.only(KEY_HOLDER), filler)
    body = Sum(_HASH, dict.fromkeys(roster, _HASH), agreement.feature_values, b"")
    yield _Draft(body, filler=base64_length(signal_bytes(agreement)))


def _release(agreement: Agreement, roster: tuple[str, ...]) -> Iterator[_Draft]:
    publish, values = agreement.publish, base64_length(8 * agreement.feature_values)
    if not publish.sums:
        yield _Draft(SealedSum(_HASH, b""), agreement.only(STUDENT), values)
    shown = values if publish.sums else 0
    if publish.feature_key:
        shown += base64_length(secret_key_bytes(agreement))
    body = Release(_HASH, _HASH, dict.fromkeys(roster, _HASH), b"", b"")
    yield _Draft(body, filler=shown)


def _roster(agreement: Agreement, roster: tuple[str, ...]) -> Roster:
    teachers = agreement.teachers
    scores: dict[str, float] = {}
    if agreement.publish.scores == "values":
        scores = dict.fromkeys(teachers, _SCORE)
    elif agreement.publish.scores == "order":
        scores = {name: float(place) for place, name in enumerate(teachers, 1)}
    return Roster(1, roster, _HASH, _HASH, dict.fromkeys(teachers, _HASH), scores)


def _charge(agreement: Agreement, teacher: str) -> dict[str, Any]:
    """Return what a teacher's ledger is charged with, as the specification writes it."""
    if agreement.route == "encryption-only":
        return {"agreement": _HASH, "events": [{"kind": "no-differential-privacy"}]}
    promise, stated = agreement.promise, agreement.parties[teacher].stated
    terms = {"delta": promise.delta, "budget": promise.agreement_budget}
    if agreement.route == "noisy-release":
        event = noise_plan(agreement, teacher).event
        rho, listed = rho_of([event]), events_to_list([event])
        return {"agreement": _HASH, "events": listed, "rho": rho, "agreement_rho": rho, **terms}
    how = stated or agreement.training
    assert how is not None
    training = {
        "kind": "dp-sgd",
        "noise_multiplier": how.noise_multiplier,
        "sampling_rate": how.sampling_rate,
        "steps": how.steps,
    }
    return {
        "agreement": _HASH,
        "events": [training],
        "stated": stated is not None,
        "agreement_trainings": [training],
        **terms,
    }


def _segment(agreement: Agreement, teacher: str) -> LedgerSegment:
    charge = _charge(agreement, teacher)
    entries = tuple(
        make_entry(_DATA_SET, kind, _HASH, body, position=position, previous=_HASH)
        for position, (kind, body) in enumerate((("reserve", charge), ("commit", {})), 1)
    )
    return LedgerSegment(entries, _HASH)


# --- how long it is ----------------------------------------------------------------


def _measured(sender: str, sequence: int, draft: _Draft) -> Message:
    kind = KIND_OF[type(draft.body)]
    message_class = RULES[kind].message_class
    body_bytes = len(canonical.encode(bodies.to_json(draft.body))) + draft.filler
    run_id = "" if kind == "nonce" else _HASH
    header = envelope.Header(
        envelope.VERSION,
        run_id,
        _HASH,
        sender,
        draft.recipient,
        sequence,
        kind,
        message_class,
        _HASH,
    )
    around = len(envelope.Envelope(header, 0, bytes(64)).to_bytes()) - 1
    sealed = message_class == "sealed"
    travels = 2 + base64_length(body_bytes + _SEALING_BYTES) if sealed else body_bytes
    return Message(sender, draft.recipient, kind, body_bytes, around + travels)


# --- what it adds up to ------------------------------------------------------------


def traffic_of(agreement: Agreement) -> Traffic:
    """Return what a run will send, as the plan says it."""
    fullest = agreement.teachers[: agreement.selection.select]
    messages = messages_of(agreement, fullest)
    total: Counter[str] = Counter()
    for message in messages:
        total[message.kind] += message.envelope_bytes
    kinds = {kind: total[kind] for kind in RULES if kind in total}
    loads = {name: load_of(agreement, name, messages) for name in agreement.parties}
    alike: dict[tuple[int, int], Load] = {}
    for teacher in agreement.teachers:
        key = (len(teacher), teacher in fullest)
        if key not in alike:
            others = [name for name in fullest if name != teacher]
            roster = [teacher, *others[: len(fullest) - 1]]
            alike[key] = load_of(agreement, teacher, messages_of(agreement, roster))
        loads[teacher] = alike[key]
    return Traffic(sum(kinds.values()), kinds, loads)


def load_of(agreement: Agreement, party: str, messages: Iterable[Message]) -> Load:
    """Return what a party sends and takes; a public message is taken by all whom it concerns."""
    role = agreement.parties[party].role
    total: Counter[str] = Counter()
    for message in messages:
        if message.sender == party:
            total["sent"] += 1
            total["sent_bytes"] += message.envelope_bytes
        elif message.recipient == party or (
            message.recipient == envelope.EVERYONE and role in RULES[message.kind].recipients
        ):
            total["received"] += 1
            total["received_bytes"] += message.envelope_bytes
    return Load(total["sent"], total["sent_bytes"], total["received"], total["received_bytes"])
