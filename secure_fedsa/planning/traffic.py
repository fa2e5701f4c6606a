"""How many bytes each party of a run sends and takes, worked out from its agreement."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import MOST_FOLDER_BYTES, MOST_MESSAGES, RULES
from secure_fedsa.planning.messages import Lengths, batches_of
from secure_fedsa.planning.sizes import integer_length


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
    fullest, lengths = agreement.teachers[: agreement.selection.select], Lengths(agreement)
    longest = max(lengths.ledgers.values())
    for kind, size in {**lengths.bodies(fullest), "ledger": longest}.items():
        check_length(agreement, kind, size)
    kinds, loads = _counted(agreement, lengths, fullest)
    _check_folder(agreement, kinds, sum(load.sent_messages for load in loads.values()))
    shorter, members = fullest[: len(fullest) - 1], frozenset(fullest)
    alike: dict[tuple[int, bool], Load] = {}  # one of several of equally long names stands for all
    for teacher in agreement.teachers:
        key = (len(teacher), teacher in members)
        if key not in alike:
            instead = tuple(sorted((teacher, *shorter)))
            among = loads if key[1] else _counted(agreement, lengths, instead)[1]
            alike[key] = among[teacher]
        loads[teacher] = alike[key]
    return Traffic(sum(kinds.values()), kinds, loads)


_FOR_THE_REST = 2**26
"""Bytes of a run folder that are left for its other files and for messages of one more roster."""


def _check_folder(agreement: Agreement, kinds: dict[str, int], messages: int) -> None:
    """Refuse a run whose folder nobody would take: its charges would be spent for no receipt."""
    left = agreement.selection.select - 1
    again = left * (left - 1) + left + 1 if left >= agreement.selection.smallest_sum else 0
    if messages + again > MOST_MESSAGES:
        raise AgreementError(
            "selection.select",
            f"a run of that many teachers, and one more roster after a drop-out, would take "
            f"{messages + again:,} messages.",
            why=f"A run folder holds {MOST_MESSAGES:,}.",
            do="Select fewer teachers.",
        )
    withheld = set() if agreement.publish.ciphertexts else {"upload", "sum"}
    shown = sum(
        size
        for kind, size in kinds.items()
        if RULES[kind].message_class == "public" and kind not in withheld
    )
    most = MOST_FOLDER_BYTES - _FOR_THE_REST - messages * _SEALED_BYTES
    if shown > most:
        raise AgreementError(
            _clause_of_values(agreement),
            f"the run's public messages would take {shown:,} bytes.",
            why=f"A run folder holds {MOST_FOLDER_BYTES:,} altogether.",
            do="Use a shorter signal, select fewer teachers, or do not publish ciphertexts.",
        )


_SEALED_BYTES = 1_024
"""What stands in the folder of a sealed message, at most: header and signature."""


def _counted(
    agreement: Agreement, lengths: Lengths, roster: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, Load]]:
    """Return bytes by kind and loads by party of a run whose sum is over ``roster``."""
    parties = agreement.parties
    sent, taken = {name: _Tally() for name in parties}, {name: _Tally() for name in parties}
    shown: defaultdict[str, _Tally] = defaultdict(_Tally)
    by_kind: Counter[str] = Counter()
    place = {name: number for number, name in enumerate(roster)}
    letters = sum(map(len, roster))
    for batch in batches_of(agreement, lengths, roster):
        sender, kind, rule = batch.sender, batch.kind, RULES[batch.kind]
        if kind == "mask-share":
            # To and from each other member; only the numbers' digits differ. Who stands before
            # this one in the roster has its share at one place less among its own.
            both = batch.count * batch.frame_bytes + letters - len(sender)
            before, number = place[sender], batch.sequence + place[sender]
            size = both + _digits(batch.sequence, batch.count)
            digits = before * integer_length(number - 1)
            digits += (batch.count - before) * integer_length(number)
            taken[sender].add(batch.count, both + digits)
        else:
            envelopes = dict(batch.envelopes())
            size = sum(envelopes.values())
            if rule.message_class == "public":
                shown[kind].add(1, size)
                if parties[sender].role in rule.recipients:
                    taken[sender].add(-1, -size)
            else:
                for recipient, length in envelopes.items():
                    taken[recipient].add(1, length)
        sent[sender].add(batch.count, size)
        by_kind[kind] += size
    for name, party in parties.items():
        for kind, tally in shown.items():
            if party.role in RULES[kind].recipients:
                taken[name].add(tally.messages, tally.size)
    kinds = {kind: by_kind[kind] for kind in RULES if kind in by_kind}
    loads = {
        name: Load(sent[name].messages, sent[name].size, taken[name].messages, taken[name].size)
        for name in parties
    }
    return kinds, loads


@dataclass(slots=True)
class _Tally:
    messages: int = 0
    size: int = 0

    def add(self, messages: int, size: int) -> None:
        self.messages += messages
        self.size += size


@cache
def _digits(first: int, count: int) -> int:
    """Return how many digits ``count`` numbers from ``first`` on have."""
    return sum(map(integer_length, range(first, first + count)))


_OF_VALUES = frozenset({"upload", "sum", "release", "sealed-sum"})


def _clause_of_values(agreement: Agreement) -> str:
    """Return the clause that makes feature signals long."""
    answers = agreement.answers
    by_encoder = answers is None or answers.form == "scatter"
    return "encoder.dimension" if by_encoder else "answers.probes"


def check_length(agreement: Agreement, kind: str, body_bytes: int) -> None:
    """Refuse an agreement under which a message would be longer than its kind may be.

    Raises:
        AgreementError: Naming the clause that makes it so long.
    """
    limit = RULES[kind].maximum_bytes
    if body_bytes > limit:
        clause = "saliency.directions" if kind == "query" else "parties"
        clause = _clause_of_values(agreement) if kind in _OF_VALUES else clause
        raise AgreementError(
            clause,
            f"a {kind} message would take {body_bytes} bytes.",
            why=f"Nobody takes one of more than {limit}.",
            do="Use fewer values, or fewer parties.",
        )
