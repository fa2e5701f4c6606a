"""``secure-fedsa audit``: answer an auditor's questions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from secure_fedsa.cli import audit_report
from secure_fedsa.cli.parsing import add_parser

EXAMPLE = """\
examples:
  secure-fedsa audit demo-run --report
  secure-fedsa audit demo-run --report --trust keys.toml --out answers.html --json

exit codes: 0 fine; 1 the folder does not verify; 2 wrong usage or bad input.
"""


def add(commands: Any) -> None:
    """Register the command."""
    audit = add_parser(
        commands,
        "audit",
        help="answer an auditor's questions on a run",
        description="With --report: answers the questions of NIST SP 800-226 from a run folder's\n"
        "own files, once they verify.",
        epilog=EXAMPLE,
    )
    audit.add_argument(
        "subject",
        metavar="DIR",
        type=Path,
        help="a run folder",
    )
    kind = audit.add_mutually_exclusive_group(required=True)
    audit_report.add_arguments(audit, kind)
    audit.add_argument("--json", action="store_true", help="print the result as JSON")
    audit.set_defaults(action=_audit)


def _audit(options: argparse.Namespace) -> int:
    return audit_report.run(options)
