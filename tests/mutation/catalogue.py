"""The list of seeded faults, as ``faults.toml`` states them."""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).with_name("faults.toml")
_TEXTS = ("id", "file", "before", "after", "loses")
_FIELDS = {*_TEXTS, "tests", "equivalent", "offline"}


class StaleFaultError(Exception):
    """A fault that no longer fits the code: it would be lost without a word."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong operator, constant or call.

    Attributes:
        id: Its name.
        file: The source file, from the project's root.
        before: Text that stands in the file exactly once.
        after: What replaces it.
        loses: What a person would lose if the code were so.
        tests: Files or node ids of the tests that have to notice.
        equivalent: Why no test can notice, or empty. These tests then have to pass.
        offline: Whether its tests take too long for every submission.
    """

    id: str
    file: str
    before: str
    after: str
    loses: str
    tests: tuple[str, ...]
    equivalent: str = ""
    offline: bool = False

    def seeded(self, source: str) -> str:
        """Return the source with the fault in it.

        Raises:
            StaleFaultError: If the text to replace is not there exactly once, or what comes out is
                no Python, or the same program.
        """
        found = source.count(self.before)
        if found != 1:
            raise StaleFaultError(
                f"{self.id}: its text stands {found} times in {self.file}, not once. "
                "Give the fault the code as it is now."
            )
        changed = source.replace(self.before, self.after)
        try:
            same = ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
        except SyntaxError as error:
            raise StaleFaultError(f"{self.id}: {self.file} is no Python with it.") from error
        if same:
            raise StaleFaultError(f"{self.id}: {self.file} is the same program with it.")
        return changed


def load(path: Path = CATALOGUE) -> tuple[Fault, ...]:
    """Return the faults of a catalogue, in order.

    Raises:
        StaleFaultError: If an entry lacks a field, has an unknown one, or an id is given twice.
    """
    entries = tomllib.loads(path.read_text()).get("fault", [])
    faults = tuple(_fault(entry, number) for number, entry in enumerate(entries, 1))
    ids = [fault.id for fault in faults]
    twice = {name for name in ids if ids.count(name) > 1}
    if twice or not ids:
        raise StaleFaultError(f"No faults, or ids given twice: {sorted(twice)}.")
    return faults


def _fault(entry: dict[str, Any], number: int) -> Fault:
    name = entry.get("id", f"fault {number}")
    unknown = set(entry) - _FIELDS
    missing = [key for key in _TEXTS if not isinstance(entry.get(key), str) or not entry[key]]
    if entry.get("after") == "":
        missing.remove("after")  # a removed call
    tests = entry.get("tests")
    if not isinstance(tests, list) or not tests or not all(isinstance(t, str) for t in tests):
        missing.append("tests")
    if unknown or missing:
        raise StaleFaultError(f"{name}: unknown {sorted(unknown)}, missing {missing}.")
    texts = {key: entry[key] for key in _TEXTS}
    return Fault(
        **texts,
        tests=tuple(entry["tests"]),
        equivalent=entry.get("equivalent", ""),
        offline=entry.get("offline", False),
    )
