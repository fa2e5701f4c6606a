"""``secure-fedsa audit DIR --report``: an auditor's questions, answered from a run folder."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from secure_fedsa.cli.page_file import page_beside, require_ours, write_whole
from secure_fedsa.cli.parsing import printable
from secure_fedsa.cli.verify import tell_failed
from secure_fedsa.errors import UsageError, VerificationError


def add_arguments(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Add ``--report`` to the kinds of an audit, and its options to the parser.

    Args:
        parser: The parser of ``secure-fedsa audit``; it has ``subject`` and ``--json``.
        kind: The group of which one kind must be chosen.
    """
    kind.add_argument(
        "--report",
        action="store_true",
        help="answer the questions of NIST SP 800-226 from the run folder DIR, as page and JSON",
    )
    parser.add_argument(
        "--trust",
        metavar="keys.toml",
        type=Path,
        help="with --report: the parties' keys as you know them; without it no identity is checked",
    )
    parser.add_argument(
        "--out",
        metavar="FILE.html",
        type=Path,
        help="with --report: where to write the page, and FILE.json beside it (default: beside "
        "the folder, DIR-audit.html)",
    )
    parser.add_argument(
        "--audit-result",
        metavar="FILE",
        type=Path,
        help="with --report: what --canaries printed with --json for this run's agreement",
    )


def run(options: argparse.Namespace) -> int:
    """Check the folder, write page and document, and return the exit code."""
    from secure_fedsa.audit.trust import read_trust

    trust = None if options.trust is None else read_trust(options.trust)
    page, data = _outputs(options.subject, options.out)
    try:
        document = _document(options.subject, trust, options)
    except VerificationError as error:
        return tell_failed(error, as_json=options.json)
    _write(document, options.subject, page, data)
    if options.json:
        print(json.dumps(document, indent=2))
    else:
        print(_text(document, page, data))
    return 0


def _document(
    folder: Path, trust: dict[str, str] | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Return the report of a folder.

    A file that is read again must be the one that was checked: the open folder remembers its hash.
    """
    from secure_fedsa.audit.answers import answer
    from secure_fedsa.audit.answers.audit_result import read_audit_result
    from secure_fedsa.audit.answers.document import document
    from secure_fedsa.audit.answers.source import read_source
    from secure_fedsa.audit.folder import Folder
    from secure_fedsa.audit.verify import verify_evidence
    from secure_fedsa.cli.progress import Progress

    result = options.audit_result
    measured = None if result is None else read_audit_result(result)
    progress = Progress()
    with Folder(folder) as evidence:
        progress.say("Checking the folder")
        verdict = verify_evidence(evidence, trust)
        progress.say("Answering; of trainings, working out the larger units takes some seconds")
        source = read_source(
            evidence, verdict, trusted=str(options.trust or ""), audit_result=measured
        )
        return document(source, answer(source))


def _outputs(folder: Path, out: Path | None) -> tuple[Path, Path]:
    """Return where page and document go: never into the folder, which would no longer verify."""
    from secure_fedsa.audit.answers.document import FORM

    page = page_beside(folder, out, "audit")
    if page.suffix == ".json":
        raise UsageError(
            f"{page} is named as the JSON document is.", do="Name the page with --out FILE.html."
        )
    data = page.with_suffix(".json")
    begins = json.dumps({"form": FORM}, indent=2).encode().removesuffix(b"\n}")
    require_ours(data, folder.resolve(), begins)
    return page, data


def _write(document: dict[str, Any], folder: Path, page: Path, data: Path) -> None:
    from secure_fedsa.report.audit_page import audit_page

    whole = folder.resolve()
    beside = page.resolve().parent == whole.parent
    drawn = audit_page(document, folder=whole.name if beside else "")
    write_whole(data, json.dumps(document, indent=2).encode() + b"\n")
    write_whole(page, drawn.encode())


def _text(document: dict[str, Any], page: Path, data: Path) -> str:
    width = max(len(status) for status in document["statuses"])
    lines = [f"Verdict: {document['verdict']}", *document["warnings"], ""]
    for answer in document["answers"]:
        lines += [f"{answer['status']:<{width}}  {answer['id']}: {answer['text']}"]
    lines += ["", f"Page: {page}", f"JSON: {data}"]
    return printable("\n".join(lines))
