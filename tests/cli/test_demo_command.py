"""The command as people run it, on a small folder of their own data."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.audit.trust import read_trust
from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.cli.main import main
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.roles import effects as fx
from tests.support import CLASSES, table

SUMMARY_KEYS = {
    "run_id",
    "seed",
    "engine",
    "simulated",
    "route",
    "protection",
    "custody",
    "epsilon",
    "delta",
    "epsilon_by_view",
    "privacy_unit",
    "neighbours",
    "accountant",
    "teachers",
    "class_names",
    "accuracy",
    "payload_bytes",
    "values_per_teacher",
    "wall_seconds",
    "versions",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with a student and four teachers, one of them with shuffled labels."""
    folder = tmp_path / "data"
    folder.mkdir()
    probes, _ = table(100, 300)
    records, labels = table(101, 30)
    test_records, test_labels = table(102, 200)
    np.savez(
        folder / "student.npz",
        probes=probes,
        x=records,
        y=labels,
        x_test=test_records,
        y_test=test_labels,
        classes=np.array(CLASSES),
    )
    for number in range(4):
        mine, own_labels = table(number, 400)
        if number == 3:
            own_labels = np.roll(own_labels, 1)
        np.savez(
            folder / f"teacher-site-{number}.npz", x=mine, y=own_labels, classes=np.array(CLASSES)
        )
    return folder


def demo(data: Path, out: Path, *more: str) -> int:
    """Run the demo on a folder."""
    return main(["demo", "--data", str(data), "--out", str(out), "--epsilon", "4", *more])


def charges(out: Path) -> dict[str, int]:
    """Return how many runs each teacher's ledger was charged for."""
    states = out.with_name(out.name + "-state")
    return {
        folder.name: len(Ledger.open(folder).books().charges)
        for folder in states.iterdir()
        if (folder / "ledger.sqlite").exists()
    }


def summary_of(out: Path) -> dict[str, Any]:
    """Return summary.json."""
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content


