"""The campaign: every row is one audit with fresh noise, kept as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.audit.faults import SUMMARY_FAULTS, TRAINING_FAULTS, Fault
from benchmarks.audit.worlds import DELTA, TEACHERS, summaries, trainings
from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries.audit import audit_agreement, claimed_epsilon
from secure_fedsa.audit.canaries.release import release_scores
from secure_fedsa.audit.canaries.scores import Scores, secret_coins
from secure_fedsa.audit.canaries.trade_off import gaussian_epsilon
from secure_fedsa.audit.canaries.verdict import Finding, judge
from secure_fedsa.entropy import SystemNoise, secret_projection

CANARIES = 16_000
FIRST = TEACHERS[:1]

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows of each kind.

    Attributes:
        canaries: M.
        bounds: Audits of sound code a setting.
        sound: Audits of sound code of all three teachers; those of one teacher count too.
        null: Releases whose scores are judged beside ten throws of other coins.
        power: Audits a fault.
        trainings: Audits of sound trainings a setting.
        known: Hundreds of simulated audits a known mu.
        full: Audits at d = 256.
    """

    canaries: int = CANARIES
    bounds: int = 100
    sound: int = 40
    null: int = 20
    power: int = 60
    trainings: int = 10
    known: int = 4
    full: int = 1


QUICK = Size(canaries=2000, bounds=2, sound=2, null=2, power=1, trainings=1, known=1, full=0)


@dataclass(frozen=True, slots=True)
class Task:
    """Some audits of one kind and setting.

    Attributes:
        kind: Which part of the report they are for.
        setting: Words.
        number: How many.
        make: Does one and returns what to keep of it.
    """

    kind: str
    setting: str
    number: int
    make: Callable[[], Row]


