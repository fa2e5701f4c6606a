"""The arm without encryption and masks, for benchmarks and comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from secure_fedsa.encryption import fixed_point
from secure_fedsa.encryption.interface import NO_KEY, Pair, QueryClaim, score_bound
from secure_fedsa.errors import HeadroomError, ProtocolError
from secure_fedsa.signals import (
    Aggregate,
    Encoded,
    Encrypted,
    IntArray,
    Masked,
    ReleasedSum,
    Signal,
    from_int64_bytes,
    int_array,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secure_fedsa.agreement import Agreement


class PlainSuite:
    """No encryption and no masks: everybody on the way reads every signal.

    Only differential privacy protects the records; which institution contributed what is
    open. For benchmarks, and where law or contract covers the data.
    """

    def __init__(self, agreement: Agreement) -> None:
        self._values = agreement.feature_values
        shared = agreement.institution_privacy is not None
        self._feature_bound = None if shared else agreement.features.bound
        self._largest = agreement.largest_opened
        self._modulus = agreement.encryption.plain_modulus
        self._query_values = agreement.saliency.values
        self._signal_bound = 2 ** (agreement.saliency.bits - 1) - 1
        self._score_bound = score_bound(agreement)

    def draw_feature_key(self) -> Pair:
        return b"", NO_KEY

    def draw_query_key(self) -> Pair:
        return NO_KEY, NO_KEY

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
        return NO_KEY, ()

    def fits(self, primes: tuple[bytes, ...], modulus: bytes) -> bool:
        return primes == (NO_KEY, NO_KEY) and modulus == NO_KEY

    def check_feature_key(self, public: bytes, party: str) -> None:
        if public != NO_KEY:
            raise ProtocolError(party, "sent a feature key in a run without encryption.")

    def check_query(self, claim: QueryClaim) -> None:
        query = claim.ciphertexts
        bad = any(len(item) != 8 or abs(_integer(item)) > self._signal_bound for item in query)
        if bad or len(query) != self._query_values:
            raise ProtocolError(claim.student, "sent a query of the wrong length or range.")

    def reply(self, claim: QueryClaim, signal: Signal, randomness: Pair) -> bytes:
        del randomness
        self.check_query(claim)
        pairs = zip(claim.ciphertexts, signal.saliency.tolist(), strict=True)
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
        members: tuple[str, ...],
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        del me, members, mine, theirs, run_id, roster_hash
        return Masked(encoded.residues, encoded.plain_modulus)

    def check_upload(self, encrypted: Encrypted, party: str) -> None:
        self._residues(encrypted.ciphertext, party)

    def _residues(self, data: bytes, party: str) -> IntArray:
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
            released, limit=self._largest(len(released.members)), values=self._values
        )


def _signed(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=True)


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)
