"""The receipt: one signed statement over every other file of a run folder.

``receipt.dsse.json`` is the canonical JSON of a DSSE envelope around an in-toto statement
(version 1). Its subjects are the SHA-256 of all other files; its predicate names the
agreement, the run, the hash of all messages, and two lists: what anybody can recompute
from the folder, and what is somebody's word (:mod:`secure_fedsa.report.claims`).

Signing and the bytes that are signed are securesystemslib's. Its reader takes more than one
spelling of the same envelope and changes what it is given, so :func:`open_receipt` checks
the one canonical spelling first and hands the library only what has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from in_toto_attestation.v1 import statement as in_toto
from in_toto_attestation.v1.resource_descriptor import ResourceDescriptor
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import UnverifiedSignatureError

# Its __init__ is the documented place of these, but has no __all__ that mypy asks for.
from securesystemslib.signer import CryptoSigner, Signature, SSlibKey  # type: ignore[attr-defined]

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import DataError, VerificationError
from secure_fedsa.report import claims
from secure_fedsa.report.notices import notices
from secure_fedsa.wire import canonical
from secure_fedsa.wire.keys import IdentityKey

FILE_NAME = "receipt.dsse.json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
PREDICATE_TYPE = "urn:secure-fedsa:receipt:v1"
TRANSCRIPT_DOMAIN = "secure-fedsa/v1/transcript"

_STATEMENT_TYPE = in_toto.STATEMENT_TYPE_URI
_HASHES = ("agreement", "run_id", "transcript_root")
_HEX = re.compile(r"[0-9a-f]{64}")
_SIGNATURE_BYTES = 64
# Reading JSON costs memory by value, not by byte: more values than this stay unread.
_MOST_VALUES = 1_000_000


@dataclass(frozen=True, slots=True)
class Statement:
    """What the receipt says.

    Attributes:
        subjects: SHA-256 (hexadecimal) of every other file of the run folder, by its path.
        predicate: version, agreement, run_id, transcript_root, recomputed, attested; and
            notices, if the route has any.
    """

    subjects: dict[str, str]
    predicate: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endorsement:
    """One party's signature under a receipt.

    Attributes:
        keyid: Its Ed25519 public key as in the agreement, 64 hexadecimal digits.
        signature: 64 bytes over the payload (DSSE pre-authentication encoding).
    """

    keyid: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A receipt whose shape and signatures were checked.

    Attributes:
        statement: What it says; whether that is true is the reader's to check.
        signers: The parties that signed it, sorted.
    """

    statement: Statement
    signers: tuple[str, ...]


def transcript_root(envelope_hashes: Iterable[str]) -> str:
    """Return the one hash over the hashes of all messages of a run, in any order."""
    return canonical.digest(TRANSCRIPT_DOMAIN, sorted(envelope_hashes))


def statement_of(
    agreement: Agreement,
    *,
    agreement_hash: str,
    run_id: str,
    envelope_hashes: Iterable[str],
    members: Iterable[str],
    charged: Iterable[str],
    files: Mapping[str, bytes],
) -> Statement:
    """Return the one statement that is true of a run and its files.

    Args:
        agreement: The agreement.
        agreement_hash: Its hash.
        run_id: The run.
        envelope_hashes: Hashes of all messages.
        members: The teachers of the roster whose sum was opened.
        charged: The teachers that published a ledger segment.
        files: Every file of the run folder but the receipt, by path.
    """
    return Statement(
        subjects={name: canonical.sha256(data) for name, data in sorted(files.items())},
        predicate={
            "version": 1,
            "agreement": agreement_hash,
            "run_id": run_id,
            "transcript_root": transcript_root(envelope_hashes),
            "recomputed": claims.recomputed(agreement),
            "attested": claims.attested(agreement, members, charged),
            **({"notices": told} if (told := notices(agreement)) else {}),
        },
    )


