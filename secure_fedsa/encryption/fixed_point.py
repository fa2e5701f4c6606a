"""Integer signals to residues modulo the plain modulus, and sums back to integers.

A signal is integer already; its public bound R is part of the agreement. An encoded
value is its residue in [0, t). A sum over k teachers lies in [-k R, k R], and as
``2 k R < t`` (:func:`~secure_fedsa.encryption.parameters.check_headroom`) its centred
residue, the one in (-t/2, t/2), *is* the sum. Range and length are checked on both
sides: TenSEAL wraps without a word.

Nobody learns anything here. An honest teacher cannot exceed R; a dishonest one can put
any residue under its mask, so a sum inside ``k R`` may still be poisoned, and a sum
outside proves that somebody cheated.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import HeadroomError, ProtocolError
from secure_fedsa.signals import Encoded, ReleasedSum, Signal, int_array

IntArray = npt.NDArray[np.int64]

#: Sums of two residues must fit 64 bits.
MAXIMUM_MODULUS = 1 << 62


def encode(
    signal: Signal, *, feature_bound: int | None, values: int, plain_modulus: int
) -> Encoded:
    """Return the feature signal as residues.

    Args:
        signal: Its ``features``, int64, shape (values,), each within ``feature_bound``.
        feature_bound: R; None where values carry shares of noise, which nothing may cut or
            refuse: they are reduced modulo t whatever they are.
        values: Length that the agreement fixes.
        plain_modulus: t, above ``2 R``.

    Raises:
        HeadroomError: A wrong length, type or range. The message holds no value.
    """
    features = signal.features
    if not 0 < 2 * (feature_bound or 1) < plain_modulus < MAXIMUM_MODULUS:
        raise HeadroomError("The feature bound does not fit the plain modulus.")
    if features.dtype != np.int64 or features.shape != (values,):
        raise HeadroomError(f"A feature signal must be int64 of shape ({values},).")
    # Not np.abs: it leaves the least int64 negative.
    least, most = (int(features.min()), int(features.max())) if values else (0, 0)
    if feature_bound is not None and (least < -feature_bound or most > feature_bound):
        raise HeadroomError(
            "A feature value is outside the agreed bound.",
            do="Clip the signal to the bound before encoding it.",
        )
    return Encoded(int_array(np.mod(features, plain_modulus)), plain_modulus)


def centre(residues: npt.NDArray[np.int64], plain_modulus: int) -> IntArray:
    """Return the residues' representatives in (-t/2, t/2), for odd t, same shape.

    >>> centre(np.array([0, 3, 4, 6]), 7).tolist()
    [0, 3, -3, -1]
    """
    reduced = np.mod(residues, plain_modulus)
    return np.where(reduced > plain_modulus // 2, reduced - plain_modulus, reduced)


def check_released(released: ReleasedSum, *, limit: int, values: int) -> ReleasedSum:
    """Return ``released`` if a roster of honest members can have produced it.

    Args:
        released: The opened sum.
        limit: Largest absolute value (:meth:`~secure_fedsa.agreement.Agreement.largest_opened`).
        values: Length that the agreement fixes.

    Raises:
        ProtocolError: Wrong length, or a value beyond ``limit``: some member's upload was outside
            the agreed range, or its masks did not cancel.
    """
    if released.values.shape != (values,):
        raise ProtocolError("", f"The released sum must have {values} values.")
    if int(released.values.min()) < -limit or int(released.values.max()) > limit:
        raise ProtocolError(
            "",
            "The released sum is out of range.",
            why="A member uploaded values beyond the bound, or masks that do not cancel.",
            do="Do not use this sum; ask the members to check their logs.",
        )
    return released
