"""What selections by noisy maximum cost: a pure epsilon, or a rho where that is less.

A choice of the exponential mechanism (Gumbel noise) with parameter epsilon

* is (epsilon, 0)-private, and these add up, whatever else is composed with them;
* has a bounded range of epsilon, so is rho-zCDP with rho = epsilon^2 / 8 (Durfee and Rogers 2019,
  arXiv 1905.04273; Dong, Durfee and Rogers 2020, arXiv 1909.13830; Cesar and Rogers 2021, arXiv
  2004.07223), and rho adds up with that of releases.

A choice of permute-and-flip is (epsilon, 0)-private and its range can be twice that, so all that
may be said in zCDP is what holds of every pure mechanism: rho = epsilon^2 / 2 (Bun and Steinke
2016, proposition 1.4).

Which choices are counted one way and which the other is ours to choose, because both bounds hold of
each. As epsilon grows with the square root of rho, at most, a choice belongs with the rho where its
rho is small against its epsilon; so we sort by that ratio and try every place to cut. For the parts
that a cut makes, see :mod:`secure_fedsa.privacy.amounts`.

The least over all cuts is a bound for events whose parameters were not chosen by each other's
results. A budget that has to hold for chosen ones too may count by one cut only, fixed before: by
rho alone, the last, goes with releases.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from secure_fedsa.privacy.accountant import round_up
from secure_fedsa.privacy.events import ExponentialMechanism, PermuteAndFlip, Selection

NAME = "pure epsilon, or zCDP by bounded range (Cesar and Rogers 2021)"
VERSION = "1"

_KINDS: dict[str, type[Selection]] = {
    ExponentialMechanism.kind: ExponentialMechanism,
    PermuteAndFlip.kind: PermuteAndFlip,
}
_DIVISORS = {ExponentialMechanism.kind: 8, PermuteAndFlip.kind: 2}


@dataclass(frozen=True, slots=True)
class Split:
    """One way to count selections: some by their epsilons, the others by their rho.

    Attributes:
        pure: Sum of the epsilons of the first, rounded up.
        rho: Sum of the rho of the second, rounded up.
    """

    pure: float
    rho: float


def merged_selections(events: Iterable[Selection]) -> tuple[Selection, ...]:
    """Return selections in the one form that amounts have: sorted, each kind and epsilon once.

    Raises:
        PrivacyParameterError: If there are more choices of one kind than an event can have.

    >>> merged_selections([PermuteAndFlip(0.5, 2), PermuteAndFlip(0.5)])
    (PermuteAndFlip(epsilon=0.5, choices=3),)
    """
    choices: Counter[tuple[str, float]] = Counter()
    for event in events:
        choices[event.kind, event.epsilon] += event.choices
    return tuple(_KINDS[kind](epsilon, count) for (kind, epsilon), count in sorted(choices.items()))


def selection_splits(selections: Iterable[Selection]) -> tuple[Split, ...]:
    """Return the ways to count selections that are worth trying: one more than events.

    The first counts all of them by their epsilons, the last all of them by their rho. Without
    selections there is one, of nothing.

    >>> selection_splits([ExponentialMechanism(2.0)])
    (Split(pure=2.0, rho=0.0), Split(pure=0.0, rho=0.5))
    """
    found = sorted(selections, key=lambda event: event.epsilon / _DIVISORS[event.kind])
    pure = [event.choices * Fraction(event.epsilon) for event in found]
    rho = [event.choices * Fraction(event.epsilon) ** 2 / _DIVISORS[event.kind] for event in found]
    return tuple(
        Split(round_up(sum(pure[cut:], Fraction(0))), round_up(sum(rho[:cut], Fraction(0))))
        for cut in range(len(found) + 1)
    )
