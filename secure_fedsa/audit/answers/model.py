"""What an answer is: points, each with whose word it is and where it stands in the folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from secure_fedsa.privacy import shown
from secure_fedsa.report.markup import number

Status = Literal["shown", "attested", "not shown", "not applicable"]
Value: TypeAlias = str | int | float | bool | None

STATUSES: dict[Status, str] = {
    "shown": "recomputed from the run folder when this report was made",
    "attested": "nobody can recompute it; those who are named are answerable for it",
    "not shown": "the run folder does not show it, and nobody's signature stands for it",
    "not applicable": "the question has no meaning for a run of this kind",
}
"""What each status means, the strongest first."""

_WEAKEST_FIRST: tuple[Status, ...] = ("not shown", "attested", "shown", "not applicable")


@dataclass(frozen=True, slots=True)
class Figure:
    """A number or word of an answer.

    Attributes:
        name: What it is, with its unit.
        value: As JSON has it.
        text: As people read it.
    """

    name: str
    value: Value
    text: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"name": self.name, "value": self.value, "text": self.text}


def figure(name: str, value: Value) -> Figure:
    """Return a figure as it is.

    >>> figure("steps", 1200).text, figure("delta", 1.5e-5).text, figure("stated", True).text
    ('1,200', '1.5e-5', 'yes')
    >>> figure("noise scale", 273260.54).text, figure("share", 0.8212345).text
    ('273,261', '0.821234')
    """
    if isinstance(value, bool):
        return Figure(name, value, "yes" if value else "no")
    if isinstance(value, int):
        return Figure(name, value, f"{value:,}")
    if isinstance(value, float):
        return Figure(name, value, f"{value:,.6g}".replace("e-0", "e-").replace("e+0", "e+"))
    return Figure(name, value, "none" if value is None else value)


def bound(name: str, value: float) -> Figure:
    """Return a bound from above, whose shown digits are never rounded down.

    >>> bound("epsilon", 1.23411).text
    '1.235'
    """
    return Figure(name, value, number(value))


def at_least(name: str, value: float) -> Figure:
    """Return a bound from below, whose shown digits are never rounded up.

    >>> at_least("epsilon", 1.23491).text, at_least("epsilon", 0.0).text
    ('1.234', '0')
    """
    return Figure(name, value, shown.at_least(value))


def listed(names: Sequence[str], most: int = 40) -> str:
    """Return names in one text, and how many more there are.

    >>> listed(["a", "b", "c"], 2)
    'a, b and 1 more'
    """
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True)
class Link:
    """A place in the run folder, and what checked it.

    Attributes:
        file: Path in the folder.
        pointer: JSON pointer (RFC 6901) into the file's value, empty for the whole of it. Tables
            of TOML are objects; a ``.jsonl`` file is the array of its lines.
        sha256: Of the file, hexadecimal, as it was read.
        check: Claim of the receipt that is about this place
            (:data:`secure_fedsa.report.claims.WORDS`); empty where none is.
        recomputed: Whether ``verify`` recomputed that claim.
    """

    file: str
    pointer: str
    sha256: str
    check: str
    recomputed: bool

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "file": self.file,
            "pointer": self.pointer,
            "sha256": self.sha256,
            "check": self.check or None,
            "recomputed": self.recomputed,
        }


@dataclass(frozen=True, slots=True)
class Point:
    """One statement of an answer.

    Attributes:
        status: Whether it was recomputed, or whose word it is, or neither.
        text: The statement.
        by: Who attests it; of attested points only.
        how: Where else to look for what the folder does not show.
        figures: Its numbers.
        evidence: Where it stands.
    """

    status: Status
    text: str
    by: tuple[str, ...] = ()
    how: str = ""
    figures: tuple[Figure, ...] = ()
    evidence: tuple[Link, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "status": self.status,
            "text": self.text,
            "by": list(self.by),
            "how": self.how or None,
            "figures": [found.to_json() for found in self.figures],
            "evidence": [link.to_json() for link in self.evidence],
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and its answer.

    Attributes:
        id: Short name of the question.
        question: The question.
        topic: The topic of NIST SP 800-226 that it belongs to, in our words.
        text: The answer in short.
        points: The answer in full, at least one.
    """

    id: str
    question: str
    topic: str
    text: str
    points: tuple[Point, ...]

    @property
    def status(self) -> Status:
        """The weakest status of its points: no part of an answer is better than it looks."""
        found = {point.status for point in self.points}
        return next(status for status in _WEAKEST_FIRST if status in found)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "question": self.question,
            "topic": self.topic,
            "status": self.status,
            "text": self.text,
            "points": [point.to_json() for point in self.points],
        }
