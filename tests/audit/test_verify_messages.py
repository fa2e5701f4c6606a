"""Each message for itself: its form, its sender's right to send it so, its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secure_fedsa.audit import transcript
from secure_fedsa.errors import VerificationError
from secure_fedsa.wire import canonical
from tests.audit.checking import refused
from tests.audit.folders import VARIANTS
from tests.audit.forging import Forgery, verify

NONCE = "transcript/teacher-1-000-nonce.json"


@pytest.mark.parametrize("variant", VARIANTS)
def test_honest_runs_are_consistent(variant: str) -> None:
    """A verifier that refuses honest runs will soon be switched off."""
    forgery = Forgery(variant)
    assert verify(forgery.build()).words() == "consistent, identities not checked"
    # The workshop derives everything as the parties did, or its lies would prove nothing.
    assert forgery.build("agreement") == forgery.original.files


def envelope(change: Callable[[dict[str, Any]], None]) -> Callable[[Forgery], None]:
    """Return a lie about teacher-1's first message."""

    def lie(forgery: Forgery) -> None:
        change(forgery.message("nonce", "teacher-1"))

    return lie


def header(**entries: Any) -> Callable[[Forgery], None]:
    return envelope(lambda message: message["header"].update(entries))


def body(**entries: Any) -> Callable[[Forgery], None]:
    return envelope(lambda message: message["body"].update(entries))


def a_party_less(forgery: Forgery) -> None:
    """Let a message be from somebody whom the agreement does not know."""
    message = forgery.message("nonce", "teacher-1")
    message["header"]["sender"] = "teacher-9"
    forgery.identities["teacher-9"] = forgery.identities["teacher-1"]


