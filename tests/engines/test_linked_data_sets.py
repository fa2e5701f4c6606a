"""Runs on data sets that share persons: one's promises and unit bind the other's runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.engines.ledger_notes import keep_agreement
from secure_fedsa.engines.promises import promised_beside, promised_of
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.errors import AgreementError, BudgetError, RunAborted
from secure_fedsa.messages import STUDENT
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.charges import planned_event, terms_of
from secure_fedsa.roles.private_student import label_plan, student_terms
from secure_fedsa.wire.agreement_signatures import agreement_hash
from tests.cli.test_ledger_command import Capture, said, values
from tests.cli.test_ledger_plans import written
from tests.engines.test_student_labels import protected
from tests.support import STUDENT_PROMISE, World, make_world

DELTA = 1e-5
PERSONS: dict[str, Any] = {"unit": "person", "max_records": 3}


def state_of(world: World) -> Path:
    """Return the state folder of one teacher, with its key and its ledger."""
    world.agreement()
    state = world.folder / "teacher-1"
    if not (state / "ledger.sqlite").exists():
        Ledger.create(state, delta=DELTA)
    return state


def charged(world: World, run: str, *, kept: bool = True) -> Path:
    """Charge one run of a world's agreement to a teacher's ledger."""
    agreed, state = world.agreement(), state_of(world)
    if kept:
        keep_agreement(state, agreed, agreement_hash(agreed))
    budget = agreed.promise.data_set_budget
    event = planned_event(agreed, "teacher-1")
    ledger = Ledger.open(state)
    ledger.reserve(run, agreement_hash(agreed), [event], terms_of(agreed), budget)
    return state


def pair(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> tuple[World, World]:
    """Return two worlds whose agreements have these privacy clauses."""
    return make_world(folder / "a", 3, privacy=first), make_world(folder / "b", 3, privacy=second)


SMALL = {"data_set_budget": 6.0, "agreement_budget": 6.0}


@pytest.mark.slow
@pytest.mark.parametrize("what", ["budget", "limit"])
def test_a_run_keeps_what_was_promised_of_a_linked_data_set(
    tmp_path: Path, capsys: Capture, what: str
) -> None:
    """If this fails, `ledger show` says 7.6 where owner and agreement promised at most 6."""
    a, b = pair(tmp_path, SMALL if what == "budget" else {}, {})
    one, two = charged(a, "run-1"), state_of(b)
    first = b.local_run()
    first.execute()
    first.discard()
    if what == "limit":
        said(capsys, "limit", str(one), "--epsilon", "6")
    text = said(capsys, "link", str(one), "--shares", str(two))
    assert "WARNING" not in text
    spent = values(capsys, "show", str(one))["spent"]
    assert spent["epsilon"] < 6
    with pytest.raises(RunAborted) as refusal:
        b.local_run().execute()
    name = Ledger.open(one).data_set[:12]
    assert f"linked data set {name}" in str(refusal.value)
    assert values(capsys, "show", str(one))["spent"] == spent
    # And the plan says what the run says.
    file = written(tmp_path, b.agreement())
    found = values(capsys, "plan", str(two), file, "--teacher", "teacher-1", code=1)
    rooms = {room["whose"]: room for room in found["budgets"]}
    assert rooms.pop("this agreement")["fits"]
    assert rooms.pop("this data set")["fits"]
    (room,) = (room for room in rooms.values() if not room["fits"])
    assert room["whose"].startswith(f"linked data set {name}")
    assert room["nearest"]["budget"] is None
    remarks = values(capsys, "show", str(two))["remarks"]
    assert any(f"linked data set {name}" in remark and "0.494" in remark for remark in remarks)


def test_a_teacher_asks_before_the_run_and_again_under_the_lock(tmp_path: Path) -> None:
    """If this fails, others are charged for a run that one refuses; or two runs at once pass."""
    a, b = pair(tmp_path, SMALL, {})
    one, two = charged(a, "run-1"), charged(b, "run-1")
    assert main(["ledger", "link", str(one), "--shares", str(two)]) == 0
    site, head = b.local_run().sites["teacher-1"], Ledger.open(two).head()
    assert "linked data set" in site.preflight()
    with pytest.raises(BudgetError, match="linked data set"):
        site.persist(fx.ReserveCharge(), "run-2")
    assert Ledger.open(two).head() == head


def test_promises_are_read_of_versions_before_and_of_the_students_ledger(tmp_path: Path) -> None:
    """If this fails, a new version, or the student's own ledger, promises nothing to others."""
    a, b = pair(tmp_path, SMALL, {})
    one, two = charged(a, "run-1"), charged(b, "run-1")
    child = tmp_path / "child"
    assert main(["ledger", "link", str(one), "--shares", str(two)]) == 0
    assert main(["ledger", "new", str(child), "--parent", str(one)]) == 0
    books = Ledger.open(two).books()
    name = Ledger.open(child).data_set
    assert promised_beside(books) == {name: (Terms(6.0, DELTA),)}
    (tmp_path / "p").mkdir()
    world = protected(tmp_path / "p")
    agreed, state = world.agreement(), world.folder / STUDENT
    labels = StudentLabels(state, agreed)
    labels.check()
    keep_agreement(state, agreed, agreement_hash(agreed))
    terms, event = student_terms(agreed), label_plan(agreed).event
    ledger = Ledger.open(state)
    digest = agreement_hash(agreed)
    ledger.reserve(f"student-{digest}", digest, [event], terms, terms.budget)
    assert promised_of(state, ledger.books()) == (Terms(STUDENT_PROMISE.budget, DELTA),)


