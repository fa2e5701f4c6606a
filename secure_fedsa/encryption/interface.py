"""The two arms of a run behind one interface: encrypted and masked, or neither.

Roles call only this interface, so a run without encryption sends the same messages in the
same order and differs in their content alone; its summary and report say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from secure_fedsa.encryption.parameters import BfvParameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secure_fedsa.agreement import Agreement
    from secure_fedsa.signals import Aggregate, Encoded, Encrypted, Masked, ReleasedSum, Signal

Pair = tuple[bytes, bytes]
NO_KEY = b"none"
"""What a run without encryption says in place of every key."""


@dataclass(frozen=True, slots=True)
class QueryClaim:
    """A query as a teacher received it, with all that its check needs.

    Attributes:
        modulus: N, big-endian.
        proof: N-th roots that prove N safe.
        ciphertexts: The query.
        run_id: The run that the proof must be for.
        student: The party that must have made it.
    """

    modulus: bytes
    proof: tuple[bytes, ...]
    ciphertexts: tuple[bytes, ...]
    run_id: str
    student: str


class Suite(Protocol):
    """What the roles need of cryptography. ``draw_*`` and ``encrypt_*`` are random."""

    def draw_feature_key(self) -> Pair:
        """Return a fresh feature key: (secret, public)."""
        ...

    def draw_query_key(self) -> Pair:
        """Return the primes of a fresh query key."""
        ...

    def draw_reply_randomness(self, modulus: bytes) -> Pair:
        """Return (v, r) for one reply."""
        ...

    def encrypt_query(
        self, primes: tuple[bytes, ...], values: tuple[int, ...]
    ) -> tuple[bytes, ...]:
        """Return the encrypted saliency, one entry a value."""
        ...

    def encrypt_features(self, public: bytes, masked: Masked) -> bytes:
        """Return the masked signal under the feature key."""
        ...

    def prove_query_key(
        self, primes: tuple[bytes, ...], run_id: str, student: str
    ) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the query key's modulus and its proof."""
        ...

    def fits(self, primes: tuple[bytes, ...], modulus: bytes) -> bool:
        """Return whether the primes are those of a published modulus."""
        ...

    def check_feature_key(self, public: bytes, party: str) -> None:
        """Refuse a malformed public feature key (ProtocolError), before any charge."""
        ...

    def check_query(self, claim: QueryClaim) -> None:
        """Refuse a malformed query key or query (ProtocolError)."""
        ...

    def reply(self, claim: QueryClaim, signal: Signal, randomness: Pair) -> bytes:
        """Return the teacher's blinded, re-randomised encrypted score.

        The claim is checked here too: nothing is ever computed under an unproved modulus.
        """
        ...

    def blind_share(self, randomness: Pair) -> bytes:
        """Return the part of the blind that the key holder needs."""
        ...

    def open_replies(
        self, primes: tuple[bytes, ...], replies: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        """Return the scores by teacher, still blinded; a malformed reply has none."""
        ...

    def score(self, blinded: bytes, blind: bytes) -> int | None:
        """Return the score, or None when it is outside the public range."""
        ...

    def encode(self, signal: Signal) -> Encoded:
        """Return the feature signal as residues."""
        ...

    def mask(
        self,
        encoded: Encoded,
        *,
        me: str,
        members: tuple[str, ...],
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        """Return the residues under the pairwise masks of a signed roster."""
        ...

    def check_upload(self, encrypted: Encrypted, party: str) -> None:
        """Refuse a malformed upload (ProtocolError)."""
        ...

    def add(self, uploads: Mapping[str, Encrypted]) -> Aggregate:
        """Return the sum of a complete roster; the same bytes for everybody."""
        ...

    def decrypt(self, secret: bytes, aggregate: Aggregate) -> ReleasedSum:
        """Return the opened sum."""
        ...


def score_bound(agreement: Agreement) -> int:
    """Return the public bound of an integer score."""
    largest: int = 2 ** (agreement.saliency.bits - 1) - 1
    return agreement.saliency.values * largest * largest


def bfv_parameters(agreement: Agreement) -> BfvParameters:
    """Return the agreement's BFV parameters, checked."""
    encryption = agreement.encryption
    return BfvParameters(
        encryption.poly_modulus_degree, encryption.coeff_mod_bit_sizes, encryption.plain_modulus
    )
