"""Amounts of privacy against budgets, and what is left of one.

Epsilons do not add up: what is left is an epsilon for the *next* release, computed from the
rho that is left, not the difference of two epsilons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from secure_fedsa.errors import BudgetError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount


@dataclass(frozen=True, slots=True)
class Spend:
    """An amount of privacy: its rho (of releases), and the epsilon at delta of all of it."""

    rho: float
    epsilon: float
    delta: float

    @classmethod
    def of(cls, amount: Amount, delta: float) -> Spend:
        """Return an amount and its epsilon at ``delta``; infinite where no bound is known."""
        try:
            epsilon = amount.epsilon(delta)
        except PrivacyParameterError:
            epsilon = math.inf  # beyond what any accountant here states
        return cls(amount.rho, epsilon, delta)

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.6g} (rho {self.rho:.6g})"


def what_is_left(spent: Amount, budget: float, delta: float) -> Spend:
    """Return the largest release after ``spent`` within ``budget`` (epsilon at delta)."""
    return Spend.of(Amount(spent.rho_left(budget, delta)), delta)


def require_within_budget(
    run_id: str, whose: str, spent: Amount, asked: Amount, budget: float, delta: float
) -> None:
    """Raise if ``asked`` after ``spent`` passes ``budget`` (epsilon at delta).

    Raises:
        BudgetError: Saying what is spent, asked and left.
    """
    after = Spend.of(Amount.sum([spent, asked]), delta)
    if after.epsilon <= budget:
        return
    if spent.unprotected:
        raise BudgetError(
            f"Run {run_id!r} is under a budget of {budget:.6g} at delta {delta:g}, and {whose} "
            "has none that could be kept.",
            why="It was used without differential privacy before: no epsilon bounds what that "
            "told.",
            do="Nothing was charged. Use other data, or agree on the route encryption-only.",
        )
    raise BudgetError(
        f"Run {run_id!r} would bring {whose} to epsilon {after.epsilon:.6g}, "
        f"past its budget of {budget:.6g} at delta {delta:g}.",
        why=f"Spent: {Spend.of(spent, delta)}. Asked: {Spend.of(asked, delta)}. "
        f"Left: {what_is_left(spent, budget, delta)}.",
        do="Nothing was charged. Agree on more noise, or do not run.",
    )
