"""A register of lies: what is wrong with a run, and the one check that finds it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.protocols.bench.resigning import Letter, Run

Json = Any
Tell = Callable[[Run], str]


@dataclass(frozen=True, slots=True)
class Lie:
    """One thing that is wrong with a run.

    Attributes:
        name: What is wrong, as the name of a folder.
        check: Number of the check in verification.md.
        base: The honest run that is changed.
        reason: Why it is refused.
        tell: Changes the run, and returns the file that a verifier names.
    """

    name: str
    check: str
    base: str
    reason: str
    tell: Tell


BAD: dict[str, Lie] = {}
GOOD: dict[str, Lie] = {}
"""Odd runs that are consistent all the same."""


def bad(check: str, base: str, reason: str) -> Callable[[Tell], Tell]:
    """Register a lie under the name of its function."""

    def register(tell: Tell) -> Tell:
        name = tell.__name__.replace("_", "-")
        assert name not in BAD, name
        BAD[name] = Lie(name, check, base, reason, tell)
        return tell

    return register


def good(base: str, reason: str) -> Callable[[Tell], Tell]:
    """Register an oddity that is allowed."""

    def register(tell: Tell) -> Tell:
        name = tell.__name__.replace("_", "-")
        GOOD[name] = Lie(name, "", base, reason, tell)
        return tell

    return register


def double(run: Run, letter: Letter) -> str:
    """Send a message again, under its sender's next number; return the new file."""
    return run.add(letter).path()


def without(run: Run, letter: Letter) -> str:
    """Leave a message out; return where that shows."""
    run.remove(letter)
    return "transcript/"


def abort(run: Run, reason: Json) -> Letter:
    """Add an abort of teacher-1."""
    letter = run.add(run.one("ready"), sender="teacher-1", kind="abort")
    letter.value["body"] = {"phase": "roster", "reason": reason, "missing": []}
    return letter


def pretty(data: bytes) -> bytes:
    """Return JSON with white space."""
    return json.dumps(json.loads(data), indent=1, sort_keys=True, ensure_ascii=False).encode()
