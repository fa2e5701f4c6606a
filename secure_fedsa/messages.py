"""What parties say to each other: one dataclass a message kind, one table of rules.

A message is *public* (signed, in the transcript for everybody) or *sealed* (signed, its
body encrypted to one named recipient); sealed bodies have no ``repr``, so that no log or
trace shows one. :data:`RULES` says for each kind which class it
has, which role sends it and which roles accept it; nothing else is ever accepted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

Hash: TypeAlias = Annotated[str, "64 lower-case hexadecimal digits"]
PARTY_NAME = "[a-z0-9][a-z0-9-]{0,39}"
"""Form of a party's name, as a regular expression."""
MOST_MESSAGES = 20_000
"""In one run folder."""
MOST_FOLDER_BYTES = 2**30
"""All files of a run folder together."""
Role = Literal["teacher", "aggregator", "key-holder", "student"]
MessageClass = Literal["public", "sealed"]

TEACHER: Role = "teacher"
AGGREGATOR: Role = "aggregator"
KEY_HOLDER: Role = "key-holder"
STUDENT: Role = "student"
CUSTODIANS: tuple[Role, ...] = (KEY_HOLDER, AGGREGATOR)  # which of them, the agreement says
EVERYONE: tuple[Role, ...] = (TEACHER, AGGREGATOR, KEY_HOLDER, STUDENT)


@dataclass(frozen=True, slots=True)
class Nonce:
    """A party's fresh 32 bytes; all of them and the agreement make the run id."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Keys:
    """A party's sealing key of this run (1,216 bytes)."""

    sealing_key: bytes


@dataclass(frozen=True, slots=True)
class FeatureKey:
    """The key holder's public feature key of this run; its SHA-256 is the key id."""

    public_key: bytes


@dataclass(frozen=True, slots=True)
class QueryKey:
    """The student's Paillier modulus of this run and the proof that it is well formed.

    Attributes:
        modulus: N, big-endian.
        proof: N-th roots of the challenges, each big-endian.
        query_hash: SHA-256 of the query that every teacher receives.
    """

    modulus: bytes
    proof: tuple[bytes, ...]
    query_hash: Hash


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """The student's encrypted saliency, the same bytes for every teacher (sealed)."""

    ciphertexts: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, repr=False)
class QuerySecret:
    """The secret primes of the query key, for the aggregator alone (sealed)."""

    primes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Ready:
    """A party's word that everything which can fail without private data went well.

    Attributes:
        keys_hash: Hash of all per-run keys as this party saw them.
        query_hash: Hash of the query as this party saw it.
    """

    keys_hash: Hash
    query_hash: Hash


@dataclass(frozen=True, slots=True)
class LedgerSegment:
    """A teacher's ledger entries of this run, and the head of its ledger."""

    entries: tuple[dict[str, Any], ...]
    head: Hash


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A teacher's blinded, re-randomised encrypted score (sealed to the aggregator)."""

    query_hash: Hash
    reply: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Blind:
    """The part of the blind that the key holder needs, w = v mod M (sealed)."""

    query_hash: Hash
    blind: bytes


@dataclass(frozen=True, slots=True, repr=False)
class BlindedScores:
    """Decrypted scores mod M, still blinded, by teacher (sealed to the key holder)."""

    query_hash: Hash
    scores: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Roster:
    """Who takes part in the sum, signed by the key holder.

    Attributes:
        number: 1 for the first roster of the run, higher when silent members were left
            out.
        members: Sorted party names.
        keys_hash: Hash of all per-run keys, as in ``ready``.
        query_hash: Hash of the query that every member answered.
        ledger_heads: By teacher, the ledger head that the key holder countersigns.
        scores: By teacher; empty unless the agreement publishes scores. A score out of
            the public range is left out.
    """

    number: int
    members: tuple[str, ...]
    keys_hash: Hash
    query_hash: Hash
    ledger_heads: dict[str, Hash]
    scores: dict[str, float]


@dataclass(frozen=True, slots=True)
class RosterSignature:
    """A member's word that it takes part in this very roster."""

    roster_hash: Hash


@dataclass(frozen=True, slots=True, repr=False)
class MaskShare:
    """One of the two 32-byte values behind a pair's mask (sealed)."""

    roster_hash: Hash
    value: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A member's masked, encrypted feature signal."""

    roster_hash: Hash
    key_id: Hash
    signal_id: Hash
    values: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Sum:
    """The homomorphic sum of a complete roster's uploads.

    Attributes:
        uploads: By member, the hash of the upload that went into the sum.
    """

    roster_hash: Hash
    uploads: dict[str, Hash]
    values: int
    ciphertext: bytes


@dataclass(frozen=True, slots=True)
class Permit:
    """The key holder's leave to open one sum, when the aggregator has the feature key.

    Attributes:
        sum_hash: SHA-256 of the sum's ciphertext.
        signal_ids: By member, the signal that went into the sum.
    """

    roster_hash: Hash
    sum_hash: Hash
    signal_ids: dict[str, Hash]


