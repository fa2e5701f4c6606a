"""Accounting of DP-SGD: against published values, closed forms and laws of composition."""

from __future__ import annotations

from typing import Any

import pytest

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.events import DpSgdTraining, event_from_dict
from secure_fedsa.privacy.training_accountant import noise_multiplier_for, training_epsilon
from tests.privacy.accountant_cases import exact_epsilon

DELTA = 1e-5


@pytest.mark.parametrize(
    ("noise", "steps", "delta"),
    [
        *((1.0, 1, DELTA), (2.0, 30, DELTA), (8.0, 30, DELTA), (100.0, 1000, DELTA)),
        *((100.0, 10_000, DELTA), (100.0, 10_000, 1e-10), (300.0, 100_000, 1e-9)),
    ],
)
def test_without_subsampling_it_is_the_gaussian_mechanism(
    noise: float, steps: int, delta: float
) -> None:
    """Never below the exact value, and within 1% of it; of many steps at a small delta too."""
    exact = exact_epsilon(steps**0.5 / noise, delta)
    found = training_epsilon([DpSgdTraining(noise, 1.0, steps)], delta)
    assert exact * (1 - 1e-6) <= found <= exact * 1.01


def test_published_value_of_dp_sgd() -> None:
    """Sampling rate .01, 1,000 steps, noise 1: 1.818 to 1.828 by independent accountants."""
    assert 1.818 <= training_epsilon([DpSgdTraining(1.0, 0.01, 1000)], DELTA) <= 1.84


def test_laws_of_composition() -> None:
    one, two = DpSgdTraining(4.0, 0.1, 100), DpSgdTraining(4.0, 0.1, 200)
    both = training_epsilon([one, one], DELTA)
    assert both == pytest.approx(training_epsilon([two], DELTA), rel=1e-3)
    assert training_epsilon([one], DELTA) < both
    assert training_epsilon([DpSgdTraining(4.0, 0.2, 100)], DELTA) > training_epsilon([one], DELTA)
    assert training_epsilon([], DELTA) == 0


@pytest.mark.parametrize("epsilon", [0.25, 1.0, 8.0])
def test_calibration_uses_the_budget_and_never_passes_it(epsilon: float) -> None:
    noise = noise_multiplier_for(epsilon, DELTA, sampling_rate=0.2, steps=100)
    spent = training_epsilon([DpSgdTraining(noise, 0.2, 100)], DELTA)
    assert 0.98 * epsilon < spent <= epsilon


def test_never_below_opacus_prv_as_an_oracle() -> None:
    from opacus.accountants.prv import PRVAccountant

    oracle = PRVAccountant()
    oracle.history = [(2.0, 0.05, 300)]
    theirs = oracle.get_epsilon(DELTA)
    ours = training_epsilon([DpSgdTraining(2.0, 0.05, 300)], DELTA)
    assert ours == pytest.approx(theirs, rel=0.01)


BAD = [float("nan"), float("inf"), 0.0, -1.0, True, "1"]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("name", ["noise_multiplier", "sampling_rate", "steps"])
def test_values_that_make_no_training_are_refused(name: str, value: Any) -> None:
    """If this fails, a NaN in the agreement is an epsilon of zero."""
    good: dict[str, Any] = {"noise_multiplier": 1.0, "sampling_rate": 0.1, "steps": 10}
    with pytest.raises(PrivacyParameterError):
        DpSgdTraining(**{**good, name: value})


def test_other_refusals() -> None:
    event = DpSgdTraining(1.0, 0.1, 10)
    for call in (
        lambda: DpSgdTraining(1.0, 1.5, 10),
        lambda: DpSgdTraining(0.01, 0.5, 10),
        lambda: training_epsilon([event], 0.0),
        lambda: training_epsilon([event], 1e-15),
        lambda: noise_multiplier_for(0.0, DELTA, sampling_rate=0.1, steps=10),
        lambda: noise_multiplier_for(1e-6, DELTA, sampling_rate=1.0, steps=10),
        lambda: rho_of([event]),
        lambda: event_from_dict({**event.to_dict(), "extra": 1}),
    ):
        with pytest.raises(PrivacyParameterError):
            call()
    assert event_from_dict(event.to_dict()) == event
