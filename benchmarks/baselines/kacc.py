"""Concatenation: the student learns all teachers' features at once. No privacy.

Source: knowledge amalgamation by common feature learning and its class-conditional kin, the
rows "KACC" of FedSA's tables (arXiv 2207.13309). Differs: teachers speak about the public
probes and send features only, so nobody's records move; the student regresses the
concatenation of all teachers' features through one linear layer, without adversarial or
reconstruction terms, and its head is fitted to the labels afterwards. The method does not
select: bad teachers' features are in the concatenation too.
"""

from __future__ import annotations

from benchmarks.baselines.amalgamation import amalgamate
from benchmarks.baselines.job import Job, Outcome, test_accuracy
from benchmarks.baselines.networks import size_bytes
from benchmarks.baselines.teachers import teachers_of


def run(job: Job) -> Outcome:
    """Amalgamate the features of all teachers."""
    features = [one.probes for one in teachers_of(job)]
    network = amalgamate(job, features, purpose="kacc")
    return Outcome(test_accuracy(job, network), max(size_bytes([one]) for one in features))