def test_a_students_records_keep_what_was_promised_of_linked_ones(tmp_path: Path) -> None:
    """If this fails, the student's own summary takes a teacher's persons past their budget."""
    (tmp_path / "p").mkdir()
    world = protected(tmp_path / "p")
    state = world.folder / STUDENT
    StudentLabels(state, world.agreement()).check()
    a = make_world(tmp_path / "a", 3, privacy={"data_set_budget": 4.1, "agreement_budget": 4.1})
    one = charged(a, "run-1")
    assert main(["ledger", "link", str(state), "--shares", str(one)]) == 0
    with pytest.raises(BudgetError, match="linked data set"):
        StudentLabels(state, world.agreement()).check()
    other = make_world(tmp_path / "c", 3, privacy={"neighbours": "replace-one"})
    two = charged(other, "run-1")
    fresh = tmp_path / "fresh"
    StudentLabels(fresh, world.agreement()).check()
    assert main(["ledger", "link", str(fresh), "--shares", str(two)]) == 0
    with pytest.raises(AgreementError, match=r"linked data set .* replace-one"):
        StudentLabels(fresh, world.agreement()).check()


# --- units -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clauses", "words"),
    [
        (PERSONS, "privacy.unit is record for"),
        ({"neighbours": "replace-one"}, "privacy.neighbours is add-remove for"),
    ],
)
def test_data_sets_of_different_units_are_not_linked(
    tmp_path: Path, capsys: Capture, clauses: dict[str, Any], words: str
) -> None:
    """If this fails, a person with three records is told of 5.96 and may lose 15.8."""
    a, b = pair(tmp_path, {}, clauses)
    one, two = charged(a, "run-1"), charged(b, "run-1")
    head = Ledger.open(one).head()
    assert main(["ledger", "link", str(one), "--shares", str(two)]) == 1
    assert words in capsys.readouterr().err
    export = tmp_path / "b.json"
    said(capsys, "export", str(two), "--out", str(export))
    assert main(["ledger", "link", str(one), "--shares", str(export)]) == 1
    assert "the export's for" in capsys.readouterr().err
    assert Ledger.open(one).head() == head


