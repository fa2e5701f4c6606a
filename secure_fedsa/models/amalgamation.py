"""From the released sum to the student's classifier.

The sum of the selected teachers' between-class scatters says along which public directions
classes differ, over tasks with different labels. Its leading generalised eigenvectors
against the probes' scatter span the student's feature space (multi-task discriminant
analysis). In these few directions a hundred labels and the unlabelled probes suffice for a
classifier, which is then refined on the whole encoding (``refinement``). Everything here is
post-processing of the release plus the student's own data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from scipy.linalg import eigh
from scipy.special import logsumexp

from secure_fedsa.errors import DataError
from secure_fedsa.models.heads import (
    LinearHead,
    MixtureSpec,
    fit_logistic,
    fit_mixture,
    fit_named_mixture,
    log_softmax,
)
from secure_fedsa.models.private_labels import LabelSummary, name_probes
from secure_fedsa.models.refinement import RefinementSpec, fit_refinement

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

    @classmethod
    def of_probes(
        cls, encoder: PublicEncoder, probes: npt.NDArray[Any], *, classes: int
    ) -> StudentData:
        """Encode raw probes alone.

        Raises:
            DataError: A wrong shape, or invalid probes.
        """
        empty = probes[:0]
        return cls.encode(encoder, empty, np.zeros(0, np.int64), probes, classes=classes)

    def without_labels(self) -> StudentData:
        """Return the same without its labelled records."""
        return replace(self, labelled=self.labelled[:0], labels=self.labels[:0])


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
        widths: Widths of the student's feature spaces, in units of classes - 1. Exact scatters
            would need classes - 1 directions, but noise turns directions away, and a few
            further ones hold what it moved there. How many depends on the draw, so the
            posteriors of classifiers of several widths are averaged.
        least_width: Stands for classes - 1 where that is smaller: the boundary of a task of few
            classes runs across many things that the teachers tell apart.
        ridge_floor: Added to the probes' scatter, in units of its mean variance.
        ridge_noise: The same per unit of the release's relative noise (see ``ridge``).
        mixture: Settings of the classifiers on the directions.
        refinement: Settings of the regression on the whole encoding.
    """

    widths: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    least_width: int = 9
    ridge_floor: float = 0.1
    ridge_noise: float = 0.5
    mixture: MixtureSpec = field(default_factory=MixtureSpec)
    refinement: RefinementSpec = field(default_factory=RefinementSpec)


@dataclass(frozen=True, slots=True)
class AmalgamatedModel:
    """A classifier of raw records: public encoder, subspace, linear heads, refinement.

    Attributes:
        encoder: The public encoder.
        centre: float64 (d,), the probes' mean encoding.
        directions: float64 (d, k).
        heads: Linear heads, each on as many leading directions as it has weights; their
            posteriors are averaged.
        refined: Linear head on the whole centred encoding; None for the baseline.
        share: Weight of the first heads' posterior beside it.
        sharpness: Turns the sum of both into log-odds.
    """

    encoder: PublicEncoder
    centre: FloatArray
    directions: FloatArray
    heads: tuple[LinearHead, ...]
    refined: LinearHead | None = None
    share: float = 0.0
    sharpness: float = 1.0

    def log_probabilities_of(self, encoded: FloatArray) -> FloatArray:
        """Return float64 (n, C) for encoded records (n, d), in clip norms."""
        centred = encoded - self.centre
        first = _mean_log_probabilities(self.heads, centred @ self.directions)
        if self.refined is None:
            return first
        both = self.refined.logits(centred) + self.share * np.exp(first)
        return log_softmax(self.sharpness * both)

    def log_probabilities(self, records: npt.NDArray[Any], *, threads: int = 1) -> FloatArray:
        """Return float64 (n, C) for raw records."""
        values, _ = self.encoder.encode_clipped(records, threads=threads)
        return self.log_probabilities_of(values)

    def predict(self, records: npt.NDArray[Any], *, threads: int = 1) -> LabelArray:
        """Return the classes of raw records, int64 (n,)."""
        chosen = self.log_probabilities(records, threads=threads).argmax(axis=1)
        return np.asarray(chosen, dtype=np.int64)

    def to_bytes(self) -> bytes:
        """Return the classifier without its encoder, as safetensors."""
        tensors = {
            "centre": self.centre,
            "directions": self.directions,
        }
        for index, head in enumerate(self.heads):
            tensors |= {f"head{index}.weights": head.weights, f"head{index}.offsets": head.offsets}
        if self.refined is not None:
            tensors |= {
                "refined.weights": self.refined.weights,
                "refined.offsets": self.refined.offsets,
                "refined.balance": np.array([self.share, self.sharpness]),
            }
        return save_tensors({name: np.ascontiguousarray(t) for name, t in tensors.items()})

    @classmethod
    def from_bytes(cls, data: bytes, encoder: PublicEncoder) -> AmalgamatedModel:
        """Read :meth:`to_bytes` back.

        Raises:
            DataError: If the bytes are not such a classifier.
        """
        try:
            tensors = load_tensors(data)
            count = sum(name.endswith(".weights") and name.startswith("head") for name in tensors)
            heads = tuple(
                LinearHead(tensors[f"head{index}.weights"], tensors[f"head{index}.offsets"])
                for index in range(max(1, count))
            )
            centre, directions = tensors["centre"], tensors["directions"]
            if "refined.weights" not in tensors:
                return cls(encoder, centre, directions, heads)
            refined = LinearHead(tensors["refined.weights"], tensors["refined.offsets"])
            share, sharpness = tensors["refined.balance"].tolist()
        except (SafetensorError, KeyError, ValueError) as error:
            raise DataError("These bytes are not an amalgamated classifier.") from error
        return cls(encoder, centre, directions, heads, refined, share, sharpness)


