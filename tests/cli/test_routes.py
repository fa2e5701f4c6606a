"""The commands for the routes whose teachers are models: what they write, show and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Agreement, parse
from secure_fedsa.audit.trust import read_trust
from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.cli.main import main
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.planning import plan
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.training_accountant import training_epsilon
from secure_fedsa.report.notices import NO_DIFFERENTIAL_PRIVACY, notices
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.charges import planned_event
from tests.cli.agreements import PARTIES, TEACHERS, check, new, set_entry, sign, write_data

Capture = pytest.CaptureFixture[str]
PRIVATE = ("--route", "private-training")
OPEN = ("--route", "encryption-only")


def draft(folder: Path, *flags: str) -> Agreement:
    """Draft in the folder anew, and return what was written."""
    for name in ("agreement.toml", "encoder.safetensors"):
        (folder / name).unlink()
    assert new(folder, *flags) == 0
    return parse((folder / "agreement.toml").read_text())


def one_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())


# --- agree new ------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["sketch", "gram", "scatter"])
@pytest.mark.parametrize("route", [PRIVATE, OPEN])
def test_a_draft_of_each_route_is_read_and_planned(
    route: tuple[str, str], form: str, drafted: Path
) -> None:
    """Who is handed a draft that cannot hold loses a day of everybody's time."""
    agreement = draft(drafted, *route, "--form", form, "--asked", "50", "--width", "8")
    found = plan(agreement)
    assert agreement.route == route[1]
    assert (agreement.asked.form, agreement.asked.probes) == (form, 50)
    assert agreement.asked.width == (8 if form == "sketch" else 0)
    assert agreement.teachers == TEACHERS
    if route == OPEN:
        assert (agreement.privacy, agreement.training, found.accounting) == (None, None, None)
        assert agreement.protection.he
        assert not agreement.protection.dp
        assert not agreement.publish.sums  # nothing but its secrecy protects that sum
        return
    assert found.accounting is not None
    assert 3.9 < found.accounting.epsilon <= 4.0 * (1 + 1e-6)
    assert agreement.promise.epsilon == 4.0
    assert agreement.publish.sums
    event = planned_event(agreement, TEACHERS[0])
    assert found.accounting.epsilon == training_epsilon([event], 1e-5)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("flags", "clause", "value"),
    [
        ((*PRIVATE, "--epsilon", "2"), "privacy.epsilon", 2.0),
        ((*PRIVATE, "--delta", "1e-6"), "privacy.delta", 1e-6),
        ((*PRIVATE, "--budget", "9"), "privacy.agreement_budget", 9.0),
        ((*PRIVATE, "--max-records", "3"), "privacy.max_records", 3),
        ((*PRIVATE, "--max-records", "3"), "privacy.unit", "person"),
        ((*PRIVATE, "--max-records", "4", "--records", "4000"), "training.denominator", 300.0),
        ((*OPEN, "--asked", "70"), "answers.probes", 70),
        ((*OPEN, "--form", "gram"), "answers.width", 0),
        ((*OPEN, "--threshold", "0.1"), "selection.threshold", 0.1),
        ((*OPEN, "--saliency", "input-x-gradient"), "answers.saliency", "input-x-gradient"),
        ((*OPEN, "--publish-sums", "yes"), "publish.sums", True),
        ((*OPEN, "--publish-sums", "yes"), "publish.feature_key", True),
        (OPEN, "publish.feature_key", False),
    ],
)
def test_every_choice_of_a_route_reaches_its_clause(
    flags: tuple[str, ...], clause: str, value: object, drafted: Path
) -> None:
    """A flag without effect is a promise without effect."""
    table, name = clause.split(".")
    assert getattr(getattr(draft(drafted, *flags), table), name) == value


