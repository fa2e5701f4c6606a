"""A whole page: one HTML document that needs nothing but itself, no script and no request."""

from __future__ import annotations

from secure_fedsa.report.markup import Markup, element
from secure_fedsa.report.style import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def whole_page(title: str, *parts: Markup, style: str = "") -> str:
    """Return a page as one HTML document.

    Args:
        title: Of the window.
        parts: Header, main part and footer.
        style: What it needs beside the style that all pages share.
    """
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE + style)),
    )
    page = element("html", head, element("body", *parts), lang="en")
    return f"<!DOCTYPE html>\n{page.html}\n"


def alarm(text: str) -> Markup:
    """Return the banner of a warning, whose words before the colon are its head."""
    head, _, rest = text.partition(": ")
    return element(
        "div",
        element("p", element("strong", f"{head}:"), f" {rest[:1].upper()}{rest[1:]}"),
        class_="banner alarm",
        role="alert",
    )
