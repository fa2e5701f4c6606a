"""Seed every fault and see whether the tests notice: ``python -m tests.mutation --help``."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TextIO

from tests.mutation.bench import MAPPED_SECONDS, Bench, Outcome
from tests.mutation.catalogue import Fault, StaleFaultError, load


def main() -> int:
    """Run the campaign; return 0 if all is as the catalogue says, 1 if not, 2 on bad input."""
    options = _parser().parse_args()
    try:
        faults = load()
    except StaleFaultError as error:
        _say(f"error: {error}")
        return 2
    names = {fault.id for fault in faults}
    unknown = [name for name in options.only if name not in names]
    if unknown:
        _say(f"error: no fault {', '.join(unknown)}. See --list.")
        return 2
    chosen = [fault for fault in faults if not options.only or fault.id in options.only]
    if options.list:
        for fault in chosen:
            _say(f"{fault.id}\t{fault.file}\t{fault.loses}", sys.stdout)
        return 0
    began = time.monotonic()
    outcomes = _campaign(chosen, options.seconds, whole=options.whole)
    seconds = round(time.monotonic() - began, 1)
    counts = Counter(outcome.outcome for outcome in outcomes)
    if options.json:
        result = {
            "against": "the whole suite" if options.whole else "mapped tests",
            "seconds": seconds,
            "counts": dict(sorted(counts.items())),
            "faults": [outcome.to_dict() for outcome in outcomes],
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    told = _table(chosen, outcomes) if options.table else _summary(outcomes, counts, seconds)
    _say(told, sys.stdout)
    return 0 if all(outcome.good for outcome in outcomes) else 1


def _say(words: str, to: TextIO = sys.stderr) -> None:
    to.write(words + "\n")
    to.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description="Seed each fault of faults.toml in a copy of the project and run its tests.",
        epilog="Example: python -m tests.mutation --only mask-sign --json result.json",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="ID", help="only these faults")
    parser.add_argument("--list", action="store_true", help="list them and run nothing")
    parser.add_argument(
        "--whole", action="store_true", help="against the whole test suite: hours, offline"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=MAPPED_SECONDS,
        metavar="S",
        help="limit for one fault's mapped tests (%(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write outcomes for programs")
    parser.add_argument("--table", action="store_true", help="print a table in Markdown")
    return parser


def _campaign(faults: list[Fault], seconds: float, *, whole: bool) -> list[Outcome]:
    outcomes = []
    with tempfile.TemporaryDirectory() as folder, Bench(Path(folder), seconds=seconds) as bench:
        for number, fault in enumerate(faults, 1):
            outcome = bench.judge(fault, whole=whole)
            outcomes.append(outcome)
            words = f"{outcome.outcome} in {outcome.seconds} s {outcome.killed_by or outcome.why}"
            _say(f"[{number}/{len(faults)}] {fault.id}: {words}")
    return outcomes


def _summary(outcomes: list[Outcome], counts: Counter[str], seconds: float) -> str:
    lines = [
        f"{outcome.outcome}: {outcome.fault}: {outcome.why}"
        for outcome in outcomes
        if not outcome.good
    ]
    told = ", ".join(f"{count} {name}" for name, count in counts.most_common())
    busy = sum(outcome.cpu_seconds for outcome in outcomes)
    closing = f"{len(outcomes)} faults in {seconds} s ({busy:.0f} s of one processor): {told}."
    return "\n".join([*lines, closing])


def _table(faults: list[Fault], outcomes: list[Outcome]) -> str:
    files: dict[str, Counter[str]] = {}
    for fault, outcome in zip(faults, outcomes, strict=True):
        files.setdefault(fault.file, Counter())[outcome.outcome] += 1
    kinds = sorted({outcome.outcome for outcome in outcomes})
    rows = [("file", "faults", *kinds), ("---",) * (2 + len(kinds))]
    for file, counts in sorted(files.items()):
        figures = [str(counts[kind] or "") for kind in kinds]
        rows.append((f"`{file}`", str(counts.total()), *figures))
    total = Counter(outcome.outcome for outcome in outcomes)
    rows.append(("all", str(total.total()), *(str(total[kind]) for kind in kinds)))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
