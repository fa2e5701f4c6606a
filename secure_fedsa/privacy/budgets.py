"""Amounts of privacy against budgets, and what is left of one.

Epsilons do not add up: what is left is an epsilon for the *next* release, computed from the
rho that is left, not the difference of two epsilons.

A budget is a filter (:mod:`.budget_filter`): it holds also if later runs were chosen by what
earlier ones showed. What was spent is a reading: a bound by itself only if none was so chosen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from secure_fedsa.errors import BudgetError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budget_filter import (
    admits,
    counted_rho,
    is_of_one_kind,
    rho_budget,
)
from secure_fedsa.privacy.events import DpSgdTraining

NEXT_RUN = "next"
"""Stands for a run that has no id yet."""

NEW_AGREEMENT = (
    "An agreement's noise and budgets are fixed when all signed. A new agreement begins with "
    "nothing spent of its own agreement_budget, and with all that was spent of what holds for all "
    "runs on the data set: privacy.data_set_budget, that of earlier agreements, its owner's limit."
)
_LARGEST_NOISE = 1e4
_NOISE_STEP = 1.01  # of the noise that a refusal names: each try takes a good part of a second
_LARGEST_NAMED = 100.0  # no budget above it is worth naming


@dataclass(frozen=True, slots=True)
class Spend:
    """An amount of privacy: its rho, and the epsilon at delta of all of it.

    Attributes:
        rho: zCDP parameter of its releases alone, to compute with.
        epsilon: Bound at ``delta``; infinite where none is known.
        delta: Probability.
        zcdp: zCDP parameter of all of it, to show; None where the amount has none, as soon as one
            training by DP-SGD or one use without differential privacy is in it.
    """

    rho: float
    epsilon: float
    delta: float
    zcdp: float | None

    @classmethod
    def of(cls, amount: Amount, delta: float) -> Spend:
        """Return an amount and its epsilon at ``delta``; infinite where no bound is known."""
        try:
            epsilon = amount.epsilon(delta)
        except PrivacyParameterError:
            epsilon = math.inf  # beyond what any accountant here states
        return cls(amount.rho, epsilon, delta, amount.zcdp)

    def __str__(self) -> str:
        rho = "" if self.zcdp is None else f" (rho {self.zcdp:.6g})"
        return f"epsilon {self.epsilon:.6g}{rho}"


def fits(amount: Amount, budget: float, delta: float) -> bool:
    """Return whether an amount is within ``budget`` (epsilon at delta), as a filter.

    Raises:
        PrivacyParameterError: If ``budget`` or ``delta`` is out of range.
    """
    if amount.unprotected:
        return False
    return Spend.of(amount, delta).epsilon <= budget and admits(amount, budget, delta)


def what_is_left(spent: Amount, budget: float, delta: float) -> Spend:
    """Return the largest release after ``spent`` within ``budget`` (epsilon at delta)."""
    rho = spent.rho_left(budget, delta)
    if rho and not spent.releases_only:  # with a release they are of several kinds
        rho = max(0.0, min(rho, rho_budget(budget, delta) - counted_rho(spent, budget, delta)))
    return Spend.of(Amount(rho), delta)


@dataclass(frozen=True, slots=True)
class Nearest:
    """What would have fitted, nearest to a charge that did not.

    Attributes:
        noise_multiplier: The least noise with which the same run fits, to four digits for a
            release and to about 1% for a training; None if none does.
        epsilon: What such a run costs by itself, at the same delta; None likewise.
        budget: A budget that the charge as it was asked for fits into, to four digits; None if
            none worth naming does.
    """

    noise_multiplier: float | None
    epsilon: float | None
    budget: float | None

    def __str__(self) -> str:
        found = []
        if self.noise_multiplier is not None and self.epsilon is not None:
            cost = rounded_down(self.epsilon)  # whoever takes it as it stands must fit
            found.append(
                f"the same run with a noise multiplier of {self.noise_multiplier:g} or more "
                f"(epsilon {cost:g} or less)"
            )
        if self.budget is not None:
            found.append(f"a budget of {self.budget:g} or more")
        return "; or ".join(found)


def nearest_fit(
    spent: Amount, asked: Amount, budget: float, delta: float, *, runs: int = 1
) -> Nearest:
    """Return what fits ``budget`` (epsilon at delta) after ``spent``, nearest to what was asked.

    What it names was tried. Of a training the steps and the sampling rate stay as they are.

    Args:
        spent: What was spent before.
        asked: What one run costs.
        budget: Epsilon at ``delta``.
        delta: Probability.
        runs: How many such runs are to fit.
    """
    if spent.unprotected or asked.unprotected:
        return Nearest(None, None, None)
    largest = _least_budget(Amount.sum([spent, *[asked] * runs]), delta)
    if asked.releases_only:
        noise = _release_noise(spent, budget, delta, runs)
        cost = Amount() if noise is None else Amount(0.5 / noise**2)
    elif asked.trainings and is_of_one_kind(asked) and fits(spent, budget, delta):
        (event,) = asked.trainings
        noise = _training_noise(spent, event, budget, delta, runs)
        cost = Amount() if noise is None else _with_noise(event, noise)
    else:
        noise, cost = None, Amount()
    return Nearest(noise, None if noise is None else Spend.of(cost, delta).epsilon, largest)


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget that a charge has to keep.

    Attributes:
        whose: In words, with the clause that fixes it.
        spent: What counts against it already.
        budget: Epsilon at ``delta``.
        delta: Probability.
        fixed: Whether no agreement can raise it: neither the one that is asked for nor a new one.
        own: Whether it is the agreement's own, of its runs alone: fixed when all signed, and a new
            agreement has another one with nothing spent.
    """

    whose: str
    spent: Amount
    budget: float
    delta: float
    fixed: bool = False
    own: bool = False

    def __str__(self) -> str:
        return f"{self.whose.rstrip(',')}, {self.budget:g} at delta {self.delta:g}"


