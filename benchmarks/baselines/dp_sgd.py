"""DP-SGD teachers from scratch, then concatenation: the usual private arm.

Source: Abadi et al. (arXiv 1607.00133), per-record gradients, clipping and noise by Opacus; the
private networks then speak about the public probes, which is post-processing, and their
features are amalgamated as in :mod:`.kacc`. Accounting: Poisson sampling, add/remove, one
charge a teacher, noise multiplier found with dp_accounting's privacy loss distributions. Of
Opacus neither the accountants nor the data loader are used: the gradient sum is divided by an
expected batch size that is public, and every step samples each record on its own.

MEASUREMENT ONLY: the noise comes from the seeded generator of all training here, so that rows
repeat. Seeded floating-point noise protects nobody; accuracy does not depend on that.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch.nn import functional

from benchmarks.baselines.amalgamation import amalgamate
from benchmarks.baselines.job import Effort, Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, in_blocks, size_bytes
from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import PrivacyParameterError

SAMPLING_RATE = 0.1
CLIP_NORM = 1.0
_RATE = 0.003


def run(job: Job) -> Outcome:
    """Train every teacher by DP-SGD and amalgamate what they say.

    Raises:
        PrivacyParameterError: If the job names no epsilon or delta.
    """
    if job.epsilon is None or job.delta is None:
        raise PrivacyParameterError("DP-SGD needs an epsilon and a delta.")
    task, steps = tensors_of(job), steps_of(job.effort)
    multiplier = noise_multiplier(job.epsilon, job.delta, steps)
    features = []
    for teacher, (values, labels) in zip(job.data.teachers, task.teachers, strict=True):
        job.progress(f"{teacher.id} trains by DP-SGD, {steps} steps")
        purpose = f"dp-sgd {teacher.id}, epsilon {job.epsilon!r}"
        generator = training_generator(job.seed, purpose)
        network = Network(task.inputs, len(teacher.task), generator)
        train_privately(network, values, labels, multiplier, steps, generator)
        features.append(in_blocks(network.features, task.probes))
    student = amalgamate(job, features, purpose="dp-sgd")
    return Outcome(test_accuracy(job, student), max(size_bytes([one]) for one in features))


def steps_of(effort: Effort) -> int:
    """Return the public number of steps."""
    return round(effort.dp_epochs / SAMPLING_RATE)


@cache
def noise_multiplier(epsilon: float, delta: float, steps: int) -> float:
    """Return noise over clip norm such that all steps together are (epsilon, delta)-DP.

    Poisson sampling at :data:`SAMPLING_RATE`, neighbours that differ by one record more or
    less. The distributions are rounded pessimistically, so a coarse grid costs noise and never
    privacy.
    """
    from dp_accounting import (
        GaussianDpEvent,
        NeighboringRelation,
        PoissonSampledDpEvent,
        SelfComposedDpEvent,
        calibrate_dp_mechanism,
    )
    from dp_accounting.pld import PLDAccountant

    def accountant() -> PLDAccountant:
        relation = NeighboringRelation.ADD_OR_REMOVE_ONE
        return PLDAccountant(relation, value_discretization_interval=1e-3)

    def event(multiplier: float) -> SelfComposedDpEvent:
        one = PoissonSampledDpEvent(SAMPLING_RATE, GaussianDpEvent(multiplier))
        return SelfComposedDpEvent(one, steps)

    return float(calibrate_dp_mechanism(accountant, event, epsilon, delta, tol=1e-3))


def train_privately(
    network: Network,
    values: torch.Tensor,
    labels: torch.Tensor,
    multiplier: float,
    steps: int,
    generator: torch.Generator,
) -> None:
    """Train a classifier by DP-SGD with Adam; ``generator`` samples records and draws noise.

    The denominator is the expected size of a batch under the public number of records; the
    batch's own size is private under add/remove, and it may be zero.
    """
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    wrapped = GradSampleModule(network, loss_reduction="sum")
    optimiser = DPOptimizer(
        torch.optim.Adam(network.parameters(), lr=_RATE),
        noise_multiplier=multiplier,
        max_grad_norm=CLIP_NORM,
        expected_batch_size=max(1, round(SAMPLING_RATE * len(values))),
        loss_reduction="mean",  # of the noisy sum: divided by the expected size
        generator=generator,
    )
    with warnings.catch_warnings():
        # Opacus's hooks are full backward hooks on inputs without gradients.
        warnings.filterwarnings("ignore", message=".*hook.*")
        for _ in range(steps):
            chosen = torch.rand(len(values), generator=generator) < SAMPLING_RATE
            loss = functional.cross_entropy(
                wrapped(values[chosen]), labels[chosen], reduction="sum"
            )
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    wrapped.remove_hooks()
