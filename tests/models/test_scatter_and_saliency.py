"""Scatter, triangle packing, saliency and quantising."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.saliency import (
    SaliencyScale,
    quantise,
    score_from_integers,
    student_query,
    teacher_saliency,
)
from secure_fedsa.models.scatter import between_scatter, from_upper_triangle, upper_triangle
from secure_fedsa.signals import NoisySummary

GRID = 2**16
UNIT = GRID // 4


def summary(sums: np.ndarray, counts: np.ndarray, sigma: float) -> NoisySummary:
    return NoisySummary(
        np.rint(sums * GRID).astype(np.int64),
        np.rint(counts * UNIT).astype(np.int64),
        sigma * GRID,
        GRID,
        UNIT,
    )


def test_scatter_without_noise_is_the_textbook_formula() -> None:
    """If this fails, the signal is not the between-class scatter that the paper trail says."""
    generator = public_generator(0, "scatter")
    counts = np.array([40.0, 70.0, 90.0])
    means = generator.normal(size=(3, 5))
    scatter, total = between_scatter(summary(means * counts[:, None], counts, 0.0), count_floor=1)
    centred = means - (means * counts[:, None]).sum(axis=0) / 200
    assert total == pytest.approx(200)
    assert scatter == pytest.approx((centred.T * counts) @ centred, abs=1e-2)
    assert np.array_equal(scatter, scatter.T)


def test_noise_share_is_removed_without_bias() -> None:
    """If this fails, noise looks like knowledge: every empty teacher seems to have signal.

    2,000 independent traces, two-sided z-test: false alarms once in a million.
    """
    generator = public_generator(1, "scatter noise")
    counts = np.array([30.0, 50.0, 200.0, 80.0])
    sums = generator.normal(size=(4, 6)) * counts[:, None] * 0.1
    exact, _ = between_scatter(summary(sums, counts, 0.0), count_floor=1)
    sigma = 4.0
    traces = []
    for _ in range(2000):
        noise = generator.normal(0, sigma, sums.shape)
        scatter, _ = between_scatter(summary(sums + noise, counts, sigma), count_floor=1)
        traces.append(np.trace(scatter) - np.trace(exact))
    z = np.mean(traces) / (np.std(traces) / np.sqrt(len(traces)))
    assert abs(z) < stats.norm.isf(0.5e-6)


def test_empty_class_does_not_explode() -> None:
    """If this fails, a class without records sends its noise divided by almost nothing."""
    scatter, total = between_scatter(
        summary(np.ones((2, 3)), np.array([-5.0, 100.0]), 1.0), count_floor=20
    )
    assert total == pytest.approx(120)
    assert np.abs(scatter).max() < 5


def test_triangle_round_trip() -> None:
    """If this fails, the student unpacks another matrix than the teachers packed."""
    matrix = public_generator(2, "triangle").normal(size=(17, 17))
    matrix = matrix + matrix.T
    assert np.array_equal(from_upper_triangle(upper_triangle(matrix), 17), matrix)


@pytest.mark.parametrize(
    "call",
    [
        lambda: upper_triangle(np.zeros((2, 3))),
        lambda: upper_triangle(np.array([[0.0, 1.0], [2.0, 0.0]])),
        lambda: from_upper_triangle(np.zeros(5), 3),
        lambda: between_scatter(summary(np.zeros((1, 3)), np.ones(1), 1.0), count_floor=1),
        lambda: between_scatter(summary(np.zeros((2, 3)), np.ones(3), 1.0), count_floor=1),
        lambda: between_scatter(summary(np.zeros((2, 3)), np.ones(2), 1.0), count_floor=0),
        lambda: quantise(np.array([np.nan]), 1.0, 8),
        lambda: quantise(np.zeros(1), 0.0, 8),
    ],
)
def test_what_does_not_fit_is_refused(call: object) -> None:
    """If this fails, a wrong shape travels on and surfaces as a wrong model."""
    with pytest.raises(DataError):
        call()  # type: ignore[operator]


def test_quantised_values_stay_in_the_public_range() -> None:
    """If this fails, an encrypted sum can wrap, or a value can tell more than agreed."""
    values = quantise(np.array([-9.0, -1.0, -0.3, 0.0, 0.3, 1.0, 9.0]), 1.0, 10)
    assert values.tolist() == [-511, -511, -153, 0, 153, 511, 511]
    assert np.abs(values[2:5] / 511 - [-0.3, 0, 0.3]).max() < 1 / 511
    assert np.abs(quantise(np.array([1e300, -1e300]), 1.0, 62)).max() == 2**61 - 1


def task(shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes, 16 dimensions, that differ along the first direction by ``shift``."""
    generator = public_generator(seed, "task")
    labels = np.arange(400) % 2
    points = generator.normal(0, 0.05, (400, 16))
    points[:, 0] += shift * (labels - 0.5)
    return points, labels


def score(points: np.ndarray, labels: np.ndarray) -> float:
    scale = SaliencyScale(directions=8, variance=0.05)
    query = student_query(*task(0.4, seed=3), scale)
    sums = np.stack([points[labels == c].sum(axis=0) for c in range(2)])
    scatter, total = between_scatter(summary(sums, np.bincount(labels), 0.0), count_floor=1)
    signal = teacher_saliency(scatter, total, scale)
    left = quantise(signal, scale.signal_bound, 14).tolist()
    right = quantise(query, scale.query_bound, 14).tolist()
    product = sum(a * b for a, b in zip(left, right, strict=True))
    whole = score_from_integers(product, scale, signal_bits=14, query_bits=14)
    assert whole == pytest.approx(float(signal @ query), abs=0.01)
    assert abs(whole) <= scale.score_bound
    return whole


def test_score_is_absolute() -> None:
    """If this fails, no single public threshold can tell useful teachers from useless ones."""
    points, labels = task(0.4, seed=4)
    assert score(points, labels) == pytest.approx(1, abs=0.15)
    shuffled = public_generator(5, "shuffle").permutation(labels)
    assert abs(score(points, shuffled)) < 0.1
    assert abs(score(np.roll(points, 3, axis=1), labels)) < 0.1
