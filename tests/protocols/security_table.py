"""The tables of SECURITY.md and the specification, made from protocols/v1/threat-model.toml.

Run it after a change of the threat model:

    python tests/protocols/security_table.py

It needs Python's standard library only. tests/protocols/test_threat_model.py fails when the
tables are others than this gives.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODEL_FILE = ROOT / "protocols" / "v1" / "threat-model.toml"
COMMAND = "python tests/protocols/security_table.py"


def load() -> dict[str, Any]:
    """Return the threat model."""
    return tomllib.loads(MODEL_FILE.read_text("utf-8"))


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _sentence(parts: list[str]) -> str:
    return "; ".join(parts) if parts else "none"


def _files(tests: list[str]) -> str:
    """Return the files of node ids, each once, without the folder that all are in."""
    names = dict.fromkeys(test.partition("::")[0].removeprefix("tests/") for test in tests)
    return ", ".join(f"`{name}`" for name in names)


def coalitions(model: dict[str, Any]) -> str:
    """Return who learns what of an honest teacher."""
    return _table(
        ["who", "learns of an honest teacher", "does not learn", "because", "properties"],
        [
            [
                entry["name"],
                entry["learns"],
                entry["not"],
                entry["because"],
                ", ".join(entry["properties"]),
            ]
            for entry in model["coalitions"].values()
        ],
    )


def properties(model: dict[str, Any]) -> str:
    """Return what holds, on what it rests, what it leaves out, and where it is tested."""
    return _table(
        ["property", "what holds", "if", "what it leaves out", "tests"],
        [
            [
                name,
                entry["statement"],
                _sentence(entry["assumptions"]),
                _sentence(entry["limits"]),
                _files(entry["tests"]),
            ]
            for name, entry in model["properties"].items()
        ],
    )


def claims(model: dict[str, Any]) -> str:
    """Return the claims of a receipt, by list."""
    words = {
        "recomputed": "recomputed",
        "attested": "attested",
        "either": "recomputed where the agreement publishes what it takes, else attested",
    }
    return _table(
        ["claim", "list", "what it says"],
        [[entry["id"], words[entry["list"]], entry["words"]] for entry in model["claims"]],
    )


TABLES = {"coalitions": coalitions, "properties": properties, "claims": claims}
FILES = {
    ROOT / "SECURITY.md": ("coalitions", "properties", "claims"),
    ROOT / "protocols" / "v1" / "specification.md": ("coalitions",),
}
"""Which tables stand in which file."""


def filled(text: str, model: dict[str, Any], tables: Iterable[str]) -> str:
    """Return a text with these tables, between their markers, made anew.

    Raises:
        ValueError: If a marker is missing.
    """
    for name in tables:
        begin, end = f"<!-- begin {name}: {COMMAND} -->", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise ValueError(f"There are no markers for the table {name}.")
        text = f"{before}{begin}\n\n{TABLES[name](model)}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    for file, names in FILES.items():
        old = file.read_text("utf-8")
        new = filled(old, load(), names)
        file.write_text(new, "utf-8")
        sys.stdout.write(f"{file.name} {'was up to date' if old == new else 'is new'}.\n")
