"""What a training by DP-SGD certainly tells: a floor under every honest epsilon of it.

Whoever sees all noisy gradients can test whether one record was there, and a test that succeeds
more often than epsilon and delta allow refutes them: epsilon is at least log((P(A) - delta) / Q(A))
for every event A of what is seen, P with the record and Q without it. Here the record's clipped
gradient is one unit in one direction whenever it is taken, and all other gradients are zero. A step
then shows x, a Gaussian of scale s around 0, or around 1 with probability q. Two tests, both of
which hold as they stand, whatever an accountant assumes:

* the sum of whole-numbered scores, close to the likelihood ratio's logarithm in some unit, modulo a
  power of two, above a threshold. Any scores make a test; these make nearly the best one. Its
  distribution over T steps is the T-th circular convolution power of one step's. Rounding of the
  normal distribution, of the Fourier transform and of sums counts against the test.
* the sum of all x above a threshold, whose distribution is a binomial mixture of Gaussians, in
  logarithms: for epsilons at which the first test drowns in rounding.

Neither shares code with dp_accounting. Neyman and Pearson's lemma is why the scores are chosen so;
nothing rests on it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.parameters import probability

FloatArray = npt.NDArray[np.float64]

_ROUNDING = 1e-14  # of probability, for each step
_TRANSFORM = 1e-12  # of probability, for the Fourier transforms
_SUMMED = 1e-9  # relative, of up to a million numbers added up
_SCORES_A_DEVIATION = 12.0
_MOST_SCORES = 2**13
_LARGEST_TRANSFORM = 2**20
_BINOMIAL = 1e-7  # relative error of binomial probabilities by gamma functions
_TAKEN_SD = 12.0  # binomial counts farther out are left out of P, which lowers the floor


def least_epsilon(event: DpSgdTraining, delta: float) -> float:
    """Return an epsilon that a training certainly reaches at ``delta``; 0.0 if no test shows one.

    Takes some hundredths of a second.

    Raises:
        PrivacyParameterError: If ``delta`` is out of range.

    >>> round(least_epsilon(DpSgdTraining(1.0, 0.01, 1000), 1e-5), 2)
    1.83
    """
    delta = probability(delta, "delta")
    return max(0.0, _by_scores(event, delta), _by_sum(event, delta))


def _by_scores(event: DpSgdTraining, delta: float) -> float:
    noise, rate, steps = event.noise_multiplier, event.sampling_rate, event.steps
    x = np.linspace(-10 * noise, 1 + 10 * noise, 20001)
    not_taken = math.log1p(-rate) if rate < 1 else -math.inf
    ratio = np.logaddexp(not_taken, math.log(rate) + (2 * x - 1) / (2 * noise**2))
    # The deviation without the record: the rare large ratios with it should not set the unit.
    weights = np.exp(-((x / noise) ** 2) / 2)
    mean = float(np.average(ratio, weights=weights))
    deviation = math.sqrt(float(np.average((ratio - mean) ** 2, weights=weights)))
    unit = deviation / _SCORES_A_DEVIATION
    lowest = math.floor(float(ratio[0]) / unit)
    highest = min(math.ceil(float(ratio[-1]) / unit), lowest + _MOST_SCORES)
    scores = np.arange(lowest, highest + 1)
    edges = _inverse((scores[:-1] + 0.5) * unit, noise, rate)
    with_record = (1 - rate) * special.ndtr(edges / noise) + rate * special.ndtr(
        (edges - 1) / noise
    )
    without = special.ndtr(edges / noise)
    spread = max(40 * math.sqrt(steps) * _SCORES_A_DEVIATION, 4.0 * len(scores))
    size = min(2 ** math.ceil(math.log2(spread)), _LARGEST_TRANSFORM)
    p, q = (_power(cdf, lowest, size, steps) for cdf in (with_record, without))
    # Cut the circle far below the mean, where little of either is.
    start = (round(steps * mean / unit) - 2 * size // 5) % size
    p, q = np.roll(p, -start), np.roll(q, -start)
    slack = _ROUNDING * steps + _TRANSFORM
    above_p = np.cumsum(p[::-1]) * (1 - _SUMMED) - delta - slack
    above_q = np.maximum(np.cumsum(q[::-1]), 0.0) * (1 + _SUMMED) + slack
    best = float(np.max(above_p / above_q))
    return math.log(best) if best > 0 else 0.0


def _inverse(ratios: npt.NDArray[Any], noise: float, rate: float) -> FloatArray:
    """Return the x at which log(1 - q + q exp((2 x - 1) / 2 s^2)) takes these values."""
    inner = np.expm1(ratios) / rate + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        found = noise**2 * np.log(inner) + 0.5
    return np.where(inner > 0, found, -np.inf)


def _power(cdf: FloatArray, lowest: int, size: int, steps: int) -> FloatArray:
    """Return the distribution, modulo ``size``, of the sum of ``steps`` scores."""
    masses = np.diff(np.concatenate([[0.0], cdf, [1.0]]))
    one = np.zeros(size)
    np.add.at(one, np.arange(lowest, lowest + len(masses)) % size, masses)
    return np.asarray(np.fft.irfft(np.fft.rfft(one) ** steps, size), dtype=np.float64)


def _by_sum(event: DpSgdTraining, delta: float) -> float:
    noise, rate, steps = event.noise_multiplier, event.sampling_rate, event.steps
    deviation = noise * math.sqrt(steps)
    width = _TAKEN_SD * math.sqrt(steps * rate * (1 - rate)) + 30
    low, high = (
        max(0, math.floor(steps * rate - width)),
        min(steps, math.ceil(steps * rate + width)),
    )
    taken = np.arange(low, high + 1, max(1, (high - low) // 2000))
    # Where counts are skipped, each kept one stands for itself alone: P only gets smaller.
    log_mass = (
        special.gammaln(steps + 1)
        - special.gammaln(taken + 1)
        - special.gammaln(steps - taken + 1)
        + special.xlogy(taken, rate)
        + special.xlog1py(steps - taken, -rate)
    )
    thresholds = np.linspace(0.0, high + 10 * deviation, 400)
    above = special.log_ndtr((taken[None, :] - thresholds[:, None]) / deviation)
    log_p = special.logsumexp(above + log_mass[None, :], axis=1)
    log_q = special.log_ndtr(-thresholds / deviation)
    gain = np.exp(np.minimum(log_p, 0.0)) * (1 - _BINOMIAL) - delta
    useful = gain > 0
    return float(np.max(np.log(gain[useful]) - log_q[useful])) if useful.any() else 0.0
