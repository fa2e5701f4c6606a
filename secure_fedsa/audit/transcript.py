"""Every message of a run: who says what to whom, in which order.

Each file is judged for itself and against the agreement; what the messages add up to is
judged by the modules that follow.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.agreed import Agreed
from secure_fedsa.audit.bounds import longest_files, most_messages
from secure_fedsa.audit.evidence import Evidence, decode, values_in
from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.audit.layout import TRANSCRIPT, message_file, sender_and_kind
from secure_fedsa.engines.run_folder import is_withheld
from secure_fedsa.errors import DataError, SignatureError, resting_on
from secure_fedsa.messages import RULES, Abort, Body, Sum, Upload
from secure_fedsa.roles.custody import check_custodian, check_custody
from secure_fedsa.wire import bodies, canonical
from secure_fedsa.wire.envelope import DOMAIN, Header, check_header

# Of all messages together: minutes could pass over many files that each just pass. The largest
# honest folder has a fifth of it.
_MOST_VALUES = 2_000_000

B = TypeVar("B", bound=Body)


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes that are not kept: uploads of all members together could fill the memory.

    Attributes:
        size: How many bytes.
        sha256: Their hash, hexadecimal.
    """

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message whose sender, kind, form and signature were checked.

    Attributes:
        file: Where it stands.
        header: What was signed.
        hash: The envelope's hash.
        body: What it says, ciphertext left out; None where the folder does not show it, and
            of an abort.
        ciphertext: What was left out.
    """

    file: str
    header: Header
    hash: str
    body: Body | None
    ciphertext: Part

    def says(self, kind: type[B]) -> B:
        """Return the body of a message that must have one of this type."""
        assert isinstance(self.body, kind)
        return self.body


@dataclass(frozen=True, slots=True)
class Transcript:
    """All messages of a run, each checked for itself.

    Attributes:
        agreed: The agreement that they were checked against.
        evidence: Where they stand.
        messages: By sender, then in the order in which it sent them.
    """

    agreed: Agreed
    evidence: Evidence
    messages: tuple[Message, ...]
    _of_kind: dict[str, tuple[Message, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[str, list[Message]] = defaultdict(list)
        for message in self.messages:
            found[message.header.kind].append(message)
        kinds = {kind: tuple(messages) for kind, messages in found.items()}
        object.__setattr__(self, "_of_kind", kinds)

    @property
    def agreement(self) -> Agreement:
        """The agreement."""
        return self.agreed.agreement

    def of(self, kind: str) -> tuple[Message, ...]:
        """Return all messages of a kind."""
        return self._of_kind.get(kind, ())

    def ciphertext_of(self, message: Message) -> bytes:
        """Return the ciphertext of an upload or a sum, read again.

        Raises:
            VerificationError: If its file has changed since.
        """
        value = decode(self.evidence.read(message.file), message.file)
        return canonical.from_base64(value["body"]["ciphertext"])

    def at_most_one_each(self, kind: str) -> dict[str, Message]:
        """Return the messages of a kind by sender.

        Raises:
            VerificationError: If a party sent two.
        """
        found: dict[str, Message] = {}
        for message in self.of(kind):
            sender = message.header.sender
            require(sender not in found, message.file, f"is a second {kind} of {sender}.")
            found[sender] = message
        return found

    def one_each(self, kind: str, senders: Iterable[str]) -> dict[str, Message]:
        """Return the one message of a kind that each of ``senders`` had to send.

        Raises:
            VerificationError: If one is missing, or a party sent two.
        """
        found = self.at_most_one_each(kind)
        for sender in senders:
            require(sender in found, f"{TRANSCRIPT}/", f"holds no {kind} of {sender}.")
        return found

    def one(self, kind: str, sender: str) -> Message:
        """Return the one message of a kind that ``sender`` had to send.

        Raises:
            VerificationError: If there is none, or a second.
        """
        return self.one_each(kind, (sender,))[sender]


def check_transcript(evidence: Evidence, agreed: Agreed) -> Transcript:
    """Return every message of the folder.

    Raises:
        VerificationError: If a file is not canonical, is not the message that its name says,
            was not signed by its sender for this agreement, may not be sent so, does not
            match its signed hash, or is out of order.
    """
    messages = []
    values = 0
    most, longest = most_messages(agreed.agreement), longest_files(agreed.agreement)
    counted: Counter[tuple[str, str]] = Counter()
    for name in evidence.names:
        found = sender_and_kind(name)
        if found is None:
            continue
        sender, kind = found
        number = counted[found] = counted[found] + 1
        times = most.get(kind, number)
        nth = "a second" if times == 1 else f"number {number}"
        require(number <= times, name, f"is {nth} {kind} of {sender}.")
        size = evidence.size(name)
        limit = longest.get(kind, size)
        require(size <= limit, name, f"has {size:,} bytes; {limit:,} are the most as agreed.")
        data = evidence.read(name)
        values += values_in(data)
        require(
            values <= _MOST_VALUES,
            name,
            f"and the messages before it hold more than {_MOST_VALUES:,} JSON values.",
        )
        messages.append(_message(name, data, agreed))
    messages.sort(key=lambda message: (message.header.sender, message.header.sequence))
    _check_order(messages)
    return Transcript(agreed, evidence, tuple(messages))


def _message(name: str, data: bytes, agreed: Agreed) -> Message:
    value = decode(data, name)
    body, ciphertext = None, Part(0, "")
    with blaming(name):
        header, signature = _header(name, value)
        rule = RULES[header.kind]
        withheld = is_withheld(header.kind, agreed.agreement)
        if withheld == ("body" in value):
            agreed_so = rule.kind in ("upload", "sum")
            raise DataError(
                f"{'shows' if withheld else 'lacks'} the body of {rule.kind}.",
                why=resting_on("publish.ciphertexts") if agreed_so else "",
            )
        signed = check_header(header, signature, agreed.directory)
        check_custodian(agreed.agreement, header.sender, header.kind)
        if not withheld:
            _check_body_bytes(header, data, signed, value["signature"])
            body = bodies.from_json(rule.body, value["body"])
            check_custody(agreed.agreement, header.sender, body)
    if isinstance(body, Upload | Sum):
        ciphertext = Part(len(body.ciphertext), canonical.sha256(body.ciphertext))
        body = replace(body, ciphertext=b"")
    elif isinstance(body, Abort):
        body = None  # words that nobody checks: many could fill the memory
    # The envelope's hash: canonical.digest(DOMAIN, header), of bytes that are here already.
    hashed = canonical.sha256(f"{DOMAIN}\n".encode() + signed)
    return Message(name, header, hashed, body, ciphertext)


def _header(name: str, value: Any) -> tuple[Header, bytes]:
    least = {"header", "signature"}
    if not isinstance(value, dict) or not least <= set(value) <= least | {"body"}:
        raise DataError("is not a message: header, signature, and a body where it is shown.")
    if not isinstance(value["signature"], str):
        raise DataError("has a signature that is no text.")
    header = Header.from_json(value["header"])
    if name != message_file(header.sender, header.sequence, header.kind):
        raise DataError("is not the message that its name says.")
    return header, canonical.from_base64(value["signature"], maximum_bytes=64)


def _check_body_bytes(header: Header, data: bytes, signed: bytes, signature: str) -> None:
    """Check hash and length of a body where it stands in the bytes of a canonical file."""
    rule = RULES[header.kind]
    after = len(b',"header":') + len(signed) + len(b',"signature":') + len(signature) + len(b'""}')
    body = memoryview(data)[len(b'{"body":') : -after]
    if hashlib.sha256(body).hexdigest() != header.body_sha256:
        raise SignatureError(header.sender, f"the body of {rule.kind} is not the signed one.")
    if len(body) > rule.maximum_bytes:
        raise DataError(f"has a body of {len(body):,} bytes; {rule.maximum_bytes:,} are allowed.")


def _check_order(messages: list[Message]) -> None:
    """Refuse gaps and doubles in a sender's numbers, which begin at 0."""
    expected: dict[str, int] = {}
    for message in messages:
        header = message.header
        number = expected.get(header.sender, 0)
        require(
            header.sequence == number,
            message.file,
            f"is number {header.sequence} of {header.sender}, but number {number} is missing."
            if header.sequence > number
            else f"is a second number {header.sequence} of {header.sender}.",
        )
        expected[header.sender] = number + 1
