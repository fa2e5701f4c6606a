"""Proof that a query modulus N is safe for the *teachers*: gcd(N, phi(N)) = 1.

Source: Goldberg, Reyzin, Sagga and Baldimtsi, "Efficient Noninteractive Certification of
RSA Moduli and Beyond" (Asiacrypt 2019, ePrint 2018/057), section 3.2: the protocol for
"N is coprime to phi(N)", which also gives square-freeness and is what Paillier needs.

Why: a teacher's reply hides its signal because ``(v, r) -> (1 + v N) r^N`` is a bijection
from Z_N x Z_N^* to Z_{N^2}^* (Paillier 1999, lemma 1), which holds exactly when
gcd(N, phi(N)) = 1. With N = p^2 it is not, and the part of the reply that the blind does
not reach carried 63 of 63 signal values in a test (kept in the tests).

The proof, non-interactive in the random-oracle model
-----------------------------------------------------
* Verifier: N is odd and has exactly the agreed length; no prime below alpha = 2^16
  divides it. Challenges rho_1..rho_8 in Z_N are hashed from (version, N, run id,
  student). Every rho_i is coprime to N and equals sigma_i^N mod N, 0 < sigma_i < N.
* Prover: sigma_i = rho_i^(1/N mod phi(N)) mod N.

Complete: gcd(N, phi(N)) = 1 makes x -> x^N a permutation of Z_N^*, and the prover knows
its inverse. (An honest rho shares a factor with N with probability 2^-1500.)

Sound: let a prime p divide both N and phi(N); then p > alpha. Either p^2 divides N, or
some prime factor q of N is 1 modulo p. In (Z/p^2)^*, or in (Z/q)^*, the N-th powers are
then a subgroup of index at least p, so a uniform unit of Z_N has an N-th root with
probability at most 1/p < 2^-16, and eight of them with less than 2^-128. Nothing is
claimed for non-units, which is why they are refused. Each attempt costs a cheat a new N
and fresh hashes: t attempts succeed with probability below t 2^-128.

Zero knowledge: draw sigma_i, set rho_i = sigma_i^N in the oracle. So the proof tells
nothing about p and q.

Not proved, because teachers do not need it: that N has two factors, or that anybody
else cannot factor it. A student that picks a weak N exposes its own query only.

Bound to run id and student's identity: a proof made for another run or by another
student gives other challenges.

Challenges: expand_message_xof of RFC 9380 (section 5.3.2) with SHAKE256 and
hash_to_field's length (section 5.2): 128 more bits than N, so that the reduction modulo
N is uniform within 2^-128. Fields are joined with their lengths in front.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from secure_fedsa.encryption.bignum import gcd, invert, powmod, primorial
from secure_fedsa.encryption.paillier import LEAST_MODULUS_BITS, PaillierSecret, check_ciphertext
from secure_fedsa.errors import ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDS = 8
SMALL_PRIME_BOUND = 1 << 16
_DOMAIN = b"secure-fedsa/v1/paillier-modulus-proof"
_EXTRA_BITS = 128


@dataclass(frozen=True, slots=True)
class VerifiedModulus:
    """A modulus whose proof this party has checked; only :func:`verify_modulus` makes it."""

    modulus: int


@dataclass(frozen=True, slots=True)
class VerifiedQuery:
    """Ciphertexts that were checked against a verified modulus (:func:`verify_query`)."""

    modulus: int
    ciphertexts: tuple[int, ...]


@lru_cache(maxsize=1)
def _small_primes() -> int:
    return primorial(SMALL_PRIME_BOUND)


def expand_message_xof(message: bytes, domain: bytes, length: int) -> bytes:
    """Return ``length`` bytes by RFC 9380's expand_message_xof with SHAKE256."""
    if len(domain) > 255 or length > 65535:
        raise UsageError("Too long for RFC 9380.")
    tail = length.to_bytes(2, "big") + domain + len(domain).to_bytes(1, "big")
    return hashlib.shake_256(message + tail).digest(length)


