"""TOML from strangers, read in bounded time."""

from __future__ import annotations

import tomllib
from typing import Any

# A TOML reader's time grows with the square of the parts of one dotted key.
MOST_DOTS = 100


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables of a TOML text.

    Raises:
        ValueError: If it is not TOML, or a line has too many dots to be read.
        RecursionError: If it nests too deeply.

    >>> read_toml("a.b = 1")
    {'a': {'b': 1}}
    """
    # Only where no text goes over several lines is what looks like a comment surely one.
    plain = '"""' not in text and "'''" not in text
    for number, line in enumerate(text.split("\n"), 1):
        comment = plain and line.lstrip(" \t").startswith("#")
        if line.count(".") > MOST_DOTS and not comment:
            raise ValueError(f"Line {number} has more than {MOST_DOTS} dots; it was not read")
    return tomllib.loads(text)
