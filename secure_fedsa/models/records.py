"""What one record looks like, and which records of an array are usable.

The schema is public and stands in the encoder; the records are private. So an array of a
wrong shape or type is an error that anybody may see, while a bad *value* inside a record
(NaN, infinite, out of range) only clears that record's flag in ``valid``: what a teacher
visibly does must not depend on what is in its records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

BoolArray = npt.NDArray[np.bool_]
PixelArray = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

RecordKind = Literal["image", "tabular"]


@dataclass(frozen=True, slots=True)
class RecordSchema:
    """The public shape of one record.

    Attributes:
        kind: ``image`` (pixels) or ``tabular`` (one row of numbers).
        shape: ``(H, W)``, ``(H, W, channels)`` or ``(features,)``.
    """

    kind: RecordKind
    shape: tuple[int, ...]

    @classmethod
    def of(cls, records: npt.NDArray[Any]) -> RecordSchema:
        """Read the schema off an array of records, shape (n, ...).

        Raises:
            DataError: The array is neither images nor a table of numbers.

        >>> RecordSchema.of(np.zeros((5, 28, 28), np.uint8))
        RecordSchema(kind='image', shape=(28, 28))
        """
        _check_numeric(records)
        if records.ndim == 2:
            return cls("tabular", (int(records.shape[1]),))
        if records.ndim in (3, 4) and min(records.shape[1:3]) >= 4:
            return cls("image", tuple(int(size) for size in records.shape[1:]))
        raise DataError(
            f"Records of shape {records.shape} are neither images nor a table.",
            do="Use (n, H, W) or (n, H, W, channels) images of at least 4x4 pixels, "
            "or an (n, features) table.",
        )

    def check(self, records: npt.NDArray[Any]) -> None:
        """Refuse an array that does not hold records of this schema.

        Raises:
            DataError: A wrong shape or type, with the shape that was expected.
        """
        _check_numeric(records)
        if tuple(records.shape[1:]) != self.shape:
            raise DataError(
                f"Records of shape {tuple(records.shape[1:])} where the public encoder "
                f"expects {self.shape}.",
                do="Give an array whose first axis counts the records, made like the probes.",
            )

    def pixels(self, records: npt.NDArray[Any]) -> tuple[PixelArray, BoolArray]:
        """Return images as uint8, shape (n, H, W, channels), and the valid flags.

        uint8 pixels pass unchanged. Floats are taken as intensities in [0, 1] and rounded to
        the nearest of 256 levels; other integers must lie in 0..255. An image with any value
        outside becomes all zero and is flagged.
        """
        self.check(records)
        shape = (len(records), *self.shape[:2], self.shape[2] if len(self.shape) == 3 else 1)
        images = np.ascontiguousarray(records).reshape(shape)
        if images.dtype == np.uint8:
            return images, np.ones(len(images), dtype=np.bool_)
        top = 1.0 if np.issubdtype(images.dtype, np.floating) else 255.0
        # NaN fails both comparisons, so this also clears the flag of non-finite records.
        inside: BoolArray = (images >= 0) & (images <= top)
        valid = np.asarray(inside.all(axis=(1, 2, 3)), dtype=np.bool_)
        levels = np.where(valid[:, None, None, None], images, 0) * (255.0 / top)
        return np.rint(levels).astype(np.uint8), valid

    def rows(self, records: npt.NDArray[Any]) -> tuple[FloatArray, BoolArray]:
        """Return table rows as float64, shape (n, features), and the valid flags.

        A row with a non-finite value becomes all zero and is flagged.
        """
        self.check(records)
        rows = records.astype(np.float64)
        valid = np.asarray(np.isfinite(rows).all(axis=1), dtype=np.bool_)
        return np.where(valid[:, None], rows, 0.0), valid


def _check_numeric(records: npt.NDArray[Any]) -> None:
    if not isinstance(records, np.ndarray) or records.dtype.kind not in "uif":
        found = getattr(records, "dtype", type(records).__name__)
        raise DataError(
            f"Records of type {found} are not numbers.",
            do="Give a numpy array of uint8 pixels, integers or floats.",
        )
