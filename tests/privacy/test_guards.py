"""Small things that a proof rests on: rounding outward, a charge on the disk, which delta."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import pytest

from secure_fedsa.errors import BudgetError, LedgerError
from secure_fedsa.privacy.accountant import epsilon_from_rho, epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.cross_check import cross_check
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms, replay, reserve_body
from secure_fedsa.privacy.ledger_entries import FIRST_PREVIOUS, Entry, make_entry
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
            return budget * alpha + (1 - 1 / alpha).ln() - (log_delta + alpha.ln()) / excess

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


def test_the_transferred_epsilon_is_the_bound_of_the_protocol() -> None:
    """If this fails, the figure for the discrete mechanism is below what is proved for it.

    Where coordinates are many and the grid is coarse, eta is most of it.
    """
    check = cross_check([DiscreteGaussianRelease(40.0, 200.0, 20_000)], 1e-5)
    assert check.pld_epsilon is not None
    assert check.pld_transferred is not None
    assert check.eta > 0.1
    assert check.pld_transferred >= check.pld_epsilon + 2 * check.eta


def reserved(position: int, previous: str, run: str, times: int) -> Entry:
    """Return a charge of one release, whose total is that of ``times``."""
    event = DiscreteGaussianRelease(1.0, 4.0, 10)
    before = Amount.of([event] * (times - 1))
    body = reserve_body("agreement", (event,), before, Terms(9.0, 1e-5), stated=False)
    return make_entry("data", "reserve", run, body, position=position, previous=previous)


def test_a_chain_charges_and_commits_a_run_once() -> None:
    """If this fails, a forged chain replaces a charge, or has noise drawn twice for one."""
    genesis = make_entry(
        "data",
        "genesis",
        "",
        {"delta": 1e-5, "inherits": None},
        position=0,
        previous=FIRST_PREVIOUS,
    )
    charge = reserved(1, genesis["hash"], "run", 1)

    def then(before: Entry, kind: str, run: str, body: dict[str, str]) -> Entry:
        position = before["position"] + 1
        return make_entry("data", kind, run, body, position=position, previous=before["hash"])

    commit = then(charge, "commit", "run", {})
    closed = then(commit, "superseded", "", {"child": "new", "place": "there"})
    sound = [genesis, charge, commit, closed]
    assert replay(sound).charges["run"].committed
    for chain in (
        [genesis, charge, reserved(2, charge["hash"], "run", 2)],
        [*sound, reserved(4, closed["hash"], "another", 2)],
        [genesis, charge, commit, then(commit, "commit", "run", {})],
        [genesis, charge, then(charge, "commit", "another", {})],
        [*sound, then(closed, "superseded", "", {"child": "newer", "place": "there"})],
    ):
        with pytest.raises(LedgerError, match="is not valid"):
            replay(chain)


def test_a_charge_waits_for_the_disk(tmp_path: Path) -> None:
    """If this fails, a power cut takes a charge back whose noisy summary is kept."""
    ledger = Ledger.create(tmp_path, delta=1e-5)
    with transaction(ledger.path, write=True) as connection:
        (level,) = connection.execute("PRAGMA synchronous").fetchone()
    assert level >= 2  # FULL or EXTRA: what SQLite's manual calls durable with a write-ahead log


def test_a_data_sets_budget_is_kept_at_its_own_delta(tmp_path: Path) -> None:
    """If this fails, an agreement with a large delta makes room where there is none."""
    of_ledger, of_agreement = 1e-9, 1e-3
    event = DiscreteGaussianRelease(1.0, 4.0, 10)
    ledger = Ledger.create(tmp_path, delta=of_ledger)
    costs = epsilon_of([event], of_ledger)
    assert not math.isclose(costs, epsilon_of([event], of_agreement), rel_tol=0.1)
    terms = Terms(100.0, of_agreement)
    with pytest.raises(BudgetError, match="data_set_budget"):
        ledger.reserve("run", "agreement", [event], terms, costs * 0.999)
    ledger.reserve("run", "agreement", [event], terms, costs * 1.001)
