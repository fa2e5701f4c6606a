"""The two arms of a run behind one interface: encrypted and masked, or neither.

:func:`suite_of` chooses by the signed agreement. Roles call only this interface, so a run
without encryption sends the same messages in the same order and differs in their content
alone; its summary and report say so.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from secure_fedsa.encryption import ciphertexts, fixed_point, keys, masks, paillier, scoring
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.encryption.query_proof import (
    VerifiedQuery,
    prove_modulus,
    verify_modulus,
    verify_query,
)
from secure_fedsa.errors import HeadroomError, ProtocolError
from secure_fedsa.signals import (
    Aggregate,
    Encoded,
    Encrypted,
    Masked,
    ReleasedSum,
    Signal,
    from_int64_bytes,
    int_array,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secure_fedsa.agreement import Agreement

Pair = tuple[bytes, bytes]
FEATURE_PHASE = "features"


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

    def check_query(
        self,
        modulus: bytes,
        proof: tuple[bytes, ...],
        query: tuple[bytes, ...],
        run_id: str,
        student: str,
    ) -> None:
        """Refuse a malformed query key or query (ProtocolError)."""
        ...

    def reply(
        self, modulus: bytes, query: tuple[bytes, ...], signal: Signal, randomness: Pair
    ) -> bytes:
        """Return the teacher's blinded, re-randomised encrypted score."""
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
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        """Return the residues under pairwise masks."""
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


@lru_cache(maxsize=64)
def _checked_query(
    modulus: bytes,
    proof: tuple[bytes, ...],
    query: tuple[bytes, ...],
    run_id: str,
    student: str,
    bits: int,
) -> VerifiedQuery:
    number = int.from_bytes(modulus, "big")
    roots = [paillier.residue_from_bytes(root, number, student) for root in proof]
    verified = verify_modulus(number, roots, run_id=run_id, student=student, bits=bits)
    square = number * number
    residues = [paillier.residue_from_bytes(item, square, student) for item in query]
    return verify_query(verified, residues, values=len(query), student=student)


