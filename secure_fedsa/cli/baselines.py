"""What the student would be without the teachers, and (simulation only) without privacy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.engines.student import StudentWorkshop
from secure_fedsa.entropy import IntArray
from secure_fedsa.models.amalgamation import without_teachers
from secure_fedsa.models.scatter import between_scatter, upper_triangle
from secure_fedsa.models.students import from_scratch, self_trained
from secure_fedsa.models.training import Architecture
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.roles.noisy_release import ENCODING_THREADS, noise_plan
from secure_fedsa.signals import NoisySummary


@dataclass(frozen=True, slots=True)
class Baselines:
    """Test accuracies without any teacher."""

    scratch: float
    self_training: float
    public_encoder: float


def accuracy(predicted: IntArray, labels: IntArray) -> float:
    """Return the share of right predictions."""
    return float(np.mean(predicted == labels))


def without_any_teacher(data: DemoData, workshop: StudentWorkshop) -> Baselines:
    """Train the three baselines that need no teacher, and test them."""
    task, encoder, seed = workshop.task, workshop.encoder, workshop.seed
    architecture = Architecture(encoder.schema, len(data.class_names))
    scratch = from_scratch(architecture, task.records, task.labels, seed=seed)
    guided = self_trained(scratch, task.records, task.labels, task.probes, seed=seed)
    public = without_teachers(encoder, workshop.data)
    return Baselines(
        accuracy(scratch.predict(data.test_images), data.test_labels),
        accuracy(guided.predict(data.test_images), data.test_labels),
        accuracy(public.predict(data.test_images, threads=ENCODING_THREADS), data.test_labels),
    )


def simulate_without_noise(
    data: DemoData, workshop: StudentWorkshop, agreement: Agreement, members: tuple[str, ...]
) -> dict[str, Any]:
    """Return the accuracy of the same amalgamation of raw summaries. SIMULATION ONLY.

    Raw summaries are un-noised functions of private records: only the demo, whose data are
    public, may compute this, and it never enters a run folder.
    """
    total = np.zeros(agreement.feature_values - 1)
    records = 0.0
    privacy = agreement.privacy
    for teacher in data.teachers:
        if teacher.id not in members:
            continue
        plan = noise_plan(agreement, teacher.id)
        encoding = workshop.encoder.encode(teacher.images, threads=ENCODING_THREADS)
        rows, valid = to_grid(encoding.values, privacy.clip_norm, privacy.grid)
        summary, _ = summarise(
            rows,
            teacher.labels,
            valid & encoding.valid,
            plan.shape.classes,
            plan.count_unit,
            grid=privacy.grid,
        )
        exact = NoisySummary(summary.sums, summary.counts, 0.0, privacy.grid, plan.count_unit)
        scatter, count = between_scatter(exact, count_floor=privacy.count_floor)
        total += upper_triangle(scatter)
        records += count
    model = workshop.amalgamate(total, records, len(members), 0.0)
    predicted = model.predict(data.test_images, threads=ENCODING_THREADS)
    return {
        "simulated": True,
        "warning": "SIMULATION: computed from raw summaries, without differential privacy. "
        "Only a demo on public data may do this.",
        "accuracy": {"without_noise": accuracy(predicted, data.test_labels)},
    }
