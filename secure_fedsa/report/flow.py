"""The run drawn as a sequence of messages between parties."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from secure_fedsa.agreement import Agreement
from secure_fedsa.messages import AGGREGATOR, EVERYONE, KEY_HOLDER, STUDENT, TEACHER, Role
from secure_fedsa.report.markup import Markup, element, size
from secure_fedsa.report.steps import Local, Message, Phase, Step, in_words, steps
from secure_fedsa.report.summary import RunFacts

_LANES: tuple[Role, ...] = (TEACHER, STUDENT, AGGREGATOR, KEY_HOLDER)
_MOST_CHIPS = 24


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of one drawing, in its own units.

    Attributes:
        key: Names the drawing among others on the page.
        width: Width.
        lanes: Where each party's line is.
        head: Width of a party's box.
        font: Size of text.
        columns: Teachers' names a row.
        narrow: Whether labels are wrapped at the left instead of centred on their arrow.
    """

    key: str
    width: float
    lanes: tuple[float, ...]
    head: float
    font: float
    columns: int
    narrow: bool

    def at(self, role: Role) -> float:
        """Return where a party's line is."""
        return self.lanes[_LANES.index(role)]

    def text_width(self, text: str) -> float:
        """Return about how wide a text is."""
        return 0.56 * self.font * len(text)


WIDE = Layout("wide", 960, (130, 365, 600, 830), 170, 13, 6, narrow=False)
NARROW = Layout("narrow", 340, (42, 127, 212, 297), 82, 12, 3, narrow=True)


@dataclass(slots=True)
class _Drawing:
    """Collects shapes from top to bottom."""

    layout: Layout
    y: float = 0.0
    shapes: list[Markup] = field(default_factory=list)

    def add(self, name: str, *children: Markup | str, **attributes: str | float | None) -> None:
        self.shapes.append(element(name, *children, **attributes))

    def text(self, x: float, y: float, text: str, class_: str, *, anchor: str = "middle") -> None:
        self.add(
            "text",
            text,
            x=round(x, 1),
            y=round(y, 1),
            class_=class_,
            text_anchor=anchor,
            font_size=self.layout.font,
        )


def flow(facts: RunFacts) -> Markup:
    """Return the drawing of a run, once for wide and once for narrow screens."""
    return element(
        "div", *(_draw(facts, layout, steps(facts)) for layout in (WIDE, NARROW)), class_="flows"
    )


def legend(agreement: Agreement) -> Markup:
    """Return what the arrows mean."""
    by = "all" if agreement.publish.ciphertexts else "its recipients"
    entries = [("public", "signed and public"), ("sealed", "sealed to one recipient")]
    entries.append(
        ("hidden", "signed, content encrypted")
        if agreement.protection.he
        else ("open", f"a single teacher's signal, readable by {by}")
    )
    return element(
        "ul",
        *(
            element(
                "li",
                element(
                    "svg",
                    element("line", class_=f"arrow {cover}", x1="0", x2="100%", y1="50%", y2="50%"),
                    aria_hidden="true",
                ),
                text,
            )
            for cover, text in entries
        ),
        class_="key",
    )


def _draw(facts: RunFacts, layout: Layout, run: list[Step]) -> Markup:
    drawing = _Drawing(layout)
    _teachers(drawing, facts)
    top = drawing.y
    _heads(drawing, facts)
    began, lines = drawing.y, len(drawing.shapes)
    for step in run:
        match step:
            case Phase(text=text):
                _phase(drawing, text)
            case Local():
                _local(drawing, step)
            case Message():
                _message(drawing, step, facts.bytes_by_kind.get(step.kind))
    drawing.y += 14
    life = [
        element("line", class_="life", x1=x, x2=x, y1=began, y2=drawing.y) for x in layout.lanes
    ]
    drawing.shapes[lines:lines] = life
    stem = element(
        "line", class_="life", x1=layout.lanes[0], x2=layout.lanes[0], y1=top - 10, y2=top
    )
    words = ". ".join(in_words(step) for step in run if isinstance(step, Message))
    names = f"flow-{layout.key}-title", f"flow-{layout.key}-words"
    return element(
        "svg",
        element("title", "The messages of this run, in order", id=names[0]),
        element("desc", words, id=names[1]),
        stem,
        *drawing.shapes,
        class_=f"flow {layout.key}",
        viewBox=f"0 0 {layout.width:g} {drawing.y:g}",
        role="img",
        aria_labelledby=names[0],
        aria_describedby=names[1],
    )


