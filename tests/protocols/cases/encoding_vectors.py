"""Vectors of the encoding: JSON, base64, hashes, signatures.

Expected values come from :mod:`tests.protocols.bench.formulas`, which is written from the text;
bad cases are written by hand. Everything here is made of fixed inputs, so it repeats.
"""

from __future__ import annotations

import base64

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import b64, canonical, digest, sha256
from tests.protocols.cases.given import AGREEMENT, RUN, File, Json, named


def good_json() -> list[Json]:
    """Return canonical JSON documents, by what they show."""
    values: dict[str, Json] = {
        "empty object": {},
        "empty list": [],
        "empty text": "",
        "null": None,
        "keys in order": {"a": 1, "b": 2},
        "keys in order of UTF-16, not of code points": {"\ufb33": 1, "\U0001f600": 0},
        "digits and capitals before small letters": {"10": 0, "9": 0, "A": 0, "a": 0},
        "literal UTF-8": "é ☃ \U0001f600",
        "no normalisation": ["\u00e9", "e\u0301"],
        "shortest escapes": '\b\t\n\f\r"\\ \u0000\u001f',
        "delete, slash and line separators are literal": "\u007f/\u2028\u2029",
        "whole number": 4,
        "whole double": 4.0,
        "largest integer": 2**53 - 1,
        "smallest integer": -(2**53) + 1,
        "fraction": 0.1,
        "small without exponent": 0.000001,
        "smaller with exponent": 1e-7,
        "least double": 5e-324,
        "largest double": 1.7976931348623157e308,
        "ten to the 21": 1e21,
        "zero": -0.0,
        "nested": {"a": [{"b": [None, True, False]}]},
    }
    return [
        {"name": name, "bytes": canonical(value).hex(), "good": True}
        for name, value in values.items()
    ]


def bad_json() -> list[Json]:
    """Return documents that no reader accepts, by what is wrong with them."""
    texts: dict[str, bytes] = {
        "nothing": b"",
        "space": b'{"a": 1}',
        "line feed at the end": b'{"a":1}\n',
        "byte order mark": b'\xef\xbb\xbf{"a":1}',
        "not UTF-8": b'"\xff"',
        "overlong UTF-8": b'"\xc0\x80"',
        "surrogates in UTF-8": b'"\xed\xa0\x80"',
        "lone surrogate": rb'"\ud800"',
        "pair of surrogates escaped": rb'"\ud83d\ude00"',
        "keys out of order": b'{"b":1,"a":1}',
        # UTF-16 puts the emoji (D83D …) before U+FB33.
        "keys in order of code points": '{"\ufb33":1,"\U0001f600":0}'.encode(),
        "key twice": b'{"a":1,"a":1}',
        "trailing comma": b"[1,]",
        "two values": b"1 2",
        "not a number": b"NaN",
        "infinity": b"Infinity",
        "double beyond the largest": b"1e309",
        "point zero": b"1.0",
        "capital exponent": b"1E5",
        "exponent that is not needed": b"1e5",
        "exponent without sign": b"1e21",
        "minus zero": b"-0",
        "leading zero": b"01",
        "plus": b"+1",
        "more digits than needed": b"0.10",
        "too many digits": b"0.1000000000000000055511151231257827",
        "integer of 2^53": str(2**53).encode(),
        "integer of 2^60": str(2**60).encode(),
        "ten to the 20 written out": b"100000000000000000000",
        "escaped slash": rb'"\/"',
        "escaped letter": rb'"\u0061"',
        "long escape": rb'"\u000a"',
        "capital hexadecimal": rb'"\u001F"',
        "control character": b'"\x01"',
        "comment": b"{}//",
        "single quotes": b"'a'",
        "unclosed": b'{"a":[1',
        "literal in capitals": b"True",
    }
    return [{"name": name, "bytes": data.hex(), "good": False} for name, data in texts.items()]


def json_documents() -> File:
    """Canonical JSON, good and bad."""
    return {"source": "encoding.md, 2", "cases": [*good_json(), *bad_json()]}


