"""report.html: one run on one page that needs nothing but itself.

No script, no request, no font or image from elsewhere; the page's own policy forbids them.
Values come from summary.json where it has them, so that the page never shows what the
agreement keeps back.
"""

from __future__ import annotations

from typing import Any

from secure_fedsa.report import wording
from secure_fedsa.report.drawing import Axis, bar
from secure_fedsa.report.flow import flow, legend
from secure_fedsa.report.markup import (
    Child,
    Markup,
    bullets,
    element,
    join,
    number,
    paragraphs,
    section,
    share,
    table,
    users,
)
from secure_fedsa.report.page import alarm, whole_page
from secure_fedsa.report.protection import encryption_section, privacy_sections
from secure_fedsa.report.record import agreement_section, cost_section, trust_section
from secure_fedsa.report.summary import RunFacts

_CLASSES_SHOWN = 12


def report_html(
    facts: RunFacts,
    summary: dict[str, Any],
    *,
    verdict: str = "",
    identities_checked: bool = False,
) -> str:
    """Return the report of a finished run as one HTML document.

    Args:
        facts: The run.
        summary: What :func:`secure_fedsa.report.summary.summary_json` made of it.
        verdict: What a check of the run folder found, when the page is drawn after one. The
            page inside a run folder has none, and says so.
        identities_checked: Whether that check compared keys with known ones.
    """
    title = f"Run {facts.run_id[:12]}"
    return whole_page(
        f"{title}: secure-fedsa report",
        _header(
            facts,
            summary,
            _verdict(
                verdict,
                identities_checked=identities_checked,
                student_protected=facts.plan.student is not None,
                institutions_protected=bool(facts.plan.institution),
            ),
        ),
        element(
            "main",
            _figures(facts, summary),
            _flow_section(facts),
            _teachers_section(facts, summary),
            _accuracy_section(facts, summary),
            *privacy_sections(facts, summary),
            encryption_section(facts),
            cost_section(summary),
            trust_section(facts),
            agreement_section(facts, summary),
        ),
        element("footer", _footer(facts, verdict)),
    )


def _footer(facts: RunFacts, verdict: str) -> str:
    if verdict:
        return f"Drawn by secure-fedsa from the checked folder of run {facts.run_id}."
    return f"Written by secure-fedsa at the end of run {facts.run_id}."


def _header(facts: RunFacts, summary: dict[str, Any], verdict: Markup) -> Markup:
    return element(
        "header",
        element("p", "secure-fedsa run report", class_="eyebrow"),
        element("h1", users(facts.agreement.title)),
        verdict,
        *(alarm(text) for text in wording.warnings(summary)),
        None if wording.warnings(summary) else _calm(facts),
        element("p", wording.outcome(summary), class_="lead"),
        element("p", wording.privacy_statement(facts, summary), class_="lead"),
        element("p", "Run ", element("code", facts.run_id), class_="run"),
    )


def _calm(facts: RunFacts) -> Markup:
    head, rest = wording.encryption_on(facts.agreement).split(". ", maxsplit=1)
    return element(
        "div",
        element("p", element("strong", f"{head}."), f" {rest}"),
        class_="banner calm",
        role="status",
    )


def _verdict(
    verdict: str,
    *,
    identities_checked: bool,
    student_protected: bool,
    institutions_protected: bool,
) -> Markup:
    """Return what is known about the folder behind the page: a verdict, or that there is none."""
    if not verdict:
        return element(
            "div",
            element("p", element("strong", "Nothing on this page was checked by reading it. ")),
            element("p", wording.OWN_PAGE),
            class_="banner plain",
        )
    return element(
        "div",
        element("p", "Verdict: ", element("strong", users(verdict))),
        element(
            "p",
            "What is recomputed was worked out again from the run folder when this page was "
            "drawn. What is attested is the word of those who are named with it. What the verdict "
            "does not mean:",
        ),
        bullets(
            wording.limits(
                identities_checked=identities_checked,
                student_protected=student_protected,
                institutions_protected=institutions_protected,
            )
        ),
        class_="banner plain",
    )


def _figures(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    accuracy, best = summary["accuracy"].get("student"), wording.best_baseline(summary)
    teachers = summary["teachers"]
    chosen = sum(bool(teacher["selected"]) for teacher in teachers)
    spent, scope = _spent(facts, summary)
    compared = "share of the test records that it gets right"
    if best is not None:
        compared = f"best baseline without teachers: {share(best[1])}"
    return element(
        "dl",
        _figure("Student test accuracy", share(accuracy), compared),
        _figure("Differential privacy", spent, scope),
        _figure(
            "Teachers selected",
            f"{chosen} of {len(teachers)}",
            f"at most {facts.agreement.selection.select} by agreement, "
            f"no sum over fewer than {facts.plan.smallest_sum}",
        ),
        class_="figures",
    )


def _spent(facts: RunFacts, summary: dict[str, Any]) -> tuple[str, str]:
    """Return the figure of differential privacy, and what it means."""
    if facts.agreement.privacy is None:
        return "none", "NO DIFFERENTIAL PRIVACY: the agreement has none"
    spent = f"ε = {number(summary['epsilon'])}"
    scope = (
        f"at δ = {number(summary['delta'])}, for each teacher in this run; protects "
        f"{wording.unit(facts)} ({facts.agreement.promise.neighbours})"
    )
    if summary["simulated"]:
        return "none", f"simulated noise; fresh noise would give {spent} {scope}"
    return spent, scope


def _figure(name: str, value: str, small: str) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="big"),
        element("dd", small, class_="small"),
    )


