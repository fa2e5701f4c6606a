"""Seeded choices that repeat on every machine, and other values in the place of values."""

from __future__ import annotations

import base64
import copy
import hashlib
import math
from collections.abc import Sequence
from typing import Any, TypeVar

Json = Any
T = TypeVar("T")

NAMES = ("teacher-1", "teacher-2", "teacher-3", "teacher-9", "student", "aggregator", "key-holder")
TEXTS = (
    "",
    "*",
    "x",
    "teacher-1 ",
    "Teacher-1",
    "é",
    "e\u0301",
    "\u2028",
    "\U0001f600",
    "a\x00b",
    "1",
)
ODD_NUMBERS = (0, -1, 1, 2, 2**31, 2**53 - 1, 2**53, -(2**53), 2**70, 0.5, 1e-300, 1e300, 1e21)


class Draw:
    """A stream of choices from a public text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._count = 0

    def below(self, most: int) -> int:
        """Return an integer from 0 to ``most - 1``."""
        self._count += 1
        data = hashlib.sha256(f"{self._text} {self._count}".encode()).digest()
        return int.from_bytes(data[:8], "big") % most

    def pick(self, options: Sequence[T]) -> T:
        """Return one of some options."""
        return options[self.below(len(options))]

    def chance(self, percent: int) -> bool:
        """Return true in so many of a hundred cases."""
        return self.below(100) < percent

    def weighted(self, options: dict[T, int]) -> T:
        """Return an option, by weight."""
        at = self.below(sum(options.values()))
        for option, weight in options.items():
            at -= weight
            if at < 0:
                return option
        raise AssertionError


def leaves(value: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside a value."""
    found: list[tuple[Any, ...]] = []
    items: list[tuple[Any, Json]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    for key, item in items:
        found += [(*path, key), *leaves(item, (*path, key))]
    return found


def change_somewhere(draw: Draw, value: Json) -> str:
    """Change one value inside a value; return where and how, in words."""
    paths = leaves(value)
    if not paths:
        return "nothing to change"
    path = draw.pick(paths)
    container = value
    for key in path[:-1]:
        container = container[key]
    key, old = path[-1], container[path[-1]]
    where = ".".join(map(str, path))
    how = draw.weighted({"other": 70, "drop": 8, "add": 8, "double": 4, "type": 10})
    if how == "drop":
        del container[key]
    elif how == "add" and isinstance(container, dict):
        container[draw.pick([*TEXTS, *NAMES])] = copy.deepcopy(old)
    elif how == "add" or (how == "double" and isinstance(container, list)):
        container.insert(key, copy.deepcopy(old))
    elif how == "type":
        container[key] = retyped(draw, old)
    else:
        container[key] = other(draw, old)
    after = repr(container.get(key) if isinstance(container, dict) else container[key : key + 1])
    return f"{how} {where}: {old!r:.60} becomes {after:.60}"


def retyped(draw: Draw, old: Json) -> Json:
    """Return a value that looks like another one, of another type."""
    options: list[Json] = [None, [old], {"value": old}, str(old), "", 0, False, True, [], {}]
    if isinstance(old, bool):
        options += [int(old), str(old).lower()] * 3
    elif isinstance(old, int | float):
        options += [float(old) + 0.5, bool(old), str(old), f" {old}"] * 2
    elif isinstance(old, str):
        options += [list(old), len(old)]
    return draw.pick(options)


def other(draw: Draw, old: Json) -> Json:
    """Return a plausible other value of the same type."""
    if isinstance(old, bool):
        return not old
    if isinstance(old, int):
        return draw.pick([old + 1, old - 1, old * 2, -old, old + 256, *ODD_NUMBERS])
    if isinstance(old, float):
        close = [old * (1 + 1e-7), old * (1 - 1e-13), math.nextafter(old, math.inf), old / 2]
        return draw.pick([*close, -old, round(old), math.nan, math.inf, *ODD_NUMBERS])
    if isinstance(old, str):
        return _other_text(draw, old)
    if isinstance(old, list):
        return _other_list(draw, old)
    if isinstance(old, dict):
        return _other_object(draw, old)
    return draw.pick([0, "", False, "text", 1.5])


def _other_text(draw: Draw, old: str) -> str:
    general = [*TEXTS, *NAMES, old + " ", old[:-1], old.upper(), f"{old}\n", old[::-1]]
    if len(old) == 64 and set(old) <= set("0123456789abcdef"):
        flipped = ("1" if old[0] == "0" else "0") + old[1:]
        return draw.pick([flipped, "0" * 64, old.upper(), old[:63], f"{old}0", flipped, flipped])
    if len(old) % 4 == 0 and len(old) > 8:
        try:
            data = bytearray(base64.b64decode(old, validate=True))
        except ValueError:
            return draw.pick(general)
        at = draw.below(len(data) or 1)
        if data:
            data[at] ^= 1 << draw.below(8)
        flipped = base64.b64encode(data).decode()
        shapes = [
            flipped,
            flipped,
            base64.b64encode(data[:-1]).decode(),
            base64.b64encode(data + b"\x00").decode(),
            base64.b64encode(data[:-8]).decode(),
            old.rstrip("="),
            old + "\n",
            old.replace("/", "_").replace("+", "-"),
            old[:-4] + "AB==",
            "",
        ]
        return draw.pick(shapes)
    return draw.pick(general)


def _other_list(draw: Draw, old: list[Json]) -> list[Json]:
    at = draw.below(len(old) + 1)
    rolled = old[1:] + old[:1]
    return copy.deepcopy(
        draw.pick([old[::-1], rolled, old[:-1], old[1:], [*old, *old[-1:]], old[:at] + old, []])
    )


def _other_object(draw: Draw, old: dict[str, Json]) -> dict[str, Json]:
    made = copy.deepcopy(old)
    names, values = list(made), list(made.values())
    how = draw.below(4)
    if how == 0 or not made:
        made[draw.pick([*NAMES, *TEXTS])] = copy.deepcopy(values[0]) if values else 0
    elif how == 1:
        made.pop(draw.pick(names))
    elif how == 2:
        made = dict(zip(names, values[1:] + values[:1], strict=True))
    else:
        name = draw.pick(names)
        made[draw.pick([*NAMES, name.upper(), f"{name} "])] = made.pop(name)
    return made
