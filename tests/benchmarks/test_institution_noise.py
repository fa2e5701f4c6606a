"""The measurement of institution noise is read as a price: what it leaves out misleads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.institution_noise import (
    EPSILONS,
    FULL,
    MAX_COLLUDING,
    Cohort,
    Scale,
    Setting,
    World,
    chosen,
    means,
    one,
    plan,
)
from secure_fedsa.cli.datasets import load_digits
from secure_fedsa.models.scatter import from_upper_triangle

SMALL = Scale({3: 120, 4: 90}, probes=300, labels=40, whole=48)
WIDTH = 16


@pytest.fixture(scope="module")
def world() -> World:
    digits = load_digits()
    data = replace(
        digits,
        images=digits.images[:1400],
        labels=digits.labels[:1400],
        test_images=digits.images[1400:],
        test_labels=digits.labels[1400:],
    )
    return World(data, 0, SMALL)


@pytest.fixture(scope="module")
def cohort(world: World) -> Cohort:
    return Cohort(world, 4, WIDTH)


@pytest.mark.slow
def test_every_signal_fills_its_norm_and_none_passes_it(cohort: Cohort) -> None:
    """If this fails, noise is made for another norm than signals have, and the price is wrong."""
    for signals in (cohort.signals("scatter"), cohort.signals("levelled")):
        assert len(signals) == 4
        for signal in signals:
            assert np.linalg.norm(signal) == pytest.approx(1.0)


@pytest.mark.slow
def test_a_levelled_signal_has_as_many_directions_as_its_task(cohort: Cohort) -> None:
    """If this fails, the form that is measured is not the one that is described."""
    weights = np.where(np.equal(*np.triu_indices(WIDTH)), 1.0, np.sqrt(2.0))
    for signal in cohort.signals("levelled"):
        values = np.linalg.eigvalsh(from_upper_triangle(signal / weights, WIDTH))
        assert (values > -1e-9).all()
        assert 1 <= (values > 1e-6).sum() <= 4


@pytest.mark.slow
@pytest.mark.statistical
def test_the_opened_sum_carries_every_members_share(cohort: Cohort) -> None:
    """If this fails, the accuracy at an epsilon is that of less noise.

    136 values: their variance is off by a half less than once in 10^5 runs.
    """
    event = plan(1.0, 4, WIDTH)
    assert event is not None
    difference = cohort.opened("scatter", event) - cohort.opened("scatter", None)
    expected = event.share_scale * np.sqrt(4) / event.norm_bound / 4
    assert event.members - event.max_colluding == 4 - MAX_COLLUDING
    assert 0.5 < float(np.mean(difference**2)) / expected**2 < 1.6


@pytest.mark.slow
def test_a_row_says_what_was_measured(cohort: Cohort) -> None:
    """If this fails, a figure stands beside an epsilon that it does not belong to."""
    setting = Setting("levelled", WIDTH, (1.0,))
    row = one(cohort, setting, 8.0, held_out=True)
    assert row["epsilon_by_view"]["sum-and-colluding"] == pytest.approx(8.0, rel=1e-3)
    assert row["epsilon_by_view"]["sum-and-colluding"] <= 8.0
    assert row["epsilon_member_to_any"]["sum-and-colluding"] > 16
    exact = one(cohort, setting, None, held_out=False)
    assert exact["epsilon"] is None
    assert exact["accuracy"] > 0.3  # ten classes


@pytest.mark.parametrize("teachers", list(FULL.records))
@pytest.mark.parametrize("epsilon", [None, *EPSILONS])
def test_a_setting_is_chosen_for_every_row(teachers: int, epsilon: float | None) -> None:
    """If this fails, the command ends in the middle of an hour's work."""
    assert 16 <= chosen(teachers, epsilon).width <= 256


def test_means_keep_settings_apart() -> None:
    """If this fails, two epsilons are averaged into one figure."""
    row = {"teachers": 6, "epsilon": 1.0, "form": "scatter", "width": 16, "heads": [1.0]}
    rows = [
        row | {"accuracy": 0.5},
        row | {"accuracy": 0.7},
        row | {"accuracy": 0.9, "epsilon": None},
    ]
    first, second = means(rows)
    assert (first["mean"], first["least"], first["most"]) == (pytest.approx(0.6), 0.5, 0.7)
    assert (second["epsilon"], second["mean"]) == (None, 0.9)
