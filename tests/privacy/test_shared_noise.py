"""Noise that members share, against brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import chi2, norm

from secure_fedsa.entropy import SeededNoise, SystemNoise
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_from_rho, rho_of
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.shared_noise import (
    VIEWS,
    MemberNeighbours,
    SharedNoiseRelease,
    departure,
    figures,
    least_modulus,
    plan_shared_noise,
)
from secure_fedsa.privacy.shares import ClippedSignal, add_share, clip_to_norm, draw_share
from secure_fedsa.signals import Noise, int_array

FloatArray = npt.NDArray[np.float64]

GOOD: dict[str, Any] = {
    "norm_bound": 1000,
    "neighbours": "member-to-zero",
    "share_scale": 700.0,
    "coordinates": 10,
    "members": 20,
    "max_colluding": 2,
}
ORDERS = (1.001, 1.1, 1.5, 2.0, 3.0, 5.0, 10.0)


def log_share(scale: float) -> FloatArray:
    """Logarithms of a discrete Gaussian's probabilities, far beyond what orders up to 10 see."""
    reach = math.ceil(40 * scale) + 40
    exponents = -(np.arange(-reach, reach + 1) ** 2) / (2 * scale**2)
    return np.asarray(exponents - np.logaddexp.reduce(exponents), dtype=np.float64)


def log_sum_of_shares(shares: int, scale: float) -> FloatArray:
    """Logarithms of the probabilities of a sum of independent shares, by convolution, centred.

    Floats end at e^-745, far above what the tails hold, so it is done in logarithms.
    """
    total = single = log_share(scale)
    for _ in range(shares - 1):
        wide = np.full(len(total) + len(single) - 1, -np.inf)
        for at, value in enumerate(single):
            part = wide[at : at + len(total)]
            np.logaddexp(part, total + value, out=part)
        total = wide
    return total


def sum_of_shares(shares: int, scale: float) -> FloatArray:
    """Probabilities of a sum of independent shares, centred."""
    return np.asarray(np.exp(log_sum_of_shares(shares, scale)), dtype=np.float64)


def renyi(logs: FloatArray, shift: int, order: float) -> float:
    """Divergence of that order between the distribution and itself moved by ``shift``."""
    terms = order * logs[shift:] + (1 - order) * logs[: len(logs) - shift]
    return float(np.logaddexp.reduce(terms) / (order - 1))


def hockey_stick(one: FloatArray, other: FloatArray, epsilon: float) -> float:
    """Delta at epsilon between two distributions on the same points."""
    return float(np.maximum(one - math.exp(epsilon) * other, 0).sum())


def moved(mass: FloatArray, shift: int) -> tuple[FloatArray, FloatArray]:
    """The distribution and itself moved, on the same points."""
    return np.append(mass, np.zeros(shift)), np.append(np.zeros(shift), mass)


def release(**changes: Any) -> SharedNoiseRelease:
    return SharedNoiseRelease(**(GOOD | changes))


@pytest.mark.parametrize("shares", [2, 3])
@pytest.mark.parametrize("scale", [0.5, 0.6, 0.8, 1.0, 2.0])
def test_no_divergence_of_a_sum_is_above_the_bound(shares: int, scale: float) -> None:
    """If this fails, an institution is told a smaller loss than it has."""
    logs = log_sum_of_shares(shares, scale)
    for distance in (1, 2, 3):
        event = release(
            norm_bound=distance, share_scale=scale, coordinates=1, members=shares, max_colluding=0
        )
        tau = departure(shares, scale)
        for order in ORDERS:
            exact = renyi(logs, distance, order)
            assert exact <= (order * distance**2 / (2 * shares * scale**2) + tau) * (1 + 1e-9)
            assert exact <= event.rho("sum") * order * (1 + 1e-9)


def test_a_sum_of_narrow_shares_is_worse_than_one_gaussian_of_their_variance() -> None:
    """If this fails, the correction for narrow shares is for nothing, or the test sees nothing.

    Four shares of 1/2 hide less than their variance says: without tau the bound would be false.
    """
    logs = log_sum_of_shares(4, 0.5)
    assert renyi(logs, 1, 1.1) > 1.1 / (2 * 4 * 0.25) * 1.0001


def test_the_bound_is_nearly_reached_where_shares_are_not_narrow() -> None:
    """If this fails, members add more noise than the promise needs, or tau is not small."""
    event = release(norm_bound=2, share_scale=2.0, coordinates=1, members=3, max_colluding=0)
    assert renyi(log_sum_of_shares(3, 2.0), 2, 2.0) > 0.999 * 2 * event.rho("sum")


