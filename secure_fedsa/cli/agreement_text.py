"""An agreement as a text that people can read: every entry with what it does.

The words stand in one table, :mod:`.agreement_words`, by clause. Comments are not signed: who signs
reads what ``agree sign`` shows, which is computed from the entries.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

import tomli_w

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.agreement_words import WORDS

_WIDTH = 88
_TABLES = (
    *("encoder", "privacy", "student_privacy", "institution_privacy", "training", "answers"),
    *("protection", "saliency", "features", "encryption", "selection", "publish", "limits"),
    "retention",
)


def to_text(agreement: Agreement, origin: Sequence[str] = ()) -> str:
    """Return the commented TOML of an agreement; it parses back to the same agreement.

    Args:
        agreement: The agreement, signed or not.
        origin: Lines for the head: what was computed from what.
    """
    lines = [
        "# An agreement of secure-fedsa. It binds nobody until every party has signed it.",
        "#   secure-fedsa plan FILE                      what a run spends, sends and takes",
        "#   secure-fedsa agree sign FILE --state STATE  sign for the party whose key is in STATE",
        "#   secure-fedsa agree check FILE               who signed, and whether all of it holds",
        "# A changed entry voids every signature: all parties then sign again.",
        *(["#"] if origin else []),
        *(f"# {_printable(line)}" for line in origin),
        "",
    ]
    single = [entry.name for entry in fields(agreement)]
    for name in single:
        if name not in {*_TABLES, "parties", "signatures"}:
            lines += [*_comment(name), _line(name, getattr(agreement, name))]
    lines += _parties(agreement)
    for name in _TABLES:
        table = getattr(agreement, name)
        lines += [] if table is None else _table(name, table)
    lines += ["", *_comment("signatures"), "[signatures]"]
    lines += [_line(name, text) for name, text in agreement.signatures.items()]
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    """Return a text as one line of a comment, whatever a file was called."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _comment(clause: str) -> list[str]:
    return textwrap.wrap(
        WORDS[clause],
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="# ",
        break_on_hyphens=False,
    )


def _line(name: str, value: Any) -> str:
    """Return one entry in TOML's spelling; arrays stay on their line."""
    if isinstance(value, tuple | list):
        return f"{name} = [{', '.join(_spelt(item) for item in value)}]"
    return f"{name} = {_spelt(value)}"


def _spelt(value: Any) -> str:
    return tomli_w.dumps({"x": value}).removeprefix("x = ").removesuffix("\n")


def _table(name: str, value: Any) -> Iterator[str]:
    yield from ("", *_comment(name), f"[{name}]")
    for entry in fields(value):
        yield from _comment(f"{name}.{entry.name}")
        yield _line(entry.name, getattr(value, entry.name))


def _parties(agreement: Agreement) -> Iterator[str]:
    yield from ("", *_comment("parties"))
    first = True
    for name, party in agreement.parties.items():
        yield from () if first else ("",)
        first = False
        yield f"[parties.{name}]"
        yield _line("role", party.role)
        yield _line("key", party.key)
        if party.classes:
            yield _line("classes", party.classes)
        if party.stated is not None:
            yield f"[parties.{name}.stated]"
            for entry in fields(party.stated):
                yield _line(entry.name, getattr(party.stated, entry.name))
