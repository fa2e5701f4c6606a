"""Vectors of the query key's proof and of query ciphertexts."""

from __future__ import annotations

import math

import gmpy2

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import b64
from tests.protocols.cases.given import AGREEMENT, RUN, File

BITS = 2048


def _big(number: int, size: int = BITS // 8) -> bytes:
    return number.to_bytes(size, "big")


def _prime_below(bits: int, purpose: str) -> int:
    return formulas.known_primes(bits, purpose)[0]


def _chained() -> tuple[int, int]:
    """Return primes p and q with p | q - 1 whose product has 2,048 bits."""
    p = _prime_below(704, "chained")
    factor = (3 << (BITS - 2)) // (p * p) // 2 * 2
    while not gmpy2.is_prime(factor * p + 1):
        factor += 2
    q = factor * p + 1
    assert (p * q).bit_length() == BITS
    return p, q


def _prime_modulus() -> int:
    return _prime_below(BITS, "lonely")


def query_moduli() -> File:
    """Moduli with their proofs, good and bad."""
    p, q = formulas.known_primes()
    modulus = p * q
    proof = formulas.prove(p, q, RUN, "student")
    roots = [int.from_bytes(root, "big") for root in proof]
    ones = [_big(1)] * 8
    chained, lonely = _chained(), _prime_modulus()
    small = (_prime_below(BITS, "small") // 65_521 | 1) * 65_521
    even = modulus + 1
    short = _prime_below(1000, "short") * _prime_below(1047, "short")
    order = lonely - 1
    root = int(gmpy2.invert(lonely, order))
    lonely_proof = [
        _big(int(gmpy2.powmod(each, root, lonely)))
        for each in formulas.challenges(lonely, RUN, "student")
    ]
    swapped = [proof[1], proof[0], *proof[2:]]
    cases: list[tuple[str, bytes, list[bytes], bool]] = [
        ("p q of 2,048 bits", _big(modulus), proof, True),
        ("a prime: nothing is gained with it", _big(lonely), lonely_proof, True),
        ("a square", _big(p * p), formulas.prove(p, p, RUN, "student"), False),
        ("p q with p dividing q - 1", _big(math.prod(chained)), ones, False),
        ("even", _big(even), ones, False),
        ("divided by 65,521", _big(small), ones, False),
        ("one bit too short", _big(short), ones, False),
        ("zero", _big(0), ones, False),
        ("a byte of zero in front", b"\x00" + _big(modulus), proof, False),
        ("proof for another run", _big(modulus), formulas.prove(p, q, AGREEMENT, "student"), False),
        ("proof of another party", _big(modulus), formulas.prove(p, q, RUN, "teacher-1"), False),
        ("a root of zero", _big(modulus), [_big(0), *proof[1:]], False),
        ("roots of one", _big(modulus), ones, False),
        ("a root's negative", _big(modulus), [_big(modulus - roots[0]), *proof[1:]], False),
        ("two roots swapped", _big(modulus), swapped, False),
        ("seven roots", _big(modulus), proof[:7], False),
        ("nine roots", _big(modulus), [*proof, proof[0]], False),
        ("a root of 257 bytes", _big(modulus), [b"\x00" + proof[0], *proof[1:]], False),
        ("a root without its first byte", _big(modulus), [proof[0][1:], *proof[1:]], False),
    ]
    return {
        "source": "derivations.md, 4.2",
        "cases": [
            {
                "name": name,
                "run_id": RUN,
                "student": "student",
                "query_modulus_bits": BITS,
                "modulus": b64(number),
                "proof": [b64(each) for each in roots_],
                "good": good,
            }
            for name, number, roots_, good in cases
        ]
        + [
            {
                "name": "the challenges of the first",
                "challenges": [
                    b64(_big(each)) for each in formulas.challenges(modulus, RUN, "student")
                ],
            }
        ],
    }


def query_ciphertexts() -> File:
    """Numbers that are Paillier ciphertexts under a modulus, and numbers that are not."""
    p, q = formulas.known_primes()
    modulus = p * q
    numbers = {
        "1": (1, True),
        "N^2 - 1": (modulus**2 - 1, True),
        "1 + N, which encrypts 1": (1 + modulus, True),
        "0": (0, False),
        "N": (modulus, False),
        "p": (p, False),
        "a multiple of q": (q * 12_345, False),
        "N^2 - N": (modulus**2 - modulus, False),
        "N^2": (modulus**2, False),
        "N^2 + 1": (modulus**2 + 1, False),
    }
    return {
        "source": "messages.md, query; derivations.md, 4.1",
        "modulus": b64(_big(modulus)),
        "cases": [
            {"name": name, "ciphertext": b64(_big(number, BITS // 4)), "good": good}
            for name, (number, good) in numbers.items()
        ],
    }
