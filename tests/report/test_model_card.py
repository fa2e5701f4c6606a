"""The model card travels with the student, often without the rest of the run folder."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.agreement import Publish
from secure_fedsa.models.records import RecordSchema
from secure_fedsa.models.training import Architecture, TrainingSpec, train
from secure_fedsa.report.model_card import model_card
from tests.report import runs


def test_says_what_a_user_of_the_student_must_know() -> None:
    """A user would otherwise believe in protections that the student does not have."""
    card = model_card(*runs.both(runs.facts()))
    for words in (
        "epsilon 0.9961 at delta 1e-5",
        "adding or removing one record",
        "the student's own labelled records are NOT protected",
        "| Student network (alone, raw records) | 0.831 |",
        "| From scratch, no teachers | 0.701 |",
        "`network.safetensors`",
        "`architecture.json`",
        'the most that it says is "consistent, identities not checked"',
        "*attested by teacher-1, teacher-2,",
        "By agreement the feature key is held by the key holder; the run folder does not",
    ):
        assert words in card
    assert "ARE OFF" not in card
    assert "SIMULATED" not in card
    assert not re.search(r"\bverified\b", card, re.IGNORECASE)


def test_says_who_held_the_key_and_what_is_left_out() -> None:
    """A student whose makers could open the sum alone would pass for a better guarded one."""
    publish = Publish("none", ciphertexts=False, sums=False, feature_key=False)
    card = model_card(*runs.both(runs.facts(custody="aggregator", publish=publish)))
    assert "By agreement the feature key is held by the aggregator; the run folder does not" in card
    assert "No other sum of this run was opened. *attested by aggregator*" in card
    assert "- The opened sum is not published" in card


def test_warns_when_encryption_is_off_or_noise_simulated() -> None:
    """Whoever gets only the student's folder would not learn of it."""
    off = model_card(*runs.both(runs.facts(he=False)))
    assert "ENCRYPTION AND MASKS ARE OFF" in off
    simulated = model_card(*runs.both(runs.facts(simulated_noise=True)))
    assert "SIMULATED NOISE: protects nobody." in simulated
    assert "is differentially private with" not in simulated
    assert "none: simulated noise" in simulated


def test_names_from_files_cannot_act() -> None:
    """Cards are rendered by web pages: a label must not become a link or a script."""
    task = ("<script>alert(1)</script>", "[x](javascript:y)", "a | b\n# c")
    card = model_card(*runs.both(runs.facts(task=task)))
    assert "<script" not in card
    assert "&lt;script&gt;" in card
    assert "\\[x\\](javascript:y)" in card
    assert "a \\| b \\# c" in card


def test_accuracy_without_test_data_is_said_to_be_unknown() -> None:
    """A blank could be read as a good result."""
    card = model_card(*runs.both(runs.facts(accuracy=dict.fromkeys(runs.ACCURACY))))
    assert card.count("| no test data |") == len(runs.ACCURACY)
    assert "quality is unknown" in card


def test_the_snippet_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that a user does with a student is to paste this."""
    student = train(
        np.arange(30.0).reshape(10, 3),
        np.eye(2)[np.arange(10) % 2],
        Architecture(RecordSchema("tabular", (3,)), 2),
        seed=0,
        purpose="test",
        spec=TrainingSpec(epochs=1, steps=1),
    )
    folder = tmp_path / "student"
    folder.mkdir()
    (folder / "network.safetensors").write_bytes(student.to_bytes())
    (folder / "architecture.json").write_text(json.dumps(student.architecture.describe()))
    monkeypatch.chdir(tmp_path)
    card = model_card(*runs.both(runs.facts()))
    found = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert found
    names: dict[str, Any] = {"records": np.zeros((5, 3))}
    exec(compile(found[1], "snippet", "exec"), names)  # noqa: S102
    assert names["classes"].shape == (5,)
