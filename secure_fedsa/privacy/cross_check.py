"""The headline epsilon, checked against other people's accountants.

The headline is :mod:`secure_fedsa.privacy.accountant`'s. Here Google's dp_accounting
accounts the same composition as continuous Gaussians, whose zCDP is the same, by RDP and by
privacy loss distributions (PLD). Theory says how far apart the numbers may be; anything
else is an alarm. Opacus's accountants are not used: its GDP accountant under-reports.

Transfer bound for PLD (what a continuous figure says about the discrete mechanism)
------------------------------------------------------------------------------------
Fix a pair of neighbours; only the D coordinates in which their integer vectors differ
matter, the others carry noise that is independent of which neighbour it was. Let P_i be the
discrete mechanism's output on neighbour i and Q_i that of the continuous one, *rounded* to
the nearest integers, which is post-processing of the continuous mechanism. For one
coordinate with mean m, x an integer, z = x - m, s the scale, and f(z) = exp(-z^2 / 2 s^2):

    p(x) = f(z) / N,                 N = sum of f over the integers,
    q(x) = f(z) E[exp(-(2 z u + u^2) / 2 s^2)] / sqrt(2 pi s^2),   u uniform in [-1/2, 1/2].

(a) By Jensen E[...] >= exp(-E[u^2] / 2 s^2) = exp(-1 / 24 s^2), as E[u] = 0 and
    E[u^2] = 1/12. By Poisson summation N >= sqrt(2 pi s^2). So p <= q exp(1 / 24 s^2).
(b) E[...] <= E[exp(-z u / s^2)] = sinh(y) / y with y = z / 2 s^2, at most exp(y^2 / 6) =
    exp(z^2 / 24 s^4). And N <= sqrt(2 pi s^2) (1 + v), v = 2 sum_k exp(-2 pi^2 s^2 k^2).
    So q <= p (1 + v) exp(K^2 / 24 s^2) wherever |z| <= K s.
(c) The discrete Gaussian is sub-Gaussian with variance proxy s^2 (CKS20), so under P_0 a
    coordinate whose means are D_j apart has |x - m_1| > K s with probability at most
    exp(-(K - D_j/s)^2 / 2) + exp(-(K + D_j/s)^2 / 2), if K >= D_j / s.

Let G be |x_j - m_1j| <= K s in all D coordinates. For every event A, if the continuous
mechanism is (epsilon, delta):

    P_0(A) <= P_0(A and G) + P_0(not G)                                       by (c)
           <= exp(D / 24 s^2) Q_0(A and G) + tau                              by (a)
           <= exp(D / 24 s^2) (exp(epsilon) Q_1(A and G) + delta) + tau
           <= exp(epsilon + eta') P_1(A) + exp(D / 24 s^2) delta + tau        by (b)

with eta' = D ((K^2 + 1) / 24 s^2 + log(1 + v)). With eta = D (K^2 + 1) / 24 s^2 and
tau = 2 D (exp(-K^2/2) + exp(-(K - Dinf/s)^2/2)) as in the protocol, eta' <= 2 eta (log(1+v)
is below (K^2 + 1) / 24 s^2 for every s once K >= 1), D / 24 s^2 <= eta, and the tail in (c)
is below tau: so the discrete mechanism is (epsilon + 2 eta, exp(eta) delta + tau), as the
protocol says, with a factor of nearly two to spare. Composed releases are one longer
vector: eta and tau add up. Dinf is at most the L2 sensitivity, which is what we use.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Any

from scipy import special

from secure_fedsa.errors import CrossCheckError, PrivacyParameterError
from secure_fedsa.privacy import accountant
from secure_fedsa.privacy.events import DiscreteGaussianRelease, Event, only_releases
from secure_fedsa.privacy.parameters import probability
from secure_fedsa.privacy.shown import at_most

MAX_EPSILON = 100.0
MAX_DELTA = 0.1
MIN_PLD_DELTA = 1e-13

_RDP_TOLERANCE = 0.01
_PLD_TOLERANCE = 0.001
_ORDERS_PER_E_FOLD = 20
_PLD_CELLS = 2500


@dataclass(frozen=True, slots=True)
class CrossCheck:
    """All accounting numbers of one composition, at one delta.

    Attributes:
        epsilon: The headline, proved for vectors of discrete Gaussians.
        delta: Probability.
        rho: zCDP parameter of the composition.
        zcdp_epsilon: rho + 2 sqrt(rho log(1/delta)), the simple bound, never below epsilon.
        rdp_epsilon: dp_accounting's RDP accountant, continuous Gaussians.
        pld_epsilon: dp_accounting's PLD accountant, continuous Gaussian; None where delta
            is below its numerical floor.
        eta: Log-ratio of the transfer bound (module docstring).
        tau: Tail probability of the transfer bound.
        pld_transferred: Epsilon of the *discrete* mechanism at ``delta`` by PLD and the
            transfer bound; None as above. Only a grid that is fine against the number of
            coordinates makes it tighter than ``epsilon``; it is reported, never the headline.
        accountant: Name of the headline accountant.
        accountant_version: Its version.
        dp_accounting_version: Version of the library that checked it.
    """

    epsilon: float
    delta: float
    rho: float
    zcdp_epsilon: float
    rdp_epsilon: float
    pld_epsilon: float | None
    eta: float
    tau: float
    pld_transferred: float | None
    accountant: str
    accountant_version: str
    dp_accounting_version: str

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as a JSON-able dict."""
        return asdict(self)


