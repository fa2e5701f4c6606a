"""Privacy events as inert data."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    event_from_dict,
    events_from_list,
    events_to_list,
)

positive = st.floats(min_value=0, exclude_min=True, max_value=2.0**52)
events = st.builds(DiscreteGaussianRelease, positive, positive, st.integers(1, 2**31))


@given(st.lists(events, min_size=1, max_size=4))
def test_events_survive_canonical_json(composition: list[DiscreteGaussianRelease]) -> None:
    """If this fails, an auditor recomputes another epsilon than the teacher charged."""
    stored = rfc8785.dumps(events_to_list(composition))
    again = events_from_list(json.loads(stored))
    assert again == tuple(composition)
    assert rfc8785.dumps(events_to_list(again)) == stored


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, 10**400, True, "4", None, 2**53])
@pytest.mark.parametrize("name", ["sensitivity", "noise_scale", "coordinates"])
def test_bad_values_are_refused(name: str, value: Any) -> None:
    """If this fails, an event with NaN noise composes to epsilon 0."""
    good = DiscreteGaussianRelease(1.0, 4.0, 3).to_dict()
    with pytest.raises(PrivacyParameterError):
        event_from_dict({**good, name: value})
    arguments = {"sensitivity": 1.0, "noise_scale": 4.0, "coordinates": 3, name: value}
    with pytest.raises(PrivacyParameterError):
        DiscreteGaussianRelease(**arguments)


@pytest.mark.parametrize("name", ["kind", "sensitivity", "noise_scale", "coordinates"])
def test_missing_keys_are_refused(name: str) -> None:
    """If this fails, a forged event leaves its noise to a default."""
    good = DiscreteGaussianRelease(1.0, 4.0, 3).to_dict()
    with pytest.raises(PrivacyParameterError):
        event_from_dict({key: value for key, value in good.items() if key != name})


@pytest.mark.parametrize(
    "bad",
    [
        {"kind": "laplace", "sensitivity": 1.0, "noise_scale": 4.0, "coordinates": 3},
        {"kind": ["discrete-gaussian"]},
        {},
        None,
        [],
        "discrete-gaussian",
    ],
)
def test_other_things_are_refused(bad: Any) -> None:
    """If this fails, an unknown mechanism is accounted as a known one."""
    with pytest.raises(PrivacyParameterError):
        event_from_dict(bad)
    with pytest.raises(PrivacyParameterError):
        DiscreteGaussianRelease.from_dict(bad)


def test_unknown_keys_and_empty_or_huge_compositions_are_refused() -> None:
    """If this fails, a receipt can carry claims that nobody checks, or charge nothing."""
    good = DiscreteGaussianRelease(1.0, 4.0, 3).to_dict()
    with pytest.raises(PrivacyParameterError, match="keys"):
        event_from_dict({**good, "note": "trust me"})
    for composition in ([], [good] * 1025, None, good):
        with pytest.raises(PrivacyParameterError):
            events_from_list(composition)  # type: ignore[arg-type]
