"""Every message of a run and its length, worked out from the agreement.

A message's length is its kind's, without what varies, plus what varies: names, numbers, keys
and ciphertexts of the agreed lengths. So no message is built, and a run of many parties, in
which every two members exchange mask values, is counted without listing them.

All lengths are exact but three: SEAL compresses ciphertexts and keys, to the entropy of their
bytes within one per cent (seven, with primes of 35 bits); a score has up to 21 digits; a
ledger's positions grow with its age.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_origin, get_type_hints

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import NO_KEY
from secure_fedsa.encryption.query_proof import ROUNDS
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, RULES, STUDENT, TEACHER, Role
from secure_fedsa.planning.sizes import (
    array_length,
    base64_length,
    integer_length,
    map_length,
    public_key_bytes,
    reply_bytes,
    score_bytes,
    secret_key_bytes,
    signal_bytes,
    texts_length,
)
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import Event
from secure_fedsa.privacy.ledger_books import reserve_body
from secure_fedsa.privacy.ledger_entries import make_entry
from secure_fedsa.roles.charges import is_stated, planned_event, terms_of
from secure_fedsa.wire import canonical, envelope, keys

_HASH = "0" * 64
_HASH_LENGTH = len(_HASH) + 2  # in JSON
_DATA_SET = "0" * 32
_SCORE_LENGTH = 18  # in JSON: as many digits as most scores have
_RANDOM_BYTES = 32  # of a nonce and of a mask share
_SEALING_BYTES = 1136  # HPKE: 1,088 of ML-KEM-768, 32 of X25519, 16 of the tag


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that a party sends one after another, of one kind and one body's length.

    Attributes:
        sender: Party.
        kind: Its name on the wire.
        recipients: Parties in order, or ``*`` for a public message. The sender itself, where
            it is among them, gets none.
        count: How many messages.
        sequence: Number of the first among the sender's messages.
        frame_bytes: Length of each signed envelope without the recipient's name and the number.
    """

    sender: str
    kind: str
    recipients: tuple[str, ...]
    count: int
    sequence: int
    frame_bytes: int

    def envelopes(self) -> Iterator[tuple[str, int]]:
        """Return each recipient with the length of the whole signed envelope."""
        others = (name for name in self.recipients if name != self.sender)
        for number, recipient in enumerate(others, self.sequence):
            yield recipient, self.frame_bytes + len(recipient) + integer_length(number)


