"""The private routes without transport and encryption, for measurements.

The run's own code on real data under real noise: encoder, clipping, noise plan, discrete
Gaussian (or DP-SGD of linear classifiers), signals as integers, selection, sum, amalgamation,
student network. Transport and
encryption return exactly what was put in (tests/engines/test_whole_run.py), so leaving them
out changes no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from secure_fedsa.agreement import NOISY_RELEASE, Agreement, Route
from secure_fedsa.cli.baselines import Exam, RememberingEncoder
from secure_fedsa.cli.demo_agreement import DemoOptions, demo_agreement, demo_encoder_spec
from secure_fedsa.cli.splits import DemoData, TeacherData
from secure_fedsa.engines.student import StudentTask, StudentWorkshop
from secure_fedsa.entropy import SystemNoise, secret_projection
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.saliency import quantise
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.roles.model_teachers import AskedProbes, model_to_ask, signal_of_model
from secure_fedsa.roles.noisy_release import (
    derive_signal,
    noise_plan,
    read_private,
)
from secure_fedsa.roles.scores import saliency_scale, score_unit
from secure_fedsa.selection import choose
from secure_fedsa.signals import ReleasedSum, Signal, int_array
from secure_fedsa.wire.keys import IdentityKey


@dataclass(frozen=True, slots=True)
class Round:
    """One round of summaries, scores and selection.

    Attributes:
        agreement: What it ran under.
        bench: The student's side.
        signals: By teacher.
        scores: By teacher.
        members: Who was selected.
    """

    agreement: Agreement
    bench: Bench
    signals: dict[str, Signal]
    scores: dict[str, float]
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """The student's side for one public encoder.

    Attributes:
        encoder: As wide as the noise asks.
        workshop: Where the student is built.
        exam: The test records, encoded once.
    """

    encoder: PublicEncoder
    workshop: StudentWorkshop
    exam: Exam


class NoisyRelease:
    """One student and its teachers, encoded once for all epsilons of one encoder.

    Args:
        seed: Public seed; never of noise.
        data: The student, its teachers and the test records.
        folder: Where students are built.
        route: noisy-release; or private-training of linear classifiers of the encoding.
    """

    def __init__(
        self, seed: int, data: DemoData, folder: Path, *, route: Route = NOISY_RELEASE
    ) -> None:
        self.seed = seed
        self.route = route
        self.data = data
        self.folder = folder
        self._benches: dict[int, Bench] = {}

    def options(self, epsilon: float) -> DemoOptions:
        """Return the demo's options; records are the public order of magnitude."""
        most = max(len(teacher.labels) for teacher in self.data.teachers)
        return DemoOptions(seed=self.seed, epsilon=epsilon, records=most, route=self.route)

    def bench(self, epsilon: float) -> Bench:
        """Return the student's side at an epsilon."""
        data, spec = self.data, demo_encoder_spec(self.options(epsilon), self.data)
        if spec.dimension not in self._benches:
            encoder = RememberingEncoder.fit(data.probes, spec)
            task = StudentTask(data.class_names, data.images, data.labels, data.probes)
            folder = self.folder / str(spec.dimension)
            workshop = StudentWorkshop(task, encoder, folder, seed=self.seed)
            self._benches[spec.dimension] = Bench(encoder, workshop, Exam(data, encoder))
        return self._benches[spec.dimension]

    def agreement(self, epsilon: float) -> Agreement:
        """Return the demo's agreement at an epsilon; keys play no part here."""
        names = [*(t.id for t in self.data.teachers), AGGREGATOR, KEY_HOLDER, STUDENT]
        keys = {name: IdentityKey.generate().public.hex() for name in names}
        return demo_agreement(self.options(epsilon), self.data, self.bench(epsilon).encoder, keys)

    def signal(self, teacher: TeacherData, agreement: Agreement, encoder: PublicEncoder) -> Signal:
        """Return a teacher's signals under fresh noise."""
        if agreement.answers is not None:
            return self._signal_of_model(teacher, agreement, encoder)
        plan = noise_plan(agreement, teacher.id)
        noisy, _ = read_private(
            teacher.images,
            teacher.labels,
            encoder=encoder,
            agreement=agreement,
            teacher=teacher.id,
            noise=draw_noise(SystemNoise(), plan.shape, plan.event.noise_scale),
        )
        return derive_signal(noisy, agreement)

    def _signal_of_model(
        self, teacher: TeacherData, agreement: Agreement, encoder: PublicEncoder
    ) -> Signal:
        model, _ = model_to_ask(
            PrivateData(teacher.images, teacher.labels),
            agreement=agreement,
            teacher=teacher.id,
            encoder=encoder,
            noise=SystemNoise(),
            probes=self.data.probes,
        )
        probes = AskedProbes(self.data.probes, encoder.encode_clipped(self.data.probes)[0])
        assert agreement.asked.probes == len(self.data.probes)
        return signal_of_model(model, probes, agreement=agreement, project=secret_projection)

    def round(self, epsilon: float) -> Round:
        """Return the signals, scores and members of one round under fresh noise."""
        agreement, bench = self.agreement(epsilon), self.bench(epsilon)
        signals = {t.id: self.signal(t, agreement, bench.encoder) for t in self.data.teachers}
        bits, bound = agreement.saliency.bits, agreement.saliency.query_bound
        query = quantise(bench.workshop.query(saliency_scale(agreement)), bound, bits)
        unit = score_unit(agreement)
        scores = {name: int(one.saliency @ query) * unit for name, one in signals.items()}
        selection = agreement.selection
        members = choose(scores, select=selection.select, threshold=selection.threshold)
        return Round(agreement, bench, signals, scores, members)

    def build(self, done: Round) -> None:
        """Build the student in its workshop from the sum of the members' signals."""
        total = int_array(np.sum([done.signals[name].features for name in done.members], axis=0))
        done.bench.workshop.build(ReleasedSum(total, done.members), done.agreement)