def transfer_terms(events: Sequence[DiscreteGaussianRelease], tail: float) -> tuple[float, float]:
    """Return (eta, tau) of the transfer bound with ``tau <= tail``.

    K is chosen as the least width that keeps tau within ``tail``: with n differing
    coordinates in all and s the largest sensitivity over scale,
    4 n exp(-(K - s)^2 / 2) = tail.

    Raises:
        PrivacyParameterError: If ``tail`` is not strictly between 0 and 1.
    """
    tail = probability(tail, "tail")
    shifts = [event.sensitivity / event.noise_scale for event in events]
    total = sum(event.coordinates for event in events)
    width = max(shifts) + math.sqrt(2 * (math.log(4 * total) - math.log(tail)))
    eta = math.fsum(
        event.coordinates * (width**2 + 1) / (24 * event.noise_scale**2) for event in events
    )
    tau = math.fsum(
        2 * event.coordinates * (math.exp(-(width**2) / 2) + math.exp(-((width - shift) ** 2) / 2))
        for event, shift in zip(events, shifts, strict=True)
    )
    return eta, min(tau, tail)


def cross_check(events: Sequence[Event], delta: float) -> CrossCheck:
    """Account a composition five ways and raise if they disagree beyond theory.

    * The RDP accountant, on a dense grid of orders, is within 1% of the headline.
    * The headline is not below the exact epsilon of the continuous Gaussian, for which it holds
      too: by the closed form (Balle and Wang 2018) delta there is not above ``delta``.
    * The PLD accountant's epsilon is that exact one, up to its discretisation (0.1%).
    * The headline is not above rho + 2 sqrt(rho log(1/delta)).

    Takes about 0.2 s (and once 3 s to import dp_accounting).

    Args:
        events: At least one event.
        delta: Probability, strictly between 0 and 1.

    Raises:
        CrossCheckError: If two accountants disagree.
        PrivacyParameterError: If there is no event, a value is out of range, or epsilon is
            above 100 or delta above 0.1, where no claim is worth checking.
    """
    delta = probability(delta, "delta")
    if not events:
        raise PrivacyParameterError("There is no release to account for.")
    return _cross_check(only_releases(events), delta)


@lru_cache(maxsize=64)
def _cross_check(events: tuple[DiscreteGaussianRelease, ...], delta: float) -> CrossCheck:
    rho = accountant.rho_of(events)
    epsilon = accountant.epsilon_from_rho(rho, delta)
    if epsilon > MAX_EPSILON or delta > MAX_DELTA:
        raise PrivacyParameterError(
            f"An epsilon of {at_most(epsilon, 6)} at delta {delta:g} promises nothing.",
            do=f"Aim for an epsilon of at most {MAX_EPSILON:g} at a delta far below {MAX_DELTA:g}.",
        )
    rdp = _rdp_epsilon(events, delta)
    eta, tau = transfer_terms(events, max(delta / 10, sys.float_info.min))
    inner_delta = (delta - tau) * math.exp(-min(eta, 700.0))
    pld, inner = _pld_epsilons(rho, (delta, inner_delta))
    result = CrossCheck(
        epsilon=epsilon,
        delta=delta,
        rho=rho,
        zcdp_epsilon=rho + 2 * math.sqrt(-rho * math.log(delta)),
        rdp_epsilon=rdp,
        pld_epsilon=pld,
        eta=eta,
        tau=tau,
        pld_transferred=None if inner is None else inner + 2 * eta,
        accountant=accountant.NAME,
        accountant_version=accountant.VERSION,
        dp_accounting_version=version("dp-accounting"),
    )
    require_agreement(result)
    return result


