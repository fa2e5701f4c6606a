"""Signed and sealed envelopes against everybody who may touch them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from secure_fedsa.errors import DataError, ProtocolError, SecureFedsaError, SignatureError
from secure_fedsa.messages import (
    Blind,
    Body,
    MaskShare,
    MessageClass,
    Nonce,
    QuerySecret,
    Ready,
    Reply,
    Result,
    Roster,
)
from secure_fedsa.wire import bodies, canonical, envelope, keys
from secure_fedsa.wire.envelope import Directory, Envelope, check_signed, open_envelope, pack, parse

RUN = "a" * 64
KEYS = {
    name: keys.IdentityKey.from_bytes(bytes([number]) * 32)
    for number, name in enumerate(("t1", "t2", "agg", "kh", "stu"), 1)
}
DIRECTORY = Directory(
    "b" * 64,
    {name: key.public for name, key in KEYS.items()},
    {"t1": "teacher", "t2": "teacher", "agg": "aggregator", "kh": "key-holder", "stu": "student"},
)
SEALING = {name: keys.new_sealing_key() for name in KEYS}


def make(body: Body, sender: str = "t1", recipient: str = "*", **changes: Any) -> Envelope:
    """Return an envelope; ``changes`` go to :func:`pack`."""
    settings: dict[str, Any] = {
        "identity": KEYS.get(sender, KEYS["t1"]),
        "directory": DIRECTORY,
        "run_id": RUN,
        "sender": sender,
        "recipient": recipient,
        "sequence": 3,
        "sealing_key": SEALING[recipient][1] if recipient in SEALING else None,
    }
    return pack(body, **(settings | changes))


def read(data: bytes, recipient: str = "agg", run_id: str = RUN) -> Body:
    """Open an envelope as ``recipient``."""
    opened = open_envelope(
        parse(data),
        DIRECTORY,
        run_id=run_id,
        recipient=recipient,
        sealing_private=SEALING[recipient][0],
    )
    return opened.body


PUBLIC, SEALED = Ready("c" * 64, "d" * 64), Reply("d" * 64, b"\x05" * 40)


def test_what_was_said_arrives() -> None:
    """The refusals below mean something only if honest messages pass."""
    assert read(make(PUBLIC).to_bytes()) == PUBLIC
    assert read(make(SEALED, recipient="agg").to_bytes()) == SEALED


@pytest.mark.parametrize(("body", "recipient"), [(PUBLIC, "*"), (SEALED, "agg")])
def test_no_single_flipped_bit_anywhere_passes(body: Body, recipient: str) -> None:
    """One bit is enough to change an epsilon, a roster or a recipient."""
    data = make(body, recipient=recipient).to_bytes()
    for position in range(len(data)):
        for bit in (position % 8, (position + 3) % 8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            with pytest.raises(SecureFedsaError):
                read(bytes(flipped))


@pytest.mark.parametrize("name", ["version", "run_id", "agreement", "sender", "recipient"])
def test_a_signature_of_another_header_is_refused(name: str) -> None:
    """Each field is signed: none can be exchanged by who carries the message."""
    made = make(PUBLIC)
    other: Any = {"version": 2, "sender": "t2", "recipient": "kh"}.get(name, "e" * 64)
    changed = replace(made, header=replace(made.header, **{name: other}))
    with pytest.raises(SignatureError, match="does not verify"):
        read(changed.to_bytes())


def test_signatures_of_another_domain_run_or_agreement_are_refused() -> None:
    """A signature collected elsewhere must not speak here."""
    made = make(PUBLIC)
    signed = canonical.encode(made.header.to_json())
    for domain in ("secure-fedsa/v1/agreement", "", envelope.DOMAIN + "x"):
        moved = replace(made, signature=KEYS["t1"].sign(domain, signed))
        with pytest.raises(SignatureError, match="does not verify"):
            read(moved.to_bytes())
    with pytest.raises(SignatureError, match="another run"):
        read(make(PUBLIC, run_id="f" * 64).to_bytes())
    elsewhere = replace(DIRECTORY, agreement="0" * 64)
    with pytest.raises(SignatureError, match="another agreement"):
        read(make(PUBLIC, directory=elsewhere).to_bytes())


def test_wrong_senders_and_recipients_are_refused() -> None:
    """Roles are the agreement's, not the message's."""
    with pytest.raises(ProtocolError, match=r"no party of the agreement.*clause: parties"):
        read(make(PUBLIC, sender="t9").to_bytes())
    with pytest.raises(ProtocolError, match=r"may not send result.*clause: parties"):
        read(make(Result("0" * 64, "0" * 64), sender="t1").to_bytes())
    with pytest.raises(ProtocolError, match="may not send roster"):
        read(make(Roster(1, ("t1",), "", "", {}, {}), sender="agg").to_bytes(), "stu")
    for one in ("kh", "agg", "nobody"):  # what is public is for everybody: none may see it alone
        with pytest.raises(ProtocolError, match="for everybody, to one party"):
            read(make(PUBLIC, recipient=one).to_bytes())
    for nobody in ("stu", "t1", "*", "nobody"):
        with pytest.raises(ProtocolError, match=r"may not receive it.*clause: parties"):
            read(make(SEALED, recipient=nobody, sealing_key=SEALING["agg"][1]).to_bytes())
    with pytest.raises(ProtocolError, match="not for kh"):
        read(make(SEALED, recipient="agg").to_bytes(), "kh")


def test_a_kind_travels_only_in_its_class() -> None:
    """A sealed body sent in the open would show a secret to all; the reverse would hide one."""
    made = make(PUBLIC)
    cases: list[tuple[str, MessageClass]] = [
        ("ready", "sealed"),
        ("reply", "public"),
        ("nothing", "public"),
    ]
    for kind, message_class in cases:
        header = replace(made.header, kind=kind, message_class=message_class)
        forged = _signed(replace(made, header=header))
        with pytest.raises(ProtocolError, match=r"sent .* as|unknown kind"):
            read(forged.to_bytes())


def _signed(made: Envelope, sender: str = "t1") -> Envelope:
    signature = KEYS[sender].sign(envelope.DOMAIN, canonical.encode(made.header.to_json()))
    return replace(made, signature=signature)


def test_a_sealed_body_opens_for_its_recipient_and_its_header_only() -> None:
    """A teacher could else pass another's sealed blind on as its own."""
    made = make(Blind("d" * 64, b"\x07"), recipient="kh")
    with pytest.raises(ProtocolError, match="not for t2"):
        read(made.to_bytes(), "t2")
    for change in ({"sequence": 4}, {"sender": "t2"}, {"kind": "mask-share", "recipient": "t2"}):
        header: Any = replace(made.header, **change)
        stolen = _signed(replace(made, header=header), header.sender)
        with pytest.raises(SignatureError, match="does not open"):
            read(stolen.to_bytes(), header.recipient)
    to_other = replace(make(Blind("d" * 64, b"\x07"), recipient="kh", sealing_key=SEALING["t2"][1]))
    with pytest.raises(SignatureError, match="does not open"):
        read(to_other.to_bytes(), "kh")
    with pytest.raises(ProtocolError, match="no sealing key"):
        make(Blind("d" * 64, b"\x07"), recipient="kh", sealing_key=None)


