"""The teachers' own networks, trained once for all methods that need them. No privacy."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.baselines.job import Job, tensors_of
from benchmarks.baselines.networks import Network, in_blocks
from benchmarks.baselines.training import Training, train_classifier
from secure_fedsa.entropy import training_generator

# Strong decay makes features that serve other classes too: on the
# held-out images of one seed it gained .02.
TEACHER_RATE = 0.005
TEACHER_DECAY = 0.3


@dataclass(frozen=True, slots=True, repr=False)
class Teacher:
    """A teacher's network and what it says about public records.

    Attributes:
        network: Trained on the teacher's own records, without differential privacy.
        probes: Its features of the probes, (p, width).
        labelled: Its features of the student's labelled records, (n, width).
    """

    network: Network
    probes: torch.Tensor
    labelled: torch.Tensor


def teachers_of(job: Job) -> tuple[Teacher, ...]:
    """Return all teachers, good and bad, in the order of ``data.teachers``."""
    return job.shared.once("teachers' networks", lambda: _train(job))


def _train(job: Job) -> tuple[Teacher, ...]:
    task = tensors_of(job)
    epochs = job.effort.teacher_epochs
    training = Training(epochs=epochs, steps=100, rate=TEACHER_RATE, decay=TEACHER_DECAY)
    found = []
    for teacher, (values, labels) in zip(job.data.teachers, task.teachers, strict=True):
        job.progress(f"{teacher.id} trains its network")
        generator = training_generator(job.seed, f"teacher {teacher.id}")
        network = Network(task.inputs, len(teacher.task), generator)
        train_classifier(network, values, labels, training, generator)
        found.append(teacher_of(network, task.probes, task.labelled))
    return tuple(found)


def teacher_of(network: Network, probes: torch.Tensor, labelled: torch.Tensor) -> Teacher:
    """Return a trained network with its features of public records."""
    network.eval()
    return Teacher(
        network, in_blocks(network.features, probes), in_blocks(network.features, labelled)
    )
