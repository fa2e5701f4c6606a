"""How many bytes each party of a run sends and takes, worked out from its agreement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import RULES
from secure_fedsa.planning.messages import Message, messages_of
from secure_fedsa.wire import envelope


@dataclass(frozen=True, slots=True)
class Load:
    """What one party sends and takes: numbers of messages and their bytes."""

    sent_messages: int
    sent_bytes: int
    received_messages: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The messages of a run with as many teachers in the sum as may be.

    Attributes:
        total_bytes: Of all messages, each counted once however many read it.
        by_kind: The same by message kind, in the order of a run.
        by_party: Each party's load, of every teacher as if it were selected.
    """

    total_bytes: int
    by_kind: dict[str, int]
    by_party: dict[str, Load]


def traffic(agreement: Agreement) -> Traffic:
    """Return what a run will send.

    Args:
        agreement: Its arithmetic must hold (see :func:`secure_fedsa.planning.plan`).

    Raises:
        AgreementError: If a message would be longer than its kind may be.
    """
    fullest = agreement.teachers[: agreement.selection.select]
    messages = messages_of(agreement, fullest)
    for message in messages:
        _check_length(message)
    total: Counter[str] = Counter()
    for message in messages:
        total[message.kind] += message.envelope_bytes
    kinds = {kind: total[kind] for kind in RULES if kind in total}
    loads = {name: load_of(agreement, name, messages) for name in agreement.parties}
    alike: dict[tuple[int, int], Load] = {}
    for teacher in agreement.teachers:
        key = (len(teacher), teacher in fullest)
        if key not in alike:
            others = [name for name in fullest if name != teacher]
            roster = [teacher, *others[: len(fullest) - 1]]
            alike[key] = load_of(agreement, teacher, messages_of(agreement, roster))
        loads[teacher] = alike[key]
    return Traffic(sum(kinds.values()), kinds, loads)


def load_of(agreement: Agreement, party: str, messages: Iterable[Message]) -> Load:
    """Return what a party sends and takes; a public message is taken by all whom it concerns."""
    role = agreement.parties[party].role
    total: Counter[str] = Counter()
    for message in messages:
        if message.sender == party:
            total["sent"] += 1
            total["sent_bytes"] += message.envelope_bytes
        elif message.recipient == party or (
            message.recipient == envelope.EVERYONE and role in RULES[message.kind].recipients
        ):
            total["received"] += 1
            total["received_bytes"] += message.envelope_bytes
    return Load(total["sent"], total["sent_bytes"], total["received"], total["received_bytes"])


_CLAUSE_OF_LENGTH = {
    "query": "saliency.directions",
    "upload": "encoder.dimension",
    "sum": "encoder.dimension",
    "release": "encoder.dimension",
    "sealed-sum": "encoder.dimension",
}


def _check_length(message: Message) -> None:
    limit = RULES[message.kind].maximum_bytes
    if message.body_bytes > limit:
        raise AgreementError(
            _CLAUSE_OF_LENGTH.get(message.kind, "parties"),
            f"a {message.kind} message would take {message.body_bytes} bytes.",
            why=f"Nobody takes one of more than {limit}.",
            do="Use fewer values, or fewer parties.",
        )
