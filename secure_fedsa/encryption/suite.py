"""Chooses the arm of a run by its signed agreement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secure_fedsa.encryption.encrypted_suite import EncryptedSuite
from secure_fedsa.encryption.plain_suite import PlainSuite

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.encryption.interface import Suite


def suite_of(agreement: Agreement) -> Suite:
    """Return the arm that the agreement names."""
    return EncryptedSuite(agreement) if agreement.protection.he else PlainSuite(agreement)