@pytest.mark.slow
def test_demo_writes_the_whole_folder_and_runs_again(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user gets every promised file; a second run composes and keeps the first folder."""
    out = tmp_path / "runs" / "mine"
    assert demo(data, out) == 0
    summary = summary_of(out)
    assert summary.keys() >= SUMMARY_KEYS
    assert summary["accuracy"].keys() == {
        "student",
        "student_network",
        "scratch",
        "self_training",
        "public_encoder",
    }
    assert summary["protection"] == {"dp": True, "he": True, "masks": True}
    assert not summary["simulated"]
    present = {path.name for path in out.iterdir()}
    assert present == {
        "agreement.toml",
        "transcript",
        *(f"ledger-{teacher['id']}.jsonl" for teacher in summary["teachers"]),
        "release-log.jsonl",
        "student",
        "summary.json",
        "report.html",
        "receipt.dsse.json",
    }
    trust = read_trust(out.with_name("mine-state") / "keys.toml")
    assert verify_folder(out, trust).identities_checked
    captured = capsys.readouterr()
    assert "check the run against their own records and sign its receipt" in captured.err
    assert f"secure-fedsa verify {out}\n" in captured.out
    assert f"secure-fedsa verify {out} --trust {out}-state/keys.toml" in captured.out
    assert not (out.parent / "simulation.json").exists()  # own records: no raw figures
    assert not summary["resumed"]

    assert demo(data, out) == 0
    again = summary_of(out)
    assert again["run_id"] != summary["run_id"]
    kept = out.with_name(f"mine.{summary['run_id'][:8]}")
    assert summary_of(kept) == summary
    assert set(charges(out).values()) == {2}
    for folder in (out, kept):
        assert verify_folder(folder, trust).identities_checked
    assert "Earlier runs spent epsilon 4" in capsys.readouterr().err


@pytest.mark.slow
def test_interrupted_demo_says_what_was_spent_and_resumes(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C must neither lose a charge silently nor cost a second one."""
    out = tmp_path / "run"
    original = LocalRun.execute

    def interrupted(self: LocalRun, **options: Any) -> Any:
        shown = options["observe"]
        readings = 0

        def observe(party: str, effect: fx.Effect) -> None:
            nonlocal readings
            readings += isinstance(effect, fx.ReadPrivate)
            if readings == 3:
                raise KeyboardInterrupt
            shown(party, effect)

        return original(self, observe=observe)

    monkeypatch.setattr(LocalRun, "execute", interrupted)
    assert demo(data, out) == 130
    words = capsys.readouterr().err
    assert "spent for ever: epsilon 4" in words
    assert "without a new charge" in words
    assert not out.exists()
    monkeypatch.undo()
    assert demo(data, out, "--select", "3") == 2  # another agreement cannot take it up
    assert demo(data, out) == 0
    words = capsys.readouterr().err
    assert "Taking up run" in words
    assert summary_of(out)["resumed"]
    assert set(charges(out).values()) == {1}
    verify_folder(out)


@pytest.mark.slow
def test_a_refused_signature_leaves_no_folder_and_the_run_can_be_closed_later(
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder without a receipt would pass for a run; a lost run would cost its charge."""
    out = tmp_path / "run"
    journal = tmp_path / "run-state" / "aggregator" / "run" / "journal.sqlite"
    whole = b""
    original = LocalRun.execute

    def with_a_lost_message(self: LocalRun, **options: Any) -> Any:
        nonlocal whole
        outcome = original(self, **options)
        whole = journal.read_bytes()
        connection = sqlite3.connect(journal)
        connection.execute("DELETE FROM outbox WHERE sequence = 1")
        connection.commit()
        connection.close()
        return outcome

    monkeypatch.setattr(LocalRun, "execute", with_a_lost_message)
    assert demo(data, out) == 1
    words = capsys.readouterr().err
    assert "transcript/aggregator-001-" in words
    assert "aggregator does not sign" in words
    assert not out.exists()
    monkeypatch.undo()
    journal.write_bytes(whole)
    assert demo(data, out) == 0
    assert set(charges(out).values()) == {1}
    verify_folder(out)


@pytest.mark.slow
def test_encryption_off_is_said_in_words_nobody_can_miss(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise somebody would show an unprotected run as a protected one."""
    out = tmp_path / "run"
    assert demo(data, out, "--encryption", "off") == 0
    summary = summary_of(out)
    assert summary["protection"] == {"dp": True, "he": False, "masks": False}
    assert "ENCRYPTION AND MASKS WERE OFF" in capsys.readouterr().out
    assert "ENCRYPTION" in (out / "report.html").read_text().upper()
    assert "ENCRYPTION" in (out / "student" / "model-card.md").read_text().upper()
    verify_folder(out)


@pytest.mark.parametrize(
    "flags",
    [
        ("--epsilon", "0"),
        ("--epsilon", "nan"),
        ("--epsilon", "inf"),
        ("--epsilon", "-1"),
        ("--labels", "0"),
        ("--records", "1.5"),
        ("--select", "none"),
        ("--seed", "-1"),
        ("--encryption", "maybe"),
        ("--unknown",),
    ],
)
def test_bad_flags_are_refused_with_what_to_do(
    flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error must never start a run, least of all one with no privacy."""
    assert main(["demo", "--out", str(tmp_path / "run"), *flags]) == 2
    words = capsys.readouterr().err
    assert words.startswith("error: ")
    assert "--help" in words
    assert not list(tmp_path.iterdir())


def test_too_few_selected_for_a_sum_is_refused_before_any_charge(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sum over two institutions would show each the other's signal."""
    out = tmp_path / "run"
    assert demo(data, out, "--select", "2") == 2
    assert "can never be opened" in capsys.readouterr().err
    assert charges(out) == {}


def test_data_of_a_wrong_shape_is_refused_before_any_charge(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A charge for a run that cannot work would be lost for ever."""
    np.savez(
        data / "teacher-site-1.npz",
        x=np.zeros((10, 9), np.float32),
        y=np.zeros(10, np.int64),
        classes=np.array(CLASSES),
    )
    out = tmp_path / "run"
    assert demo(data, out) == 2
    assert "teacher-site-1.npz" in capsys.readouterr().err
    assert not out.with_name("run-state").exists()


def test_an_output_that_cannot_be_written_is_refused_before_any_charge(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run must not be computed first and lost at the end."""
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    assert demo(data, blocker / "run") == 2
    assert demo(data, blocker) == 2
    assert "--out" in capsys.readouterr().err


def test_ledgers_of_other_data_are_not_mixed(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One ledger over two data sets would make both claims wrong."""
    out = tmp_path / "run"
    states = tmp_path / "run-state"
    states.mkdir()
    (states / "options.json").write_bytes(b'{"labels":100,"records":4500,"seed":0}')
    assert demo(data, out) == 2
    assert "another --data, --labels, --records, --seed" in capsys.readouterr().err
