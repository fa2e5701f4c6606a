"""At most so many records of one person: which of them count.

A promise about persons holds only if no person can own more records than it is for. Who a record
belongs to is private, so whoever has the records gives an id beside each; what is beyond the bound
adds nothing to the summary. Which records of a person count depends on that person's own records
and on their order alone, so a person that is added, removed or replaced changes no other person's
part: the distance between neighbouring summaries is that of one person's at most m records
(:func:`secure_fedsa.privacy.mechanisms.l2_sensitivity`, 4).

A record with several labels stands once for each label, under the id of its person or, where the
record itself is to be protected, under an id of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.privacy.parameters import positive_integer

BoolArray = npt.NDArray[np.bool_]
PersonIds = npt.NDArray[Any]


def check_persons(persons: PersonIds, records: int, whose: str) -> None:
    """Refuse ids of a wrong shape or type: what everybody may see. No id is looked at.

    Raises:
        DataError: If they are not one integer or text a record.
    """
    shape = getattr(persons, "shape", None)
    kind = getattr(getattr(persons, "dtype", None), "kind", "?")
    if shape != (records,) or kind not in "iuU":
        raise DataError(
            f"The person ids of {whose} are not one for each record.",
            why=f"Expected integers or texts of shape ({records},).",
            do='Give an array "persons" as long as the records: whoever owns a record, by a number '
            "from 0 up or a text. -1 or an empty text says that nobody knows.",
        )


def persons_missing(teacher: str) -> DataError:
    """Return the error about records without person ids where the promise is about persons."""
    return DataError(
        f"{teacher}'s records come without person ids, and the agreed unit is a person.",
        why="Only with them can each person be held to the agreed number of records.",
        do='Give an array "persons" (sf.PrivateData, or the data file), or agree on the unit '
        "record.",
    )


def first_records(persons: PersonIds, usable: BoolArray, most: int) -> BoolArray:
    """Return which records count: of each person the first ``most`` that are usable.

    A record whose person is unknown (a negative number, an empty text) does not count: nobody could
    say whose other records it has to be bounded with.

    Args:
        persons: Integers or texts, shape (n,).
        usable: bool, shape (n,); a record that is not takes no other's place.
        most: Records that one person may own (m), at least 1.

    Returns:
        bool, shape (n,).

    Raises:
        DataError: If the ids do not fit the records.
        PrivacyParameterError: If ``most`` is no such number.

    >>> ids = np.array([7, 3, 7, 7, -1])
    >>> first_records(ids, np.array([True, True, False, True, True]), 1).tolist()
    [True, True, False, False, False]
    """
    most = positive_integer(most, "max_records", 2**20)
    check_persons(persons, len(usable), "a summary")
    known = persons != "" if persons.dtype.kind == "U" else persons >= 0
    candidates = np.flatnonzero(usable & known)
    counted = np.zeros(len(usable), dtype=np.bool_)
    if len(candidates):
        order = candidates[np.argsort(persons[candidates], kind="stable")]
        owners = persons[order]
        begins = np.flatnonzero(np.append(True, owners[1:] != owners[:-1]))
        sizes = np.diff(np.append(begins, len(order)))
        rank = np.arange(len(order)) - np.repeat(begins, sizes)
        counted[order[rank < most]] = True
    return counted
