"""Canaries of the route private-training: records whose gradient is their own weight's alone.

The run's own trainer, with the agreed sampling, clip norm, noise, optimiser and averaging, trains a
table of one weight a canary (an embedding of width 1, as a linear layer of one input a canary
would be). A present canary asks for a value far away from its weight, upwards or downwards: in each
step that takes it, its gradient is far above the clip norm, on its own weight only, and always in
the same direction. So canaries are exactly orthogonal, and nothing of a canary is lost to clipping.
Where the agreement promises persons something, a canary is a person with as many equal records as
count, up to 16, and goes through the sampling and clipping of persons.

Who attacks: somebody who chooses the records (any record may be so bad) and sees the final weights,
not the steps between. The accountant's figure holds against those who see all steps; momentum and
the averaging of the last weights make the final weights tell somewhat less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from secure_fedsa.audit.canaries.scores import BoolArray, FloatArray, Scores
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import UsageError
from secure_fedsa.models.dp_sgd import train_privately
from secure_fedsa.roles.model_teachers import dp_sgd_spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_fedsa.agreement import Agreement
    from secure_fedsa.entropy import TrainingNoise
    from secure_fedsa.models.dp_sgd import DpSgdSpec

FAR = 1e6
"""Distance of a canary's target from its weight, in clip norms."""

_GRADIENTS = 2**28  # numbers in the gradients of one step: seconds of work
_MOST_EACH = 16  # records of a canary that is a person
_UNSEEN = 0.1  # of the standard error of a moment: no test sees so little


def check_training_size(agreement: Agreement, canaries: int) -> None:
    """Refuse an audit of a training that would take days, or that has no scores.

    Raises:
        UsageError: As said.
    """
    spec = dp_sgd_spec(agreement)
    if spec.optimiser != "sgd":
        raise UsageError(
            f"A training by {spec.optimiser} cannot be audited.",
            why="It divides each weight's step by the size of its own noisy gradients, so that a "
            "canary's score has no plan to be compared with.",
            do='Audit the same training with training.optimiser = "sgd".',
        )
    numbers = spec.sampling_rate * records_each(agreement) / 2
    if numbers * canaries**2 > _GRADIENTS:
        most = int((_GRADIENTS / numbers) ** 0.5)
        raise UsageError(
            f"{canaries} canaries are too many for a step of this training.",
            why="Every sampled record has a gradient of one number a canary.",
            do=f"Use at most {most}.",
        )


def training_scores(
    agreement: Agreement,
    coins: BoolArray,
    *,
    noise: TrainingNoise,
    runs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Return the scores of canaries in the final weights of one training, or of several.

    Args:
        agreement: Of the route private-training, whose optimiser is plain gradient steps.
        coins: bool, shape (M,): who is present.
        noise: Source of the trainings' noise and samples.
        runs: Trainings on the same canaries.
        progress: Told now and then how many steps are done.

    Raises:
        UsageError: See :func:`check_training_size`.
    """
    number, spec = len(coins), dp_sgd_spec(agreement)
    check_training_size(agreement, number)
    generator = public_generator(0, "canaries of a training")
    signs: FloatArray = generator.integers(0, 2, number).astype(np.float64) * 2 - 1
    places = np.flatnonzero(coins)
    owners = np.repeat(places, records_each(agreement))
    records = torch.from_numpy(owners[:, None].astype(np.int64))
    targets = (signs[owners] * FAR * spec.clip_norm).astype(np.float32)
    answers = step_weights(spec)
    unit = spec.learning_rate * spec.clip_norm * spec.noise_multiplier / spec.denominator
    unit *= float(np.sqrt(answers @ answers))
    seen = np.zeros(number)
    for run in range(runs):
        table = nn.Embedding(number, 1, _weight=torch.zeros(number, 1))

        def told(done: int, steps: int, run: int = run) -> None:
            if progress:
                progress(run * steps + done, runs * steps)

        train_privately(
            table,
            records,
            targets,
            head="regression",
            persons=owners if agreement.promise.unit == "person" else None,
            spec=spec,
            noise=noise,
            progress=told,
        )
        seen += table.weight.detach().numpy()[:, 0].astype(np.float64)
    sampled, share = spec.sampling_rate, spec.sampling_rate * (1 - spec.sampling_rate)
    reached = sampled * float(answers.sum()) / float(np.sqrt(answers @ answers))
    return Scores(
        values=signs * seen / (unit * runs**0.5),
        coins=coins,
        common=signs,
        shift=reached / spec.noise_multiplier * runs**0.5,
        spread=(1 + share / spec.noise_multiplier**2) ** 0.5,
        gaussian=_gaussian(spec, answers, runs, present=int(coins.sum())),
    )


def records_each(agreement: Agreement) -> int:
    """Return how many records a canary has: as many as count, up to 16."""
    return min(agreement.promise.max_records, _MOST_EACH)


def step_weights(spec: DpSgdSpec) -> FloatArray:
    """Return how much each step's noisy gradient counts in the final weights, float64 (T,).

    In units of the learning rate: torch's momentum adds (1 - m^j) / (1 - m) of a gradient in the j
    steps from its own on, and the final weights are the mean of those after the last steps.
    """
    steps, momentum = spec.steps, spec.momentum
    first = steps - max(1, round(spec.averaged * steps))
    own = np.arange(steps, dtype=np.float64)
    begin = np.maximum(own, first)
    number = steps - begin
    if momentum == 0:
        total = number
    else:
        powers = momentum ** (begin - own + 1) * (1 - momentum**number) / (1 - momentum)
        total = (number - powers) / (1 - momentum)
    return np.asarray(total / (steps - first), dtype=np.float64)


def _gaussian(spec: DpSgdSpec, answers: FloatArray, runs: int, *, present: int) -> bool:
    """Return whether a present canary's score, of sampled steps and noise, is as good as Gaussian.

    A sum of weighted coins has the skewness and kurtosis of one, scaled by its weights, and the
    noise beside it makes both smaller.
    """
    rate = spec.sampling_rate
    variance = rate * (1 - rate)
    if variance == 0 or present == 0:
        return True
    share = variance / (variance + spec.noise_multiplier**2)
    second = float((answers**2).sum())
    skewness = abs(1 - 2 * rate) / variance**0.5 * float((answers**3).sum()) / second**1.5
    kurtosis = abs(1 - 6 * variance) / variance * float((answers**4).sum()) / second**2
    skewness, kurtosis = skewness * share**1.5 / runs**0.5, kurtosis * share**2 / runs
    return bool(
        skewness <= _UNSEEN * (6 / present) ** 0.5 and kurtosis <= _UNSEEN * (24 / present) ** 0.5
    )
