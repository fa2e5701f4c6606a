"""From a teacher's model to its two signals, and from their sum back to a release.

The forms are those of :mod:`.probe_signals`; here stand their public ranges. Every value has a
bound that follows from public numbers alone, so a teacher's clipped and truncated integers say
nothing more than the agreement allows, and the plan can prove that no sum wraps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.models.amalgamation import Release
from secure_fedsa.models.probe_signals import (
    gram_triangle,
    joined,
    probe_scatter,
    scatter_of_gram,
    scatter_of_sketch,
    sketch,
)
from secure_fedsa.models.saliency import SaliencyScale, teacher_saliency
from secure_fedsa.models.scatter import from_upper_triangle, triangle_size, upper_triangle

if TYPE_CHECKING:
    from secure_fedsa.models.adapters import TeacherAdapter

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FeatureForm = Literal["sketch", "gram", "scatter"]

_LARGEST_OF_SKETCH = 8.0  # standard deviations of a typical probe's row
_LARGEST_OF_GRAM = 16.0  # times the share of a typical probe


@dataclass(frozen=True, slots=True)
class ModelSignalSpec:
    """The public form of a model's feature signal.

    Attributes:
        form: sketch, gram or scatter.
        probes: Number of probes that the models are asked about, the first of the agreed ones.
        dimension: Width of the public encoder.
        width: Columns of a sketch; 0 for the other forms.
    """

    form: FeatureForm
    probes: int
    dimension: int
    width: int = 0

    def __post_init__(self) -> None:
        if self.probes < 2 or self.dimension < 1 or (self.form == "sketch") != (self.width > 0):
            raise DataError(
                f"A {self.form} of {self.probes} probes and width {self.width} is no signal.",
                do="Ask about at least two probes; give a width for a sketch, and for it only.",
            )

    @property
    def values(self) -> int:
        """Length of the signal, without the slot that counts teachers."""
        if self.form == "sketch":
            return self.probes * self.width
        return triangle_size(self.probes if self.form == "gram" else self.dimension)

    @property
    def largest(self) -> float:
        """Public bound of a value's size; what is beyond is clipped.

        A scatter never reaches beyond it. A sketch or Gram entry does if a probe's answers lie
        eight standard deviations, or four times, further out than the typical probe's.
        """
        if self.form == "sketch":
            return _LARGEST_OF_SKETCH / float(np.sqrt(self.width))
        return _LARGEST_OF_GRAM / self.probes if self.form == "gram" else 1.0


def answers_of(adapter: TeacherAdapter, probes: npt.NDArray[np.generic]) -> FloatArray:
    """Return a model's features and outputs for probes, side by side, each half of the whole."""
    return joined([adapter.features(probes), adapter.outputs(probes)])


def model_features(
    spec: ModelSignalSpec,
    answers: FloatArray,
    encoded: FloatArray,
    projection: FloatArray | None = None,
) -> FloatArray:
    """Return a model's feature signal, float64 (spec.values,), within ``spec.largest``.

    Args:
        spec: The agreed form.
        answers: float64 (probes, f), from :func:`answers_of` or
            :func:`~.probe_signals.normalised`.
        encoded: float64 (probes, d), the same probes encoded, in clip norms.
        projection: float64 (f, width) for a sketch: secret, fresh for the run.

    Raises:
        DataError: Shapes that do not fit, or a sketch without a projection.
    """
    if len(answers) != spec.probes or len(encoded) != spec.probes:
        raise DataError(f"Answers for {len(answers)} probes; agreed are {spec.probes}.")
    if spec.form == "sketch":
        if projection is None or projection.shape != (answers.shape[1], spec.width):
            raise DataError("A sketch needs a projection of its own, (columns, width).")
        values = sketch(answers, projection).ravel()
    elif spec.form == "gram":
        values = gram_triangle(answers)
    else:
        values = upper_triangle(probe_scatter(answers, encoded))
    return np.clip(values, -spec.largest, spec.largest)


def alignment_saliency(
    outputs: FloatArray, encoded: FloatArray, scale: SaliencyScale
) -> FloatArray:
    """Return a model's saliency: which public directions its outputs tell apart.

    Kernel-target alignment (Cristianini et al. 2001) on the leading public directions: the
    inner product with the student's query compares the Gram matrix of the model's outputs with
    that of the student's labels. The outputs are centred but *not* scaled up: a model that is
    sure of nothing, as one of shuffled labels or noise is, has little to show.

    Args:
        outputs: float64 (n, k) of the adapter: probabilities, or values of unit scale.
        encoded: float64 (n, d), the same probes encoded, in clip norms.
        scale: Public scale.

    Returns:
        float64 (scale.values,), within ``scale.signal_bound``.
    """
    centred = outputs - outputs.mean(axis=0)
    return teacher_saliency(probe_scatter(centred, encoded), 1.0, scale)


def release_of(
    spec: ModelSignalSpec, summed: FloatArray, encoded: FloatArray, teachers: int
) -> Release:
    """Return the release that a sum of feature signals is to the student.

    Args:
        spec: The agreed form.
        summed: float64 (spec.values,), the decoded sum.
        encoded: float64 (probes, d), the same probes encoded, in clip norms.
        teachers: Number of teachers in the sum.
    """
    if summed.shape != (spec.values,):
        raise DataError(f"A sum of {summed.shape} values; agreed are {spec.values}.")
    if spec.form == "sketch":
        scatter = scatter_of_sketch(summed.reshape(spec.probes, spec.width), encoded)
    elif spec.form == "gram":
        scatter = scatter_of_gram(from_upper_triangle(summed, spec.probes), encoded)
    else:
        scatter = from_upper_triangle(summed, spec.dimension)
    return Release(scatter, float(teachers), teachers, 0.0)
