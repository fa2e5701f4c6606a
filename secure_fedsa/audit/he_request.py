"""What the verifier and its child say to each other about ciphertexts, as plain bytes.

    request = magic, header length (4 bytes, big-endian), header, parts
    header  = canonical JSON {"parameters", "values", "members"}
    parts   = public key, sum, secret key, released values, one upload a member; before each
              its length (8 bytes, big-endian)

Neither side holds more than one upload at a time.

The answer is one line a stage that passed, then ``refused`` with where and why, or ``held``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import SEEK_CUR, SEEK_END
from itertools import chain
from typing import Any, BinaryIO, TypeVar

from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.errors import DataError
from secure_fedsa.wire import canonical

MAGIC = b"secure-fedsa ciphertext check 1\n"
STAGES = ("key", "sum", "opening")
HELD = "held"
MAXIMUM_ANSWER_BYTES = 16_384
_LENGTH_BYTES, _PART_LENGTH_BYTES = 4, 8
_MAXIMUM_HEADER_BYTES = 2**20


T = TypeVar("T")


class Fetched(Mapping[str, T]):
    """Values by name that are fetched whenever they are asked for, and not kept."""

    def __init__(self, names: Iterable[str], fetch: Callable[[str], T]) -> None:
        self._names = dict.fromkeys(names)
        self._fetch = fetch

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._fetch(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a run folder claims about its ciphertexts.

    Attributes:
        parameters: Of the agreement.
        values: Length of a signal.
        public_key: The feature key that members encrypted to.
        uploads: Ciphertexts by member; none where they are withheld.
        total: The claimed sum.
        secret_key: The published one-use key; empty if it is not published.
        released: The values that the sum is said to hold, little-endian int64; empty
            without the key.
    """

    parameters: BfvParameters
    values: int
    public_key: bytes
    uploads: Mapping[str, bytes]
    total: bytes
    secret_key: bytes
    released: bytes


def to_parts(claim: Claim) -> Iterator[bytes]:
    """Return a request, piece by piece: pieces are large and need not be joined."""
    members = sorted(claim.uploads)
    header = canonical.encode(
        {"parameters": claim.parameters.to_dict(), "values": claim.values, "members": members}
    )
    yield MAGIC
    yield len(header).to_bytes(_LENGTH_BYTES, "big")
    yield header
    first = (claim.public_key, claim.total, claim.secret_key, claim.released)
    for part in chain(first, map(claim.uploads.__getitem__, members)):
        yield len(part).to_bytes(_PART_LENGTH_BYTES, "big")
        yield part


def digest_of(claim: Claim) -> str:
    """Return the SHA-256 of a request: the same claim needs only one check."""
    digest = hashlib.sha256()
    for part in to_parts(claim):
        digest.update(part)
    return digest.hexdigest()


def from_file(file: BinaryIO) -> Claim:
    """Return the claim of a request; its uploads are read when they are asked for.

    Raises:
        DataError: If it is not exactly one request.
    """
    if file.read(len(MAGIC)) != MAGIC:
        raise DataError("This is no request.")
    header: Any = canonical.decode(file.read(_number(file, _LENGTH_BYTES, _MAXIMUM_HEADER_BYTES)))
    members = header["members"]
    end = file.seek(0, SEEK_END)
    position = file.seek(len(MAGIC) + _LENGTH_BYTES + len(canonical.encode(header)))
    places = []
    for _ in range(4 + len(members)):
        size = _number(file, _PART_LENGTH_BYTES, end)
        places.append((file.tell(), size))
        position = file.seek(size, SEEK_CUR)
    if position != end:
        raise DataError("A request's parts do not add up.")

    def read(place: tuple[int, int]) -> bytes:
        file.seek(place[0])
        return file.read(place[1])

    of_member = dict(zip(members, places[4:], strict=True))
    return Claim(
        BfvParameters.from_dict(header["parameters"]),
        header["values"],
        read(places[0]),
        Fetched(members, lambda name: read(of_member[name])),
        *map(read, places[1:4]),
    )


def _number(file: BinaryIO, size: int, most: int) -> int:
    number = int.from_bytes(file.read(size), "big")
    if number > most:
        raise DataError("A part of a request is too long.")
    return number