class EncryptedSuite:
    """Paillier for the query (3,072 bits), BFV and pairwise masks for the sum."""

    def __init__(self, agreement: Agreement) -> None:
        self._parameters = bfv_parameters(agreement)
        self._values = agreement.feature_values
        self._feature_bound = agreement.features.bound
        self._bits = agreement.encryption.query_modulus_bits
        self._query_values = agreement.saliency.values
        self._signal_bound = 2 ** (agreement.saliency.bits - 1) - 1
        self._score_bound = score_bound(agreement)
        self._score_modulus = scoring.score_modulus(self._score_bound, self._bits)

    def draw_feature_key(self) -> Pair:
        key = keys.generate_feature_key(self._parameters)
        return key.secret, key.public

    def draw_query_key(self) -> Pair:
        secret = paillier.generate_paillier(self._bits)
        size = self._bits // 16
        return secret.p.to_bytes(size, "big"), secret.q.to_bytes(size, "big")

    def draw_reply_randomness(self, modulus: bytes) -> Pair:
        number = int.from_bytes(modulus, "big")
        drawn = scoring.draw_reply_randomness(VerifiedQuery(number, ()))
        return (
            paillier.residue_to_bytes(drawn.blind, number),
            paillier.residue_to_bytes(drawn.unit, number),
        )

    def _secret(self, primes: tuple[bytes, ...]) -> paillier.PaillierSecret:
        if len(primes) != 2:
            raise ProtocolError("", "A query key has two primes.")
        return paillier.PaillierSecret(*(int.from_bytes(prime, "big") for prime in primes))

    def encrypt_query(
        self, primes: tuple[bytes, ...], values: tuple[int, ...]
    ) -> tuple[bytes, ...]:
        secret = self._secret(primes)
        found = paillier.encrypt_query(secret, values, bound=self._signal_bound, workers=2)
        square = secret.modulus**2
        return tuple(paillier.residue_to_bytes(item, square) for item in found)

    def encrypt_features(self, public: bytes, masked: Masked) -> bytes:
        return ciphertexts.encrypt(self._parameters, public, masked).ciphertext

    def prove_query_key(
        self, primes: tuple[bytes, ...], run_id: str, student: str
    ) -> tuple[bytes, tuple[bytes, ...]]:
        secret = self._secret(primes)
        roots = prove_modulus(secret, run_id=run_id, student=student)
        modulus = secret.modulus.to_bytes(self._bits // 8, "big")
        return modulus, tuple(paillier.residue_to_bytes(root, secret.modulus) for root in roots)

    def check_query(
        self,
        modulus: bytes,
        proof: tuple[bytes, ...],
        query: tuple[bytes, ...],
        run_id: str,
        student: str,
    ) -> None:
        if len(modulus) != self._bits // 8 or len(query) != self._query_values:
            raise ProtocolError(student, "sent a query key or query of the wrong length.")
        _checked_query(modulus, proof, query, run_id, student, self._bits)

    def reply(
        self, modulus: bytes, query: tuple[bytes, ...], signal: Signal, randomness: Pair
    ) -> bytes:
        number = int.from_bytes(modulus, "big")
        verified = VerifiedQuery(number, tuple(int.from_bytes(item, "big") for item in query))
        answer = scoring.evaluate(
            verified,
            signal.saliency.tolist(),
            self._randomness(randomness),
            signal_bound=self._signal_bound,
        )
        return paillier.residue_to_bytes(answer, number * number)

    def _randomness(self, randomness: Pair) -> scoring.ReplyRandomness:
        return scoring.ReplyRandomness(*(int.from_bytes(item, "big") for item in randomness))

    def blind_share(self, randomness: Pair) -> bytes:
        share = scoring.blind_for_key_holder(self._randomness(randomness), self._score_modulus)
        return paillier.residue_to_bytes(share, self._score_modulus)

    def open_replies(
        self, primes: tuple[bytes, ...], replies: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        secret = self._secret(primes)
        opened = {}
        for teacher, reply in replies.items():
            try:
                residue = paillier.residue_from_bytes(reply, secret.modulus**2, teacher)
                blinded = scoring.decrypt_blinded(secret, residue, self._score_modulus)
            except ProtocolError:
                continue
            opened[teacher] = paillier.residue_to_bytes(blinded, self._score_modulus)
        return opened

    def score(self, blinded: bytes, blind: bytes) -> int | None:
        return scoring.open_score(
            paillier.residue_from_bytes(blinded, self._score_modulus),
            paillier.residue_from_bytes(blind, self._score_modulus),
            score_bound=self._score_bound,
            modulus_of_scores=self._score_modulus,
        )

    def encode(self, signal: Signal) -> Encoded:
        return fixed_point.encode(
            signal,
            feature_bound=self._feature_bound,
            values=self._values,
            plain_modulus=self._parameters.plain_modulus,
        )

    def mask(
        self,
        encoded: Encoded,
        *,
        me: str,
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        context = masks.MaskContext(run_id, FEATURE_PHASE, roster_hash)
        seeds = {
            peer: masks.pair_seed(
                context, own=me, own_value=mine[peer], peer=peer, peer_value=theirs[peer]
            )
            for peer in mine
        }
        return masks.mask(encoded, own=me, members=sorted({me, *mine}), seeds=seeds)

    def check_upload(self, encrypted: Encrypted, party: str) -> None:
        ciphertexts.check_upload(self._parameters, encrypted, values=self._values, party=party)

    def add(self, uploads: Mapping[str, Encrypted]) -> Aggregate:
        return ciphertexts.add(self._parameters, uploads, values=self._values)

    def decrypt(self, secret: bytes, aggregate: Aggregate) -> ReleasedSum:
        released = ciphertexts.decrypt(self._parameters, secret, aggregate)
        return fixed_point.check_released(
            released, feature_bound=self._feature_bound, values=self._values
        )


class PlainSuite:
    """No encryption and no masks: everybody on the way reads every signal.

    Only differential privacy protects the records; which institution contributed what is
    open. For benchmarks, and where law or contract covers the data.
    """

    def __init__(self, agreement: Agreement) -> None:
        self._values = agreement.feature_values
        self._feature_bound = agreement.features.bound
        self._modulus = agreement.encryption.plain_modulus
        self._query_values = agreement.saliency.values
        self._signal_bound = 2 ** (agreement.saliency.bits - 1) - 1
        self._score_bound = score_bound(agreement)

    def draw_feature_key(self) -> Pair:
        return b"", b"none"

    def draw_query_key(self) -> Pair:
        return b"none", b"none"

    def draw_reply_randomness(self, modulus: bytes) -> Pair:
        del modulus
        return b"", b""

    def encrypt_query(
        self, primes: tuple[bytes, ...], values: tuple[int, ...]
    ) -> tuple[bytes, ...]:
        del primes
        return tuple(_signed(value) for value in values)

    def encrypt_features(self, public: bytes, masked: Masked) -> bytes:
        del public
        return masked.residues.astype("<i8").tobytes()

    def prove_query_key(
        self, primes: tuple[bytes, ...], run_id: str, student: str
    ) -> tuple[bytes, tuple[bytes, ...]]:
        del primes, run_id, student
        return b"none", ()

    def check_query(
        self,
        modulus: bytes,
        proof: tuple[bytes, ...],
        query: tuple[bytes, ...],
        run_id: str,
        student: str,
    ) -> None:
        del modulus, proof, run_id
        bad = any(len(item) != 8 or abs(_integer(item)) > self._signal_bound for item in query)
        if bad or len(query) != self._query_values:
            raise ProtocolError(student, "sent a query of the wrong length or range.")

    def reply(
        self, modulus: bytes, query: tuple[bytes, ...], signal: Signal, randomness: Pair
    ) -> bytes:
        del modulus, randomness
        pairs = zip(query, signal.saliency.tolist(), strict=True)
        return _signed(sum(_integer(item) * value for item, value in pairs))

    def blind_share(self, randomness: Pair) -> bytes:
        del randomness
        return b""

    def open_replies(
        self, primes: tuple[bytes, ...], replies: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        del primes
        return {teacher: reply for teacher, reply in replies.items() if len(reply) == 8}

    def score(self, blinded: bytes, blind: bytes) -> int | None:
        del blind
        score = _integer(blinded)
        return score if abs(score) <= self._score_bound else None

    def encode(self, signal: Signal) -> Encoded:
        return fixed_point.encode(
            signal,
            feature_bound=self._feature_bound,
            values=self._values,
            plain_modulus=self._modulus,
        )

    def mask(
        self,
        encoded: Encoded,
        *,
        me: str,
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        del me, mine, theirs, run_id, roster_hash
        return Masked(encoded.residues, encoded.plain_modulus)

    def check_upload(self, encrypted: Encrypted, party: str) -> None:
        self._residues(encrypted.ciphertext, party)

    def _residues(self, data: bytes, party: str) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        if len(data) != 8 * self._values:
            raise ProtocolError(party, f"An upload must have {self._values} values.")
        residues = from_int64_bytes(data)
        if residues.min() < 0 or residues.max() >= self._modulus:
            raise ProtocolError(party, "An uploaded value is no residue of the plain modulus.")
        return residues

    def add(self, uploads: Mapping[str, Encrypted]) -> Aggregate:
        if len(uploads) < 2:
            raise HeadroomError("A sum needs at least two members.")
        total = np.zeros(self._values, dtype=np.int64)
        for member in sorted(uploads):
            total = (total + self._residues(uploads[member].ciphertext, member)) % self._modulus
        return Aggregate(total.astype("<i8").tobytes(), self._values, tuple(sorted(uploads)))

    def decrypt(self, secret: bytes, aggregate: Aggregate) -> ReleasedSum:
        del secret
        residues = self._residues(aggregate.ciphertext, "aggregator")
        released = ReleasedSum(
            int_array(fixed_point.centre(residues, self._modulus)), aggregate.members
        )
        return fixed_point.check_released(
            released, feature_bound=self._feature_bound, values=self._values
        )


def _signed(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def suite_of(agreement: Agreement) -> Suite:
    """Return the arm that the agreement names."""
    return EncryptedSuite(agreement) if agreement.protection.he else PlainSuite(agreement)
