"""Figures of selection are read as claims: an area or regret computed wrongly misleads."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.selection import METHODS, area_under_curve, table_of, take
from secure_fedsa.cli.drafting import THRESHOLD

GOOD = frozenset({"a", "b"})


@pytest.mark.parametrize(
    ("scores", "area"),
    [
        ({"a": 3.0, "b": 2.0, "c": 1.0}, 1.0),
        ({"a": 3.0, "b": 1.0, "c": 2.0}, 0.5),
        ({"a": 1.0, "b": 1.0, "c": 1.0}, 0.5),
        ({"a": 1.0, "b": 2.0}, None),
        ({"c": 1.0, "d": 2.0}, None),
    ],
)
def test_the_area_counts_pairs_in_order(scores: dict[str, float], area: float | None) -> None:
    assert area_under_curve(scores, GOOD) == area


def test_the_table_tells_the_worst_seed_too() -> None:
    row: dict[str, Any] = {
        "setting": "s",
        "method": "m",
        "auc": 1.0,
        "exact": True,
        "selected": 6,
        "bad_selected": 0,
        "regret": 0.01,
    }
    (line,) = table_of([row, row | {"auc": 0.5, "exact": False, "regret": 0.03}])
    assert (line["auc_mean"], line["auc_least"], line["exact"]) == (0.75, 0.5, 0.5)
    assert (line["regret_mean"], line["regret_most"], line["seeds"]) == (0.02, 0.03, 2)
    (line,) = table_of([row | {"auc": None}])
    assert line["auc_mean"] is line["auc_least"] is None


def test_a_pool_that_runs_out_starts_again() -> None:
    pool = list(range(5))
    assert [take(pool, 2) for _ in range(3)] == [[0, 1], [2, 3], [4, 2]]


def test_the_default_is_measured_at_the_threshold_of_a_run() -> None:
    assert METHODS[0].route == "noisy-release"
    assert METHODS[0].threshold == THRESHOLD
