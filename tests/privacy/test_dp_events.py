"""Charges as dp_accounting's events: out, accounted by others, and in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_from_rho
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.dp_events import (
    KINDS,
    MODULE,
    amount_of_dp,
    amount_to_dp,
    composed,
    event_to_dp,
    from_dp_accounting,
    read_events,
    to_dp_accounting,
)
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    ExponentialMechanism,
    PermuteAndFlip,
    Selection,
    Unprotected,
)
from secure_fedsa.privacy.training_accountant import training_epsilon

DELTA = 1e-5
RELEASE = DiscreteGaussianRelease(1000.0, 4050.0, 257)
TRAINING = DpSgdTraining(4.0, 0.1, 100)
GAUSSIAN = {"module_name": MODULE, "class_name": "GaussianDpEvent", "noise_multiplier": 4.0}


def rdp(event: Any) -> float:
    """Return dp_accounting's epsilon by Renyi divergences, on a dense grid of orders."""
    accountant = RdpAccountant([1 + 1.05**step for step in range(-40, 120)])
    return float(accountant.compose(event).get_epsilon(DELTA))


def test_others_account_releases_to_our_figure() -> None:
    """If this fails, an auditor who accounts the export again finds another epsilon than ours."""
    event = to_dp_accounting(composed(event_to_dp(RELEASE) for _ in range(3)))
    ours = epsilon_from_rho(Amount.of([RELEASE] * 3).rho, DELTA)
    assert rdp(event) == pytest.approx(ours, rel=1e-3)
    assert rdp(event) >= ours * (1 - 1e-9)  # theirs is the best order of a grid, ours of all


def test_others_account_trainings_to_our_figure() -> None:
    """If this fails, the export of a training is of another training."""
    event = to_dp_accounting(composed([event_to_dp(TRAINING)]))
    theirs = PLDAccountant(value_discretization_interval=1e-3).compose(event)
    assert theirs.get_epsilon(DELTA) == pytest.approx(training_epsilon([TRAINING], DELTA), rel=1e-4)


@pytest.mark.parametrize("event", [ExponentialMechanism(0.4, 5), PermuteAndFlip(0.2, 5)])
def test_selections_are_exported_as_what_is_proved_of_them(event: Selection) -> None:
    """If this fails, whoever imports our export counts a choice as nothing, or as less."""
    alone = amount_of_dp(event_to_dp(event))
    assert alone.rho == pytest.approx(0.1)
    total = amount_of_dp(composed(amount_to_dp(Amount.of([RELEASE, event]))))
    assert total.rho == pytest.approx(Amount.of([RELEASE]).rho + alone.rho)
    assert total.epsilon(DELTA) >= Amount.of([RELEASE, event]).epsilon(DELTA) * (1 - 1e-12)


def test_a_whole_data_set_is_within_the_figure_that_we_state() -> None:
    """If this fails, our total of several kinds is below what others can show."""
    amount = Amount.of([RELEASE, TRAINING, RELEASE])
    event = to_dp_accounting(composed(amount_to_dp(amount)))
    accountant = RdpAccountant(list(range(2, 100)))
    assert 0.5 * amount.epsilon(DELTA) < accountant.compose(event).get_epsilon(DELTA)
    assert accountant.get_epsilon(DELTA) <= amount.epsilon(DELTA)


@pytest.mark.parametrize(
    "amount",
    [
        Amount.of([RELEASE]),
        Amount.of([TRAINING, DpSgdTraining(1.0, 0.2, 7)]),
        Amount.of([RELEASE, TRAINING, Unprotected(), Unprotected()]),
    ],
)
def test_what_goes_out_comes_in_as_the_same(amount: Amount) -> None:
    """If this fails, a data set that moves to another machine forgets a part of its spend."""
    stored = json.loads(json.dumps(composed(amount_to_dp(amount))))
    assert amount_of_dp(stored) == amount
    assert from_dp_accounting(to_dp_accounting(stored)) == stored


def test_the_librarys_own_objects_are_read() -> None:
    """If this fails, what others wrote with dp_accounting itself cannot be imported."""
    event = dp_event.ComposedDpEvent(
        [
            dp_event.SelfComposedDpEvent(dp_event.GaussianDpEvent(2.0), 3),
            dp_event.LaplaceDpEvent(4.0),
            dp_event.DiscreteLaplaceDpEvent(0.5, 2),
            dp_event.ZCDpEvent(0.25),
            dp_event.NoOpDpEvent(),
            dp_event.SelfComposedDpEvent(
                dp_event.PoissonSampledDpEvent(0.1, dp_event.GaussianDpEvent(1.0)), 40
            ),
        ]
    )
    found = amount_of_dp(json.loads(json.dumps(from_dp_accounting(event))))
    assert found.rho == pytest.approx(3 / 8 + 1 / 32 + 0.5 + 0.25, rel=1e-15)
    assert found.trainings == (DpSgdTraining(1.0, 0.1, 40),)
    assert to_dp_accounting(from_dp_accounting(event)) == event


