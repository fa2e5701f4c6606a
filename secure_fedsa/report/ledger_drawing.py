"""What a data set has spent, drawn over time as a staircase under its budget."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from secure_fedsa.errors import counted
from secure_fedsa.report.ledger_view import LedgerView, Row
from secure_fedsa.report.markup import Markup, element, number

DRAWING_STYLE = """
.spent{display:block;width:100%;height:auto;max-height:24rem}
.spent text{fill:var(--ink);font:13px system-ui,sans-serif}
.spent .soft{fill:var(--soft)}
.spent .axis{stroke:var(--rule);stroke-width:1}
.spent .stair{fill:none;stroke:var(--accent);stroke-width:2.5;stroke-linejoin:round}
.spent .under{fill:var(--accent);opacity:.14}
.spent .dot{fill:var(--accent)}
.spent .dot.stated{fill:var(--paper);stroke:var(--accent);stroke-width:2}
.spent .dot.open{fill:var(--alarm)}
.spent .limit{stroke:var(--ink);stroke-width:2;stroke-dasharray:6 4}
"""

_WIDTH, _HEIGHT = 720.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 16.0, 26.0, 52.0
_MOST_LABELS = 8
_MOST_DAYS = 6
_LATE = 0.94  # of the width: a text around a place beyond it would be cut off


@dataclass(frozen=True, slots=True)
class Axis:
    """Where each charge stands on the axis across.

    Attributes:
        places: Of each charge, from 0 to 1.
        caption: What the axis is of; if not of time, why not.
        ticks: Place and text of what is written below it.
    """

    places: tuple[float, ...]
    caption: str
    ticks: tuple[tuple[float, str], ...]


def axis_of(rows: Sequence[Row]) -> Axis:
    """Return the axis of charges: time if every day is known, else their order.

    A ledger's chain has no dates, so that a public entry does not say when somebody was treated.
    The days are those that this machine noted beside it. Charges of one day stand in their order.
    """
    days = [date.fromisoformat(row.day) for row in rows if row.day]
    missing = len(rows) - len(days)
    if not rows or missing or days != sorted(days):
        why = "none yet" if not rows else "the noted days go back and forth"
        if missing:
            why = f"the day of {missing} of {counted(len(rows), 'charge')} was not noted"
        return _by_order(rows, f"order of the charges, not time: {why}")
    first, whole = days[0], (days[-1] - days[0]).days + 1
    of_day = Counter(days)
    places, seen = [], Counter[date]()
    for day in days:
        seen[day] += 1
        within = seen[day] / (of_day[day] + 1)
        places.append(((day - first).days + within) / whole)
    step = math.ceil(whole / _MOST_DAYS)
    ticks = [
        ((number + 0.5) / whole, str(first + timedelta(number))) for number in range(0, whole, step)
    ]
    return Axis(tuple(places), "day of the charge (UTC, by this machine's clock)", tuple(ticks))


def _by_order(rows: Sequence[Row], caption: str) -> Axis:
    places = tuple((index + 0.5) / len(rows) for index in range(len(rows)))
    every = math.ceil(len(rows) / _MOST_LABELS) or 1
    ticks = [
        (place, row.name[:8] if row.agreement else "outside")
        for place, row in list(zip(places, rows, strict=True))[::every]
    ]
    return Axis(places, caption, tuple(ticks))


def spend_over_time(view: LedgerView) -> Markup:
    """Return the drawing; the numbers stand in the table, so it has a text of its own besides.

    One step a charge, those of earlier versions that were kept included. A charge after which no
    epsilon holds is a mark at the upper edge.
    """
    rows = (*view.earlier, *view.rows)
    totals = [row.total.epsilon for row in rows]
    finite = [total for total in totals if math.isfinite(total)]
    budget = view.budget if view.budget is not None and math.isfinite(view.budget) else None
    highest = max([*finite, budget or 0.0, 0.0]) * 1.08 or 1.0
    axis = axis_of(rows)

    def across(place: float) -> float:
        return round(_LEFT + (_WIDTH - _LEFT - _RIGHT) * place, 2)

    def up(value: float) -> float:
        inner = _HEIGHT - _TOP - _BOTTOM
        return round(_HEIGHT - _BOTTOM - inner * min(value, highest) / highest, 2)

    parts = [*_frame(up, highest), *_labels(axis, across)]
    if totals:
        start = view.start.epsilon
        path = f"M{across(0)} {up(start if math.isfinite(start) else highest)}"
        for place, total in zip(axis.places, totals, strict=True):
            height = up(total if math.isfinite(total) else highest)
            path += f"H{across(place)}V{height}"
        path += f"H{across(1)}"
        floor = up(0.0)
        parts.append(
            element("path", class_="under", d=f"{path}V{floor}H{across(0)}Z", stroke="none")
        )
        parts.append(element("path", class_="stair", d=path))
    for place, row in zip(axis.places, rows, strict=True):
        known = math.isfinite(row.total.epsilon)
        kind = "dot" if known and not row.stated else "dot stated" if known else "dot open"
        parts.append(
            element(
                "circle",
                element("title", _title(row)),
                class_=kind,
                cx=across(place),
                cy=up(row.total.epsilon if known else highest),
                r=5,
            )
        )
    if budget is not None:
        at = up(budget)
        parts.append(element("line", class_="limit", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at))
        parts.append(element("text", f"budget {number(budget)}", x=_LEFT + 6, y=at - 6))
    return element(
        "svg",
        element("title", _told(rows)),
        *parts,
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        class_="spent",
        role="img",
    )


def _frame(up: Callable[[float], float], highest: float) -> list[Markup]:
    parts = [element("text", "epsilon, total", class_="soft", x=4, y=14)]
    size = 10.0 ** math.floor(math.log10(highest / 4))
    tick = next(size * times for times in (1, 2, 5, 10) if size * times >= highest / 5)
    for count in range(math.floor(highest / tick) + 1):
        value = tick * count
        at = up(value)
        parts.append(element("line", class_="axis", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=at, y2=at))
        parts.append(
            element("text", f"{value:.3g}", class_="soft", x=_LEFT - 6, y=at + 4, text_anchor="end")
        )
    return parts


def _labels(axis: Axis, across: Callable[[float], float]) -> list[Markup]:
    found = [
        element(
            "text",
            text,
            class_="soft",
            x=across(place),
            y=_HEIGHT - _BOTTOM + 18,
            text_anchor="end" if place > _LATE else "middle",
        )
        for place, text in axis.ticks
    ]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    caption = element(
        "text", axis.caption, class_="soft", x=middle, y=_HEIGHT - 8, text_anchor="middle"
    )
    return [*found, caption]


def _title(row: Row) -> str:
    total = number(row.total.epsilon) if math.isfinite(row.total.epsilon) else "unbounded"
    stated = ", stated" if row.stated else ""
    return f"{row.day or 'day not noted'}, {row.name[:40]}: total {total}{stated}"


def _told(rows: Sequence[Row]) -> str:
    if not rows:
        return "Nothing was charged yet."
    last = rows[-1].total.epsilon
    told = number(last) if math.isfinite(last) else "unbounded"
    if len(rows) == 1:
        return f"Total epsilon after one charge: {told}."
    return f"Total epsilon after each of {len(rows)} charges; now {told}."
