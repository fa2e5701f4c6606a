"""HTML elements that escape what they hold, and numbers as people read them.

Every text that enters a report goes through :func:`element`, which escapes it: only
:class:`Markup` is inserted as it is, and only this package makes it.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

from secure_fedsa.privacy.shown import at_most

_VOID = frozenset({"meta"})
_JOINERS = "\u200c\u200d"  # Persian and Indic scripts need them
_NO_DATA = "no test data"


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that is already safe.

    Attributes:
        html: The text.
    """

    html: str


Child = Markup | str | None


def readable(text: str) -> str:
    r"""Return ``text`` with everything that a browser would act on or hide made visible.

    Control characters, direction overrides and lone surrogates become U+FFFD; line breaks
    become spaces.

    >>> readable("coats\nand\u202e boots")
    'coats and� boots'
    """
    spaced = " ".join(text.splitlines()) if text.splitlines() else text
    return "".join(
        "\ufffd"
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co") and character not in _JOINERS
        else character
        for character in spaced
    )


def element(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element; texts and attributes are escaped.

    A trailing underscore of an attribute name is dropped and the others become hyphens.
    Attributes that are None are left out.

    >>> element("p", "a < b", class_="note", aria_label='"x"').html
    '<p class="note" aria-label="&quot;x&quot;">a &lt; b</p>'
    """
    head = name + "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(readable(_attribute(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inner = join(children).html
    return Markup(f"<{head}>" if name in _VOID else f"<{head}>{inner}</{name}>")


def join(children: Iterable[Child]) -> Markup:
    """Return children one after another; texts are escaped, None is left out."""
    return Markup(
        "".join(
            child.html if isinstance(child, Markup) else escape(readable(child))
            for child in children
            if child is not None
        )
    )


def users(text: str) -> Markup:
    """Return a text that somebody else chose, kept apart from the direction around it."""
    return element("bdi", text)


def table(
    caption: str, headers: Iterable[str], rows: Iterable[Iterable[Child]], *, class_: str = ""
) -> Markup:
    """Return a table whose first column names the rows; it scrolls where it does not fit."""
    titles = list(headers)
    body = []
    for row in rows:
        first, *rest = row
        cells = [element("td", cell, data_label=titles[at + 1]) for at, cell in enumerate(rest)]
        body.append(element("tr", element("th", first, scope="row"), *cells))
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    whole = element(
        "table",
        element("caption", caption),
        element("thead", head),
        element("tbody", *body),
        class_=class_ or None,
    )
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex=0)


def paragraphs(*texts: Child) -> Markup:
    """Return one paragraph a text."""
    return join(element("p", text) for text in texts)


def bullets(texts: Iterable[Child]) -> Markup:
    """Return an unordered list."""
    return element("ul", *(element("li", text) for text in texts))


def section(key: str, title: str, *children: Child) -> Markup:
    """Return a section with its heading."""
    return element("section", element("h2", title, id=key), *children, aria_labelledby=key)


def share(value: float | None) -> str:
    """Return an accuracy with three decimals.

    >>> share(0.84049), share(None)
    ('0.840', 'no test data')
    """
    return _NO_DATA if value is None or not math.isfinite(value) else f"{value:.3f}"


def number(value: float | None) -> str:
    """Return a privacy parameter with as many digits as matter.

    Four digits, the last one never rounded down: no bound is shown smaller than it is.

    >>> number(0.99992), number(1.23456), number(1e-5), number(None)
    ('1', '1.235', '1e-5', 'not computed')
    """
    if value is None:
        return "not computed"
    return at_most(value)


def size(count: float) -> str:
    """Return bytes in decimal units.

    >>> size(980), size(53_200), size(13_420_000)
    ('980 B', '53.2 KB', '13.4 MB')
    """
    if count < 1000:
        return f"{count:.0f} B"
    return f"{count / 1e3:.1f} KB" if count < 999_950 else f"{count / 1e6:.1f} MB"


def seconds(value: float) -> str:
    """Return a duration with one decimal.

    >>> seconds(12.34)
    '12.3 s'
    """
    return f"{value:.1f} s"


def _attribute(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def flat(value: dict[str, Any], head: str = "") -> list[tuple[str, Any]]:
    """Return the values of nested objects by their names, joined by dots."""
    found: list[tuple[str, Any]] = []
    for name, item in value.items():
        if isinstance(item, dict):
            found += flat(item, f"{head}{name}.")
        else:
            found.append((f"{head}{name}", item))
    return found
