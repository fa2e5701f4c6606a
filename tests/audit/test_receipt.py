"""The receipt is what strangers rely on: exactly one spelling of it may be accepted."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]

from secure_fedsa.errors import VerificationError
from secure_fedsa.report import receipt
from secure_fedsa.report.receipt import Endorsement, Statement, open_receipt
from secure_fedsa.wire import canonical
from secure_fedsa.wire.keys import IdentityKey

PARTIES = {name: IdentityKey.from_bytes(name.encode().ljust(32, b"-")) for name in "abcd"}
KEYS = {name: identity.public.hex() for name, identity in PARTIES.items()}
STATEMENT = Statement(
    subjects={"agreement.toml": "12" * 32, "student/head.safetensors": "ab" * 32},
    predicate={
        "version": 1,
        "agreement": "34" * 32,
        "run_id": "56" * 32,
        "transcript_root": "78" * 32,
        "recomputed": ["file-hashes"],
        "attested": [{"claim": "erasure", "by": ["a", "b"]}],
    },
)
SIGNERS = ("a", "b", "c")


def signed(payload: bytes, names: tuple[str, ...] = SIGNERS) -> bytes:
    """Return a receipt over any payload, really signed."""
    return receipt.assemble(payload, [receipt.sign(payload, PARTIES[name]) for name in names])


GOOD = signed(receipt.payload_of(STATEMENT))


def refusal(data: bytes) -> str:
    """Return why a receipt is refused."""
    with pytest.raises(VerificationError) as caught:
        open_receipt(data, KEYS)
    assert caught.value.file == "receipt.dsse.json"
    return str(caught.value)


def test_what_was_signed_is_what_is_read() -> None:
    """A receipt that says something else to its reader is worse than none."""
    opened = open_receipt(GOOD, KEYS)
    assert opened.statement == STATEMENT
    assert opened.signers == SIGNERS


def test_other_dsse_and_in_toto_readers_accept_it() -> None:
    """Strangers have their own tools; ours must not be the only one that reads it."""
    value = json.loads(GOOD)
    envelope = Envelope.from_dict(json.loads(GOOD))
    keys: list[Key] = [
        SSlibKey(key, "ed25519", "ed25519", {"public": key}) for key in KEYS.values()
    ]
    assert set(envelope.verify(keys, 3)) == {KEYS[name] for name in SIGNERS}
    payload = base64.b64decode(value["payload"])
    signed_bytes = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    for entry in value["signatures"]:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(entry["keyid"]))
        key.verify(base64.b64decode(entry["sig"]), signed_bytes)
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"


def test_one_run_has_one_receipt() -> None:
    """Two spellings of one receipt could be shown to two auditors."""
    payload = receipt.payload_of(STATEMENT)
    backwards = replace(STATEMENT, subjects=dict(reversed(STATEMENT.subjects.items())))
    assert receipt.payload_of(backwards) == payload
    assert signed(payload, ("c", "a", "b")) == GOOD


def test_the_transcript_root_is_as_specified() -> None:
    """A second implementation would compute another root."""
    hashes = ["bb" * 32, "aa" * 32]
    text = f'secure-fedsa/v1/transcript\n["{"aa" * 32}","{"bb" * 32}"]'
    assert receipt.transcript_root(hashes) == hashlib.sha256(text.encode()).hexdigest()


# --- bad envelopes ---------------------------------------------------------------


def envelope(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the good receipt with its envelope changed, canonical again."""
    value = json.loads(GOOD)
    change(value)
    return canonical.encode(value)


def first(**changes: Any) -> bytes:
    """Return the good receipt with entries of its first signature changed."""
    return envelope(lambda value: value["signatures"][0].update(changes))


def compact(value: Any) -> bytes:
    """Return JSON without white space, keys as they come."""
    return json.dumps(value, separators=(",", ":")).encode()


def foreign_signature() -> bytes:
    """Return the good receipt with another party's signature under the first key id."""
    value = json.loads(GOOD)
    value["signatures"][0]["sig"] = value["signatures"][1]["sig"]
    return canonical.encode(value)


def loose_bits(text: str) -> str:
    """Return base64 of the same bytes with unused bits set, as lax readers accept."""
    assert text.endswith("==")
    return text[:-3] + chr(ord(text[-3]) + 1) + "=="


SIG = json.loads(GOOD)["signatures"][0]["sig"]
STRANGER = IdentityKey.from_bytes(bytes(32))

