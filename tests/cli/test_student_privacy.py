"""Card, page and command line say which of the two it is: labelled records protected, or not."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.cli import baselines, runner
from secure_fedsa.cli.main import main
from secure_fedsa.planning import plan
from secure_fedsa.planning.unit_claims import unit_claims
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.report import wording
from secure_fedsa.report.html import report_html
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.summary import RunFacts
from secure_fedsa.report.views import by_view
from tests.cli.agreements import PARTIES, new, sign
from tests.report import runs
from tests.support import STUDENT_PROMISE

NOT = "student's own labelled records are NOT protected"


def protected(*, simulated: bool = False) -> RunFacts:
    """Return a run whose student's labelled records are protected."""
    made = runs.facts()
    agreed = replace(made.agreement, student_privacy=replace(STUDENT_PROMISE, classes=10))
    accuracy = {name: v if name in wording.OWN else None for name, v in made.accuracy.items()}
    return replace(
        made,
        agreement=agreed,
        plan=plan(agreed),
        accuracy=accuracy,
        simulated_noise=simulated,
    )


def test_card_and_page_say_that_the_records_are_protected_and_how_far() -> None:
    """Who labelled those records would look for this sentence, and for its limits."""
    made, summary = runs.both(protected())
    for text in (model_card(made, summary), html.unescape(report_html(made, summary))):
        assert NOT not in text
        assert "labelled records are protected by noise of their own" in text
        assert "epsilon 2 at delta 1e-5" in text
        assert "to epsilon 5 in all" in text
        assert "is the word of student" in text
        assert "measured on are NOT protected" in text
        assert "Baselines without teachers are not computed" in text
        assert wording.STUDENT_TIMES in text
        assert wording.ACCURACY_NAMES["scratch"] not in text
        assert "no test data" not in text
    told = summary["student_privacy"]
    assert set(told) == {"epsilon", "delta", "rho", "budget"}
    assert summary["accuracy"]["scratch"] is None


def test_card_and_page_say_that_the_records_are_not_protected() -> None:
    """Epsilon stands on the first page, and is easily read as everybody's."""
    made, summary = runs.both(runs.facts())
    assert "student_privacy" not in summary
    for text in (model_card(made, summary), html.unescape(report_html(made, summary))):
        assert NOT in text
        assert "noise of their own" not in text


def test_simulated_noise_promises_the_student_nothing() -> None:
    """The noise of a simulation can be subtracted by anybody."""
    made, summary = runs.both(protected(simulated=True))
    text = model_card(made, summary)
    assert "labelled records are protected" not in text
    assert "none: simulated noise" in text


def test_the_students_claim_has_figures_events_and_accountant() -> None:
    """A figure without the event it came from cannot be worked out again."""
    agreed = protected().agreement
    (claim,) = [claim for claim in unit_claims(agreed) if claim.id == "student-record"]
    assert claim.epsilon == pytest.approx(2.0, rel=1e-6)
    assert list(claim.events) == ["student"]
    assert claim.accountant
    assert "adding or removing" in claim.neighbours
    assert "NOT covered" in claim.why
    assert "everybody but the student" in claim.why
    shown = by_view(agreed).to_dict()["units"]
    (row,) = [unit for unit in shown if unit["id"] == "student-record"]
    assert row["epsilon"] == claim.epsilon
    assert [event["kind"] for event in row["events"]["student"]] == ["discrete-gaussian"]
    assert row["accountant_version"]
    assert row["unit"] == "one labelled record of the student"
    assert row["curve"]


def test_the_limits_of_a_verdict_name_the_students_epsilon() -> None:
    """Else a reader of ``verify`` takes the teachers' epsilon for the student's, or none."""
    bare = wording.limits(identities_checked=True)
    more = wording.limits(identities_checked=True, student_protected=True)
    assert more[: len(bare)] == bare
    assert "of their own" in more[-1]


def test_plan_and_draft_show_the_promise(drafted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A party signs what it was shown."""
    assert new(drafted, "--student-epsilon", "2", out="own/agreement.toml") == 0
    assert "labelled records lose epsilon 2 at delta 1e-05" in capsys.readouterr().out
    file = str(drafted / "own" / "agreement.toml")
    assert main(["plan", file, "--no-time"]) == 0
    assert "labelled records lose epsilon 2 at delta 1e-05" in capsys.readouterr().out
    assert main(["plan", file, "--no-time", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["student"]["epsilon"] == pytest.approx(2, rel=1e-6)
    assert main(["plan", str(drafted / "agreement.toml"), "--no-time", "--json"]) == 0
    assert "student" not in json.loads(capsys.readouterr().out)


def test_a_number_of_classes_that_only_labels_tell_is_refused(
    drafted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agreement is public, and would tell whether a record of the last class is there."""
    with np.load(drafted / "data" / "student.npz") as arrays:
        kept = {name: arrays[name] for name in arrays if name != "classes"}
    np.savez(drafted / "data" / "student.npz", **kept)
    assert new(drafted, "--student-epsilon", "2", out="own/agreement.toml") == 2
    assert "--student-classes" in capsys.readouterr().err


def _run(folder: Path) -> int:
    return main(
        [
            *("run", str(folder / "agreement.toml"), "--data", str(folder / "data")),
            *("--states", str(folder / "states"), "--out", str(folder / "out")),
        ]
    )


def _agree(folder: Path, *more: str) -> None:
    for name in ("agreement.toml", "encoder.safetensors"):
        (folder / name).unlink()
    # Any score will do: the toy teachers are alike.
    assert new(folder, "--threshold", "-100", "--student-epsilon", "2", *more) == 0
    for party in PARTIES:
        assert sign(folder, party) == 0


@pytest.mark.slow
def test_a_run_charges_the_student_and_computes_no_baselines(
    drafted: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One network of the bare labels in the run folder would tell what epsilon is to hide."""

    def trained(*_: object, **__: object) -> None:
        pytest.fail("A network was trained on labelled records without noise.")

    for name in ("from_scratch", "self_trained", "without_teachers"):
        monkeypatch.setattr(baselines, name, trained)
    monkeypatch.setattr(runner, "Baselines", trained)
    _agree(drafted)
    assert _run(drafted) == 0
    summary = json.loads((drafted / "out" / "summary.json").read_text())
    known = {name for name, value in summary["accuracy"].items() if value is not None}
    assert known == set(wording.OWN)
    (charge,) = Ledger.open(drafted / "states" / "student").books().charges.values()
    assert charge.committed
    published = {path.name for path in (drafted / "out").rglob("*")}
    assert not any("labels-" in name or "local-log" in name for name in published)
    assert main(["verify", str(drafted / "out")]) == 0
    assert "student-summary" in capsys.readouterr().out


def test_a_run_needs_declared_classes(drafted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Derived from labels, whether a class is there would tell of the one record that has it."""
    _agree(drafted)
    with np.load(drafted / "data" / "student.npz") as arrays:
        kept = {name: arrays[name] for name in arrays if name != "classes"}
    np.savez(drafted / "data" / "student.npz", **kept)
    assert _run(drafted) == 2
    assert "classes are not declared" in capsys.readouterr().err
    assert not (drafted / "states" / "student" / "ledger.sqlite").exists()
