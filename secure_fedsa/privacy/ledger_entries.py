"""The form of a privacy ledger's entries.

An entry is ``{version, position, data_set, kind, run_id, body, previous, hash}``; ``hash`` is
the SHA-256 of a domain line and the canonical JSON (RFC 8785) of the entry without it, and
``previous`` the hash of the entry before, so that a head fixes everything below it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NoReturn

import rfc8785

from secure_fedsa.errors import LedgerError

Entry = dict[str, Any]

VERSION = 1
MAX_NAME = 200
FIRST_PREVIOUS = "0" * 64

_HASH = re.compile(r"[0-9a-f]{64}")
_DOMAIN = b"secure-fedsa privacy ledger entry v1\n"
_FIELDS = {"version", "position", "data_set", "kind", "run_id", "body", "previous", "hash"}

NOTE_FIELDS: dict[str, dict[str, type]] = {
    "roster-opened": {"roster": str, "members": list},
    "erasure": {"items": list},
    "abort": {"reason": str, "missing": list},
    "burn": {"reason": str},
}
"""Kinds that a teacher may record, and what their bodies hold: text and lists of text."""

RELEASE_FIELDS = {"agreement", "events", "rho", "agreement_rho", "delta", "budget"}
TRAINING_FIELDS = {"agreement", "events", "stated", "agreement_trainings", "delta", "budget"}
UNPROTECTED_FIELDS = {"agreement", "events"}
"""A reserve entry of releases, of a training, of a use without differential privacy."""

PRIVATE_FIELDS: dict[str, set[str]] = {
    "external": {"description", "events", "amount"},
    "link": {"data_set", "folder", "amount", "replaces"},
    "disjoint": {"data_set", "statement", "key", "signature"},
    "limit": {"epsilon"},
}
"""Kinds of no run, which stay in the ledger: no segment holds one (:mod:`.ledger_private`)."""

_BODY_FIELDS: dict[str, tuple[set[str], ...]] = {
    "genesis": ({"delta", "inherits"},),
    "reserve": (RELEASE_FIELDS, TRAINING_FIELDS, UNPROTECTED_FIELDS),
    "commit": (set(),),
    "superseded": ({"child", "place"},),
    **{kind: (set(fields),) for kind, fields in NOTE_FIELDS.items()},
}


def canonical(entry: Mapping[str, Any]) -> bytes:
    """Return the canonical JSON bytes of an entry.

    Raises:
        LedgerError: If it has none (NaN, infinity, huge integers, foreign types).
    """
    try:
        return rfc8785.dumps(dict(entry))
    except (rfc8785.CanonicalizationError, ValueError, TypeError, RecursionError) as error:
        raise LedgerError("A ledger entry is not JSON.", why=str(error)) from error


def entry_hash(entry: Mapping[str, Any]) -> str:
    """Return the hash of an entry, 64 hexadecimal digits; its own ``hash`` is left out."""
    content = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(_DOMAIN + canonical(content)).hexdigest()


def make_entry(
    data_set: str, kind: str, run_id: str, body: Mapping[str, Any], *, position: int, previous: str
) -> Entry:
    """Return a new entry with its hash."""
    entry: Entry = {
        "version": VERSION,
        "position": position,
        "data_set": data_set,
        "kind": kind,
        "run_id": run_id,
        "body": dict(body),
        "previous": previous,
    }
    return {**entry, "hash": entry_hash(entry)}


def check_note(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``body`` if it is what a note of this kind may hold.

    Raises:
        LedgerError: If the kind is not in :data:`NOTE_FIELDS`, or a field is unknown,
            missing or not text (a list of text).
    """
    if kind not in NOTE_FIELDS:
        raise LedgerError(
            f"A ledger does not record {kind!r}.", do=f"Kinds: {', '.join(NOTE_FIELDS)}."
        )
    fields = NOTE_FIELDS[kind]
    if not isinstance(body, Mapping) or set(body) != set(fields):
        raise LedgerError(f"A {kind} note holds exactly: {', '.join(fields)}.")
    for name, expected in fields.items():
        values = body[name] if expected is list else [body[name]]
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise LedgerError(f"{name} of a {kind} note is not text.")
    return dict(body)


def check_name(name: str, text: str) -> None:
    """Refuse what is not 1 to 200 printable characters.

    Raises:
        LedgerError: Saying which name it was.
    """
    if not (isinstance(text, str) and 0 < len(text) <= MAX_NAME and text.isprintable()):
        raise LedgerError(f"{name} is not a name: {text!r}.")


def bad_entry(position: int, why: str) -> NoReturn:
    """Raise the :class:`LedgerError` of a bad entry."""
    raise LedgerError(
        f"Ledger entry {position} is not valid: {why}.",
        do="Do not use this ledger. Restore it from a copy whose head was countersigned.",
    )


def check_entry(entry: Any, position: int) -> None:
    """Check one entry's form and hash, whatever its place in a chain.

    Raises:
        LedgerError: Naming the entry by ``position``.
    """
    if not isinstance(entry, dict) or set(entry) != _FIELDS:
        bad_entry(position, "it does not have the fields of an entry")
    texts = [entry[name] for name in ("data_set", "kind", "run_id", "previous", "hash")]
    sound = (
        # By type: to Python true equals 1, and JSON knows both.
        type(entry["version"]) is int
        and entry["version"] == VERSION
        and type(entry["position"]) is int
        and entry["position"] >= 0
        and isinstance(entry["body"], dict)
        and all(isinstance(text, str) for text in texts)
        and _HASH.fullmatch(entry["previous"]) is not None
    )
    if not sound:
        bad_entry(position, "its version is unknown, or a field is not of its form")
    try:
        digest = entry_hash(entry)
    except LedgerError as error:
        bad_entry(position, error.why or error.what)
    if entry["hash"] != digest:
        bad_entry(position, "its content does not match its hash")
    kind, body = entry["kind"], entry["body"]
    private = kind in PRIVATE_FIELDS and not entry["run_id"] and set(body) == PRIVATE_FIELDS[kind]
    if not private and set(body) not in _BODY_FIELDS.get(kind, ()):
        bad_entry(position, f"{kind!r} is not a known kind, or its content is not of that kind")
    if kind in NOTE_FIELDS:
        try:
            check_note(kind, body)
        except LedgerError as error:
            bad_entry(position, error.what)
