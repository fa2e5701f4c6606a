"""The auditor's report as one page: the verdict, every question with its status, then the answers.

Drawn from the very JSON document that goes with it, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

from secure_fedsa.errors import counted
from secure_fedsa.report.markup import (
    Child,
    Markup,
    bullets,
    element,
    flat,
    join,
    section,
    table,
    users,
)
from secure_fedsa.report.page import alarm, whole_page

Value = dict[str, Any]

_LINKS_SHOWN = 8
_FIGURES_SHOWN = 60
_HASH_SHOWN = 16
_MARKS = {"shown": "●", "attested": "◐", "not shown": "○", "not applicable": "-"}
_STYLE = """
.mark{display:inline-block;white-space:nowrap;border-radius:.75rem;padding:.02rem .6rem;
font-size:.84rem;font-weight:600;border:1px solid currentColor}
.mark.shown{color:var(--calm)}.mark.attested{color:var(--amber)}
.mark.not-shown{color:var(--missing)}.mark.not-applicable{color:var(--soft)}
:root{--missing:#a5121a}
@media(prefers-color-scheme:dark){:root{--missing:#ff9a94}}
@media print{:root{--missing:#a5121a}}
.toc td:nth-child(2){white-space:nowrap}
.toc tbody th{width:34%;font-weight:400}
.points{list-style:none;padding:0;max-width:none}
.points>li{border-left:3px solid var(--rule);padding:.1rem 0 .1rem 1rem;margin:1rem 0}
.points p{margin:.3rem 0}
.figs{width:auto;margin:.3rem 0}.figs th{font-weight:400;color:var(--soft);max-width:26rem}
.figs th,.figs td{padding-top:.2rem;padding-bottom:.2rem}
.figs th bdi{overflow-wrap:break-word}.figs td{min-width:4.5rem}
.where{font-size:.86rem;color:var(--soft);max-width:none}
.topic{color:var(--soft);font-size:.88rem;margin:-.4rem 0 .6rem}
.short{font-size:1.05rem;font-weight:600}
h2 .mark{font-size:.84rem;vertical-align:.1em}
a{color:var(--accent)}
dl.counts{display:flex;flex-wrap:wrap;gap:.5rem 1.4rem;margin:1rem 0}
dl.counts div{display:flex;gap:.5rem;align-items:baseline}
dl.counts dd{margin:0;font-variant-numeric:tabular-nums}
@media(max-width:44rem){.toc td:nth-child(2){white-space:normal}.toc tbody th{width:auto}
.figs th{max-width:none}}
"""


def audit_page(document: Value, *, folder: str = "") -> str:
    """Return the page of an auditor's report as one HTML document.

    Args:
        document: What :func:`secure_fedsa.audit.answers.document.document` made.
        folder: Name of the run folder, if it stands beside the page: evidence is then linked.
    """
    return whole_page(
        f"Run {document['run_id'][:12]}: auditor's report",
        _header(document),
        element(
            "main",
            _contents(document),
            *(_answer(answer, folder) for answer in document["answers"]),
            _registry(document["registry"]),
        ),
        element(
            "footer",
            f"Drawn by secure-fedsa {document['software']['secure-fedsa']} from the checked "
            f"folder of run {document['run_id']}, under agreement {document['agreement']}.",
        ),
        style=_STYLE,
    )


def _header(document: Value) -> Markup:
    guideline = document["guideline"]
    return element(
        "header",
        element("p", "secure-fedsa auditor's report", class_="eyebrow"),
        element("h1", users(document["title"])),
        element(
            "div",
            element("p", "Verdict: ", element("strong", users(document["verdict"]))),
            element("p", "What the verdict does not mean:"),
            bullets(document["limits"]),
            class_="banner plain",
        ),
        *(alarm(text) for text in document["warnings"]),
        element(
            "p",
            "This page answers the questions that ",
            element("a", guideline["name"], href=guideline["url"]),
            " has one ask of a claim of differential privacy. Each answer comes from the run "
            "folder's own files, and names them.",
            class_="lead",
        ),
        element("p", "Run ", element("code", document["run_id"]), class_="run"),
    )


def _mark(status: str) -> Markup:
    return element(
        "span",
        f"{_MARKS[status]} {status}",
        class_=f"mark {status.replace(' ', '-')}",
    )


def _contents(document: Value) -> Markup:
    rows: list[list[Child]] = [
        [
            element("a", answer["question"], href=f"#{answer['id']}"),
            _mark(answer["status"]),
            users(answer["text"]),
        ]
        for answer in document["answers"]
    ]
    return section(
        "contents",
        "All questions at a glance",
        element(
            "p",
            "A question is as good as the weakest part of its answer. What is shown was "
            "recomputed from the folder; what is attested is the word of those named; what is not "
            "shown, the folder cannot tell.",
        ),
        element(
            "dl",
            *(
                element(
                    "div",
                    element("dt", _mark(status)),
                    element("dd", f"{count} of {len(document['answers'])}"),
                )
                for status, count in document["questions"].items()
                if count
            ),
            class_="counts",
        ),
        table(
            "Questions, status and answer in short",
            ["Question", "Status", "Answer"],
            rows,
            class_="toc stack",
        ),
    )


def _answer(answer: Value, folder: str) -> Markup:
    return element(
        "section",
        element("h2", f"{answer['question']} ", _mark(answer["status"]), id=answer["id"]),
        element("p", f"Topic: {answer['topic']}", class_="topic"),
        element("p", users(answer["text"]), class_="short"),
        element("ul", *(_point(point, folder) for point in answer["points"]), class_="points"),
        aria_labelledby=answer["id"],
    )


def _point(point: Value, folder: str) -> Markup:
    by = f" by {_some(point['by'], _LINKS_SHOWN * 3)}" if point["by"] else ""
    return element(
        "li",
        element("p", _mark(point["status"]), by),
        element("p", _prose(point["text"])),
        element("p", element("strong", "Where to look: "), _prose(point["how"]))
        if point["how"]
        else None,
        _figures(point["figures"]),
        _evidence(point["evidence"], folder),
    )


def _prose(text: str) -> Markup:
    """Return a text in which what stands between two backticks is code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return users(text)
    return join(
        element("code", piece) if number % 2 else users(piece)
        for number, piece in enumerate(pieces)
        if piece
    )


def _some(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _figures(figures: Sequence[Value]) -> Markup | None:
    if not figures:
        return None
    rows = [
        element(
            "tr",
            element("th", users(found["name"]), scope="row"),
            element("td", users(found["text"])),
        )
        for found in figures[:_FIGURES_SHOWN]
    ]
    more = len(figures) - _FIGURES_SHOWN
    return join(
        [
            element("table", element("tbody", *rows), class_="figs"),
            element("p", f"And {more} more, in the JSON document.", class_="note")
            if more > 0
            else None,
        ]
    )


def _evidence(links: Sequence[Value], folder: str) -> Markup | None:
    if not links:
        return None
    checks = sorted({link["check"] for link in links if link["check"]})
    files: dict[str, list[Value]] = {}
    for link in links:
        files.setdefault(link["file"], []).append(link)
    shown = list(files.items())[:_LINKS_SHOWN]
    parts: list[Child] = ["Evidence: "]
    for number, (file, places) in enumerate(shown):
        parts += ["; " if number else None, *_file(file, places, folder)]
    more = len(files) - len(shown)
    parts.append(f"; and {counted(more, 'more file')}, in the JSON document" if more else None)
    if checks:
        parts += [". Claim of the receipt: ", *_joined(element("code", check) for check in checks)]
    return element("p", *parts, ".", class_="where")


def _file(file: str, places: Sequence[Value], folder: str) -> list[Child]:
    name: Markup = element("code", file)
    if folder:
        # "./" first: a folder's name may look like a scheme.
        name = element("a", name, href=f"./{quote(folder)}/{quote(file)}")
    pointers = [place["pointer"] for place in places if place["pointer"]]
    at: list[Child] = [" at ", element("code", _some(pointers, 6))] if pointers else []
    digest = element("code", places[0]["sha256"][:_HASH_SHOWN] + "…")
    return [name, *at, " (SHA-256 ", digest, ")"]


def _joined(parts: Iterable[Markup]) -> list[Child]:
    found: list[Child] = []
    for number, part in enumerate(parts):
        found += [", " if number else None, part]
    return found


def _registry(registry: Value) -> Markup:
    rows: list[list[Child]] = [
        [element("code", name), "not in the folder" if value is None else users(_text(value))]
        for name, value in flat(registry["entry"])
    ]
    return section(
        "registry",
        "Draft of a registry entry",
        element(
            "p",
            "The run in the fields of the Differential Privacy Deployments Registry (",
            element("a", f"schema of {registry['schema_date']}", href=registry["schema"]),
            "), as far as its files say them. What is not in the folder, people have to add.",
        ),
        table("Fields of the registry", ["Field", "Value"], rows, class_="stack"),
    )


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
