"""secure-fedsa's private routes as methods among the others, by the run's own code."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.baselines.job import Job, Outcome
from benchmarks.noisy_release import NoisyRelease
from secure_fedsa.agreement import NOISY_RELEASE, PRIVATE_TRAINING, Route
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.planning.traffic import traffic


def run(job: Job) -> Outcome:
    """Release a noisy sum, amalgamate it and test the student on the public encoder.

    The payload is what the wire format makes one teacher send, all its messages together.

    Raises:
        PrivacyParameterError: If the job names no epsilon.
    """
    return _run(job, NOISY_RELEASE, network=False)


def run_network(job: Job) -> Outcome:
    """Do the same and test the compact network that is distilled from the student."""
    return _run(job, NOISY_RELEASE, network=True)


def run_private_heads(job: Job) -> Outcome:
    """Train linear classifiers of the encoding by DP-SGD; amalgamate what they say of probes."""
    return _run(job, PRIVATE_TRAINING, network=False)


def _run(job: Job, route: Route, *, network: bool) -> Outcome:
    epsilon = job.epsilon
    if epsilon is None:
        raise PrivacyParameterError(f"The route {route} needs an epsilon.")
    head, compact, sent = job.shared.once(f"{route} {epsilon}", lambda: _both(job, route, epsilon))
    return Outcome(compact if network else head, sent)


def _both(job: Job, route: Route, epsilon: float) -> tuple[float, float, int]:
    """Return the accuracy of the student, of its network, and the bytes of a teacher."""
    with tempfile.TemporaryDirectory() as folder:
        # The encodings are shared by all epsilons; students are built in a folder of one call.
        release = job.shared.once(
            route, lambda: NoisyRelease(job.seed, job.data, Path(folder), route=route)
        )
        done = release.round(epsilon)
        done.bench.workshop.folder = Path(folder)
        release.build(done)
        model, network = done.bench.workshop.load()
    loads = traffic(done.agreement).by_party
    sent = max(loads[teacher.id].sent_bytes for teacher in job.data.teachers)
    return done.bench.exam.of_head(model), done.bench.exam.of_network(network), sent
