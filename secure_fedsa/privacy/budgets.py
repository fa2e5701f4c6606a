"""Amounts of privacy, and what is left of a budget.

Rho adds up, epsilon does not: what is left is an epsilon for the *next* charge, computed
from the rho that is left, not the difference of two epsilons.
"""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.errors import BudgetError
from secure_fedsa.privacy.accountant import compose_rho, epsilon_from_rho, rho_for_epsilon


@dataclass(frozen=True, slots=True)
class Spend:
    """An amount of privacy: rho, and the epsilon at delta that it amounts to."""

    rho: float
    epsilon: float
    delta: float

    @classmethod
    def of(cls, rho: float, delta: float) -> Spend:
        """Return the amount ``rho`` and its epsilon at ``delta``."""
        return cls(rho, epsilon_from_rho(rho, delta), delta)

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:.6g} (rho {self.rho:.6g})"


def what_is_left(spent: float, budget: float, delta: float) -> Spend:
    """Return the largest charge after ``spent`` (rho) within ``budget`` (epsilon)."""
    return Spend.of(max(0.0, rho_for_epsilon(budget, delta) - spent), delta)


def require_within_budget(
    run_id: str, whose: str, spent: float, asked: float, budget: float, delta: float
) -> None:
    """Raise if ``asked`` (rho) after ``spent`` (rho) passes ``budget`` (epsilon at delta).

    Raises:
        BudgetError: Saying what is spent, asked and left.
    """
    after = Spend.of(compose_rho([spent, asked]), delta)
    if after.epsilon > budget:
        raise BudgetError(
            f"Run {run_id!r} would bring {whose} to epsilon {after.epsilon:.6g}, "
            f"past its budget of {budget:.6g} at delta {delta:g}.",
            why=f"Spent: {Spend.of(spent, delta)}. Asked: {Spend.of(asked, delta)}. "
            f"Left: {what_is_left(spent, budget, delta)}.",
            do="Nothing was charged. Agree on more noise, or do not run.",
        )
