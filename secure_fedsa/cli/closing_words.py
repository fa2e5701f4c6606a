"""What a command says when a run is done: selection, accuracy, spends, and where things are."""

from __future__ import annotations

import math
import shlex
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.runner import Finished
from secure_fedsa.planning import unit_words
from secure_fedsa.privacy.shown import at_most

_ACCURACIES = {
    "student": "student (head on the public encoder)",
    "student_network": "student network, alone on raw records",
    "self_training": "the same network, self-trained on the probes",
    "public_encoder": "public encoder without teachers",
    "scratch": "the same network from scratch",
}


def outcome_text(finished: Finished) -> str:
    """Return what came out of a run, and what it cost."""
    summary, signing = finished.summary, finished.signing_seconds
    accuracy = summary["accuracy"]
    lines = ["", *_table(summary["teachers"]), "", "Test accuracy"]
    lines += [
        f"  {accuracy[name]:.3f}  {words}"
        for name, words in _ACCURACIES.items()
        if accuracy.get(name) is not None
    ]
    lines += [
        "",
        _spent(summary, finished.agreement),
        *_student(summary),
        *_institution(summary),
        *summary.get("notices", ()),
        (
            f"Took {summary['wall_seconds']['total'] + signing:.0f} s, of which {signing:.0f} s to "
            f"check, sign and write the run; {summary['payload_bytes'] / 1e6:.1f} MB of messages."
        ),
        f"Run folder: {finished.out} (open {finished.out / 'report.html'})",
    ]
    if not summary["protection"]["he"]:
        lines.insert(0, "\nWARNING: ENCRYPTION AND MASKS WERE OFF. Single signals were open.")
    return "\n".join(lines)


def agreed_text(finished: Finished) -> str:
    """Return the closing words of ``run``."""
    command = f"  secure-fedsa verify {shlex.quote(str(finished.out))}"
    lines = [
        outcome_text(finished),
        "Check it, from the folder alone, or with keys that you know from elsewhere:",
        command,
        f"{command} --trust keys.toml",
    ]
    return "\n".join(lines)


def _table(teachers: list[dict[str, Any]]) -> list[str]:
    """Return a row a teacher, best first; what is not known of any teacher has no column."""
    rows = [("selected", "teacher", "score", "kind")]
    for teacher in sorted(teachers, key=_by_score):
        score = "" if teacher["score"] is None else f"{teacher['score']:z.2f}"
        chosen = "yes" if teacher["selected"] else ""
        rows.append((chosen, teacher["id"], score, teacher["kind"] or ""))
    columns = [
        column for column in zip(*rows, strict=True) if column[0] == "selected" or any(column[1:])
    ]
    widths = [max(map(len, column)) for column in columns]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in zip(*columns, strict=True)
    ]


def _by_score(teacher: dict[str, Any]) -> float:
    return math.inf if teacher["score"] is None else -float(teacher["score"])


def _student(summary: dict[str, Any]) -> list[str]:
    told = summary.get("student_privacy")
    if told is None:
        return []
    return [
        f"The student's labelled records: epsilon {at_most(told['epsilon'])}, once for all runs.",
        "Baselines without teachers, made of them without noise, are not computed.",
    ]


def _institution(summary: dict[str, Any]) -> list[str]:
    told = summary.get("institution_privacy")
    if told is None:
        return []
    return [
        (
            f"A whole teacher in the sum: epsilon {at_most(told['sum-and-colluding'])}, told with "
            "the agreed number of colluding teachers, while masks and encryption hold."
        ),
    ]


def _spent(summary: dict[str, Any], agreement: Agreement) -> str:
    if summary["epsilon"] is None:
        return "Spent: unbounded, at every teacher."
    return (
        f"Spent: epsilon {at_most(summary['epsilon'])} at delta {summary['delta']:g} "
        f"{unit_words.per_unit(agreement.promise)}, at every teacher."
    )
