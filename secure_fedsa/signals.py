"""The types that a teacher's signal passes through, in order.

    PrivateSummary -> NoisySummary -> Signal -> Encoded -> Masked -> Encrypted -> Aggregate

Each step exists once and takes only the type before it, so that a raw summary cannot be
encoded, an unmasked signal cannot be encrypted, and one teacher's contribution cannot be
released: of records, only a :class:`NoisySummary` becomes a :class:`Signal`, and the key holder's
release takes an :class:`Aggregate`. In the routes whose teachers are models, a
:class:`Signal` is made of what a model said about public probes
(:mod:`secure_fedsa.roles.model_teachers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SummaryShape:
    """The public shape of a teacher's summary.

    Attributes:
        classes: Number of classes of the teacher's own task, C.
        dimension: Width d of the public encoder.
    """

    classes: int
    dimension: int

    @property
    def noise_values(self) -> int:
        """Number of noise values that one summary takes: C (d + 1)."""
        return self.classes * (self.dimension + 1)


@dataclass(frozen=True, slots=True, repr=False)
class PrivateSummary:
    """Exact sums over private records; never leaves the function that reads them.

    Attributes:
        sums: int64, shape (C, d): sum over the records of each class, on the grid.
        counts: int64, shape (C,): number of records times the count unit.
    """

    sums: IntArray
    counts: IntArray

    def __repr__(self) -> str:
        return "PrivateSummary(<private>)"


@dataclass(frozen=True, slots=True, repr=False)
class Noise:
    """Integer noise for one summary, drawn before any record is read.

    Attributes:
        values: int64, shape (C (d + 1),).
        seeded: True when a test's seeded source made it.
    """

    values: IntArray
    seeded: bool

    def __repr__(self) -> str:
        return "Noise(<secret>)"


@dataclass(frozen=True, slots=True, repr=False)
class NoisySummary:
    """A summary after its noise: everything computed from it is post-processing.

    Attributes:
        sums: int64, shape (C, d), grid units.
        counts: int64, shape (C,), count units.
        noise_scale: Standard parameter of the discrete Gaussian in grid units.
        grid: Grid units that make up one clip norm (S).
        count_unit: Grid units that one record adds to its class's count.
    """

    sums: IntArray
    counts: IntArray
    noise_scale: float
    grid: int
    count_unit: int

    def __repr__(self) -> str:
        return f"NoisySummary(classes={self.sums.shape[0]}, dimension={self.sums.shape[1]})"


@dataclass(frozen=True, slots=True, repr=False)
class Signal:
    """A teacher's two integer signals, of its noisy summary or of what its model said.

    Attributes:
        saliency: int64, shape (m,), each within the agreed saliency bound.
        features: int64, shape (n,), each within the agreed feature bound R.
    """

    saliency: IntArray
    features: IntArray

    def __repr__(self) -> str:
        return f"Signal(saliency={self.saliency.size}, features={self.features.size})"


@dataclass(frozen=True, slots=True, repr=False)
class Encoded:
    """A feature signal as residues, int64 in [0, plain_modulus), shape (n,)."""

    residues: IntArray
    plain_modulus: int


@dataclass(frozen=True, slots=True, repr=False)
class Masked:
    """An encoded signal plus its pairwise masks, int64 in [0, plain_modulus), shape (n,)."""

    residues: IntArray
    plain_modulus: int


@dataclass(frozen=True, slots=True)
class Encrypted:
    """One teacher's masked signal under the feature key.

    Attributes:
        ciphertext: Serialised BFV ciphertexts.
        values: Number of values inside.
    """

    ciphertext: bytes
    values: int


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The homomorphic sum of a complete roster's contributions.

    Attributes:
        ciphertext: Serialised BFV ciphertexts of the sum.
        values: Number of values inside.
        members: The roster whose masks cancel in it, sorted.
    """

    ciphertext: bytes
    values: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class ReleasedSum:
    """A decrypted sum over a roster: the only feature values anybody sees.

    Attributes:
        values: int64, shape (n,), centred residues.
        members: The roster, sorted.
    """

    values: IntArray
    members: tuple[str, ...]


def int_array(values: Sequence[int] | npt.NDArray[np.integer]) -> IntArray:
    """Return ``values`` as a read-only int64 array."""
    array = np.array(values, dtype=np.int64)
    array.flags.writeable = False
    return array


def from_int64_bytes(data: bytes) -> IntArray:
    """Return little-endian int64 bytes as a read-only array."""
    return int_array(np.frombuffer(data, dtype="<i8"))
