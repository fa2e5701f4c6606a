"""A member's share of the noise of a sum: clip the signal, draw the share, add it.

What a sum of shares hides, :mod:`secure_fedsa.privacy.shared_noise` accounts for. Everything here
is in whole numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from secure_fedsa.entropy import NoiseSource
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.clipping import MAX_GRID
from secure_fedsa.privacy.parameters import positive_integer
from secure_fedsa.privacy.shared_noise import SharedNoiseRelease
from secure_fedsa.signals import IntArray, Noise, int_array

_SAFE = 2**62


@dataclass(frozen=True, slots=True, repr=False)
class ClippedSignal:
    """A member's integer signal, of an L2 norm of at most ``norm_bound``: checked exactly.

    Attributes:
        values: int64, shape (d,).
        norm_bound: In grid units.

    Raises:
        PrivacyParameterError: If it is longer; use :func:`clip_to_norm`.
    """

    values: IntArray
    norm_bound: int

    def __post_init__(self) -> None:
        bound = positive_integer(self.norm_bound, "norm_bound", MAX_GRID)
        if _squared_norm(_plain(self.values)) > bound**2:
            raise PrivacyParameterError(
                "A signal is longer than its norm bound.", do="Clip it by clip_to_norm."
            )

    def __repr__(self) -> str:
        return f"ClippedSignal(values={self.values.size}, norm_bound={self.norm_bound})"


def clip_to_norm(values: IntArray, norm_bound: int) -> ClippedSignal:
    """Scale an integer signal down to a norm bound; one that is within it stays as it is.

    A value v becomes trunc(v C / r), toward zero, r the root of the sum of squares rounded up to a
    whole number. All of it in whole numbers, so no rounding can pass the bound. Nothing that
    depends on the values is raised or logged.

    Args:
        values: int64, shape (d,).
        norm_bound: C, in grid units.

    Raises:
        PrivacyParameterError: If the shape, type or bound is not as said.

    >>> clip_to_norm(np.array([30, -40]), 25).values.tolist()
    [15, -20]
    """
    bound, plain = positive_integer(norm_bound, "norm_bound", MAX_GRID), _plain(values)
    squared = _squared_norm(plain)
    if squared > bound**2:
        root = math.isqrt(squared - 1) + 1
        plain = [(abs(v) * bound // root) * (1 if v > 0 else -1) for v in plain]
    return ClippedSignal(int_array(plain), bound)


def draw_share(source: NoiseSource, event: SharedNoiseRelease) -> Noise:
    """Draw a member's share, in one batch and before its signal is looked at.

    Returns:
        int64 values, shape (d,). Use them once, and tell nobody.

    Raises:
        PrivacyParameterError: If the source broke its contract.
    """
    values = source.discrete_gaussian(event.share_scale, event.coordinates)
    if values.shape != (event.coordinates,) or values.dtype != np.int64:
        raise PrivacyParameterError("The noise source gave another number or type of values.")
    if values.size and max(abs(int(values.max())), abs(int(values.min()))) >= _SAFE:
        raise PrivacyParameterError("A share is beyond 2^62.", do="Use a coarser grid.")
    return Noise(int_array(values), source.seeded)


def add_share(signal: ClippedSignal, share: Noise, event: SharedNoiseRelease) -> IntArray:
    """Return a member's signal with its share: reduce it modulo, mask and encrypt it, and no more.

    Returns:
        int64, shape (d,); never to be cut to a range.

    Raises:
        PrivacyParameterError: If signal, share and event do not fit together.
    """
    shape = (event.coordinates,)
    if signal.values.shape != shape or share.values.shape != shape:
        raise PrivacyParameterError("A signal or its share has another length than was agreed.")
    if signal.norm_bound != event.norm_bound:
        raise PrivacyParameterError("The signal was clipped to another norm than was agreed.")
    return int_array(signal.values + share.values)


def _plain(values: IntArray) -> list[int]:
    if getattr(values, "dtype", None) != np.int64 or values.ndim != 1:
        raise PrivacyParameterError("A signal is not an int64 array of shape (d,).")
    plain: list[int] = values.tolist()
    return plain


def _squared_norm(plain: list[int]) -> int:
    return sum(v * v for v in plain)
