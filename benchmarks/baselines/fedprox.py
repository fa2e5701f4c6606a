"""FedProx+: FedAvg+ whose local training may not go far from the round's start. No privacy.

Source: Li et al. (arXiv 1812.06127), as the row "FedProx+" of FedSA's tables (arXiv
2207.13309). Differs from FedAvg+ (:mod:`.fedavg`) in the proximal term alone, which holds the
shared extractor and not the local heads; mu = 0 is FedAvg+.
"""

from __future__ import annotations

from benchmarks.baselines.federated import federate
from benchmarks.baselines.job import Job, Outcome

MU = 0.01


def run(job: Job) -> Outcome:
    """Average under the proximal term, then adapt."""
    return federate(job, proximal=MU)
