"""``secure-fedsa run``: a run under an agreement that all parties signed, all on this machine."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from secure_fedsa.cli.parsing import add_parser, whole

EXAMPLE = """\
example:
  secure-fedsa run agreement.toml --data my-data --states states --out runs/first

STATES holds a state folder for each party, by its name in the agreement, with the key that it
signed with. A party that has another machine waits for the engine across machines.
"""


def add(commands: Any) -> None:
    """Register the command."""
    run = add_parser(
        commands,
        "run",
        help="run under a signed agreement, with all parties on this machine",
        description="Asks first whether keys, data and encoder are those of the agreement, names\n"
        "the clause if not, and charges nothing before. Then runs, and writes a run folder.",
        epilog=EXAMPLE,
    )
    run.add_argument("agreement", metavar="FILE", type=Path, help="signed by every party")
    run.add_argument(
        "--data", metavar="DIR", type=Path, required=True, help="folder as in docs/data.md"
    )
    run.add_argument(
        "--states", metavar="STATES", type=Path, required=True, help="the parties' state folders"
    )
    run.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("run"), help="run folder (default: run)"
    )
    run.add_argument(
        "--encoder",
        metavar="FILE",
        type=Path,
        help="its file (default: encoder.safetensors beside the agreement)",
    )
    run.add_argument(
        "--seed", metavar="N", type=whole(0), default=0, help="of model training (default: 0)"
    )
    run.add_argument("--json", action="store_true", help="print summary.json to standard output")
    run.set_defaults(action=_run)


def _run(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.agree_new import ENCODER_FILE
    from secure_fedsa.cli.agreed_run import run_agreed
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.cli.closing_words import agreed_text
    from secure_fedsa.cli.progress import Progress

    finished = run_agreed(
        arguments.out,
        read_agreement(arguments.agreement),
        data=arguments.data.resolve(),
        states=arguments.states,
        encoder=arguments.encoder or arguments.agreement.with_name(ENCODER_FILE),
        seed=arguments.seed,
        progress=Progress(),
    )
    print(json.dumps(finished.summary, indent=2) if arguments.json else agreed_text(finished))
    return 0
