"""What a route makes summary, receipt, report and model card say in words, in so many places.

Which notices a run has follows from its agreement alone, so ``verify`` works them out again.
"""

from __future__ import annotations

from secure_fedsa.agreement import ENCRYPTION_ONLY, PRIVATE_TRAINING, Agreement

NO_DIFFERENTIAL_PRIVACY = (
    "NO DIFFERENTIAL PRIVACY: by agreement nothing need be private about how the teachers' models "
    "were trained, and no epsilon bounds what the sum, the scores or the student tell about a "
    "record. Masks and encryption hide which teacher sent what, not what the sum tells of each: "
    "few teachers with few classes can nearly be taken apart from it."
)
FLOATING_POINT = (
    "FLOATING-POINT NOISE: epsilon is that of exact Gaussian noise. DP-SGD by Opacus draws it as "
    "32-bit floats from a generator whose state the operating system fills anew for each step but "
    "which is not cryptographic, and clips gradients in 32-bit floats; what that adds is in no "
    "claim."
)
OWN_CODE = (
    "THE TEACHERS' OWN CODE: epsilon holds if nothing that a teacher's module, its preparation of "
    "records or its choice of features contains was computed from private records. What can be "
    "tried on public records was, before the run; constants cannot be told apart."
)


def notices(agreement: Agreement) -> list[str]:
    """Return the notices of a run under an agreement; none for the route noisy-release."""
    if agreement.route == ENCRYPTION_ONLY:
        return [NO_DIFFERENTIAL_PRIVACY]
    if agreement.route != PRIVATE_TRAINING:
        return []
    found = [FLOATING_POINT, OWN_CODE]
    stated = [name for name in agreement.teachers if agreement.parties[name].stated is not None]
    if stated:
        found.append(
            "STATED, NOT WITNESSED: these teachers brought models that were trained before the "
            "run. That the training was the private one that the agreement states is their "
            f"institutions' word alone: {', '.join(stated)}."
        )
    return found
