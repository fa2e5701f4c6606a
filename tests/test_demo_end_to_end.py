"""The default demo, whole, on the real data set."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.agreement import parse
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.main import main
from secure_fedsa.models.training import Student
from secure_fedsa.planning import plan


@pytest.mark.slow
@pytest.mark.statistical
def test_default_demo_keeps_its_promises(tmp_path: Path) -> None:
    """What the README promises is what `make demo` does.

    Seed 5, fresh noise in every run. Over seeds 0 to 4 the student scored 0.852 to 0.858
    (benchmarks/results/utility.json) and noise alone moves it by some 0.005, so 0.79 fails
    by chance less than once in a million runs; so does the ranking, by the margins of
    benchmarks/results/ranking.json.
    """
    out = tmp_path / "run"
    assert main(["demo", "--seed", "5", "--out", str(out)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    accuracy = summary["accuracy"]
    assert accuracy["student"] > 0.79
    assert accuracy["student"] > accuracy["scratch"] + 0.04
    assert abs(accuracy["student"] - accuracy["student_network"]) < 0.02
    assert summary["epsilon"] == pytest.approx(1.0, abs=1e-6)
    assert summary["epsilon"] <= 1.0 + 1e-9
    good = [t["score"] for t in summary["teachers"] if t["kind"] == "relevant"]
    bad = [t["score"] for t in summary["teachers"] if t["kind"] != "relevant"]
    assert len(good) == 6
    assert len(bad) == 3
    assert min(good) > max(bad)
    assert all(t["selected"] == (t["kind"] == "relevant") for t in summary["teachers"])

    # What the plan said before is what was sent.
    planned = plan(parse((out / "agreement.toml").read_text())).traffic
    assert planned.total_bytes == pytest.approx(summary["payload_bytes"], rel=0.05)

    description = json.loads((out / "student" / "architecture.json").read_text())
    student = Student.from_bytes(
        description, (out / "student" / "network.safetensors").read_bytes()
    )
    images = load_fashion_mnist()
    simulation = json.loads((tmp_path / "simulation.json").read_text())
    assert simulation["simulated"] is True
    assert simulation["run_id"] == summary["run_id"]
    assert "without_noise" not in (out / "report.html").read_text()
    share = np.mean(student.predict(images.test_images) == images.test_labels)
    assert share == pytest.approx(accuracy["student_network"])
