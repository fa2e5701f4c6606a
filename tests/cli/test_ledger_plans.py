"""``ledger plan``: a student's ledger, earlier agreements' promises, and what a refusal may say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.agreement_text import to_text
from secure_fedsa.cli.main import main
from secure_fedsa.engines.ledger_notes import keep_agreement
from secure_fedsa.engines.promises import promised_to_student
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.errors import BudgetError
from secure_fedsa.messages import STUDENT
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.report.summary import VIEWS
from secure_fedsa.roles.charges import planned_event, terms_of
from secure_fedsa.roles.private_student import label_plan
from secure_fedsa.wire.agreement_signatures import agreement_hash
from tests.cli.test_ledger_command import Capture, said, values
from tests.engines.test_student_labels import ask, protected
from tests.support import STUDENT_PROMISE, World, make_world

DELTA = 1e-5


def written(folder: Path, agreement: Agreement) -> str:
    """Write an agreement as a file, and return where it is."""
    file = folder / f"{agreement_hash(agreement)[:12]}.toml"
    file.write_text(to_text(agreement))
    return str(file)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world whose student's labelled records are protected, and were not used yet."""
    return protected(tmp_path)


def student_state(world: World) -> Path:
    """Return the student's state folder, with its key and its ledger."""
    state = world.folder / STUDENT
    StudentLabels(state, world.agreement()).check()
    return state


# --- a student's ledger ------------------------------------------------------------------


def test_a_students_ledger_is_planned_like_a_teachers(world: World, capsys: Capture) -> None:
    """If this fails, whoever labelled the student's records cannot be told what is left."""
    agreed, state = world.agreement(), student_state(world)
    cost = Amount.of([label_plan(agreed).event])
    wanted = ("plan", str(state), written(world.folder, agreed), "--runs", "7")
    found = values(capsys, *wanted)
    assert (found["party"], found["runs"], found["charges"]) == (STUDENT, 7, 1)
    assert found["one_run"]["epsilon"] == cost.epsilon(DELTA)
    assert (found["unit"], found["neighbours"]) == ("record (add-remove)", "add-remove")
    assert found["accountants"][0]["version"] == "1"
    (room,) = found["budgets"]
    assert room["whose"] == "the student's labelled records"
    assert room["budget"] == STUDENT_PROMISE.budget
    assert room["after"]["epsilon"] == cost.epsilon(DELTA)
    text = said(capsys, *wanted)
    assert "The one use of the student's labelled records, for all runs, costs epsilon 2" in text


def test_once_it_was_charged_further_runs_are_free(world: World, capsys: Capture) -> None:
    """If this fails, a plan counts one noisy summary as often as it serves."""
    agreed, state = world.agreement(), student_state(world)
    ask(StudentLabels(state, agreed))
    wanted = ("plan", str(state), written(world.folder, agreed), "--runs", "7")
    found = values(capsys, *wanted)
    assert found["charges"] == 0
    (room,) = found["budgets"]
    assert room["after"] == room["spent"]
    assert "cost nothing more" in said(capsys, *wanted)


def test_an_earlier_agreement_of_the_student_binds_the_plan(world: World, capsys: Capture) -> None:
    """If this fails, a plan says that it fits, and the run is refused."""
    state = student_state(world)
    ask(StudentLabels(state, world.agreement()))
    noise = calibrate(4.5, DELTA)
    promise = replace(STUDENT_PROMISE, epsilon=4.5, noise_multiplier=noise, budget=50.0)
    later = replace(world.agreement(), title="Another one", student_privacy=promise)
    found = values(capsys, "plan", str(state), written(world.folder, later), code=1)
    assert [room["fits"] for room in found["budgets"]] == [True, False]
    assert found["budgets"][1]["whose"] == "this data set, by an earlier agreement"
    assert found["budgets"][1]["budget"] == STUDENT_PROMISE.budget
    assert found["budgets"][1]["nearest"]["budget"] is None  # nobody can raise it
    with pytest.raises(BudgetError, match="by an earlier agreement"):
        StudentLabels(state, later).check()  # the same verdict


