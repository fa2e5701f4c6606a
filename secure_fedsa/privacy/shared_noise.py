r"""Noise that the members of a sum share, so that the sum hides what one of them is.

Record-level noise hides records, not institutions. Here every member clips its whole integer
signal to a public L2 norm and adds a *share* of discrete Gaussian noise before it is masked and
encrypted. Whoever sees only the opened sum sees all honest members' shares added up. The privacy
unit is one member's whole signal. What this covers and what not:
docs/decisions/0019-institution-noise.md.

Source: Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated
Learning with Secure Aggregation" (2021, arXiv 2102.06387), called KLS21. A sum of discrete
Gaussians is not a discrete Gaussian, but nearly. The bound used is the first of KLS21,
proposition 14. With m shares of parameter sigma >= 1/2, distance D and d coordinates, for all
orders alpha > 1,

    D_alpha <= alpha D^2 / (2 m sigma^2) + d tau,
    tau = 10 sum_{k=1}^{m-1} exp(-2 pi^2 sigma^2 k / (k + 1)).

Why it holds, coordinate by coordinate. Let P_m be the law of a sum of m shares and G_m that of one
discrete Gaussian of variance parameter m sigma^2.

1. G_k * G_1 at z is exp(-z^2 / (2 (k + 1) sigma^2)) times a sum over the integers of a Gaussian of
   variance s^2 = sigma^2 k / (k + 1), centred at some multiple of z. By Poisson summation that sum
   is constant up to factors 1 +- eta, eta = 2 sum_j exp(-2 pi^2 s^2 j^2). So
   log((G_k * G_1) / G_{k+1}) has a range of at most log((1 + eta) / (1 - eta)), which is below
   10 exp(-2 pi^2 s^2) where sigma >= 1/2.
2. Convolution with G_1 averages P_k / G_k, so the range of log(P_m / G_m) is at most the sum of
   these over k < m: tau.
3. So the privacy loss log P_m(z) / P_m(z - a) is at most (a^2 - 2 a z) / (2 m sigma^2) + tau. A
   discrete Gaussian's moment generating function is at most exp(sigma^2 t^2 / 2) (Canonne, Kamath
   and Steinke 2020), hence that of P_m at most exp(m sigma^2 t^2 / 2), and
   D_alpha <= tau + alpha a^2 / (2 m sigma^2).

As alpha > 1, the release is rho-zCDP with rho = D^2 / (2 m sigma^2) + d tau. A sum modulo a public
number is a function of the sum: reducing modulo costs nothing, and a member must *not* cut its
noisy values to a range, since a sum of cut values is no function of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar, Literal, get_args

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import (
    compose_rho,
    epsilon_from_rho,
    rho_for_epsilon,
    round_up,
)
from secure_fedsa.privacy.clipping import MAX_GRID
from secure_fedsa.privacy.events import MAX_COORDINATES
from secure_fedsa.privacy.mechanisms import MAX_NOISE_SCALE
from secure_fedsa.privacy.parameters import positive, positive_integer, probability

NAME = "zCDP of a sum of discrete Gaussians (Kairouz, Liu, Steinke 2021), converted through RDP"
VERSION = "1"

MemberNeighbours = Literal["member-to-zero", "member-to-any"]
"""One member's clipped signal becomes the zero vector; or any other within the norm bound."""

View = Literal["sum", "sum-and-colluding", "everybody-else"]
"""Who looks: somebody with the opened sum alone; with ``max_colluding`` members, whose shares and
signals can be taken off; or with all other members, so that the masks hide nothing."""

VIEWS: tuple[View, ...] = get_args(View)
MAX_MEMBERS = 10_000
LEAST_SCALE = 0.5
_TINY = Fraction(math.ulp(0.0))