ENVELOPES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "not canonical JSON"),
    "not JSON": (b"receipt", "not canonical JSON"),
    "white space": (GOOD + b"\n", "not canonical JSON"),
    "key order": (compact(dict(reversed(json.loads(GOOD).items()))), "not canonical JSON"),
    "a key twice": (b'{"payload":"",' + GOOD[1:], "not canonical JSON"),
    "NaN": (GOOD.replace(b'"signatures":[', b'"signatures":[NaN,'), "not canonical JSON"),
    "a lone surrogate": (b'{"\\ud800":1}', "not canonical JSON"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, "not canonical JSON"),
    "many values": (b"[" + b"0," * 1_000_000 + b"0]", "holds more than 1,000,000 values"),
    "a list": (b"[]", "the envelope is not an object"),
    "extra entry": (envelope(lambda v: v.update(note="x")), "has an unknown entry, 'note'"),
    "missing entry": (envelope(lambda v: v.pop("payloadType")), "lacks 'payloadType'"),
    "payloadType": (envelope(lambda v: v.update(payloadType="text/plain")), "payloadType is not"),
    "payload number": (envelope(lambda v: v.update(payload=1)), "the payload is not text"),
    "payload one letter more": (
        envelope(lambda v: v.update(payload=v["payload"] + "A")),
        "the payload is not canonical base64",
    ),
    "payload in URL letters": (
        envelope(lambda v: v.update(payload="-_" + v["payload"][2:])),
        "the payload is not canonical base64",
    ),
    "signatures object": (envelope(lambda v: v.update(signatures={})), "signatures is not a list"),
    "nobody": (envelope(lambda v: v.update(signatures=[])), "nobody signed"),
    "signature text": (envelope(lambda v: v.update(signatures=["x"])), "is not an object"),
    "signature extra": (first(cert="x"), "a signature has an unknown entry, 'cert'"),
    "keyid capital": (first(keyid=json.loads(GOOD)["signatures"][0]["keyid"].upper()), "keyid"),
    "keyid number": (first(keyid=7), "keyid is not 64 lower-case"),
    "sig short": (first(sig=base64.b64encode(bytes(63)).decode()), "has 63 bytes, not 64"),
    "sig long": (first(sig=base64.b64encode(bytes(65)).decode()), "has 65 bytes, not 64"),
    "sig loose": (first(sig=loose_bits(SIG)), "sig is not canonical base64"),
    "sig list": (first(sig=[]), "sig is not text"),
    "sig zero": (first(sig=base64.b64encode(bytes(64)).decode()), "does not verify"),
    "sig of another": (foreign_signature(), "does not verify"),
    "order": (envelope(lambda v: v["signatures"].reverse()), "not in ascending order"),
    "doubled": (
        envelope(lambda v: v["signatures"].insert(0, v["signatures"][0])),
        "not in ascending order",
    ),
    "stranger": (
        receipt.assemble(
            receipt.payload_of(STATEMENT), [receipt.sign(receipt.payload_of(STATEMENT), STRANGER)]
        ),
        "is of no party",
    ),
    "another payload": (
        envelope(lambda v: v.update(payload=v["payload"].replace("MTIxMjEy", "MTMxMjEy", 1))),
        "does not verify",
    ),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_a_bad_envelope_is_refused_for_its_own_reason(name: str) -> None:
    """A lax reader accepts what a strict one refuses: two auditors, two verdicts."""
    data, reason = ENVELOPES[name]
    assert reason in refusal(data)


# --- bad statements, really signed -----------------------------------------------