def ridge(release: Release, mean_variance: float, spec: AmalgamationSpec) -> float:
    """Return the ridge for the probes' scatter, squared clip norms.

    The mean of a class of n_c records carries noise of variance sigma^2 / n_c per direction.
    Set against the probes' mean variance this is the noise of the release; the ridge grows
    with its square root, since a scatter's error is led by signal times noise.
    """
    per_teacher = release.total / max(1, release.teachers)
    relative = release.sigma / np.sqrt(per_teacher * mean_variance)
    return float(mean_variance * (spec.ridge_floor + spec.ridge_noise * relative))


def leading_directions(
    release: Release, centred: FloatArray, wanted: int, spec: AmalgamationSpec
) -> FloatArray:
    """Return the directions along which the teachers' classes differ most, float64 (d, wanted).

    Solves ``B v = mu (T + ridge I) v`` with B the released scatter per record and T the
    probes' scatter. Since ``B v = mu' (T - B + ridge I) v`` has the same eigenvectors, this
    is discriminant analysis against the within-class scatter T - B, without asking a noisy
    T - B to be positive.

    Args:
        release: The released sum.
        centred: float64 (m, d), the probes' encodings less their mean.
        wanted: How many, best first; each with unit standard deviation over the probes.
        spec: Public choices.

    Raises:
        DataError: Shapes that do not fit, a total that is not positive.
    """
    dimension = centred.shape[1]
    if release.scatter.shape != (dimension, dimension) or not release.total > 0:
        raise DataError(
            f"A release of shape {release.scatter.shape} over {release.total!r} records does "
            f"not fit an encoder of {dimension} dimensions.",
            do="Amalgamate with the encoder that the agreement names.",
        )
    total_scatter = centred.T @ centred / len(centred)
    mean_variance = float(np.trace(total_scatter)) / dimension
    floor = ridge(release, mean_variance, spec) * np.eye(dimension)
    _, vectors = eigh(
        release.scatter / release.total,
        total_scatter + floor,
        subset_by_index=(dimension - wanted, dimension - 1),
    )
    directions = np.ascontiguousarray(vectors[:, ::-1])
    # One unit of standard deviation per direction, so that shrinkage treats them alike.
    return np.asarray(directions / (centred @ directions).std(axis=0), dtype=np.float64)


