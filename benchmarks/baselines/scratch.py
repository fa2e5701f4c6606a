"""The student's labels only: what the student has without teachers and without probes."""

from __future__ import annotations

from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network
from benchmarks.baselines.training import Training, train_classifier
from secure_fedsa.entropy import training_generator


def train_scratch(job: Job) -> Network:
    """Return the network trained on the student's labels, once for all who start from it."""
    return job.shared.once("scratch", lambda: _train(job))


def _train(job: Job) -> Network:
    task = tensors_of(job)
    generator = training_generator(job.seed, "scratch")
    network = Network(task.inputs, task.classes, generator)
    training = Training(steps=job.effort.label_steps, batch=64, rate=0.002)
    train_classifier(network, task.labelled, task.labels, training, generator)
    network.eval()
    return network


def run(job: Job) -> Outcome:
    """Train on the student's labels."""
    return Outcome(test_accuracy(job, train_scratch(job)), 0)
