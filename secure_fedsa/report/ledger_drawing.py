"""What a data set has spent, drawn over its charges as a staircase under its budget."""

from __future__ import annotations

import math
from collections.abc import Callable

from secure_fedsa.report.ledger_view import LedgerView
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
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 16.0, 26.0, 44.0
_MOST_LABELS = 8


def spend_over_time(view: LedgerView) -> Markup:
    """Return the drawing; the numbers stand in the table, so it has a text of its own besides.

    One step a charge, in the order of the ledger: the day is written where it is known and changes.
    A charge after which no epsilon holds is a mark at the upper edge.
    """
    totals = [row.total.epsilon for row in view.rows]
    finite = [total for total in totals if math.isfinite(total)]
    budget = view.budget if view.budget is not None and math.isfinite(view.budget) else None
    highest = max([*finite, budget or 0.0, 0.0]) * 1.08 or 1.0
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(totals))

    def across(index: float) -> float:
        return round(_LEFT + step * index, 2)

    def up(value: float) -> float:
        inner = _HEIGHT - _TOP - _BOTTOM
        return round(_HEIGHT - _BOTTOM - inner * min(value, highest) / highest, 2)

    parts = [*_frame(up, highest), *_labels(view, across)]
    if totals:
        start = view.before.epsilon
        path = f"M{across(0)} {up(start if math.isfinite(start) else highest)}"
        for index, total in enumerate(totals):
            height = up(total if math.isfinite(total) else highest)
            path += f"H{across(index + 0.5)}V{height}"
        path += f"H{across(len(totals))}"
        floor = up(0.0)
        parts.append(
            element("path", class_="under", d=f"{path}V{floor}H{across(0)}Z", stroke="none")
        )
        parts.append(element("path", class_="stair", d=path))
    for index, row in enumerate(view.rows):
        known = math.isfinite(row.total.epsilon)
        kind = "dot" if known and not row.stated else "dot stated" if known else "dot open"
        parts.append(
            element(
                "circle",
                element("title", _title(view, index)),
                class_=kind,
                cx=across(index + 0.5),
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
        element("title", _told(view)),
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


def _labels(view: LedgerView, across: Callable[[float], float]) -> list[Markup]:
    every = math.ceil(len(view.rows) / _MOST_LABELS) or 1
    parts, day = [], ""
    for index, row in enumerate(view.rows):
        if index % every:
            continue
        name = row.name[:8] if row.agreement else "outside"
        for line, text in enumerate((name, row.day if row.day != day else "")):
            parts.append(
                element(
                    "text",
                    text,
                    class_="soft",
                    x=across(index + 0.5),
                    y=_HEIGHT - _BOTTOM + 18 + 16 * line,
                    text_anchor="middle",
                )
            )
        day = row.day
    return parts


def _title(view: LedgerView, index: int) -> str:
    row = view.rows[index]
    total = number(row.total.epsilon) if math.isfinite(row.total.epsilon) else "unbounded"
    stated = ", stated" if row.stated else ""
    return f"{row.day or 'day not noted'}, {row.name[:40]}: total {total}{stated}"


def _told(view: LedgerView) -> str:
    if not view.rows:
        return "Nothing was charged yet."
    last = view.rows[-1].total.epsilon
    told = number(last) if math.isfinite(last) else "unbounded"
    return f"Total epsilon after each of {len(view.rows)} charges; now {told}."
