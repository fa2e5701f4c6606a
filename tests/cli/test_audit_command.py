"""``audit``: what a privacy officer sees of a measurement, and by which exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from benchmarks.audit.faults import NoNoise
from benchmarks.audit.worlds import summaries, trainings
from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries import audit
from secure_fedsa.cli.main import main
from tests.cli.agreements import set_entry

Capture = pytest.CaptureFixture[str]
EXAMPLES = Path(__file__).resolve().parents[2] / "protocols" / "v1" / "examples"


def written(folder: Path, agreement: Agreement) -> str:
    path = folder / "agreement.toml"
    path.write_text(tomli_w.dumps(agreement.to_toml_dict()))
    return str(path)


def audited(capsys: Capture, *arguments: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["audit", *arguments, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


@pytest.mark.statistical
def test_a_sound_agreement_passes(tmp_path: Path, capsys: Capture) -> None:
    """The figures that a privacy officer files. Alarms by chance twice in a row once in 400."""
    path = written(tmp_path, summaries(4.0))
    for _ in range(2):
        code, found = audited(capsys, path, "--canaries", "2000")
        if code == 0:
            break
    assert (code, found["verdict"], found["alarms"]) == (0, "pass", [])
    assert (found["route"], found["canaries"], found["runs"]) == ("noisy-release", 2000, 1)
    assert [one["teacher"] for one in found["teachers"]] == ["teacher-1", "teacher-2", "teacher-3"]
    for one in found["teachers"]:
        assert one["claim"] == pytest.approx(4.0, rel=1e-6)
        for method in ("parametric", "gdp", "generic"):
            bound = one["bounds"][method]
            assert bound["share"] == pytest.approx(bound["epsilon"] / one["claim"])
            assert 0 < bound["share"] < 1
        assert set(one["checks"]) == {"noise", "shift", "distribution"}
        shift, noise = one["checks"]["shift"], one["checks"]["noise"]
        assert shift["alarm"] is not (shift["least"] <= shift["value"] <= shift["most"])
        assert shift["least"] < shift["planned"] < shift["most"]
        assert noise["alarm"] is (noise["value"] < noise["least"])
        assert (noise["planned"], noise["most"]) == (1.0, None)
        assert one["own_size"]["canaries"] == 8
    assert "cannot prove privacy" in found["shows_not"]


def test_words_and_progress(tmp_path: Path, capsys: Capture) -> None:
    """What is read without a program: claim, bounds, what is not shown; progress apart from it."""
    path = written(tmp_path, summaries(4.0))
    code = main(["audit", path, "--canaries", "300", "--teacher", "teacher-2", "--runs", "2"])
    said = capsys.readouterr()
    assert code in (0, 1)  # an alarm by chance changes the verdict, and nothing else here
    assert "for 2 runs together" in said.out
    assert "teacher-2" in said.out
    assert re.search(r"check noise .* of the planned one; alarm below 0\.\d", said.out)
    assert re.search(r"check shift .*, planned \d.*; alarm below \S+ or above \S+\n", said.out)
    assert re.search(r"check distribution .* p \S+; alarm below \S+\n", said.out)
    assert "teacher-1" not in said.out
    assert "At the run's own size, 8 classes: epsilon >= 0 if all comes out as planned" in said.out
    assert "Not shown: A lower bound cannot prove privacy" in said.out
    assert "teacher-2: 300 of 300" in said.err


def test_a_release_without_noise_exits_with_1(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A script that looks at the exit code alone must see it."""
    monkeypatch.setattr(audit, "PacedNoise", NoNoise)
    path = written(tmp_path, summaries(4.0))
    code, found = audited(capsys, path, "--canaries", "200", "--teacher", "teacher-1")
    assert (code, found["verdict"]) == (1, "fail")
    assert any("teacher-1: gdp: epsilon is at least" in alarm for alarm in found["alarms"])
    assert main(["audit", path, "--canaries", "200", "--teacher", "teacher-1"]) == 1
    assert "Verdict: FAIL" in capsys.readouterr().out


