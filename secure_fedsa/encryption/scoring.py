"""The encrypted saliency query: one blinded inner product a teacher.

Write q for the student's query, s for a teacher's signal (both integer vectors), x for
their inner product, B for a public bound on |x|, and M for the *score modulus*, the
smallest power of two above 4 B.

Who sends what
--------------
1. Student to every teacher: N, its proof, and ciphertexts c_j of q_j (``query_proof``
   checks them). The student hands p and q to the aggregator.
2. Teacher: draws v uniform in Z_N and r uniform in Z_N^*; sends the aggregator
   ``reply = prod c_j^s_j (1 + v N) r^N mod N^2`` and seals ``w = v mod M`` to the key
   holder.
3. Aggregator: z = decryption of the reply = (x + v) mod N; forwards ``z mod M``.
4. Key holder: score = centred residue of (z - w) mod M; out of [-B, B] is None, "not
   selected", without an abort or a distinct message.

Correct unless x + v leaves [0, N), which over v happens with probability at most B / N;
:func:`score_modulus` keeps B below N / 2^128. Then the score is off by N mod M, and the
teacher is wrongly ranked.

Who learns what
---------------
gcd(N, phi(N)) = 1 is proved, so (v, r) -> (1 + v N) r^N is a bijection to Z_{N^2}^*, and
every c_j coprime to N lies in that group, malicious or not.

* *Aggregator or student, any query*: (1 + v N) r^N is uniform in the group, hence so is
  the reply, whatever q and s are. The reply's randomness, which the key's owner can
  extract, is uniform too. They learn nothing at all.
* *Aggregator, student and key holder together, any query*: also w. The reply is
  independent of s, and w takes M values, so the mutual information with s is at most
  log2 M bits, exactly. For an honest query it is x. Were v sealed instead of w, they
  would learn x modulo N: a query q_j = b^j reads out the whole signal.
* *Key holder and one teacher*: the teacher knows v and r and can put any s in; they learn
  one value modulo M of the query, at most log2 M bits. Were z forwarded instead of z mod
  M, one reply with s_j = b^j would read out the whole query.
* *Other teachers, or a reader of the transcript*: ciphertexts under N.
* *Key holder alone*: the scores.
* A lie (about w, about z, about s) changes a score and is not noticed here.

Timing: the exponents are the signal. :func:`evaluate` uses the same sequence of
multiplications for every signal: with offset o, s_j + o is written in base 4 with digits 1 to
4, and each digit costs one multiplication by a table entry of full size. What remains
(cache lines, GMP's division) is below what a network shows; replies leave at a deadline
all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from secure_fedsa.encryption.bignum import gcd, invert, mpz, powmod
from secure_fedsa.encryption.paillier import PaillierSecret, decrypt_raw
from secure_fedsa.entropy import secret_below
from secure_fedsa.errors import HeadroomError, ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secure_fedsa.encryption.query_proof import VerifiedModulus, VerifiedQuery

_SECURITY_BITS = 128


@dataclass(frozen=True, slots=True)
class ReplyRandomness:
    """What makes a reply uniform; drawn once a reply, erased with the run's keys.

    Attributes:
        blind: v, uniform in [0, N).
        unit: r, uniform in the units modulo N.
    """

    blind: int = field(repr=False)
    unit: int = field(repr=False)


def score_modulus(score_bound: int, modulus_bits: int) -> int:
    """Return M, the smallest power of two above four times the public score bound.

    Args:
        score_bound: B, for instance values times signal bound times query bound.
        modulus_bits: Agreed length of N.

    Raises:
        HeadroomError: B is not positive, or so large that x + v wraps too often.

    >>> score_modulus(100, 3072)
    512
    """
    if score_bound < 1 or score_bound.bit_length() + _SECURITY_BITS >= modulus_bits:
        raise HeadroomError("The score bound does not fit the query modulus.")
    return 1 << (4 * score_bound).bit_length()


def draw_reply_randomness(verified: VerifiedModulus | VerifiedQuery) -> ReplyRandomness:
    """Return fresh v and r for one reply (random)."""
    return _draw(verified.modulus)


def _draw(modulus: int) -> ReplyRandomness:
    blind = secret_below(modulus)
    while True:
        unit = secret_below(modulus)
        if gcd(unit, modulus) == 1:
            return ReplyRandomness(blind, unit)


def evaluate(
    query: VerifiedQuery,
    signal: Sequence[int],
    randomness: ReplyRandomness,
    *,
    signal_bound: int,
) -> int:
    """Return the teacher's reply, an integer in [1, N^2) (deterministic).

    Args:
        query: The checked query.
        signal: s, one integer for each ciphertext, each within ``signal_bound``.
        randomness: v and r, fresh.
        signal_bound: Public bound of a saliency value.

    Raises:
        HeadroomError: A signal of another length or range.
        ProtocolError: Randomness that does not belong to this modulus.
    """
    return _evaluate(query.modulus, query.ciphertexts, signal, randomness, signal_bound)


def _evaluate(
    modulus: int,
    ciphertexts: Sequence[int],
    signal: Sequence[int],
    randomness: ReplyRandomness,
    signal_bound: int,
) -> int:
    numbers = [int(value) for value in signal]
    if signal_bound < 1 or len(numbers) != len(ciphertexts):
        raise HeadroomError(f"A saliency signal must have {len(ciphertexts)} values.")
    if any(abs(number) > signal_bound for number in numbers):
        raise HeadroomError(
            "A saliency value is outside the agreed bound.",
            do="Clip the signal to the bound before scoring.",
        )
    blind, unit = randomness.blind, randomness.unit
    if not (0 <= blind < modulus and 0 < unit < modulus) or gcd(unit, modulus) != 1:
        raise ProtocolError("", "Reply randomness of another modulus.")
    square = mpz(modulus * modulus)
    product = _inner_product(ciphertexts, numbers, signal_bound, square)
    blinding = (1 + blind * modulus) * powmod(unit, modulus, modulus * modulus)
    return int(product * blinding % square)


def _inner_product(
    ciphertexts: Sequence[int], signal: Sequence[int], bound: int, square: Any
) -> Any:
    """Return prod c_j^s_j by the same multiplications for every signal within ``bound``.

    s_j + bound < 4^n is sum_i d_i 4^i with n digits 0 to 3; multiplying by c^(d_i + 1) at
    every digit adds (4^n - 1) / 3 to each exponent. The total offset is public, and the
    correction by it uses public numbers only.
    """
    digits = ((2 * bound).bit_length() + 1) // 2
    tables = []
    all_together = mpz(1)
    for ciphertext in ciphertexts:
        first = mpz(ciphertext)
        second = first * first % square
        third = second * first % square
        tables.append((first, second, third, second * second % square))
        all_together = all_together * first % square
    shifted = [value + bound for value in signal]
    product = mpz(1)
    for position in range(2 * digits - 2, -1, -2):
        if position != 2 * digits - 2:
            product = product * product % square
            product = product * product % square
        for table, exponent in zip(tables, shifted, strict=True):
            product = product * table[exponent >> position & 3] % square
    offset = bound + (4**digits - 1) // 3
    return product * invert(powmod(int(all_together), offset, int(square)), int(square)) % square


def blind_for_key_holder(randomness: ReplyRandomness, modulus_of_scores: int) -> int:
    """Return w = v mod M: all of the blind that may leave the teacher."""
    return randomness.blind % modulus_of_scores


def decrypt_blinded(secret: PaillierSecret, reply: int, modulus_of_scores: int) -> int:
    """Return z mod M: all of the decryption that may leave the aggregator.

    Raises:
        ProtocolError: The reply is no ciphertext under this key.
    """
    return decrypt_raw(secret, reply) % modulus_of_scores


def open_score(blinded: int, blind: int, *, score_bound: int, modulus_of_scores: int) -> int | None:
    """Return the score, or None if it is outside the public range ("not selected").

    Args:
        blinded: z mod M, from the aggregator.
        blind: w, from the teacher.
        score_bound: B.
        modulus_of_scores: M.

    >>> open_score(5, 7, score_bound=10, modulus_of_scores=64)
    -2
    >>> open_score(40, 7, score_bound=10, modulus_of_scores=64) is None
    True
    """
    residue = (blinded - blind) % modulus_of_scores
    score = residue - modulus_of_scores if residue >= modulus_of_scores // 2 else residue
    return score if abs(score) <= score_bound else None