@dataclass(frozen=True, slots=True)
class SharedNoiseRelease:
    """One opened sum of clipped integer signals, each with a share of discrete Gaussian noise.

    Attributes:
        norm_bound: L2 norm that a member's signal keeps at most, a whole number of grid units (C).
        neighbours: What may become of one member's signal.
        share_scale: Parameter sigma of one member's share, in grid units, at least 1/2.
        coordinates: Length d of a signal.
        members: Fewest members that a sum may be opened over: all of them add their share.
        max_colluding: Members whose shares do not count, since they may be told or left out.

    Raises:
        PrivacyParameterError: If a value is out of range, or ``members`` is below
            ``max_colluding`` + 2.

    >>> event = SharedNoiseRelease(1000, "member-to-zero", 500.0, 10, members=66, max_colluding=2)
    >>> [(figure.view, figure.shares) for figure in figures([event], 1e-5)]
    [('sum', 66), ('sum-and-colluding', 64), ('everybody-else', 1)]
    """

    kind: ClassVar[str] = "shared-discrete-gaussian"

    norm_bound: int
    neighbours: MemberNeighbours
    share_scale: float
    coordinates: int
    members: int
    max_colluding: int

    def __post_init__(self) -> None:
        members = positive_integer(self.members, "members", MAX_MEMBERS)
        colluding = positive_integer(
            self.max_colluding + 1 if type(self.max_colluding) is int else self.max_colluding,
            "max_colluding + 1",
            MAX_MEMBERS,
        )
        if members < colluding + 1:
            raise PrivacyParameterError(
                f"A sum over {members} members hides nobody from {colluding - 1} that collude.",
                do=f"Ask for at least {colluding + 1} members.",
            )
        if self.neighbours not in get_args(MemberNeighbours):
            raise PrivacyParameterError(
                f"Unknown neighbour relation {self.neighbours!r}.",
                do=f"Use one of {', '.join(get_args(MemberNeighbours))}.",
            )
        scale = positive(self.share_scale, "share_scale")
        if not LEAST_SCALE <= scale <= MAX_NOISE_SCALE:
            raise PrivacyParameterError(
                f"A share of scale {scale:g} grid units is out of range.",
                why="The bound on sums of discrete Gaussians holds from 1/2 up, and int64 ends.",
                do="Use a finer or coarser grid.",
            )
        bound = positive_integer(self.norm_bound, "norm_bound", MAX_GRID)
        count = positive_integer(self.coordinates, "coordinates", MAX_COORDINATES)
        object.__setattr__(self, "share_scale", scale)
        object.__setattr__(self, "norm_bound", bound)
        object.__setattr__(self, "coordinates", count)

    @property
    def sensitivity(self) -> int:
        """L2 distance between neighbouring sums, in grid units: exact."""
        return self.norm_bound * (2 if self.neighbours == "member-to-any" else 1)

    def shares(self, view: View) -> int:
        """Return how many shares a view cannot take off the sum.

        Raises:
            PrivacyParameterError: If there is no such view.
        """
        if view == "sum":
            return self.members
        if view == "sum-and-colluding":
            return self.members - self.max_colluding
        if view == "everybody-else":
            return 1
        raise PrivacyParameterError(f"Unknown view {view!r}.", do=f"Use one of {', '.join(VIEWS)}.")

    def rho(self, view: View) -> float:
        """Return the zCDP parameter of the release to a view, rounded up."""
        shares = self.shares(view)
        main = Fraction(self.sensitivity) ** 2 / (2 * shares * Fraction(self.share_scale) ** 2)
        return round_up(main + self.coordinates * _departure(shares, self.share_scale))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict that :meth:`from_dict` reads back."""
        return {
            "kind": self.kind,
            "norm_bound": self.norm_bound,
            "neighbours": self.neighbours,
            "share_scale": self.share_scale,
            "coordinates": self.coordinates,
            "members": self.members,
            "max_colluding": self.max_colluding,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> SharedNoiseRelease:
        """Return the event of a dict.

        Raises:
            PrivacyParameterError: If a key is missing or unknown, or a value is refused.
        """
        fields = set(cls.__dataclass_fields__) | {"kind"}
        if not isinstance(value, Mapping) or set(value) != fields or value["kind"] != cls.kind:
            raise PrivacyParameterError(
                f"This is not a {cls.kind} event.", why=f"Its keys are {sorted(fields)}."
            )
        return cls(**{name: value[name] for name in fields - {"kind"}})


def departure(shares: int, scale: float) -> float:
    """Return tau: how far a sum of shares is from one discrete Gaussian, rounded up.

    The range of the logarithm of their ratio is at most this (step 2 above).

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> departure(1, 0.5), round(departure(2, 0.5), 3), departure(100, 10.0) < 1e-300
    (0.0, 0.848, True)
    """
    shares = positive_integer(shares, "shares", MAX_MEMBERS)
    if positive(scale, "share_scale") < LEAST_SCALE:
        raise PrivacyParameterError(f"A share of scale {scale:g} is below {LEAST_SCALE}.")
    return round_up(_departure(shares, scale))


def _departure(shares: int, scale: float) -> Fraction:
    total = Fraction(0)
    for k in range(1, shares):
        # exp is off by a few units in the last place, its argument by as much relatively.
        exponent = -2 * math.pi**2 * scale**2 * (k / (k + 1))
        total += Fraction(math.exp(exponent * (1 - 1e-12)) * (1 + 1e-12)) + _TINY
    return 10 * total


@dataclass(frozen=True, slots=True)
class ViewFigure:
    """What composed releases tell a view about one member.

    Attributes:
        view: Who looks.
        shares: Fewest shares that the view cannot take off, over the releases.
        rho: zCDP parameter.
        epsilon: At ``delta``.
        delta: Probability that epsilon fails.
    """

    view: View
    shares: int
    rho: float
    epsilon: float
    delta: float


def figures(events: Iterable[SharedNoiseRelease], delta: float) -> tuple[ViewFigure, ...]:
    """Return what composed sums tell each view about a member of all of them.

    Fresh shares are drawn for every sum, so the rho add up, also where a later sum was asked for
    because of an earlier one.

    Raises:
        PrivacyParameterError: If a value is out of range, or there is no event.
    """
    found, delta = tuple(events), probability(delta, "delta")
    if not found:
        raise PrivacyParameterError("There is no release to account for.")
    result = []
    for view in VIEWS:
        rho = compose_rho(event.rho(view) for event in found)
        fewest = min(event.shares(view) for event in found)
        result.append(ViewFigure(view, fewest, rho, epsilon_from_rho(rho, delta), delta))
    return tuple(result)


def plan_shared_noise(
    epsilon: float,
    delta: float,
    *,
    norm_bound: int,
    coordinates: int,
    members: int,
    max_colluding: int,
    neighbours: MemberNeighbours = "member-to-zero",
    releases: int = 1,
) -> SharedNoiseRelease:
    """Return the release whose shares keep the sum within a budget, told to colluding members too.

    Args:
        epsilon: Privacy loss bound about one member, for the view ``sum-and-colluding``.
        delta: Probability that it fails.
        norm_bound: L2 norm of a clipped signal, in grid units.
        coordinates: Length of a signal.
        members: Fewest members of a sum.
        max_colluding: Members whose shares do not count.
        neighbours: What may become of one member's signal.
        releases: Sums that share the budget.

    Raises:
        PrivacyParameterError: If a value is out of range.

    >>> event = plan_shared_noise(1.0, 1e-5, norm_bound=2**16, coordinates=136, members=26,
    ...                           max_colluding=1)
    >>> round(event.share_scale / event.norm_bound, 3)
    0.809
    """
    wanted = rho_for_epsilon(epsilon, delta) / positive_integer(releases, "releases", 2**20)

    def event(scale: float) -> SharedNoiseRelease:
        return SharedNoiseRelease(
            norm_bound, neighbours, scale, coordinates, members, max_colluding
        )

    start = event(LEAST_SCALE)  # checks all that is given
    honest = start.shares("sum-and-colluding")
    scale = max(LEAST_SCALE, start.sensitivity / math.sqrt(2 * wanted * honest) * (1 + 1e-9))
    while event(scale).rho("sum-and-colluding") > wanted:
        scale *= 1.001  # only where the grid is so coarse that tau counts
    return event(scale)


def least_modulus(event: SharedNoiseRelease, *, largest_roster: int, failure: float) -> int:
    """Return the least modulus in which a sum keeps its values, but for a small probability.

    For the result's use only: privacy holds for any modulus.

    Args:
        event: The release.
        largest_roster: Most members that the sum may have.
        failure: Probability that any value wraps around.

    Raises:
        PrivacyParameterError: If a value is out of range.
    """
    failure = probability(failure, "failure")
    members = positive_integer(largest_roster, "largest_roster", MAX_MEMBERS)
    spread = event.share_scale * math.sqrt(members)
    tail = spread * math.sqrt(2 * math.log(2 * event.coordinates / failure))
    return 2 * (members * event.norm_bound + math.ceil(tail)) + 1
