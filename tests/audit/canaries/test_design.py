"""Canaries: an audit is only as sharp as what it plants."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from benchmarks.audit.faults import NoNoise
from benchmarks.audit.worlds import TEACHERS, summaries
from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries import release
from secure_fedsa.audit.canaries.design import Design, make_part, widened
from secure_fedsa.audit.canaries.release import release_scores
from secure_fedsa.audit.canaries.scores import secret_coins
from secure_fedsa.models.encoder import Encoding
from secure_fedsa.privacy.mechanisms import Neighbours
from secure_fedsa.roles.noisy_release import noise_plan, release_encoded
from secure_fedsa.signals import Noise, int_array

CASES: list[tuple[int, Neighbours, int, float]] = [
    (1, "add-remove", 1, 0.25),
    (2, "add-remove", 3, 0.25),
    (16, "add-remove", 1, 2.0),
    (21, "add-remove", 1, 0.25),
    (16, "replace-one", 2, 0.25),
    (16, "replace-one", 1, 2.0),
    (5, "replace-one", 2, 1.5),
]


def world(case: tuple[int, Neighbours, int, float]) -> Agreement:
    dimension, neighbours, records, weight = case
    return summaries(
        1.0,
        dimension=dimension,
        neighbours=neighbours,
        max_records=records,
        count_weight=weight,
    )


def exact_blocks(agreement: Agreement, coins: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Return what a release without noise holds: a row a canary."""
    design = Design.of(agreement)
    part = make_part(design, 0, coins)
    wide = widened(agreement, TEACHERS[0], design.classes_each * len(coins))
    shape = noise_plan(wide, TEACHERS[0]).shape
    noisy, notes = release_encoded(
        Encoding(part.records, np.ones(len(part.records), dtype=np.bool_)),
        part.labels,
        agreement=wide,
        teacher=TEACHERS[0],
        noise=Noise(int_array([0] * shape.noise_values), seeded=True),
        persons=part.persons,
    )
    assert notes.zeroed == 0
    blocks = np.concatenate([noisy.sums, noisy.counts[:, None]], axis=1)
    return blocks.astype(np.float64).reshape(len(coins), -1)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_canary_moves_the_summary_by_the_sensitivity_and_nothing_else(
    case: tuple[int, Neighbours, int, float],
) -> None:
    """Canaries that move less would make the audit blind; ones that share blocks, wrong."""
    agreement = world(case)
    event = noise_plan(agreement, TEACHERS[0]).event
    nobody = np.zeros(40, dtype=np.bool_)
    without = exact_blocks(agreement, nobody)
    moved = exact_blocks(agreement, ~nobody) - without
    design = Design.of(agreement)
    assert np.array_equal(moved, make_part(design, 0, nobody).direction)
    lengths = np.linalg.norm(moved, axis=1)
    assert lengths.max() <= event.sensitivity * (1 + 1e-12)
    assert lengths.min() >= event.sensitivity * (1 - 1e-12)
    for one in (0, 1, 7):
        coins = nobody.copy()
        coins[one] = True
        difference = exact_blocks(agreement, coins) - without
        assert np.array_equal(np.flatnonzero(difference.any(axis=1)), [one])


def test_a_coarse_grid_still_sees_its_canaries() -> None:
    """Spread over too many coordinates, a canary would vanish in the truncation."""
    from dataclasses import replace

    agreement = world((64, "add-remove", 1, 0.25))
    for grid in (2, 100, 1000, 3000):
        coarse = replace(agreement, privacy=replace(agreement.mechanism, grid=grid))
        event = noise_plan(coarse, TEACHERS[0]).event
        moved = exact_blocks(coarse, np.ones(10, dtype=np.bool_))
        assert np.linalg.norm(moved, axis=1).min() >= 0.99 * event.sensitivity


@pytest.mark.parametrize("case", CASES, ids=str)
def test_scores_without_noise_are_the_plan(case: tuple[int, Neighbours, int, float]) -> None:
    """The checks compare with this plan: a wrong one would alarm at sound code, or never."""
    agreement, coins = world(case), secret_coins(50)
    scores = release_scores(agreement, TEACHERS[0], coins, noise=NoNoise(), runs=2)
    planned = scores.shift * np.where(coins, scores.loads[1], scores.loads[0])
    if case[1] == "replace-one" and Design.of(agreement).classes_each == 1:
        planned = planned + 0.0  # the count is the same for both neighbours: orthogonal
    assert np.allclose(scores.values, planned, rtol=1e-9)
    event = noise_plan(agreement, TEACHERS[0]).event
    assert scores.shift == pytest.approx(2**0.5 * event.sensitivity / event.noise_scale)


def test_a_wide_summary_in_parts_is_the_same_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts must not change what is audited, nor lose the last few canaries."""
    agreement, coins = world((16, "add-remove", 1, 0.25)), secret_coins(50)
    monkeypatch.setattr(release, "_VALUES", 17 * 8)
    told: list[tuple[int, int]] = []
    scores = release_scores(
        agreement,
        TEACHERS[0],
        coins,
        noise=NoNoise(),
        progress=lambda done, total: told.append((done, total)),
    )
    assert np.allclose(scores.values, np.where(coins, scores.shift, 0.0), rtol=1e-9)
    assert told[0] == (8, 50)
    assert told[-1] == (50, 50)


def test_coins_are_the_operating_systems() -> None:
    """Coins that somebody can repeat would let code know which canaries are in."""
    first, second = secret_coins(20_000), secret_coins(20_000)
    assert (first != second).any()
    assert 0.45 < first.mean() < 0.55  # fails by chance less than once in 10^40
