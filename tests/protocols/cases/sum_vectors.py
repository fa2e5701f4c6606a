"""Vectors of masks, residues and the parameters of BFV.

Expected values come from :mod:`tests.protocols.bench.formulas`, which is written from the text;
bad cases are written by hand. Everything here is made of fixed inputs, so it repeats.
"""

from __future__ import annotations

import math

import gmpy2

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import packed, sha256
from tests.protocols.cases.given import RUN, File, Json, named

MODULUS = 17_179_754_497


def masks() -> File:
    """Mask seeds and the first residues of their streams."""
    cases: list[Json] = []
    for name, first, second, modulus in (
        ("the default modulus", "teacher-1", "teacher-2", MODULUS),
        ("names in order of bytes", "a-10", "a-2", MODULUS),
        ("a modulus that skips one word in eight", "teacher-1", "teacher-3", 2**61 + 15),
        ("a power of two skips nothing", "teacher-2", "teacher-3", 2**20),
    ):
        a, e = named(f"{first} to {second}"), named(f"{second} to {first}")
        seed = formulas.mask_seed(RUN, sha256(b"roster"), first, second, a, e)
        limit = 2**64 // modulus * modulus
        words = formulas.mask_words(seed, 24)
        cases.append(
            {
                "name": name,
                "run_id": RUN,
                "roster_hash": sha256(b"roster"),
                "first": first,
                "second": second,
                "sent_by_first": a.hex(),
                "sent_by_second": e.hex(),
                "seed": seed.hex(),
                "plain_modulus": modulus,
                "words": [str(word) for word in words],
                "residues": [str(word % modulus) for word in words if word < limit],
            }
        )
    assert len(cases[2]["residues"]) < 24
    return {"source": "derivations.md, 6.1", "cases": cases}


def mask_values() -> File:
    """Mask values that are refused."""
    own = named("own")
    return {
        "source": "messages.md, mask-share",
        "cases": [
            {"name": name, "own": own.hex(), "received": value.hex(), "good": name == "good"}
            for name, value in {
                "good": named("other"),
                "31 bytes": named("other")[:31],
                "33 bytes": named("other") + b"\x00",
                "all zero": bytes(32),
                "own value sent back": own,
            }.items()
        ],
    }


def residues() -> File:
    """Residues, their centred representatives, and their bytes."""
    t = MODULUS
    cases = [
        {
            "name": f"{value}",
            "plain_modulus": t,
            "value": value,
            "residue": value % t,
            "centred": formulas.centred(value, t),
            "bytes": packed([formulas.centred(value, t)]).hex(),
        }
        for value in (0, 1, -1, t // 2, t // 2 + 1, -(t // 2), -(t // 2) - 1, t - 1, t, 3 * t + 5)
    ]
    return {"source": "derivations.md, 6.1, 6.3 and 6.5", "cases": cases}


def bfv() -> File:
    """SEAL's primes, proved noise budgets and bounds of serialised objects."""
    cases = []
    for degree, sizes, modulus, counts in (
        (4096, [54, 55], MODULUS, (3, 64)),
        (8192, [60, 60, 60], 1_099_511_922_689, (3, 200)),
        (8192, [43, 43, 44, 44, 44], 1_099_511_922_689, (3,)),
    ):
        primes = _primes(degree, sizes)
        budgets = {str(k): _budget(degree, primes, modulus, k) for k in counts}
        entropy = [
            p * degree * sum(bits) // 8 for p, bits in ((2, sizes[:-1]), (2, sizes), (1, sizes))
        ]
        raw = [
            p * degree * 8 * n for p, n in ((2, len(sizes) - 1), (2, len(sizes)), (1, len(sizes)))
        ]
        bounds = [[9 * e // 10, r + r // 128 + 1024] for e, r in zip(entropy, raw, strict=True)]
        cases.append(
            {
                "name": f"degree {degree}, sizes {sizes}",
                "poly_modulus_degree": degree,
                "coeff_mod_bit_sizes": sizes,
                "plain_modulus": modulus,
                "primes": [str(prime) for prime in primes],
                "noise_budget_bits": budgets,
                "bounds": dict(
                    zip(("ciphertext", "public_key", "secret_key"), bounds, strict=True)
                ),
            }
        )
    return {"source": "derivations.md, 6.2 and 6.3", "cases": cases}


def _primes(degree: int, sizes: list[int]) -> list[int]:
    found: dict[int, list[int]] = {}
    for size in sizes:
        number = (1 << size) + 1
        chosen: list[int] = []
        while len(chosen) < sizes.count(size):
            number -= 2 * degree
            if gmpy2.is_prime(number):
                chosen.append(number)
        found[size] = sorted(chosen)
    return [found[size].pop(0) for size in sizes]


def _budget(degree: int, primes: list[int], modulus: int, k: int) -> float:
    noise = k * (21 * (2 * degree + 1) / primes[-1] + degree / 2 + 1)
    return math.log2(math.prod(primes[:-1])) - 1 - math.log2(modulus) - math.log2(noise)
