"""What earlier agreements promised of a data set, and what a later run owes them.

A ledger is of one data set, and several agreements may charge it. Each said that no run, whatever
its agreement, takes the data set past ``data_set_budget``; and a ledger can add up losses of one
unit only: what a run tells of one record says nothing of a person with many, nor of a record that
is replaced.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import AgreementError
from secure_fedsa.privacy.ledger_charges import Terms

_ONE_UNIT = ("unit", "neighbours", "max_records")


def promised_terms(earlier: Iterable[Agreement]) -> tuple[Terms, ...]:
    """Return the budgets that earlier agreements promised of all runs on a data set, sorted."""
    found = {
        Terms(one.privacy.data_set_budget, one.privacy.delta)
        for one in earlier
        if one.privacy is not None
    }
    return tuple(sorted(found, key=lambda terms: (terms.budget, terms.delta)))


def require_one_unit(
    earlier: Iterable[Agreement], agreement: Agreement, whose: str = "these data"
) -> None:
    """Refuse a run for another unit or relation than the data set was charged for before.

    Args:
        earlier: The agreements that it was charged under.
        agreement: The one that is asked for.
        whose: The data set, in words; a linked one counts in the same totals.

    Raises:
        AgreementError: Naming the clause that differs.
    """
    for one in earlier:
        for clause in _ONE_UNIT:
            if one.privacy is None or agreement.privacy is None:
                continue
            before, now = getattr(one.privacy, clause), getattr(agreement.privacy, clause)
            if before != now:
                were = "were" if whose == "these data" else "was"
                raise AgreementError(
                    f"privacy.{clause}",
                    f"is {now}, and {whose} {were} charged before for {before}.",
                    why="A ledger cannot add up losses of different units or neighbours: neither "
                    "budget would be kept.",
                    do=f"Nothing was charged. Agree on {before} again, or use other data.",
                )


def unit_clause(some: Iterable[Agreement], others: Iterable[Agreement]) -> tuple[str, Any, Any]:
    """Return the first clause of unit or neighbours in which agreements of two data sets differ.

    Returns:
        The clause and what it is in each; an empty clause if none differs.
    """
    theirs = [one.privacy for one in others if one.privacy is not None]
    for mine in (one.privacy for one in some if one.privacy is not None):
        for other in theirs:
            for clause in _ONE_UNIT:
                here, there = getattr(mine, clause), getattr(other, clause)
                if here != there:
                    return f"privacy.{clause}", here, there
    return "", None, None