def challenges(modulus: int, *, run_id: str, student: str) -> tuple[int, ...]:
    """Return the eight challenges in Z_N that belong to this modulus, run and student."""
    size = (modulus.bit_length() + 7) // 8
    fields = (modulus.to_bytes(size, "big"), run_id.encode(), student.encode())
    message = b"".join(len(part).to_bytes(4, "big") + part for part in fields)
    length = (modulus.bit_length() + _EXTRA_BITS + 7) // 8
    stream = expand_message_xof(message, _DOMAIN, ROUNDS * length)
    return tuple(
        int.from_bytes(stream[start : start + length], "big") % modulus
        for start in range(0, ROUNDS * length, length)
    )


def prove_modulus(secret: PaillierSecret, *, run_id: str, student: str) -> tuple[int, ...]:
    """Return the eight N-th roots that prove N safe (deterministic).

    Args:
        secret: The run's key.
        run_id: The run that the proof is for.
        student: Identity of the key's owner.
    """
    modulus = secret.modulus
    exponents = [invert(modulus, prime - 1) for prime in (secret.p, secret.q)]
    q_inverse = invert(secret.q, secret.p)
    roots = []
    for challenge in challenges(modulus, run_id=run_id, student=student):
        at_p = powmod(challenge, exponents[0], secret.p)
        at_q = powmod(challenge, exponents[1], secret.q)
        roots.append(at_q + secret.q * ((at_p - at_q) * q_inverse % secret.p))
    return tuple(roots)


def verify_modulus(
    modulus: int, roots: Sequence[int], *, run_id: str, student: str, bits: int
) -> VerifiedModulus:
    """Check the proof; every teacher does so before it computes anything under N.

    Args:
        modulus: N as the student published it.
        roots: Its proof.
        run_id: This run.
        student: Identity that signed the modulus.
        bits: Agreed length of N.

    Raises:
        ProtocolError: The modulus or its proof is refused; ``party`` is the student.
        UsageError: An agreed length below 2048 bits.
    """
    if bits < LEAST_MODULUS_BITS:
        raise UsageError(f"A query modulus must have at least {LEAST_MODULUS_BITS} bits.")
    return _verify(modulus, roots, run_id=run_id, student=student, bits=bits)


def _verify(
    modulus: int, roots: Sequence[int], *, run_id: str, student: str, bits: int
) -> VerifiedModulus:
    if modulus <= 0 or modulus.bit_length() != bits:
        raise ProtocolError(student, f"The query modulus does not have {bits} bits.")
    if modulus % 2 == 0 or gcd(modulus, _small_primes()) != 1:
        raise ProtocolError(student, "The query modulus has a small prime factor.")
    if len(roots) != ROUNDS:
        raise ProtocolError(student, f"The proof of the query modulus needs {ROUNDS} roots.")
    for challenge, root in zip(
        challenges(modulus, run_id=run_id, student=student), roots, strict=True
    ):
        fits = 0 < root < modulus and gcd(challenge, modulus) == 1
        if not fits or powmod(root, modulus, modulus) != challenge:
            raise ProtocolError(
                student,
                "The proof of the query modulus is wrong.",
                why="A malformed modulus would let its owner read a teacher's whole signal.",
                do="Do not answer this query.",
            )
    return VerifiedModulus(modulus)


def verify_query(
    verified: VerifiedModulus, ciphertexts: Sequence[int], *, values: int, student: str
) -> VerifiedQuery:
    """Check every ciphertext of a query.

    Args:
        verified: The modulus, proof checked.
        ciphertexts: Integers as received.
        values: Agreed number of values in a query.
        student: Identity that sent them.

    Raises:
        ProtocolError: A wrong number of them, or one outside 0 < c < N^2 or not coprime
            to N.
    """
    if len(ciphertexts) != values:
        raise ProtocolError(student, f"A query must have {values} ciphertexts.")
    for ciphertext in ciphertexts:
        check_ciphertext(verified.modulus, ciphertext, student)
    return VerifiedQuery(verified.modulus, tuple(ciphertexts))
