"""``secure-fedsa report``: check a run folder, then draw its report with the verdict on top."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.page_file import page_beside, write_whole
from secure_fedsa.cli.parsing import add_parser, printable
from secure_fedsa.cli.verify import tell_failed
from secure_fedsa.errors import VerificationError

if TYPE_CHECKING:
    from secure_fedsa.audit.evidence import Evidence
    from secure_fedsa.audit.verify import Verdict


EXAMPLE = """\
examples:
  secure-fedsa report demo-run
  secure-fedsa report demo-run --trust keys.toml --out audited.html
  secure-fedsa report demo-run --json

The report inside a run folder was written by whoever made the folder. This one is drawn here,
from the files that were checked.

exit codes: 0 drawn; 1 the folder does not verify, and nothing is drawn; 2 the folder, the trust
file or the output cannot be used.
"""


def add(commands: Any) -> None:
    """Register the command."""
    report = add_parser(
        commands,
        "report",
        help="check a run folder and draw its report with the verdict on top",
        description="Verifies a run folder, then draws its report again from the agreement, the\n"
        "summary and the roster, with the verdict at the top of the page.",
        epilog=EXAMPLE,
    )
    report.add_argument("folder", metavar="DIR", type=Path, help="the run folder")
    report.add_argument(
        "--trust",
        metavar="keys.toml",
        type=Path,
        help="the parties' keys as you know them; without it no identity is checked",
    )
    report.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="where to write the page (default: beside the folder, DIR-report.html)",
    )
    report.add_argument("--json", action="store_true", help="print verdict and page's path as JSON")
    report.set_defaults(action=_report)


def _report(arguments: argparse.Namespace) -> int:
    from secure_fedsa.audit.trust import read_trust

    trust = None if arguments.trust is None else read_trust(arguments.trust)
    out = page_beside(arguments.folder, arguments.out, "report")
    try:
        page, verdict = _draw(arguments.folder, trust, str(arguments.trust or ""))
    except VerificationError as error:
        return tell_failed(error, as_json=arguments.json)
    write_whole(out, page)
    if arguments.json:
        print(json.dumps({"verdict": verdict, "report": str(out)}, indent=2))
    else:
        print(f"Verdict: {printable(verdict)}")
        print(f"Report: {out}")
    return 0


def _draw(folder: Path, trust: dict[str, str] | None, trusted: str) -> tuple[bytes, str]:
    """Return the page and the verdict of a folder.

    A file that is read again for the page must be the one that was checked: the open folder
    remembers its hash.
    """
    from secure_fedsa.audit.folder import Folder
    from secure_fedsa.audit.verify import verify_evidence

    with Folder(folder) as evidence:
        verdict = verify_evidence(evidence, trust)
        words = verdict.words(trusted)
        return _page(evidence, verdict, words), words


def _page(evidence: Evidence, verdict: Verdict, words: str) -> bytes:
    """Return the page of files that were verified."""
    from secure_fedsa.engines.run_folder import SUMMARY_FILE
    from secure_fedsa.messages import Roster
    from secure_fedsa.planning import check_promises
    from secure_fedsa.report.html import report_html
    from secure_fedsa.report.summary import facts_of
    from secure_fedsa.wire import bodies, canonical

    facts, agreement = verdict.facts, verdict.facts.agreement
    rosters = [name for name in evidence.names if name.endswith("-roster.json")]
    said = [canonical.decode(evidence.read(name))["body"] for name in rosters]
    roster = bodies.from_json(Roster, max(said, key=lambda body: int(body["number"])))
    assert isinstance(roster, Roster)
    summary = canonical.decode(evidence.read(SUMMARY_FILE))
    drawn = facts_of(
        summary,
        agreement=agreement,
        plan=check_promises(agreement),
        roster=roster,
        charged=facts.charged,
    )
    page = report_html(drawn, summary, verdict=words, identities_checked=verdict.identities_checked)
    return page.encode()
