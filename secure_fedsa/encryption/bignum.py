"""Typed access to gmpy2: big-integer arithmetic with Python integers at the border.

``powmod_base_list`` releases the interpreter's lock, so threads help there. ``powmod`` is
GMP's sliding window: its time depends on the exponent, so secret exponents are used only
by the key owner, on its own machine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_gmpy2: Any = importlib.import_module("gmpy2")


def is_prime(number: int) -> bool:
    """Return whether ``number`` is prime (Baillie-PSW and Miller-Rabin)."""
    return bool(_gmpy2.is_prime(number))


def primorial(bound: int) -> int:
    """Return the product of all primes up to ``bound``."""
    return int(_gmpy2.primorial(bound))


def gcd(first: int, second: int) -> int:
    """Return the greatest common divisor."""
    return int(_gmpy2.gcd(first, second))


def invert(number: int, modulus: int) -> int:
    """Return the inverse of ``number`` modulo ``modulus``.

    Raises:
        ZeroDivisionError: There is none.
    """
    return int(_gmpy2.invert(number, modulus))


def powmod(base: int, exponent: int, modulus: int) -> int:
    """Return ``base ** exponent % modulus``."""
    return int(_gmpy2.powmod(base, exponent, modulus))


def powmod_many(bases: Sequence[int], exponent: int, modulus: int) -> list[int]:
    """Return ``base ** exponent % modulus`` of every base; other threads can run meanwhile."""
    return [int(power) for power in _gmpy2.powmod_base_list(list(bases), exponent, modulus)]


def mpz(number: int) -> Any:
    """Return GMP's own integer, for loops of multiplications."""
    return _gmpy2.mpz(number)
