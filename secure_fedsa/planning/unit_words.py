"""The protected unit in words: one spelling for plan, pages, audits, ledgers and closing words.

Two things are told apart. Of how many records of a person *count* is seen to by the software; how
many a person *has* is a condition that nobody enforces, under which group privacy holds.
"""

from __future__ import annotations

from typing import Final

from secure_fedsa.agreement import Promise

RECORD: Final = "one record"
INSTITUTION: Final = "institution"
"""The unit of what a sum tells of one member's whole signal; a ledger adds none of it up."""


def agreed_unit(promise: Promise) -> str:
    """Return the unit that an agreement promises something to.

    >>> agreed_unit(Promise("person", "add-remove", 3, 1.0, 1e-5, 10.0, 20.0))
    'one person, of whom at most 3 records count'
    """
    if promise.unit == "record":
        return RECORD
    count = promise.max_records
    counted = "1 record counts" if count == 1 else f"{count} records count"
    return f"one person, of whom at most {counted}"


def per_unit(promise: Promise) -> str:
    """Return the unit and the neighbour relation, to stand after a figure.

    >>> per_unit(Promise("record", "add-remove", 1, 1.0, 1e-5, 10.0, 20.0))
    'per record (add-remove)'
    """
    return f"per {unit_and_neighbours(promise)}"


def unit_and_neighbours(promise: Promise) -> str:
    """Return the unit, without "one" before it, and its neighbour relation.

    >>> unit_and_neighbours(Promise("record", "add-remove", 1, 1.0, 1e-5, 4.0, 8.0))
    'record (add-remove)'
    """
    return f"{agreed_unit(promise).removeprefix('one ')} ({promise.neighbours})"


def person_with(records: int) -> str:
    """Return a person that has no more records than so many; nothing bounds that.

    >>> person_with(5)
    'one person with at most 5 records'
    """
    return f"one person with at most {records} records"


def at_every_teacher(promise: Promise) -> str:
    """Return a person with one unit's records at every teacher."""
    records = RECORD if promise.unit == "record" else "the agreed unit's records"
    return f"one person with {records} at every teacher"


def neighbours(promise: Promise, unit: str = "") -> str:
    """Return which data sets are compared; for the agreed unit unless another is named.

    >>> neighbours(Promise("record", "replace-one", 1, 1.0, 1e-5, 10.0, 20.0))
    'data sets that differ by replacing one record'
    """
    verb = "adding or removing" if promise.neighbours == "add-remove" else "replacing"
    return f"data sets that differ by {verb} {unit or agreed_unit(promise)}"
