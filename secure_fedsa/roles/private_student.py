"""The student's labelled records, where the agreement promises something about them.

They are summed once, like a teacher's and by the same mechanism, along the few directions of an
opened sum. :func:`read_labels` is the only function that sees them; the query comes from public
probes, and all that the student tells is post-processing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.models.private_labels import SHORTEST, LabelSummary, project
from secure_fedsa.privacy.clipping import LocalNotes, summarise, to_grid
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.mechanisms import add_noise
from secure_fedsa.roles.noisy_release import NoisePlan, plan_of_shape
from secure_fedsa.signals import FloatArray, Noise, SummaryShape

if TYPE_CHECKING:
    from secure_fedsa.models.encoder import PublicEncoder


def label_plan(agreement: Agreement) -> NoisePlan:
    """Return the noise that the agreement asks of the student.

    Grid, count weight and neighbours are those of ``privacy``. A record's vector has length one
    whatever ``privacy.clip_norm`` is, so that plays no part in the sensitivity.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    student = agreement.student_promise
    shape = SummaryShape(student.classes, student.directions)
    return plan_of_shape(agreement, shape, student.noise_multiplier)


def student_terms(agreement: Agreement) -> Terms:
    """Return the budget of all uses of the student's labelled data."""
    return Terms(agreement.student_promise.budget, agreement.promise.delta)


def read_labels(
    records: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    *,
    encoder: PublicEncoder,
    agreement: Agreement,
    centre: FloatArray,
    directions: FloatArray,
    noise: Noise,
) -> tuple[LabelSummary, LocalNotes]:
    """Return the noisy summary of the student's labelled records, and notes for its operator only.

    A record that cannot be used, or whose label is no class, counts as zero; a class without
    records sends noise.

    Args:
        records: Labelled records, shape (n, ...), as the encoder takes them.
        labels: shape (n,), 0 to classes - 1.
        encoder: The public encoder.
        agreement: The agreement.
        centre: float64 (d,), the probes' mean encoding.
        directions: float64 (d, k), of an opened sum: of no labelled record.
        noise: Drawn before this call, never used again.
    """
    plan, privacy = label_plan(agreement), agreement.mechanism
    encoding = encoder.encode(records)
    rows, valid = to_grid(encoding.values, privacy.clip_norm, privacy.grid)
    place = project(rows / privacy.grid, centre, directions)
    units, placed = to_grid(place, SHORTEST, privacy.grid)
    valid &= placed & encoding.valid
    summary, notes = summarise(
        units, labels, valid, plan.shape.classes, plan.count_unit, grid=privacy.grid
    )
    noisy = add_noise(
        summary,
        noise,
        noise_scale=plan.event.noise_scale,
        grid=privacy.grid,
        count_unit=plan.count_unit,
    )
    return LabelSummary(centre, directions, noisy), notes
