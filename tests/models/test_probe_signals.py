"""Signals of models: what adds up over teachers, and what the sum tells."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.entropy import secret_projection
from secure_fedsa.errors import DataError
from secure_fedsa.models.probe_signals import (
    gram_triangle,
    joined,
    normalised,
    probe_scatter,
    scatter_of_gram,
    scatter_of_sketch,
    sketch,
)
from secure_fedsa.models.scatter import from_upper_triangle

FloatArray = npt.NDArray[np.float64]


def answers(seed: int, probes: int = 300, width: int = 6) -> FloatArray:
    """Class probabilities of a made-up model, peaked as a trained one's are."""
    logits = 3 * np.random.default_rng(seed).normal(size=(probes, width))
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def total(parts: Iterable[FloatArray]) -> FloatArray:
    return np.asarray(np.sum(list(parts), axis=0))


def test_every_teacher_weighs_the_same_whatever_its_width_and_scale() -> None:
    for values in (answers(0), 1000 * answers(1, width=40), joined([answers(2), 9 * answers(3)])):
        rows = normalised(values)
        assert np.abs(rows.mean(axis=0)).max() < 1e-12
        assert (rows**2).sum() / len(rows) == pytest.approx(1)
    assert not normalised(np.ones((5, 2))).any()


def test_the_sum_of_sketches_estimates_the_sum_of_grams() -> None:
    """If this fails, the student amalgamates something else than what teachers know."""
    teachers = [normalised(answers(seed, width=4 + seed)) for seed in range(6)]
    encoded = np.random.default_rng(9).normal(size=(300, 5))
    summed = total(sketch(a, secret_projection(a.shape[1], 2048)) for a in teachers)
    grams = total(from_upper_triangle(gram_triangle(a), 300) for a in teachers)
    scatters = np.sum([probe_scatter(a, encoded) for a in teachers], axis=0)
    assert np.linalg.norm(summed @ summed.T / 300 - grams) < 0.2 * np.linalg.norm(grams)
    np.testing.assert_allclose(scatter_of_gram(grams, encoded), scatters, atol=1e-12)
    found = scatter_of_sketch(summed, encoded)
    assert np.linalg.norm(found - scatters) < 0.2 * np.linalg.norm(scatters)


def test_the_scatter_of_one_hot_answers_is_the_between_class_scatter() -> None:
    generator = np.random.default_rng(3)
    classes, encoded = generator.integers(4, size=400), generator.normal(size=(400, 7))
    across = encoded - encoded.mean(axis=0)
    one_hot = np.eye(4)[classes] - np.eye(4)[classes].mean(axis=0)
    direct = across.T @ one_hot @ one_hot.T @ across / 400**2
    np.testing.assert_allclose(probe_scatter(one_hot, encoded), direct, atol=1e-12)


def span_share(summed: FloatArray, guess: FloatArray) -> float:
    """Return how much of a guessed model's answers lies in the span of a released sketch."""
    left = np.linalg.svd(summed - summed.mean(axis=0), full_matrices=False)
    basis = left[0][:, left[1] > 1e-6 * left[1][0]]
    return float(((basis.T @ guess) ** 2).sum() / (guess**2).sum())


def separated(summed: FloatArray, everything: FloatArray) -> float:
    """Return how well independent component analysis finds single columns of the teachers."""
    from sklearn.decomposition import FastICA
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        parts = FastICA(20, random_state=0, max_iter=500).fit_transform(summed)
    found = np.abs(np.corrcoef(parts.T, everything.T)[:20, 20:])
    return float(found.max(axis=0).mean())


def test_an_attempt_to_separate_teachers_from_the_sum() -> None:
    """What a secret projection hides, and what it does not.

    With a *public* projection as wide as all answers together, each teacher's answers are read
    off the sum exactly. With secret ones, independent component analysis of the sum does no
    better than of a sum drawn from the Gram matrices alone. Not hidden: while the sketch is as
    wide as all answers together, whether a model that one knows already is among the teachers.
    """
    teachers = [normalised(answers(seed)) for seed in range(4)]
    everything = np.concatenate(teachers, axis=1)
    public = [np.random.default_rng(50 + i).normal(size=(6, 32)) for i in range(4)]
    summed = total(sketch(a, w) for a, w in zip(teachers, public, strict=True))
    solved = summed @ np.linalg.pinv(np.concatenate(public) / np.sqrt(32))
    np.testing.assert_allclose(solved, everything, atol=1e-8)  # all of every teacher

    secret = [secret_projection(6, 32) for _ in teachers]
    summed = total(sketch(a, w) for a, w in zip(teachers, secret, strict=True))
    wrong = summed @ np.linalg.pinv(np.concatenate(public) / np.sqrt(32))
    assert np.abs(np.corrcoef(wrong.T, everything.T)[:24, 24:].diagonal()).mean() < 0.5
    # Blind separation finds what the Gram matrices tell and no more: a sum that was made from
    # the Gram matrices alone, without any teacher, gives it the same.
    left, sizes, _ = np.linalg.svd(everything, full_matrices=False)
    made_up = sketch(left * sizes, secret_projection(24, 32))
    assert abs(separated(summed, everything) - separated(made_up, everything)) < 0.1
    # The limit that the documentation states.
    known, stranger = teachers[0], normalised(answers(77))
    assert span_share(summed, known) > 0.99
    assert span_share(summed, stranger) < 0.3
    narrow = total(sketch(a, secret_projection(6, 8)) for a in teachers)
    assert span_share(narrow, known) < 0.7


@pytest.mark.parametrize(
    "call",
    [
        lambda: normalised(np.array([[np.nan]])),
        lambda: joined([]),
        lambda: joined([answers(0), answers(1, probes=5)]),
        lambda: sketch(answers(0), np.ones((5, 2))),
        lambda: probe_scatter(answers(0), np.ones((5, 2))),
        lambda: scatter_of_gram(np.ones((4, 4)), np.ones((5, 2))),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call: Any) -> None:
    with pytest.raises(DataError):
        call()
