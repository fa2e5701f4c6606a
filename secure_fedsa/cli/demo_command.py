"""``secure-fedsa demo``: its options."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from secure_fedsa.cli.parsing import add_parser, positive, whole

EXAMPLE = """\
examples:
  secure-fedsa demo
  secure-fedsa demo --seed 1 --epsilon 0.5 --out runs/half
  secure-fedsa demo --student-epsilon 4 --labels 200 --out runs/student
  secure-fedsa demo --data my-data --out runs/mine
  secure-fedsa demo --route private-training --out runs/trained
"""


def add(commands: Any) -> None:
    """Register the command."""
    demo = add_parser(
        commands,
        "demo",
        help="run the whole job on public data, or on a folder of your own",
        description="Nine institutions, one student: runs the whole job on Fashion-MNIST (or\n"
        "--data) with real ciphertexts, signatures and ledgers, and writes a run folder.",
        epilog=EXAMPLE,
    )
    demo.add_argument(
        "--out", type=Path, default=Path("demo-run"), help="run folder (default: demo-run)"
    )
    demo.add_argument(
        "--seed",
        type=whole(0),
        default=0,
        help="of the data split and model training, never of noise or keys (default: 0)",
    )
    demo.add_argument(
        "--epsilon",
        type=positive,
        default=1.0,
        help="privacy loss bound per record and teacher, at delta 1e-5 (default: 1)",
    )
    demo.add_argument(
        "--labels", type=whole(1), default=100, help="labels of the student (default: 100)"
    )
    demo.add_argument(
        "--records", type=whole(1), default=4500, help="private records a teacher (default: 4500)"
    )
    demo.add_argument(
        "--select", type=whole(1), default=6, help="most teachers to select (default: 6)"
    )
    demo.add_argument(
        "--encryption",
        choices=("on", "off"),
        default="on",
        help="off: no encryption and no masks, for comparison only (default: on)",
    )
    demo.add_argument(
        "--data", type=Path, help="folder of .npz files (docs/data.md) instead of Fashion-MNIST"
    )
    demo.add_argument(
        "--route",
        choices=("noisy-release", "private-training", "encryption-only"),
        default="noisy-release",
        help="teachers are records under noise, linear classifiers trained with noise, or networks "
        "with NO DIFFERENTIAL PRIVACY (default: noisy-release)",
    )
    demo.add_argument(
        "--student-epsilon",
        metavar="E",
        type=positive,
        help="protect the student's own labelled records too, at this epsilon (default: they are "
        "NOT protected)",
    )
    demo.add_argument("--json", action="store_true", help="print summary.json to standard output")
    demo.set_defaults(action=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.demo import run_demo
    from secure_fedsa.cli.demo_agreement import DemoOptions
    from secure_fedsa.cli.demo_words import demo_text
    from secure_fedsa.cli.progress import Progress

    options = DemoOptions(
        seed=arguments.seed,
        epsilon=arguments.epsilon,
        labels=arguments.labels,
        select=arguments.select,
        records=arguments.records,
        encryption=arguments.encryption == "on",
        route=arguments.route,
        student_epsilon=arguments.student_epsilon,
        data=str(arguments.data.resolve()) if arguments.data else "",
    )
    result = run_demo(arguments.out, options, Progress())
    summary = result.finished.summary
    print(json.dumps(summary, indent=2) if arguments.json else demo_text(result))
    return 0
