"""Amounts of privacy of several mechanisms: what they add up to, and how they are written."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.errors import BudgetError, PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_from_rho, rho_of
from secure_fedsa.privacy.amounts import Amount, trainings_from_list
from secure_fedsa.privacy.budgets import Spend, require_within_budget, what_is_left
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
    Unprotected,
    event_from_dict,
    only_releases,
)
from secure_fedsa.privacy.training_accountant import training_epsilon

DELTA = 1e-5
RELEASE = DiscreteGaussianRelease(1024.0, 4096.0, 257)
TRAINING = DpSgdTraining(4.0, 0.1, 100)
OTHER = DpSgdTraining(2.0, 0.2, 30)
CHOICE = ExponentialMechanism(0.1, 20)
FLIP = PermuteAndFlip(0.5)

releases = st.builds(
    DiscreteGaussianRelease, st.just(1.0), st.sampled_from([1.0, 3.0, 7.5]), st.just(3)
)
trainings = st.builds(
    DpSgdTraining, st.sampled_from([1.0, 2.5]), st.sampled_from([0.1, 0.3]), st.integers(1, 50)
)
selections = st.builds(
    lambda kind, epsilon, choices: kind(epsilon, choices),
    st.sampled_from([ExponentialMechanism, PermuteAndFlip]),
    st.sampled_from([0.1, 0.5, 2.0]),
    st.integers(1, 9),
)
events = st.one_of(releases, trainings, selections, st.just(Unprotected()))
amounts = st.lists(events, min_size=1, max_size=5).map(Amount.of)


@given(st.lists(amounts, max_size=4), st.randoms(use_true_random=False))
def test_a_sum_does_not_depend_on_order_or_grouping(parts: list[Amount], order: Any) -> None:
    """If this fails, two auditors of one ledger find two totals."""
    shuffled = list(parts)
    order.shuffle(shuffled)
    total = Amount.sum(parts)
    assert Amount.sum(shuffled) == total
    half = len(parts) // 2
    grouped = Amount.sum([Amount.sum(parts[:half]), Amount.sum(parts[half:])])
    assert (grouped.trainings, grouped.unprotected) == (total.trainings, total.unprotected)
    assert grouped.selections == total.selections
    assert grouped.rho == pytest.approx(total.rho, rel=1e-12)


@given(st.lists(events, min_size=1, max_size=6))
def test_a_sum_forgets_nothing(composition: list[Event]) -> None:
    """If this fails, a charge is in the ledger and in no total."""
    total = Amount.sum(Amount.of([event]) for event in composition)
    assert total.unprotected == sum(isinstance(event, Unprotected) for event in composition)
    steps: dict[tuple[float, float], int] = {}
    for event in composition:
        if isinstance(event, DpSgdTraining):
            kind = event.noise_multiplier, event.sampling_rate
            steps[kind] = steps.get(kind, 0) + event.steps
    found = {(e.noise_multiplier, e.sampling_rate): e.steps for e in total.trainings}
    assert found == steps
    assert len(found) == len(total.trainings)
    choices: dict[tuple[str, float], int] = {}
    for event in composition:
        if isinstance(event, ExponentialMechanism | PermuteAndFlip):
            which = event.kind, event.epsilon
            choices[which] = choices.get(which, 0) + event.choices
    assert {(e.kind, e.epsilon): e.choices for e in total.selections} == choices
    parts = [rho_of([event]) for event in composition if isinstance(event, DiscreteGaussianRelease)]
    assert total.rho == pytest.approx(math.fsum(parts), rel=1e-12)
    assert total.rho >= max(parts, default=0.0)


def test_merged_steps_are_what_the_library_composes_one_by_one() -> None:
    """If this fails, many short trainings cost less in the ledger than they do."""
    from dp_accounting import (
        ComposedDpEvent,
        GaussianDpEvent,
        NeighboringRelation,
        PoissonSampledDpEvent,
        SelfComposedDpEvent,
    )
    from dp_accounting.pld import PLDAccountant

    parts = [TRAINING, OTHER, DpSgdTraining(4.0, 0.1, 50), OTHER, TRAINING]
    accountant = PLDAccountant(NeighboringRelation.ADD_OR_REMOVE_ONE)
    accountant.compose(
        ComposedDpEvent(
            [
                SelfComposedDpEvent(
                    PoissonSampledDpEvent(e.sampling_rate, GaussianDpEvent(e.noise_multiplier)),
                    e.steps,
                )
                for e in parts
            ]
        )
    )
    merged = Amount.sum(Amount.of([event]) for event in parts)
    assert len(merged.trainings) == 2
    wanted = accountant.get_epsilon(DELTA)
    assert merged.epsilon(DELTA) == pytest.approx(wanted, rel=5e-3)


def test_a_mixed_amount_costs_more_than_each_of_its_parts() -> None:
    """If this fails, a training on data that were released before is for nothing."""
    release, training = Amount.of([RELEASE]), Amount.of([TRAINING])
    both = Amount.sum([release, training])
    found = both.epsilon(DELTA)
    assert found > release.epsilon(DELTA)
    assert found > training.epsilon(DELTA)
    # Basic composition: epsilons and deltas add up, here each at half of delta.
    half = DELTA / 2
    wanted = epsilon_from_rho(rho_of([RELEASE]), half) + training_epsilon([TRAINING], half)
    assert found == pytest.approx(wanted, rel=1e-12)
    more = Amount.sum([both, Amount.of([OTHER])])
    assert more.epsilon(DELTA) > found


@given(amounts)
def test_nothing_is_finite_after_a_use_without_protection(amount: Amount) -> None:
    """If this fails, an epsilon is stated for records that were given away before."""
    after = Amount.sum([amount, Amount.of([Unprotected()])])
    assert after.epsilon(DELTA) == math.inf
    assert after.rho_left(1e6, DELTA) == 0.0
    assert not after.releases_only
    assert Spend.of(after, DELTA).epsilon == math.inf


def test_nothing_costs_nothing() -> None:
    """If this fails, a new data set has a spend, or the first charge is for nothing."""
    assert Amount.sum([]) == Amount() == Amount.of([])
    assert Amount().epsilon(DELTA) == 0.0
    assert Amount().releases_only


@pytest.mark.parametrize(
    "spent",
    [
        *([RELEASE], [TRAINING], [RELEASE, TRAINING], []),
        *([CHOICE], [CHOICE, RELEASE], [CHOICE, FLIP, TRAINING], [FLIP]),
        [CHOICE, FLIP, RELEASE, TRAINING, ExponentialMechanism(2.0)],
    ],
)
def test_what_is_left_fits_and_nothing_more(spent: list[Event]) -> None:
    """If this fails, people are told of room that is not there, or stop too early."""
    budget, amount = 6.0, Amount.of(spent)
    left = amount.rho_left(budget, DELTA)
    assert left > 0
    fits = Amount.sum([amount, Amount(left * (1 - 1e-6))])
    passes = Amount.sum([amount, Amount(left * 1.001)])
    assert fits.epsilon(DELTA) <= budget < passes.epsilon(DELTA)
    told = what_is_left(amount, budget, DELTA).rho
    # Of selections a budget, which is a filter, may leave less than the tightest figure.
    assert 0 < told <= left if amount.selections else told == left


def test_nothing_is_left_of_a_budget_that_trainings_emptied() -> None:
    """If this fails, the refusal of a passed budget is an error about something else."""
    amount = Amount.of([TRAINING])
    spent = training_epsilon([TRAINING], DELTA / 2)
    for budget in (spent / 2, spent, spent + 1e-9):
        assert amount.rho_left(budget, DELTA) == 0.0
    hopeless = Amount.of([DpSgdTraining(0.05, 1.0, 1000)])
    assert hopeless.rho_left(100.0, DELTA) == 0.0
    with pytest.raises(BudgetError, match="Left: epsilon 0 "):
        require_within_budget("run", "it", hopeless, amount, 100.0, DELTA)


def test_a_budget_counts_trainings_and_says_what_is_spent() -> None:
    """If this fails, trainings pass a budget that releases do not."""
    once, asked = Amount.of([TRAINING]), Amount.of([TRAINING])
    needed = Amount.sum([once, asked]).epsilon(DELTA)
    require_within_budget("run", "it", once, asked, needed, DELTA)
    with pytest.raises(BudgetError, match="Nothing was charged") as refusal:
        require_within_budget("run", "it", once, asked, needed * 0.999, DELTA)
    assert f"Spent: epsilon {once.epsilon(DELTA):.6g}" in str(refusal.value)
    with pytest.raises(BudgetError, match="used without differential privacy before"):
        require_within_budget("run", "it", Amount(unprotected=1), asked, 1e9, DELTA)


def test_an_epsilon_that_nobody_can_state_passes_no_budget() -> None:
    """If this fails, a training that promises nothing is within every budget."""
    hopeless = Amount.of([DpSgdTraining(0.05, 1.0, 1000)])
    assert Spend.of(hopeless, DELTA).epsilon == math.inf
    with pytest.raises(BudgetError):
        require_within_budget("run", "it", Amount(), hopeless, 1e6, DELTA)


# --- as JSON -------------------------------------------------------------------------


@given(amounts)
@settings(max_examples=60)
def test_an_amount_has_one_spelling(amount: Amount) -> None:
    """If this fails, a new version of a data set inherits another spend than there was."""
    written = amount.to_json()
    stored = rfc8785.dumps(written)
    again = Amount.from_json(json.loads(stored))
    assert again == amount
    assert rfc8785.dumps(again.to_json()) == stored
    assert isinstance(written, float) == amount.releases_only


ONE = TRAINING.to_dict()
MIXED: dict[str, Any] = {"rho": 0.5, "trainings": [ONE], "unprotected": 0}


@pytest.mark.parametrize(
    "bad",
    [
        0,
        -1.0,
        math.nan,
        math.inf,
        True,
        "1",
        None,
        [],
        {},
        {**MIXED, "note": 1},
        {"rho": 0.5, "trainings": [ONE]},
        {"rho": 0.5, "trainings": [], "unprotected": 0},
        {"rho": 0, "trainings": [], "unprotected": 0},
        {**MIXED, "rho": -0.5},
        {**MIXED, "rho": math.nan},
        {**MIXED, "rho": False},
        {**MIXED, "rho": "0"},
        {**MIXED, "rho": None},
        {**MIXED, "unprotected": -1},
        {**MIXED, "unprotected": 1.0},
        {**MIXED, "unprotected": True},
        {**MIXED, "trainings": {}},
        {**MIXED, "trainings": [ONE, ONE]},
        {**MIXED, "trainings": [RELEASE.to_dict()]},
        {**MIXED, "trainings": [{"kind": "no-differential-privacy"}]},
        {**MIXED, "trainings": [{**ONE, "steps": 0}]},
        {**MIXED, "trainings": [None]},
        {**MIXED, "selections": []},
        {**MIXED, "selections": {}},
        {**MIXED, "selections": [None]},
        {**MIXED, "selections": [ONE]},
        {**MIXED, "selections": [FLIP.to_dict(), FLIP.to_dict()]},
        {**MIXED, "selections": [FLIP.to_dict(), CHOICE.to_dict()]},
        {**MIXED, "selections": [{**FLIP.to_dict(), "choices": 0}]},
        {**MIXED, "selections": [{**FLIP.to_dict(), "epsilon": 0}]},
        # Not sorted by noise:
        {**MIXED, "trainings": [ONE, OTHER.to_dict()]},
    ],
)
def test_what_is_no_amount_is_refused(bad: Any) -> None:
    """If this fails, a forged inheritance makes a spend smaller, or has two spellings."""
    with pytest.raises(PrivacyParameterError):
        Amount.from_json(bad)


def test_trainings_are_read_in_one_order_only() -> None:
    """If this fails, one total has many hashes."""
    listed = [OTHER.to_dict(), ONE]
    assert trainings_from_list(listed) == (OTHER, TRAINING)
    assert trainings_from_list([]) == ()
    for bad in (listed[::-1], [ONE, ONE], [Unprotected().to_dict()]):
        with pytest.raises(PrivacyParameterError):
            trainings_from_list(bad)


def test_more_steps_than_anybody_accounts_are_refused() -> None:
    """If this fails, a total beyond the accountant's range stops everybody who reads it."""
    most = Amount.of([DpSgdTraining(4.0, 0.1, 10**6)])
    with pytest.raises(PrivacyParameterError):
        Amount.sum([most, Amount.of([DpSgdTraining(4.0, 0.1, 1)])])


def test_other_mechanisms_have_no_rho() -> None:
    """If this fails, a training is stated as if zCDP bounded it."""
    assert only_releases([RELEASE]) == (RELEASE,)
    for event in (TRAINING, Unprotected()):
        with pytest.raises(PrivacyParameterError):
            only_releases([RELEASE, event])


@pytest.mark.parametrize(
    "bad", [{"kind": "no-differential-privacy", "epsilon": 1.0}, {"kind": "dp-sgd"}, {}]
)
def test_an_unprotected_use_says_nothing_more(bad: Any) -> None:
    """If this fails, a use without protection is written with an epsilon beside it."""
    with pytest.raises(PrivacyParameterError):
        event_from_dict(bad)
    with pytest.raises(PrivacyParameterError):
        Unprotected.from_dict(bad)
    assert event_from_dict({"kind": "no-differential-privacy"}) == Unprotected()
