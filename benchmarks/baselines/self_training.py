"""Self-training: the scratch network's own guesses for the probes are labels for the next.

Source: Lee, "Pseudo-Label" (2013). Differs: soft guesses instead of hard ones (they do better
here), once instead of in rounds, and the true labels beside them.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, in_blocks
from benchmarks.baselines.scratch import train_scratch
from benchmarks.baselines.training import Training, train_classifier
from secure_fedsa.entropy import training_generator


def run(job: Job) -> Outcome:
    """Train on the scratch network's guesses and on the labels."""
    task, scratch = tensors_of(job), train_scratch(job)
    guesses = in_blocks(scratch, task.probes).softmax(dim=1)
    known = functional.one_hot(task.labels, task.classes).float()
    generator = training_generator(job.seed, "self-training")
    network = Network(task.inputs, task.classes, generator)
    train_classifier(
        network,
        torch.cat([task.probes, task.labelled]),
        torch.cat([guesses, known]),
        Training(epochs=job.effort.student_epochs // 2, steps=100),
        generator,
    )
    return Outcome(test_accuracy(job, network), 0)
