"""``secure-fedsa benchmark``: measurements, from a source checkout only."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import secure_fedsa
from secure_fedsa.cli.parsing import add_parser, positive, whole
from secure_fedsa.errors import UsageError

EXAMPLE = """\
examples:
  secure-fedsa benchmark utility --quick --out results/quick.json
  secure-fedsa benchmark utility --seeds 0 1 2 --epsilons 1 8 --out results/utility.json
  secure-fedsa benchmark utility --methods scratch fedsa --out results/two.json
"""


def add(commands: Any) -> None:
    """Register the command."""
    benchmark = add_parser(
        commands,
        "benchmark",
        help="measure methods against each other (from a source checkout)",
        description="Measurements on public data. They run from a source checkout.",
        epilog="example:\n  secure-fedsa benchmark utility --quick --out results/quick.json\n",
    )
    kinds = benchmark.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    utility = add_parser(
        kinds,
        "utility",
        help="accuracy of all methods over epsilons and seeds",
        description="Accuracy, seconds and bytes of secure-fedsa and of its baselines. Each\n"
        "finished row is kept at once in FILE.rows: the same command goes on where an earlier\n"
        "one stopped. Writes FILE and a page beside it, FILE's name ending in .html.",
        epilog=EXAMPLE,
    )
    utility.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="result file")
    utility.add_argument(
        "--quick",
        action="store_true",
        help="every method once on little data: checks that all works, measures nothing",
    )
    utility.add_argument(
        "--seeds",
        type=whole(0),
        nargs="+",
        default=[],
        metavar="SEED",
        help="public seeds of splits and training (default: 0 to 4; with --quick: 0)",
    )
    utility.add_argument(
        "--epsilons",
        type=positive,
        nargs="+",
        default=[],
        metavar="EPSILON",
        help="at delta 1e-5 (default: 0.25 0.5 1 2 4 8; with --quick: 1)",
    )
    for name, what in (
        ("labels", "labelled records of the student (default: 100)"),
        ("records", "records a teacher (default: 4500; with --quick: 800)"),
    ):
        utility.add_argument(f"--{name}", type=whole(1), metavar="N", help=what)
    for name, what in (
        ("methods", "methods (default: all)"),
        ("datasets", "data sets (default: all)"),
        (
            "settings",
            "nine-teachers (three of them bad), six-relevant, multi-task (default: first and last)",
        ),
    ):
        utility.add_argument(
            f"--{name}", nargs="+", default=[], metavar=name[:-1].upper(), help=what
        )
    utility.add_argument(
        "--json", action="store_true", help="print where the results are as one JSON object"
    )
    utility.set_defaults(action=_utility)


def _utility(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.progress import Progress

    out: Path = arguments.out
    if out.suffix != ".json":
        raise UsageError(f"--out {out} does not end in .json.", do="Name a file ending in .json.")
    command = _benchmarks("benchmarks.utility.command")
    options = command.Options(
        out=out,
        quick=arguments.quick,
        seeds=tuple(arguments.seeds),
        epsilons=tuple(arguments.epsilons),
        methods=tuple(arguments.methods),
        datasets=tuple(arguments.datasets),
        settings=tuple(arguments.settings),
        labels=arguments.labels,
        records=arguments.records,
    )
    progress = Progress()
    rows = command.run(options, progress.say)
    result = {"file": str(out), "page": str(out.with_suffix(".html")), "rows": len(rows)}
    told = f"{result['rows']} rows in {result['file']}, page {result['page']}"
    print(json.dumps(result, indent=2) if arguments.json else told)
    return 0


def _benchmarks(name: str) -> ModuleType:
    """Return a module of the checkout's folder ``benchmarks``.

    Raises:
        UsageError: If there is none beside this package; some other package of that name,
            which may well be installed, is not taken for it.
    """
    missing = UsageError(
        "The benchmarks are not installed.",
        why="They are no part of the installed package.",
        do="Run this command from a source checkout, installed with: pip install -e .",
    )
    root = Path(secure_fedsa.__file__).resolve().parent.parent
    if not (root / "benchmarks" / "utility" / "__init__.py").is_file():
        raise missing
    # First: packages of that name are about, some of them among what ours depends on.
    sys.path.insert(0, str(root))
    try:
        package = importlib.import_module("benchmarks")
    except ModuleNotFoundError as error:
        raise missing from error
    if Path(package.__file__ or "").resolve().parent != root / "benchmarks":
        raise missing
    return importlib.import_module(name)