@pytest.mark.parametrize(
    "event",
    [
        dp_event.GaussianDpEvent(0.8),
        dp_event.LaplaceDpEvent(0.7),
        dp_event.LaplaceDpEvent(5.0),
        dp_event.DiscreteLaplaceDpEvent(0.3, 4),
    ],
)
def test_an_import_is_not_counted_for_less_than_it_told(event: Any) -> None:
    """If this fails, a use outside is forgotten in part: exact accounting finds more."""
    counted = amount_of_dp(from_dp_accounting(event))
    exact = PLDAccountant(value_discretization_interval=1e-4).compose(event)
    for delta in (1e-2, 1e-5, 1e-9):
        assert counted.epsilon(delta) >= exact.get_epsilon(delta) * (1 - 1e-3)


def sampled(inner: Any, **more: Any) -> dict[str, Any]:
    """Return a Poisson sample of something."""
    fields = {"sampling_probability": 0.1, "event": inner, **more}
    return {"module_name": MODULE, "class_name": "PoissonSampledDpEvent", **fields}


def of(kind: str, **fields: Any) -> dict[str, Any]:
    """Return an event of a kind."""
    return {"module_name": MODULE, "class_name": kind, **fields}


REFUSED: dict[str, Any] = {
    "an unknown kind": of("RandomizedResponseDpEvent", noise_parameter=0.1, num_buckets=2),
    "another module": {**GAUSSIAN, "module_name": "os"},
    "a name of the module that is no event": of("importlib"),
    "no kind": {"noise_multiplier": 4.0},
    "no object": [GAUSSIAN],
    "zero noise": {**GAUSSIAN, "noise_multiplier": 0},
    "a noise that is true": {**GAUSSIAN, "noise_multiplier": True},
    "a missing field": of("GaussianDpEvent"),
    "a field too many": {**GAUSSIAN, "sensitivity": 0.1},
    "xi": of("ZCDpEvent", rho=0.1, xi=0.1),
    "nothing": of("NoOpDpEvent"),
    "an empty composition": composed([]),
    "a count of zero": of("SelfComposedDpEvent", event=GAUSSIAN, count=0),
    "a negative count": of("SelfComposedDpEvent", event=GAUSSIAN, count=-5),
    "a sample of a composition": sampled(of("SelfComposedDpEvent", event=GAUSSIAN, count=3)),
    "a sample of Laplace": sampled(of("LaplaceDpEvent", noise_multiplier=1.0)),
    "a sample of a sample": sampled(sampled(GAUSSIAN)),
    "a rate above one": sampled(GAUSSIAN, sampling_probability=1.5),
    "too many steps": of("SelfComposedDpEvent", event=sampled(GAUSSIAN), count=10**7),
    "events that are no list": of("ComposedDpEvent", events={"0": GAUSSIAN}),
    "too many events": composed([GAUSSIAN] * 5000),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_known_bound_is_refused(name: str) -> None:
    """If this fails, an unknown mechanism counts as nothing, or a file runs a module it names."""
    with pytest.raises(PrivacyParameterError) as refusal:
        amount_of_dp(REFUSED[name])
    assert str(refusal.value)
    with pytest.raises(PrivacyParameterError):
        to_dp_accounting(REFUSED[name])


def test_a_deep_or_broken_file_is_refused() -> None:
    """If this fails, a file ends the program instead of being refused."""
    deep: dict[str, Any] = GAUSSIAN
    for _ in range(40):
        deep = composed([deep])
    with pytest.raises(PrivacyParameterError, match="nested too deeply"):
        read_events(json.dumps(deep))
    for text in ("", "{", "[" * 100_000, "NaN", "null"):
        with pytest.raises(PrivacyParameterError):
            read_events(text)


def test_an_unknown_kind_is_refused_by_its_name() -> None:
    """If this fails, nobody can tell which of a hundred events was refused."""
    with pytest.raises(PrivacyParameterError, match="RandomizedResponseDpEvent") as refusal:
        amount_of_dp(composed([GAUSSIAN, REFUSED["an unknown kind"]]))
    assert all(kind in refusal.value.do for kind in KINDS)
