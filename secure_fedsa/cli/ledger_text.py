"""A ledger's figures as lines for a terminal: tables, wrapped sentences, and who saw what."""

from __future__ import annotations

import math
import textwrap

from secure_fedsa.planning.unit_claim import NO_MU
from secure_fedsa.privacy.budgets import Spend
from secure_fedsa.report.ledger_seen import (
    AT_MOST,
    NO_RHO,
    institution_told,
    numbered,
    of_events,
    upward,
)
from secure_fedsa.report.ledger_view import LedgerView
from secure_fedsa.report.markup import number

_WIDTH = 96


def epsilon_of(spend: Spend) -> str:
    """Return the epsilon of a spend as people read it."""
    return number(spend.epsilon) if math.isfinite(spend.epsilon) else "unbounded"


def aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Return rows with their columns under one another."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[f"{c:<{w}}" for c, w in zip(row, widths, strict=True)] for row in rows]
    return ["  " + "  ".join(cells).rstrip() for cells in padded]


def wrapped(text: str, first: str = "  ", then: str | None = None) -> list[str]:
    """Return a text in lines of at most 96 characters."""
    later = " " * len(first) if then is None else then
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=later,
        break_on_hyphens=False,
    )


def by_view_lines(view: LedgerView) -> list[str]:
    """Return what each view and coalition may have learned over all runs."""
    facts, numbers = numbered(view.seen)
    table: list[tuple[str, ...]] = [("view", "epsilon", "saw", "who")]
    table += [
        (
            one.id,
            epsilon_of(view.total) if one.bounded else "none",
            ",".join(map(str, numbers[one.id])) or "-",
            f"{one.name}. {one.apart}" if one.apart else one.name,
        )
        for one in view.seen
    ]
    several = len({name for _, names in facts for name in names}) > 1
    lines = [*_claim(view), "", *aligned(table)]
    if facts or view.not_shown:
        lines += ["", *wrapped(AT_MOST)]
    for index, (fact, names) in enumerate(facts, start=1):
        where = f" ({', '.join(name[:12] for name in names)})" if several and names else ""
        lines += wrapped(f"{fact}{where}", f"  {index:>2} ")
    lines += wrapped(view.over_runs) if view.over_runs else []
    lines += [line for told in view.not_shown for line in wrapped(told, "   ! ")]
    lines += [line for told in institution_told(view.seen) for line in wrapped(told, "   + ")]
    return lines


def _claim(view: LedgerView) -> list[str]:
    """Return what holds against all of the views, over several deltas."""
    claim = view.claim
    lines = wrapped(claim.why)
    lines += wrapped(f"For {claim.unit.unit or 'a unit that is not known here'}.")
    if claim.unit.not_shown:
        lines += wrapped(f"Unit and neighbours are not shown: {claim.unit.not_shown}.")
    lines += wrapped(f"From {of_events(claim.sources)}.")
    lines += [f"  By {name}, version {version}" for name, version in claim.accountants]
    lines += aligned(
        [
            ("delta", *(f"{at:g}" for at, _ in claim.curve)),
            ("epsilon", *(upward(epsilon) for _, epsilon in claim.curve)),
        ]
    )
    rho = NO_RHO if claim.rho is None else f"rho (zCDP) {number(claim.rho)}."
    return [*lines, *wrapped(f"{rho} {NO_MU}")]