def require_within_budget(
    run_id: str, whose: str, spent: Amount, asked: Amount, budget: float, delta: float
) -> None:
    """Raise if ``asked`` after ``spent`` passes ``budget`` (epsilon at delta).

    Raises:
        BudgetError: Saying what is spent, asked and left, and what would fit.
    """
    require_within(run_id, asked, [Limit(whose, spent, budget, delta)])


def require_within(run_id: str, asked: Amount, limits: Sequence[Limit]) -> None:
    """Raise if a charge passes any of several budgets.

    Raises:
        BudgetError: Of the first that is passed: what is spent, asked and left there; which others
            are passed as well; and what would fit all of them.
    """
    broken = [
        limit
        for limit in limits
        if not fits(Amount.sum([limit.spent, asked]), limit.budget, limit.delta)
    ]
    if not broken:
        return
    first, run = broken[0], "The next run" if run_id == NEXT_RUN else f"Run {run_id!r}"
    spent, budget, delta = first.spent, first.budget, first.delta
    total = Amount.sum([spent, asked])
    if spent.unprotected:
        raise BudgetError(
            f"{run} is under a budget of {budget:.6g} at delta {delta:g}, and "
            f"{first.whose} has none that could be kept.",
            why="It was used without differential privacy before: no epsilon bounds what that "
            "told.",
            do="Nothing was charged. Use other data, or agree on the route encryption-only.",
        )
    after = Spend.of(total, delta)
    told = (
        f"Spent: {Spend.of(spent, delta)}. Asked: {Spend.of(asked, delta)}. "
        f"Left: {what_is_left(spent, budget, delta)}."
    )
    passed = (
        f"would bring {first.whose} to epsilon {after.epsilon:.6g}, past its budget of {budget:.6g}"
    )
    if after.epsilon <= budget:
        passed = (
            f"would bring {first.whose} past what its budget of {budget:.6g} is proved to hold for"
        )
        told += (
            " Mechanisms of several kinds, perhaps chosen by each other's results, are held to a "
            f"rho of {rho_budget(budget, delta):.6g}; these count as "
            f"{counted_rho(total, budget, delta):.6g}."
        )
    if broken[1:]:
        told += f" It would also pass {'; and '.join(map(str, broken[1:]))}."
    # What of the data set's budgets is left, nobody reads here whose runs do not pass them: a
    # refusal goes to the other parties, and the ledger is of all agreements.
    whole = f" {NEW_AGREEMENT}" if first.own else ""
    raise BudgetError(
        f"{run} {passed} at delta {delta:g}.",
        why=told,
        do=f"Nothing was charged. {_fitting(asked, broken)}{whole}",
    )


