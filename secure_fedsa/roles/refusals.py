"""How a role refuses a message, and how it shows another party's words."""

from __future__ import annotations

from typing import Any

from secure_fedsa.errors import ProtocolError
from secure_fedsa.messages import Abort

SHOWN_CHARACTERS = 500


def shown(text: str) -> str:
    """Return another party's words as one short printable line, for logs and screens.

    >>> shown("a" + chr(27) + "[31mb")
    'a?[31mb'
    """
    short = text[:SHOWN_CHARACTERS]
    return "".join(letter if letter.isprintable() else "?" for letter in short)


def told_by(sender: str, abort: Abort) -> str:
    """Return in words who stopped the run and why."""
    awaited = f" Awaited: {shown(', '.join(abort.missing))}." if abort.missing else ""
    return f"{sender} stopped the run ({shown(abort.phase)}): {shown(abort.reason)}{awaited}"


def once_only(seen: dict[str, Any], sender: str, kind: str) -> None:
    """Refuse a second message of a kind that each party sends once."""
    if sender in seen:
        raise ProtocolError(sender, f"sent {kind} twice.")


def must_be(condition: object, sender: str, what: str, *, why: str = "", clause: str = "") -> None:
    """Raise a :class:`ProtocolError` about ``sender`` unless ``condition`` holds.

    ``clause`` is the entry of the agreement that asks for it.
    """
    if not condition:
        raise ProtocolError(sender, what, why=why, clause=clause)
