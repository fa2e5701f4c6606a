"""From the released sum to the student's classifier.

The sum of the selected teachers' between-class scatters says along which public directions
classes differ, over tasks with different labels. Its leading generalised eigenvectors
against the probes' scatter span the student's feature space (multi-task discriminant
analysis). In these few directions a hundred labels and the unlabelled probes suffice for a
classifier. Everything here is post-processing of the release plus the student's own data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from secure_fedsa.errors import DataError
from secure_fedsa.models.heads import LinearHead, MixtureSpec, fit_logistic, fit_mixture

if TYPE_CHECKING:
    from secure_fedsa.models.encoder import PublicEncoder

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StudentData:
    """What the student brings, encoded by the public encoder in units of the clip norm.

    Attributes:
        labelled: float64, shape (n, d).
        labels: int64, shape (n,), values 0..classes-1, every class present.
        probes: float64, shape (m, d), unlabelled.
        classes: Number of classes of the student's task.
    """

    labelled: FloatArray
    labels: LabelArray
    probes: FloatArray
    classes: int

    @classmethod
    def encode(
        cls,
        encoder: PublicEncoder,
        labelled: npt.NDArray[Any],
        labels: LabelArray,
        probes: npt.NDArray[Any],
        *,
        classes: int,
        threads: int = 1,
    ) -> StudentData:
        """Encode raw records; the student's own must all be valid.

        Raises:
            DataError: A wrong shape, invalid records, or labels that do not fit.
        """
        parts = []
        for name, records in (("labelled records", labelled), ("probes", probes)):
            values, valid = encoder.encode_clipped(records, threads=threads)
            if not valid.all():
                raise DataError(
                    f"{int((~valid).sum())} of the student's {name} hold NaN, infinite or "
                    "out-of-range values.",
                    do="Remove them.",
                )
            parts.append(values)
        return cls(parts[0], np.asarray(labels), parts[1], classes)


@dataclass(frozen=True, slots=True)
class Release:
    """The released sum, decoded.

    Attributes:
        scatter: float64, shape (d, d): sum of the teachers' scatters, squared clip norms
            times records.
        total: Sum of the teachers' noisy record counts.
        teachers: Number of teachers in the sum.
        sigma: Noise of one teacher's sums, in clip norms; 0 without privacy.
    """

    scatter: FloatArray
    total: float
    teachers: int
    sigma: float


@dataclass(frozen=True, slots=True)
class AmalgamationSpec:
    """Public choices behind the student's classifier.

    Attributes:
        directions: Width of the student's feature space; None for classes - 1.
        ridge_floor: Added to the probes' scatter, in units of its mean variance.
        ridge_noise: The same per unit of the release's relative noise (see ``ridge``).
        mixture: Settings of the classifier.
    """

    directions: int | None = None
    ridge_floor: float = 0.1
    ridge_noise: float = 1.0
    mixture: MixtureSpec = field(default_factory=MixtureSpec)


@dataclass(frozen=True, slots=True)
class AmalgamatedModel:
    """A classifier of raw records: public encoder, subspace, linear head.

    Attributes:
        encoder: The public encoder.
        centre: float64 (d,), the probes' mean encoding.
        directions: float64 (d, k).
        head: Linear head on the k directions.
    """

    encoder: PublicEncoder
    centre: FloatArray
    directions: FloatArray
    head: LinearHead

    def log_probabilities_of(self, encoded: FloatArray) -> FloatArray:
        """Return float64 (n, C) for encoded records (n, d), in clip norms."""
        return self.head.log_probabilities((encoded - self.centre) @ self.directions)

    def log_probabilities(self, records: npt.NDArray[Any], *, threads: int = 1) -> FloatArray:
        """Return float64 (n, C) for raw records."""
        values, _ = self.encoder.encode_clipped(records, threads=threads)
        return self.log_probabilities_of(values)

    def predict(self, records: npt.NDArray[Any], *, threads: int = 1) -> LabelArray:
        """Return the classes of raw records, int64 (n,)."""
        return self.log_probabilities(records, threads=threads).argmax(axis=1).astype(np.int64)


def ridge(release: Release, mean_variance: float, spec: AmalgamationSpec) -> float:
    """Return the ridge for the probes' scatter, squared clip norms.

    The mean of a class of n_c records carries noise of variance sigma^2 / n_c per direction.
    Set against the probes' mean variance this is the noise of the release; the ridge grows
    with its square root, since a scatter's error is led by signal times noise.
    """
    per_teacher = release.total / max(1, release.teachers)
    relative = release.sigma / np.sqrt(per_teacher * mean_variance)
    return float(mean_variance * (spec.ridge_floor + spec.ridge_noise * relative))


def amalgamate(
    release: Release,
    encoder: PublicEncoder,
    student: StudentData,
    spec: AmalgamationSpec | None = None,
) -> AmalgamatedModel:
    """Build the student's classifier.

    Solves ``B v = mu (T + ridge I) v`` with B the released scatter per record and T the
    probes' scatter. Since ``B v = mu' (T - B + ridge I) v`` has the same eigenvectors, this
    is discriminant analysis against the within-class scatter T - B, without asking a noisy
    T - B to be positive.

    Raises:
        DataError: Shapes that do not fit, a total that is not positive.
    """
    spec = spec or AmalgamationSpec()
    dimension = encoder.dimension
    if release.scatter.shape != (dimension, dimension) or not release.total > 0:
        raise DataError(
            f"A release of shape {release.scatter.shape} over {release.total!r} records does "
            f"not fit an encoder of {dimension} dimensions.",
            do="Amalgamate with the encoder that the agreement names.",
        )
    centre = student.probes.mean(axis=0)
    centred = student.probes - centre
    total_scatter = centred.T @ centred / len(centred)
    mean_variance = float(np.trace(total_scatter)) / dimension
    floor = ridge(release, mean_variance, spec) * np.eye(dimension)
    wanted = min(spec.directions or student.classes - 1, dimension)
    _, vectors = eigh(
        release.scatter / release.total,
        total_scatter + floor,
        subset_by_index=(dimension - wanted, dimension - 1),
    )
    directions = np.ascontiguousarray(vectors[:, ::-1])
    # One unit of standard deviation per direction, so that shrinkage treats them alike.
    directions = directions / (centred @ directions).std(axis=0)
    head = fit_mixture(
        (student.labelled - centre) @ directions,
        student.labels,
        centred @ directions,
        student.classes,
        spec.mixture,
    )
    return AmalgamatedModel(encoder, centre, directions, head)


def without_teachers(
    encoder: PublicEncoder, student: StudentData, *, penalty: float = 1e-3
) -> AmalgamatedModel:
    """Build the baseline that has the public encoder and the labels, but no teachers."""
    centre = student.probes.mean(axis=0)
    scale = float((student.probes - centre).std())
    directions = np.eye(encoder.dimension) / scale
    features = (student.labelled - centre) @ directions
    head = fit_logistic(features, np.eye(student.classes)[student.labels], penalty)
    return AmalgamatedModel(encoder, centre, directions, head)
