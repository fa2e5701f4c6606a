"""Rosters that may not both be opened."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.rosters import roster_conflict


@pytest.mark.parametrize("max_colluding", [0, 1, 2])
def test_conflicts_are_exactly_small_differences(max_colluding: int) -> None:
    """If this fails, two sums are opened whose difference is one hospital's signal."""
    rosters = [
        frozenset(members) for size in range(6) for members in itertools.combinations("abcde", size)
    ]
    for earlier, roster in itertools.product(rosters, repeat=2):
        found = roster_conflict([earlier], roster, max_colluding)
        small = 1 <= len(earlier ^ roster) <= max_colluding + 1
        assert found == (earlier ^ roster if small else None)


def test_the_worst_of_several_is_named() -> None:
    """If this fails, the error names the wrong teacher."""
    earlier = [frozenset("abcdxy"), frozenset("abce"), frozenset("abc")]
    assert roster_conflict(earlier, frozenset("abcd"), 1) == frozenset("d")
    assert roster_conflict([], frozenset("abcd"), 1) is None
    assert roster_conflict([frozenset("abcd")], frozenset("abcd"), 1) is None


@pytest.mark.parametrize("value", [-1, 1.0, True, None, float("nan")])
def test_max_colluding_is_a_whole_number(value: Any) -> None:
    """If this fails, a bad agreement switches the check off."""
    with pytest.raises(PrivacyParameterError):
        roster_conflict([], frozenset("ab"), value)
