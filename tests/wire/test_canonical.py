"""One value, one string of bytes: everything else is refused."""

from __future__ import annotations

import pytest

from secure_fedsa.errors import DataError
from secure_fedsa.wire import canonical

REFUSED = {
    "duplicate key": b'{"a":1,"a":1}',
    "key order": b'{"b":1,"a":2}',
    "white space": b'{"a": 1}',
    "line feed at the end": b'{"a":1}\n',
    "NaN": b'{"a":NaN}',
    "infinity": b'{"a":Infinity}',
    "number beyond floats": b'{"a":1e400}',
    "integer beyond 2^53": b'{"a":9007199254740993}',
    "integer of 5,000 digits": b'{"a":' + b"1" * 5000 + b"}",
    "another spelling of a number": b'{"a":1.0}',
    "negative zero": b'{"a":-0}',
    "escaped letter": b'{"a":"\\u0061"}',
    "lone surrogate": b'{"a":"\\ud800"}',
    "bytes that are not UTF-8": b'{"a":"\xff"}',
    "byte order mark": b'\xef\xbb\xbf{"a":1}',
    "two values": b'{"a":1}{"a":1}',
    "nothing": b"",
    "too deep": b"[" * 100_000 + b"]" * 100_000,
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_spellings_are_refused(name: str) -> None:
    """Two parties could else sign the same bytes and read two different things."""
    with pytest.raises(DataError):
        canonical.decode(REFUSED[name])


@pytest.mark.parametrize("text", ["AA", "AB==", "AA==\n", " AA==", "AA=A", "A-_A", "é===", "===="])
def test_other_spellings_of_bytes_are_refused(text: str) -> None:
    """A field that can be spelled in two ways gives a message two hashes."""
    with pytest.raises(DataError):
        canonical.from_base64(text)


def test_a_long_binary_field_is_refused_before_it_is_decoded() -> None:
    """A signature of a gigabyte should cost nothing."""
    with pytest.raises(DataError, match="longer than 64"):
        canonical.from_base64("A" * 1_000_000, maximum_bytes=64)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, {"a": object()}])
def test_what_has_no_encoding_is_an_error_of_ours(value: object) -> None:
    """A foreign exception would end a party's process."""
    with pytest.raises(DataError):
        canonical.encode(value)