def tasks(size: Size) -> Iterator[Task]:
    """Return what the campaign does, in order."""
    m = size.canaries
    for epsilon in (1.0, 2.0, 4.0, 8.0):
        yield _bounds(f"epsilon {epsilon:g}", summaries(epsilon), size.bounds, m)
    for name, fault in SUMMARY_FAULTS.items():
        yield _power(name, summaries(1.0, dimension=1), fault, size.power, m, "power")
    yield Task("sound", "three teachers, epsilon 1", size.sound, lambda: _sound(m))
    for words, nobody in (("canaries of other coins", False), ("nobody present", True)):
        yield Task("null", words, size.null, lambda nobody=nobody: _null(m, nobody=nobody))  # type: ignore[misc]
    for averaged, momentum, words in ((0.5, 0.9, "as by default"), (0.0, 0.0, "last weights")):
        for epsilon in (1.0, 4.0, 8.0):
            agreement = trainings(epsilon, averaged=averaged, momentum=momentum)
            setting = f"epsilon {epsilon:g}, {words}"
            yield _bounds(setting, agreement, size.trainings, m // 4, kind="trainings")
    for name, fault in TRAINING_FAULTS.items():
        yield _power(name, trainings(1.0), fault, size.power // 3, m // 4, "training-power")
    for mu in (0.25, 0.5, 1.0, 2.0):
        for relation, loads in (("add-remove", (0.0, 1.0)), ("replace-one", (-0.5, 0.5))):
            yield Task(
                "known",
                f"mu {mu:g}, {relation}",
                size.known,
                lambda mu=mu, loads=loads: _known(mu, loads),  # type: ignore[misc]
            )
    for epsilon in (1.0, 4.0):
        replaced = summaries(epsilon, neighbours="replace-one")
        yield _bounds(f"epsilon {epsilon:g}, replace-one", replaced, size.bounds // 8, m)
        person = summaries(epsilon, max_records=4)
        yield _bounds(f"epsilon {epsilon:g}, 4 records a person", person, size.bounds // 8, m)
    yield _bounds("epsilon 1, d = 256", summaries(1.0, dimension=256), size.full, m)
    for epsilon in (1.0, 4.0):
        for few in (1000, 4000):
            small = f"epsilon {epsilon:g}, {few:,} canaries"
            yield _bounds(small, summaries(epsilon), size.bounds // 8, few)


def run(out: Path, size: Size, say: Callable[[str], None]) -> list[Row]:
    """Do what is missing and return all rows, those kept by earlier calls too."""
    kept = out.with_name(out.name + ".rows")
    rows: list[Row] = []
    if kept.exists():
        rows = [json.loads(line) for line in kept.read_text().splitlines()]
    with kept.open("a") as file:
        for task in tasks(size):
            key = {"kind": task.kind, "setting": task.setting, "canaries": size.canaries}
            done = sum({name: row.get(name) for name in key} == key for row in rows)
            for number in range(done, task.number):
                row = {**key, **task.make()}
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
                if number + 1 == task.number or (number + 1) % 10 == 0:
                    say(f"{task.kind}, {task.setting}: {number + 1} of {task.number}")
    return rows


def _bounds(
    setting: str, agreement: Agreement, number: int, canaries: int, *, kind: str = "bounds"
) -> Task:
    def one() -> Row:
        result = audit_agreement(agreement, canaries=canaries, teachers=FIRST)
        return _row(result.findings[0])

    return Task(kind, setting, number, one)


def _row(finding: Finding) -> Row:
    return {
        "claim": finding.claim,
        "epsilon": {bound.method: bound.epsilon for bound in finding.bounds},
        "checks": {check.name: check.p_value for check in finding.checks},
        "alarms": [alarm.partition(":")[0] for alarm in finding.alarms],
    }


def _power(
    name: str, agreement: Agreement, fault: Fault, number: int, canaries: int, kind: str
) -> Task:
    def one() -> Row:
        with fault.plant():
            found = audit_agreement(
                agreement,
                canaries=canaries,
                teachers=fault.teachers,
                runs=fault.runs,
                noise=fault.noise,
            )
        by = sorted({alarm.partition(":")[0] for one in found.findings for alarm in one.alarms})
        return {"found": bool(found.alarms), "by": by}

    return Task(kind, name, number, one)


def _sound(canaries: int) -> Row:
    result = audit_agreement(summaries(1.0, dimension=1), canaries=canaries)
    return {"alarms": list(result.alarms), "teachers": [_row(one) for one in result.findings]}


def _null(canaries: int, *, nobody: bool) -> Row:
    """Judge scores of a release beside coins that were thrown again afterwards, ten times.

    Given the scores, throws are independent of each other.
    """
    agreement = summaries(1.0, dimension=1)
    coins = secret_coins(canaries) & (not nobody)
    scores = release_scores(agreement, TEACHERS[0], coins, noise=SystemNoise())
    claim = claimed_epsilon(agreement, TEACHERS[0])

    def thrown() -> Row:
        again = replace(scores, coins=secret_coins(canaries))
        return _row(judge(again, teacher=TEACHERS[0], claim=claim, delta=DELTA, classes=8))

    return {"throws": [thrown() for _ in range(10)]}


def _known(mu: float, loads: tuple[float, float], *, at_once: int = 100) -> Row:
    """Judge Gaussian scores of a known mu: how many of 100 bounds lie above the truth."""
    canaries, truth = 1000, gaussian_epsilon(mu, DELTA)
    above = {"parametric": 0, "gdp": 0, "generic": 0}
    for values in secret_projection(at_once, canaries):
        coins = secret_coins(canaries)
        signs = secret_coins(canaries).astype(np.float64) * 2 - 1
        moved = values + mu * np.where(coins, loads[1], loads[0])
        finding = judge(
            Scores(moved, coins, signs, mu, loads),
            teacher="known",
            claim=truth,
            delta=DELTA,
            classes=8,
        )
        for bound in finding.bounds:
            above[bound.method] += bound.epsilon is not None and bound.epsilon > truth
    return {"audits": at_once, "truth": truth, "above": above}
