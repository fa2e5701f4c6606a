"""How many and how long messages are by the agreement: what is more is refused unread.

Only what must have its agreed form in every sound folder is bounded so. The upload of a teacher
that was left out may be anything: perhaps that is why.
"""

from __future__ import annotations

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import NO_KEY, bfv_parameters
from secure_fedsa.planning.sizes import base64_length

_ONCE = (
    "nonce",
    "keys",
    "feature-key",
    "query-key",
    "ledger",
    "upload",
    "sum",
    "permit",
    "release",
)
_AROUND = 65_536  # header, signature, hashes of all members
_KEY_CONTAINER_BYTES = 1_024  # around a key: its parameters


def most_messages(agreement: Agreement) -> dict[str, int]:
    """Return how many messages a party sends at most, by kind, for kinds whose bodies are shown.

    Bodies of the others are a few hashes, or are not kept.
    """
    # Each roster is smaller than the one before.
    return {**dict.fromkeys(_ONCE, 1), "roster": len(agreement.teachers)}


def longest_files(agreement: Agreement) -> dict[str, int]:
    """Return the most bytes of a message's file by kind, for those that the agreement bounds."""
    publish, values = agreement.publish, 8 * agreement.feature_values
    public, secret = len(NO_KEY), 0
    if agreement.protection.he:
        parameters = bfv_parameters(agreement)
        public, secret = (
            parameters.object_bounds(polynomials=number, key=True)[1] + _KEY_CONTAINER_BYTES
            for number in (2, 1)
        )
    shown = values * publish.sums + secret * publish.feature_key
    longest = {"sum": longest_signal(agreement), "release": shown, "feature-key": public}
    return {kind: base64_length(size) + _AROUND for kind, size in longest.items()}


def longest_signal(agreement: Agreement) -> int:
    """Return the most bytes of a ciphertext in a member's upload, and in their sum."""
    values = agreement.feature_values
    if agreement.protection.he:
        return bfv_parameters(agreement).maximum_payload_bytes(values)
    return 8 * values
