"""From a noisy summary of the student's labelled records to names for the probes' clusters.

The opened sum has shown the few directions along which classes differ, and in these the public
probes fall into clusters by themselves. What only labels can say is which cluster has which name.
For that each labelled record gives no more than the direction in which it lies from the probes'
mean, a vector of length one in a handful of dimensions; its class's noisy sum of them is all that
is ever used. So little noise is needed: as many records as make two clusters' names differ by more
than it. Everything here is per record, public, or post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from secure_fedsa.errors import DataError
from secure_fedsa.models.heads import log_softmax
from secure_fedsa.signals import NoisySummary, int_array

if TYPE_CHECKING:
    from secure_fedsa.signals import FloatArray

SHORTEST = 2.0**-20
"""Length from which a record's vector is scaled to one, in probes' standard deviations."""
_PASS = 256  # records a pass: bounds memory
_SHARPNESS = 6.0  # log-odds between two clusters at right angles whose names are certain
_LEAST_SIGNAL = 0.05  # of the noise: a summary that is all noise still names something


@dataclass(frozen=True, slots=True, repr=False)
class LabelSummary:
    """The only thing that was ever computed from the student's labelled records.

    Attributes:
        centre: float64 (d,), the probes' mean encoding, public.
        directions: float64 (d, k), from an opened sum, public to the student.
        noisy: Noisy sums (classes, k) and counts (classes,).
    """

    centre: FloatArray
    directions: FloatArray
    noisy: NoisySummary

    def to_bytes(self) -> bytes:
        """Return the summary as safetensors."""
        noisy = self.noisy
        tensors: dict[str, npt.NDArray[np.generic]] = {
            "centre": self.centre,
            "directions": self.directions,
            "sums": noisy.sums,
            "counts": noisy.counts,
            "noise_scale": np.array([noisy.noise_scale]),
            "units": np.array([noisy.grid, noisy.count_unit], dtype=np.int64),
        }
        return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> LabelSummary:
        """Read :meth:`to_bytes` back.

        Raises:
            DataError: If the bytes are no such summary.
        """
        try:
            tensors = load_tensors(data)
            grid, unit = tensors["units"].tolist()
            (scale,) = tensors["noise_scale"].tolist()
            sums, counts = int_array(tensors["sums"]), int_array(tensors["counts"])
            noisy = NoisySummary(sums, counts, scale, grid, unit)
            return cls(tensors["centre"], tensors["directions"], noisy)
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataError("These bytes are not a summary of labelled records.") from error


def project(encoded: FloatArray, centre: FloatArray, directions: FloatArray) -> FloatArray:
    """Return where encoded records lie along a few directions, float64 (n, k).

    A row depends on its own record only, to the last bit: a matrix product may add in another
    order for another number of rows, ``accumulate`` adds one by one.

    Args:
        encoded: float64 (n, d), in clip norms.
        centre: float64 (d,).
        directions: float64 (d, k).
    """
    rows = [np.zeros((0, directions.shape[1]))]
    for start in range(0, len(encoded), _PASS):
        parts = (encoded[start : start + _PASS] - centre)[:, :, None] * directions
        rows.append(np.add.accumulate(parts, axis=1)[:, -1])
    return np.concatenate(rows)


def name_probes(summary: LabelSummary, probes: FloatArray) -> FloatArray:
    """Return each class's share in each probe as the noisy summary alone has it, float64 (m, C).

    A class's noisy sum points to its cluster. How far to believe it follows from its length
    against that of the noise. Post-processing: it costs no privacy.

    Args:
        summary: The noisy summary.
        probes: float64 (m, d), in clip norms.
    """
    sums = summary.noisy.sums / summary.noisy.grid
    classes, width = sums.shape
    noise = width * (summary.noisy.noise_scale / summary.noisy.grid) ** 2
    measured = float((sums**2).sum()) / classes
    signal = max(measured - noise, _LEAST_SIGNAL * noise, SHORTEST)
    place = project(probes, summary.centre, summary.directions)
    place /= np.maximum(np.linalg.norm(place, axis=1, keepdims=True), SHORTEST)
    believed = sums * (_SHARPNESS * np.sqrt(signal) / (signal + noise))
    return np.exp(log_softmax(place @ believed.T))
