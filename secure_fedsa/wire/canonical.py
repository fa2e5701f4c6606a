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
import re
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
        text = data.decode("utf-8")
        value = _READER.decode(text)
    except (ValueError, RecursionError, DataError) as error:
        raise refusal from error
    if not _SPELLING.fullmatch(text):
        raise refusal
    return value


# Encoding a value again, to compare, would take most of a reader's time: rfc8785 is plain
# Python. So the text itself is judged. What a JSON reader has taken is canonical if and only
# if there is no white space between its strings, every escape is the one that the scheme
# prescribes, keys ascend, and numbers are spelled as the scheme spells them.
_SPELLING = re.compile(
    r"""(?:[^ \t\n\r"]++|"(?:[^"\\]++|\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f])))*+")*+"""
)
_LARGEST_INTEGER = 2**53 - 1


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(pairs) > 1:
        keys = [key for key, _ in pairs]
        if len(found) < len(pairs) or keys != sorted(keys, key=_utf16):
            raise ValueError
    return found


def _utf16(key: str) -> bytes:
    return key.encode("utf-16be")


def _integer(text: str) -> int:
    number = int(text)
    if abs(number) > _LARGEST_INTEGER or text == "-0":
        raise ValueError
    return number


def _double(text: str) -> float:
    number = float(text)
    # Python spells as the scheme does, but for small numbers; of whole ones below 10^21 the
    # scheme's spelling has neither point nor exponent.
    spelling = repr(number).replace("e-0", "e-")
    mantissa, _, exponent = spelling.partition("e")
    if exponent in ("-5", "-6"):
        sign, digits = "-" * (number < 0), mantissa.lstrip("-").replace(".", "")
        spelling = f"{sign}0.{'0' * (int(exponent[1]) - 1)}{digits}"
    if text != spelling or text.endswith(".0") or (exponent and 0 < int(exponent) < 21):
        raise ValueError
    return number


def _constant(text: str) -> None:
    raise ValueError(text)


_READER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_integer,
    parse_float=_double,
    parse_constant=_constant,
)


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
