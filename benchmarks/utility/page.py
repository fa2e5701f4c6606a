"""The page of a benchmark: frontier and tables, in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchmarks.utility.frontier import frontier
from benchmarks.utility.rows import Mean
from secure_fedsa.report.markup import (
    Child,
    Markup,
    element,
    number,
    paragraphs,
    seconds,
    section,
    share,
    size,
    table,
)
from secure_fedsa.report.page import whole_page

Part = tuple[str, str, int, int]

# Colours that differ in lightness too, and are told apart by those who see fewer of them
# (Okabe and Ito, and darker or lighter where the paper would swallow them).
_LIGHT = ("#0072b2", "#c04a00", "#00795a", "#a0457f", "#8a6d00", "#3a7ca5", "#555555", "#7a2e9a")
_DARK = ("#56b4e9", "#f08a3c", "#2fc79a", "#e08fc0", "#f0e442", "#9fd0ee", "#bbbbbb", "#c792ea")


def _colours(colours: Sequence[str]) -> str:
    return "".join(f".m{at}{{--own:{colour}}}" for at, colour in enumerate(colours))


_OWN_STYLE = (
    _colours(_LIGHT)
    + "@media(prefers-color-scheme:dark){"
    + _colours(_DARK)
    + "}"
    + """
.frontier{display:block;width:100%;height:auto}
.frontier text{fill:var(--ink);font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.frontier .grid{stroke:var(--rule)}
.frontier .cut{stroke:var(--quiet);stroke-dasharray:4 4}
.frontier .line{fill:none;stroke:var(--own);stroke-width:2.2}
.frontier .band{fill:var(--own);opacity:.14}
.frontier .dot{fill:var(--own);stroke:var(--paper);stroke-width:1}
.frontier .leader{fill:none;stroke:var(--own);stroke-width:1;opacity:.55}
.frontier text.name{fill:var(--own);font-weight:600}
@media print{.frontier{max-height:12cm}"""
    + _colours(_LIGHT)
    + "}"
)


def page(command: str, versions: Mapping[str, str], means: Sequence[Mean]) -> str:
    """Return the page as one HTML document.

    Args:
        command: What was run.
        versions: Of the packages that matter, by name.
        means: All means; each data set, setting and size gets a section.
    """
    parts: dict[Part, list[Mean]] = {}
    for mean in means:
        part = (mean.dataset, mean.setting, mean.labels, mean.records_per_teacher)
        parts.setdefault(part, []).append(mean)
    sections = [_part(at, part, mine) for at, (part, mine) in enumerate(parts.items())]
    body = (
        element(
            "header",
            element("p", "secure-fedsa benchmark", class_="eyebrow"),
            element("h1", "Privacy against utility"),
            element("p", "Made by ", element("code", command), class_="run"),
            _warning(command),
        ),
        element("main", *(sections or [element("p", "No row is finished yet.")])),
        element("footer", "; ".join(f"{name} {one}" for name, one in versions.items()) + "."),
    )
    title = "Privacy against utility: secure-fedsa benchmark"
    return whole_page(title, *body, style=_OWN_STYLE)


def _warning(command: str) -> Markup | None:
    if "--quick" not in command:
        return None
    return element(
        "div",
        element("p", element("strong", "A quick run. ")),
        element("p", "Little data, little training: it shows that all works, and ranks nothing."),
        class_="banner plain",
    )


def _part(at: int, part: Part, means: Sequence[Mean]) -> Markup:
    dataset, setting, labels, records = part
    title = f"{dataset}, {setting}, {labels} labels, {records:,} records a teacher"
    deltas = sorted({mean.delta for mean in means if mean.delta is not None})
    said = ", ".join(number(delta) for delta in deltas)
    return section(
        f"part-{at}",
        title,
        paragraphs(
            "Test accuracy of the student, mean over seeds; bands and whiskers are 95% "
            "confidence intervals of that mean by Student's t, where there are several seeds. "
            + (f"Epsilon holds for each teacher's records at delta {said}. " if deltas else "")
            + "Methods at the right have no differential privacy. Payload is the most that one "
            "teacher sends in the whole job."
        ),
        frontier(means, f"Accuracy by epsilon: {title}"),
        table(
            f"All means: {title}",
            [
                "Method",
                "Accuracy",
                "95% interval",
                "Epsilon",
                "Route",
                "Seeds",
                "Time",
                "Payload",
            ],
            [_row(mean) for mean in means],
            class_="nums stack",
        ),
    )


def _row(mean: Mean) -> list[Child]:
    half = mean.half_width
    return [
        mean.method,
        share(mean.accuracy),
        "one seed" if half is None else f"± {half:.3f}",
        "no DP" if mean.epsilon is None else number(mean.epsilon),
        mean.route,
        str(mean.seeds),
        seconds(mean.seconds),
        size(mean.payload_bytes) if mean.payload_bytes else "none",
    ]
