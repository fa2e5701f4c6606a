"""Federated averaging of a feature extractor under heads that stay where they are."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from benchmarks.baselines.heads import adapt
from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, extractor, linear, size_bytes
from benchmarks.baselines.training import Training, average_into, fit, moved
from secure_fedsa.entropy import training_generator

_FIRST_RATE = 0.002


def federate(job: Job, *, proximal: float) -> Outcome:
    """Average an extractor over all teachers, then adapt it to the student's labels.

    Every round each teacher trains the extractor and its own head on its own records for one
    pass; the server averages the extractors, weighted by the public numbers of records. Heads
    never leave the teachers, as their classes differ. The local rate falls from round to round.

    Args:
        job: The task.
        proximal: Weight mu of half the squared distance to the round's first extractor;
            0 is plain federated averaging.
    """
    task, rounds = tensors_of(job), job.effort.federated_rounds
    generator = training_generator(job.seed, "federated: first weights")
    shared = Network(task.inputs, task.classes, generator)
    heads = [linear(shared.width, len(teacher.task), generator) for teacher in job.data.teachers]
    sizes = [float(len(labels)) for _, labels in task.teachers]
    for number in range(rounds):
        job.progress(f"federated round {number + 1} of {rounds}")
        rate = _FIRST_RATE * (1 - number / rounds)
        copies = []
        for at, head in enumerate(heads):
            draw = training_generator(job.seed, f"federated: teacher {at}, round {number}")
            local = copy.deepcopy(shared)
            local.head = head
            _local_round(local, *task.teachers[at], rate, proximal, draw)
            copies.append(extractor(local))
        average_into(extractor(shared), copies, sizes)
    sent = rounds * size_bytes(extractor(shared))
    network = adapt(job, shared, purpose="federated")
    return Outcome(test_accuracy(job, network), sent)


def _local_round(
    network: Network,
    values: torch.Tensor,
    labels: torch.Tensor,
    rate: float,
    proximal: float,
    generator: torch.Generator,
) -> None:
    body: list[nn.Parameter] = extractor(network)
    start = [parameter.detach().clone() for parameter in body]

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        logits = network(moved(values[chosen], 1, generator))
        value = functional.cross_entropy(logits, labels[chosen])
        if proximal == 0:
            return value
        distance = torch.stack([(a - b).square().sum() for a, b in zip(body, start, strict=True)])
        return value + proximal / 2 * distance.sum()

    fit(network.parameters(), loss, len(values), Training(rate=rate, one_cycle=False), generator)
