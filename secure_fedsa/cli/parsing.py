"""What the commands' parsers share: kinds of values, and examples kept as they are typed."""

from __future__ import annotations

import argparse
import math
import re
from typing import Any

from secure_fedsa.errors import UsageError
from secure_fedsa.messages import PARTY_NAME


def add_parser(commands: Any, name: str, **texts: Any) -> argparse.ArgumentParser:
    """Return the parser of one more command; ``description`` and ``epilog`` keep their lines."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, formatter_class=argparse.RawDescriptionHelpFormatter, **texts
    )
    return parser


def printable(text: str) -> str:
    """Return a text without what could steer a terminal; files that others made may hold it.

    >>> printable("a" + chr(27) + "[31mb")
    'a?[31mb'
    """
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def check_party_name(name: str) -> str:
    """Return a name if a party may have it.

    Raises:
        UsageError: If it may not.
    """
    if not re.fullmatch(PARTY_NAME, name):
        raise UsageError(
            f"{name[:60]!r} is not a party's name.",
            do="Use 1 to 40 lower-case letters, digits and inner hyphens.",
        )
    return name


def whole(least: int) -> Any:
    """Return a reader of whole numbers from ``least`` to 2^31."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least or value >= 2**31:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
        return value

    return parse


def positive(text: str) -> float:
    """Return the finite number above zero that a text says."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number above zero")
    return value


def finite(text: str) -> float:
    """Return the finite number that a text says."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return value
