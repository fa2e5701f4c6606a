"""The public scale of saliency signals and scores, as the agreement fixes it."""

from __future__ import annotations

from secure_fedsa.agreement import Agreement
from secure_fedsa.models.saliency import SaliencyScale, score_from_integers


def saliency_scale(agreement: Agreement) -> SaliencyScale:
    """Return the public scale of saliency vectors that the agreement fixes."""
    saliency = agreement.saliency
    return SaliencyScale(
        saliency.directions, saliency.unit, saliency.teacher_bound, saliency.query_bound
    )


def score_unit(agreement: Agreement) -> float:
    """Return the score that one integer step of the encrypted inner product stands for."""
    bits = agreement.saliency.bits
    return score_from_integers(1, saliency_scale(agreement), signal_bits=bits, query_bits=bits)
