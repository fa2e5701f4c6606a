"""Tightness, false alarms and power of the one-run audit, all by the command's own code.

    .venv/bin/python -m benchmarks.audit --out FILE.json

Each row is kept at once in FILE.json.rows: the same command goes on where an earlier one stopped.
Noise comes from the operating system, so rows differ from campaign to campaign; the targets have to
hold all the same. Exit code 1 if one does not.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from benchmarks.audit.campaign import QUICK, Size, run
from benchmarks.audit.report import report
from secure_fedsa.cli.progress import Progress


def main() -> int:
    """Run what is missing, write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="few small rows: measures nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = QUICK if options.quick else Size()
    result = report(run(options.out, size, Progress().say), size)
    options.out.write_text(json.dumps(result, indent=2) + "\n")
    for target in result["targets"]:
        print(json.dumps(target))
    return 0 if all(target["holds"] for target in result["targets"]) else 1


if __name__ == "__main__":
    sys.exit(main())
