"""Image features: shrink large images, run the filter banks, take square roots."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.models.exact import FLOAT32_INTEGERS, require_exact
from secure_fedsa.models.filters import BankSpec, FilterBank

if TYPE_CHECKING:
    from secure_fedsa.models.records import PixelArray

FloatArray = npt.NDArray[np.float64]

_ROOT_STEPS = 64.0  # integer steps of a square root
_SIDE = 28  # larger images are averaged down towards this side
_BLOCK = 64  # images a pass: keeps the working set inside the cache


class ImageFeatures:
    """Shrink large images, run all banks, take square roots.

    The square root evens out the variance of pooled sums (they behave like counts). It is
    taken elementwise in float64 and rounded to an integer of at most 2^19.
    """

    def __init__(self, height: int, width: int, factor: int, banks: tuple[FilterBank, ...]) -> None:
        self.height = height  # after shrinking
        self.width = width
        self.factor = factor
        self.banks = banks
        for bank in banks:
            require_exact(
                bank.cells(height, width) * bank.response_bound, FLOAT32_INTEGERS, "pooled sums"
            )

    @classmethod
    def fit(
        cls, images: PixelArray, specs: tuple[BankSpec, ...], generator: np.random.Generator
    ) -> ImageFeatures:
        """Fit all banks to public images, uint8, shape (n, H, W, channels)."""
        factor = shrink_factor(*images.shape[1:3])
        small = _shrink(images, factor)
        height, width = small.shape[1:3]
        banks = tuple(
            FilterBank.fit(small, fitting_bank(spec, min(height, width)), generator)
            for spec in specs
        )
        return cls(height, width, factor, banks)

    def features(self, images: PixelArray) -> FloatArray:
        """Return float64 of integers, shape (n, width), for uint8 images."""
        blocks = []
        for start in range(0, len(images), _BLOCK):
            block = _shrink(images[start : start + _BLOCK], self.factor)
            blocks.append(np.concatenate([bank.features(block) for bank in self.banks], axis=1))
        roots: FloatArray = np.concatenate(blocks).astype(np.float64)
        np.sqrt(roots, out=roots)
        roots *= _ROOT_STEPS
        return np.rint(roots, out=roots)

    def bounds(self) -> FloatArray:
        """Return bounds of the features, float64, shape (width,)."""
        return np.concatenate(
            [
                np.full(
                    2 * bank.spec.filters * bank.spec.pool**2,
                    np.ceil(
                        np.sqrt(bank.cells(self.height, self.width) * bank.response_bound)
                        * _ROOT_STEPS
                    ),
                )
                for bank in self.banks
            ]
        )

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return what :meth:`restore` needs, by name."""
        return {f"bank{index}": bank.filters for index, bank in enumerate(self.banks)}

    def describe(self) -> dict[str, object]:
        """Return the settings beside the tensors."""
        return {
            "height": self.height,
            "width": self.width,
            "factor": self.factor,
            "banks": [
                {**asdict(bank.spec), "gain": bank.gain, "floor": bank.floor} for bank in self.banks
            ],
        }

    @classmethod
    def restore(
        cls, tensors: dict[str, npt.NDArray[Any]], settings: dict[str, Any]
    ) -> ImageFeatures:
        """Undo :meth:`tensors` and :meth:`describe`."""
        banks = []
        for index, described in enumerate(settings["banks"]):
            fields = dict(described)
            gain, floor = float(fields.pop("gain")), float(fields.pop("floor"))
            banks.append(FilterBank(BankSpec(**fields), tensors[f"bank{index}"], gain, floor))
        return cls(
            int(settings["height"]), int(settings["width"]), int(settings["factor"]), tuple(banks)
        )


def shrink_factor(height: int, width: int) -> int:
    """Return by how much images of this size are averaged down before the filters."""
    return max(1, min(height, width) // _SIDE)


def _shrink(images: PixelArray, factor: int) -> PixelArray:
    """Average factor x factor blocks, rounding down; integers, so exact."""
    if factor == 1:
        return images
    count, height, width, channels = images.shape
    height, width = height // factor, width // factor
    blocks = images[:, : height * factor, : width * factor].reshape(
        count, height, factor, width, factor, channels
    )
    total = blocks.sum(axis=(2, 4), dtype=np.int64)
    shrunk: PixelArray = (total // factor**2).astype(np.uint8)
    return shrunk


def fitting_bank(spec: BankSpec, side: int) -> BankSpec:
    """Shrink a bank's patches for images smaller than it was meant for."""
    size = min(spec.size, max(2, side // 2))
    stride = min(spec.stride, max(1, (side - size) // (2 * spec.pool)))
    return replace(spec, size=size, stride=stride, pool=min(spec.pool, side - size + 1))
