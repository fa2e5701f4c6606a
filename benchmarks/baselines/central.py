"""Central training: everybody's records in one place, with their true classes. A ceiling.

No method that keeps records where they are can be asked to beat it. Only records whose true
class is one of the student's can take part: those of relevant teachers. A teacher whose labels
were shuffled has lost its true classes, noise has none, and another domain has others.

Teachers draw their classes at random, so some class may have ten records among thousands of the
others, where the test has all alike. Two usual remedies: logits are adjusted by the classes'
shares during training (Menon et al., arXiv 2007.07314), and the network is fine-tuned on the
student's labels, which have all classes alike. On a split where no teacher held one of the
classes (seed 401, held-out images) they made .771 to .828. Where all are held, fine-tuning costs
something: .904 to .892 on seed 402 (five passes); over both splits it is about even.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks.baselines.heads import fine_tuning
from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network
from benchmarks.baselines.training import Training, fit, moved, train_classifier
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
    records, classes = torch.cat(values), torch.cat(labels)
    # Every class has records: the student has labels of each.
    shares = (torch.bincount(classes, minlength=task.classes) / len(classes)).log()

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        logits = network(moved(records[chosen], 1, generator))
        return functional.cross_entropy(logits + shares, classes[chosen])

    fit(network.parameters(), loss, len(records), training, generator)
    train_classifier(network, task.labelled, task.labels, fine_tuning(job.effort), generator)
    return Outcome(test_accuracy(job, network), sent)
