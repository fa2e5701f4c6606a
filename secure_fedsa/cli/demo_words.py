"""What the demo says when it is done."""

from __future__ import annotations

import shlex

from secure_fedsa.cli.closing_words import outcome_text
from secure_fedsa.cli.demo import DemoResult


def demo_text(result: DemoResult) -> str:
    """Return the demo's closing words."""
    lines = [outcome_text(result.finished)]
    if result.simulation is not None:
        lines.append(f"Simulation without noise, not for others: {result.simulation}")
    command = f"  secure-fedsa verify {shlex.quote(str(result.finished.out))}"
    lines += [
        "Check it, from the folder alone, and with the keys that the demo's parties made:",
        command,
        f"{command} --trust {shlex.quote(str(result.trust))}",
    ]
    return "\n".join(lines)
