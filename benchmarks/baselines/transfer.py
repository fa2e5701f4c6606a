"""Transfer from the best teacher: its features, and a head on the student's labels.

Source: the row "transfer" of FedSA's tables (arXiv 2207.13309). Differs: the paper takes a
teacher as given; here every teacher sends its network and the student keeps the one whose
refitted head does best in cross-validation on the student's labels, never on test records.
"""

from __future__ import annotations

import copy

from benchmarks.baselines.heads import adapt, fit_head
from benchmarks.baselines.job import Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import extractor, size_bytes
from benchmarks.baselines.teachers import teachers_of


def run(job: Job) -> Outcome:
    """Choose a teacher's network, refit its head and fine-tune it."""
    task, teachers = tensors_of(job), teachers_of(job)
    heads = [fit_head(one.labelled, task.labels, task.classes, seed=job.seed) for one in teachers]
    best = max(range(len(teachers)), key=lambda at: heads[at].accuracy)
    job.progress(f"{job.data.teachers[best].id} does best on the student's labels")
    network = adapt(job, copy.deepcopy(teachers[best].network), purpose="transfer")
    sent = max(size_bytes(extractor(one.network)) for one in teachers)
    return Outcome(test_accuracy(job, network), sent)
