"""What is checked about ciphertexts, in order; run only in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator

from secure_fedsa.audit.he_request import STAGES, Claim, Fetched
from secure_fedsa.encryption import ciphertexts, keys
from secure_fedsa.errors import ProtocolError, SecureFedsaError
from secure_fedsa.signals import Aggregate, Encrypted
from secure_fedsa.wire import canonical


class Refused(Exception):
    """A claim that does not hold.

    Attributes:
        where: feature-key, sum, release or ``upload MEMBER``.
        reason: Why, in words.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(where, reason)

    def line(self) -> str:
        """Return the answer's last line."""
        return "refused " + canonical.encode({"where": self.where, "why": self.reason}).decode()


def stages(claim: Claim) -> Iterator[str]:
    """Check a claim; return the name of each stage as it has passed.

    Where ciphertexts are withheld there is only the public key. The published key must belong
    to the public key before anything is opened with it: some key of the same parameters opens
    every sum to something.

    Raises:
        Refused: If the claim does not hold.
    """
    _check_key(claim)
    yield STAGES[0]
    total = _check_sum(claim) if claim.uploads else None
    yield STAGES[1]
    if claim.secret_key and total is not None:
        _check_opening(claim, total)
    yield STAGES[2]


def _check_key(claim: Claim) -> None:
    try:
        keys.public_context(claim.parameters, claim.public_key)
    except SecureFedsaError as error:
        raise Refused("feature-key", str(error)) from error
    if not claim.secret_key:
        return
    try:
        ciphertexts.check_published_key(
            claim.parameters, claim.public_key, claim.secret_key, parties=len(claim.uploads)
        )
    except SecureFedsaError as error:
        raise Refused("release", str(error)) from error


def _check_sum(claim: Claim) -> Aggregate:
    uploads = Fetched(claim.uploads, lambda name: Encrypted(claim.uploads[name], claim.values))
    try:
        total = ciphertexts.add(claim.parameters, uploads, values=claim.values)
    except ProtocolError as error:
        raise Refused(f"upload {error.party}", error.what) from error
    if total.ciphertext != claim.total:
        raise Refused("sum", "is not the homomorphic sum of the members' uploads.")
    return total


def _check_opening(claim: Claim, total: Aggregate) -> None:
    try:
        opened = ciphertexts.decrypt(claim.parameters, claim.secret_key, total)
    except SecureFedsaError as error:
        raise Refused("release", str(error)) from error
    if opened.values.astype("<i8").tobytes() != claim.released:
        raise Refused("release", "does not hold the values that the sum decrypts to.")
