"""Whom a promise is for, in the same words wherever a ledger's figures stand."""

from __future__ import annotations

from typing import Final

from secure_fedsa.agreement import Promise

INSTITUTION: Final = "institution"
"""The unit of what a sum tells of one member's whole signal; a ledger adds none of it up."""


def unit_words(promise: Promise) -> str:
    """Return the unit of a promise, without "one" before it.

    >>> from secure_fedsa.agreement import Promise
    >>> unit_words(Promise("person", "add-remove", 3, 1.0, 1e-5, 4.0, 8.0))
    'person with up to 3 records'
    """
    if promise.unit == "record":
        return "record"
    records = "1 record" if promise.max_records == 1 else f"{promise.max_records} records"
    return f"person with up to {records}"


def unit_and_neighbours(promise: Promise) -> str:
    """Return the unit of a promise and its neighbour relation.

    >>> from secure_fedsa.agreement import Promise
    >>> unit_and_neighbours(Promise("record", "add-remove", 1, 1.0, 1e-5, 4.0, 8.0))
    'record (add-remove)'
    """
    return f"{unit_words(promise)} ({promise.neighbours})"
