"""A crash must cost no finished row, and nobody may read rows of one run as those of another."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from benchmarks.baselines.job import Job, Outcome
from benchmarks.utility import command
from benchmarks.utility.page import page
from benchmarks.utility.registry import METHODS, Method
from benchmarks.utility.rows import Journal, Row, means_of
from secure_fedsa.cli.main import main
from secure_fedsa.errors import StorageError, UsageError
from tests.benchmarks.conftest import tiny_data

KEYS = [
    "dataset",
    "setting",
    "method",
    "route",
    "epsilon",
    "delta",
    "labels",
    "teachers",
    "records_per_teacher",
    "seed",
    "accuracy",
    "seconds",
    "payload_bytes",
]
ROW = Row("d", "s", "m", "none", None, None, 100, 9, 4500, 0, 0.5, 1.0, 0)


class Interrupting:
    """Two methods, of which the second is interrupted as often as it is told."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls: list[str] = []

    def first(self, _job: Job) -> Outcome:
        self.calls.append("first")
        return Outcome(0.5, 3)

    def second(self, job: Job) -> Outcome:
        self.calls.append(f"second {job.epsilon}")
        if self.times:
            self.times -= 1
            raise KeyboardInterrupt
        return Outcome(0.75, 4)

    def methods(self) -> tuple[Method, ...]:
        return (
            Method("first", "none", self.first),
            Method("second", "noisy-release", self.second, takes_epsilon=True),
        )


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> Interrupting:
    fake = Interrupting(1)
    monkeypatch.setattr(command, "METHODS", fake.methods())
    monkeypatch.setattr(command, "DATASETS", {"tiny": lambda: None})
    monkeypatch.setattr(command, "data_of", lambda *_: tiny_data())
    return fake


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path, faked: Interrupting) -> None:
    out = tmp_path / "new" / "r.json"
    arguments = ["benchmark", "utility", "--quick", "--epsilons", "1", "2", "--out", str(out)]
    arguments += ["--settings", "nine-teachers"]
    assert main(arguments) == 130
    assert [row["method"] for row in json.loads(out.read_text())["rows"]] == ["first"]
    assert main(arguments) == 0
    assert faked.calls == ["first", "second 1.0", "second 1.0", "second 2.0"]
    assert main(arguments) == 0
    assert len(faked.calls) == 4
    result = json.loads(out.read_text())
    assert set(result) == {"command", "versions", "rows", "means"}
    # Whoever reads the figures can have them made again.
    assert shlex.split(result["command"]) == [
        *("secure-fedsa", "benchmark", "utility", "--quick", "--epsilons", "1", "2"),
        *("--settings", "nine-teachers", "--out", str(out)),
    ]
    assert [list(row) for row in result["rows"]] == [KEYS] * 3
    assert [(row["epsilon"], row["delta"]) for row in result["rows"]] == [
        (None, None),
        (1.0, 1e-5),
        (2.0, 1e-5),
    ]
    assert "second" in out.with_suffix(".html").read_text()


@pytest.mark.slow
def test_several_tasks_of_persons_are_rows_of_one_release(tmp_path: Path) -> None:
    """Real persons, real noise, both students; a second call finds all rows there."""
    out = tmp_path / "r.json"
    arguments = ["benchmark", "utility", "--quick", "--datasets", "flchain", "--out", str(out)]
    assert main(arguments) == 0
    rows = json.loads(out.read_text())["rows"]
    assert {row["setting"] for row in rows} == {
        "multi-task: death",
        "multi-task: years followed (R2)",
    }
    deaths = {row["method"]: row for row in rows if row["setting"] == "multi-task: death"}
    # More persons were alive than not: .725 is what knowing nothing comes to.
    assert len(deaths) == 4
    assert all(row["accuracy"] > 0.6 for row in deaths.values())
    assert {row["epsilon"] for row in rows if row["route"] == "noisy-release"} == {1.0}
    assert {row["method"] for row in rows if row["route"] == "none"} == {"no teachers"}
    assert main(arguments) == 0
    assert json.loads(out.read_text())["rows"] == rows


def test_a_line_cut_off_by_a_crash_is_dropped_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.json.rows"
    with Journal.open(path, "full") as journal:
        journal.add(ROW)
    with path.open("ab") as handle:
        handle.write(b'{"dataset": "d", "se')
    with Journal.open(path, "full") as journal:
        journal.add(replace(ROW, seed=1))
    with Journal.open(path, "full") as journal:
        assert list(journal.rows.values()) == [ROW, replace(ROW, seed=1)]


def test_rows_of_another_scale_writer_or_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.json.rows"
    with Journal.open(path, "full"), pytest.raises(UsageError), Journal.open(path, "full"):
        pass
    with pytest.raises(UsageError), Journal.open(path, "quick"):
        pass
    path.write_text("[]\n")
    with pytest.raises(StorageError), Journal.open(path, "full"):
        pass


def test_means_have_the_interval_of_students_t() -> None:
    rows = [replace(ROW, seed=seed, accuracy=0.4 + 0.1 * seed) for seed in range(3)]
    (mean,) = means_of(rows)
    assert mean.accuracy == pytest.approx(0.5)
    assert mean.half_width == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-3)
    assert means_of(rows[:1])[0].half_width is None


def test_the_page_draws_every_method() -> None:
    rows = [
        replace(ROW, method=method.name, epsilon=epsilon, seed=seed, accuracy=0.6 + 0.02 * seed)
        for method in METHODS
        for epsilon in ((0.25, 1.0, 8.0) if method.takes_epsilon else (None,))
        for seed in (0, 1)
    ]
    text = page("secure-fedsa benchmark utility", {"torch": "2"}, means_of(rows))
    drawing = text[text.index("<svg") : text.index("</svg>")]
    for method in METHODS:
        assert f">{method.name}</text>" in drawing
    assert drawing.count("<polygon") == sum(method.takes_epsilon for method in METHODS)
    assert "<script" not in text
    assert "http:" not in text.replace("http-equiv", "")
    assert "https:" not in text


def test_sizes_do_not_share_a_drawing() -> None:
    """Else a line would have two points at one epsilon, of which one has few records."""
    rows = [replace(ROW, method="secure-fedsa (scatter)", epsilon=1.0, delta=1e-5)]
    rows.append(replace(rows[0], records_per_teacher=1000, accuracy=0.4))
    text = page("c", {}, means_of(rows))
    assert text.count("<svg") == 2
    assert "4,500 records a teacher" in text
    assert "1,000 records a teacher" in text


def test_a_page_without_rows_is_a_page() -> None:
    assert "No row is finished" in page("c", {}, [])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["utility"],
        ["utility", "--out", "r.txt"],
        ["utility", "--out", "r.json", "--methods", "magic"],
        ["utility", "--out", "r.json", "--settings", "none"],
        ["utility", "--out", "r.json", "--datasets", "none"],
        ["utility", "--out", "r.json", "--epsilons", "0"],
        ["utility", "--out", "r.json", "--seeds", "-1"],
    ],
)
def test_wrong_usage_is_exit_code_2(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *arguments]) == 2
    assert not list(tmp_path.iterdir())


def test_an_installed_package_says_where_the_benchmarks_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)  # what import makes of a missing one
    assert main(["benchmark", "utility", "--out", str(tmp_path / "r.json")]) == 2
    assert "source checkout" in capsys.readouterr().err


def test_a_row_has_exactly_the_agreed_keys() -> None:
    assert list(asdict(ROW)) == KEYS