def require_agreement(check: CrossCheck) -> None:
    """Raise if the numbers of a cross-check are farther apart than theory allows.

    Raises:
        CrossCheckError: Naming the accountant that disagrees, with both numbers.
    """
    numbers = [check.epsilon, check.rdp_epsilon, check.zcdp_epsilon, check.pld_epsilon or 0.0]
    if not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise _alarm(check, "one of the numbers is not finite or negative")
    if check.epsilon > check.zcdp_epsilon * (1 + 1e-9):
        raise _alarm(check, f"the simple zCDP bound gives {check.zcdp_epsilon:.6g}")
    # dp_accounting reports 0 where total variation alone is below delta (a different
    # theorem, TV <= sqrt(1 - exp(-KL)), that the headline does without).
    trivial = check.rdp_epsilon == 0 and check.delta**2 > -math.expm1(-1.02 * check.rho)
    if not trivial and abs(check.rdp_epsilon - check.epsilon) > _RDP_TOLERANCE * check.epsilon:
        raise _alarm(check, f"the RDP accountant gives {check.rdp_epsilon:.6g}")
    mu, log_delta = math.sqrt(2 * check.rho), math.log(check.delta)
    if gaussian_log_delta(mu, check.epsilon * (1 + 1e-9)) > log_delta + 1e-6:
        raise _alarm(check, "a continuous Gaussian of this noise has a larger delta there")
    if check.pld_epsilon is not None:
        slack = _PLD_TOLERANCE * max(check.epsilon, mu)
        low, high = max(0.0, check.pld_epsilon - slack), check.pld_epsilon + slack
        if gaussian_log_delta(mu, high) > log_delta or (
            low > 0 and gaussian_log_delta(mu, low) < log_delta
        ):
            raise _alarm(
                check, f"the PLD accountant gives {check.pld_epsilon:.6g}, not the closed form's"
            )


def gaussian_log_delta(mu: float, epsilon: float) -> float:
    """Return log(delta) of a continuous Gaussian of sensitivity over scale ``mu``, exactly.

    Balle and Wang (2018), theorem 8; ``epsilon`` is at least 0.

    >>> round(math.exp(gaussian_log_delta(1.0, 4.3771780957)), 8)
    1e-05
    """
    upper = float(special.log_ndtr(mu / 2 - epsilon / mu))
    lower = epsilon + float(special.log_ndtr(-mu / 2 - epsilon / mu))
    return upper + math.log(-math.expm1(lower - upper)) if lower < upper else -math.inf


def _alarm(check: CrossCheck, found: str) -> CrossCheckError:
    return CrossCheckError(
        f"The accountants disagree: the headline is epsilon {check.epsilon:.6g} "
        f"at delta {check.delta:g}, but {found}.",
        why="They account the same Gaussians, so one of them is wrong.",
        do="Do not run. Report this with the versions of secure-fedsa and dp-accounting.",
    )


def _rdp_epsilon(events: Sequence[DiscreteGaussianRelease], delta: float) -> float:
    """Return dp_accounting's RDP epsilon of the events, composed one by one."""
    from dp_accounting import dp_event
    from dp_accounting.rdp import RdpAccountant

    folds = range(-4 * _ORDERS_PER_E_FOLD, 30 * _ORDERS_PER_E_FOLD)
    ledger = RdpAccountant([1 + math.exp(step / _ORDERS_PER_E_FOLD) for step in folds])
    multipliers = Counter(event.noise_scale / event.sensitivity for event in events)
    for multiplier, count in multipliers.items():
        ledger.compose(dp_event.GaussianDpEvent(multiplier), count)
    return float(ledger.get_epsilon(delta))


def _pld_epsilons(rho: float, deltas: Sequence[float]) -> list[float | None]:
    """Return dp_accounting's PLD epsilon of one Gaussian with the composition's rho.

    Gaussians compose to the Gaussian of the same total rho, exactly. The loss has standard
    deviation sqrt(2 rho), so cells in proportion to it keep the cost and the relative error
    the same for every epsilon; at epsilon 1 a cell is dp_accounting's default, 1e-4.
    """
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant

    spread = math.sqrt(2 * rho)
    ledger = PLDAccountant(value_discretization_interval=spread / _PLD_CELLS)
    ledger.compose(dp_event.GaussianDpEvent(1 / spread))
    return [
        float(ledger.get_epsilon(delta)) if delta >= MIN_PLD_DELTA else None for delta in deltas
    ]
