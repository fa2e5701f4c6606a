"""The auditor's report as one JSON document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Any

from secure_fedsa.audit.answers.model import STATUSES, Answer, Status
from secure_fedsa.audit.answers.proof import ALARMED
from secure_fedsa.audit.answers.registry import registry
from secure_fedsa.audit.answers.source import Source
from secure_fedsa.report.wording import limits, warnings

FORM = "secure-fedsa audit report, version 1"
GUIDELINE = {
    "name": "NIST SP 800-226, Guidelines for Evaluating Differential Privacy Guarantees (2025)",
    "url": "https://doi.org/10.6028/NIST.SP.800-226",
}

_SOFTWARE = ("secure-fedsa", "dp-accounting")  # of the machine that makes the report


def document(source: Source, answers: Sequence[Answer]) -> dict[str, Any]:
    """Return the report of a verified run folder as JSON values.

    Its form is docs/audit-report.schema.json. ``form`` comes first, so that a file of it can be
    told from others by its first bytes.
    """
    facts = source.verdict.facts
    return {
        "form": FORM,
        "verdict": source.verdict.words(source.trusted),
        "identities_checked": source.verdict.identities_checked,
        "trust": source.trusted or None,
        "run_id": facts.run_id,
        "agreement": facts.agreement_hash,
        "title": facts.agreement.title,
        "route": facts.agreement.route,
        "warnings": [*warnings(source.summary), *_alarms(source)],
        "limits": limits(
            identities_checked=source.verdict.identities_checked,
            student_protected=facts.agreement.student_privacy is not None,
            institutions_protected=facts.agreement.institution_privacy is not None,
        ),
        "guideline": dict(GUIDELINE),
        "software": {name: version(name) for name in _SOFTWARE},
        "statuses": dict(STATUSES),
        "questions": _counted(found.status for found in answers),
        "points": _counted(point.status for found in answers for point in found.points),
        "by_view": source.by_view.to_dict(),
        "answers": [found.to_json() for found in answers],
        "audit_result": source.audit_result and source.audit_result.to_json(),
        "registry": registry(source),
    }


def _alarms(source: Source) -> list[str]:
    if source.audit_result is None or source.audit_result.passed:
        return []
    return [f"{ALARMED}: {'; '.join(source.audit_result.alarms)}."]


def _counted(found: Iterable[Status]) -> dict[str, int]:
    counts = Counter(found)
    return {status: counts[status] for status in STATUSES}
