"""Message bodies to and from JSON values, strictly.

A body is one of the frozen dataclasses of :mod:`secure_fedsa.messages`. Bytes travel as
base64; a missing, extra or wrongly typed field is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from secure_fedsa.errors import DataError
from secure_fedsa.messages import Body, Hash
from secure_fedsa.wire.canonical import Json, from_base64, to_base64

T = TypeVar("T", bound=Body)

_HASH = re.compile(r"[0-9a-f]{64}")
_EXACT = (str, int, bool)


def to_json(body: Body) -> Json:
    """Return the JSON value of a body."""
    return {field.name: _plain(getattr(body, field.name)) for field in fields(body)}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return to_base64(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def from_json(kind: type[T], value: Any) -> T:
    """Return the body of a JSON value.

    Raises:
        DataError: If ``value`` does not have exactly the fields and types of ``kind``.
    """
    body: Any = kind
    hints = _hints(body)
    if not isinstance(value, dict) or set(value) != set(hints):
        raise DataError(f"A {kind.__name__} body must have the fields {sorted(hints)}.")
    return kind(
        **{
            name: _typed(hint, value[name], f"{kind.__name__}.{name}")
            for name, hint in hints.items()
        }
    )


def _typed(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint == Hash:
        if isinstance(value, str) and _HASH.fullmatch(value):
            return value
        raise DataError(f"{where} is not 64 lower-case hexadecimal digits.")
    origin, inner = _parts(hint)
    if origin is tuple and isinstance(value, list):
        return tuple(_each(inner, value, where))
    if origin is dict and isinstance(value, dict):
        return dict(zip(value, _each(inner, value.values(), where), strict=True))
    if hint is bytes and isinstance(value, str):
        return from_base64(value)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in _EXACT and type(value) is hint:
        return value
    raise DataError(f"{where} has the wrong type: {type(value).__name__}.")


def _each(hint: Any, values: Collection[Any], where: str) -> Iterable[Any]:
    if hint is Any or (hint in _EXACT and set(map(type, values)) <= {hint}):
        return values  # at once: there may be a million
    return [_typed(hint, value, where) for value in values]


@cache
def _parts(hint: Any) -> tuple[Any, Any]:
    """Return what a hint is of, and the hint of its elements or values."""
    return get_origin(hint), (get_args(hint) or (None,))[-1 if get_origin(hint) is dict else 0]
