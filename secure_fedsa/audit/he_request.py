"""What the verifier and its child say to each other about ciphertexts, as plain bytes.

    request = magic, header length (4 bytes, big-endian), header, parts
    header  = canonical JSON {"parameters", "values", "members", "sizes"}
    parts   = public key, sum, secret key, released values, one upload a member; end to end

The answer is one line a stage that passed, then ``refused`` with where and why, or ``held``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.errors import DataError
from secure_fedsa.wire import canonical

MAGIC = b"secure-fedsa ciphertext check 1\n"
STAGES = ("key", "sum", "opening")
HELD = "held"
MAXIMUM_ANSWER_BYTES = 16_384
_LENGTH_BYTES = 4
_MAXIMUM_HEADER_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run folder claims about its ciphertexts.

    Attributes:
        parameters: Of the agreement.
        values: Length of a signal.
        public_key: The feature key that members encrypted to.
        uploads: Ciphertexts by member.
        total: The claimed sum.
        secret_key: The published one-use key; empty if it is not published.
        released: The values that the sum is said to hold, little-endian int64; empty
            without the key.
    """

    parameters: BfvParameters
    values: int
    public_key: bytes
    uploads: dict[str, bytes]
    total: bytes
    secret_key: bytes
    released: bytes


def to_parts(claim: Claim) -> Iterator[bytes]:
    """Return a request, piece by piece: pieces are large and need not be joined."""
    members = sorted(claim.uploads)
    parts = [claim.public_key, claim.total, claim.secret_key, claim.released]
    parts += [claim.uploads[name] for name in members]
    header = canonical.encode(
        {
            "parameters": claim.parameters.to_dict(),
            "values": claim.values,
            "members": members,
            "sizes": [len(part) for part in parts],
        }
    )
    yield MAGIC
    yield len(header).to_bytes(_LENGTH_BYTES, "big")
    yield header
    yield from parts


def digest_of(claim: Claim) -> str:
    """Return the SHA-256 of a request: the same claim needs only one check."""
    digest = hashlib.sha256()
    for part in to_parts(claim):
        digest.update(part)
    return digest.hexdigest()


def from_bytes(data: bytes) -> Claim:
    """Return the claim of a request.

    Raises:
        DataError: If it is not exactly one request.
    """
    view = memoryview(data)
    start = len(MAGIC) + _LENGTH_BYTES
    length = int.from_bytes(view[len(MAGIC) : start], "big")
    if bytes(view[: len(MAGIC)]) != MAGIC or length > _MAXIMUM_HEADER_BYTES:
        raise DataError("This is no request.")
    header: Any = canonical.decode(bytes(view[start : start + length]))
    members, sizes = header["members"], header["sizes"]
    position = start + length
    if len(sizes) != 4 + len(members) or position + sum(sizes) != len(data):
        raise DataError("A request's parts do not add up.")
    parts = []
    for size in sizes:
        parts.append(bytes(view[position : position + size]))
        position += size
    public_key, total, secret_key, released, *uploads = parts
    return Claim(
        BfvParameters.from_dict(header["parameters"]),
        header["values"],
        public_key,
        dict(zip(members, uploads, strict=True)),
        total,
        secret_key,
        released,
    )