@pytest.mark.parametrize(
    ("flags", "clause"),
    [
        ((*PRIVATE, "--neighbours", "replace-one"), "privacy.neighbours"),
        ((*PRIVATE, "--budget", "3"), "privacy.agreement_budget"),
        ((*OPEN, "--encryption", "off"), "protection.he"),
    ],
)
def test_choices_that_a_route_cannot_keep_are_refused_by_clause(
    flags: tuple[str, ...], clause: str, drafted: Path, capsys: Capture
) -> None:
    """Nothing is written that others would sign in vain."""
    assert new(drafted, *flags, out="other/agreement.toml") == 2
    assert f"error: {clause}:" in capsys.readouterr().err
    assert not (drafted / "other").exists()


@pytest.mark.slow
def test_who_signs_is_told_what_the_route_does_not_promise(drafted: Path, capsys: Capture) -> None:
    """A privacy officer would sign for a protection that the agreement does not have."""
    draft(drafted, *OPEN)
    shown = [capsys.readouterr().out]
    assert sign(drafted, "student") == 0
    shown.append(capsys.readouterr().out)
    assert check(drafted) == 1
    shown.append(capsys.readouterr().out)
    for text in shown:
        assert NO_DIFFERENTIAL_PRIVACY in one_line(text)
        assert "no epsilon, no budget" in text
        assert "spends epsilon" not in text
    agreement = draft(drafted, *PRIVATE)
    text = one_line(capsys.readouterr().out)
    for notice in notices(agreement):
        assert notice in text
    assert "by private-training" in text
    assert "NO DIFFERENTIAL PRIVACY" not in text


# --- plan -------------------------------------------------------------------------------


