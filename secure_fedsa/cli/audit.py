"""``secure-fedsa audit``: measure the privacy loss of what an agreement describes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from secure_fedsa.cli import audit_canaries
from secure_fedsa.cli.parsing import add_parser

EXAMPLE = """\
examples:
  secure-fedsa audit agreement.toml --canaries 16000
  secure-fedsa audit agreement.toml --canaries 16000 --teacher hospital-east --json
  secure-fedsa audit agreement.toml --canaries 4000 --runs 2

exit codes: 0 fine; 1 the measured loss is above the claim, or the release is not as planned;
2 wrong usage or bad input.
"""


def add(commands: Any) -> None:
    """Register the command."""
    audit = add_parser(
        commands,
        "audit",
        help="measure the privacy loss of an agreement on planted records",
        description="With --canaries: runs the agreed code on planted records and gives three\n"
        "lower bounds on epsilon, each at 95% confidence, from one noisy release, beside the\n"
        "epsilon that is claimed. No private data are read and nothing is charged.",
        epilog=EXAMPLE,
    )
    audit.add_argument("subject", metavar="CONFIG", type=Path, help="an agreement file")
    kind = audit.add_mutually_exclusive_group(required=True)
    audit_canaries.add_arguments(audit, kind)
    audit.add_argument("--json", action="store_true", help="print the result as JSON")
    audit.set_defaults(action=_audit)


def _audit(options: argparse.Namespace) -> int:
    return audit_canaries.run(options)
