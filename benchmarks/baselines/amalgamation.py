"""A student network that regresses its teachers' features on the probes, and its head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.baselines.heads import fine_tuning, fit_head
from benchmarks.baselines.job import Job, tensors_of
from benchmarks.baselines.networks import Network, in_blocks, linear
from benchmarks.baselines.training import Training, fit, moved, train_classifier
from secure_fedsa.entropy import training_generator


def scaled(features: torch.Tensor) -> torch.Tensor:
    """Return one teacher's features centred, and of mean square 1 all together.

    Teachers come to count alike; within a teacher, features keep the sizes that it gave them.
    """
    centred = features - features.mean(dim=0)
    return centred / centred.square().mean().sqrt().clamp_min(1e-6)


def amalgamate(
    job: Job,
    features: Sequence[torch.Tensor],
    weights: Sequence[float] | None = None,
    *,
    purpose: str,
) -> Network:
    """Return a student network that learned to predict all features at once.

    A linear layer on the network's pooled map predicts the features; the head is fitted to
    the predicted features of the student's labelled records, folded into that layer, and the
    network fine-tuned on the labels.

    Args:
        job: Holds the probes and the student's labels.
        features: Each teacher's features of the probes, (p, width).
        weights: How much each teacher's features count; evenly if not given.
        purpose: Names the randomness.
    """
    task = tensors_of(job)
    weights = weights or [1.0] * len(features)
    targets = torch.cat(
        [weight**0.5 * scaled(one) for one, weight in zip(features, weights, strict=True)], dim=1
    )
    generator = training_generator(job.seed, f"{purpose}: amalgamation")
    network = Network(task.inputs, task.classes, generator, neck=False)
    predictor = linear(network.width, targets.shape[1], generator)

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        found = network.features(moved(task.probes[chosen], 1, generator))
        said: torch.Tensor = predictor(found)
        return (said - targets[chosen]).square().mean()

    training = Training(epochs=job.effort.student_epochs, steps=100)
    parameters = [*network.body.parameters(), *predictor.parameters()]
    fit(parameters, loss, len(task.probes), training, generator)
    _fold(job, network, predictor)
    train_classifier(network, task.labelled, task.labels, fine_tuning(job.effort), generator)
    return network


def _fold(job: Job, network: Network, predictor: nn.Linear) -> None:
    """Set the network's head to the head on what ``predictor`` says, as one layer."""
    task = tensors_of(job)

    def predicted(values: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = predictor(network.features(values))
        return said

    labelled = in_blocks(predicted, task.labelled)
    head = fit_head(labelled, task.labels, task.classes, seed=job.seed)
    with torch.no_grad():
        network.head.weight.copy_(head.weights.T @ predictor.weight)
        network.head.bias.copy_(head.logits(predictor.bias))
