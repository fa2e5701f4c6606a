"""The noisy-release route without transport and encryption, for measurements.

The run's own code on real data under real noise: encoder, clipping, noise plan, discrete
Gaussian, signals as integers, selection, sum, amalgamation, student network. Transport and
encryption return exactly what was put in (tests/engines/test_whole_run.py), so leaving them
out changes no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.baselines import Exam, RememberingEncoder
from secure_fedsa.cli.demo_agreement import DemoOptions, demo_agreement
from secure_fedsa.cli.splits import DemoData, TeacherData
from secure_fedsa.engines.student import StudentTask, StudentWorkshop
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.saliency import quantise
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.roles.noisy_release import (
    derive_signal,
    noise_plan,
    read_private,
    saliency_scale,
    score_unit,
)
from secure_fedsa.selection import choose
from secure_fedsa.signals import ReleasedSum, Signal, int_array


@dataclass(frozen=True, slots=True)
class Round:
    """One round of summaries, scores and selection.

    Attributes:
        agreement: What it ran under.
        signals: By teacher.
        scores: By teacher.
        members: Who was selected.
    """

    agreement: Agreement
    signals: dict[str, Signal]
    scores: dict[str, float]
    members: tuple[str, ...]


class NoisyRelease:
    """One student and its teachers, encoded once for all epsilons.

    Args:
        seed: Public seed; never of noise.
        data: The student, its teachers and the test records.
        folder: Where the student is built.
    """

    def __init__(self, seed: int, data: DemoData, folder: Path) -> None:
        self.seed = seed
        self.data = data
        self.encoder = RememberingEncoder.fit(data.probes)
        task = StudentTask(data.class_names, data.images, data.labels, data.probes)
        self.workshop = StudentWorkshop(task, self.encoder, folder, seed=seed)
        self.exam = Exam(data, self.encoder)

    def agreement(self, epsilon: float) -> Agreement:
        """Return the demo's agreement at an epsilon; keys play no part here."""
        names = [*(t.id for t in self.data.teachers), AGGREGATOR, KEY_HOLDER, STUDENT]
        # From 16 up: the lowest encodings are points that an agreement refuses.
        keys = {name: f"{number:064x}" for number, name in enumerate(names, start=16)}
        most = max(len(teacher.labels) for teacher in self.data.teachers)
        options = DemoOptions(seed=self.seed, epsilon=epsilon, records=most)
        return demo_agreement(options, self.data, self.encoder, keys)

    def signal(self, teacher: TeacherData, agreement: Agreement) -> Signal:
        """Return a teacher's signals under fresh noise."""
        plan = noise_plan(agreement, teacher.id)
        noisy, _ = read_private(
            teacher.images,
            teacher.labels,
            encoder=self.encoder,
            agreement=agreement,
            teacher=teacher.id,
            noise=draw_noise(SystemNoise(), plan.shape, plan.event.noise_scale),
        )
        return derive_signal(noisy, agreement)

    def round(self, epsilon: float) -> Round:
        """Return the signals, scores and members of one round under fresh noise."""
        agreement = self.agreement(epsilon)
        signals = {t.id: self.signal(t, agreement) for t in self.data.teachers}
        bits, bound = agreement.saliency.bits, agreement.saliency.query_bound
        query = quantise(self.workshop.query(saliency_scale(agreement)), bound, bits)
        unit = score_unit(agreement)
        scores = {name: int(one.saliency @ query) * unit for name, one in signals.items()}
        selection = agreement.selection
        members = choose(scores, select=selection.select, threshold=selection.threshold)
        return Round(agreement, signals, scores, members)

    def build(self, done: Round) -> None:
        """Build the student in the workshop from the sum of the members' signals."""
        total = int_array(np.sum([done.signals[name].features for name in done.members], axis=0))
        self.workshop.build(ReleasedSum(total, done.members), done.agreement)
