"""The noisy-release route: from private records to a noisy summary, to two signals.

:func:`read_private` is the only function of the package that sees a raw summary; the
engine calls it with noise that was drawn before. All else here is post-processing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import LedgerError, PrivacyParameterError, ProtocolError
from secure_fedsa.messages import LedgerSegment
from secure_fedsa.models.saliency import (
    SaliencyScale,
    quantise,
    score_from_integers,
    teacher_saliency,
)
from secure_fedsa.models.scatter import between_scatter, upper_triangle
from secure_fedsa.privacy.accountant import EPSILON_TOLERANCE, epsilon_from_rho
from secure_fedsa.privacy.clipping import LocalNotes, summarise, to_grid
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger_books import Charge, verify_segment
from secure_fedsa.privacy.mechanisms import add_noise, count_unit, plan_release
from secure_fedsa.signals import Noise, NoisySummary, Signal, SummaryShape, int_array

if TYPE_CHECKING:
    from secure_fedsa.models.encoder import PublicEncoder
    from secure_fedsa.roles.session import Session


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
    privacy = agreement.privacy
    shape = SummaryShape(len(agreement.parties[teacher].classes), agreement.encoder.dimension)
    unit = count_unit(privacy.grid, privacy.count_weight)
    event = plan_release(
        shape,
        grid=privacy.grid,
        count_unit=unit,
        neighbours=privacy.neighbours,
        noise_multiplier=privacy.noise_multiplier,
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
) -> tuple[NoisySummary, LocalNotes]:
    """Return a teacher's noisy summary, and notes for its own operator only.

    Args:
        records: Private records, shape (n, ...), as the encoder takes them.
        labels: shape (n,), 0 to C - 1 of the teacher's own task.
        encoder: The public encoder.
        agreement: The agreement.
        teacher: Whose records these are.
        noise: Drawn before this call, never used again.
    """
    plan, privacy = noise_plan(agreement, teacher), agreement.privacy
    encoding = encoder.encode(records)
    rows, valid = to_grid(encoding.values, privacy.clip_norm, privacy.grid)
    summary, notes = summarise(
        rows, labels, valid & encoding.valid, plan.shape.classes, plan.count_unit, grid=privacy.grid
    )
    noisy = add_noise(
        summary,
        noise,
        noise_scale=plan.event.noise_scale,
        grid=privacy.grid,
        count_unit=plan.count_unit,
    )
    return noisy, notes


def saliency_scale(agreement: Agreement) -> SaliencyScale:
    """Return the public scale of saliency vectors that the agreement fixes."""
    saliency = agreement.saliency
    return SaliencyScale(
        saliency.directions, saliency.unit, saliency.teacher_bound, saliency.query_bound
    )


def derive_signal(summary: NoisySummary, agreement: Agreement) -> Signal:
    """Return a teacher's two integer signals: post-processing of its noisy summary.

    Saliency: the scatter on the leading public directions, ``saliency.values`` integers.
    Features: the scatter's upper triangle times ``features.scale``, truncated toward zero
    and clipped to ``features.bound``, then the number of records it speaks for.
    """
    features, saliency = agreement.features, agreement.saliency
    scatter, records = between_scatter(summary, count_floor=agreement.privacy.count_floor)
    vector = teacher_saliency(scatter, records, saliency_scale(agreement))
    values = np.append(np.trunc(upper_triangle(scatter) * features.scale), round(records))
    clipped = np.clip(values, -features.bound, features.bound).astype(np.int64)
    return Signal(
        int_array(quantise(vector, saliency.teacher_bound, saliency.bits)), int_array(clipped)
    )


def score_unit(agreement: Agreement) -> float:
    """Return the score that one integer step of the encrypted inner product stands for."""
    bits = agreement.saliency.bits
    return score_from_integers(1, saliency_scale(agreement), signal_bits=bits, query_bits=bits)


def check_segment(segment: LedgerSegment, session: Session, sender: str) -> Charge:
    """Return the charge that a teacher's ledger segment shows.

    Raises:
        ProtocolError: If the segment is damaged, or does not show the agreed charge of this
            run, reserved and committed.
    """
    try:
        charge = verify_segment(segment.entries)
    except LedgerError as error:
        raise ProtocolError(sender, "sent a damaged ledger segment.", why=str(error)) from error
    agreed = (noise_plan(session.agreement, sender).event,)
    if (
        charge.run_id != session.run_id
        or charge.agreement != session.agreement_hash
        or charge.events != agreed
        or charge.delta != session.agreement.privacy.delta
        or charge.budget != session.agreement.privacy.agreement_budget
        or not charge.committed
        or segment.head != segment.entries[-1]["hash"]
    ):
        raise ProtocolError(
            sender, "sent a ledger segment without the agreed charge of this run.", clause="privacy"
        )
    if not _within_budget(charge):
        raise ProtocolError(
            sender,
            "sent a ledger segment whose total is past the agreed budget.",
            clause="privacy.agreement_budget",
        )
    return charge


def _within_budget(charge: Charge) -> bool:
    """Return whether all charges under the agreement, this one included, are within its budget."""
    try:
        total = epsilon_from_rho(charge.agreement_rho, charge.delta)
    except PrivacyParameterError:
        return False  # a total beyond any claim
    return total <= charge.budget * (1 + EPSILON_TOLERANCE)
