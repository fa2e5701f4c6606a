"""BFV parameters, and the proof that no sum of a roster can go wrong under them.

The scheme is BFV (Brakerski 2012; Fan and Vercauteren 2012) as Microsoft SEAL 4 does
it, through TenSEAL. A plaintext is ``poly_modulus_degree`` (N) integers modulo the
*plain modulus* t. The coefficient modulus is a product of primes; the last one, P, is
used for keys only, and ciphertexts live modulo q, the product of the others.

Noise of a sum, worst case
--------------------------
Write ``s`` for the ternary secret and ``(-(a s + e), a)`` for the public key modulo
q P. SEAL's errors are centred binomial in [-21, 21] (``sample_poly_cbd``), and its
encryption randomness ``u`` is ternary.

1. Public-key encryption of zero modulo q P has noise ``e1 + e2 s - e u``. A product of
   two polynomials modulo X^N + 1 has coefficients of at most N times the product of the
   coefficients, so each coefficient is at most ``21 (2 N + 1)``.
2. SEAL divides both polynomials by P and rounds (``encrypt_zero_internal``). Rounding
   moves a coefficient by at most 1/2, so the noise becomes at most
   ``21 (2 N + 1) / P + (N + 1) / 2``.
3. SEAL adds ``round(q m / t)``, exactly rounded
   (``multiply_add_plain_with_scaling_variant``): at most 1/2 more. Sums that wrap modulo
   t move this by a multiple of q, hence by nothing.
4. k ciphertexts add to at most ``k E`` with ``E = 21 (2 N + 1) / P + N / 2 + 1``.
5. Decryption is exact while ``k E < q / (2 t)``. SEAL's BEHZ rounding loses less than
   2^-50 of that, which the margin of one bit covers.

So ``log2(q) - 1 - log2(t) - log2(k E)`` bits of noise budget remain, whatever is drawn.
A public key made by a cheat can break the bound. That costs correctness, which
:func:`~secure_fedsa.encryption.ciphertexts.decrypt` notices, never privacy.

Default: N = 4096, primes of 54 and 55 bits (109 bits in all, the most that the standard
below allows), t of 34 bits. At 64 teachers two bits of proved budget remain; t of 36
bits would leave none, and a smaller t would only narrow the values. The default t is
1 modulo 16384, so the same t batches at N = 8192 too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fedsa.encryption.bignum import is_prime
from secure_fedsa.errors import HeadroomError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Most bits of the whole coefficient modulus for 128-bit classical security and a
#: ternary secret: Albrecht et al., "Homomorphic Encryption Standard" (2018), table 1.
MAXIMUM_COEFF_BITS = {4096: 109, 8192: 218, 16384: 438}
MAXIMUM_VALUES = 1 << 24
_ERROR_BOUND = 21
_OBJECT_OVERHEAD = 1024


@dataclass(frozen=True, slots=True)
class BfvParameters:
    """Parameters of the feature key; every party checks them against the agreement.

    Attributes:
        poly_modulus_degree: N, the number of values in one ciphertext.
        coeff_mod_bit_sizes: Bits of each prime of the coefficient modulus; the last
            prime serves keys only.
        plain_modulus: t, a prime equal to 1 modulo 2 N, so that values batch.

    Raises:
        UsageError: The combination is insecure, does not batch or is malformed.

    >>> BfvParameters().plain_modulus.bit_length()
    34
    """

    poly_modulus_degree: int = 4096
    coeff_mod_bit_sizes: tuple[int, ...] = (54, 55)
    plain_modulus: int = 17179754497

    def __post_init__(self) -> None:
        sizes = self.coeff_mod_bit_sizes
        numbers = (self.poly_modulus_degree, self.plain_modulus, *sizes)
        if any(type(number) is not int for number in numbers):
            raise UsageError("BFV parameters must be whole numbers.")
        limit = MAXIMUM_COEFF_BITS.get(self.poly_modulus_degree)
        if limit is None:
            raise UsageError(
                f"A polynomial degree of {self.poly_modulus_degree} is not supported.",
                do=f"Use one of {sorted(MAXIMUM_COEFF_BITS)}.",
            )
        if len(sizes) < 2 or not all(20 <= bits <= 60 for bits in sizes):
            raise UsageError("A coefficient modulus needs at least two primes of 20 to 60 bits.")
        if sum(sizes) > limit:
            raise UsageError(
                f"A coefficient modulus of {sum(sizes)} bits is insecure.",
                why=f"128-bit security at degree {self.poly_modulus_degree} allows {limit} bits "
                "(Homomorphic Encryption Standard, table 1).",
                do="Use fewer bits or a larger degree.",
            )
        if not 16 <= self.plain_modulus.bit_length() <= 60:
            raise UsageError("The plain modulus must have 16 to 60 bits.")
        if self.plain_modulus % (2 * self.poly_modulus_degree) != 1 or not is_prime(
            self.plain_modulus
        ):
            raise UsageError(
                "The plain modulus does not batch.",
                do=f"Use a prime that is 1 modulo {2 * self.poly_modulus_degree}.",
            )
        if self.plain_modulus in self.coefficient_primes():
            raise UsageError(
                "The plain modulus is a prime of the coefficient modulus.", do="Use another prime."
            )

    def to_dict(self) -> dict[str, object]:
        """Return the parameters as plain JSON values."""
        return {
            "coeff_mod_bit_sizes": list(self.coeff_mod_bit_sizes),
            "plain_modulus": self.plain_modulus,
            "poly_modulus_degree": self.poly_modulus_degree,
            "scheme": "bfv",
        }

    @classmethod
    def from_dict(cls, entries: Mapping[str, object]) -> BfvParameters:
        """Return the parameters that :meth:`to_dict` wrote.

        Raises:
            UsageError: A missing, unknown or malformed entry.
        """
        expected = {"coeff_mod_bit_sizes", "plain_modulus", "poly_modulus_degree", "scheme"}
        if set(entries) != expected or entries["scheme"] != "bfv":
            raise UsageError(f"BFV parameters have exactly the entries {sorted(expected)}.")
        sizes = entries["coeff_mod_bit_sizes"]
        degree, plain = entries["poly_modulus_degree"], entries["plain_modulus"]
        if not isinstance(sizes, list) or type(degree) is not int or type(plain) is not int:
            raise UsageError("BFV parameters must be whole numbers.")
        return cls(degree, tuple(sizes), plain)

    def chunk_sizes(self, values: int) -> list[int]:
        """Return how many of ``values`` values each ciphertext holds."""
        if not 1 <= values <= MAXIMUM_VALUES:
            raise UsageError(f"A signal has between 1 and {MAXIMUM_VALUES} values.")
        full, rest = divmod(values, self.poly_modulus_degree)
        return [self.poly_modulus_degree] * full + ([rest] if rest else [])

    def object_bounds(self, *, polynomials: int, key: bool = False) -> tuple[int, int]:
        """Return the least and the most bytes that a serialised SEAL object may take.

        Its polynomials look uniform modulo q (a key's modulo q P), so no compression gets
        far below their entropy: something much shorter is seeded (symmetric) or empty.
        """
        primes = self.coeff_mod_bit_sizes if key else self.coeff_mod_bit_sizes[:-1]
        entropy = polynomials * self.poly_modulus_degree * sum(primes) // 8
        raw = polynomials * self.poly_modulus_degree * 8 * len(primes)
        return entropy * 9 // 10, raw + raw // 128 + _OBJECT_OVERHEAD

    def maximum_payload_bytes(self, values: int) -> int:
        """Return the most bytes that an encrypted signal of ``values`` values may take."""
        chunks = self.chunk_sizes(values)
        return len(chunks) * (self.object_bounds(polynomials=2)[1] + 16) + 64

    def coefficient_primes(self) -> tuple[int, ...]:
        """Return SEAL's primes: the largest of each size that are 1 modulo 2 N.

        Of several primes of one size, the smallest comes first, as in ``CoeffModulus::Create``.

        Raises:
            UsageError: There are not as many primes of a size as are asked for.
        """
        step = 2 * self.poly_modulus_degree
        descending: dict[int, list[int]] = {}
        for bits in self.coeff_mod_bit_sizes:
            found = descending.setdefault(bits, [])
            candidate = found[-1] - step if found else ((1 << bits) - 1) // step * step + 1
            while candidate.bit_length() > bits or (
                candidate.bit_length() == bits and not is_prime(candidate)
            ):
                candidate -= step
            if candidate.bit_length() < bits:
                raise UsageError(
                    f"There are only {len(found)} primes of {bits} bits to choose from.",
                    why=f"Primes of the coefficient modulus must be 1 modulo {step}.",
                    do="Use other sizes.",
                )
            found.append(candidate)
        return tuple(descending[bits].pop() for bits in self.coeff_mod_bit_sizes)


@dataclass(frozen=True, slots=True)
class Headroom:
    """What :func:`check_headroom` proved; ``plan`` prints it.

    Attributes:
        noise_budget_bits: Proved noise budget left after the sum, in bits.
        value_bits: How many bits the largest possible sum stays below t / 2.
        ciphertexts: Ciphertexts a teacher uploads.
        payload_bytes: Most bytes that an upload takes.
    """

    noise_budget_bits: float
    value_bits: float
    ciphertexts: int
    payload_bytes: int


def proved_noise_budget_bits(parameters: BfvParameters, parties: int) -> float:
    """Return the noise budget that must remain after ``parties`` additions, in bits."""
    *data, special = parameters.coefficient_primes()
    degree = parameters.poly_modulus_degree
    fresh = _ERROR_BOUND * (2 * degree + 1) / special + degree / 2 + 1
    return (
        math.log2(math.prod(data))
        - 1
        - math.log2(parameters.plain_modulus)
        - math.log2(parties * fresh)
    )


def check_headroom(
    parameters: BfvParameters,
    *,
    parties: int,
    feature_bound: int,
    values: int,
    count_bound: int = 0,
    margin_bits: float = 1.0,
) -> Headroom:
    """Prove that no sum of ``parties`` signals can wrap or lose its noise budget.

    Args:
        parameters: BFV parameters of the agreement.
        parties: Most members of a roster, k.
        feature_bound: R, the largest absolute value of one teacher's slot.
        values: Values a signal has, the slot for the sum of counts included.
        count_bound: Largest value of that extra slot, if it may exceed R.
        margin_bits: Noise budget that must remain, in bits.

    Raises:
        HeadroomError: Too many parties, too wide values, or too little noise budget.
    """
    if parties < 1 or feature_bound < 1 or count_bound < 0 or not margin_bits >= 0:
        raise UsageError("Headroom needs at least one party and a positive bound.")
    largest = parties * max(feature_bound, count_bound)
    if 2 * largest >= parameters.plain_modulus:
        raise HeadroomError(
            f"A sum over {parties} teachers could wrap.",
            why=f"{parties} values of up to {max(feature_bound, count_bound)} need a plain "
            f"modulus above {2 * largest}; it is {parameters.plain_modulus}.",
            do="Lower the feature bound or the number selected, or raise the plain modulus.",
        )
    budget = proved_noise_budget_bits(parameters, parties)
    if budget < margin_bits:
        raise HeadroomError(
            f"A sum over {parties} teachers could lose its noise budget.",
            why=f"{budget:.2f} bits are certain to remain, {margin_bits:g} are needed.",
            do="Lower the plain modulus or the number selected, or raise the coefficient modulus.",
        )
    return Headroom(
        noise_budget_bits=budget,
        value_bits=math.log2(parameters.plain_modulus / (2 * largest)),
        ciphertexts=len(parameters.chunk_sizes(values)),
        payload_bytes=parameters.maximum_payload_bytes(values),
    )
