"""The facts of a finished run, and summary.json made from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import VerificationError
from secure_fedsa.messages import Roster
from secure_fedsa.planning import Promises
from secure_fedsa.report.notices import notices

VIEWS = ("other-teachers", "aggregator", "key-holder", "student", "auditor", "all-others-together")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is known about a finished run; nothing here is secret.

    Attributes:
        agreement: The signed agreement.
        plan: What was proved before the run.
        run_id: The run.
        seed: Public seed of splits and model training.
        simulated_noise: True when a test's seeded noise was used: such a run protects
            nobody.
        demo: True when the data are the demo's, so that scores and kinds may be shown.
        roster: The roster whose sum was opened.
        charged: The teachers that published a ledger segment, sorted.
        kinds: What the demo made each teacher for, None if not known.
        accuracy: Test accuracies by name; None where there is no test.
        seconds: Wall seconds by phase.
        versions: Package versions.
        class_names: The student's classes, in the order of its labels.
        resumed: Whether an earlier process was cut off; seconds are of this one only.
        engine: Which engine moved the messages.
        payload_bytes: Bytes of all messages, each counted once.
        bytes_by_kind: The same by message kind.
        total_seconds: Wall seconds until the summary: signing comes after, and covers it.
    """

    agreement: Agreement
    plan: Promises
    run_id: str
    seed: int
    simulated_noise: bool
    demo: bool
    roster: Roster
    kinds: dict[str, str | None]
    accuracy: dict[str, float | None]
    seconds: dict[str, float]
    versions: dict[str, str]
    charged: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    resumed: bool = False
    engine: str = "in-process"
    payload_bytes: int = 0
    bytes_by_kind: dict[str, int] = field(default_factory=dict)
    total_seconds: float = 0.0


def epsilon_by_view(facts: RunFacts) -> dict[str, float | None]:
    """Return the bound that holds against each view of the run; None where there is none.

    Every teacher adds noise of full strength by itself, and all that leaves it is computed
    from its noisy summary or of its privately trained model, so one bound holds against
    everybody, alone or together.
    """
    accounting = facts.plan.accounting
    return dict.fromkeys(VIEWS, None if accounting is None else accounting.epsilon)


def student_privacy(plan: Promises, agreement: Agreement) -> dict[str, Any]:
    """Return what summary.json says of the student's labelled records; nothing if unprotected."""
    if plan.student is None:
        return {}
    told = {"epsilon": plan.student.epsilon, "delta": plan.student.delta, "rho": plan.student.rho}
    return {"student_privacy": {**told, "budget": agreement.student_promise.budget}}


def institution_privacy(plan: Promises) -> dict[str, Any]:
    """Return what summary.json says of whole members in the sum; nothing if unprotected."""
    if not plan.institution:
        return {}
    told = {figure.view: figure.epsilon for figure in plan.institution}
    return {"institution_privacy": {**told, "delta": plan.institution[0].delta}}


def summary_json(facts: RunFacts) -> dict[str, Any]:
    """Return the content of summary.json."""
    agreement, privacy = facts.agreement, facts.agreement.privacy
    accounting, told = facts.plan.accounting, notices(facts.agreement)
    shown = agreement.publish.scores == "values"
    teachers = [
        {
            "id": name,
            "task": list(agreement.parties[name].classes),
            "selected": name in facts.roster.members,
            "score": facts.roster.scores.get(name) if shown else None,
            "kind": facts.kinds.get(name) if facts.demo else None,
        }
        for name in agreement.teachers
    ]
    return {
        "run_id": facts.run_id,
        "seed": facts.seed,
        "engine": facts.engine,
        "simulated": facts.simulated_noise,
        "resumed": facts.resumed,
        "route": agreement.route,
        "protection": asdict(agreement.protection),
        "custody": agreement.custody,
        "epsilon": accounting and accounting.epsilon,
        "delta": privacy and privacy.delta,
        "epsilon_by_view": epsilon_by_view(facts),
        "privacy_unit": privacy and privacy.unit,
        "neighbours": privacy and privacy.neighbours,
        "accountant": accounting and accounting.accountant,
        "accounting": accounting and accounting.to_dict(),
        **({"notices": told} if told else {}),
        **student_privacy(facts.plan, agreement),
        **institution_privacy(facts.plan),
        "teachers": teachers,
        "class_names": list(facts.class_names),
        "accuracy": dict(facts.accuracy),
        "payload_bytes": facts.payload_bytes,
        "bytes_by_kind": dict(facts.bytes_by_kind),
        "values_per_teacher": agreement.feature_values,
        "wall_seconds": {
            "total": round(facts.total_seconds, 3),
            **{phase: round(seconds, 3) for phase, seconds in facts.seconds.items()},
        },
        "versions": dict(facts.versions),
    }


def facts_of(
    summary: dict[str, Any],
    *,
    agreement: Agreement,
    plan: Promises,
    roster: Roster,
    charged: tuple[str, ...],
) -> RunFacts:
    """Return the facts of a run from its summary.json, to draw its report again.

    What follows from agreement and messages is taken from there. The rest is the
    aggregator's word: it is taken as it is, if it has the types that a report needs.

    Raises:
        VerificationError: If an entry has another type.
    """
    seconds = _numbers(summary, "wall_seconds")
    if "total" not in seconds:
        raise _wrong("wall_seconds")
    kinds = {
        teacher["id"]: _typed(teacher, "kind", str | None)
        for teacher in _typed(summary, "teachers", list)
    }
    return RunFacts(
        agreement=agreement,
        plan=plan,
        run_id=_typed(summary, "run_id", str),
        seed=_typed(summary, "seed", int),
        simulated_noise=_typed(summary, "simulated", bool),
        demo=any(kind is not None for kind in kinds.values()),
        roster=roster,
        kinds=kinds,
        accuracy=_numbers(summary, "accuracy", optional=True),
        seconds={phase: value for phase, value in seconds.items() if phase != "total"},
        versions=_texts(summary, "versions", dict),
        charged=charged,
        class_names=tuple(_texts(summary, "class_names", list)),
        resumed=_typed(summary, "resumed", bool),
        engine=_typed(summary, "engine", str),
        payload_bytes=_typed(summary, "payload_bytes", int),
        bytes_by_kind=_numbers(summary, "bytes_by_kind"),
        total_seconds=seconds["total"],
    )


def _wrong(name: str) -> VerificationError:
    return VerificationError("summary.json", f"{name}: has another type than a report can show.")


def _typed(values: dict[str, Any], name: str, kind: Any) -> Any:
    value = values.get(name)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise _wrong(name)
    return value


def _numbers(summary: dict[str, Any], name: str, *, optional: bool = False) -> dict[str, Any]:
    """Return numbers from 0 up by name; None too where they are optional."""
    values: dict[str, Any] = _typed(summary, name, dict)
    for value in values.values():
        number = isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        if not (number or (optional and value is None)):
            raise _wrong(name)
    return values


def _texts(summary: dict[str, Any], name: str, kind: type) -> Any:
    """Return a list of texts, or texts by name."""
    values = _typed(summary, name, kind)
    held = values.values() if isinstance(values, dict) else values
    if not all(isinstance(value, str) for value in held):
        raise _wrong(name)
    return values
