"""The noisy-release route: from private records to a noisy summary, to two signals.

:func:`release_encoded` is the only function of the package that sees a raw summary; the engine
calls it through :func:`read_private`, with noise that was drawn before. All else here is
post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.models.saliency import quantise, teacher_saliency
from secure_fedsa.models.scatter import between_scatter, upper_triangle
from secure_fedsa.privacy.clipping import LocalNotes, summarise, to_grid, usable_labels
from secure_fedsa.privacy.contributions import first_records, persons_missing
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.mechanisms import add_noise, count_unit, plan_release
from secure_fedsa.privacy.shared_noise import SharedNoiseRelease
from secure_fedsa.privacy.shares import add_share, clip_to_norm
from secure_fedsa.roles.scores import saliency_scale
from secure_fedsa.signals import Noise, NoisySummary, Signal, SummaryShape, int_array

if TYPE_CHECKING:
    from secure_fedsa.models.encoder import Encoding, PublicEncoder


@dataclass(frozen=True, slots=True)
class NoisePlan:
    """What one teacher's noise is, before it is drawn: all of it public.

    Attributes:
        shape: Shape of the summary.
        count_unit: Grid units of one record in a count.
        event: What the ledger is charged with; holds sensitivity and noise scale.
    """

    shape: SummaryShape
    count_unit: int
    event: DiscreteGaussianRelease


def noise_plan(agreement: Agreement, teacher: str) -> NoisePlan:
    """Return the noise that the agreement asks of a teacher."""
    shape = SummaryShape(len(agreement.parties[teacher].classes), agreement.encoder.dimension)
    return plan_of_shape(agreement, shape, agreement.mechanism.noise_multiplier)


def plan_of_shape(agreement: Agreement, shape: SummaryShape, noise_multiplier: float) -> NoisePlan:
    """Return the noise of a summary of some shape, on the agreed grid.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    privacy = agreement.mechanism
    unit = count_unit(privacy.grid, privacy.count_weight)
    event = plan_release(
        shape,
        grid=privacy.grid,
        count_unit=unit,
        neighbours=privacy.neighbours,
        noise_multiplier=noise_multiplier,
        max_records=privacy.max_records,
    )
    return NoisePlan(shape, unit, event)


def read_private(
    records: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    *,
    encoder: PublicEncoder,
    agreement: Agreement,
    teacher: str,
    noise: Noise,
    persons: npt.NDArray[Any] | None = None,
) -> tuple[NoisySummary, LocalNotes]:
    """Return a teacher's noisy summary, and notes for its own operator only.

    Args:
        records: Private records, shape (n, ...), as the encoder takes them.
        labels: shape (n,), 0 to C - 1 of the teacher's own task.
        encoder: The public encoder.
        agreement: The agreement.
        teacher: Whose records these are.
        noise: Drawn before this call, never used again.
        persons: Whose each record is, shape (n,); read if the unit is a person, and needed then.

    Raises:
        DataError: If the unit is a person and ``persons`` is missing or of another form.
    """
    return release_encoded(
        encoder.encode(records),
        labels,
        agreement=agreement,
        teacher=teacher,
        noise=noise,
        persons=persons,
    )


def release_encoded(
    encoding: Encoding,
    labels: npt.NDArray[Any],
    *,
    agreement: Agreement,
    teacher: str,
    noise: Noise,
    persons: npt.NDArray[Any] | None = None,
) -> tuple[NoisySummary, LocalNotes]:
    """Return the noisy summary of encoded records: clipped, put on the grid, summed, noise added.

    A run calls it through :func:`read_private`; the audit plants records of its own here.
    """
    plan, privacy = noise_plan(agreement, teacher), agreement.mechanism
    rows, valid = to_grid(encoding.values, privacy.clip_norm, privacy.grid)
    valid &= encoding.valid
    if privacy.unit == "person":
        if persons is None:
            raise persons_missing(teacher)
        _, usable = usable_labels(labels, plan.shape.classes)
        valid = first_records(persons, valid & usable, privacy.max_records)
    summary, notes = summarise(
        rows, labels, valid, plan.shape.classes, plan.count_unit, grid=privacy.grid
    )
    noisy = add_noise(
        summary,
        noise,
        noise_scale=plan.event.noise_scale,
        grid=privacy.grid,
        count_unit=plan.count_unit,
    )
    return noisy, notes


def share_plan(agreement: Agreement) -> SharedNoiseRelease:
    """Return the shared noise of a sum that protects institutions.

    Planned for the smallest sum that may be opened. Public: of the agreement alone.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    promise, selection = agreement.institution_promise, agreement.selection
    return SharedNoiseRelease(
        promise.norm_bound,
        promise.neighbours,
        promise.share_scale,
        agreement.feature_values,
        selection.smallest_sum,
        selection.max_colluding,
    )


def derive_signal(
    summary: NoisySummary, agreement: Agreement, share: Noise | None = None
) -> Signal:
    """Return a teacher's two integer signals: post-processing of its noisy summary.

    Saliency: the scatter on the leading public directions, ``saliency.values`` integers.
    Features: the scatter's upper triangle times ``features.scale``, truncated toward zero
    and clipped to ``features.bound``, then the number of records it speaks for.

    Where the sum protects institutions, nothing but the sum may say anything of this one: the
    saliency is zero, so every score is; the number of records is left out; the features are
    scaled down to the agreed norm and carry this teacher's share, and nothing cuts them after.

    Args:
        summary: The noisy summary.
        agreement: The agreement.
        share: Drawn before the records were read, used once; only where the sum protects
            institutions, and needed there.

    Raises:
        PrivacyParameterError: If the share is missing or of another length.
    """
    if agreement.institution_privacy is not None:
        return _shared(summary, agreement, share)
    features, saliency = agreement.features, agreement.saliency
    scatter, records = between_scatter(summary, count_floor=agreement.mechanism.count_floor)
    vector = teacher_saliency(scatter, records, saliency_scale(agreement))
    values = np.append(np.trunc(upper_triangle(scatter) * features.scale), round(records))
    clipped = np.clip(values, -features.bound, features.bound).astype(np.int64)
    return Signal(
        int_array(quantise(vector, saliency.teacher_bound, saliency.bits)), int_array(clipped)
    )


def _shared(summary: NoisySummary, agreement: Agreement, share: Noise | None) -> Signal:
    if share is None:
        raise PrivacyParameterError("A signal without its share of noise may not leave.")
    features, event = agreement.features, share_plan(agreement)
    scatter, _ = between_scatter(summary, count_floor=agreement.mechanism.count_floor)
    values = np.trunc(upper_triangle(scatter) * features.scale)
    integers = np.clip(values, -features.bound, features.bound).astype(np.int64)
    shared = add_share(clip_to_norm(int_array(integers), event.norm_bound), share, event)
    return Signal(int_array(np.zeros(agreement.saliency.values, dtype=np.int64)), shared)
