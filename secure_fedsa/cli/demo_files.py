"""The files that the demo leaves: the run folder's content, and simulation.json."""

from __future__ import annotations

import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from secure_fedsa.engines import run_folder
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.student import (
    ARCHITECTURE_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    NETWORK_FILE,
    StudentWorkshop,
)
from secure_fedsa.messages import KEY_HOLDER, LedgerSegment, Roster
from secure_fedsa.report.html import report_html
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.summary import RunFacts, summary_json
from secure_fedsa.wire import canonical


def run_files(
    workshop: StudentWorkshop, run: LocalRun, outcome: Outcome, facts: RunFacts, began: float
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the run folder's files in the order in which they are written, and the summary.

    Args:
        workshop: Holds the student's files.
        run: The run that ended.
        outcome: Its messages.
        facts: What is known about it; sizes and total seconds are filled in here.
        began: Monotonic time of the start, seconds.
    """
    record = run_folder.transcript(outcome.envelopes)
    release_log = run.sites[run.agreement.only(KEY_HOLDER)].release_log
    assert release_log is not None
    opened = [e for e in release_log.entries() if e["body"]["run_id"] == outcome.run_id]
    facts = replace(
        facts,
        payload_bytes=record.payload_bytes,
        bytes_by_kind=record.bytes_by_kind,
        total_seconds=time.monotonic() - began,
    )
    summary = summary_json(facts)
    files = {run_folder.AGREEMENT_FILE: run_folder.agreement_toml(run.agreement)}
    files |= {f"transcript/{name}": data for name, data in record.files.items()}
    for name, segment in _segments(outcome).items():
        countersigned = {
            "countersigned_head": facts.roster.ledger_heads.get(name),
            "by": run.agreement.only(KEY_HOLDER),
        }
        files[f"ledger-{name}.jsonl"] = run_folder.json_lines([*segment.entries, countersigned])
    files["release-log.jsonl"] = run_folder.json_lines(opened)
    for name in (NETWORK_FILE, ARCHITECTURE_FILE, HEAD_FILE, ENCODER_FILE):
        files[f"student/{name}"] = (workshop.folder / name).read_bytes()
    files["student/model-card.md"] = model_card(facts, summary).encode()
    files[run_folder.SUMMARY_FILE] = canonical.encode(summary)
    files["report.html"] = report_html(facts, summary).encode()
    return files, summary


def write_simulation(path: Path, values: dict[str, Any]) -> Path:
    """Write simulation.json; an earlier one keeps its content under another name."""
    if path.exists():
        earlier = path.read_bytes()
        mark = canonical.sha256(earlier)[:8]
        path.with_name(f"simulation.{mark}.json").write_bytes(earlier)
    path.write_bytes(canonical.encode(values))
    return path


def roster_of(outcome: Outcome) -> Roster:
    """Return the roster whose sum was opened: the last one that was signed."""
    bodies = run_folder.public_bodies(outcome.envelopes)
    return next(body for _, body in reversed(bodies) if isinstance(body, Roster))


def _segments(outcome: Outcome) -> dict[str, LedgerSegment]:
    bodies = run_folder.public_bodies(outcome.envelopes)
    return {sender: body for sender, body in bodies if isinstance(body, LedgerSegment)}


def versions() -> dict[str, str]:
    """Return the versions that a reader needs to repeat a run."""
    packages = (
        "secure-fedsa",
        "torch",
        "opendp",
        "tenseal",
        "cryptography",
        "phe",
        "numpy",
        "dp-accounting",
    )
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