def planned(folder: Path, capsys: Capture, *more: str) -> tuple[str, dict[str, Any]]:
    """Return the words and the JSON of ``plan``."""
    capsys.readouterr()
    file = str(folder / "agreement.toml")
    assert main(["plan", file, "--no-time", *more]) == 0
    words = capsys.readouterr().out
    assert main(["plan", file, "--no-time", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return words, found


def test_a_plan_without_differential_privacy_says_so(drafted: Path, capsys: Capture) -> None:
    """A plan is what is read before signing; a missing line would be taken for a promise."""
    draft(drafted, *OPEN)
    words, found = planned(drafted, capsys)
    assert NO_DIFFERENTIAL_PRIVACY in one_line(words)
    assert "Privacy: epsilon" not in words
    assert "Budgets:" not in words
    assert (found["accounting"], found["runs_in_budget"]) == (None, None)


def test_a_plan_of_trainings_says_how_they_were_accounted(drafted: Path, capsys: Capture) -> None:
    """People decide by these figures, and by what they leave out."""
    agreement = draft(drafted, *PRIVATE)
    words, found = planned(drafted, capsys)
    assert "Renyi divergences say" in words
    assert "floating-point noise" in words
    for notice in notices(agreement):
        assert notice in one_line(words)
    assert found["accounting"]["epsilon"] <= found["accounting"]["rdp_epsilon"]
    assert found["runs_in_budget"] >= 10
    assert main(["plan", str(drafted / "agreement.toml")]) == 0
    assert "and the teachers' models" in capsys.readouterr().out


# --- whole runs ----------------------------------------------------------------------------


def demo(data: Path, out: Path, *more: str) -> int:
    """Run the demo on a folder."""
    return main(
        [
            "demo",
            "--data",
            str(data),
            "--out",
            str(out),
            "--epsilon",
            "4",
            "--records",
            "400",
            *more,
        ]
    )


@pytest.mark.slow
@pytest.mark.parametrize("route", ["private-training", "encryption-only"])
def test_the_demo_runs_every_route(route: str, tmp_path: Path, capsys: Capture) -> None:
    """Who tries a route must get a folder that verifies and says what it does not promise."""
    data, out = tmp_path / "data", tmp_path / "run"
    write_data(data)
    assert demo(data, out, "--route", route) == 0
    said = capsys.readouterr()
    summary = json.loads((out / "summary.json").read_text())
    assert summary["route"] == route
    trust = read_trust(out.with_name("run-state") / "keys.toml")
    assert verify_folder(out, trust).identities_checked
    agreement = parse((out / "agreement.toml").read_text())
    assert summary["notices"] == notices(agreement)
    for notice in summary["notices"]:
        assert notice in one_line(said.out)
    for name in TEACHERS:
        books = Ledger.open(out.with_name("run-state") / name).books()
        (charge,) = books.charges.values()
        assert charge.events == (planned_event(agreement, name),)
    if route == "encryption-only":
        assert "has NO DIFFERENTIAL PRIVACY" in said.err
        assert "WITHOUT differential privacy" in said.err
        assert "Spent: unbounded" in said.out
        assert summary["epsilon"] is None
    else:
        assert "spends epsilon" in said.err
        assert "Spent: epsilon" in said.out
        assert "NO DIFFERENTIAL PRIVACY" not in said.out + said.err
    assert main(["verify", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["notices"] == summary["notices"]
    assert main(["verify", str(out)]) == 0
    if route == "encryption-only":
        recomputed = capsys.readouterr().out.split("Not recomputed")[0]
        assert "no-differential-privacy: The agreement has NO DIFFERENTIAL PRIVACY" in recomputed


@pytest.mark.slow
def test_an_interrupted_run_without_differential_privacy_says_what_is_noted(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C must not leave anybody thinking that nothing was used, or that epsilon was spent."""
    data, out = tmp_path / "data", tmp_path / "run"
    write_data(data)
    original = LocalRun.execute

    def interrupted(self: LocalRun, **options: Any) -> Any:
        asked = 0

        def observe(party: str, effect: fx.Effect) -> None:
            nonlocal asked
            asked += isinstance(effect, fx.AskModel)
            if asked == 2:
                raise KeyboardInterrupt
            options["observe"](party, effect)

        return original(self, observe=observe)

    monkeypatch.setattr(LocalRun, "execute", interrupted)
    assert demo(data, out, *OPEN) == 130
    words = capsys.readouterr().err
    assert "as a use WITHOUT DIFFERENTIAL PRIVACY: at teacher-site-0" in words
    assert "spent for ever: epsilon" not in words
    monkeypatch.undo()
    assert demo(data, out, *OPEN) == 0
    assert "Taking up run" in capsys.readouterr().err
    verify_folder(out)


def test_run_has_no_model_where_the_agreement_states_one(drafted: Path, capsys: Capture) -> None:
    """A command that knows records only must not train on them and call that the stated model."""
    draft(drafted, *PRIVATE, "--threshold", "-100")
    file = drafted / "agreement.toml"
    stated = (
        f"[parties.{TEACHERS[1]}.stated]\n"
        "sampling_rate = 0.1\nsteps = 5\nnoise_multiplier = 3.0\n\n"
    )
    text = file.read_text()
    mark = f"[parties.{TEACHERS[2]}]"
    assert text.count(mark) == 1
    file.write_text(text.replace(mark, stated + mark))
    for party in PARTIES:
        assert sign(drafted, party) == 0
    shown = capsys.readouterr().out
    assert "STATED, NOT WITNESSED" in shown
    code = main(
        [
            *("run", str(file), "--data", str(drafted / "data")),
            *("--states", str(drafted / "states"), "--out", str(drafted / "out")),
        ]
    )
    assert code == 2
    assert f"{TEACHERS[1]} brings a model, by the agreement" in capsys.readouterr().err
    for name in TEACHERS:
        state = drafted / "states" / name
        if (state / "ledger.sqlite").exists():
            assert not Ledger.open(state).books().charges


def test_a_changed_training_is_no_ones_agreement(drafted: Path, capsys: Capture) -> None:
    """One number of it decides what is promised: no signature may survive its change."""
    draft(drafted, *PRIVATE)
    for party in PARTIES:
        assert sign(drafted, party) == 0
    set_entry(drafted, "training.steps", "59")
    capsys.readouterr()
    assert main(["plan", str(drafted / "agreement.toml"), "--no-time"]) == 1
    assert "error: signatures: wrong:" in capsys.readouterr().err
