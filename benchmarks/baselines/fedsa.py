"""FedSA as published: federated selective aggregation by saliency. No privacy.

Source: "Federated Selective Aggregation for Knowledge Amalgamation" (arXiv 2207.13309) and its
published code. Grad-CAM maps of the teachers and of the student on the student's labelled
records; their cosine, through a softmax, is the chance with which teachers are drawn, two a
round; each drawn site trains a copy of the student on its own records without their labels,
by matching its teacher's last feature map through a translator of 1x1 convolutions that stays
at the site; the server averages the copies' weights; every third round and at the end the
student is fine-tuned on its labels. Differs: small networks and data, nine teachers of which
three are bad, fewer rounds (fine-tuning comes the more often for it: the code does it every
ten); AdamW; softmax over standardised cosines, since raw ones all lie close together. The
student starts from its scratch network, whose map the first similarities need anyway.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from benchmarks.baselines.grad_cam import saliency, similarity
from benchmarks.baselines.heads import adapt
from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, pointwise, size_bytes
from benchmarks.baselines.scratch import train_scratch
from benchmarks.baselines.soka import weights_of
from benchmarks.baselines.teachers import teachers_of
from benchmarks.baselines.training import Training, average_into, fit, moved
from secure_fedsa.entropy import public_generator, training_generator

PICKED = 2
_TUNE_EVERY = 3
_LOCAL = Training(rate=0.001, one_cycle=False)


def run(job: Job) -> Outcome:
    """Draw teachers, match their maps, average, fine-tune."""
    task, teachers = tensors_of(job), teachers_of(job)
    maps = [saliency(one.network, task.labelled) for one in teachers]
    student = copy.deepcopy(train_scratch(job))
    draw = public_generator(job.seed, "fedsa: teachers drawn")
    first = training_generator(job.seed, "fedsa: translators")
    translators = [pointwise(student.channels, t.network.channels, first) for t in teachers]
    uploads = [0] * len(teachers)
    rounds, tuned = job.effort.rounds, False
    for number in range(rounds):
        mine = saliency(student, task.labelled, task.labels)
        weights = weights_of([similarity(mine, theirs) for theirs in maps])
        shares = [weight / sum(weights) for weight in weights]
        count = min(PICKED, len(teachers))
        picked = sorted(int(at) for at in draw.choice(len(teachers), count, False, shares))
        names = " and ".join(job.data.teachers[at].id for at in picked)
        job.progress(f"FedSA round {number + 1} of {rounds}: {names}")
        copies = []
        for at in picked:
            generator = training_generator(job.seed, f"fedsa: teacher {at}, round {number}")
            local = copy.deepcopy(student)
            values, _ = task.teachers[at]  # the site's labels are not looked at
            match_maps(local, teachers[at].network, translators[at], values, generator)
            copies.append(list(local.body.parameters()))
            uploads[at] += size_bytes(copies[-1])
        average_into(list(student.body.parameters()), copies, [1.0] * len(copies))
        tuned = (number + 1) % _TUNE_EVERY == 0
        if tuned:
            adapt(job, student, purpose=f"fedsa, round {number}")
    if not tuned:
        adapt(job, student, purpose="fedsa, at the end")
    sent = max(upload + size_bytes([one]) for upload, one in zip(uploads, maps, strict=True))
    return Outcome(test_accuracy(job, student), sent)


def match_maps(
    student: Network,
    teacher: Network,
    translator: nn.Module,
    values: torch.Tensor,
    generator: torch.Generator,
) -> None:
    """Train a student's body, and a translator, to give its teacher's last feature maps."""

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        inputs = moved(values[chosen], 1, generator)
        with torch.no_grad():
            goal = teacher.map(inputs)
        said: torch.Tensor = translator(student.map(inputs))
        if said.shape[2:] != goal.shape[2:]:
            said = functional.adaptive_avg_pool2d(said, (goal.shape[2], goal.shape[3]))
        return (said - goal).square().mean() / goal.square().mean().clamp_min(1e-6)

    parameters = [*student.body.parameters(), *translator.parameters()]
    fit(parameters, loss, len(values), _LOCAL, generator)
