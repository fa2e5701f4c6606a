"""The facts of a finished run, and summary.json made from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.messages import Roster
from secure_fedsa.plan import Plan

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
        kinds: What the demo made each teacher for, None if not known.
        accuracy: Test accuracies by name; None where there is no test.
        seconds: Wall seconds by phase.
        versions: Package versions.
        class_names: The student's classes, in the order of its labels.
        resumed: Whether an earlier process was cut off; seconds are of this one only.
        engine: Which engine moved the messages.
        payload_bytes: Bytes of all messages, each counted once.
        bytes_by_kind: The same by message kind.
        total_seconds: Wall seconds of everything.
    """

    agreement: Agreement
    plan: Plan
    run_id: str
    seed: int
    simulated_noise: bool
    demo: bool
    roster: Roster
    kinds: dict[str, str | None]
    accuracy: dict[str, float | None]
    seconds: dict[str, float]
    versions: dict[str, str]
    class_names: tuple[str, ...] = ()
    resumed: bool = False
    engine: str = "in-process"
    payload_bytes: int = 0
    bytes_by_kind: dict[str, int] = field(default_factory=dict)
    total_seconds: float = 0.0


def epsilon_by_view(facts: RunFacts) -> dict[str, float]:
    """Return the bound that holds against each view of the run.

    Every teacher adds noise of full strength by itself, and all that leaves it is computed
    from its noisy summary, so one bound holds against everybody, alone or together.
    """
    return dict.fromkeys(VIEWS, facts.plan.accounting.epsilon)


def summary_json(facts: RunFacts) -> dict[str, Any]:
    """Return the content of summary.json."""
    agreement, privacy = facts.agreement, facts.agreement.privacy
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
        "epsilon": facts.plan.accounting.epsilon,
        "delta": privacy.delta,
        "epsilon_by_view": epsilon_by_view(facts),
        "privacy_unit": privacy.unit,
        "neighbours": privacy.neighbours,
        "accountant": facts.plan.accounting.accountant,
        "accounting": facts.plan.accounting.to_dict(),
        "teachers": teachers,
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
