"""From a released sum to a network, on a task small enough to see through."""

from __future__ import annotations

import json

import numpy as np
import pytest

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.amalgamation import (
    AmalgamatedModel,
    Release,
    StudentData,
    amalgamate,
    without_teachers,
)
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.models.filters import BankSpec
from secure_fedsa.models.students import distil, from_scratch, self_trained, student_architecture
from secure_fedsa.models.training import Student, TrainingSpec

SPEC = EncoderSpec(
    dimension=32, banks=(BankSpec(6, 24, 2, 4, 0.5), BankSpec(10, 24, 2, 3, 0.5)), units=48
)
QUICK = TrainingSpec(steps=20, epochs=1)
CLASSES = 4


def shapes(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy 28x28 images of four textures: stripes of two directions, checks, discs."""
    generator = public_generator(seed, "shapes")
    labels = generator.integers(CLASSES, size=count)
    row, column = np.mgrid[:28, :28]
    phase = generator.integers(0, 4, size=(count, 2, 1, 1))
    row, column = row + phase[:, 0], column + phase[:, 1]
    patterns = np.stack(
        [
            row % 4 < 2,
            column % 4 < 2,
            (row // 3 + column // 3) % 2 == 0,
            (row - 15) ** 2 + (column - 15) ** 2 < 70,
        ]
    )
    picture = patterns[labels, np.arange(count)] * 60 + generator.normal(90, 60, (count, 28, 28))
    return np.clip(picture, 0, 255).astype(np.uint8), labels


class Setting:
    def __init__(self) -> None:
        self.probes, _ = shapes(400, 0)
        drawn, labels = shapes(200, 1)
        keep = np.concatenate([np.flatnonzero(labels == c)[:4] for c in range(CLASSES)])
        self.labelled, self.labels = drawn[keep], labels[keep]
        self.test, self.truth = shapes(400, 2)
        self.encoder = PublicEncoder.fit(self.probes, SPEC)
        self.student = StudentData.encode(
            self.encoder, self.labelled, self.labels, self.probes, classes=CLASSES
        )
        records, known = shapes(600, 3)
        points, _ = self.encoder.encode_clipped(records)
        means = np.stack([points[known == c].mean(axis=0) for c in range(CLASSES)])
        centred = (means - points.mean(axis=0)) * np.sqrt(np.bincount(known))[:, None]
        self.release = Release(centred.T @ centred, 600.0, 1, 0.0)
        self.model = amalgamate(self.release, self.encoder, self.student)

    def accuracy(self, model: AmalgamatedModel | Student) -> float:
        return float((model.predict(self.test) == self.truth).mean())


@pytest.fixture(scope="module")
def setting() -> Setting:
    return Setting()


def test_teachers_help(setting: Setting) -> None:
    """If this fails, the whole exercise gives the student nothing."""
    assert setting.accuracy(setting.model) > 0.9
    baseline = without_teachers(setting.encoder, setting.student)
    assert setting.accuracy(setting.model) > setting.accuracy(baseline) - 0.01


def test_classifier_keeps_its_heads_on_disk(setting: Setting) -> None:
    """If this fails, the stored classifier answers otherwise than the one that was examined."""
    assert len(setting.model.heads) > 1
    widths = [len(head.weights) for head in setting.model.heads]
    assert widths == sorted(set(widths))
    assert widths[-1] == setting.model.directions.shape[1]
    for model in (setting.model, without_teachers(setting.encoder, setting.student)):
        again = AmalgamatedModel.from_bytes(model.to_bytes(), setting.encoder)
        assert np.array_equal(
            again.log_probabilities(setting.test), model.log_probabilities(setting.test)
        )


def test_network_alone_keeps_up_with_the_head(setting: Setting) -> None:
    """If this fails, what the student deploys is worse than what the report promises."""
    network = distil(
        setting.model,
        setting.probes,
        setting.student.probes,
        setting.labelled,
        setting.labels,
        seed=0,
    )
    assert setting.accuracy(network) > setting.accuracy(setting.model) - 0.03
    description = json.loads(json.dumps(network.architecture.describe()))
    again = Student.from_bytes(description, network.to_bytes())
    assert np.array_equal(again.predict(setting.test), network.predict(setting.test))


def test_training_repeats_for_a_seed(setting: Setting) -> None:
    """If this fails, a run cannot be reproduced from its seed."""
    architecture = student_architecture(setting.encoder, CLASSES)
    first, second = (
        from_scratch(architecture, setting.labelled, setting.labels, seed=7, spec=QUICK)
        for _ in range(2)
    )
    assert first.to_bytes() == second.to_bytes()
    guided = self_trained(
        first, setting.labelled, setting.labels, setting.probes, seed=7, spec=QUICK
    )
    assert guided.log_probabilities(setting.test).shape == (400, CLASSES)


def test_tables_train_too() -> None:
    """If this fails, `--data` with a table stops at the last step."""
    generator = public_generator(8, "table")
    labels = generator.integers(3, size=300)
    rows = generator.normal(size=(300, 6)) + 2.0 * np.eye(6)[labels]
    encoder = PublicEncoder.fit(rows, SPEC)
    student = StudentData.encode(encoder, rows[:60], labels[:60], rows[60:], classes=3)
    points = student.labelled
    means = np.stack([points[labels[:60] == c].mean(axis=0) for c in range(3)])
    centred = means - means.mean(axis=0)
    model = amalgamate(Release(centred.T @ centred * 20, 60.0, 1, 0.0), encoder, student)
    network = distil(
        model,
        rows[60:],
        student.probes,
        rows[:60],
        labels[:60],
        seed=0,
        spec=TrainingSpec(steps=150),
    )
    assert (network.predict(rows) == model.predict(rows)).mean() > 0.85


def test_what_does_not_fit_is_refused(setting: Setting) -> None:
    """If this fails, a missing class or another run's release gives a silently bad model."""
    with pytest.raises(DataError, match="does not fit an encoder"):
        amalgamate(Release(np.eye(5), 10.0, 1, 0.0), setting.encoder, setting.student)
    short = StudentData(
        setting.student.labelled, np.zeros(16, dtype=np.int64), setting.student.probes, CLASSES
    )
    with pytest.raises(DataError, match="missing"):
        amalgamate(setting.release, setting.encoder, short)
    bad = setting.labelled / 255.0
    bad[0, 0, 0] = np.nan
    with pytest.raises(DataError, match="out-of-range"):
        StudentData.encode(setting.encoder, bad, setting.labels, setting.probes, classes=CLASSES)
    with pytest.raises(DataError, match="weights"):
        Student.from_bytes(
            {
                "schema": {"kind": "tabular", "shape": [4]},
                "classes": 2,
                "sizes": [],
                "pools": [],
                "filters": 1,
                "hidden": 4,
            },
            b"junk",
        )
