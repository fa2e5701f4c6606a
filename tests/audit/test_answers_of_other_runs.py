"""The auditor's report of other runs: a lost teacher, persons, simulated noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.audit.answers import answer
from secure_fedsa.audit.answers.model import Answer
from secure_fedsa.cli.main import main
from tests.audit import folders
from tests.audit.forging import Forgery
from tests.audit.test_answers import figures, source_of, words
from tests.engines.network import Hook, muted
from tests.engines.test_persons import MOST, world_of_persons
from tests.support import World, make_world

pytestmark = pytest.mark.slow

LOST = "teacher-1"


def asked(world: World, hook: Hook | None = None) -> dict[str, Answer]:
    """Run a world to its end and return the answers about it."""
    run, outcome, student = folders.run_to_the_end(world, hook)
    assert outcome.problem == ""
    made = folders.close(run, outcome, student)
    return {found.id: found for found in answer(source_of(made.files))}


def test_a_lost_teacher_paid_and_is_not_in_the_sum(tmp_path: Path) -> None:
    """If this fails, a spend is forgotten, or a sum is shown as one over all."""
    answers = asked(make_world(tmp_path), muted(LOST, "roster-signature", "mask-share"))
    assert f"epsilon so far, {LOST}" in figures(answers["over-time"])
    assert figures(answers["choices"])["rosters"] == 2
    assert figures(answers["choices"])["selected"] == 3
    assert LOST not in figures(answers["not-covered"])["teachers in the sum"]
    assert figures(answers["small-groups"])["teachers in the sum"] == 3
    # It did not sign the receipt: its word stands in its messages only.
    (point,) = [p for p in answers["evidence"].points if p.text.startswith("Whose word")]
    assert {found.name for found in point.figures} == {LOST, "student"}


def test_a_promise_to_persons_says_who_counts_them(tmp_path: Path) -> None:
    """If this fails, persons are promised something that rests on ids nobody saw, unsaid."""
    answers = asked(world_of_persons(tmp_path))
    found = answers["unit"]
    assert f"one person, of whom at most {MOST} records count" in found.text
    assert found.status == "attested"
    (point,) = [p for p in found.points if p.status == "attested"]
    assert "Somebody under two ids counts as two persons" in point.text
    assert point.by == ("teacher-1", "teacher-2", "teacher-3", "teacher-4")
    values: dict[str, Any] = figures(found)
    assert values["epsilon for one record"] < figures(answers["parameters"])["epsilon"]
    assert "epsilon for one person with the agreed unit's records at every teacher" in values
    assert f"m, records of a unit: {MOST}" in words(answers["sensitivity"])


def test_simulated_noise_gets_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, a test's run, which protects nobody, gets a page with an epsilon."""
    forgery = Forgery("plain")
    forgery.terms["simulation"] = True
    folder = folders.write(tmp_path / "run", forgery.build("agreement"))
    assert main(["audit", str(folder), "--report"]) == 1
    assert "simulation: is true" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
