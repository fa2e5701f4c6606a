"""The privacy-utility frontier as one inline drawing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.utility.rows import Mean
from secure_fedsa.report.markup import Child, Markup, element, join, share

_WIDTH, _HEIGHT = 960.0, 560.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 220.0, 20.0, 56.0
_APART = 110.0  # from the last epsilon to the position without differential privacy
_LINE = 15.0  # least distance of two labels
_COLOURS = 8
_DASHES = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True, slots=True)
class _Plane:
    low_epsilon: float
    high_epsilon: float
    low: float
    high: float

    @classmethod
    def around(cls, means: Sequence[Mean]) -> _Plane:
        epsilons = [mean.epsilon for mean in means if mean.epsilon is not None]
        ends = [
            mean.accuracy + sign * (mean.half_width or 0.0) for mean in means for sign in (-1, 1)
        ]
        low = max(0.0, math.floor(20 * min(ends)) / 20)
        high = min(1.0, math.ceil(20 * max(ends)) / 20)
        return cls(
            min([0.25, *epsilons]), max([8.0, *epsilons]), low, high if high > low else low + 0.05
        )

    def x(self, epsilon: float | None) -> float:
        right = _WIDTH - _RIGHT
        if epsilon is None:
            return right
        reach = math.log(epsilon / self.low_epsilon) / math.log(
            self.high_epsilon / self.low_epsilon
        )
        return _LEFT + reach * (right - _APART - _LEFT)

    def y(self, accuracy: float) -> float:
        inside = (min(max(accuracy, self.low), self.high) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - inside * (_HEIGHT - _BOTTOM - _TOP)

    def ticks(self) -> list[float]:
        step = 0.05 if self.high - self.low <= 0.5 else 0.1
        count = round((self.high - self.low) / step)
        return [self.low + step * number for number in range(count + 1)]


def frontier(means: Sequence[Mean], title: str) -> Markup:
    """Return the drawing: a line a method with epsilons, a point a method without.

    Every value also stands in the page's table, so that the drawing is an image with a name to
    those who do not see it.
    """
    plane = _Plane.around(means)
    methods = list(dict.fromkeys(mean.method for mean in means))
    parts: list[Child] = [element("title", title), *_axes(plane, means)]
    labels: list[tuple[float, int, str]] = []
    for number, method in enumerate(methods):
        mine = sorted(
            (mean for mean in means if mean.method == method),
            key=lambda mean: math.inf if mean.epsilon is None else mean.epsilon,
        )
        parts += _drawn(plane, number, mine)
        labels.append((plane.y(mine[-1].accuracy), number, method))
    parts += _labels(plane, labels, {mean.method: mean.epsilon for mean in means})
    return element(
        "svg",
        *parts,
        class_="frontier",
        viewBox=f"0 0 {_WIDTH:g} {_HEIGHT:g}",
        role="img",
        aria_label=title,
        focusable="false",
    )


def _axes(plane: _Plane, means: Sequence[Mean]) -> list[Child]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts: list[Child] = []
    for tick in plane.ticks():
        at = plane.y(tick)
        parts.append(element("line", class_="grid", x1=_LEFT, x2=right + 12, y1=at, y2=at))
        parts.append(_text(f"{tick:.2f}", _LEFT - 8, at + 4, "end"))
    epsilons = {mean.epsilon for mean in means if mean.epsilon is not None}
    for epsilon in sorted({0.25, 0.5, 1.0, 2.0, 4.0, 8.0} | epsilons):
        at = plane.x(epsilon)
        parts.append(element("line", class_="grid", x1=at, x2=at, y1=_TOP, y2=bottom))
        parts.append(_text(f"{epsilon:g}", at, bottom + 18, "middle"))
    cut = right - _APART / 2
    parts.append(element("line", class_="cut", x1=cut, x2=cut, y1=_TOP, y2=bottom))
    parts.append(_text("without DP", right, bottom + 18, "middle"))
    middle = (_LEFT + right - _APART) / 2
    parts.append(_text("epsilon for each teacher, logarithmic", middle, bottom + 42, "middle"))
    parts.append(_text("test accuracy", 4, _TOP - 6, "start"))
    return parts


def _drawn(plane: _Plane, number: int, means: Sequence[Mean]) -> list[Child]:
    """Return band, line and points of one method."""
    look = f"m{number % _COLOURS}"
    private = [mean for mean in means if mean.epsilon is not None]
    places = [(plane.x(mean.epsilon), mean) for mean in private]
    parts: list[Child] = []
    if len(places) > 1 and all(mean.half_width is not None for mean in private):
        upper = [(x, plane.y(mean.accuracy + (mean.half_width or 0))) for x, mean in places]
        lower = [(x, plane.y(mean.accuracy - (mean.half_width or 0))) for x, mean in places]
        parts.append(element("polygon", class_=f"band {look}", points=_points(upper + lower[::-1])))
    if len(places) > 1:
        line = [(x, plane.y(mean.accuracy)) for x, mean in places]
        parts.append(
            element(
                "polyline",
                class_=f"line {look}",
                points=_points(line),
                stroke_dasharray=_DASHES[number // _COLOURS % len(_DASHES)] or None,
            )
        )
    for mean in means:
        parts += _point(plane, look, mean, whiskers=len(places) < 2 or mean.epsilon is None)
    return parts


def _point(plane: _Plane, look: str, mean: Mean, *, whiskers: bool) -> list[Child]:
    at, height = plane.x(mean.epsilon), plane.y(mean.accuracy)
    parts: list[Child] = []
    if whiskers and mean.half_width is not None:
        ends = [plane.y(mean.accuracy + sign * mean.half_width) for sign in (-1, 1)]
        parts.append(element("line", class_=f"line {look}", x1=at, x2=at, y1=ends[0], y2=ends[1]))
    where = "without DP" if mean.epsilon is None else f"epsilon {mean.epsilon:g}"
    tip = element("title", f"{mean.method}, {where}: {share(mean.accuracy)}")
    parts.append(element("circle", tip, class_=f"dot {look}", cx=at, cy=height, r=4))
    return parts


def _labels(
    plane: _Plane, labels: Sequence[tuple[float, int, str]], last: dict[str, float | None]
) -> list[Child]:
    """Return the methods' names on the right, apart from each other, with leaders."""
    ordered = sorted(labels)
    heights: list[float] = []
    for wanted, _, _ in ordered:
        heights.append(max(wanted, heights[-1] + _LINE) if heights else wanted)
    # What runs over the bottom pushes the names above it up.
    limit = _HEIGHT - _BOTTOM
    for at in range(len(heights) - 1, -1, -1):
        heights[at] = min(heights[at], limit)
        limit = heights[at] - _LINE
    parts: list[Child] = []
    for (wanted, number, method), height in zip(ordered, heights, strict=True):
        look, right = f"m{number % _COLOURS}", _WIDTH - _RIGHT
        leader = [(plane.x(last[method]) + 6, wanted), (right + 14, wanted), (right + 30, height)]
        parts.append(element("polyline", class_=f"leader {look}", points=_points(leader)))
        parts.append(_text(method, right + 34, height + 4, "start", f"name {look}"))
    return parts


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _text(words: str, x: float, y: float, anchor: str, class_: str | None = None) -> Markup:
    return element("text", join([words]), x=x, y=y, text_anchor=anchor, class_=class_)