@pytest.mark.parametrize("clauses", [PERSONS, {"neighbours": "replace-one"}])
def test_a_run_for_another_unit_than_a_linked_data_set_is_refused(
    tmp_path: Path, capsys: Capture, clauses: dict[str, Any]
) -> None:
    """If this fails, losses of different units are added up as soon as the second one runs."""
    a, b = pair(tmp_path, clauses, {})
    one, two = charged(a, "run-1"), state_of(b)
    said(capsys, "link", str(two), "--shares", str(one))  # nothing was charged there yet
    head = Ledger.open(two).head()
    name, before = Ledger.open(one).data_set[:12], next(iter(clauses.values()))
    with pytest.raises(RunAborted, match=f"linked data set {name} was charged before for {before}"):
        b.local_run().execute()
    assert Ledger.open(two).head() == head
    file = written(tmp_path, b.agreement())
    capsys.readouterr()
    assert main(["ledger", "plan", str(two), file, "--teacher", "teacher-1"]) == 2
    assert f"linked data set {name}" in capsys.readouterr().err


def test_a_unit_is_known_of_linked_data_sets_whose_texts_are_kept(
    tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a total says "not known" of a unit that both ledgers know, or hides one."""
    a, b = pair(tmp_path, {}, {})
    one, two = charged(a, "run-1"), charged(b, "run-1")
    said(capsys, "link", str(one), "--shares", str(two))
    claim = values(capsys, "show", str(one))["claims"]["all-charges"]
    assert (claim["unit"], claim["unit_not_shown"]) == ("record (add-remove)", None)
    charged(replaced(b, {"epsilon": 3.0}), "run-2", kept=False)
    claim = values(capsys, "show", str(one))["claims"]["all-charges"]
    assert claim["unit"] == "record (add-remove)"
    assert claim["unit_not_shown"] == "1 linked data set (see the ledger of each)"
    # An export is of one data set alone: what is linked to it is not in its figures.
    export = tmp_path / "a.json"
    said(capsys, "export", str(one), "--out", str(export))
    assert json.loads(export.read_text())["unit_not_shown"] is None


def replaced(world: World, clauses: dict[str, Any]) -> World:
    """Return a world with another agreement."""
    return replace(world, changes={**world.changes, "privacy": clauses})


def test_units_that_were_linked_before_are_both_named(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a total of persons and records is shown as one of persons."""
    a, b = pair(tmp_path, {}, PERSONS)
    one, two = charged(a, "run-1"), state_of(b)
    said(capsys, "link", str(one), "--shares", str(two))
    charged(b, "run-1")  # as a version of this software that did not look would have
    found = values(capsys, "show", str(one))
    assert found["claims"]["all-charges"]["unit"].count(" and ") == 1
    assert any("different units" in remark for remark in found["remarks"])


# --- what linking says -------------------------------------------------------------------


def test_linking_says_what_is_passed_already(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, an owner reads that a limit holds which the sum has passed."""
    a, b = pair(tmp_path, {"data_set_budget": 5.0, "agreement_budget": 5.0}, {})
    one, two = charged(a, "run-1"), charged(b, "run-1")
    said(capsys, "limit", str(two), "--epsilon", "5.5")
    text = said(capsys, "link", str(two), "--shares", str(one))
    mine, theirs = Ledger.open(two).data_set[:12], Ledger.open(one).data_set[:12]
    assert f"WARNING: data set {mine} is past its own limit, 5.5" in text
    assert f"WARNING: data set {theirs} is past a budget that an agreement promised, 5" in text
    found = values(capsys, "link", str(two), "--shares", str(one))
    assert [row["data_set"][:12] for row in found["past"]] == [theirs, mine]
    assert [row["budget"] for row in found["past"]] == [5.0, 5.5]


def test_of_an_export_it_is_said_that_nothing_is_held(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, an owner elsewhere believes that a limit is kept that nobody here knows."""
    a, b = pair(tmp_path, {}, {})
    one, two = charged(a, "run-1"), charged(b, "run-1")
    export = tmp_path / "b.json"
    said(capsys, "export", str(two), "--out", str(export))
    text = said(capsys, "link", str(one), "--shares", str(export))
    assert "no run on this data set is held to them" in text
    assert "does not say for which unit" not in text
    assert "no run on this data set is held to them" in " ".join(
        said(capsys, "show", str(one)).split()
    )
    older = json.loads(export.read_text())
    for name in ("unit", "neighbours", "unit_not_shown"):
        del older[name]
    export.write_text(json.dumps(older))
    text = said(capsys, "link", str(one), "--shares", str(export))
    assert "does not say for which unit" in text
