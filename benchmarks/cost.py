"""Seconds of the default demo with and without encryption, in turn.

    .venv/bin/python -m benchmarks.cost --rounds 3 --out FILE

Whole processes, set-up and data in place; run it on an otherwise idle machine. Compare the
two arms by the ratio: seconds differ by machine and by hour.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def run_once(arm: str) -> dict[str, Any]:
    """Return the row of one demo in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "secure_fedsa.cli.main", "demo"]
        began = time.monotonic()
        subprocess.run(  # noqa: S603 - the command is this file's own
            [*command, "--out", str(out), "--encryption", arm], check=True, capture_output=True
        )
        seconds = time.monotonic() - began
        summary = json.loads((out / "summary.json").read_text())
    return {
        "encryption": arm,
        "process_seconds": round(seconds, 1),
        "wall_seconds": summary["wall_seconds"],
        "payload_bytes": summary["payload_bytes"],
    }


def main() -> int:
    """Run all rounds, print medians and the ratio, write rows with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    for _ in range(options.rounds):
        for arm in ("on", "off"):
            rows.append(run_once(arm))
            print(json.dumps(rows[-1]), flush=True)
    medians = {
        arm: statistics.median(row["process_seconds"] for row in rows if row["encryption"] == arm)
        for arm in ("on", "off")
    }
    result = {
        "rows": rows,
        "median_seconds": medians,
        "off_over_on": medians["off"] / medians["on"],
    }
    print(json.dumps({name: result[name] for name in ("median_seconds", "off_over_on")}))
    if options.out:
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
