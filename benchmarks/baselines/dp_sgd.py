"""DP-SGD teachers from scratch, then concatenation: the usual private arm.

Source: Abadi et al. (arXiv 1607.00133), by the package's own private training, with fresh noise
of the operating system; the private networks then speak about the public probes, which is
post-processing, and their features are amalgamated as in :mod:`.kacc`. Accounting: Poisson
sampling, add/remove, one charge a teacher, privacy loss distributions. Differs: the network is
narrower and without a layer between map and head, since noise grows with the parameters, and
five passes at a rate of .006 were as good as fifteen at .003 (one seed's held-out images, epsilon
1, three teachers' features: .710 and .697; a usual CNN .697 at three times the cost).
"""

from __future__ import annotations

from functools import cache

from benchmarks.baselines.amalgamation import amalgamate
from benchmarks.baselines.job import Effort, Job, Outcome, tensors_of, test_accuracy
from benchmarks.baselines.networks import Network, in_blocks, size_bytes
from secure_fedsa.entropy import SystemNoise, training_generator
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from secure_fedsa.privacy.training_accountant import noise_multiplier_for

SAMPLING_RATE = 0.1
CLIP_NORM = 1.0
_RATE = 0.006


def run(job: Job) -> Outcome:
    """Train every teacher by DP-SGD and amalgamate what they say.

    Raises:
        PrivacyParameterError: If the job names no epsilon or delta.
    """
    if job.epsilon is None or job.delta is None:
        raise PrivacyParameterError("DP-SGD needs an epsilon and a delta.")
    task, steps = tensors_of(job), steps_of(job.effort)
    multiplier = noise_multiplier(job.epsilon, job.delta, steps)
    features = []
    for teacher, (values, labels) in zip(job.data.teachers, task.teachers, strict=True):
        job.progress(f"{teacher.id} trains by DP-SGD, {steps} steps")
        start = training_generator(job.seed, f"dp-sgd {teacher.id}")
        network = Network(task.inputs, len(teacher.task), start, shape="narrow", neck=False)
        train_privately(
            network,
            values,
            labels.numpy(),
            head="classification",
            classes=len(teacher.task),
            spec=DpSgdSpec(
                sampling_rate=SAMPLING_RATE,
                steps=steps,
                noise_multiplier=multiplier,
                clip_norm=CLIP_NORM,
                # Public: the order of magnitude of a teacher's records.
                denominator=max(1.0, SAMPLING_RATE * len(values)),
                learning_rate=_RATE,
                optimiser="adam",
                averaged=0.0,
            ),
            noise=SystemNoise(),
        )
        features.append(in_blocks(network.features, task.probes))
    student = amalgamate(job, features, purpose="dp-sgd")
    return Outcome(test_accuracy(job, student), max(size_bytes([one]) for one in features))


def steps_of(effort: Effort) -> int:
    """Return the public number of steps."""
    return round(effort.dp_epochs / SAMPLING_RATE)


@cache
def noise_multiplier(epsilon: float, delta: float, steps: int) -> float:
    """Return noise over clip norm such that all steps together are (epsilon, delta)-DP."""
    return noise_multiplier_for(epsilon, delta, sampling_rate=SAMPLING_RATE, steps=steps)
