"""secure-fedsa's noisy-release route as a method among the others."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.baselines.job import Job, Outcome
from benchmarks.noisy_release import NoisyRelease
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.planning.traffic import traffic


def run(job: Job) -> Outcome:
    """Release a noisy sum, amalgamate it and test the student network.

    The accuracy is that of the compact network, which is what a run hands over. The payload is
    what the wire format makes one selected teacher send, all its messages together.

    Raises:
        PrivacyParameterError: If the job names no epsilon.
    """
    if job.epsilon is None:
        raise PrivacyParameterError("A noisy release needs an epsilon.")
    with tempfile.TemporaryDirectory() as folder:
        # A folder of one call: the release itself is shared by all epsilons.
        release = job.shared.once(
            "noisy release", lambda: NoisyRelease(job.seed, job.data, Path(folder))
        )
        release.workshop.folder = Path(folder)
        done = release.round(job.epsilon)
        release.build(done)
        _, network = release.workshop.load()
    loads = traffic(done.agreement).by_party
    sent = max(loads[teacher.id].sent_bytes for teacher in job.data.teachers)
    return Outcome(release.exam.of_network(network), sent)
