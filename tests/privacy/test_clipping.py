"""Clipping: what one record can do to a summary, and that it does so alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError, PrivacyParameterError
from secure_fedsa.privacy.clipping import summarise, to_grid

any_features = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 6), st.integers(1, 9)),
    elements=st.floats(width=64, allow_nan=True, allow_infinity=True),
)


@settings(max_examples=200, deadline=None)
@given(
    any_features,
    st.floats(1e-300, 1e300),
    st.one_of(st.integers(1, 2000), st.sampled_from([2**20, 2**29])),
)
def test_no_record_is_longer_than_the_grid(
    features: npt.NDArray[np.float64], clip_norm: float, grid: int
) -> None:
    """If this fails, a record weighs more than its noise was made for: epsilon is false."""
    rows, valid = to_grid(features, clip_norm, grid)
    for row, usable in zip(rows.tolist(), valid.tolist(), strict=True):
        assert sum(value * value for value in row) <= grid**2
        assert usable or not any(row)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e308, -1e200])
def test_a_bad_record_is_zero_and_silent(bad: float) -> None:
    """If this fails, others see by an error that one record is odd: that record leaks."""
    features = np.array([[0.3, 0.4], [bad, 0.1], [0.1, bad]])
    rows, valid = to_grid(features, 0.001, 100)
    assert valid.tolist() == [True, False, False]
    assert not rows[1:].any()


def test_known_rows() -> None:
    """If this fails, utility or the truncation rule changed: parties no longer agree."""
    features = np.array([[3.0, 4.0], [0.3, -0.4], [0.0, 0.0], [-0.0019, 0.0019]])
    rows, valid = to_grid(features, 1.0, 1000)
    assert rows.tolist() == [[600, 800], [300, -400], [0, 0], [-1, 1]]
    assert valid.all()
    integers, _ = to_grid(np.array([[3, 4], [30, -40]], dtype=np.int64), 10.0, 1000)
    assert integers.tolist() == [[300, 400], [600, -800]]


def test_a_norm_that_floating_point_gets_wrong_is_caught_in_integers() -> None:
    """If this fails, a crafted record is longer than the clip norm and nobody sees it.

    1 + 2^-54 is 1 in floating point, so this record's computed norm is exactly 1.
    """
    crafted = np.array([[1.0] + [2.0**-27] * 6])
    rows, valid = to_grid(crafted, 1.0, 2**30)
    assert not rows.any()
    assert not valid.any()


def test_almost_every_clipped_record_survives_the_integer_check() -> None:
    """If this fails, rounding throws good records away and the student pays for it."""
    features = public_generator(0, "test").normal(size=(2000, 64))
    for grid in (16, 1024, 2**27):
        assert to_grid(features, 1.0, grid)[1].all()
    one_hot = np.eye(64) * np.linspace(1e-3, 1e3, 64)[:, None]
    assert to_grid(one_hot, 0.1, 1024)[1].all()


@settings(max_examples=60, deadline=None)
@given(any_features.filter(lambda features: len(features) > 0), st.randoms(use_true_random=False))
def test_a_row_depends_on_its_record_alone(features: npt.NDArray[np.float64], random: Any) -> None:
    """If this fails, a neighbour's other records move too: the sensitivity is false."""
    rows, valid = to_grid(features, 1.5, 777)
    order = list(range(len(features)))
    random.shuffle(order)
    shuffled = to_grid(features[order], 1.5, 777)
    assert np.array_equal(shuffled[0], rows[order])
    assert np.array_equal(shuffled[1], valid[order])
    for index in range(len(features)):
        alone = to_grid(features[index : index + 1], 1.5, 777)
        assert np.array_equal(alone[0][0], rows[index])


def test_a_row_does_not_depend_on_memory_layout() -> None:
    """If this fails, the same record counts differently by how it was loaded."""
    features = public_generator(1, "test").normal(size=(301, 255))
    expected, _ = to_grid(features, 3.0, 12345)
    wide = np.zeros((602, 511))
    wide[::2, 1::2] = features
    for copy in (np.asfortranarray(features), wide[::2, 1::2], features[::-1][::-1]):
        assert np.array_equal(to_grid(copy, 3.0, 12345)[0], expected)
    padded = np.zeros(features.size + 1)[1:].reshape(features.shape)
    padded[:] = features
    assert np.array_equal(to_grid(padded, 3.0, 12345)[0], expected)