@pytest.mark.parametrize("shares", [2, 3, 5])
@pytest.mark.parametrize("scale", [0.5, 0.7, 1.0])
def test_a_sum_departs_from_one_gaussian_by_at_most_tau(shares: int, scale: float) -> None:
    """If this fails, the step from shares to one Gaussian has no proof."""
    total, single = log_sum_of_shares(shares, scale), log_share(scale * math.sqrt(shares))
    reach = math.floor(8 * scale * math.sqrt(shares))
    one = total[len(total) // 2 - reach :][: 2 * reach + 1]
    other = single[len(single) // 2 - reach :][: 2 * reach + 1]
    ratio = one - other
    assert 0 < ratio.max() - ratio.min() <= departure(shares, scale)


def test_departure_grows_with_the_shares_and_vanishes_with_their_scale() -> None:
    """If this fails, tau is not the sum that the theorem has."""
    expected = 10 * sum(math.exp(-2 * math.pi**2 * 0.49 * k / (k + 1)) for k in range(1, 4))
    assert departure(4, 0.7) == pytest.approx(expected, rel=1e-9)
    assert departure(4, 0.7) >= expected
    assert departure(1, 0.5) == 0
    assert 0 < departure(100, 1000.0) < 1e-300


def test_every_coordinate_departs() -> None:
    """If this fails, a long vector of narrow shares is charged as if it had one value."""
    rho = {
        count: release(share_scale=0.8, norm_bound=1, coordinates=count).rho("sum")
        for count in (1, 100)
    }
    assert rho[100] - rho[1] == pytest.approx(99 * departure(20, 0.8), rel=1e-9)


@pytest.mark.parametrize("delta", [1e-3, 1e-6])
def test_epsilon_covers_two_coordinates_by_brute_force(delta: float) -> None:
    """If this fails, a vector's epsilon is below what its two coordinates lose together."""
    mass = sum_of_shares(3, 2.5)
    one, other = (np.outer(a, b) for a, b in zip(moved(mass, 3), moved(mass, 4), strict=True))
    event = release(norm_bound=5, share_scale=2.5, coordinates=2, members=3, max_colluding=0)
    epsilon = figures([event], delta)[0].epsilon
    assert hockey_stick(one, other, epsilon) <= delta
    assert hockey_stick(one, other, 0.8 * epsilon) > delta


def test_colluding_members_shares_do_not_count() -> None:
    """If this fails, members that tell their shares lower the noise below what was promised."""
    with_them = release(members=20, max_colluding=5)
    without = release(members=15, max_colluding=0)
    assert with_them.rho("sum-and-colluding") == without.rho("sum")
    assert with_them.rho("sum") < with_them.rho("sum-and-colluding")


def test_against_everybody_else_one_share_counts() -> None:
    """If this fails, the weakest case is painted better than one member's own noise."""
    event = release()
    alone = DiscreteGaussianRelease(event.norm_bound, event.share_scale, event.coordinates)
    assert event.rho("everybody-else") == rho_of([alone])


def test_any_other_signal_is_twice_as_far_as_none() -> None:
    """If this fails, two relations that differ fourfold in rho are taken for one."""
    zero, other = release(), release(neighbours="member-to-any")
    assert other.rho("sum") == pytest.approx(4 * zero.rho("sum"), rel=1e-12)


def test_sums_add_up_in_rho_for_each_view() -> None:
    """If this fails, a member of two sums is told the loss of one."""
    events = [release(), release(share_scale=900.0, members=30)]
    for figure, view in zip(figures(events, 1e-5), VIEWS, strict=True):
        assert figure.view == view
        assert figure.rho == pytest.approx(sum(event.rho(view) for event in events), rel=1e-12)
        assert figure.epsilon == epsilon_from_rho(figure.rho, 1e-5)
    assert [figure.shares for figure in figures(events, 1e-5)] == [20, 18, 1]


@pytest.mark.parametrize("neighbours", ["member-to-zero", "member-to-any"])
@pytest.mark.parametrize("norm_bound", [1, 3, 2**16])
def test_a_planned_release_keeps_its_budget_and_uses_it(
    neighbours: MemberNeighbours, norm_bound: int
) -> None:
    """If this fails, a budget is passed, or noise is added that nobody asked for.

    A norm bound of 1 among many is a grid so coarse that a share is narrow and tau counts.
    """
    event = plan_shared_noise(
        2.0,
        1e-5,
        norm_bound=norm_bound,
        coordinates=136,
        members=27,
        max_colluding=2,
        neighbours=neighbours,
    )
    epsilon = figures([event], 1e-5)[1].epsilon
    assert epsilon <= 2.0
    assert epsilon > (1.99999 if norm_bound == 2**16 else 1.98) or event.share_scale < 1.2
    smaller = release(**{**_fields(event), "share_scale": max(0.5, event.share_scale * 0.98)})
    assert figures([smaller], 1e-5)[1].epsilon > 2.0


def test_several_releases_share_a_budget() -> None:
    """If this fails, the second run of a plan passes the budget."""
    event = plan_shared_noise(
        1.0,
        1e-6,
        norm_bound=2**16,
        coordinates=10,
        members=12,
        max_colluding=1,
        releases=3,
    )
    assert 0.999 < figures([event] * 3, 1e-6)[1].epsilon <= 1.0


def _fields(event: SharedNoiseRelease) -> dict[str, Any]:
    return {name: value for name, value in event.to_dict().items() if name != "kind"}


def test_an_event_survives_its_dict() -> None:
    """If this fails, who accounts again reads another release than was made."""
    event = release(neighbours="member-to-any")
    assert SharedNoiseRelease.from_dict(event.to_dict()) == event


@pytest.mark.parametrize(
    "changes",
    [
        {"share_scale": math.nan},
        {"share_scale": math.inf},
        {"share_scale": 0.0},
        {"share_scale": -700.0},
        {"share_scale": 0.499},
        {"share_scale": 2.0**41},
        {"share_scale": "700"},
        {"norm_bound": 0},
        {"norm_bound": 1000.0},
        {"norm_bound": 2**31},
        {"coordinates": 0},
        {"coordinates": True},
        {"members": 3},
        {"members": 10**6},
        {"max_colluding": -1},
        {"max_colluding": 19},
        {"max_colluding": True},
        {"max_colluding": 2.0},
        {"neighbours": "add-remove"},
        {"neighbours": None},
    ],
)
def test_bad_values_are_refused(changes: dict[str, Any]) -> None:
    """If this fails, a release without meaning gets a figure that somebody believes."""
    with pytest.raises(PrivacyParameterError):
        release(**changes)


@pytest.mark.parametrize(
    "value", [{}, GOOD, {**GOOD, "kind": "discrete-gaussian"}, None, [("kind", 1)]]
)
def test_other_dicts_are_refused(value: Any) -> None:
    """If this fails, an event of another kind is accounted as this one."""
    with pytest.raises(PrivacyParameterError):
        SharedNoiseRelease.from_dict(value)


def test_impossible_questions_are_refused() -> None:
    """If this fails, a view that does not exist or no release at all gets a figure."""
    unknown: Any = "auditor"
    with pytest.raises(PrivacyParameterError):
        release().rho(unknown)
    with pytest.raises(PrivacyParameterError):
        figures([], 1e-5)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(PrivacyParameterError):
            figures([release()], delta)
    for shares, scale in ((0, 1.0), (2, 0.4), (2, math.nan)):
        with pytest.raises(PrivacyParameterError):
            departure(shares, scale)
    for epsilon in (0.0, math.nan, math.inf):
        with pytest.raises(PrivacyParameterError):
            plan_shared_noise(
                epsilon, 1e-5, norm_bound=10, coordinates=1, members=3, max_colluding=1
            )


def _signals() -> list[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(7)
    drawn = [
        generator.integers(-(10**size), 10**size, 1 + 37 * size).astype(np.int64)
        for size in range(1, 19)
    ]
    ends = np.iinfo(np.int64)
    extreme = [np.array([ends.min, ends.max, ends.min], np.int64), np.zeros(3, np.int64)]
    return drawn + extreme + [np.array([2**26, -1, 1], np.int64), np.full(5, 447, np.int64)]


@pytest.mark.parametrize("bound", [1, 2, 999, 1000, 2**16 + 1, 2**30])
def test_a_clipped_signal_is_within_its_bound_and_points_the_same_way(bound: int) -> None:
    """If this fails, one member moves the sum further than its noise was made for."""
    for values in _signals():
        before, after = values.tolist(), clip_to_norm(values, bound).values.tolist()
        squared = sum(v * v for v in before)
        assert sum(v * v for v in after) <= bound**2
        if squared <= bound**2:
            assert after == before
        else:
            factor = bound / math.sqrt(squared)
            for old, new in zip(before, after, strict=True):
                assert new * old >= 0
                assert abs(new) <= abs(old)
                assert abs(new - old * factor) <= 1 + abs(old * factor) / math.sqrt(squared)


def test_a_clipped_signal_of_many_units_keeps_nearly_its_whole_norm() -> None:
    """If this fails, clipping throws away signal that the bound would have allowed."""
    values = np.random.default_rng(3).integers(-(2**40), 2**40, 200).astype(np.int64)
    after = clip_to_norm(values, 2**20).values.astype(np.float64)
    assert np.linalg.norm(after) > 2**20 * (1 - 1e-4)


def test_a_signal_that_is_too_long_cannot_be_called_clipped() -> None:
    """If this fails, noise is added to a signal that it does not cover: off by one unit already."""
    ClippedSignal(int_array([3, 4]), 5)
    with pytest.raises(PrivacyParameterError):
        ClippedSignal(int_array([3, 4, 1]), 5)
    with pytest.raises(PrivacyParameterError):
        ClippedSignal(int_array([2**32, 2**32, 5]), 5)  # wraps to a small sum in int64


@pytest.mark.parametrize("values", [np.zeros(3), np.zeros((2, 2), np.int64), [1, 2]])
def test_a_signal_of_another_form_is_refused(values: Any) -> None:
    """If this fails, floats or matrices get a norm that was never checked in whole numbers."""
    with pytest.raises(PrivacyParameterError):
        clip_to_norm(values, 5)


def test_signal_share_and_agreement_must_fit() -> None:
    """If this fails, a share of another length or bound is taken for the agreed one."""
    event = release(coordinates=3)
    signal, share = clip_to_norm(int_array([1, 2, 3]), 1000), Noise(int_array([4, 5, 6]), False)
    assert add_share(signal, share, event).tolist() == [5, 7, 9]
    far = Noise(int_array([2**40, -(2**40), 0]), False)  # never cut: the proof is of the sum
    assert add_share(signal, far, event).tolist() == [2**40 + 1, 2 - 2**40, 3]
    for other_signal, other_share in (
        (clip_to_norm(int_array([1, 2]), 1000), share),
        (signal, Noise(int_array([4, 5]), False)),
        (clip_to_norm(int_array([1, 2, 3]), 999), share),
    ):
        with pytest.raises(PrivacyParameterError):
            add_share(other_signal, other_share, event)


@pytest.mark.parametrize("share_scale", [1.0, 5000.0])
def test_a_sum_of_residues_is_the_sum(share_scale: float) -> None:
    """If this fails, a large share spoils the result, or a member would have to cut its values.

    All signals lie along one value, so that their sum is as large as it can be.
    """
    event = release(coordinates=50, members=12, share_scale=share_scale)
    modulus = least_modulus(event, largest_roster=12, failure=1e-12)
    signal, noise = np.zeros(50, dtype=np.int64), SeededNoise(1)
    signal[0] = -(2**20)
    noisy = [
        add_share(clip_to_norm(signal, 1000), draw_share(noise, event), event) for _ in range(12)
    ]
    residues = sum(values % modulus for values in noisy) % modulus
    centred = np.where(residues > modulus // 2, residues - modulus, residues)
    assert np.array_equal(centred, sum(noisy))
    assert modulus < 2 * 12 * 1000 + 20 * share_scale * math.sqrt(12) + 10


@pytest.mark.slow
@pytest.mark.statistical
def test_shares_from_the_system_add_up_to_the_exact_distribution() -> None:
    """If this fails, members together add other noise than the accounting assumes.

    20,000 sums of four shares of scale 1.2, chi-square against the exact convolution; and their
    variance at 60,000 grid units. Each alarm is false once in 10^9 runs.
    """
    event = release(share_scale=1.2, coordinates=20_000, members=4)
    assert not draw_share(SystemNoise(), event).seeded
    total = np.sum([draw_share(SystemNoise(), event).values for _ in range(4)], axis=0)
    mass = sum_of_shares(4, 1.2)
    centre, reach = len(mass) // 2, 7
    expected = 20_000 * mass[centre - reach : centre + reach + 1]
    counted = np.array([float((total == value).sum()) for value in range(-reach, reach + 1)])
    expected = np.append(expected, 20_000 - expected.sum())
    counted = np.append(counted, 20_000 - counted.sum())
    assert expected.min() > 5
    statistic = float(((counted - expected) ** 2 / expected).sum())
    assert statistic < chi2.isf(1e-9, len(expected) - 1)

    wide = release(share_scale=60_000.0, coordinates=20_000, members=4)
    both = np.sum([draw_share(SystemNoise(), wide).values for _ in range(4)], axis=0)
    variance = float(np.mean(both.astype(np.float64) ** 2)) / (4 * 60_000.0**2)
    assert abs(variance - 1) < norm.isf(5e-10) * math.sqrt(2 / 20_000)


def test_seeded_shares_say_so() -> None:
    """If this fails, a run with repeatable noise looks like a private one."""
    assert draw_share(SeededNoise(0), release()).seeded
