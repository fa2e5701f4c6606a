"""Paillier, raw integers only: keys, the key owner's fast encryption, decryption.

Source: Paillier, "Public-Key Cryptosystems Based on Composite Degree Residuosity
Classes" (Eurocrypt 1999), scheme 1 with g = 1 + N; its section 7 for the arithmetic
modulo p^2 and q^2. A ciphertext of m is ``(1 + m N) r^N mod N^2``.

Who holds what: the student makes (p, q) for one run, encrypts its query, hands (p, q) to
the aggregator sealed, and publishes N with a proof (``query_proof``). Teachers see N and
ciphertexts only; under decisional composite residuosity these say nothing about the
query. Whoever holds (p, q) reads everything under N: what a *reply* then says is the
subject of ``scoring``.

The key owner's encryption
--------------------------
``r^N mod N^2`` costs 44 ms at 3072 bits. The owner draws the same distribution in a
quarter of the time. Let r be uniform in Z_N^*.

1. ``r^N mod N^2`` depends on r mod N only, since (r + k N)^N = r^N modulo N^2; modulo p^2
   likewise ``y^p`` depends on y mod p only.
2. Modulo p^2, r^N = (r^q)^p. As gcd(q, p - 1) = 1, r -> r^q permutes Z_p^*, so r^q mod p
   is uniform, and r^N mod p^2 is distributed as ``h^p mod p^2`` with h uniform in
   [1, p - 1]. The same holds modulo q^2.
3. By the Chinese remainder theorem r mod p and r mod q are independent; so are the two
   parts, and the pair (h_p^p mod p^2, h_q^q mod q^2) is distributed as r^N mod N^2.

Exponent and modulus have half the length (Jost et al., "Encryption Performance
Improvements of the Paillier Cryptosystem", ePrint 2015/864, collect such shortcuts; no
short exponent and no fixed base is used here: the distribution is exact). A test
enumerates both sides for tiny primes.

Keys: phe draws the primes, each of half the agreed length, from the operating system
(``random.SystemRandom``). Two different primes of the same length satisfy
gcd(N, phi(N)) = 1: if p divided q - 1, q would be p + 1 (even) or above 2 p (longer).
phe's own encoding of numbers is never used: it raises on uniform plaintexts and its
inverses depend on a sign.

Timing: exponents p, q and decryption are secret and not constant-time. They run on the
machines that hold them, for one run; nobody else sees how long they take, as the query is
sent at a deadline.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from phe import paillier as phe_paillier

from secure_fedsa.encryption.bignum import gcd, invert, is_prime, powmod_many
from secure_fedsa.entropy import secret_below
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_MODULUS_BITS = 3072
LEAST_MODULUS_BITS = 2048


@dataclass(frozen=True, slots=True)
class PaillierSecret:
    """The secret primes of one run's query key; ``repr`` does not show them.

    Raises:
        ProtocolError: Not two different primes of one length. (They may come from the
            student, in a sealed message.)
    """

    p: int = field(repr=False)
    q: int = field(repr=False)

    def __post_init__(self) -> None:
        if self.p == self.q or self.p.bit_length() != self.q.bit_length() or self.p < 3:
            raise ProtocolError("", "A Paillier key needs two different primes of one length.")
        if not (is_prime(self.p) and is_prime(self.q)):
            raise ProtocolError("", "A Paillier key needs two primes.")

    @property
    def modulus(self) -> int:
        """N = p q."""
        return self.p * self.q


def generate_paillier(bits: int = DEFAULT_MODULUS_BITS) -> PaillierSecret:
    """Return a fresh key whose modulus has exactly ``bits`` bits (random, inside phe).

    Raises:
        UsageError: Fewer than 2048 bits, or an odd number of them.
    """
    if bits < LEAST_MODULUS_BITS or bits % 2:
        raise UsageError(
            f"A query modulus of {bits} bits is too short or odd.",
            do=f"Use {DEFAULT_MODULUS_BITS} bits.",
        )
    return _generate(bits)


def _generate(bits: int) -> PaillierSecret:
    _, private = phe_paillier.generate_paillier_keypair(n_length=bits)
    return PaillierSecret(int(private.p), int(private.q))


def _draw_powers(prime: int, count: int, workers: int) -> list[int]:
    """Return ``h^prime mod prime^2`` for ``count`` uniform h in [1, prime - 1]."""
    bases = [1 + secret_below(prime - 1) for _ in range(count)]
    if workers == 1:
        return powmod_many(bases, prime, prime * prime)
    parts = [bases[start::workers] for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        powers = list(pool.map(lambda part: powmod_many(part, prime, prime * prime), parts))
    return [power for part in powers for power in part]


def encrypt_query(
    secret: PaillierSecret, values: Sequence[int], *, bound: int, workers: int = 1
) -> tuple[int, ...]:
    """Return one ciphertext for each value (random).

    Args:
        secret: The run's key.
        values: Integers, each within ``bound``.
        bound: Public bound of a query value.
        workers: Threads; GMP runs outside the interpreter's lock.

    Raises:
        HeadroomError: A value outside the bound, or no value.
    """
    numbers = [int(value) for value in values]
    if not numbers or any(abs(number) > bound for number in numbers):
        raise HeadroomError(
            "A query value is outside the agreed bound.", do="Clip the query to the bound first."
        )
    modulus, p_square, q_square = secret.modulus, secret.p**2, secret.q**2
    q_inverse = invert(q_square, p_square)
    square = modulus * modulus
    ciphertexts = []
    for number, at_p, at_q in zip(
        numbers,
        _draw_powers(secret.p, len(numbers), workers),
        _draw_powers(secret.q, len(numbers), workers),
        strict=True,
    ):
        residue = at_q + q_square * ((at_p - at_q) * q_inverse % p_square)
        ciphertexts.append((1 + number % modulus * modulus) * residue % square)
    return tuple(ciphertexts)


def decrypt_raw(secret: PaillierSecret, ciphertext: int) -> int:
    """Return the plaintext of ``ciphertext``, an integer in [0, N).

    Raises:
        ProtocolError: Not an invertible residue modulo N^2.
    """
    check_ciphertext(secret.modulus, ciphertext)
    public = phe_paillier.PaillierPublicKey(secret.modulus)
    private = phe_paillier.PaillierPrivateKey(public, secret.p, secret.q)
    return int(private.raw_decrypt(ciphertext))


def check_ciphertext(modulus: int, ciphertext: int, party: str = "") -> None:
    """Check 0 < c < N^2 and gcd(c, N) = 1.

    Raises:
        ProtocolError: Otherwise. ``party`` sent the ciphertext.
    """
    if not 0 < ciphertext < modulus * modulus or gcd(ciphertext, modulus) != 1:
        raise ProtocolError(party, "A number that is no Paillier ciphertext under this modulus.")


def residue_to_bytes(number: int, bound: int) -> bytes:
    """Return ``number`` in [0, bound) as big-endian bytes of the one length for ``bound``.

    >>> residue_to_bytes(5, 1 << 16).hex()
    '0005'
    """
    if not 0 <= number < bound:
        raise UsageError("A residue outside its range has no encoding.")
    return number.to_bytes((bound - 1).bit_length() + 7 >> 3, "big")


def residue_from_bytes(data: bytes, bound: int, party: str = "") -> int:
    """Return the number that :func:`residue_to_bytes` encoded.

    Raises:
        ProtocolError: Another length, or a number at or above ``bound``.
    """
    number = int.from_bytes(data, "big")
    if len(data) != (bound - 1).bit_length() + 7 >> 3 or number >= bound:
        raise ProtocolError(party, "A number of the wrong length or out of range.")
    return number
