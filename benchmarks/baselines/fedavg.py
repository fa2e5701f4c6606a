"""FedAvg+: an extractor averaged over all teachers, fine-tuned on the student's labels. No privacy.

Source: McMahan et al. (arXiv 1602.05629), as the row "FedAvg+" of FedSA's tables (arXiv
2207.13309); "+" is the fine-tuning on target labels. Differs: the teachers' classes differ, so
only the extractor is averaged and heads stay local (as in FedPer, arXiv 1912.00818); local
training is AdamW, like everywhere here, instead of plain SGD.
"""

from __future__ import annotations

from benchmarks.baselines.federated import federate
from benchmarks.baselines.job import Job, Outcome


def run(job: Job) -> Outcome:
    """Average, then adapt."""
    return federate(job, proximal=0.0)