def test_a_sealed_body_to_everybody_is_refused() -> None:
    """Sealed means one named reader."""
    made = make(SEALED, recipient="agg")
    broadcast = _signed(replace(made, header=replace(made.header, recipient="*")))
    with pytest.raises(ProtocolError, match=r"to \*, who may not receive it"):
        read(broadcast.to_bytes())


def test_too_long_messages_are_refused() -> None:
    """A party could fill everybody's memory."""
    with pytest.raises(ProtocolError, match=r"sent a nonce of \d+ bytes"):
        read(make(Nonce(bytes(60_000)), run_id=RUN).to_bytes())
    made = make(PUBLIC)
    with pytest.raises(DataError, match="too long"):
        read(_signed(replace(made, header=replace(made.header, run_id="r" * 5000))).to_bytes())
    with pytest.raises(DataError, match="too long"):
        parse(bytes(envelope.MAXIMUM_ENVELOPE_BYTES + 1))


@pytest.mark.parametrize("digest", ["", "x", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_body_hash_that_is_none_is_refused(digest: str) -> None:
    """Of a sealed message others see nothing but this hash: free text there says anything."""
    made = make(PUBLIC)
    with pytest.raises(DataError, match="body_sha256"):
        read(_signed(replace(made, header=replace(made.header, body_sha256=digest))).to_bytes())


@pytest.mark.parametrize(
    "body",
    [None, [], {}, {"keys_hash": "c" * 64}, {"keys_hash": 1, "query_hash": ""}, "text", 7],
)
def test_a_signed_but_malformed_body_is_an_error_of_ours(body: object) -> None:
    """A party that signs nonsense must not end another party's process."""
    made = make(PUBLIC)
    data = canonical.encode(body)
    header = replace(made.header, body_sha256=canonical.sha256(data))
    with pytest.raises(SecureFedsaError):
        read(_signed(replace(made, header=header, body=body)).to_bytes())


def test_nothing_is_parsed_or_unsealed_before_the_signature_verifies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parsers are what attackers look for: outsiders must not reach them."""
    reached: list[str] = []

    def spy(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **more: Any) -> Any:
            reached.append(name)
            return real(*arguments, **more)

        return watched

    monkeypatch.setattr(bodies, "from_json", spy("parse", bodies.from_json))
    monkeypatch.setattr(keys, "unseal", spy("unseal", keys.unseal))
    for body, recipient in ((PUBLIC, "*"), (SEALED, "agg")):
        made = make(body, recipient=recipient)
        forged, before = replace(made, signature=bytes(64)), list(reached)
        with pytest.raises(SignatureError):
            read(forged.to_bytes())
        with pytest.raises(SignatureError):
            check_signed(forged, DIRECTORY)
        assert reached == before
        read(made.to_bytes())
    assert reached == ["parse", "unseal", "parse"]


LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def test_sealing_keys_of_low_order_or_wrong_length_are_refused() -> None:
    """To a key of low order, everybody can read the curve's half of the seal.

    Source of the points: RFC 7748, section 6.1, and https://cr.yp.to/ecdh.html#validate.
    """
    lattice = MLKEM768PrivateKey.generate().public_key().public_bytes_raw()
    for point in LOW_ORDER:
        with pytest.raises(SignatureError, match="low order"):
            keys.check_sealing_public(lattice + point, party="t1")
    for wrong in (b"", lattice, SEALING["t1"][1] + b"\0", b"\xff" * 1184 + SEALING["t1"][1][1184:]):
        with pytest.raises(SignatureError, match="malformed"):
            keys.check_sealing_public(wrong, party="t1")
    keys.check_sealing_public(SEALING["t1"][1], party="t1")


def test_secrets_have_no_repr() -> None:
    """A log line or a trace must not show what was sealed."""
    secret = b"\x5a" * 32
    for body in (
        MaskShare("h", secret),
        QuerySecret((secret,)),
        Blind("q", secret),
        Reply("q", secret),
    ):
        assert "ZZZZ" not in repr(body)
    assert "private" not in repr(KEYS["t1"]).lower()
