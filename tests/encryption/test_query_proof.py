"""The proof of the query modulus: if these fail, a student reads whole signals."""

from __future__ import annotations

import math

import pytest

from secure_fedsa.encryption import query_proof
from secure_fedsa.encryption.bignum import is_prime, powmod
from secure_fedsa.encryption.paillier import PaillierSecret, encrypt_query
from secure_fedsa.encryption.query_proof import (
    ROUNDS,
    VerifiedModulus,
    challenges,
    expand_message_xof,
    prove_modulus,
    verify_modulus,
    verify_query,
)
from secure_fedsa.entropy import secret_below
from secure_fedsa.errors import ProtocolError, UsageError

RUN, STUDENT, BITS = "run-1", "student", 2048


def refused(modulus: int, roots: tuple[int, ...], run: str = RUN, student: str = STUDENT) -> None:
    with pytest.raises(ProtocolError, match=student):
        verify_modulus(modulus, roots, run_id=run, student=student, bits=BITS)


def next_prime(start: int) -> int:
    candidate = start | 1
    while not is_prime(candidate):
        candidate += 2
    return candidate


def best_roots(modulus: int, order: int) -> tuple[int, ...]:
    """What a cheat who knows the group's order can do: roots where they exist.

    The part of the exponent that has no inverse is left out, so exactly those challenges
    that are N-th powers of an element without that part come out right.
    """
    common = order
    while (factor := math.gcd(common, modulus)) != 1:
        common //= factor
    exponent = pow(modulus, -1, common)
    return tuple(
        powmod(challenge, exponent, modulus)
        for challenge in challenges(modulus, run_id=RUN, student=STUDENT)
    )


@pytest.fixture(scope="module")
def roots(paillier_key: PaillierSecret) -> tuple[int, ...]:
    return prove_modulus(paillier_key, run_id=RUN, student=STUDENT)


def test_an_honest_proof_is_accepted(paillier_key: PaillierSecret, roots: tuple[int, ...]) -> None:
    """No run would start."""
    verified = verify_modulus(paillier_key.modulus, roots, run_id=RUN, student=STUDENT, bits=BITS)
    assert verified.modulus == paillier_key.modulus
    p, q = paillier_key.p, paillier_key.q
    assert roots == best_roots(paillier_key.modulus, (p - 1) * (q - 1))


def test_replays_are_refused(paillier_key: PaillierSecret, roots: tuple[int, ...]) -> None:
    """A modulus of another run or student, whose owner is long known, would pass."""
    refused(paillier_key.modulus, roots, run="run-2")
    refused(paillier_key.modulus, roots, student="someone-else")
    # Text that runs together the same way is another text.
    glued = challenges(paillier_key.modulus, run_id="run-1s", student="tudent")
    assert glued != challenges(paillier_key.modulus, run_id=RUN, student=STUDENT)


def test_damaged_proofs_are_refused(paillier_key: PaillierSecret, roots: tuple[int, ...]) -> None:
    """A proof with one wrong root would count."""
    modulus = paillier_key.modulus
    for index in range(ROUNDS):
        for root in (roots[index] + 1, roots[index] + modulus, -roots[index], 0, modulus):
            refused(modulus, (*roots[:index], root, *roots[index + 1 :]))
    refused(modulus, roots[:-1])
    refused(modulus, (*roots, roots[0]))
    refused(modulus, roots[::-1])
    refused(modulus, ())