@pytest.mark.slow
def test_a_training_is_audited_by_the_same_command(tmp_path: Path, capsys: Capture) -> None:
    """The second route has a claim too; a model that was trained before is left out."""
    path = written(tmp_path, trainings(8.0, steps=20))
    code, found = audited(capsys, path, "--canaries", "300", "--teacher", "teacher-1")
    assert code in (0, 1)
    assert found["route"] == "private-training"
    assert found["teachers"][0]["bounds"]["gdp"]["epsilon"] > 0
    capsys.readouterr()
    clinics = str(EXAMPLES / "clinics.toml")
    assert main(["audit", clinics, "--canaries", "300", "--teacher", "clinic-d"]) == 2
    assert "trained before" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([str(EXAMPLES / "suppliers.toml"), "--canaries", "100"], "NO DIFFERENTIAL PRIVACY"),
        ([str(EXAMPLES / "hospitals.toml"), "--canaries", "1"], "whole number from 2"),
        ([str(EXAMPLES / "hospitals.toml")], "--canaries"),
        ([str(EXAMPLES / "none.toml"), "--canaries", "100"], "Cannot read"),
        ([str(EXAMPLES), "--canaries", "100"], "is not a file"),
        (
            [str(EXAMPLES / "hospitals.toml"), "--canaries", "100", "--teacher", "x"],
            "hospital-east",
        ),
        ([str(EXAMPLES / "hospitals.toml"), "--canaries", "100", "--runs", "99"], "1 to 64 runs"),
    ],
)
def test_what_cannot_be_audited_exits_with_2(
    arguments: list[str], said: str, capsys: Capture
) -> None:
    """A refusal that a reader takes for a finding, or the other way, misleads."""
    assert main(["audit", *arguments]) == 2
    read = capsys.readouterr()
    assert said in read.err
    assert read.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of the arguments --report --canaries is required"),
        (["--report", "--canaries", "100"], "not allowed with argument --report"),
        (["--report", "--runs", "1"], "--runs cannot be used with --report"),
        (["--report", "--teacher", "a"], "--teacher cannot be used with --report"),
        (["--canaries", "100", "--trust", "x"], "--trust cannot be used with --canaries"),
        (["--canaries", "100", "--out", "x"], "--out cannot be used with --canaries"),
        (
            ["--canaries", "100", "--trust", "x", "--audit-result", "x"],
            "--trust and --audit-result cannot be used with --canaries",
        ),
    ],
)
def test_one_kind_of_audit_with_its_own_options(
    arguments: list[str], said: str, capsys: Capture
) -> None:
    """If this fails, somebody believes that --trust checked keys, or that --teacher chose one."""
    assert main(["audit", str(EXAMPLES / "hospitals.toml"), *arguments]) == 2
    read = capsys.readouterr()
    assert said in read.err
    assert read.out == ""


def test_an_agreement_that_keeps_no_promise_is_not_measured(
    tmp_path: Path, capsys: Capture
) -> None:
    """Its claim is void before anything runs: exit code 1, as of `plan`."""
    agreement = summaries(1.0)
    weak = replace(agreement, privacy=replace(agreement.mechanism, noise_multiplier=1.0))
    assert main(["audit", written(tmp_path, weak), "--canaries", "100"]) == 1
    assert "privacy.noise_multiplier" in capsys.readouterr().err


def test_a_signature_that_is_not_of_this_text_is_refused(signed: Path, capsys: Capture) -> None:
    """Else somebody audits another agreement than the one that was signed."""
    set_entry(signed, "title", '"Another"')
    assert main(["audit", str(signed / "agreement.toml"), "--canaries", "100"]) == 1
    assert "signatures" in capsys.readouterr().err


def test_help_shows_an_example_of_both_kinds(capsys: Capture) -> None:
    """Nobody guesses how many canaries are many, or that the two kinds ask for different things."""
    with pytest.raises(SystemExit) as stopped:
        main(["audit", "--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert "secure-fedsa audit agreement.toml --canaries 16000" in told
    assert "secure-fedsa audit demo-run --report --trust keys.toml" in told
