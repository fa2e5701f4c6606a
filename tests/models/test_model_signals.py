"""Signals of models within public ranges, as integers, and back to a release."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.entropy import secret_projection
from secure_fedsa.errors import DataError
from secure_fedsa.models.model_signals import (
    ModelSignalSpec,
    alignment_saliency,
    model_features,
    release_of,
)
from secure_fedsa.models.probe_signals import normalised, probe_scatter
from secure_fedsa.models.saliency import SaliencyScale, quantise, student_query

FloatArray = npt.NDArray[np.float64]
PROBES, DIMENSION = 250, 12
GENERATOR = np.random.default_rng(0)
CLASSES = GENERATOR.integers(4, size=PROBES)
CENTRES = GENERATOR.normal(size=(4, DIMENSION)) / 6
ENCODED = CENTRES[CLASSES] + GENERATOR.normal(size=(PROBES, DIMENSION)) / 12
ENCODED *= np.minimum(1, 1 / np.linalg.norm(ENCODED, axis=1))[:, None]


def answers(noise: float, seed: int) -> FloatArray:
    """Return probabilities of a model that is more or less sure of the four classes."""
    logits = 4 * np.eye(4)[CLASSES] + noise * np.random.default_rng(seed).normal(size=(PROBES, 4))
    odds = np.exp(logits)
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    "form", [pytest.param("sketch", marks=pytest.mark.statistical), "gram", "scatter"]
)
def test_integers_of_three_teachers_add_up_to_the_release(form: Any) -> None:
    """If this fails, what is encrypted is not what the student takes the sum for.

    A sketch's error is random: of 600 of this width none was above 0.15, and 0.35 fails by chance
    less than once in 10^6 runs.
    """
    spec = ModelSignalSpec(form, PROBES, DIMENSION, 1024 if form == "sketch" else 0)
    teachers = [normalised(answers(noise, seed)) for seed, noise in enumerate((0.1, 1.0, 3.0))]
    bound, total = 2**24, np.zeros(spec.values, dtype=np.int64)
    for one in teachers:
        projection = secret_projection(one.shape[1], spec.width) if spec.width else None
        values = model_features(spec, one, ENCODED, projection)
        assert np.abs(values).max() <= spec.largest
        total += np.trunc(values / spec.largest * bound).astype(np.int64)
    release = release_of(spec, total * spec.largest / bound, ENCODED, 3)
    wanted = np.sum([probe_scatter(one, ENCODED) for one in teachers], axis=0)
    close = 0.35 if form == "sketch" else 1e-3
    assert np.linalg.norm(release.scatter - wanted) < close * np.linalg.norm(wanted)
    assert (release.total, release.teachers, release.sigma) == (3.0, 3, 0.0)


def test_a_scatter_never_reaches_beyond_its_range() -> None:
    worst = np.zeros((2, DIMENSION))
    worst[:, 0] = [1, -1]
    spec = ModelSignalSpec("scatter", 2, DIMENSION)
    assert model_features(spec, normalised(worst), worst).max() == pytest.approx(spec.largest)


def test_outliers_are_clipped() -> None:
    lone = np.zeros((PROBES, 1))
    lone[0] = 1
    spec = ModelSignalSpec("gram", PROBES, DIMENSION)
    values = model_features(spec, normalised(lone), ENCODED)
    assert values.max() == spec.largest < 1


def test_alignment_tells_knowledge_from_guesses() -> None:
    """If this fails, a teacher of shuffled labels is amalgamated."""
    scale = SaliencyScale(8, float(ENCODED.var(axis=0).max()))
    few = np.concatenate([np.flatnonzero(c == CLASSES)[:10] for c in range(4)])
    query = quantise(student_query(ENCODED[few], CLASSES[few], scale), scale.query_bound, 16)
    unsure = 0.25 + 0.01 * np.random.default_rng(5).normal(size=(PROBES, 4))
    shuffled = answers(0.1, 0)[np.random.default_rng(6).permutation(PROBES)]
    scores = [
        int(quantise(alignment_saliency(one, ENCODED, scale), scale.signal_bound, 16) @ query)
        for one in (answers(0.5, 1), unsure, shuffled)
    ]
    assert scores[0] > 5 * max(abs(scores[1]), abs(scores[2]))


@pytest.mark.parametrize(
    "call",
    [
        lambda: ModelSignalSpec("sketch", PROBES, DIMENSION),
        lambda: ModelSignalSpec("gram", PROBES, DIMENSION, 8),
        lambda: ModelSignalSpec("gram", 1, DIMENSION),
        lambda: model_features(
            ModelSignalSpec("sketch", PROBES, DIMENSION, 8), answers(1, 0), ENCODED
        ),
        lambda: model_features(ModelSignalSpec("gram", 9, DIMENSION), answers(1, 0), ENCODED),
        lambda: release_of(ModelSignalSpec("gram", PROBES, DIMENSION), np.zeros(3), ENCODED, 2),
    ],
)
def test_what_does_not_fit_the_agreed_form_is_refused(call: Any) -> None:
    with pytest.raises(DataError):
        call()