def test_wrong_lengths_and_even_or_smooth_moduli_are_refused(
    paillier_key: PaillierSecret, roots: tuple[int, ...]
) -> None:
    """A short modulus can be factored; a small factor makes the proof worth little."""
    for bits in (2049, 3072):
        with pytest.raises(ProtocolError, match="bits"):
            verify_modulus(paillier_key.modulus, roots, run_id=RUN, student=STUDENT, bits=bits)
    with pytest.raises(UsageError):
        verify_modulus(paillier_key.modulus, roots, run_id=RUN, student=STUDENT, bits=1024)
    refused(0, roots)
    refused(-paillier_key.modulus, roots)
    top = 1 << (BITS - 1)
    refused(top, roots)
    for small in (2, 3, 65521):
        modulus = small * ((top // small) | 1) + 2 * small
        assert modulus.bit_length() == BITS
        with pytest.raises(ProtocolError, match="small"):
            verify_modulus(modulus, roots, run_id=RUN, student=STUDENT, bits=BITS)


def test_a_square_is_refused(paillier_key: PaillierSecret) -> None:
    """N = p^2: the blind does not reach half of the reply."""
    p = max(paillier_key.p, paillier_key.q)
    assert (p * p).bit_length() == BITS
    refused(p * p, best_roots(p * p, p * (p - 1)))


def test_a_prime_power_is_refused() -> None:
    """N = p^120 with p just above the trial division: the blind reaches one part in 120."""
    p = next_prime(1 << 17)
    while (p**120).bit_length() != BITS:
        p = next_prime(p + p // 1000)
    refused(p**120, best_roots(p**120, p**119 * (p - 1)))


def test_a_prime_that_divides_the_other_minus_one_is_refused() -> None:
    """N = p q with p | q - 1: square-free, yet x^N loses a factor p of the group."""
    p = next_prime((1 << 1000) + secret_below(1 << 990))
    multiple = (1 << (BITS - 2001)) + 2 * secret_below(1 << 40)
    while not is_prime(multiple * p + 1) or (p * (multiple * p + 1)).bit_length() != BITS:
        multiple += 2
    q = multiple * p + 1
    assert math.gcd(p * q, (p - 1) * (q - 1)) == p
    refused(p * q, best_roots(p * q, (p - 1) * (q - 1)))


def test_soundness_on_small_moduli() -> None:
    """The argument itself: with p | gcd(N, phi(N)) at most 1 / p of the units have roots.

    Every unit is tried, for a square and for p dividing q - 1.
    """
    for p, modulus in ((11, 121), (5, 55), (3, 21), (7, 7 * 29)):
        units = [x for x in range(1, modulus) if math.gcd(x, modulus) == 1]
        images = {pow(x, modulus, modulus) for x in units}
        assert len(images) * p <= len(units)
    for modulus in (35, 143):
        units = [x for x in range(1, modulus) if math.gcd(x, modulus) == 1]
        assert len({pow(x, modulus, modulus) for x in units}) == len(units)


def test_challenges_follow_rfc_9380() -> None:
    """Another implementation could not check the proof. Vectors: RFC 9380, appendix K.6."""
    domain = b"QUUX-V01-CS02-with-expander-SHAKE256"
    assert expand_message_xof(b"", domain, 32).hex() == (
        "2ffc05c48ed32b95d72e807f6eab9f7530dd1c2f013914c8fed38c5ccc15ad76"
    )
    assert expand_message_xof(b"abc", domain, 32).hex() == (
        "b39e493867e2767216792abce1f2676c197c0692aed061560ead251821808e07"
    )
    with pytest.raises(UsageError):
        expand_message_xof(b"", bytes(256), 32)


def test_challenges_are_spread_over_the_modulus() -> None:
    """Challenges of too few bits would make roots guessable."""
    modulus = (1 << 2048) - 1942289
    found = [c for run in range(16) for c in challenges(modulus, run_id=str(run), student="s")]
    assert len(set(found)) == 16 * ROUNDS
    # All in one half by chance: 2^-127.
    assert min(found) < modulus // 2 < max(found) < modulus
    assert query_proof._EXTRA_BITS == 128


def test_query_ciphertexts_are_checked(paillier_key: PaillierSecret) -> None:
    """One strange ciphertext would leave the group in which the blind hides everything."""
    modulus = paillier_key.modulus
    verified = VerifiedModulus(modulus)
    good = encrypt_query(paillier_key, [1, 2, 3], bound=3)
    assert verify_query(verified, good, values=3, student=STUDENT).ciphertexts == good
    for bad in (0, modulus, paillier_key.p, modulus * paillier_key.q, modulus**2, modulus**2 + 1):
        with pytest.raises(ProtocolError, match=STUDENT):
            verify_query(verified, (good[0], bad, good[2]), values=3, student=STUDENT)
    for count in (2, 4):
        with pytest.raises(ProtocolError, match=STUDENT):
            verify_query(verified, good, values=count, student=STUDENT)
