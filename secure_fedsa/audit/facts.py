"""What a run folder was found to say, receipt aside."""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.agreement import Agreement


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a receipt states, recomputed; exists only if all checks passed.

    Attributes:
        agreement: The agreement.
        agreement_hash: Its hash.
        run_id: The run.
        envelope_hashes: Hashes of all messages.
        members: The teachers whose sum was opened, sorted.
        charged: The teachers that published a ledger segment, sorted.
    """

    agreement: Agreement
    agreement_hash: str
    run_id: str
    envelope_hashes: tuple[str, ...]
    members: tuple[str, ...]
    charged: tuple[str, ...]