def _flow_section(facts: RunFacts) -> Markup:
    return section(
        "flow",
        "The run, message by message",
        element(
            "p",
            "Time runs downward. Sizes are of all messages of a kind together. "
            + (
                "A box with a thick border is where noise is added: before anything leaves the "
                "teacher, and after the charge is durable."
                if facts.agreement.protection.dp
                else "Nowhere is noise added."
            ),
        ),
        legend(facts.agreement),
        flow(facts),
    )


def _teachers_section(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    selection, teachers = facts.agreement.selection, summary["teachers"]
    scores = [teacher["score"] for teacher in teachers if teacher["score"] is not None]
    kinds = any(teacher["kind"] is not None for teacher in teachers)
    ranked = facts.agreement.publish.scores == "order"
    axis = Axis.around(scores, selection.threshold)
    ordered = sorted(
        teachers, key=lambda t: (-t["score"] if t["score"] is not None else 0.0, t["id"])
    )
    rows: list[list[Child]] = []
    for teacher in ordered:
        score, chosen = teacher["score"], bool(teacher["selected"])
        row: list[Child] = [
            join([users(teacher["id"]), element("span", _task(teacher["task"]), class_="sub")]),
            _score(score, facts.roster.scores.get(teacher["id"]), ranked=ranked),
            element("span", _status(teacher, selection.threshold), class_=_pill(chosen=chosen)),
        ]
        if kinds:
            row.append(teacher["kind"] or "not known")
        row.append(bar(score, axis, own=chosen))
        rows.append(row)
    headers = ["Teacher and its task", "Score", "Outcome"]
    headers += ["Kind (demo)"] if kinds else []
    headers.append(f"Score, line at {selection.threshold:g}")
    return section(
        "teachers",
        "Teachers and their scores",
        paragraphs(
            wording.NO_SCORES
            if facts.agreement.institution_privacy is not None
            else "A score says how far a teacher's saliency agrees with the student's. At most "
            f"{selection.select} teachers with a score of at least {selection.threshold:g} are "
            "selected; the dashed line is that agreed threshold."
        ),
        None
        if scores or facts.agreement.institution_privacy is not None
        else element("p", _unpublished(ranked=ranked)),
        table("Scores and selection by teacher", headers, rows, class_="bars stack"),
    )


def _score(score: float | None, rank: float | None, *, ranked: bool) -> str:
    if score is not None:
        return f"{score:z.3f}"
    return f"rank {rank:g}" if ranked and rank is not None else "not published"


def _unpublished(*, ranked: bool) -> str:
    if ranked:
        return "The scores of this run are not published; their order is."
    return "The scores of this run are not published."


def _pill(*, chosen: bool) -> str:
    return "pill on" if chosen else "pill"


def _task(classes: list[str]) -> Markup:
    more = len(classes) - _CLASSES_SHOWN
    parts: list[Child] = []
    for index, name in enumerate(classes[:_CLASSES_SHOWN]):
        parts += [", " if index else None, users(name)]
    return join([*parts, f" and {more} more" if more > 0 else None])


def _status(teacher: dict[str, Any], threshold: float) -> str:
    if teacher["selected"]:
        return "selected"
    score = teacher["score"]
    if score is None:
        return "not selected"
    return "below threshold" if score < threshold else "above, not among the best"


def _accuracy_section(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    values = wording.accuracies(summary)
    axis = Axis(0.0, 1.0)
    rows: list[list[Child]] = [
        [
            join(
                [
                    wording.ACCURACY_NAMES[name],
                    element("span", wording.ACCURACY_MEANING[name], class_="sub"),
                ]
            ),
            share(value),
            bar(value, axis, own=name in wording.OWN),
        ]
        for name, value in values.items()
    ]
    return section(
        "accuracy",
        "Accuracy against baselines",
        paragraphs("Share of test records classified rightly; test records serve nothing else."),
        table(
            "Test accuracy by model",
            ["Model", "Accuracy", "From 0 to 1"],
            rows,
            class_="bars stack",
        ),
        element(
            "p",
            (
                "The baselines use no teacher, hence spend none of their privacy. "
                if facts.plan.student is None
                else ""
            )
            + wording.whose_accuracies(facts),
            class_="note",
        ),
    )
