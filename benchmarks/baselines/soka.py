"""Weighted concatenation: saliency says how much each teacher's features count. No privacy.

Source: the row "SOKA-Net" of FedSA's tables (arXiv 2207.13309), amalgamation that gives
teachers different weights. Differs: weights come from the saliency that FedSA itself uses,
Grad-CAM on the student's labelled records and its cosine with the scratch student's own map,
through a softmax; amalgamation is the linear regression of :mod:`.kacc`, with each teacher's
squared error weighted. So the two rows differ in the weights alone.
"""

from __future__ import annotations

import torch

from benchmarks.baselines.amalgamation import amalgamate
from benchmarks.baselines.grad_cam import saliency, similarity
from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import size_bytes
from benchmarks.baselines.scratch import train_scratch
from benchmarks.baselines.teachers import teachers_of

_SHARPNESS = 1.0


def weights_of(similarities: list[float]) -> list[float]:
    """Return weights with mean 1: a softmax of standardised similarities.

    Standardised, because cosines of such maps all lie close together.
    """
    values = torch.tensor(similarities, dtype=torch.float64)
    spread = values.std(correction=0).clamp_min(1e-9)
    shares = (_SHARPNESS * (values - values.mean()) / spread).softmax(dim=0)
    return [float(share) * len(similarities) for share in shares]


def run(job: Job) -> Outcome:
    """Amalgamate all teachers' features, weighted by the similarity of saliency."""
    task, teachers = tensors_of(job), teachers_of(job)
    mine = saliency(train_scratch(job), task.labelled, task.labels)
    maps = [saliency(one.network, task.labelled) for one in teachers]
    weights = weights_of([similarity(mine, theirs) for theirs in maps])
    network = amalgamate(job, [one.probes for one in teachers], weights, purpose="soka")
    sent = max(size_bytes([one.probes, theirs]) for one, theirs in zip(teachers, maps, strict=True))
    return Outcome(test_accuracy(job, network), sent)
