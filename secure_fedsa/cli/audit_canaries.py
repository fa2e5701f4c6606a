"""``secure-fedsa audit CONFIG --canaries M``: lower bounds on epsilon from one noisy release."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import printable, whole
from secure_fedsa.errors import counted
from secure_fedsa.privacy.shown import at_least, at_most, percent_at_least

if TYPE_CHECKING:
    from collections.abc import Iterable

    from secure_fedsa.agreement import Agreement
    from secure_fedsa.audit.canaries.audit import AuditResult
    from secure_fedsa.audit.canaries.verdict import Finding

_NAMES = {"parametric": "parametric", "gdp": "GDP, Clopper-Pearson", "generic": "generic one-run"}
_VALUES_A_SECOND = 75_000  # of the exact sampler


def add_arguments(parser: argparse.ArgumentParser, kind: Any) -> None:
    """Add the options of this kind of audit.

    Args:
        parser: The command's.
        kind: argparse's group of which one option has to be there.
    """
    kind.add_argument(
        "--canaries",
        metavar="M",
        type=whole(2),
        help="plant M records at each teacher, each in a public class of its own; 16000 see much",
    )
    parser.add_argument(
        "--teacher",
        metavar="NAME",
        action="append",
        help="with --canaries: audit this teacher's release (may be repeated; default: all)",
    )
    parser.add_argument(
        "--runs",
        metavar="R",
        type=whole(1),
        help="with --canaries: audit R releases together against their composed claim (default: 1)",
    )


def run(options: argparse.Namespace) -> int:
    """Audit an agreement; return 1 if anything alarms."""
    from threadpoolctl import threadpool_limits

    from secure_fedsa.audit.canaries.audit import audit_agreement, audited_teachers
    from secure_fedsa.cli import agreement_file as files
    from secure_fedsa.cli.progress import Progress
    from secure_fedsa.planning import check_promises
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement = files.read_agreement(options.subject).agreement
    check_promises(agreement)
    states = files.signature_states(agreement)
    files.check_signatures({n: state for n, state in states.items() if state != "missing"})
    audited_teachers(agreement, options.teacher)
    runs = options.runs or 1
    progress = Progress()
    progress.say(_announced(agreement, options.canaries, runs))

    def told(teacher: str, done: int, total: int) -> None:
        progress.say(f"  {teacher}: {done:,} of {total:,}")

    with threadpool_limits(1):  # as in a run
        result = audit_agreement(
            agreement,
            canaries=options.canaries,
            teachers=options.teacher,
            runs=runs,
            progress=told,
        )
    digest = agreement_hash(agreement)
    if options.json:
        print(json.dumps({"agreement": digest, **result.to_dict()}, indent=2))
    else:
        head = f"Agreement {digest[:12]}: {printable(agreement.title)}"
        print("\n".join([head, *_words(agreement, result)]))
    return 1 if result.alarms else 0


def _announced(agreement: Agreement, canaries: int, runs: int) -> str:
    many = f" in {runs} runs" if runs > 1 else ""
    if agreement.training is not None:
        return (
            f"{canaries:,} canaries{many}, {counted(agreement.training.steps, 'step')} a training"
        )
    values = canaries * (agreement.encoder.dimension + 1) * runs
    seconds = values / _VALUES_A_SECOND
    return (
        f"{canaries:,} canaries{many}: {values:,} noise values a teacher, some {seconds:.0f} s each"
    )


def _words(agreement: Agreement, result: AuditResult) -> list[str]:
    from secure_fedsa.audit.canaries.audit import SHOWS, SHOWS_NOT
    from secure_fedsa.planning import unit_words

    first = result.findings[0]
    together = f" for {result.runs} runs together" if result.runs > 1 else ""
    lines = [
        (
            f"Claim: epsilon {at_most(first.claim)} at delta {result.delta:g} "
            f"{unit_words.per_unit(agreement.promise)}{together}"
        ),
        f"  by {result.accountant}",
        (
            f"Measured on {result.canaries:,} planted records a teacher, lower bounds at 95% "
            "confidence and their share of the claim:"
        ),
    ]
    for finding in result.findings:
        lines += [f"  {finding.teacher}", *_finding(finding)]
    lines += _own_size(result.findings)
    if result.alarms:
        lines += ["Verdict: FAIL", *(f"  {alarm}" for alarm in result.alarms)]
    else:
        lines.append("Verdict: PASS, no alarm (sound code alarms in at most 5% of audits)")
    if agreement.training is not None:
        lines += _wrapped(
            "Attacked: the final weights, by somebody who chose the records. The claim holds "
            "against those who see every step."
        )
    if agreement.institution_privacy is not None:
        lines += _wrapped(
            "This is about the noise for records. The shares of noise that hide institutions in "
            "the sum are not audited by canaries."
        )
    return [*lines, *_wrapped(f"Shown: {SHOWS}"), *_wrapped(f"Not shown: {SHOWS_NOT}")]


def _finding(finding: Finding) -> list[str]:
    lines = []
    for bound in finding.bounds:
        said = bound.reason
        if bound.epsilon is not None:
            share = percent_at_least(bound.epsilon / finding.claim)
            said = f"epsilon >= {at_least(bound.epsilon)} ({share})"
        lines.append(f"    {_NAMES[bound.method]:<21} {said}")
    for check in finding.checks:
        state = "-" if check.p_value is None else "ALARM" if check.alarm else "ok"
        lines.append(f"    check {check.name:<15} {state}: {check.found}")
    return lines


def _own_size(findings: Iterable[Finding]) -> list[str]:
    """Return what canaries of the teachers' real classes could show: one line a number."""
    found = {finding.own_size.canaries: finding.own_size for finding in findings}
    lines = []
    for classes, own in sorted(found.items()):
        most = max(own.gdp_at_most, own.generic_at_most)
        planned = max(own.gdp, own.generic, own.parametric or 0.0)
        said = (
            f"epsilon >= {at_least(planned)} if all comes out as planned, {at_least(most)} if "
            "every guess is"
        )
        if most == 0:
            said = "too few for any bound above 0 at this confidence, were every guess"
        lines.append(f"At the run's own size, {counted(classes, 'class', 'classes')}: {said} right")
    return lines


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 96, subsequent_indent="  ")