def batches_of(agreement: Agreement, lengths: Lengths, roster: tuple[str, ...]) -> Iterator[Batch]:
    """Return what every party sends in a run in which nobody is silent, by sender.

    Args:
        agreement: The agreement.
        lengths: Of its messages.
        roster: The members of the sum, sorted.
    """
    frames = {kind: _frame(kind, size) for kind, size in lengths.bodies(roster).items()}
    sole = {role: agreement.names(role) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    members = frozenset(roster)
    for sender, party in sorted(agreement.parties.items()):
        sequence = 0
        for kind, recipients in _said(agreement, party.role, sole):
            if kind in _OF_MEMBERS and sender not in members:
                continue
            to = roster if kind == "mask-share" else recipients
            count = len(to) - (kind == "mask-share")
            frame = _frame(kind, lengths.ledgers[sender]) if kind == "ledger" else frames[kind]
            yield Batch(sender, kind, to, count, sequence, frame + len(sender))
            sequence += count


# --- who says what -----------------------------------------------------------------

_PUBLIC = (envelope.EVERYONE,)
_OF_MEMBERS = frozenset(("mask-share", "roster-signature", "upload"))


def _said(
    agreement: Agreement, role: Role, sole: dict[Role, tuple[str, ...]]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return the kinds that a party of a role sends, in order, and to whom."""
    yield "nonce", _PUBLIC
    yield "keys", _PUBLIC
    if role == agreement.custody:
        yield "feature-key", _PUBLIC
    if role == STUDENT:
        yield "query-key", _PUBLIC
        yield "query", agreement.teachers
        yield "query-secret", sole[AGGREGATOR]
    yield "ready", _PUBLIC
    if role == TEACHER:
        yield "ledger", _PUBLIC
        yield "reply", sole[AGGREGATOR]
        yield "blind", sole[KEY_HOLDER]
        yield "mask-share", ()
        yield "roster-signature", _PUBLIC
        yield "upload", _PUBLIC
    if role == AGGREGATOR:
        yield "blinded-scores", sole[KEY_HOLDER]
        yield "sum", _PUBLIC
    if role == KEY_HOLDER:
        yield "roster", _PUBLIC
        if agreement.custody == AGGREGATOR:
            yield "permit", _PUBLIC
    if role == agreement.custody:
        if not agreement.publish.sums:
            yield "sealed-sum", sole[STUDENT]
        yield "release", _PUBLIC
    if role == STUDENT:
        yield "result", _PUBLIC


# --- how long it is ----------------------------------------------------------------


class Lengths:
    """Lengths of canonical bodies, before sealing.

    Attributes:
        ledgers: Of each teacher's ledger segment.
    """

    def __init__(self, agreement: Agreement) -> None:
        encrypted, teachers = agreement.protection.he, agreement.teachers
        reply, blind = reply_bytes(agreement), score_bytes(agreement)
        modulus = agreement.encryption.query_modulus_bits // 8 if encrypted else len(NO_KEY)
        prime = modulus // 2 if encrypted else modulus
        values = integer_length(agreement.feature_values) - 1
        signal = values + base64_length(signal_bytes(agreement))
        released = base64_length(8 * agreement.feature_values)
        publish = agreement.publish
        self._varying = {
            "nonce": base64_length(_RANDOM_BYTES),
            "keys": base64_length(keys.SEALING_PUBLIC_BYTES),
            "feature-key": base64_length(public_key_bytes(agreement)),
            "query-key": base64_length(modulus) + array_length(ROUNDS * encrypted, modulus),
            "query": query_body_bytes(agreement) - _empty("query"),
            "query-secret": array_length(2, prime),
            "ready": 0,
            "reply": base64_length(reply),
            "blind": base64_length(blind * encrypted),
            "blinded-scores": map_length(teachers, base64_length(blind) + 2),
            "roster": map_length(teachers, _HASH_LENGTH) + _scores_length(agreement),
            "mask-share": base64_length(_RANDOM_BYTES),
            "roster-signature": 0,
            "upload": signal,
            "sum": signal,
            "permit": 0,
            "sealed-sum": released,
            "release": released * publish.sums
            + base64_length(secret_key_bytes(agreement)) * publish.feature_key,
            "result": 0,
        }
        charge_of = {
            name: (planned_event(agreement, name), is_stated(agreement, name)) for name in teachers
        }
        length_of = {
            charge: _segment(agreement, charge[0], stated=charge[1])
            for charge in set(charge_of.values())
        }
        self.ledgers = {name: length_of[charge] for name, charge in charge_of.items()}

    def bodies(self, roster: tuple[str, ...]) -> dict[str, int]:
        """Return the length of each kind but ledgers in a run whose sum is over ``roster``."""
        named = map_length(roster, _HASH_LENGTH)
        members = {"roster": texts_length(roster), "sum": named, "permit": named, "release": named}
        return {
            kind: _empty(kind) + varying + members.get(kind, 0)
            for kind, varying in self._varying.items()
        }


def query_body_bytes(agreement: Agreement) -> int:
    """Return the length of a query's body, which the agreement's rules bound (L9)."""
    return _empty("query") + array_length(agreement.saliency.values, reply_bytes(agreement))


def _scores_length(agreement: Agreement) -> int:
    teachers = agreement.teachers
    match agreement.publish.scores:
        case "values":
            return map_length(teachers, _SCORE_LENGTH)
        case "order":
            places = range(1, len(teachers) + 1)
            return map_length(teachers, 0) + sum(map(integer_length, places))
        case "none":
            return 0


def _segment(agreement: Agreement, event: Event, *, stated: bool) -> int:
    """Return the length of a ledger segment that is charged with one event."""
    charge = reserve_body(_HASH, (event,), Amount(), terms_of(agreement), stated=stated)
    entries = [
        make_entry(_DATA_SET, kind, _HASH, body, position=position, previous=_HASH)
        for position, (kind, body) in enumerate((("reserve", charge), ("commit", {})), 1)
    ]
    return _empty("ledger") + len(canonical.encode(entries)) - 2


@cache
def _empty(kind: str) -> int:
    """Return the length of a kind's body whose hashes are there and nothing else is."""
    nothing: dict[Any, Any] = {str: _HASH, bytes: "", int: 0, tuple: [], dict: {}}
    hints = get_type_hints(RULES[kind].body).items()
    values = {name: nothing[get_origin(hint) or hint] for name, hint in hints}
    return len(canonical.encode(values))


@cache
def _around(kind: str) -> int:
    """Return the length of a kind's envelope without body, names and number."""
    message_class = RULES[kind].message_class
    run_id = "" if kind == "nonce" else _HASH
    header = envelope.Header(envelope.VERSION, run_id, _HASH, "", "", 0, kind, message_class, _HASH)
    return len(envelope.Envelope(header, 0, bytes(64)).to_bytes()) - 2


def _frame(kind: str, body_bytes: int) -> int:
    """Return the length of an envelope without names and number."""
    sealed = RULES[kind].message_class == "sealed"
    return _around(kind) + (
        2 + base64_length(body_bytes + _SEALING_BYTES) if sealed else body_bytes
    )
