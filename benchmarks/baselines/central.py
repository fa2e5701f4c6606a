"""Central training: everybody's records in one place, with their true classes. A ceiling.

No method that keeps records where they are can be asked to beat it. Only records whose true
class is one of the student's can take part: those of relevant teachers. A teacher whose labels
were shuffled has lost its true classes, noise has none, and another domain has others. A class
that no relevant teacher holds is known from the student's few labels only.
"""

from __future__ import annotations

import torch

from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network
from benchmarks.baselines.training import Training, train_classifier
from secure_fedsa.entropy import training_generator


def run(job: Job) -> Outcome:
    """Train one network on everybody's records."""
    task, names = tensors_of(job), job.data.class_names
    values, labels = [task.labelled], [task.labels]
    sent = 0
    for teacher, (mine, local) in zip(job.data.teachers, task.teachers, strict=True):
        if teacher.kind not in (None, "relevant") or not set(teacher.task) <= set(names):
            continue
        values.append(mine)
        labels.append(torch.tensor([names.index(name) for name in teacher.task])[local])
        sent = max(sent, teacher.images.nbytes + teacher.labels.nbytes)
    generator = training_generator(job.seed, "central")
    network = Network(task.inputs, task.classes, generator)
    training = Training(
        epochs=job.effort.central_epochs, steps=job.effort.label_steps, rate=0.005, decay=0.1
    )
    train_classifier(network, torch.cat(values), torch.cat(labels), training, generator)
    return Outcome(test_accuracy(job, network), sent)
