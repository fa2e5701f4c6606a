"""Filter banks in exact integer arithmetic: whitened patches of the probes, pooled.

The recipe is that of Coates and Ng, "Learning Feature Representations with K-means"
(2012): whiten patches, take clusters of them as filters, divide responses by the local
contrast, split them by sign with a soft threshold, pool. What is ours is the arithmetic,
chosen so that one record's features cannot depend on the batch (see ``exact``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.models.exact import FLOAT32_INTEGERS, require_exact, require_integers

if TYPE_CHECKING:
    from secure_fedsa.models.records import PixelArray

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]

_PIXEL_MAX = 255
_LEVELS = 256  # integer steps of a unit response


@dataclass(frozen=True, slots=True)
class BankSpec:
    """One bank of filters.

    Attributes:
        size: Side of the square patch, pixels.
        filters: Number of filters.
        stride: Step between patches, pixels.
        pool: The response map is averaged into pool x pool cells.
        threshold: Soft threshold on the response, in units of its standard deviation.
    """

    size: int
    filters: int
    stride: int
    pool: int
    threshold: float


class FilterBank:
    """A fitted bank: integer filters and the exact pipeline behind them.

    Bounds, for a patch of n = size^2 channels pixels in 0..255 and an integer filter f of
    zero sum:

    * every partial sum of f . x is at most 255 sum|f| < 2^24: exact in float32;
    * n sum x^2 - (sum x)^2 <= (255 n)^2 < 2^53: exact in float64;
    * the contrast is at least sqrt(n) times the norm of x about its mean, so that by Cauchy
      and Schwarz the normalised response is at most gain x levels x |f| / sqrt(n). It is
      rounded to an integer, and that bound times the patches of a pooling cell is < 2^24.
    """

    def __init__(self, spec: BankSpec, filters: Float32Array, gain: float, floor: float) -> None:
        self.spec = spec
        self.filters = filters  # (taps, filters), integers
        self.gain = gain  # response units per unit of f . x / contrast
        self.floor = floor  # added to the contrast's square: flat patches give no response
        if filters.dtype != np.float32 or len(filters) % spec.size**2 or not floor > 0:
            raise DataError("The encoder's filter banks do not fit together.")
        require_integers(filters, "A filter")
        reach = _PIXEL_MAX * float(np.abs(filters).sum(axis=0).max())
        require_exact(reach, FLOAT32_INTEGERS, "filter responses")
        if np.any(filters.astype(np.float64).sum(axis=0) != 0):
            raise DataError("A filter of the encoder does not sum to zero.")
        longest = float(np.sqrt((filters.astype(np.float64) ** 2).sum(axis=0).max()))
        # One unit for rounding, one for the float32 quotient and product before it.
        self.response_bound = gain * _LEVELS * longest / np.sqrt(len(filters)) + 2

    @classmethod
    def fit(cls, images: PixelArray, spec: BankSpec, generator: np.random.Generator) -> FilterBank:
        """Choose filters from patches of the public probes, shape (n, H, W, channels)."""
        patches = _sample_patches(images, spec.size, 30_000, generator)
        taps = patches.shape[1]
        patches -= patches.mean(axis=1, keepdims=True)
        floor = float(taps * taps * 10.0)  # a grey-level variance of 10, as Coates and Ng
        patches /= np.sqrt(taps * (patches**2).sum(axis=1, keepdims=True) + floor)
        covariance = patches.T @ patches / len(patches)
        values, vectors = np.linalg.eigh(covariance)
        values = np.maximum(values, 0)
        whiten = (vectors / np.sqrt(values + 0.1 * values.mean())) @ vectors.T
        white = patches @ whiten
        centres = _spherical_kmeans(white, spec.filters, generator)
        raw = whiten @ centres.T
        raw -= raw.mean(axis=0)
        raw /= (patches @ raw).std(axis=0)
        # One common integer scale for the bank, as fine as 2^24 allows.
        unit = (FLOAT32_INTEGERS / _PIXEL_MAX - 2 * taps) / np.abs(raw).sum(axis=0).max()
        filters = np.rint(raw * unit)
        # Constant patches must give exactly zero: move the rounding's surplus, spread thin.
        for column in filters.T:
            surplus = int(column.sum())
            order = np.argsort(-np.abs(column), kind="stable")[: abs(surplus)]
            column[order] -= np.sign(surplus)
        return cls(spec, filters.astype(np.float32), 1.0 / unit, floor)

    def features(self, images: PixelArray) -> Float32Array:
        """Return pooled sums, float32 of non-negative integers, shape (n, width)."""
        count, height, width, _ = images.shape
        size, stride, pool = self.spec.size, self.spec.stride, self.spec.pool
        rows, columns = _cells(height, size, stride), _cells(width, size, stride)
        taps = self.filters.shape[0]
        pixels = images.astype(np.float32)
        windows = _windows(pixels, size, stride)
        response = windows.reshape(count * rows * columns, taps) @ self.filters
        response *= self._inverse_contrast(images)[:, None]
        np.rint(response, out=response)
        threshold = np.float32(np.rint(self.spec.threshold * _LEVELS))
        shape = (count, rows, columns, self.spec.filters)
        up = response - threshold
        np.maximum(up, 0, out=up)
        response += threshold
        np.minimum(response, 0, out=response)
        return np.concatenate(
            [_pool(up.reshape(shape), pool), -_pool(response.reshape(shape), pool)], axis=1
        )

    def _inverse_contrast(self, images: PixelArray) -> Float32Array:
        """Return gain x levels / contrast for every patch, float32, shape (patches,)."""
        taps = self.filters.shape[0]
        size, stride = self.spec.size, self.spec.stride
        grey = images.astype(np.float64)
        total = _box_sums(grey.sum(axis=3), size, stride)
        square = _box_sums((grey * grey).sum(axis=3), size, stride)
        contrast = np.sqrt(taps * square - total * total + self.floor)
        inverse: Float32Array = (self.gain * _LEVELS / contrast).astype(np.float32)
        return inverse.reshape(-1)

    def cells(self, height: int, width: int) -> int:
        """Number of patches in the largest pooling cell."""
        sides = (_cells(length, self.spec.size, self.spec.stride) for length in (height, width))
        rows, columns = (
            int(np.diff([*_edges(side, self.spec.pool), side]).max()) for side in sides
        )
        return rows * columns


def _edges(length: int, pool: int) -> npt.NDArray[np.int64]:
    """Return where the pooling cells of a side begin."""
    return np.linspace(0, length, pool + 1).astype(np.int64)[:-1]


def _cells(length: int, size: int, stride: int) -> int:
    if size > length:
        raise DataError(f"A patch of {size} pixels does not fit an image side of {length}.")
    return (length - size) // stride + 1


def _windows(pixels: Float32Array, size: int, stride: int) -> Float32Array:
    view = np.lib.stride_tricks.sliding_window_view(pixels, (size, size), axis=(1, 2))
    return np.ascontiguousarray(view[:, ::stride, ::stride])


def _box_sums(plane: FloatArray, size: int, stride: int) -> FloatArray:
    """Sums over size x size boxes, through cumulative sums of integers (exact)."""
    total = np.zeros((plane.shape[0], plane.shape[1] + 1, plane.shape[2] + 1))
    total[:, 1:, 1:] = plane.cumsum(axis=1).cumsum(axis=2)
    box = (
        total[:, size:, size:]
        - total[:, :-size, size:]
        - total[:, size:, :-size]
        + total[:, :-size, :-size]
    )
    return box[:, ::stride, ::stride]


def _pool(maps: Float32Array, pool: int) -> Float32Array:
    """Sum (n, rows, columns, filters) into pool x pool cells, shape (n, pool^2 filters)."""
    count, rows, columns, filters = maps.shape
    cells = membership(rows, pool)[:, None, :, None] * membership(columns, pool)[:, None, :]
    # A product with zeros and ones is a sum of integers too, and much faster than a loop.
    pooled = cells.reshape(pool * pool, rows * columns) @ maps.reshape(count, -1, filters)
    return np.asarray(pooled.reshape(count, -1), dtype=np.float32)


def membership(length: int, pool: int) -> Float32Array:
    """Return which of ``pool`` cells each position belongs to, 0 or 1, shape (pool, length)."""
    cell = np.searchsorted(_edges(length, pool), np.arange(length), side="right") - 1
    member: Float32Array = (cell == np.arange(pool)[:, None]).astype(np.float32)
    return member


def _sample_patches(
    images: PixelArray, size: int, count: int, generator: np.random.Generator
) -> FloatArray:
    which = generator.integers(len(images), size=count)
    top = generator.integers(images.shape[1] - size + 1, size=count)
    left = generator.integers(images.shape[2] - size + 1, size=count)
    offsets = np.arange(size)
    patches = images[
        which[:, None, None],
        top[:, None, None] + offsets[None, :, None],
        left[:, None, None] + offsets[None, None, :],
    ]
    return np.asarray(patches.reshape(count, -1), dtype=np.float64)


def _spherical_kmeans(
    points: FloatArray, count: int, generator: np.random.Generator, rounds: int = 8
) -> FloatArray:
    """Cluster directions; returns unit rows, shape (count, taps)."""
    norm = np.linalg.norm(points, axis=1)
    points = points[norm > 0.5 * np.median(norm)]
    centres = points[generator.choice(len(points), count, replace=False)]
    centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    for _ in range(rounds):
        similarity = points @ centres.T
        best = similarity.argmax(axis=1)
        weight = np.zeros((len(points), count))
        index = np.arange(len(points))
        weight[index, best] = similarity[index, best]
        moved = weight.T @ points
        length = np.linalg.norm(moved, axis=1, keepdims=True)
        # A filter without patches keeps its place: it is still a patch of the probes.
        centres = np.where(length > 1e-9, moved / np.maximum(length, 1e-9), centres)
    return np.asarray(centres, dtype=np.float64)
