"""FedMD: teachers agree on the public probes, and the student learns what they agreed. No privacy.

Source: Li and Wang, "FedMD" (arXiv 1910.03581), as the row "FedMD+" of FedSA's tables (arXiv
2207.13309). FedMD averages class scores, so all its parties must have the same classes. Here
they have not, and this is what we adapt: the student's labelled records (which FedMD's public
labelled set corresponds to) serve every teacher to fit a second head, from its features to the
student's classes; scores of the probes are averaged in the student's classes. Then, as in
FedMD, each round every teacher digests the consensus on the probes (second head), revisits its
own records (own head) and says anew what it thinks of the probes. The student network learns
the last consensus and its labels; "+" is the fine-tuning on the labels at the end.
"""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from benchmarks.baselines.heads import fine_tuning, fit_head
from benchmarks.baselines.job import Job, Outcome, Tensors, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, extractor, in_blocks, size_bytes
from benchmarks.baselines.teachers import teachers_of
from benchmarks.baselines.training import Training, fit, moved, train_classifier
from secure_fedsa.entropy import training_generator

_LOCAL = Training(rate=0.001, one_cycle=False)


def run(job: Job) -> Outcome:
    """Reach a consensus and distil it."""
    task = tensors_of(job)
    networks = [copy.deepcopy(one.network) for one in teachers_of(job)]
    consensus = _consensus(job, task, networks)
    for number in range(job.effort.consensus_rounds):
        job.progress(f"FedMD round {number + 1}: teachers digest the consensus")
        for at, network in enumerate(networks):
            purpose = f"fedmd: teacher {at}, round {number}"
            _digest(network, task, at, consensus, training_generator(job.seed, purpose))
        consensus = _consensus(job, task, networks)
    generator = training_generator(job.seed, "fedmd: student")
    student = Network(task.inputs, task.classes, generator)
    known = functional.one_hot(task.labels, task.classes).float()
    training = Training(epochs=job.effort.student_epochs, steps=100)
    values = torch.cat([task.probes, task.labelled])
    train_classifier(student, values, torch.cat([consensus, known]), training, generator)
    train_classifier(student, task.labelled, task.labels, fine_tuning(job.effort), generator)
    sent = size_bytes([consensus]) * (1 + job.effort.consensus_rounds)
    return Outcome(test_accuracy(job, student), sent)


def _consensus(job: Job, task: Tensors, networks: list[Network]) -> torch.Tensor:
    """Return the mean of the teachers' probabilities of the student's classes, (p, C)."""
    said = []
    for network in networks:
        probes = in_blocks(network.features, task.probes)
        labelled = in_blocks(network.features, task.labelled)
        head = fit_head(labelled, task.labels, task.classes, seed=job.seed)
        said.append(head.probabilities(probes))
    return torch.stack(said).mean(dim=0)


def _digest(
    network: Network,
    task: Tensors,
    at: int,
    consensus: torch.Tensor,
    generator: torch.Generator,
) -> None:
    """Train a teacher on the consensus through a second head, then on its own records."""
    own = network.head
    network.with_head(task.classes, generator)

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        logits = network(moved(task.probes[chosen], 1, generator))
        return functional.cross_entropy(logits, consensus[chosen])

    second: nn.Linear = network.head
    parameters = [*extractor(network), *second.parameters()]
    fit(parameters, loss, len(consensus), _LOCAL, generator)
    network.head = own
    train_classifier(network, *task.teachers[at], _LOCAL, generator)
