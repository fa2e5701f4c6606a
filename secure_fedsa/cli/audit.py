"""``secure-fedsa audit``: answer an auditor's questions, or measure an agreement's loss."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from secure_fedsa.cli import audit_canaries, audit_report
from secure_fedsa.cli.parsing import add_parser
from secure_fedsa.errors import UsageError

USAGE = """\
secure-fedsa audit DIR --report [--trust keys.toml] [--out FILE.html] [--audit-result FILE] [--json]
       secure-fedsa audit CONFIG --canaries M [--teacher NAME] [--runs R] [--json]"""
EXAMPLE = """\
examples:
  secure-fedsa audit demo-run --report
  secure-fedsa audit demo-run --report --trust keys.toml --out answers.html --json
  secure-fedsa audit demo-run --report --audit-result measured.json

  secure-fedsa audit agreement.toml --canaries 16000
  secure-fedsa audit agreement.toml --canaries 16000 --teacher hospital-east --json
  secure-fedsa audit agreement.toml --canaries 4000 --runs 2

exit codes: 0 fine; 1 the folder does not verify, the measured loss is above the claim, or the
release is not as planned; 2 wrong usage or bad input.
"""

_OF_REPORTS: Final = ("--trust", "--out", "--audit-result")
_OF_CANARIES: Final = ("--teacher", "--runs")


def add(commands: Any) -> None:
    """Register the command."""
    audit = add_parser(
        commands,
        "audit",
        help="answer an auditor's questions on a run, or measure the loss on planted records",
        description="With --report: answers the questions of NIST SP 800-226 from a run folder's\n"
        "own files, once they verify, as a page and as JSON.\n"
        "With --canaries: runs the agreed code on planted records and gives three lower bounds\n"
        "on epsilon, each at 95% confidence, from one noisy release, beside the epsilon that is\n"
        "claimed. No private data are read and nothing is charged.",
        usage=USAGE,
        epilog=EXAMPLE,
    )
    audit.add_argument(
        "subject",
        metavar="DIR|CONFIG",
        type=Path,
        help="a run folder with --report, an agreement file with --canaries",
    )
    kind = audit.add_mutually_exclusive_group(required=True)
    audit_report.add_arguments(audit, kind)
    audit_canaries.add_arguments(audit, kind)
    audit.add_argument("--json", action="store_true", help="print the result as JSON")
    audit.set_defaults(action=_audit)


def _audit(options: argparse.Namespace) -> int:
    if options.report:
        _refuse(options, _OF_CANARIES, "--canaries", "--report")
        return audit_report.run(options)
    _refuse(options, _OF_REPORTS, "--report", "--canaries")
    return audit_canaries.run(options)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], kind: str, asked: str) -> None:
    """Refuse what would have no effect: whoever gave it believes that it has one."""
    given = [name for name in names if getattr(options, name[2:].replace("-", "_")) is not None]
    if given:
        raise UsageError(
            f"{' and '.join(given)} cannot be used with {asked}.",
            why=f"Only an audit with {kind} takes such an option.",
            do="See the two kinds of audit in: secure-fedsa audit --help",
        )
