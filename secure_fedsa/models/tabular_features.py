"""Exact integer features of table rows: standardised values and random ReLU units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.models.exact import FLOAT64_INTEGERS, require_exact, require_integers

FloatArray = npt.NDArray[np.float64]

_STEP = 1024  # integer steps of one standard deviation
_REACH = 8 * _STEP  # standardised values are clipped at 8 standard deviations
_WEIGHT = 4096  # integer steps of a unit weight


class TabularFeatures:
    """Standardise with the probes' moments, then add random ReLU units.

    Standardising is elementwise; the units' inputs are sums of integers of at most
    8192 sum|w| + |b| < 2^53, exact in float64; dividing by a constant and rounding is
    elementwise again.
    """

    def __init__(
        self, mean: FloatArray, scale: FloatArray, weights: FloatArray, offsets: FloatArray
    ) -> None:
        self.mean = mean  # (features,)
        self.scale = scale  # (features,), positive
        self.weights = weights  # (features, units), integers
        self.offsets = offsets  # (units,), integers
        require_integers(weights, "A random unit")
        require_integers(offsets, "A random unit's offset")
        if not (np.isfinite(mean).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise DataError("The encoder's moments are not finite.")
        reach = np.abs(weights).sum(axis=0) * _REACH + np.abs(offsets)
        require_exact(float(reach.max()), FLOAT64_INTEGERS, "random units")

    @classmethod
    def fit(cls, rows: FloatArray, units: int, generator: np.random.Generator) -> TabularFeatures:
        """Take moments from the public probes, shape (n, features), and draw the units."""
        mean = rows.mean(axis=0)
        spread = rows.std(axis=0)
        # A constant column carries nothing; scale 1 keeps it at zero without dividing by it.
        scale = np.where(spread > 1e-12 * (np.abs(mean) + 1e-12), spread, 1.0)
        weights = generator.normal(0, 1 / np.sqrt(rows.shape[1]), (rows.shape[1], units))
        offsets = generator.normal(0, 0.5, units)
        return cls(mean, scale, np.rint(weights * _WEIGHT), np.rint(offsets * _WEIGHT * _STEP))

    def bounds(self) -> FloatArray:
        """Return bounds of the features' absolute values, float64, shape (width,)."""
        reach = np.abs(self.weights).sum(axis=0) * _REACH + np.abs(self.offsets)
        return np.concatenate([np.full(len(self.mean), float(_REACH)), reach / _WEIGHT + 1])

    def tensors(self) -> dict[str, FloatArray]:
        """Return what :meth:`restore` needs, by name."""
        return {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.weights,
            "offsets": self.offsets,
        }

    def describe(self) -> dict[str, object]:
        """Return the settings beside the tensors (none)."""
        return {}

    @classmethod
    def restore(
        cls, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]
    ) -> TabularFeatures:
        """Undo :meth:`tensors` and :meth:`describe`."""
        del settings
        return cls(tensors["mean"], tensors["scale"], tensors["weights"], tensors["offsets"])

    def features(self, rows: FloatArray) -> FloatArray:
        """Return float64 of integers, shape (n, width), for finite rows."""
        # A far outlier may overflow to infinity here; the clip brings it back.
        with np.errstate(over="ignore"):
            standard = np.rint((rows - self.mean) / self.scale * _STEP)
        standard = np.clip(standard, -_REACH, _REACH)
        hidden = np.maximum(standard @ self.weights + self.offsets, 0)
        return np.concatenate([standard, np.rint(hidden / _WEIGHT)], axis=1)
