"""Canonical JSON: one value, one string of bytes.

The encoding is the JSON Canonicalization Scheme (RFC 8785). A reader accepts bytes only
if they equal the canonical encoding of what they say, which rules out duplicate keys,
other key orders, white space, other spellings of a number, NaN and infinity.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

import rfc8785

from secure_fedsa.errors import DataError

Json = dict[str, Any]


def encode(value: Any) -> bytes:
    """Return the canonical JSON bytes of ``value``.

    Raises:
        DataError: If ``value`` has no canonical encoding (NaN, infinity, an integer
            beyond 2^53, a type that JSON lacks).

    >>> encode({"b": 1, "a": [1e-5, None]})
    b'{"a":[0.00001,null],"b":1}'
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, ValueError, TypeError, RecursionError) as error:
        raise DataError("A value has no canonical JSON encoding.", why=str(error)) from error


def decode(data: bytes) -> Any:
    """Return the value of canonical JSON bytes.

    Raises:
        DataError: If ``data`` is not canonical JSON.

    >>> decode(b'{"a":1}')
    {'a': 1}
    >>> decode(b'{"a": 1}')
    Traceback (most recent call last):
    secure_fedsa.errors.DataError: These bytes are not canonical JSON (RFC 8785).
    """
    refusal = DataError("These bytes are not canonical JSON (RFC 8785).")
    try:
        value = json.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise refusal from error
    try:
        canonical = encode(value)
    except DataError as error:
        raise refusal from error
    if canonical != data:
        raise refusal
    return value


def sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(domain: str, value: Any) -> str:
    """Return the SHA-256 of a canonical value under a domain, as hexadecimal digits.

    The hashed bytes are ``domain``, a line feed, and the canonical encoding.
    """
    return sha256(domain.encode() + b"\n" + encode(value))


def to_base64(data: bytes) -> str:
    """Return ``data`` in standard base64 with padding (RFC 4648, section 4)."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, *, maximum_bytes: int | None = None) -> bytes:
    """Return the bytes of canonical base64.

    Raises:
        DataError: If ``text`` is not the one canonical base64 spelling of some bytes,
            or they are more than ``maximum_bytes``.
    """
    if maximum_bytes is not None and len(text) > 4 * (maximum_bytes // 3 + 1):
        raise DataError(f"A binary field is longer than {maximum_bytes} bytes.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError("A binary field is not base64.", why=str(error)) from error
    # Only the end can be spelled in two ways; encoding all of it again would cost memory.
    length, end = 4 * -(-len(data) // 3), to_base64(data[-(len(data) % 3 or 3) :])
    if len(text) != length or not text.endswith(end):
        raise DataError("A binary field is not canonical base64.")
    return data
