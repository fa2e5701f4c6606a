"""What the demo says when it is done."""

from __future__ import annotations

import math
import shlex
from typing import Any

from secure_fedsa.cli.demo import DemoResult


def _by_score(teacher: dict[str, Any]) -> float:
    return math.inf if teacher["score"] is None else -float(teacher["score"])


def demo_text(result: DemoResult) -> str:
    """Return the demo's closing words."""
    summary, out = result.summary, result.out
    accuracy = summary["accuracy"]
    rows = [("selected", "teacher", "score", "kind")]
    for teacher in sorted(summary["teachers"], key=_by_score):
        score = "-" if teacher["score"] is None else f"{teacher['score']:.2f}"
        chosen = "yes" if teacher["selected"] else ""
        rows.append((chosen, teacher["id"], score, teacher["kind"] or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    names = {
        "student": "student (head on the public encoder)",
        "student_network": "student network, alone on raw records",
        "self_training": "the same network, self-trained on the probes",
        "public_encoder": "public encoder without teachers",
        "scratch": "the same network from scratch",
    }
    lines = ["", *table, "", "Test accuracy"]
    lines += [
        f"  {accuracy[name]:.3f}  {words}" for name, words in names.items() if name in accuracy
    ]
    lines += [
        "",
        (
            f"Spent: epsilon {summary['epsilon']:.4g} at delta {summary['delta']:g} per "
            f"{summary['privacy_unit']} ({summary['neighbours']}), at every teacher."
        ),
        (
            f"Took {summary['wall_seconds']['total']:.0f} s; "
            f"{summary['payload_bytes'] / 1e6:.1f} MB of messages."
        ),
        f"Run folder: {out} (open {out / 'report.html'})",
    ]
    if result.simulation is not None:
        lines.append(f"Simulation without noise, not for others: {result.simulation}")
    lines += [
        "Check it, from the folder alone, and with the keys that the demo's parties made:",
        f"  secure-fedsa verify {shlex.quote(str(out))}",
        f"  secure-fedsa verify {shlex.quote(str(out))} --trust {shlex.quote(str(result.trust))}",
    ]
    if not summary["protection"]["he"]:
        lines.insert(0, "\nWARNING: ENCRYPTION AND MASKS WERE OFF. Single signals were open.")
    return "\n".join(lines)
