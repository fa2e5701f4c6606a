"""The report's sections on cost, on whose word counts for what, and on the agreement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from secure_fedsa.messages import RULES
from secure_fedsa.report import wording
from secure_fedsa.report.drawing import Axis, bar
from secure_fedsa.report.markup import (
    Child,
    Markup,
    bullets,
    element,
    flat,
    seconds,
    section,
    size,
    table,
    users,
)
from secure_fedsa.report.summary import RunFacts

_PHASES = (
    "preparation",
    "opening",
    "query",
    "private-summary",
    "saliency",
    "features",
    "release",
    "amalgamation",
    "erasure",
    "after",
    "baselines",
)


def cost_section(summary: dict[str, Any]) -> Markup:
    """Return the section on bytes and seconds."""
    times = {name: value for name, value in summary["wall_seconds"].items() if name != "total"}
    total = summary["wall_seconds"]["total"]
    return section(
        "cost",
        "What it cost",
        element(
            "p",
            f"{size(summary['payload_bytes'])} in messages, each counted once, and "
            f"{seconds(total)} of wall time; {summary['values_per_teacher']:,} values a selected "
            "teacher. 1 KB is 1,000 bytes.",
        ),
        _amounts("Bytes by message kind", "Message", "Bytes", summary["bytes_by_kind"], size),
        _amounts("Wall seconds by phase", "Phase", "Seconds", times, seconds),
        element(
            "p",
            "Phases are booked from one action to the next, and need not add up to the total.",
            class_="note",
        ),
    )


def _amounts(
    caption: str, what: str, unit: str, amounts: dict[str, float], shown: Callable[[float], str]
) -> Markup:
    if not amounts:
        return element("p", f"{caption}: not recorded.")
    axis = Axis.around([float(value) for value in amounts.values()])
    # JSON objects have no order of their own: a page drawn from a file looks the same.
    known = (*RULES, *_PHASES)
    ordered = sorted(amounts, key=lambda name: (known.index(name) if name in known else 99, name))
    rows: list[list[Child]] = [
        [users(name), shown(amounts[name]), bar(amounts[name], axis, own=True)] for name in ordered
    ]
    return table(caption, [what, unit, "Compared"], rows, class_="bars stack")


def trust_section(facts: RunFacts) -> Markup:
    """Return the section on what can be worked out again and what is somebody's word."""
    withheld = wording.withheld(facts.agreement)
    return section(
        "trust",
        "What can be checked, and whose word the rest is",
        element("p", wording.RECEIPT),
        element("h3", "Recomputed: anybody can work it out again from the run folder"),
        bullets(wording.recomputed(facts)),
        element("h3", "Attested: the word of those who are named"),
        table("Attested, by whom", ["What", "By whom"], wording.attested(facts), class_="stack"),
        element("h3", "Left out of the run folder by agreement") if withheld else None,
        bullets(withheld) if withheld else None,
    )


def agreement_section(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    """Return the parameters of the agreement, its parties, and versions."""
    content = facts.agreement.content()
    parties = content.pop("parties")
    parameters: list[list[Child]] = [[name, users(_value(value))] for name, value in flat(content)]
    signed = facts.agreement.signatures
    people: list[list[Child]] = [
        [
            users(name),
            party["role"],
            element("code", party["key"][:16] + "…"),
            "yes" if name in signed else "no",
        ]
        for name, party in sorted(parties.items())
    ]
    run: list[list[Child]] = [
        ["run id", element("code", summary["run_id"])],
        ["seed of splits and training", str(summary["seed"])],
        ["engine", users(summary["engine"])],
        *([name, users(version)] for name, version in sorted(summary["versions"].items())),
    ]
    return section(
        "agreement",
        "Agreement and versions",
        _details("Parties", table("Parties", ["Party", "Role", "Key", "Signed"], people)),
        _details(
            f"Parameters of the agreement ({len(parameters)})",
            table("Parameters", ["Clause", "Value"], parameters),
        ),
        _details("Run and versions", table("Run and versions", ["What", "Value"], run)),
    )


def _details(title: str, content: Markup) -> Markup:
    return element("details", element("summary", title), content)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