def base64_texts() -> File:
    """Base64, good and bad."""
    good = {"nothing": b"", "one byte": b"\x00", "two bytes": b"\xfb\xff", "three bytes": b"abc"}
    bad = {
        "no padding": "AA",
        "half the padding": "AA=",
        "padding too long": "AA===",
        "padding alone": "====",
        "bits behind the last byte": "AB==",
        "more bits behind the last byte": "AAF=",
        "alphabet of URLs": "-_8=",
        "space": "AA ==",
        "line feed at the end": "AA==\n",
        "line feed inside": "YWJj\nYWJj",
        "foreign character": "AA==!",
        "not ASCII": "Ää==",
        "two texts in one": "AA==AA==",
        "one character": "A",
    }
    cases = [{"name": n, "text": b64(d), "bytes": d.hex(), "good": True} for n, d in good.items()]
    cases += [{"name": name, "text": text, "good": False} for name, text in bad.items()]
    return {"source": "encoding.md, 3", "cases": cases}


def digests() -> File:
    """Hashes under each domain."""
    values: dict[str, Json] = {
        "agreement": {"version": 1},
        "envelope": {"kind": "nonce"},
        "run": {"agreement": AGREEMENT, "nonces": {"a": named("a").hex()}},
        "keys": {"run_id": RUN},
        "query": [sha256(b"one"), sha256(b"two")],
        "roster": {"run_id": RUN, "roster": {"number": 1}},
        "release-log": {"position": 0},
        "student": {"network": sha256(b"n"), "architecture": sha256(b"a"), "head": sha256(b"h")},
        "transcript": [],
    }
    return {
        "source": "encoding.md, 4",
        "cases": [
            {
                "name": f"a value under {domain}",
                "domain": formulas.PREFIX + domain,
                "value": value,
                "hashed": ((formulas.PREFIX + domain).encode() + b"\n" + canonical(value)).hex(),
                "hash": digest(domain, value),
            }
            for domain, value in values.items()
        ],
    }


def _header(kind: str, body: bytes, **changes: Json) -> Json:
    header = {
        "version": 1,
        "run_id": RUN,
        "agreement": AGREEMENT,
        "sender": "teacher-1",
        "recipient": "*",
        "sequence": 3,
        "kind": kind,
        "class": "public",
        "body_sha256": sha256(body),
    }
    return header | changes


def envelopes() -> File:
    """From a header to what is signed, its signature, and the message's hash."""
    body = {"roster_hash": sha256(b"roster")}
    headers = {
        "public": (_header("roster-signature", canonical(body)), canonical(body)),
        "nonce": (
            _header("nonce", canonical({"nonce": b64(named("n"))}), run_id="", sequence=0),
            canonical({"nonce": b64(named("n"))}),
        ),
        "sealed": (
            _header("blind", b"sealed bytes", recipient="key-holder", **{"class": "sealed"}),
            b"sealed bytes",
        ),
    }
    key = formulas.known_key("teacher-1")
    cases = [
        {
            "name": name,
            "private_key": key.private_bytes_raw().hex(),
            "public_key": formulas.public(key),
            "body_bytes": data.hex(),
            "header": header,
            "signed": formulas.signed_bytes("envelope", header).hex(),
            "signature": formulas.sign(key, "envelope", header),
            "hash": digest("envelope", header),
            "good": True,
        }
        for name, (header, data) in headers.items()
    ]
    header = headers["public"][0]
    other = formulas.known_key("teacher-2")
    wrong = {
        "signature of another key": formulas.sign(other, "envelope", header),
        "signature under another domain": formulas.sign(key, "agreement", header),
        "signature of the hash": b64(key.sign(bytes.fromhex(digest("envelope", header)))),
        "signature of the header alone": b64(key.sign(canonical(header))),
        "signature with its halves swapped": _swapped(cases[0]["signature"]),
        "signature whose number is not reduced": _not_reduced(cases[0]["signature"]),
    }
    cases += [
        {**cases[0], "name": name, "signature": text, "good": False} for name, text in wrong.items()
    ]
    return {"source": "encoding.md, 5 and 6; RFC 8032", "cases": cases}


def _swapped(signature: str) -> str:
    data = base64.b64decode(signature)
    return b64(data[32:] + data[:32])


def _not_reduced(signature: str) -> str:
    """Return a signature with the group's order added to its second half."""
    data = base64.b64decode(signature)
    order = 2**252 + 27742317777372353535851937790883648493
    number = int.from_bytes(data[32:], "little") + order
    return b64(data[:32] + number.to_bytes(32, "little"))
