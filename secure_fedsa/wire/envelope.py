"""Signed envelopes: who says what to whom, in which run, in which order.

The signature covers a domain string and the canonical header; the header holds the
SHA-256 of the body. So a reader who was given only a header can still check who said
something of that hash, and nobody parses a body before the signature verified.

    envelope = {"header": {...}, "body": <JSON value or base64>, "signature": base64}
    header   = {"version", "run_id", "agreement", "sender", "recipient", "sequence",
                "kind", "class", "body_sha256"}

``body_sha256`` is over the canonical JSON of a public body, or the ciphertext bytes of a
sealed one. ``agreement`` is the agreement's hash, which fixes every parameter. A sealed
body is HPKE (RFC 9180) with the canonical header without ``body_sha256`` as context.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from secure_fedsa.errors import DataError, ProtocolError, SignatureError
from secure_fedsa.messages import KIND_OF, RULES, Body, MessageClass, Role
from secure_fedsa.wire import bodies, canonical, keys
from secure_fedsa.wire.canonical import Json

DOMAIN = "secure-fedsa/v1/envelope"
VERSION = 1
EVERYONE = "*"
_MAXIMUM_HEADER_BYTES = 4096
_HASH = re.compile(r"[0-9a-f]{64}")
# The largest sealed body in base64 and a header around it; nothing longer is looked at.
MAXIMUM_ENVELOPE_BYTES = 96 * 2**20


@dataclass(frozen=True, slots=True)
class Header:
    """What is signed about a message besides its body."""

    version: int
    run_id: str
    agreement: str
    sender: str
    recipient: str
    sequence: int
    kind: str
    message_class: MessageClass
    body_sha256: str

    def to_json(self) -> Json:
        """Return the header as it stands on the wire."""
        return {**self.context(), "body_sha256": self.body_sha256}

    def signed_bytes(self) -> bytes:
        """Return what is signed: the canonical header.

        Raises:
            DataError: If it is longer than any honest header.
        """
        data = canonical.encode(self.to_json())
        if len(data) > _MAXIMUM_HEADER_BYTES:
            raise DataError(f"A header of {len(data)} bytes is too long.")
        return data

    def context(self) -> Json:
        """Return the header without the body's hash: what a sealed body is bound to."""
        return {
            "version": self.version,
            "run_id": self.run_id,
            "agreement": self.agreement,
            "sender": self.sender,
            "recipient": self.recipient,
            "sequence": self.sequence,
            "kind": self.kind,
            "class": self.message_class,
        }

    @classmethod
    def from_json(cls, value: Any) -> Header:
        """Return the header of a JSON value.

        Raises:
            DataError: If fields are missing, extra, of the wrong type or form.
        """
        names = {"version", "sequence"}
        texts = {"run_id", "agreement", "sender", "recipient", "kind", "class", "body_sha256"}
        if not isinstance(value, dict) or set(value) != names | texts:
            raise DataError("An envelope's header has missing or extra fields.")
        if any(type(value[name]) is not int for name in names) or any(
            type(value[name]) is not str for name in texts
        ):
            raise DataError("An envelope's header has a field of the wrong type.")
        if value["class"] not in ("public", "sealed"):
            raise DataError("An envelope's class is neither public nor sealed.")
        if not _HASH.fullmatch(value["body_sha256"]):
            raise DataError("An envelope's body_sha256 is not 64 lower-case hexadecimal digits.")
        return cls(message_class=value["class"], **{k: v for k, v in value.items() if k != "class"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """A signed message as bytes travel; :meth:`to_bytes` is what is stored and resent."""

    header: Header
    body: Any
    signature: bytes

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return canonical.encode(
            {
                "header": self.header.to_json(),
                "body": self.body,
                "signature": canonical.to_base64(self.signature),
            }
        )

    @property
    def hash(self) -> str:
        """SHA-256 of the signed header: names this message, body included."""
        return canonical.digest(DOMAIN, self.header.to_json())


@dataclass(frozen=True, slots=True)
class Opened:
    """A message whose signature, class, sender and body were all checked."""

    header: Header
    body: Body
    hash: str


@dataclass(frozen=True, slots=True)
class Directory:
    """Who is who in a run, as the agreement says.

    Attributes:
        agreement: Hash of the agreement.
        identities: Ed25519 public keys by party.
        roles: Role by party.
    """

    agreement: str
    identities: dict[str, bytes]
    roles: dict[str, Role]


def pack(
    body: Body,
    *,
    identity: keys.IdentityKey,
    directory: Directory,
    run_id: str,
    sender: str,
    recipient: str,
    sequence: int,
    sealing_key: bytes | None = None,
) -> Envelope:
    """Return a signed envelope around ``body``, sealed if its kind is.

    Args:
        body: What to say.
        identity: The sender's signing key.
        directory: The run's parties.
        run_id: The run, or empty for the nonces that make the run id.
        sender: The sender's name.
        recipient: A party's name, or ``*``.
        sequence: Position among the sender's messages of the run, from 0.
        sealing_key: The recipient's per-run public key, for sealed kinds.

    Raises:
        ProtocolError: If a sealed kind has no sealing key.
    """
    rule = RULES[KIND_OF[type(body)]]
    plain = canonical.encode(bodies.to_json(body))
    header = Header(
        VERSION,
        run_id,
        directory.agreement,
        sender,
        recipient,
        sequence,
        rule.kind,
        rule.message_class,
        "",
    )
    content: Any
    if rule.message_class == "sealed":
        if sealing_key is None:
            raise ProtocolError(recipient, f"has no sealing key yet; {rule.kind} must be sealed.")
        data = keys.seal(sealing_key, plain, canonical.encode(header.context()))
        content = canonical.to_base64(data)
    else:
        data, content = plain, bodies.to_json(body)
    signed = Header(**{**_fields(header), "body_sha256": canonical.sha256(data)})
    signature = identity.sign(DOMAIN, canonical.encode(signed.to_json()))
    return Envelope(signed, content, signature)


def _fields(header: Header) -> dict[str, Any]:
    return {name: getattr(header, name) for name in Header.__slots__}


def parse(data: bytes) -> Envelope:
    """Return the envelope of canonical bytes; nothing is verified yet.

    Raises:
        DataError: If the bytes are not a canonical envelope, or too many.
    """
    if len(data) > MAXIMUM_ENVELOPE_BYTES:
        raise DataError(f"An envelope of {len(data)} bytes is too long.")
    value = canonical.decode(data)
    if not isinstance(value, dict) or set(value) != {"header", "body", "signature"}:
        raise DataError("An envelope must have header, body and signature.")
    if not isinstance(value["signature"], str):
        raise DataError("An envelope's signature must be base64 text.")
    signature = canonical.from_base64(value["signature"], maximum_bytes=64)
    return Envelope(Header.from_json(value["header"]), value["body"], signature)


def check_signed(envelope: Envelope, directory: Directory) -> bytes:
    """Check who signed an envelope and that its kind may travel so, whatever its run.

    A party may keep what passes until it knows the run: outsiders cannot make it.

    Returns:
        The body's bytes, whose hash is the signed one.

    Raises:
        SignatureError: If the signature, the body's hash or the agreement is another.
        ProtocolError: If the kind, class, sender or recipient is not allowed.
    """
    header = envelope.header
    check_header(header, envelope.signature, directory)
    rule, sender = RULES[header.kind], header.sender
    data = _body_bytes(envelope)
    if len(data) > rule.maximum_bytes:
        raise ProtocolError(sender, f"sent a {rule.kind} of {len(data)} bytes.")
    if canonical.sha256(data) != header.body_sha256:
        raise SignatureError(sender, f"the body of {rule.kind} is not the one that was signed.")
    return data


def check_header(header: Header, signature: bytes, directory: Directory) -> bytes:
    """Check who signed a header, for which agreement, and that its kind may travel so.

    Returns:
        The signed bytes.

    Raises:
        SignatureError: If the signature or the agreement is another.
        ProtocolError: If the kind, class, sender or recipient is not allowed.
    """
    sender, roles = header.sender, directory.roles
    if sender not in directory.identities:
        raise ProtocolError(sender[:40], "is no party of the agreement.", clause="parties")
    signed = header.signed_bytes()
    keys.verify(directory.identities[sender], signature, DOMAIN, signed, party=sender)
    if header.version != VERSION or header.agreement != directory.agreement:
        raise SignatureError(sender, "the message belongs to another agreement or version.")
    rule = RULES.get(header.kind)
    if rule is None:
        raise ProtocolError(sender, f"sent a message of unknown kind {header.kind[:40]!r}.")
    if rule.message_class != header.message_class:
        raise ProtocolError(sender, f"sent {rule.kind} as {header.message_class}.")
    if roles[sender] not in rule.senders:
        raise ProtocolError(
            sender, f"is a {roles[sender]}, who may not send {rule.kind}.", clause="parties"
        )
    if rule.message_class == "public":
        if header.recipient != EVERYONE:
            raise ProtocolError(sender, f"sent {rule.kind}, which is for everybody, to one party.")
    elif roles.get(header.recipient) not in rule.recipients or header.recipient == sender:
        raise ProtocolError(
            sender,
            f"sent {rule.kind} to {header.recipient[:40]}, who may not receive it.",
            clause="parties",
        )
    return signed


def check(envelope: Envelope, directory: Directory, *, run_id: str) -> bytes:
    """Check an envelope as :func:`check_signed` does, and that it belongs to the run.

    Raises:
        SignatureError: As :func:`check_signed`, or if the run is another.
        ProtocolError: As :func:`check_signed`.
    """
    data = check_signed(envelope, directory)
    if envelope.header.run_id != run_id:
        raise SignatureError(envelope.header.sender, "the message belongs to another run.")
    return data


def _body_bytes(envelope: Envelope) -> bytes:
    if envelope.header.message_class == "sealed":
        if not isinstance(envelope.body, str):
            raise DataError("A sealed body must be base64 text.")
        return canonical.from_base64(envelope.body)
    return canonical.encode(envelope.body)


def open_envelope(
    envelope: Envelope,
    directory: Directory,
    *,
    run_id: str,
    recipient: str,
    sealing_private: bytes | None,
) -> Opened:
    """Verify an envelope, unseal it if need be, and parse its body.

    Raises:
        SignatureError: As :func:`check`, or when a sealed body does not open.
        ProtocolError: As :func:`check`, or when the message is not for ``recipient``.
        DataError: If the signed body is malformed.
    """
    data = check(envelope, directory, run_id=run_id)
    header = envelope.header
    rule = RULES[header.kind]
    if directory.roles[recipient] not in rule.recipients or header.recipient not in (
        EVERYONE,
        recipient,
    ):
        raise ProtocolError(header.sender, f"sent {rule.kind} that is not for {recipient}.")
    if rule.message_class == "sealed":
        if sealing_private is None:
            raise ProtocolError(header.sender, f"sent {rule.kind} before there is a key for it.")
        info = canonical.encode(header.context())
        data = keys.unseal(sealing_private, data, info, party=header.sender)
    body = bodies.from_json(rule.body, canonical.decode(data))
    return Opened(header, body, envelope.hash)
