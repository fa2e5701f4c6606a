"""What summary.json says that follows from the agreement and the messages.

Accuracies, sizes, times and versions follow from nothing in the folder: they stay the
aggregator's word.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.evidence import Evidence, decode
from secure_fedsa.audit.failures import require
from secure_fedsa.audit.ledgers import Accounting
from secure_fedsa.audit.opening import Opening
from secure_fedsa.engines.run_folder import SUMMARY_FILE
from secure_fedsa.messages import Roster
from secure_fedsa.report.notices import notices
from secure_fedsa.report.summary import VIEWS, facts_of, institution_privacy, student_privacy
from secure_fedsa.roles.charges import tolerance
from secure_fedsa.wire import canonical

OF_PROTECTED = frozenset({"student", "student_network"})
"""Accuracies there may be where the student's labelled records are protected."""
_ENTRIES = {
    "accountant",
    "accounting",
    "accuracy",
    "bytes_by_kind",
    "class_names",
    "custody",
    "delta",
    "engine",
    "epsilon",
    "epsilon_by_view",
    "neighbours",
    "payload_bytes",
    "privacy_unit",
    "protection",
    "resumed",
    "route",
    "run_id",
    "seed",
    "simulated",
    "teachers",
    "values_per_teacher",
    "versions",
    "wall_seconds",
}


def check_summary(
    evidence: Evidence, opening: Opening, roster: Roster, accounting: Accounting | None
) -> None:
    """Check the summary against the agreement, the final roster and the charged events.

    Raises:
        VerificationError: If an entry is missing, unknown, or not what they give.
    """
    summary = decode(evidence.read(SUMMARY_FILE), SUMMARY_FILE)
    require(isinstance(summary, dict), SUMMARY_FILE, "is not a JSON object.")
    agreement = opening.agreement
    told = notices(agreement)
    promised = student_privacy(opening.transcript.agreed.promises, agreement)
    shared = institution_privacy(opening.transcript.agreed.promises)
    entries = _ENTRIES | ({"notices"} if told else set()) | promised.keys() | shared.keys()
    for name in sorted(set(summary) ^ entries):
        known = name in entries
        require(False, SUMMARY_FILE, f"{name}: is {'missing' if known else 'no entry'}.")
    for name, value in _expected(opening).items():
        _must_equal(name, summary[name], value)
    if told:
        _must_equal("notices", summary["notices"], told)
    _must_equal("teachers", _without_kinds(summary["teachers"]), _teachers(agreement, roster))
    _check_accounting(summary, accounting, tolerance(agreement))
    if promised:
        _check_student(summary, promised["student_privacy"], tolerance(agreement))
    for name, figures in shared.items():
        _check_figures(summary, name, figures, tolerance(agreement))
    # The rest is the aggregator's word, but a word of the right type: a report can show it.
    kept = opening.transcript.agreed.promises
    facts_of(summary, agreement=agreement, plan=kept, roster=roster, charged=())


def _check_accounting(summary: dict[str, Any], accounting: Accounting | None, slack: float) -> None:
    views = summary["epsilon_by_view"]
    same = isinstance(views, dict) and set(views) == set(VIEWS)
    require(same, SUMMARY_FILE, f"epsilon_by_view: does not have the views {', '.join(VIEWS)}.")
    if accounting is None:
        for name in ("epsilon", "accountant", "accounting"):
            _must_equal(name, summary[name], None)
        _must_equal("epsilon_by_view", views, dict.fromkeys(VIEWS))
        return
    _must_be_close("epsilon", summary["epsilon"], accounting.epsilon, slack)
    for view, epsilon in views.items():
        _must_be_close(f"epsilon_by_view.{view}", epsilon, accounting.epsilon, slack)
    details = summary["accounting"]
    require(isinstance(details, dict), SUMMARY_FILE, "accounting: is not an object.")
    for name, value in asdict(accounting).items():
        if value is not None:
            _must_be_close(f"accounting.{name}", details.get(name), value, slack)
    require(isinstance(summary["accountant"], str), SUMMARY_FILE, "accountant: is no text.")


def _check_student(summary: dict[str, Any], promised: dict[str, float], slack: float) -> None:
    """Check what is said of the student's records, and that nothing else was computed of them."""
    _check_figures(summary, "student_privacy", promised, slack)
    accuracy = summary["accuracy"]
    require(isinstance(accuracy, dict), SUMMARY_FILE, "accuracy: is not an object.")
    for name, value in accuracy.items():
        computed = name not in OF_PROTECTED and value is not None
        require(not computed, SUMMARY_FILE, f"accuracy.{name}: is of unprotected labelled records.")


def _check_figures(
    summary: dict[str, Any], entry: str, figures: dict[str, float], slack: float
) -> None:
    told = summary[entry]
    same = isinstance(told, dict) and told.keys() == figures.keys()
    require(same, SUMMARY_FILE, f"{entry}: does not have {', '.join(figures)}.")
    for name, value in figures.items():
        _must_be_close(f"{entry}.{name}", told[name], value, slack)


def _expected(opening: Opening) -> dict[str, Any]:
    agreement, privacy = opening.agreement, opening.agreement.privacy
    return {
        "run_id": opening.run_id,
        "simulated": False,
        "route": agreement.route,
        "protection": asdict(agreement.protection),
        "custody": agreement.custody,
        "delta": privacy and privacy.delta,
        "privacy_unit": privacy and privacy.unit,
        "neighbours": privacy and privacy.neighbours,
        "values_per_teacher": agreement.feature_values,
    }


def _teachers(agreement: Agreement, roster: Roster) -> list[dict[str, Any]]:
    shown = agreement.publish.scores == "values"
    return [
        {
            "id": name,
            "task": list(agreement.parties[name].classes),
            "selected": name in roster.members,
            "score": roster.scores.get(name) if shown else None,
        }
        for name in agreement.teachers
    ]


def _without_kinds(listed: Any) -> Any:
    """Return the listed teachers without what a demo made each of them for."""
    if not isinstance(listed, list):
        return listed
    for entry in listed:
        named = isinstance(entry, dict) and isinstance(entry.get("kind", ""), str | None)
        require(named and "kind" in entry, SUMMARY_FILE, "teachers: one has no kind.")
    return [{name: value for name, value in t.items() if name != "kind"} for t in listed]


def _must_equal(name: str, found: Any, expected: Any) -> None:
    # As bytes: to Python true equals 1, and to JSON 1.0 is spelled 1.
    same = canonical.encode(found) == canonical.encode(expected)
    require(same, SUMMARY_FILE, f"{name}: is not what agreement and messages give.")


def _must_be_close(name: str, found: Any, expected: float, slack: float) -> None:
    number = isinstance(found, int | float) and not isinstance(found, bool)
    require(number, SUMMARY_FILE, f"{name}: is no number.")
    close = math.isclose(found, expected, rel_tol=slack)
    require(close, SUMMARY_FILE, f"{name}: is {found!r}, but the charged events give {expected!r}.")
