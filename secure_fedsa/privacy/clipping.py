"""From records to integers of bounded norm, and from those to a private summary.

Every record's contribution is a function of that record alone, bit for bit: no operation
here reduces over more than one record before the values are integers, and the only
floating-point reduction (a record's norm) runs in the order of its coordinates. Nothing
here raises, logs or returns to others anything that depends on a record's content; a
record that cannot be used counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError, PrivacyParameterError
from secure_fedsa.privacy.parameters import positive, positive_integer
from secure_fedsa.signals import IntArray, PrivateSummary

BoolArray = npt.NDArray[np.bool_]

MAX_GRID = 2**30
"""Largest grid and count unit: then 2^31 records cannot pass 2^61 in any sum."""

MAX_RECORDS = 2**31
MAX_CLASSES = 2**20


@dataclass(frozen=True, slots=True, repr=False)
class LocalNotes:
    """What the teacher may tell its own operator about the records, and nobody else.

    Attributes:
        records: Number of records given.
        zeroed: Number of records that contributed zero.
    """

    records: int
    zeroed: int

    def __repr__(self) -> str:
        return "LocalNotes(<private>)"


def check_grid(grid: int, dimension: int) -> int:
    """Return ``grid`` if every record's integer sum of squares fits int64.

    After truncation each of the d coordinates is at most the grid S in size, so the sum is
    at most d S^2, which must stay below 2^63.

    Raises:
        PrivacyParameterError: If the grid is not in [1, 2^30] or d S^2 >= 2^63.
    """
    grid = positive_integer(grid, "grid", MAX_GRID)
    if dimension * grid**2 >= 2**63:
        raise PrivacyParameterError(
            f"A grid of {grid} is too fine for {dimension} features.",
            why="A record's sum of squares could pass 2^63.",
            do="Use a coarser grid.",
        )
    return grid


def to_grid(features: npt.NDArray[Any], clip_norm: float, grid: int) -> tuple[IntArray, BoolArray]:
    """Clip every record to ``clip_norm`` and put it on the integer grid.

    A record x becomes trunc(S x / max(clip_norm, |x|)), truncated toward zero, with S the
    grid; its integer sum of squares is then checked to be at most S^2, exactly. A record
    that fails the check, or that has a NaN, an infinity or a norm beyond the floats, becomes
    the zero row: what others see may not depend on it.

    Args:
        features: float64 or int64, shape (n, d): the public encoder's output.
        clip_norm: Norm that a record keeps at most, in feature units.
        grid: Grid units that make up one clip norm (S).

    Returns:
        int64, shape (n, d), rows of norm at most S; and bool, shape (n,), False where the
        row was set to zero.

    Raises:
        DataError: If ``features`` has another type or shape.
        PrivacyParameterError: If a public parameter is out of range.

    >>> rows, valid = to_grid(np.array([[3.0, 4.0], [np.nan, 0.0]]), 1.0, 1000)
    >>> rows.tolist(), valid.tolist()
    ([[600, 800], [0, 0]], [True, False])
    """
    if features.ndim != 2 or features.dtype not in (np.float64, np.int64):
        raise DataError("Features are not a float64 or int64 array of shape (n, d).")
    clip_norm = positive(clip_norm, "clip_norm")
    grid = check_grid(grid, features.shape[1])

    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        scaled = features.astype(np.float64, order="C") / clip_norm
        norms = _row_norms(scaled)
        valid = np.isfinite(norms)
        scaled[~valid] = 0.0
        scaled /= np.where(valid, np.maximum(norms, 1.0), 1.0)[:, None]
        rows = np.trunc(scaled * grid).astype(np.int64)
    valid &= _within(rows, grid)
    rows[~valid] = 0
    return rows, valid


def summarise(
    grid_rows: IntArray,
    labels: npt.NDArray[Any],
    valid: BoolArray,
    classes: int,
    count_unit: int,
    *,
    grid: int,
) -> tuple[PrivateSummary, LocalNotes]:
    """Add up the records of each class, exactly.

    A usable record adds its row to its class's sum and the count unit to its class's count.
    A record that is not valid, whose label is not a whole number in [0, classes), or whose
    row is longer than the grid (so was not made by :func:`to_grid`) adds nothing to either.

    Args:
        grid_rows: int64, shape (n, d), from :func:`to_grid`.
        labels: shape (n,), any type of number; other objects count as unusable.
        valid: bool, shape (n,), from :func:`to_grid`.
        classes: Number of classes of the teacher's task (C).
        count_unit: Grid units that one record adds to its class's count (W).
        grid: Grid units that make up one clip norm (S).

    Returns:
        The summary, sums (C, d) and counts (C,), both below 2^61 in size; and notes for the
        teacher's own operator.

    Raises:
        DataError: If the arrays' types or lengths do not fit together.
        PrivacyParameterError: If a public parameter is out of range.
    """
    classes = positive_integer(classes, "classes", MAX_CLASSES)
    count_unit = positive_integer(count_unit, "count_unit", MAX_GRID)
    if grid_rows.ndim != 2 or grid_rows.dtype != np.int64 or valid.dtype != np.bool_:
        raise DataError("Grid rows and validity are not what to_grid returns.")
    records, dimension = grid_rows.shape
    if labels.shape != (records,) or valid.shape != (records,) or records >= MAX_RECORDS:
        raise DataError("Features and labels do not have the same number of records.")
    grid = check_grid(grid, dimension)

    numbers, usable = usable_labels(labels, classes)
    usable &= valid & _within(grid_rows, grid)
    sums = np.zeros((classes, dimension), dtype=np.int64)
    for label in range(classes):
        sums[label] = grid_rows[usable & (numbers == label)].sum(axis=0, dtype=np.int64)
    counts = np.bincount(numbers[usable], minlength=classes).astype(np.int64) * count_unit
    notes = LocalNotes(records=records, zeroed=records - int(usable.sum()))
    return PrivateSummary(sums=sums, counts=counts), notes


def _row_norms(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return each row's norm, summed strictly from the first coordinate to the last.

    ``np.linalg.norm`` sums in blocks that may depend on memory layout and threads;
    ``accumulate`` is defined as a sequence of single additions.
    """
    if rows.shape[1] == 0:
        return np.zeros(rows.shape[0])
    squares = np.add.accumulate(rows * rows, axis=1)[:, -1]
    return np.asarray(np.sqrt(squares), dtype=np.float64)


def _within(rows: IntArray, grid: int) -> BoolArray:
    """Return which rows have coordinates and an exact L2 norm of at most ``grid``."""
    small: BoolArray = np.all((rows <= grid) & (rows >= -grid), axis=1)
    squares = np.where(small[:, None], rows, 0) ** 2
    short: BoolArray = squares.sum(axis=1, dtype=np.int64) <= grid**2
    return small & short


def usable_labels(labels: npt.NDArray[Any], classes: int) -> tuple[IntArray, BoolArray]:
    """Return labels as int64 (0 where unusable) and which are whole numbers in [0, classes)."""
    if labels.dtype.kind not in "iuf":
        plain = [label if type(label) is int else -1 for label in labels.tolist()]
        labels = np.array([label if 0 <= label < classes else -1 for label in plain], np.int64)
    if labels.dtype.kind == "f":
        whole = labels == np.floor(labels)
    else:
        whole = np.ones(labels.shape, dtype=np.bool_)
    usable = whole & (labels >= 0) & (labels < classes)
    return np.where(usable, labels, 0).astype(np.int64), usable
