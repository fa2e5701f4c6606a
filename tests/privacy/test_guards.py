"""Small things that a proof rests on: rounding outward, a charge on the disk, which delta."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from pathlib import Path

import pytest

from secure_fedsa.errors import BudgetError
from secure_fedsa.privacy import training_accountant
from secure_fedsa.privacy.accountant import epsilon_from_rho, epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.ledger_store import transaction
from secure_fedsa.privacy.mechanisms import plan_release
from secure_fedsa.signals import SummaryShape


def least_epsilon(rho: float, delta: float) -> Decimal:
    """Return the least of the conversion over all orders, to forty digits."""
    with localcontext() as context:
        context.prec = 60
        budget, log_delta = Decimal(rho), Decimal(delta).ln()

        def bound(excess: Decimal) -> Decimal:
            alpha = 1 + excess
            return (
                budget * alpha + (1 - 1 / alpha).ln() - (log_delta + alpha.ln()) / excess
            )

        middle = (-log_delta / budget).sqrt()
        low, high = middle / 1000, middle * 1000
        for _ in range(400):
            third = (high - low) / 3
            if bound(low + third) <= bound(high - third):
                high -= third
            else:
                low += third
        return bound((low + high) / 2)


@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-12])
@pytest.mark.parametrize("rho", [1e-4, 0.0305, 0.5, 7.0])
def test_epsilon_is_rounded_outward(rho: float, delta: float) -> None:
    """If this fails, the stated epsilon is below what is proved, if only by a rounding."""
    found = Decimal(epsilon_from_rho(rho, delta))
    wanted = least_epsilon(rho, delta)
    assert wanted <= found <= wanted * (1 + Decimal("1e-11")) + Decimal("1e-11")


@pytest.mark.parametrize("multiplier", [0.7, 4.05, 1000 / 3, 1e-3])
def test_noise_over_sensitivity_is_not_below_the_multiplier(multiplier: float) -> None:
    """If this fails, the ledger is charged for less noise than was agreed, if only by a rounding.

    The product is rounded to the nearest float: one more step upward makes it a bound.
    """
    from fractions import Fraction

    for grid in range(1000, 1100):
        event = plan_release(
            SummaryShape(3, 5),
            grid=grid,
            count_unit=257,
            neighbours="add-remove",
            noise_multiplier=multiplier,
        )
        exact = Fraction(multiplier) * Fraction(event.sensitivity)
        assert Fraction(event.noise_scale) >= exact
        assert event.noise_scale <= float(exact) * (1 + 1e-15)


def test_the_rounding_of_trainings_is_taken_from_delta(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, many steps at a small delta cost less in the ledger than they do."""
    asked: list[float] = []
    real = training_accountant._accountant

    def watched(*arguments: float) -> object:
        made = real(*arguments)
        original = made.get_epsilon

        def get_epsilon(delta: float) -> float:
            asked.append(delta)
            return float(original(delta))

        made.get_epsilon = get_epsilon
        return made

    monkeypatch.setattr(training_accountant, "_accountant", watched)
    delta, steps = 1.25e-9, 1234
    training_accountant.training_epsilon([DpSgdTraining(50.0, 0.5, steps)], delta)
    assert asked == [delta - 1e-15 * steps]


def test_what_is_left_after_a_training_is_at_half_of_delta() -> None:
    """If this fails, people are told of room that the ledger then refuses."""
    spent = Amount.of([DpSgdTraining(2.0, 0.1, 50)])
    budget, delta = 3.0, 1e-5
    left = spent.rho_left(budget, delta)
    asked = Amount(left)
    assert Amount.sum([spent, asked]).epsilon(delta) <= budget
    assert epsilon_from_rho(left, delta / 2) == pytest.approx(
        budget - training_accountant.training_epsilon(spent.trainings, delta / 2)
    )


def test_a_charge_waits_for_the_disk(tmp_path: Path) -> None:
    """If this fails, a power cut takes a charge back whose noisy summary is kept."""
    ledger = Ledger.create(tmp_path, delta=1e-5)
    with transaction(ledger.path, write=True) as connection:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
    assert level >= 2  # FULL or EXTRA: what SQLite's manual calls durable with a write-ahead log


@pytest.mark.parametrize(("of_ledger", "of_agreement"), [(1e-9, 1e-3), (1e-3, 1e-9)])
def test_a_data_sets_budget_is_kept_at_its_own_delta(
    tmp_path: Path, of_ledger: float, of_agreement: float
) -> None:
    """If this fails, an agreement with a large delta makes room where there is none."""
    event = DiscreteGaussianRelease(1.0, 4.0, 10)
    ledger = Ledger.create(tmp_path, delta=of_ledger)
    costs = epsilon_of([event], of_ledger)
    assert not math.isclose(costs, epsilon_of([event], of_agreement), rel_tol=0.1)
    terms = Terms(100.0, of_agreement)
    with pytest.raises(BudgetError, match="data_set_budget"):
        ledger.reserve("run", "agreement", [event], terms, costs * 0.999)
    ledger.reserve("run", "agreement", [event], terms, costs * 1.001)