LIES: dict[str, tuple[Callable[[Forgery], None], str, str]] = {
    "an extra field": (envelope(lambda m: m.update(note="x")), NONCE, "is not a message"),
    "no body": (envelope(lambda m: m.pop("body")), NONCE, "lacks the body"),
    "an extra header field": (header(note="x"), NONCE, "missing or extra fields"),
    "a header field less": (
        envelope(lambda m: m["header"].pop("class")),
        NONCE,
        "missing or extra",
    ),
    "a header field's type": (header(version="1"), NONCE, "wrong type"),
    "a version that is true": (header(version=True), NONCE, "wrong type"),
    "another version": (header(version=2), NONCE, "another agreement or version"),
    "another agreement": (header(agreement="00" * 32), NONCE, "another agreement"),
    "a header too long": (header(run_id="0" * 5000), NONCE, "too long"),
    "an unknown class": (header(**{"class": "secret"}), NONCE, "neither public nor sealed"),
    "another class": (header(**{"class": "sealed"}), NONCE, "sent nonce as sealed"),
    "a public message to one": (header(recipient="student"), NONCE, "is for everybody"),
    "a run id too early": (header(run_id="00" * 32), NONCE, "another run"),
    "a field more": (body(more=1), NONCE, "must have the fields"),
    "a field's type": (body(nonce=5), NONCE, "wrong type"),
    "no canonical base64": (body(nonce="AB=="), NONCE, "canonical base64"),
    "a body too long": (body(nonce="A" * 70_000), NONCE, "65,536 are allowed"),
    "a stranger": (
        a_party_less,
        "transcript/teacher-9-000-nonce.json",
        "no party of the agreement",
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_message_of_another_form_is_refused(name: str) -> None:
    """Who may bend a message's form can say two things at once, or nothing that binds."""
    lie, file, reason = LIES[name]
    forgery = Forgery()
    lie(forgery)
    refused(forgery.build(), file, reason)


def test_the_hash_of_a_body_that_is_not_shown_is_a_hash() -> None:
    """Nobody could ever be held to a body whose signed hash is none."""
    forgery = Forgery()
    message = forgery.message("reply", "teacher-2")
    message["header"]["body_sha256"] = "secret"
    refused(forgery.build(), forgery.name(message), "body_sha256 is not 64")


def test_a_sealed_body_is_nobodys_to_show() -> None:
    """A sealed body in the folder would be a private message published by whoever made it."""
    forgery = Forgery()
    message = forgery.message("reply", "teacher-2")
    message["body"] = "AAAA"
    refused(forgery.build(), forgery.name(message), "shows the body of reply")


@pytest.mark.parametrize("kind", ["upload", "sum"])
def test_withheld_ciphertexts_stay_withheld(kind: str) -> None:
    """With publish.ciphertexts = false a reader must not be shown ciphertexts after all."""
    forgery = Forgery("no-ciphertexts")
    message = forgery.message(kind)
    message["body"] = {}
    refused(forgery.build(), forgery.name(message), f"shows the body of {kind}")


def test_only_its_own_role_may_send_a_kind() -> None:
    """A teacher that signs rosters would choose itself."""
    forgery = Forgery()
    message = forgery.add("roster", "teacher-1", dict(forgery.roster))
    refused(forgery.build(), forgery.name(message), "a teacher, who may not send roster")


def test_only_the_custodian_sends_the_feature_key() -> None:
    """Whoever else could send it could read every upload."""
    forgery = Forgery("aggregator")
    message = forgery.add("feature-key", "key-holder", dict(forgery.body("feature-key")))
    refused(forgery.build(), forgery.name(message), "without having custody")


@pytest.mark.parametrize("recipient", ["*", "student", "teacher-1", "nobody"])
def test_a_sealed_message_has_one_recipient_of_a_role_that_takes_it(recipient: str) -> None:
    """A mask value for the student would unmask a teacher."""
    forgery = Forgery()
    message = forgery.message("mask-share", "teacher-1")
    message["header"]["recipient"] = recipient
    refused(forgery.build(), forgery.name(message), "may not receive it")


def test_a_message_stands_under_its_own_name() -> None:
    """A reader looks for messages by their names."""
    forgery = Forgery()
    files = forgery.build()
    moved = {n if n != NONCE else NONCE.replace("000", "099"): d for n, d in files.items()}
    refused(
        forgery.receipt(moved),
        NONCE.replace("000", "099"),
        "not the message that its name says",
    )


def test_two_messages_cannot_swap_names() -> None:
    """Content under a wrong name would be read as another party's word."""
    forgery = Forgery()
    files = forgery.build()
    other = NONCE.replace("teacher-1", "teacher-2")
    files[NONCE], files[other] = files[other], files[NONCE]
    refused(forgery.receipt(files), NONCE, "not the message that its name says")


def test_a_message_is_signed_by_its_sender() -> None:
    """Otherwise the aggregator could speak for a teacher."""
    forgery = Forgery()
    forgery.identities["teacher-1"] = forgery.identities["aggregator"]
    message = forgery.message("ready", "teacher-1")
    forged = forgery.sign(message)
    honest = Forgery()
    files = honest.build()
    files[honest.name(message)] = forged
    refused(honest.receipt(files), honest.name(message), "signature does not verify")


def test_a_body_is_the_signed_one() -> None:
    """A body that its sender did not sign is the folder maker's invention."""
    forgery = Forgery()
    files = forgery.build()
    value = canonical.decode(files[NONCE])
    value["body"]["nonce"] = forgery.body("nonce", "teacher-2")["nonce"]
    files[NONCE] = canonical.encode(value)
    refused(forgery.receipt(files), NONCE, "not the signed one")


SPELLINGS: dict[str, Callable[[bytes], bytes]] = {
    "white space": lambda data: data.replace(b'":', b'": ', 1),
    "a line feed": lambda data: data + b"\n",
    "another order": lambda data: (
        b'{"header"' + data.split(b'"header"', 1)[1][:-1] + b',"body":{}}'
    ),
    "a key twice": lambda data: data[:-1] + b',"signature":"AA=="}',
    "an escaped letter": lambda data: data.replace(b'"header"', rb'"\u0068eader"', 1),
    "a number as a float": lambda data: data.replace(b'"sequence":0', b'"sequence":0.0', 1),
    "a huge number": lambda data: data.replace(b'"sequence":0', b'"sequence":' + b"9" * 5000, 1),
    "NaN": lambda data: data.replace(b'"sequence":0', b'"sequence":NaN', 1),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "another encoding": lambda data: data.decode().encode("utf-16"),
    "cut short": lambda data: data[:-1],
    "nothing": lambda _data: b"",
    "deep nesting": lambda _data: b"[" * 60_000 + b"]" * 60_000,
    "not an object": lambda _data: b"[]",
    "half a letter": lambda data: data.replace(b'"class"', b'"cl\xffass"', 1),
    "half a surrogate": lambda data: data.replace(b'"public"', rb'"\ud800"', 1),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_message_has_one_spelling(name: str) -> None:
    """Two readers must never read two things in the same signed bytes."""
    forgery = Forgery()
    files = forgery.build()
    assert SPELLINGS[name](files[NONCE]) != files[NONCE]
    files[NONCE] = SPELLINGS[name](files[NONCE])
    refused(forgery.receipt(files), NONCE, "canonical JSON|not a message")


@pytest.mark.parametrize(
    "body", [b"[" + b"[]," * 600_000 + b"[]]", b'"' + b"\\n" * 1_000_001 + b'"']
)
def test_a_file_of_very_many_values_is_not_read(body: bytes) -> None:
    """JSON of a few megabytes could take a reader's whole memory, or with escapes its time."""
    forgery = Forgery()
    files = forgery.build()
    name = forgery.name(forgery.message("upload", "teacher-1"))
    files[name] = b'{"body":' + body + b"}"
    refused(forgery.receipt(files), name, "more than 1,000,000 JSON values")


def test_very_many_values_in_many_files_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor may thousands of files take the hours that one file may not."""
    forgery = Forgery()
    files = forgery.build()
    monkeypatch.setattr(transcript, "_MOST_VALUES", 400)
    with pytest.raises(VerificationError, match="more than 400 JSON values"):
        verify(files)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("feature-key", "public_key"), ("sum", "ciphertext"), ("release", "secret_key")],
)
def test_what_is_longer_than_agreed_is_not_read(kind: str, field: str) -> None:
    """The agreement says how long keys and sums are: more would only fill the memory."""
    forgery = Forgery()
    forgery.body(kind)[field] = canonical.to_base64(bytes(2**19))
    refused(forgery.build(), forgery.name(forgery.message(kind)), "are the most as agreed")


def test_no_more_rosters_are_read_than_can_follow_each_other() -> None:
    """Each leaves somebody out, so there are no more than teachers."""
    forgery = Forgery()
    more = [forgery.double(forgery.message("roster")) for _ in range(4)]
    refused(forgery.build(), forgery.name(more[-1]), "is number 5 roster of key-holder")


def test_a_missing_number_is_a_missing_message() -> None:
    """Who can leave out a message can leave out the one that would convict."""
    forgery = Forgery()
    message = forgery.message("ledger", "teacher-1")
    forgery.messages.remove(message)
    following = forgery.name(forgery.message("reply", "teacher-1"))
    refused(forgery.build(), following, "but number 3 is missing")


def test_a_number_is_given_once() -> None:
    """Two messages under one number: which of them counted?"""
    forgery = Forgery()
    message = forgery.double(forgery.message("ready", "teacher-1"))
    message["header"]["sequence"] = 3
    message["header"]["kind"] = "ready"
    refused(forgery.build(), forgery.name(message), "is a second number 3")