def _fitting(asked: Amount, broken: Sequence[Limit]) -> str:
    """Return what would fit all of the budgets that are passed, as a sentence."""
    near = [nearest_fit(one.spent, asked, one.budget, one.delta) for one in broken]
    fixed = any(one.fixed or one.own for one in broken)
    if len(broken) == 1 and not fixed:
        return f"What fits: {near[0]}." if str(near[0]) else "Nothing of this kind fits."
    named = []
    noisiest = max(near, key=lambda one: one.noise_multiplier or 0.0)
    if all(one.noise_multiplier is not None for one in near):
        named.append(str(Nearest(noisiest.noise_multiplier, noisiest.epsilon, None)))
    if all(one.budget is not None for one in near) and not fixed:
        raised = (
            f"{one.budget:g} or more for {limit.whose}"
            for one, limit in zip(near, broken, strict=True)
        )
        named.append(f"budgets of {' and of '.join(raised)}")
    return f"What fits: {'; or '.join(named)}." if named else "Nothing of this kind fits."


def rounded_up(value: float) -> float:
    """Return a number above zero with four digits, not below ``value``.

    >>> rounded_up(1.23411), rounded_up(2.0)
    (1.235, 2.0)
    """
    step = 10.0 ** (3 - math.floor(math.log10(value)))
    found = float(f"{math.ceil(value * step * (1 - 1e-12)) / step:.4g}")
    return found if found >= value else math.nextafter(value, math.inf)


def rounded_down(value: float) -> float:
    """Return a number from zero up with four digits, not above ``value``: of what is left.

    >>> rounded_down(1.23499), rounded_down(0.0)
    (1.234, 0.0)
    """
    if value <= 0 or not math.isfinite(value):
        return value
    step = 10.0 ** (3 - math.floor(math.log10(value)))
    found = float(f"{math.floor(value * step * (1 + 1e-12)) / step:.4g}")
    return found if found <= value else math.nextafter(value, 0.0)


def _least_budget(total: Amount, delta: float) -> float | None:
    """Return a budget that a total fits into, to four digits."""
    least = Spend.of(total, delta).epsilon
    if not least <= _LARGEST_NAMED:
        return None
    low = high = least
    while not fits(total, high, delta):
        low, high = high, 1.25 * high
        if high > _LARGEST_NAMED:
            return None
    while high > 1.0001 * low:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if fits(total, middle, delta) else (middle, high)
    named = rounded_up(high)
    return named if fits(total, named, delta) else None


def _release_noise(spent: Amount, budget: float, delta: float, runs: int) -> float | None:
    left = what_is_left(spent, budget, delta).rho / runs
    if left <= 0.5 / _LARGEST_NOISE**2:
        return None
    noise = rounded_up(math.sqrt(0.5 / left))
    for _ in range(4):
        if fits(Amount.sum([spent, *[Amount(0.5 / noise**2)] * runs]), budget, delta):
            return noise
        noise = rounded_up(noise * 1.0002)
    return None


def _with_noise(event: DpSgdTraining, noise: float) -> Amount:
    return Amount.of([DpSgdTraining(noise, event.sampling_rate, event.steps)])


def _training_noise(
    spent: Amount, event: DpSgdTraining, budget: float, delta: float, runs: int
) -> float | None:
    def good(noise: float) -> bool:
        return fits(Amount.sum([spent, *[_with_noise(event, noise)] * runs]), budget, delta)

    low, high = event.noise_multiplier, rounded_up(1.5 * event.noise_multiplier)
    while not good(high):
        low, high = high, 2 * high
        if high > _LARGEST_NOISE:
            return None
    while high > _NOISE_STEP * low:
        middle = rounded_up((low * high) ** 0.5)
        if not low < middle < high:
            break
        low, high = (low, middle) if good(middle) else (middle, high)
    return high