def amalgamate(
    release: Release,
    encoder: PublicEncoder,
    student: StudentData,
    spec: AmalgamationSpec | None = None,
) -> AmalgamatedModel:
    """Build the student's classifier.

    Raises:
        DataError: Shapes that do not fit, a total that is not positive.
    """
    spec = spec or AmalgamationSpec()
    centre, centred, directions, widths = _feature_space(release, encoder, student, spec)
    labelled = student.labelled - centre
    points, projected = labelled @ directions, centred @ directions
    heads = tuple(
        fit_mixture(
            points[:, :width], student.labels, projected[:, :width], student.classes, spec.mixture
        )
        for width in widths
    )
    return _refined(
        encoder, centre, centred, directions, heads, labelled, student.labels, spec.refinement
    )


def _refined(
    encoder: PublicEncoder,
    centre: FloatArray,
    centred: FloatArray,
    directions: FloatArray,
    heads: tuple[LinearHead, ...],
    labelled: FloatArray,
    labels: LabelArray,
    spec: RefinementSpec,
) -> AmalgamatedModel:
    """Return the classifier of these heads, refined on probes and labelled records, if any."""
    posteriors = np.exp(_mean_log_probabilities(heads, centred @ directions))
    refined = fit_refinement(labelled, labels, centred, posteriors, spec)
    return AmalgamatedModel(encoder, centre, directions, heads, refined, spec.share, spec.sharpness)


def amalgamate_named(
    release: Release,
    encoder: PublicEncoder,
    student: StudentData,
    summary: LabelSummary,
    spec: AmalgamationSpec | None = None,
) -> AmalgamatedModel:
    """Build the student's classifier from a noisy summary of its labelled records.

    Post-processing of the sum and the summary: ``student`` brings its probes only, and its
    labelled records, if it has any, are not looked at.

    Raises:
        DataError: Shapes that do not fit, a total that is not positive.
    """
    spec = spec or AmalgamationSpec()
    centre, centred, directions, widths = _feature_space(release, encoder, student, spec)
    projected, shares = centred @ directions, name_probes(summary, student.probes)
    heads = tuple(fit_named_mixture(shares, projected[:, :width], spec.mixture) for width in widths)
    none = student.without_labels()
    return _refined(
        encoder, centre, centred, directions, heads, none.labelled, none.labels, spec.refinement
    )


def naming_directions(
    release: Release, student: StudentData, wanted: int, spec: AmalgamationSpec | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the probes' mean (d,) and the directions (d, wanted) to summarise labels along."""
    centre = student.probes.mean(axis=0)
    centred = student.probes - centre
    return centre, leading_directions(release, centred, wanted, spec or AmalgamationSpec())


def _feature_space(
    release: Release, encoder: PublicEncoder, student: StudentData, spec: AmalgamationSpec
) -> tuple[FloatArray, FloatArray, FloatArray, list[int]]:
    """Return the probes' mean, the centred probes, the directions and how many each head takes."""
    dimension = encoder.dimension
    centre = student.probes.mean(axis=0)
    centred = student.probes - centre
    unit = max(student.classes - 1, spec.least_width)
    widths = sorted({min(round(width * unit), dimension) for width in spec.widths})
    return centre, centred, leading_directions(release, centred, widths[-1], spec), widths


def without_teachers(
    encoder: PublicEncoder, student: StudentData, *, penalty: float = 1e-2
) -> AmalgamatedModel:
    """Build the baseline that has the public encoder and the labels, but no teachers.

    The encoder's soft whitening suits a scatter over many records; a hundred labels do better
    when directions weigh by their variance again, so the baseline gets that.
    """
    centre = student.probes.mean(axis=0)
    weights = encoder.probe_variances / encoder.probe_variances.mean()
    scale = float(((student.probes - centre) * weights).std())
    directions = np.diag(weights / scale)
    features = (student.labelled - centre) @ directions
    head = fit_logistic(features, np.eye(student.classes)[student.labels], penalty)
    return AmalgamatedModel(encoder, centre, directions, (head,))


def _mean_log_probabilities(heads: tuple[LinearHead, ...], features: FloatArray) -> FloatArray:
    """Return the logarithm of the heads' mean posterior, float64 (n, C)."""
    each = [head.log_probabilities(features[:, : len(head.weights)]) for head in heads]
    return np.asarray(logsumexp(each, axis=0) - np.log(len(heads)), dtype=np.float64)
