"""Strict bytes: the containers that TenSEAL reads, taken apart and put together here.

TenSEAL loads nearly anything: it accepts empty bytes as an empty vector, believes the
lengths it is told, and takes scheme, parameters, evaluation keys and a secret key from
whatever context it is given. So nothing reaches it that this module did not rebuild: a
reader takes out the SEAL objects that it expects, puts them into a fresh container, and
refuses bytes that differ from that container.

Formats: protobuf's wire format (varint, fixed64 and length-delimited fields); TenSEAL's
``tensors.proto``; SEAL's 16-byte header (magic 0xA15E, header size, version,
compression, reserved, total size as little-endian u64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from secure_fedsa.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secure_fedsa.encryption.parameters import BfvParameters

VARINT, FIXED64, BYTES = 0, 1, 2
Field = tuple[int, int, int | bytes]

_VECTOR_SIZES, _VECTOR_CIPHERTEXTS = 1, 2
_HEADER_BYTES = 16
_HEADER_START = b"\x5e\xa1\x10\x04"  # magic, header size, major version
_ZSTD = 2


def _write_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _read_varint(party: str, data: bytes, start: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[start : start + 10]):
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, start + index + 1
    raise ProtocolError(party, "Encrypted bytes end inside a number.")


def read_fields(data: bytes, party: str = "") -> list[Field]:
    """Return the fields of one protobuf message as (number, wire type, value).

    ``party`` sent the bytes; an error names it.

    Raises:
        ProtocolError: Truncated bytes or another wire type.
    """
    fields: list[Field] = []
    position = 0
    while position < len(data):
        key, position = _read_varint(party, data, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _read_varint(party, data, position)
            fields.append((number, kind, value))
            continue
        if kind == FIXED64:
            length = 8
        elif kind == BYTES:
            length, position = _read_varint(party, data, position)
        else:
            raise ProtocolError(party, "Encrypted bytes have a field of an unknown kind.")
        if position + length > len(data):
            raise ProtocolError(party, "Encrypted bytes end inside a field.")
        fields.append((number, kind, data[position : position + length]))
        position += length
    return fields


def write_fields(fields: Sequence[Field]) -> bytes:
    """Return the bytes of one protobuf message.

    >>> read_fields(write_fields([(1, VARINT, 300), (2, BYTES, b"ab")]))
    [(1, 0, 300), (2, 2, b'ab')]
    """
    out = bytearray()
    for number, kind, value in fields:
        out += _write_varint(number << 3 | kind)
        if isinstance(value, int):
            out += _write_varint(value)
            continue
        if kind == BYTES:
            out += _write_varint(len(value))
        out += value
    return bytes(out)


def check_seal_object(party: str, blob: bytes, bounds: tuple[int, int]) -> None:
    """Check the length and the SEAL header of one serialised SEAL object.

    Raises:
        ProtocolError: Length out of bounds, or a header that does not describe it.
    """
    if not bounds[0] <= len(blob) <= bounds[1]:
        raise ProtocolError(
            party,
            f"An encrypted object of {len(blob)} bytes.",
            why=f"The parameters allow {bounds[0]} to {bounds[1]}; a seeded ciphertext, which "
            "only the owner of the secret key can make, has about half.",
        )
    header_fits = (
        blob.startswith(_HEADER_START)
        and blob[5] == _ZSTD
        and blob[6:8] == b"\0\0"
        and int.from_bytes(blob[8:_HEADER_BYTES], "little") == len(blob)
    )
    if not header_fits:
        raise ProtocolError(
            party,
            "An encrypted object without a valid SEAL 4 header.",
            do="Make sure that all parties use the same TenSEAL.",
        )


def write_vector(sizes: Sequence[int], ciphertexts: Sequence[bytes]) -> bytes:
    """Return TenSEAL's container of a BFV vector in several ciphertexts."""
    packed = b"".join(_write_varint(size) for size in sizes)
    fields: list[Field] = [(_VECTOR_SIZES, BYTES, packed)]
    fields += [(_VECTOR_CIPHERTEXTS, BYTES, blob) for blob in ciphertexts]
    return write_fields(fields)


def read_vector(party: str, parameters: BfvParameters, data: bytes, values: int) -> list[bytes]:
    """Return the serialised ciphertexts in ``data`` if they can hold ``values`` values.

    Raises:
        ProtocolError: Another length, count, size field or container.
    """
    sizes = parameters.chunk_sizes(values)
    if len(data) > parameters.maximum_payload_bytes(values):
        raise ProtocolError(party, f"An encrypted signal of {len(data)} bytes is too long.")
    blobs = [
        value
        for number, _, value in read_fields(data, party)
        if number == _VECTOR_CIPHERTEXTS and isinstance(value, bytes)
    ]
    if len(blobs) != len(sizes) or write_vector(sizes, blobs) != data:
        raise ProtocolError(
            party,
            "Encrypted bytes of an unexpected structure.",
            why=f"{values} values take {len(sizes)} ciphertexts in TenSEAL's container.",
        )
    for blob in blobs:
        check_seal_object(party, blob, parameters.object_bounds(polynomials=2))
    return blobs
