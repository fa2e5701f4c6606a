"""The protected arm: Paillier for the query, BFV and pairwise masks for the sum."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from secure_fedsa.encryption import ciphertexts, fixed_point, keys, masks, paillier, scoring
from secure_fedsa.encryption.interface import Pair, QueryClaim, bfv_parameters, score_bound
from secure_fedsa.encryption.query_proof import (
    VerifiedModulus,
    VerifiedQuery,
    prove_modulus,
    verify_modulus,
    verify_query,
)
from secure_fedsa.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secure_fedsa.agreement import Agreement
    from secure_fedsa.signals import Aggregate, Encoded, Encrypted, Masked, ReleasedSum, Signal

FEATURE_PHASE = "features"


@lru_cache(maxsize=16)
def _verified(claim: QueryClaim, bits: int, values: int) -> VerifiedQuery:
    student = claim.student
    if len(claim.modulus) != bits // 8:
        raise ProtocolError(student, "sent a query modulus of the wrong length.")
    number = int.from_bytes(claim.modulus, "big")
    roots = [paillier.residue_from_bytes(root, number, student) for root in claim.proof]
    verified = verify_modulus(number, roots, run_id=claim.run_id, student=student, bits=bits)
    square = number * number
    residues = [paillier.residue_from_bytes(item, square, student) for item in claim.ciphertexts]
    return verify_query(verified, residues, values=values, student=student)


class EncryptedSuite:
    """Paillier for the query (3,072 bits), BFV and pairwise masks for the sum."""

    def __init__(self, agreement: Agreement) -> None:
        self._parameters = bfv_parameters(agreement)
        self._values = agreement.feature_values
        shared = agreement.institution_privacy is not None
        self._feature_bound = None if shared else agreement.features.bound
        self._largest = agreement.largest_opened
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
        drawn = scoring.draw_reply_randomness(VerifiedModulus(number))
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

    def fits(self, primes: tuple[bytes, ...], modulus: bytes) -> bool:
        # Lengths first: a primality test of a long number would take hours.
        sizes = [len(modulus), *map(len, primes)]
        if sizes != [self._bits // 8, self._bits // 16, self._bits // 16]:
            return False
        return self._secret(primes).modulus == int.from_bytes(modulus, "big")

    def check_feature_key(self, public: bytes, party: str) -> None:
        keys.public_context(self._parameters, public, party)

    def check_query(self, claim: QueryClaim) -> None:
        _verified(claim, self._bits, self._query_values)

    def reply(self, claim: QueryClaim, signal: Signal, randomness: Pair) -> bytes:
        verified = _verified(claim, self._bits, self._query_values)
        answer = scoring.evaluate(
            verified,
            signal.saliency.tolist(),
            self._randomness(randomness),
            signal_bound=self._signal_bound,
        )
        return paillier.residue_to_bytes(answer, verified.modulus**2)

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
        members: tuple[str, ...],
        mine: Mapping[str, bytes],
        theirs: Mapping[str, bytes],
        run_id: str,
        roster_hash: str,
    ) -> Masked:
        if not set(mine) == set(theirs) == set(members) - {me}:
            raise ProtocolError(me, "has not exchanged mask values with the whole roster.")
        context = masks.MaskContext(run_id, FEATURE_PHASE, roster_hash)
        seeds = {
            peer: masks.pair_seed(
                context, own=me, own_value=mine[peer], peer=peer, peer_value=theirs[peer]
            )
            for peer in mine
        }
        return masks.mask(encoded, own=me, members=members, seeds=seeds)

    def check_upload(self, encrypted: Encrypted, party: str) -> None:
        ciphertexts.check_upload(self._parameters, encrypted, values=self._values, party=party)

    def add(self, uploads: Mapping[str, Encrypted]) -> Aggregate:
        return ciphertexts.add(self._parameters, uploads, values=self._values)

    def decrypt(self, secret: bytes, aggregate: Aggregate) -> ReleasedSum:
        released = ciphertexts.decrypt(self._parameters, secret, aggregate)
        return fixed_point.check_released(
            released, limit=self._largest(len(released.members)), values=self._values
        )