@dataclass(frozen=True, slots=True, repr=False)
class SealedSum:
    """The opened sum for the student alone (sealed), when the agreement does not publish it.

    Attributes:
        values: The sum, little-endian int64.
    """

    roster_hash: Hash
    values: bytes


@dataclass(frozen=True, slots=True)
class Release:
    """The custodian's word that it opened the one sum of the run.

    Attributes:
        sum_hash: SHA-256 of the sum's ciphertext.
        signal_ids: By member, the signal that went into the sum.
        values: The sum, little-endian int64; empty when the agreement does not publish it.
        secret_key: The one-use feature key, or empty when the agreement keeps it.
    """

    roster_hash: Hash
    sum_hash: Hash
    signal_ids: dict[str, Hash]
    values: bytes
    secret_key: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """Hash of the student, and of the message whose sum it was built from.

    Attributes:
        opened: Message hash of the release, or of the sealed sum where sums are not published.
            Otherwise its signature could be shown beside another sum.
    """

    student_sha256: Hash
    opened: Hash


@dataclass(frozen=True, slots=True)
class Abort:
    """The end of a run without a release.

    Attributes:
        phase: Where it ended.
        reason: Why, in words.
        missing: Parties whose signed message was awaited.
    """

    phase: str
    reason: str
    missing: tuple[str, ...]


Body = (
    Nonce
    | Keys
    | FeatureKey
    | QueryKey
    | Query
    | QuerySecret
    | Ready
    | LedgerSegment
    | Reply
    | Blind
    | BlindedScores
    | Roster
    | RosterSignature
    | MaskShare
    | Upload
    | Sum
    | Permit
    | SealedSum
    | Release
    | Result
    | Abort
)


@dataclass(frozen=True, slots=True)
class Rule:
    """How a message kind may travel.

    Attributes:
        kind: Its name on the wire.
        body: The dataclass of its body.
        message_class: Public or sealed.
        senders: Roles that may send it.
        recipients: Roles that accept it.
        maximum_bytes: Largest size of its canonical body.
    """

    kind: str
    body: type[Body]
    message_class: MessageClass
    senders: tuple[Role, ...]
    recipients: tuple[Role, ...]
    maximum_bytes: int = 65_536


_LARGE = 64 * 2**20

RULES: dict[str, Rule] = {
    rule.kind: rule
    for rule in (
        Rule("nonce", Nonce, "public", EVERYONE, EVERYONE),
        Rule("keys", Keys, "public", EVERYONE, EVERYONE),
        Rule("feature-key", FeatureKey, "public", CUSTODIANS, EVERYONE, _LARGE),
        Rule("query-key", QueryKey, "public", (STUDENT,), EVERYONE),
        Rule("query", Query, "sealed", (STUDENT,), (TEACHER,), _LARGE),
        Rule("query-secret", QuerySecret, "sealed", (STUDENT,), (AGGREGATOR,)),
        Rule("ready", Ready, "public", EVERYONE, EVERYONE),
        Rule("ledger", LedgerSegment, "public", (TEACHER,), (KEY_HOLDER, AGGREGATOR)),
        Rule("reply", Reply, "sealed", (TEACHER,), (AGGREGATOR,)),
        Rule("blind", Blind, "sealed", (TEACHER,), (KEY_HOLDER,)),
        Rule("blinded-scores", BlindedScores, "sealed", (AGGREGATOR,), (KEY_HOLDER,), 2**20),
        Rule("roster", Roster, "public", (KEY_HOLDER,), EVERYONE, 2**20),
        Rule(
            "roster-signature",
            RosterSignature,
            "public",
            (TEACHER,),
            (TEACHER, AGGREGATOR, KEY_HOLDER),
        ),
        Rule("mask-share", MaskShare, "sealed", (TEACHER,), (TEACHER,)),
        Rule("upload", Upload, "public", (TEACHER,), (AGGREGATOR, KEY_HOLDER), _LARGE),
        Rule("sum", Sum, "public", (AGGREGATOR,), (KEY_HOLDER,), _LARGE),
        Rule("permit", Permit, "public", (KEY_HOLDER,), (AGGREGATOR,), 2**20),
        Rule("sealed-sum", SealedSum, "sealed", CUSTODIANS, (STUDENT,), _LARGE),
        Rule("release", Release, "public", CUSTODIANS, EVERYONE, _LARGE),
        Rule("result", Result, "public", (STUDENT,), (AGGREGATOR, KEY_HOLDER, TEACHER)),
        Rule("abort", Abort, "public", EVERYONE, EVERYONE),
    )
}

KIND_OF: dict[type[Body], str] = {rule.body: rule.kind for rule in RULES.values()}
