"""The public encoder's file, which must be the agreement's."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.errors import AgreementError, UsageError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning import PlanError
from secure_fedsa.wire.canonical import sha256

Kind = TypeVar("Kind", bound=PublicEncoder)

FILE_NAME = "encoder.safetensors"
# As `agree new` leaves it, and as a run folder does.
_PLACES = (FILE_NAME, f"student/{FILE_NAME}")


def encoder_near(path: Path, agreement: Agreement) -> PublicEncoder | None:
    """Return the agreement's encoder if its file lies where it usually does, else None.

    Args:
        path: The agreement's file.
        agreement: What it says.

    Raises:
        PlanError: If the agreement says of its encoder what it is not.
    """
    for place in _PLACES:
        near = path.parent / place
        if near.is_file() and sha256(near.read_bytes()) == agreement.encoder.sha256:
            return read_encoder(near, agreement, PublicEncoder)
    return None


def read_encoder(path: Path, agreement: Agreement, kind: type[Kind]) -> Kind:
    """Return the agreement's encoder.

    Raises:
        UsageError: If the file cannot be read.
        AgreementError: If it is not the file that the agreement names.
        PlanError: If the agreement says of it what it is not.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}.",
            why=f"{error.strerror}.",
            do="Name the encoder.safetensors that came with the agreement (--encoder).",
        ) from error
    if sha256(data) != agreement.encoder.sha256:
        raise AgreementError(
            "encoder.sha256",
            f"is not that of {path}.",
            do="Use the encoder.safetensors that came with the agreement.",
        )
    encoder = kind.from_bytes(data)
    assert isinstance(encoder, kind)
    said: list[tuple[str, float, float]] = [
        ("encoder.dimension", agreement.encoder.dimension, encoder.dimension)
    ]
    if agreement.route == NOISY_RELEASE:
        said.append(("privacy.clip_norm", agreement.mechanism.clip_norm, encoder.clip_norm))
    for clause, agreed, found in said:
        if agreed != found:
            raise PlanError(
                clause,
                f"is {agreed!r}; of the encoder in {path} it is {found!r}.",
                do="Draft the agreement again: agree new takes both from the encoder.",
            )
    return encoder
