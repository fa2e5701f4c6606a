"""Runs with something changed at random, from a public number: the same on every machine.

Most changes are told as a forger would: signed anew, with everything that follows from them, so
that verifiers must judge what is said and not only whose signature broke. Some are harmless, and
accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.protocols.bench import following, honest_runs, said, sent, stored
from tests.protocols.bench.draws import Draw
from tests.protocols.bench.resigning import ILL_FORMED, Run

Json = Any
Change = Callable[[Run, Draw], str]

BASES = {
    "plain": 48,
    "two-rosters": 22,
    "sealed": 13,
    "published": 5,
    "private-training": 8,
    "encryption-only": 4,
}
"""How many of a hundred mutants are of which honest run.

Encrypted ones take a second each, and those with trainings a few.
"""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A changed run.

    Attributes:
        number: What it was made from.
        base: The honest run that was changed.
        about: What was changed.
        files: Its files.
    """

    number: int
    base: str
    about: str
    files: dict[str, bytes]


def mutant(number: int, series: str = "") -> Mutant:
    """Return a mutant; ``series`` names another sequence of them."""
    draw = Draw(f"secure-fedsa mutant {series}{number}")
    base = draw.weighted(BASES)
    run = honest_runs.honest(base).copy()
    changes = draw.weighted({1: 70, 2: 20, 3: 10})
    told = []
    for _ in range(changes):
        change = draw.weighted(CHANGES)
        try:
            told.append(f"{change.__name__}: {change(run, draw)}")
        except ILL_FORMED as error:
            told.append(
                f"{change.__name__}: nothing, as an earlier change was in its way ({error!r})"
            )
    return Mutant(number, base, "; ".join(told), following.rebuilt(run))


CHANGES: dict[Change, int] = {
    said.body: 22,
    said.header: 6,
    said.envelope: 2,
    said.agreement: 12,
    said.signatures: 1,
    said.noise: 4,
    said.scores: 5,
    said.ledger: 8,
    said.ledger_note: 4,
    said.ledger_file: 2,
    said.release_log: 4,
    said.summary: 6,
    said.predicate: 4,
    said.statement: 2,
    said.signers: 2,
    said.receipt: 3,
    sent.left_out: 6,
    sent.doubled: 6,
    sent.moved: 3,
    sent.readdressed: 4,
    sent.renamed_file: 2,
    sent.of_another_run: 4,
    sent.extra_message: 6,
    sent.party_renamed: 2,
    sent.keys_swapped: 3,
    sent.published_otherwise: 8,
    sent.not_followed: 4,
    stored.file_bytes: 4,
    stored.file_bytes_unsigned: 3,
    stored.spelling: 4,
    stored.file_set: 3,
    stored.student: 3,
    stored.harmless: 8,
    said.anything: 1,
}
"""How often each change is made."""


def write(made: Mutant, folder: Path) -> None:
    """Write a mutant's files."""
    for name, data in made.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