def said(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Return a receipt over a changed statement, canonical and signed by the parties."""
    value = json.loads(receipt.payload_of(STATEMENT))
    change(value)
    return signed(canonical.encode(value))


def predicate(**changes: Any) -> bytes:
    """Return a signed receipt with entries of its predicate changed."""
    return said(lambda value: value["predicate"].update(changes))


def subject(**changes: Any) -> bytes:
    """Return a signed receipt with entries of its first subject changed."""
    return said(lambda value: value["subject"][0].update(changes))


STATEMENTS: dict[str, tuple[bytes, str]] = {
    "not JSON": (signed(b"\xff"), "the payload is not canonical JSON"),
    "white space": (
        signed(receipt.payload_of(STATEMENT) + b" "),
        "the payload is not canonical JSON",
    ),
    "many values": (signed(b"[" + b"0," * 1_000_000 + b"0]"), "payload holds more than 1,000,000"),
    "a list": (signed(b"[]"), "the statement is not an object"),
    "extra": (said(lambda v: v.update(more=1)), "has an unknown entry, 'more'"),
    "missing": (said(lambda v: v.pop("predicate")), "lacks 'predicate'"),
    "_type": (said(lambda v: v.update(_type="https://in-toto.io/Statement/v0.1")), "_type is not"),
    "predicateType": (said(lambda v: v.update(predicateType="urn:x")), "predicateType is not"),
    "no subject": (said(lambda v: v.update(subject=[])), "At least one subject required"),
    "subject object": (said(lambda v: v.update(subject={})), "subject is not a list"),
    "subject text": (said(lambda v: v.update(subject=["x"])), "a subject is not an object"),
    "subject extra": (subject(uri="x"), "a subject has an unknown entry, 'uri'"),
    "name empty": (subject(name=""), "a subject's name is not text, or empty"),
    "name number": (subject(name=3), "a subject's name is not text"),
    "another digest": (subject(digest={"sha512": "12" * 64}), "digest lacks 'sha256'"),
    "two digests": (subject(digest={"sha256": "12" * 32, "sha1": ""}), "unknown entry, 'sha1'"),
    "digest capital": (subject(digest={"sha256": "AB" * 32}), "sha256 is not 64 lower-case"),
    "digest short": (subject(digest={"sha256": "12" * 31}), "sha256 is not 64 lower-case"),
    "digest line end": (subject(digest={"sha256": "12" * 32 + "\n"}), "sha256 is not 64"),
    "subject order": (said(lambda v: v["subject"].reverse()), "files are not in ascending order"),
    "subject doubled": (
        said(lambda v: v["subject"].insert(0, v["subject"][0])),
        "files are not in ascending order",
    ),
    "predicate list": (said(lambda v: v.update(predicate=[])), "the predicate is not an object"),
    "predicate extra": (predicate(verified=True), "has an unknown entry, 'verified'"),
    "version 2": (predicate(version=2), "version is not 1"),
    "version true": (predicate(version=True), "version is not 1"),
    "version text": (predicate(version="1"), "version is not 1"),
    "agreement": (predicate(agreement=""), "predicate's agreement is not 64"),
    "run_id": (predicate(run_id=None), "predicate's run_id is not 64"),
    "root": (predicate(transcript_root="0x" + "0" * 62), "transcript_root is not 64"),
    "recomputed text": (predicate(recomputed="all"), "recomputed is not a list"),
    "recomputed number": (predicate(recomputed=[1]), "a recomputed claim is not text"),
    "attested text": (predicate(attested="none"), "attested is not a list"),
    "attested claim": (predicate(attested=["erasure"]), "an attested claim is not an object"),
    "attested extra": (
        predicate(attested=[{"claim": "erasure", "by": [], "verified": True}]),
        "an attested claim has an unknown entry, 'verified'",
    ),
    "attested by text": (predicate(attested=[{"claim": "x", "by": "a"}]), "by is not a list"),
    "attested by nobody": (predicate(attested=[{"claim": "x", "by": [""]}]), "party is not text"),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_bad_statement_is_refused_although_it_is_signed(name: str) -> None:
    """Signers may lie together; what they sign must still have one shape."""
    data, reason = STATEMENTS[name]
    assert reason in refusal(data)


# --- whatever the bytes are ------------------------------------------------------


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_without_a_traceback(data: bytes) -> None:
    """An auditor who meets a traceback learns nothing, or worse, a way in."""
    refusal(data)


@settings(max_examples=300)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, flip: int) -> None:
    """A receipt that can be changed anywhere is not a signature over that place."""
    data = bytearray(GOOD)
    data[place] ^= flip
    refusal(bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.just("00" * 32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.sampled_from(["_type", "subject", "predicateType", "predicate"]), JSON, st.data())
def test_any_signed_statement_is_read_or_refused(
    name: str, value: Any, data: st.DataObject
) -> None:
    """Whoever signs chooses the payload: no value in it may reach a library unchecked."""
    content = json.loads(receipt.payload_of(STATEMENT))
    if name == "predicate" and data.draw(st.booleans()):
        content[name][data.draw(st.sampled_from(sorted(content[name])))] = value
    elif name == "subject" and data.draw(st.booleans()):
        content[name][0][data.draw(st.sampled_from(["name", "digest"]))] = value
    else:
        content[name] = value
    try:
        opened = open_receipt(signed(canonical.encode(content), ("a",)), KEYS)
    except VerificationError as error:
        assert error.file == "receipt.dsse.json"  # noqa: PT017
    else:
        assert receipt.payload_of(opened.statement) == canonical.encode(content)


@settings(max_examples=200)
@given(JSON, st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"]))
def test_any_envelope_is_refused_without_a_traceback(value: Any, name: str) -> None:
    """The envelope is read before any signature is known to be good."""
    if name in {"keyid", "sig"}:
        refusal(first(**{name: value}))
    else:
        refusal(envelope(lambda content: content.update({name: value})))


def test_a_statement_of_another_shape_is_never_signed() -> None:
    """A program error would otherwise put signatures under what no reader accepts."""
    with pytest.raises(VerificationError, match="version is not 1"):
        receipt.payload_of(replace(STATEMENT, predicate={**STATEMENT.predicate, "version": 2}))


def test_a_signature_for_something_else_is_none_for_a_receipt() -> None:
    """A party's signed messages could be pasted into a receipt that it never saw."""
    payload = receipt.payload_of(STATEMENT)
    pasted = Endorsement(KEYS["a"], PARTIES["a"].sign("secure-fedsa/v1/envelope", payload))
    assert "the signature of a does not verify" in refusal(receipt.assemble(payload, [pasted]))
