"""Integers to residues and back: if these fail, a teacher's values change on the way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from secure_fedsa.encryption.fixed_point import centre, check_released, encode
from secure_fedsa.errors import HeadroomError, ProtocolError
from secure_fedsa.signals import ReleasedSum, Signal, int_array

MODULUS = 17179754497
BOUND = 1 << 26


def signal(values: list[int]) -> Signal:
    return Signal(int_array([0]), int_array(values))


def test_centre_at_its_ends() -> None:
    """The two largest sums would change places."""
    half = MODULUS // 2
    assert centre(np.array([half, half + 1]), MODULUS).tolist() == [half, -half]


@given(st.lists(st.integers(-BOUND, BOUND), min_size=1, max_size=50))
def test_round_trip(values: list[int]) -> None:
    """A value, above all a negative one, would come back as another."""
    encoded = encode(signal(values), feature_bound=BOUND, values=len(values), plain_modulus=MODULUS)
    assert encoded.residues.min() >= 0
    assert encoded.residues.max() < MODULUS
    assert centre(encoded.residues, MODULUS).tolist() == values


@given(
    st.lists(st.lists(st.integers(-BOUND, BOUND), min_size=3, max_size=3), min_size=1, max_size=64)
)
def test_sums_of_residues_are_sums_of_values(rows: list[list[int]]) -> None:
    """Sixty-four teachers would not add up."""
    total = sum(
        encode(signal(row), feature_bound=BOUND, values=3, plain_modulus=MODULUS).residues
        for row in rows
    )
    assert centre(np.asarray(total), MODULUS).tolist() == np.sum(rows, axis=0).tolist()


@pytest.mark.parametrize("value", [BOUND + 1, -BOUND - 1, 2**62, np.iinfo(np.int64).min])
def test_out_of_range_is_refused_without_showing_the_value(value: int) -> None:
    """A wide value would wrap into another teacher's, or leak through the error text."""
    with pytest.raises(HeadroomError) as caught:
        encode(signal([0, value]), feature_bound=BOUND, values=2, plain_modulus=MODULUS)
    assert str(abs(value)) not in str(caught.value)


def test_wrong_shape_type_or_modulus_is_refused() -> None:
    """Slots of two teachers would not line up, or floats would be truncated."""
    with pytest.raises(HeadroomError):
        encode(signal([1, 2]), feature_bound=BOUND, values=3, plain_modulus=MODULUS)
    floats = Signal(int_array([0]), np.array([0.5, 1.5]))
    with pytest.raises(HeadroomError):
        encode(floats, feature_bound=BOUND, values=2, plain_modulus=MODULUS)
    with pytest.raises(HeadroomError):
        encode(signal([1]), feature_bound=MODULUS, values=1, plain_modulus=MODULUS)


def test_released_sum_is_checked() -> None:
    """The student would train on a sum that no honest roster can have made."""
    good = ReleasedSum(int_array([2 * BOUND, -2 * BOUND]), ("a", "b"))
    assert check_released(good, limit=2 * BOUND, values=2) is good
    with pytest.raises(ProtocolError):
        check_released(good, limit=2 * BOUND, values=3)
    for value in (2 * BOUND + 1, -2 * BOUND - 1):
        released = ReleasedSum(int_array([value]), ("a", "b"))
        with pytest.raises(ProtocolError):
            check_released(released, limit=2 * BOUND, values=1)
