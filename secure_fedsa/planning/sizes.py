"""Lengths on the wire of what a run encrypts, worked out from its agreement."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from functools import cache

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import NO_KEY, bfv_parameters, score_bound
from secure_fedsa.encryption.scoring import score_modulus

_CONTAINER_BYTES = 40  # TenSEAL's and SEAL's headers around one ciphertext
_KEY_CONTAINER_BYTES = 160  # the same around a key, with its parameters


def base64_length(size: int) -> int:
    """Return the length of ``size`` bytes in base64."""
    return 4 * math.ceil(size / 3)


def array_length(count: int, size: int) -> int:
    """Return what ``count`` byte strings add to an empty JSON array."""
    return count * (base64_length(size) + 3) - (count > 0)


def texts_length(texts: Collection[str]) -> int:
    """Return what short texts (that need no escapes) add to an empty JSON array."""
    return sum(map(len, texts)) + 3 * len(texts) - bool(texts)


def map_length(names: Collection[str], value: int) -> int:
    """Return what a member a name, each value ``value`` long, adds to an empty JSON object."""
    return texts_length(names) + len(names) * (value + 1)


def integer_length(number: int) -> int:
    """Return the length of a whole number, not negative, in JSON."""
    return len(str(number))


def reply_bytes(agreement: Agreement) -> int:
    """Return the length of a query's entry and of a reply: a residue modulo N squared."""
    return agreement.encryption.query_modulus_bits // 4 if agreement.protection.he else 8


def score_bytes(agreement: Agreement) -> int:
    """Return the length of a blinded score and of a blind."""
    if not agreement.protection.he:
        return 8
    modulus = score_modulus(score_bound(agreement), agreement.encryption.query_modulus_bits)
    return (modulus - 1).bit_length() + 7 >> 3


def signal_bytes(agreement: Agreement) -> int:
    """Return the length of one upload's ciphertexts, and of their sum."""
    if not agreement.protection.he:
        return 8 * agreement.feature_values
    parameters = bfv_parameters(agreement)
    one = _compressed(parameters.coeff_mod_bit_sizes[:-1], 2, parameters.poly_modulus_degree)
    return len(parameters.chunk_sizes(agreement.feature_values)) * (one + _CONTAINER_BYTES)


def public_key_bytes(agreement: Agreement) -> int:
    """Return the length of the public feature key."""
    return _key_bytes(agreement, 2)


def secret_key_bytes(agreement: Agreement) -> int:
    """Return the length of the secret feature key."""
    return _key_bytes(agreement, 1) if agreement.protection.he else 0


def _key_bytes(agreement: Agreement, polynomials: int) -> int:
    if not agreement.protection.he:
        return len(NO_KEY)
    parameters = bfv_parameters(agreement)
    sizes = parameters.coeff_mod_bit_sizes
    return _KEY_CONTAINER_BYTES + _compressed(sizes, polynomials, parameters.poly_modulus_degree)


@cache
def _compressed(bit_sizes: tuple[int, ...], polynomials: int, degree: int) -> int:
    """Return how long SEAL writes polynomials that look uniform.

    It stores each residue in 8 bytes, low byte first, and compresses by the frequencies of
    bytes wherever they stand: a residue of b bits is b // 8 uniform bytes, one of b % 8 bits,
    and zeros.
    """
    frequencies: Counter[int] = Counter()
    for bits in bit_sizes:
        whole, rest = divmod(bits, 8)
        places = [256] * whole + ([2**rest] if rest else [])
        for reach in places + [1] * (8 - len(places)):
            for value in range(reach):
                frequencies[value] += 2**16 // reach
    total = sum(frequencies.values())
    entropy = -sum(n / total * math.log2(n / total) for n in frequencies.values())
    return math.ceil(polynomials * degree * len(bit_sizes) * entropy)