def _teachers(drawing: _Drawing, facts: RunFacts) -> None:
    """Draw the teachers' names, the selected ones filled; first those when there are many."""
    layout, names = drawing.layout, facts.agreement.teachers
    chosen = set(facts.roster.members)
    shown = names
    if len(names) > _MOST_CHIPS:
        shown = tuple(sorted(names, key=lambda name: (name not in chosen, name))[:_MOST_CHIPS])
    title = f"{len(names)} teachers, {len(chosen)} selected (filled)"
    if len(shown) < len(names):
        title += f"; {len(names) - len(shown)} not drawn"
    drawing.text(4, layout.font + 2, title, "phase", anchor="start")
    height, gap = 1.8 * layout.font, 6.0
    width = (layout.width - 8 - gap * (layout.columns - 1)) / layout.columns
    top = layout.font + 12
    for index, name in enumerate(shown):
        row, column = divmod(index, layout.columns)
        x, y = 4 + column * (width + gap), top + row * (height + gap)
        on = " on" if name in chosen else ""
        drawing.add("rect", class_=f"chip{on}", x=x, y=y, width=width, height=height, rx=4)
        room = int(width / layout.text_width("n")) - 1
        label = name if len(name) <= room else name[: room - 1] + "…"
        drawing.text(x + width / 2, y + 0.68 * height, label, f"chiptext{on}")
    rows = -(-len(shown) // layout.columns)
    drawing.y = top + rows * (height + gap) + 8


def _heads(drawing: _Drawing, facts: RunFacts) -> None:
    layout = drawing.layout
    height = 2.4 * layout.font
    for role, x in zip(_LANES, layout.lanes, strict=True):
        name = f"{len(facts.agreement.teachers)} teachers" if role == TEACHER else role
        left = x - layout.head / 2
        drawing.add(
            "rect", class_="head", x=left, y=drawing.y, width=layout.head, height=height, rx=5
        )
        drawing.text(x, drawing.y + 0.64 * height, name.replace("-", " "), "name")
    drawing.y += height


def _phase(drawing: _Drawing, text: str) -> None:
    drawing.y += 26
    width = drawing.layout.width
    drawing.add("line", class_="cut", x1=0, x2=width, y1=drawing.y - 14, y2=drawing.y - 14)
    for line in _lines(drawing.layout, text):
        drawing.y += drawing.layout.font * 0.4
        drawing.text(4, drawing.y, line, "phase", anchor="start")
        drawing.y += drawing.layout.font * 0.9


def _local(drawing: _Drawing, step: Local) -> None:
    layout = drawing.layout
    width = layout.text_width(step.text) + 18
    height = 1.9 * layout.font
    x = min(max(layout.at(step.role) - width / 2, 4), layout.width - width - 4)
    drawing.y += 6
    drawing.add(
        "rect", class_=f"act {step.act}", x=x, y=drawing.y, width=width, height=height, rx=4
    )
    drawing.text(x + width / 2, drawing.y + 0.66 * height, step.text, f"acttext on-{step.act}")
    drawing.y += height + 4


def _message(drawing: _Drawing, step: Message, count: int | None) -> None:
    layout = drawing.layout
    amount = "" if count is None else f"  ({size(count)})"
    label = f"{step.kind}: {step.text}{amount}"
    senders = _LANES if step.sender is None else (step.sender,)
    ends = sorted({layout.at(role) for role in (*senders, *step.recipients)})
    start = layout.at(step.sender) if step.sender else None
    if layout.narrow:
        for line in _lines(layout, label):
            drawing.y += layout.font * 1.3
            drawing.text(4, drawing.y, line, "fine", anchor="start")
        drawing.y += 9
    else:
        half = layout.text_width(label) / 2
        middle = (ends[0] + ends[-1]) / 2
        drawing.y += layout.font * 1.45
        drawing.text(min(max(middle, half + 4), layout.width - half - 4), drawing.y, label, "fine")
        drawing.y += 10
    if len(ends) == 1:
        _loop(drawing, ends[0], step.cover)
    else:
        _arrow(drawing, ends, start, step)
    drawing.y += 6


def _arrow(drawing: _Drawing, ends: list[float], start: float | None, step: Message) -> None:
    """Draw one line with a tip at every recipient; a dot marks the sender."""
    y, cover = drawing.y, step.cover
    drawing.add("line", class_=f"arrow {cover}", x1=ends[0], x2=ends[-1], y1=y, y2=y)
    recipients = EVERYONE if step.sender is None else step.recipients
    for role in recipients:
        x = drawing.layout.at(role)
        if x == start:
            continue
        if start is None:
            drawing.add("circle", class_=f"tip {cover}", cx=x, cy=y, r=4)
        else:
            side = -8 if x > start else 8
            points = f"{x:g},{y:g} {x + side:g},{y - 5:g} {x + side:g},{y + 5:g}"
            drawing.add("polygon", class_=f"tip {cover}", points=points)
    if start is not None:
        drawing.add("circle", class_=f"tip {cover}", cx=start, cy=y, r=3)


def _loop(drawing: _Drawing, x: float, cover: str) -> None:
    """Draw a message among teachers."""
    y = drawing.y - 4
    path = f"M{x:g},{y:g} h26 v10 h-20"
    drawing.add("path", class_=f"arrow {cover}", d=path)
    points = f"{x:g},{y + 10:g} {x + 8:g},{y + 5:g} {x + 8:g},{y + 15:g}"
    drawing.add("polygon", class_=f"tip {cover}", points=points)
    drawing.y += 8


def _lines(layout: Layout, text: str) -> list[str]:
    return textwrap.wrap(text, int(layout.width / layout.text_width("n")) - 1)
