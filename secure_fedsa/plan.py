"""What a run will spend and send, worked out before it starts; refuses what cannot hold.

Nothing here reads private data or draws randomness: everybody who holds the agreement gets
the same plan.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import bfv_parameters, score_bound
from secure_fedsa.encryption.parameters import Headroom, check_headroom
from secure_fedsa.encryption.scoring import score_modulus
from secure_fedsa.errors import AgreementError, SecureFedsaError
from secure_fedsa.privacy.cross_check import CrossCheck, cross_check
from secure_fedsa.roles.noisy_release import noise_plan

_EPSILON_TOLERANCE = 1e-9
_LONGEST_SCORE = 63  # bits of the score modulus: scores are summed in 64-bit integers


@dataclass(frozen=True, slots=True)
class Plan:
    """What was proved about a run before it starts.

    Attributes:
        accounting: The headline epsilon and its cross-checks, for the worst teacher.
        headroom: What the sum leaves unused, or None without encryption.
        collusion_bits: log2 of the score modulus: the most that key holder and aggregator
            together learn of a teacher's saliency in this run, or that key holder and one
            teacher learn of the query.
        upload_bytes: Bytes of one teacher's feature upload.
        query_bytes: Bytes of the encrypted query.
        smallest_sum: Fewest teachers whose sum may be opened.
        tolerated_losses: Teachers that may drop out after the roster is complete: none.
    """

    accounting: CrossCheck
    headroom: Headroom | None
    collusion_bits: int | None
    upload_bytes: int
    query_bytes: int
    smallest_sum: int
    tolerated_losses: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "accounting": self.accounting.to_dict(),
            "headroom": None if self.headroom is None else asdict(self.headroom),
            "collusion_bits": self.collusion_bits,
            "upload_bytes": self.upload_bytes,
            "query_bytes": self.query_bytes,
            "smallest_sum": self.smallest_sum,
            "tolerated_losses": self.tolerated_losses,
        }


def plan(agreement: Agreement) -> Plan:
    """Return the plan of an agreement that can keep its promises.

    Raises:
        AgreementError: If its noise does not give its epsilon, or its sums could wrap or
            lose their noise budget; nothing has happened yet.
        CrossCheckError: If two accountants disagree.
    """
    agreement.check()
    accounting = _accounting(agreement)
    headroom, modulus = _arithmetic(agreement)
    if not agreement.protection.he:
        return Plan(
            accounting,
            None,
            None,
            8 * agreement.feature_values,
            8 * agreement.saliency.values,
            agreement.selection.smallest_sum,
        )
    return Plan(
        accounting,
        headroom,
        modulus.bit_length() - 1,
        headroom.payload_bytes,
        agreement.saliency.values * agreement.encryption.query_modulus_bits // 4,
        agreement.selection.smallest_sum,
    )


def _arithmetic(agreement: Agreement) -> tuple[Headroom, int]:
    """Return headroom and score modulus; without encryption sums and scores wrap as well."""
    try:
        headroom = check_headroom(
            bfv_parameters(agreement),
            parties=agreement.selection.select,
            feature_bound=agreement.features.bound,
            values=agreement.feature_values,
        )
        modulus = score_modulus(score_bound(agreement), agreement.encryption.query_modulus_bits)
    except SecureFedsaError as error:
        raise AgreementError("encryption", error.what, why=error.why, do=error.do) from error
    if modulus.bit_length() > _LONGEST_SCORE:
        raise AgreementError("saliency", "scores of this many values and bits pass 61 bits.")
    return headroom, modulus


def _accounting(agreement: Agreement) -> CrossCheck:
    events = {noise_plan(agreement, teacher).event for teacher in agreement.teachers}
    privacy = agreement.privacy
    checks = [cross_check([event], privacy.delta) for event in events]
    worst = max(checks, key=lambda check: check.epsilon)
    if worst.epsilon > privacy.epsilon * (1 + _EPSILON_TOLERANCE):
        raise AgreementError(
            "privacy.noise_multiplier",
            f"{privacy.noise_multiplier:g} gives epsilon {worst.epsilon:.6g}, not "
            f"{privacy.epsilon:g}, at delta {privacy.delta:g}.",
            do="Raise the noise multiplier or the epsilon.",
        )
    return worst
