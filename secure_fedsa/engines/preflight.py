"""What a party checks of its own before any charge: what it holds is what was agreed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.errors import AgreementError, StorageError, UsageError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.roles.noisy_release import noise_plan

_FREE_BYTES_NEEDED = 64 * 2**20


def check_disk(folder: Path, me: str) -> None:
    """Refuse a state folder that cannot be written to, or is nearly full.

    Raises:
        StorageError: Saying which.
    """
    try:
        probe = folder / ".write-check"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(
            f"{me} cannot write to its state folder.", why=f"{error.strerror}."
        ) from error
    if free < _FREE_BYTES_NEEDED:
        raise StorageError(
            f"{me} has less than 64 MiB of free disk for its state folder.",
            do="Make room there, then run again.",
        )


def check_encoder(encoder: PublicEncoder, agreement: Agreement, me: str) -> None:
    """Refuse an encoder that is not the agreed one, or of which the agreement says otherwise.

    Raises:
        AgreementError: Naming the clause.
    """
    if encoder.sha256() != agreement.encoder.sha256:
        raise AgreementError("encoder.sha256", f"{me} holds another encoder.")
    # The hash fixes the file; these entries could still say something else about it.
    if encoder.dimension != agreement.encoder.dimension:
        raise AgreementError("encoder.dimension", f"is not the encoder's, {encoder.dimension}.")
    if encoder.clip_norm != agreement.privacy.clip_norm:
        raise AgreementError("privacy.clip_norm", f"is not the encoder's, at {me}.")


def check_probes(probes: npt.NDArray[Any] | None, agreement: Agreement, me: str) -> None:
    """Refuse probes that are not the agreed ones.

    Raises:
        AgreementError: Naming the clause.
    """
    if probes is None or probes_hash(probes) != agreement.encoder.probes_sha256:
        raise AgreementError(
            "encoder.probes_sha256",
            f"{me} holds other probes.",
            do="Use those that the encoder was fitted to.",
        )


def check_records(
    records: npt.NDArray[Any], labels: npt.NDArray[Any], encoder: PublicEncoder, me: str
) -> None:
    """Refuse private data of another form than the encoder's; their values are not looked at.

    Raises:
        UsageError: If there is not one label for each record.
        DataError: If a record has another form.
    """
    encoder.schema.check(records)
    if np.shape(labels) != (len(records),):
        raise UsageError(f"{me} has not one label for each record.")


def check_budget(books: Books, agreement: Agreement, agreement_hash: str, me: str) -> None:
    """Refuse a run that a budget forbids, or after too many charges that bought nothing.

    Raises:
        UsageError: If ``limits.max_burned`` is reached.
        BudgetError: If a budget would be passed.
    """
    burned = sum(
        note["kind"] == "burn"
        and note["run_id"] in books.charges
        and books.charges[note["run_id"]].agreement == agreement_hash
        for note in books.notes
    )
    if burned >= agreement.limits.max_burned:
        raise UsageError(
            f"{me} lost {burned} charges under this agreement to runs without a result.",
            why=f"The agreement allows {agreement.limits.max_burned} (limits.max_burned): "
            "somebody may be emptying the privacy budget.",
            do="Find out who stopped those runs, then sign a new agreement.",
        )
    privacy = agreement.privacy
    books.require_affordable(
        "next",
        agreement_hash,
        rho_of([noise_plan(agreement, me).event]),
        (privacy.agreement_budget, privacy.delta),
        privacy.data_set_budget,
    )
