"""Bars: one small drawing a table row, so that text stays text at every width."""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.report.markup import Markup, element


@dataclass(frozen=True, slots=True)
class Axis:
    """The range that all bars of a table share.

    Attributes:
        low: Value at the left edge, at most 0.
        high: Value at the right edge, above 0.
        mark: Where a line goes through every bar, if anywhere.
    """

    low: float
    high: float
    mark: float | None = None

    @classmethod
    def around(cls, values: list[float], mark: float | None = None) -> Axis:
        """Return an axis that shows all values, the mark and zero.

        >>> Axis.around([2.0, -1.0])
        Axis(low=-1.05, high=2.1, mark=None)
        """
        shown = [*values, 0.0] if mark is None else [*values, mark, 0.0]
        low, high = 1.05 * min(shown), 1.05 * max(shown)
        return cls(low, high if high > low else low + 1.0, mark)

    def percent(self, value: float) -> str:
        """Return where a value lies, in percent of the width."""
        place = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return f"{100 * place:.2f}%"


def bar(value: float | None, axis: Axis, *, own: bool = False) -> Markup:
    """Return one bar; the number stands in the table, so it is hidden from screen readers.

    Args:
        value: Its end; None draws the empty track.
        axis: The table's axis.
        own: Whether it is one of those that the table is about.
    """
    zero = axis.percent(0.0)
    parts = [element("rect", class_="track", width="100%", height="100%", rx="2")]
    if value is not None:
        start, end = sorted((0.0, value))
        left, right = axis.percent(start), axis.percent(end)
        parts.append(
            element(
                "rect",
                class_="bar own" if own else "bar",
                x=left,
                y="15%",
                width=f"{max(float(right[:-1]) - float(left[:-1]), 0.3):.2f}%",
                height="70%",
                rx="2",
            )
        )
    if axis.low < 0:
        parts.append(element("line", class_="zero", x1=zero, x2=zero, y1="0", y2="100%"))
    if axis.mark is not None:
        at = axis.percent(axis.mark)
        parts.append(element("line", class_="mark", x1=at, x2=at, y1="0", y2="100%"))
    return element("svg", *parts, aria_hidden="true", focusable="false")