def test_summary_adds_up_and_counts() -> None:
    """If this fails, classes mix and every signal after is wrong."""
    rows, valid = to_grid(np.array([[1.0, 0], [0, 1.0], [1.0, 0], [np.nan, 0]]), 1.0, 10)
    summary, notes = summarise(rows, np.array([0, 1, 0, 1]), valid, 3, 4, grid=10)
    assert summary.sums.tolist() == [[20, 0], [0, 10], [0, 0]]
    assert summary.counts.tolist() == [8, 4, 0]
    assert (notes.records, notes.zeroed) == (4, 1)
    assert repr(notes) == "LocalNotes(<private>)"


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 9, -1, 2]),
        np.array([0.0, 1.5, np.nan, np.inf]),
        np.array([0, 255, 3, 2], dtype=np.uint8),
        np.array([0, 2**64 - 1, 2**63, 2], dtype=np.uint64),
        np.array([0, True, "1", 10**30], dtype=object),
        np.array([0, None, 1.0, [1]], dtype=object),
    ],
)
def test_a_bad_label_contributes_nothing(labels: npt.NDArray[Any]) -> None:
    """If this fails, one mislabelled record stops the run, or lands in a class: it leaks."""
    rows, valid = to_grid(np.ones((4, 2)), 1.0, 10)
    summary, notes = summarise(rows, labels, valid, 2, 5, grid=10)
    assert summary.counts.tolist() == [5, 0]
    assert summary.sums.tolist() == [rows[0].tolist(), [0, 0]]
    assert notes.zeroed == 3


def test_unclipped_rows_are_not_summed() -> None:
    """If this fails, a caller that forgot to clip publishes a raw record under DP's name."""
    rows = np.array([[11, 0], [8, 8], [6, 8], [-(2**63), 0]], dtype=np.int64)
    labels, valid = np.zeros(4, dtype=np.int64), np.ones(4, dtype=np.bool_)
    summary, _ = summarise(rows, labels, valid, 1, 1, grid=10)
    assert summary.sums.tolist() == [[6, 8]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 30), st.integers(0, 2**31))
def test_removing_a_record_changes_the_summary_by_that_record(index: int, seed: int) -> None:
    """If this fails, add/remove neighbours differ by more than one record: epsilon is false."""
    generator = public_generator(seed, "test")
    features, labels = generator.normal(size=(31, 5)), generator.integers(-1, 4, 31)
    rows, valid = to_grid(features, 1.0, 50)
    summary, _ = summarise(rows, labels, valid, 3, 7, grid=50)
    keep = np.arange(31) != index
    fewer_rows, fewer_valid = to_grid(features[keep], 1.0, 50)
    fewer, _ = summarise(fewer_rows, labels[keep], fewer_valid, 3, 7, grid=50)
    sums, counts = summary.sums - fewer.sums, summary.counts - fewer.counts
    usable = 0 <= labels[index] < 3
    assert counts.sum() == (7 if usable else 0)
    assert np.array_equal(sums.sum(axis=0), rows[index] if usable else np.zeros(5))
    assert np.count_nonzero(np.abs(sums).sum(axis=1)) <= 1


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, True, "1", None])
def test_public_parameters_are_refused(value: Any) -> None:
    """If this fails, a typing error in the agreement removes the clipping."""
    with pytest.raises(PrivacyParameterError):
        to_grid(np.ones((1, 1)), value, 10)
    with pytest.raises(PrivacyParameterError):
        to_grid(np.ones((1, 1)), 1.0, value)
    rows, valid = to_grid(np.ones((1, 1)), 1.0, 10)
    with pytest.raises(PrivacyParameterError):
        summarise(rows, np.zeros(1), valid, value, 1, grid=10)
    with pytest.raises(PrivacyParameterError):
        summarise(rows, np.zeros(1), valid, 1, value, grid=10)


def test_a_grid_that_could_overflow_is_refused() -> None:
    """If this fails, an int64 square wraps and a long record passes as a short one."""
    with pytest.raises(PrivacyParameterError, match="too fine"):
        to_grid(np.ones((1, 8)), 1.0, 2**30)
    assert to_grid(np.ones((1, 7)), 1.0, 2**30)[1].all()


def test_shapes_that_do_not_fit_are_refused() -> None:
    """If this fails, labels shift against records and nobody notices."""
    rows, valid = to_grid(np.ones((3, 2)), 1.0, 10)
    with pytest.raises(DataError):
        to_grid(np.ones(3), 1.0, 10)
    with pytest.raises(DataError):
        to_grid(np.ones((3, 2), dtype=np.float32), 1.0, 10)
    with pytest.raises(DataError):
        summarise(rows, np.zeros(2), valid, 2, 1, grid=10)
    with pytest.raises(DataError):
        summarise(rows.astype(np.float64), np.zeros(3), valid, 2, 1, grid=10)
