"""Arithmetic that gives the same bits in any order.

Floating-point sums depend on their order, and a matrix product's order depends on the
batch size, the library and the number of threads. Whether phi(x) may depend on a record's
neighbours is not a matter of taste: the sensitivity proof of the private summary assumes
that it does not. So every *sum* in the encoder runs over integers held in floats and stays
below the limit up to which floats hold every integer, 2^24 (float32) or 2^53 (float64).
Then each partial sum is exact, with or without fused multiply-add, and any order gives the
same bits. All else is elementwise: IEEE 754 prescribes the result of +, -, *, /, sqrt,
comparison and rounding to an integer, one at a time, to the last bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

FLOAT32_INTEGERS = 2**24
FLOAT64_INTEGERS = 2**53

FloatArray = npt.NDArray[np.float64]


def require_exact(bound: float, limit: int, what: str) -> None:
    """Refuse parameters under which a sum could leave the exact integers.

    Args:
        bound: A proved bound of every partial sum's absolute value.
        limit: :data:`FLOAT32_INTEGERS` or :data:`FLOAT64_INTEGERS`.
        what: The sum, for the error.

    Raises:
        DataError: ``bound`` reaches ``limit`` or is not a number.

    >>> require_exact(2**24 - 1, FLOAT32_INTEGERS, "a filter")
    """
    if not bound < limit:
        raise DataError(
            f"{what}: sums up to {bound:.0f} pass the exact integers below {limit}.",
            why="The encoding of a record could then depend on the batch it is in.",
            do="Use fewer or smaller weights.",
        )


def require_integers(values: npt.NDArray[Any], what: str) -> None:
    """Refuse weights that are not integers held in floats.

    Raises:
        DataError: Another type, a fraction, NaN or infinity.
    """
    if values.dtype.kind != "f" or not np.array_equal(np.rint(values), values):
        raise DataError(
            f"{what} is not made of integers.",
            why="The encoding of a record could then depend on the batch it is in.",
            do="Use an encoder that fit() made.",
        )


def integer_matrix(
    matrix: FloatArray, *, input_bound: FloatArray, limit: int
) -> tuple[FloatArray, int]:
    """Scale a matrix by one power of two and round it, as finely as exactness allows.

    Args:
        matrix: float64, shape (p, q).
        input_bound: float64, shape (p,): bounds of the integer inputs' absolute values.
        limit: Exclusive bound of every partial sum of ``inputs @ result``.

    Returns:
        float64 of integers, shape (p, q), and the exponent: result is matrix x 2^exponent.

    Raises:
        DataError: The inputs alone leave no room for weights.
    """
    # Rounding adds at most half a unit to each weight.
    room = (limit - 1) - 0.5 * float(input_bound.sum())
    require_exact(float(input_bound.sum()), limit, "projection")
    reach = float((np.abs(matrix) * input_bound[:, None]).sum(axis=0).max())
    exponent = int(np.floor(np.log2(room / reach)))
    return np.rint(matrix * 2.0**exponent), exponent