def payload_of(statement: Statement) -> bytes:
    """Return the bytes that are signed: the canonical JSON of an in-toto statement.

    Raises:
        VerificationError: If the statement has not the receipt's shape.
    """
    value = {
        "_type": _STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": statement.subjects[name]}}
            for name in sorted(statement.subjects)
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": statement.predicate,
    }
    _statement(value)
    return canonical.encode(value)


def sign(payload: bytes, identity: IdentityKey) -> Endorsement:
    """Return a party's signature under a payload."""
    keyid = identity.public.hex()
    signer = CryptoSigner(identity.private, _key(keyid))
    made = Envelope(payload, PAYLOAD_TYPE, {}).sign(signer)
    return Endorsement(keyid, bytes.fromhex(made.signature))


def assemble(payload: bytes, endorsements: Iterable[Endorsement]) -> bytes:
    """Return the receipt's bytes."""
    signatures = {
        endorsement.keyid: Signature(endorsement.keyid, endorsement.signature.hex())
        for endorsement in sorted(endorsements, key=lambda endorsement: endorsement.keyid)
    }
    return canonical.encode(Envelope(payload, PAYLOAD_TYPE, signatures).to_dict())


def open_receipt(data: bytes, keys: Mapping[str, str]) -> Opened:
    """Return what a receipt says and who signed it, all of its form checked.

    Whether the signers are the right ones and the statement is true is not checked here.

    Args:
        data: The file's bytes, from anybody.
        keys: Ed25519 public keys (64 hexadecimal digits) by party, as the agreement names
            them.

    Raises:
        VerificationError: If anything about the bytes is not as :func:`assemble` makes it,
            a signature does not verify, or a key is of no party. Nothing else is raised.
    """
    value = _exactly(
        _decode(data, "the file"), {"payload", "payloadType", "signatures"}, "the envelope"
    )
    if value["payloadType"] != PAYLOAD_TYPE:
        raise _refusal(f"its payloadType is not {PAYLOAD_TYPE}.")
    payload = _bytes(value["payload"], "the payload", None)
    endorsements = [_endorsement(entry) for entry in _list(value["signatures"], "signatures")]
    if not endorsements:
        raise _refusal("nobody signed it.")
    keyids = [endorsement.keyid for endorsement in endorsements]
    if any(first >= second for first, second in pairwise(keyids)):
        raise _refusal("its signatures are not in ascending order of their keys, each once.")
    parties = {key: party for party, key in keys.items()}
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    for endorsement in endorsements:
        if endorsement.keyid not in parties:
            raise _refusal(f"the key {endorsement.keyid[:16]} is of no party of the agreement.")
        _verify(envelope, endorsement, parties[endorsement.keyid])
    statement = _statement(_decode(payload, "the payload"))
    return Opened(statement, tuple(sorted(parties[keyid] for keyid in keyids)))


def _key(keyid: str) -> SSlibKey:
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": keyid})


def _verify(envelope: Envelope, endorsement: Endorsement, party: str) -> None:
    signature = Signature(endorsement.keyid, endorsement.signature.hex())
    try:
        _key(endorsement.keyid).verify_signature(signature, envelope.pae())
    except UnverifiedSignatureError as error:
        raise _refusal(
            f"the signature of {party} does not verify.",
            why="The receipt was changed after it was signed, or another key signed it.",
        ) from error


# --- exact shape -----------------------------------------------------------------


def _refusal(what: str, *, why: str = "") -> VerificationError:
    return VerificationError(FILE_NAME, what, why=why)


def _decode(data: bytes, what: str) -> Any:
    if sum(data.count(mark) for mark in (b"[", b"{", b",", b"\\")) > _MOST_VALUES:
        raise _refusal(f"{what} holds more than {_MOST_VALUES:,} values; it was not read.")
    try:
        return canonical.decode(data)
    except DataError as error:
        raise _refusal(f"{what} is not canonical JSON (RFC 8785).") from error


