"""A finished run, made by hand: no party, no key, no noise."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, Literal

from secure_fedsa.agreement import (
    Agreement,
    Encoder,
    Encryption,
    Features,
    Limits,
    Party,
    Privacy,
    Protection,
    Publish,
    Saliency,
    Selection,
)
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, RULES, STUDENT, TEACHER, Roster
from secure_fedsa.planning import Plan, plan
from secure_fedsa.report.summary import RunFacts, summary_json

RUN_ID = "5f" * 32
SCORES = (0.91, 0.84, 0.78, 0.71, 0.66, 0.58, 0.12, -0.05, 0.31)
KINDS = (*("relevant",) * 6, "shuffled-labels", "noise", "other-domain")
TASK = ("T-shirt/top", "Coat", "Sandal", "Bag", "Ankle boot")
ACCURACY: dict[str, float | None] = {
    "student": 0.84049,
    "student_network": 0.8312,
    "self_training": 0.7204,
    "public_encoder": 0.7431,
    "scratch": 0.7012,
}


def agreement(
    *,
    he: bool = True,
    task: tuple[str, ...] = TASK,
    title: str = "Demo: Fashion-MNIST",
    custody: Literal["key-holder", "aggregator"] = "key-holder",
    publish: Publish | None = None,
) -> Agreement:
    names = [f"teacher-{number}" for number in range(1, 10)]
    parties = {name: Party(TEACHER, f"{at:064x}", task) for at, name in enumerate(names, start=1)}
    for at, role in enumerate((AGGREGATOR, KEY_HOLDER, STUDENT), start=100):
        parties[role] = Party(role, f"{at:064x}")
    return Agreement(
        version=1,
        title=title,
        route="noisy-release",
        simulation=False,
        custody=custody,
        parties=parties,
        encoder=Encoder("ab" * 32, 256, "cd" * 32),
        privacy=Privacy(
            unit="record",
            neighbours="add-remove",
            max_records=1,
            epsilon=1.0,
            delta=1e-5,
            clip_norm=4.0,
            grid=2**16,
            count_weight=0.25,
            count_floor=20.0,
            noise_multiplier=4.06,
            agreement_budget=10.0,
            data_set_budget=20.0,
        ),
        protection=Protection(dp=True, he=he, masks=he),
        saliency=Saliency(24, 0.05, 4.0, 2.0, 16),
        features=Features(2**26, 3728.0),
        encryption=Encryption("bfv", 4096, (54, 55), 17179754497, 3072),
        selection=Selection(select=6, threshold=0.25, minimum_cohort=3, max_colluding=1),
        publish=publish or Publish("values", ciphertexts=True, sums=True, feature_key=he),
        limits=Limits(30, 60, 2),
        signatures=dict.fromkeys(parties, "00" * 64),
    )


@functools.cache
def planned(*, he: bool) -> Plan:
    return plan(agreement(he=he))


def facts(*, he: bool = True, **changes: Any) -> RunFacts:
    """Return a run of nine teachers, the first six selected."""
    choices = ("task", "title", "custody", "publish")
    text = {name: changes.pop(name) for name in choices if name in changes}
    agreed = agreement(he=he, **text)
    names = agreed.teachers
    made = RunFacts(
        agreement=agreed,
        plan=planned(he=he),
        run_id=RUN_ID,
        seed=0,
        simulated_noise=False,
        demo=True,
        roster=Roster(
            1, names[:6], "00" * 32, "11" * 32, {}, dict(zip(names, SCORES, strict=True))
        ),
        charged=names,
        kinds=dict(zip(names, KINDS, strict=True)),
        accuracy=ACCURACY,
        seconds={
            "preparation": 8.21,
            "opening": 0.4,
            "query": 3.1,
            "saliency": 5.25,
            "features": 1.75,
            "release": 0.9,
            "amalgamation": 14.4,
        },
        versions={"python": "3.11.2", "torch": "2.6.0"},
        payload_bytes=13_420_000,
        bytes_by_kind={
            kind: 977 * at**2 for at, kind in enumerate(RULES, start=1) if kind != "abort"
        },
        total_seconds=36.2,
    )
    return replace(made, **changes)


def both(made: RunFacts) -> tuple[RunFacts, dict[str, Any]]:
    return made, summary_json(made)
