"""The verdict: alarms at faults, and seldom without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from benchmarks.audit.faults import SUMMARY_FAULTS, TRAINING_FAULTS, Fault
from benchmarks.audit.worlds import TEACHERS, summaries, trainings
from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries import verdict
from secure_fedsa.audit.canaries.audit import (
    AuditResult,
    audit_agreement,
    claimed_epsilon,
)
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.errors import UsageError
from secure_fedsa.planning import plan
from secure_fedsa.roles import noisy_release
from tests.support import STUDENT_PROMISE


def with_fault(agreement: Agreement, fault: Fault, canaries: int) -> AuditResult:
    with fault.plant():
        return audit_agreement(
            agreement,
            canaries=canaries,
            teachers=fault.teachers,
            runs=fault.runs,
            noise=fault.noise,
        )


def names(result: AuditResult) -> set[str]:
    return {alarm.split(": ")[1] for alarm in result.alarms}


def test_the_levels_of_all_alarms_add_up() -> None:
    """More than the whole, and sound code would be accused more often than stated."""
    parts = 3 * verdict._BOUND + verdict._NOISE + verdict._SHIFT + verdict._SHAPE
    assert parts == pytest.approx(1.0)
    assert verdict.FAMILY == 0.05


def test_the_claim_is_the_plans_and_the_receipts() -> None:
    """A bound beside another figure than the promised one compares nothing."""
    for agreement in (summaries(2.0), trainings(2.0)):
        accounting = plan(agreement).accounting
        assert accounting is not None
        assert claimed_epsilon(agreement, TEACHERS[0]) == pytest.approx(accounting.epsilon)
    twice = claimed_epsilon(summaries(1.0), TEACHERS[0], runs=2)
    assert 1.4 < twice < 1.5  # zCDP adds up, not epsilon


def test_a_promise_to_the_student_changes_no_teachers_audit() -> None:
    """An audit that broke or compared with another claim would leave such agreements unaudited."""
    bare = summaries(2.0)
    agreed = replace(bare, student_privacy=replace(STUDENT_PROMISE, classes=10))
    plan(agreed)
    assert claimed_epsilon(agreed, TEACHERS[0]) == claimed_epsilon(bare, TEACHERS[0])
    (finding,) = audit_agreement(agreed, canaries=64, teachers=TEACHERS[:1]).findings
    assert finding.canaries == 64
    assert finding.claim == pytest.approx(claimed_epsilon(bare, TEACHERS[0]))


@pytest.mark.slow
@pytest.mark.statistical
def test_sound_code_passes_and_is_measured_near_its_claim() -> None:
    """Alarms by chance in less than 5% of audits; two audits in a row, so once in 400 here."""
    for _ in range(2):
        result = audit_agreement(summaries(4.0), canaries=8000, teachers=TEACHERS[:1])
        if not result.alarms:
            break
    (finding,) = result.findings
    found = {bound.method: bound.epsilon for bound in finding.bounds}
    assert result.alarms == ()
    assert all(epsilon is not None and 1.0 < epsilon < finding.claim for epsilon in found.values())
    assert finding.canaries == 8000
    assert 3500 < finding.present < 4500


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("name", SUMMARY_FAULTS)
def test_a_faulty_release_is_found(name: str) -> None:
    """An audit that misses these is a false comfort. Missed by chance less than once in 1,000."""
    result = with_fault(summaries(1.0), SUMMARY_FAULTS[name], 16_000)
    assert result.alarms
    expected: dict[str, set[str]] = {
        "noise 10% too small": {"noise"},
        "one of three teachers without noise": {"noise", "gdp", "generic"},
        "a clip that does not clip": {"shift", "gdp"},
        "sensitivity off by sqrt(2)": {"shift"},
        "a budget counted once for two releases": {"parametric"},
    }
    assert expected[name] <= names(result)
    if name.startswith("one of three"):
        assert {alarm.split(": ")[0] for alarm in result.alarms} == {TEACHERS[1]}


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("name", TRAINING_FAULTS)
def test_a_faulty_training_is_found(name: str) -> None:
    """Likewise for DP-SGD. Missed by chance less than once in 1,000."""
    assert with_fault(trainings(1.0), TRAINING_FAULTS[name], 3000).alarms


def test_a_clip_that_only_the_second_check_stops_is_found() -> None:
    """Rows that are too long count as zero then: nobody is harmed, but nothing is measured."""

    def unclipped(features: Any, clip_norm: float, grid: int) -> tuple[Any, Any]:
        rows = np.trunc(features / clip_norm * grid).astype(np.int64)
        return rows, np.ones(len(rows), dtype=np.bool_)

    with patch.object(noisy_release, "to_grid", unclipped):
        result = audit_agreement(summaries(8.0), canaries=1000, teachers=TEACHERS[:1])
    assert "shift" in names(result)


def test_the_result_in_json_has_no_number_that_json_lacks() -> None:
    """Without noise every bound is unbounded; the file must be readable all the same."""
    import json

    result = with_fault(summaries(1.0), SUMMARY_FAULTS["one of three teachers without noise"], 200)
    text = json.dumps(result.to_dict(), allow_nan=False)
    assert json.loads(text)["verdict"] == "fail"
    bounds = result.findings[1].to_dict()["bounds"]
    assert bounds["gdp"]["epsilon"] > 10 * result.findings[1].claim


def test_numbers_that_cannot_be_audited() -> None:
    """A refusal at once, not a wrong figure or a full memory."""
    for canaries, runs in ((1, 1), (2**20 + 1, 1), (100, 0), (100, 65)):
        with pytest.raises(UsageError, match="cannot be audited"):
            audit_agreement(summaries(1.0), canaries=canaries, runs=runs)
    crowd = summaries(1.0, max_records=2**20, dimension=32)
    with pytest.raises(UsageError, match="cannot be planted"):
        audit_agreement(crowd, canaries=2, noise=lambda _: SeededNoise(0))
