"""Checks that every public privacy parameter passes before it is used.

The accounting libraries let NaN, infinite, zero and negative values through (a NaN noise
multiplier composes to epsilon 0), so we refuse them ourselves, at every door.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

from secure_fedsa.errors import PrivacyParameterError


def positive(value: Any, name: str) -> float:
    """Return ``value`` as a finite float above zero.

    Raises:
        PrivacyParameterError: If it is not a real number, or NaN, infinite, zero or negative.

    >>> positive(4, "noise_scale")
    4.0
    """
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number) and number > 0:
            return number
    raise PrivacyParameterError(f"{name} is {value!r}.", do="Use a finite number above zero.")


def probability(value: Any, name: str) -> float:
    """Return ``value`` as a float strictly between zero and one.

    Raises:
        PrivacyParameterError: If it is anything else.
    """
    number = positive(value, name)
    if number < 1:
        return number
    raise PrivacyParameterError(f"{name} is {value!r}.", do="Use a number between 0 and 1.")


def positive_integer(value: Any, name: str, maximum: int) -> int:
    """Return ``value`` as an int in ``[1, maximum]``.

    Raises:
        PrivacyParameterError: If it is anything else (a bool or 2.0 included).
    """
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        number = int(value)
        if 1 <= number <= maximum:
            return number
    raise PrivacyParameterError(
        f"{name} is {value!r}.", do=f"Use a whole number from 1 to {maximum}."
    )