def test_a_new_version_of_a_students_ledger_keeps_its_promises(
    world: World, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, one corrected label frees the student of every budget."""
    state, new = student_state(world), tmp_path / "student-2"
    ask(StudentLabels(state, world.agreement()))
    said(capsys, "new", str(new), "--parent", str(state))
    books = Ledger.open(new).books()
    assert promised_to_student(new, books) == (Terms(STUDENT_PROMISE.budget, DELTA),)
    with pytest.raises(BudgetError, match="without differential privacy"):
        StudentLabels(new, replace(world.agreement(), student_privacy=None)).check()
    found = values(capsys, "show", str(new))
    assert (found["budget"], found["budget_from"]) == (5.0, "student_privacy.budget")
    student = found["by_view"][STUDENT]
    assert student["epsilon"] is None
    assert "its own" in student["why_no_epsilon"]
    assert found["by_view"]["aggregator"]["epsilon"] == found["spent"]["epsilon"]
    told = [one["fact"] for one in found["by_view"]["aggregator"]["institution_facts"]]
    assert any("the number of its classes" in fact for fact in told)
    assert not any("score" in fact for fact in told)
    assert set(found["by_view"]) > set(VIEWS)
    assert not any("Whose records" in remark for remark in found["remarks"])
    for path in (new / "earlier-versions").iterdir():
        path.unlink()
    found = values(capsys, "show", str(new))
    assert any("Whose records these are" in remark for remark in found["remarks"])


# --- a teacher's -------------------------------------------------------------------------


def charged(world: World, state: Path, run: str) -> None:
    """Charge one run of a world's agreement to a teacher's ledger."""
    agreed = world.agreement()
    keep_agreement(state, agreed, agreement_hash(agreed))
    Ledger.open(state).reserve(
        run,
        agreement_hash(agreed),
        [planned_event(agreed, "teacher-1")],
        terms_of(agreed),
        agreed.promise.data_set_budget,
    )


def test_an_earlier_agreement_binds_a_plan(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, an agreement is signed that the ledger refuses on the day of the run."""
    world = make_world(tmp_path, 3)
    world.changes["privacy"] = {"agreement_budget": 5.0, "data_set_budget": 5.0}
    state = tmp_path / "teacher-1"
    Ledger.create(state, delta=DELTA)
    charged(world, state, "run-1")
    world.changes["privacy"] = {"agreement_budget": 50.0, "data_set_budget": 50.0}
    file = written(tmp_path, world.agreement())
    found = values(capsys, "plan", str(state), file, "--teacher", "teacher-1", code=1)
    assert [(room["whose"], room["fits"]) for room in found["budgets"]] == [
        ("this agreement", True),
        ("this data set", True),
        ("this data set, by an earlier agreement", False),
    ]
    assert found["party"] == "teacher-1"
    world.changes["privacy"] = {"neighbours": "replace-one"}
    file = written(tmp_path, world.agreement())
    capsys.readouterr()
    assert main(["ledger", "plan", str(state), file, "--teacher", "teacher-1"]) == 2
    assert "charged before for add-remove" in capsys.readouterr().err


def test_a_plan_past_an_agreements_own_budget_names_no_way_round(
    tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, an officer is told to raise a number that all parties signed."""
    world = make_world(tmp_path, 3)
    world.changes["privacy"] = {"agreement_budget": 5.0, "data_set_budget": 50.0}
    state = tmp_path / "teacher-1"
    Ledger.create(state, delta=DELTA)
    file = written(tmp_path, world.agreement())
    wanted = ("plan", str(state), file, "--teacher", "teacher-1", "--runs", "2")
    draft = said(capsys, *wanted, code=1)
    assert "or a budget of" in draft  # nobody was charged under it: it may still be a draft
    assert "A new agreement" not in draft
    charged(world, state, "run-1")
    found = values(capsys, *wanted, code=1)
    assert found["budgets"][0]["nearest"]["budget"] is None
    assert found["budgets"][0]["nearest"]["noise_multiplier"] > 1
    text = " ".join(said(capsys, *wanted, code=1).split())
    assert "a budget of" not in text
    assert "begins with nothing spent of its own agreement_budget" in text
    assert "for record (add-remove)" in text
    assert "version 1" in text


def test_a_plan_by_numbers_says_whom_it_is_for(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, an epsilon is planned for nobody in particular."""
    world = make_world(tmp_path, 3)
    state = tmp_path / "teacher-1"
    Ledger.create(state, delta=DELTA)
    wanted = ("plan", str(state), "--epsilon", "1", "--budget", "60")
    empty = values(capsys, *wanted)
    assert (empty["unit"], empty["neighbours"]) == (None, None)
    assert empty["unit_not_shown"] == "nothing was charged yet"
    charged(world, state, "run-1")
    found = values(capsys, *wanted)
    assert (found["unit"], found["neighbours"]) == ("record (add-remove)", "add-remove")
    assert found["accountants"][0]["version"] == "1"