def _exactly(value: Any, names: set[str], what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _refusal(f"{what} is not an object.")
    if set(value) != names:
        odd = min(set(value) ^ names)
        problem = "lacks" if odd in names else "has an unknown entry,"
        raise _refusal(f"{what} {problem} {odd[:40]!r}.")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _refusal(f"{what} is not a list.")
    return value


def _bytes(value: Any, what: str, size: int | None) -> bytes:
    if not isinstance(value, str):
        raise _refusal(f"{what} is not text.")
    try:
        data = canonical.from_base64(value, maximum_bytes=size)
    except DataError as error:
        raise _refusal(f"{what} is not canonical base64 of {size or 'some'} bytes.") from error
    if size is not None and len(data) != size:
        raise _refusal(f"{what} has {len(data)} bytes, not {size}.")
    return data


def _endorsement(value: Any) -> Endorsement:
    entry = _exactly(value, {"keyid", "sig"}, "a signature")
    keyid = _hex(entry["keyid"], "a signature's keyid")
    return Endorsement(keyid, _bytes(entry["sig"], "a signature's sig", _SIGNATURE_BYTES))


def _hex(value: Any, what: str) -> str:
    if not (isinstance(value, str) and _HEX.fullmatch(value)):
        raise _refusal(f"{what} is not 64 lower-case hexadecimal digits.")
    return value


def _text(value: Any, what: str) -> str:
    if not (isinstance(value, str) and value):
        raise _refusal(f"{what} is not text, or empty.")
    return value


def _statement(value: Any) -> Statement:
    """Return the statement of a decoded payload, its exact shape checked."""
    content = _exactly(value, {"_type", "subject", "predicateType", "predicate"}, "the statement")
    if content["_type"] != _STATEMENT_TYPE:
        raise _refusal(f"the statement's _type is not {_STATEMENT_TYPE}.")
    if content["predicateType"] != PREDICATE_TYPE:
        raise _refusal(f"the statement's predicateType is not {PREDICATE_TYPE}.")
    subjects = [_subject(entry) for entry in _list(content["subject"], "subject")]
    names = [name for name, _ in subjects]
    if any(first >= second for first, second in pairwise(names)):
        raise _refusal("its files are not in ascending order of their names, each once.")
    statement = Statement(dict(subjects), _predicate(content["predicate"]))
    _validate(statement)
    return statement


def _subject(value: Any) -> tuple[str, str]:
    entry = _exactly(value, {"name", "digest"}, "a subject")
    name = _text(entry["name"], "a subject's name")
    digest = _exactly(entry["digest"], {"sha256"}, "a subject's digest")
    return name, _hex(digest["sha256"], "a subject's sha256")


def _predicate(value: Any) -> dict[str, Any]:
    names = {"version", *_HASHES, "recomputed", "attested"}
    if isinstance(value, dict) and "notices" in value:
        names |= {"notices"}
        for notice in _list(value["notices"], "notices"):
            _text(notice, "a notice")
    predicate = _exactly(value, names, "the predicate")
    if type(predicate["version"]) is not int or predicate["version"] != 1:
        raise _refusal("the predicate's version is not 1.")
    for name in _HASHES:
        _hex(predicate[name], f"the predicate's {name}")
    for claim in _list(predicate["recomputed"], "recomputed"):
        _text(claim, "a recomputed claim")
    for entry in _list(predicate["attested"], "attested"):
        claim = _exactly(entry, {"claim", "by"}, "an attested claim")
        _text(claim["claim"], "an attested claim's name")
        for party in _list(claim["by"], "an attested claim's by"):
            _text(party, "an attested claim's party")
    return predicate


def _validate(statement: Statement) -> None:
    """Check a statement of the right shape with the in-toto library as well."""
    subjects = [
        ResourceDescriptor(name=name, digest={"sha256": digest}).pb
        for name, digest in statement.subjects.items()
    ]
    try:
        in_toto.Statement(subjects, PREDICATE_TYPE, statement.predicate).validate()
    except ValueError as error:
        raise _refusal(f"it is not an in-toto statement: {error}.") from error
