"""Paillier: if these fail, the student's query shows, or scores are wrong."""

from __future__ import annotations

import math
from collections import Counter

import phe
import pytest

from secure_fedsa.encryption import paillier
from secure_fedsa.encryption.paillier import (
    PaillierSecret,
    check_ciphertext,
    decrypt_raw,
    encrypt_query,
    generate_paillier,
    residue_from_bytes,
    residue_to_bytes,
)
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError


@pytest.mark.parametrize(("p", "q"), [(5, 7), (11, 13), (13, 11)])
def test_fast_encryption_draws_exactly_the_published_distribution(p: int, q: int) -> None:
    """A shortcut with fewer residues would make the query guessable.

    Both sides are enumerated completely: r^N mod N^2 over all units r, and the pair of
    powers over all (h_p, h_q).
    """
    modulus = p * q
    published = Counter(
        pow(r, modulus, modulus**2) for r in range(1, modulus) if math.gcd(r, modulus) == 1
    )
    fast: Counter[int] = Counter()
    for h_p in range(1, p):
        for h_q in range(1, q):
            at_p, at_q = pow(h_p, p, p * p), pow(h_q, q, q * q)
            inverse = pow(q * q, -1, p * p)
            fast[at_q + q * q * ((at_p - at_q) * inverse % (p * p))] += 1
    assert fast == published
    # And the code draws from the whole of it: each of (p-1)(q-1) residues, false alarm 1e-9.
    secret = PaillierSecret(p, q)
    draws = int(len(published) * (math.log(len(published)) + 21))
    seen = set(encrypt_query(secret, [0] * draws, bound=1))
    assert seen == set(published)


def test_agrees_with_phe(paillier_key: PaillierSecret) -> None:
    """Scores computed here would not be Paillier's."""
    public = phe.PaillierPublicKey(paillier_key.modulus)
    private = phe.PaillierPrivateKey(public, paillier_key.p, paillier_key.q)
    values = [0, 1, -1, 12345, -12345]
    ciphertexts = encrypt_query(paillier_key, values, bound=12345)
    assert [private.raw_decrypt(c) for c in ciphertexts] == [v % public.n for v in values]
    assert decrypt_raw(paillier_key, public.raw_encrypt(77)) == 77
    # Uniform plaintexts, on which phe's own signed decoding raises.
    for plain in (0, public.n - 1, public.n // 2, public.n // 3):
        assert decrypt_raw(paillier_key, public.raw_encrypt(plain)) == plain


def test_threads_change_nothing_but_time(paillier_key: PaillierSecret) -> None:
    """Values would be shuffled among ciphertexts."""
    values = list(range(-5, 6))
    ciphertexts = encrypt_query(paillier_key, values, bound=5, workers=2)
    modulus = paillier_key.modulus
    assert [decrypt_raw(paillier_key, c) for c in ciphertexts] == [v % modulus for v in values]


def test_equal_values_give_different_ciphertexts(paillier_key: PaillierSecret) -> None:
    """A teacher would see which features the student weighs alike."""
    assert len(set(encrypt_query(paillier_key, [3] * 10, bound=3))) == 10


def test_values_out_of_range_and_short_keys_are_refused(paillier_key: PaillierSecret) -> None:
    """Scores would wrap, or a key could be factored."""
    for values in ([4], [-4], []):
        with pytest.raises(HeadroomError):
            encrypt_query(paillier_key, values, bound=3)
    for bits in (1024, 2047, 2049, 0):
        with pytest.raises(UsageError):
            generate_paillier(bits)
    assert paillier_key.modulus.bit_length() == 2048


@pytest.mark.parametrize(("p", "q"), [(7, 7), (7, 11), (15, 13), (2, 3), (0, 0), (-5, 7), (13, 9)])
def test_strange_secrets_are_refused(p: int, q: int) -> None:
    """The student's sealed primes could make the aggregator decrypt to nonsense."""
    with pytest.raises(ProtocolError):
        PaillierSecret(p, q)


def test_repr_hides_the_primes(paillier_key: PaillierSecret) -> None:
    """A log line would publish the query key."""
    assert repr(paillier_key) == "PaillierSecret()"


def test_strange_ciphertexts_are_refused(paillier_key: PaillierSecret) -> None:
    """The reply to c = p, or the error it causes, tells about the signal or the key."""
    modulus = paillier_key.modulus
    for ciphertext in (0, -1, modulus, paillier_key.p, 5 * paillier_key.q, modulus**2):
        with pytest.raises(ProtocolError):
            check_ciphertext(modulus, ciphertext)
        with pytest.raises(ProtocolError):
            decrypt_raw(paillier_key, ciphertext)
    check_ciphertext(modulus, 1)
    check_ciphertext(modulus, modulus**2 - 1)


@pytest.mark.parametrize("bound", [2, 255, 256, 257, 1 << 64, (1 << 64) + 1])
def test_residue_bytes(bound: int) -> None:
    """One number would have two encodings, and hashes of equal queries would differ."""
    for number in {0, 1, bound // 2, bound - 1}:
        data = residue_to_bytes(number, bound)
        assert residue_from_bytes(data, bound) == number
        for broken in (data + b"\0", b"\0" + data, data[1:]):
            with pytest.raises(ProtocolError):
                residue_from_bytes(broken, bound)
    for number in (-1, bound):
        with pytest.raises(UsageError):
            residue_to_bytes(number, bound)
    if bound == 257:
        with pytest.raises(ProtocolError):
            residue_from_bytes((257).to_bytes(2, "big"), bound)


@pytest.mark.slow
def test_a_real_query_is_fast_enough() -> None:
    """The demo would not keep its time: 136 values under 3,072 bits."""
    import time

    secret = paillier.generate_paillier()
    start = time.process_time()
    encrypt_query(secret, [1] * 136, bound=1)
    assert time.process_time() - start < 6
