"""What the student would be without the teachers, and (simulation only) without privacy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.engines.student import StudentWorkshop
from secure_fedsa.entropy import IntArray
from secure_fedsa.models.amalgamation import AmalgamatedModel, StudentData, without_teachers
from secure_fedsa.models.encoder import Encoding, PublicEncoder
from secure_fedsa.models.scatter import between_scatter, triangle_size, upper_triangle
from secure_fedsa.models.students import from_scratch, self_trained, student_architecture
from secure_fedsa.models.training import Student
from secure_fedsa.roles.noisy_release import noise_plan, read_private
from secure_fedsa.signals import FloatArray, Noise, NoisySummary, int_array


class RememberingEncoder(PublicEncoder):
    """The demo's encoder: keeps what it encoded, so that the simulation need not do it again.

    A real teacher has no use for it, and its records would stay in memory longer.
    """

    def encode(self, records: npt.NDArray[Any], *, threads: int = 1) -> Encoding:
        """Return the encoding of an array, computed once for each array object."""
        kept: dict[int, tuple[npt.NDArray[Any], Encoding]] = self.__dict__.setdefault("_kept", {})
        if id(records) not in kept:
            kept[id(records)] = (records, super().encode(records, threads=threads))
        return kept[id(records)][1]


class Exam:
    """The test records, encoded once for every classifier on the public encoder.

    Args:
        data: Holds the test records and labels.
        encoder: The public encoder.
    """

    def __init__(self, data: DemoData, encoder: PublicEncoder) -> None:
        self.records = data.test_images
        self.labels = data.test_labels
        self._encoded: FloatArray = encoder.encode_clipped(data.test_images)[0]

    def of_head(self, model: AmalgamatedModel) -> float:
        """Return the test accuracy of a classifier on the public encoder."""
        return self._share(model.log_probabilities_of(self._encoded).argmax(axis=1))

    def of_network(self, network: Student) -> float:
        """Return the test accuracy of a network on raw records."""
        return self._share(network.predict(self.records))

    def _share(self, predicted: IntArray) -> float:
        return float(np.mean(predicted == self.labels))


class Baselines:
    """Networks without teachers, trained on the second core while the run goes on.

    Args:
        data: The student's own data and the test records.
        workshop: The student's task and encoder.
    """

    def __init__(self, data: DemoData, workshop: StudentWorkshop) -> None:
        pool = ThreadPoolExecutor(1)
        self._training = pool.submit(_without_teachers, data, workshop)
        pool.shutdown(wait=False)

    def accuracies(self, exam: Exam) -> dict[str, float]:
        """Wait for the networks and return their test accuracies."""
        scratch, guided = self._training.result()
        return {"scratch": exam.of_network(scratch), "self_training": exam.of_network(guided)}


def _without_teachers(data: DemoData, workshop: StudentWorkshop) -> tuple[Student, Student]:
    torch.set_num_threads(1)  # counts for the calling thread only
    task, seed = workshop.task, workshop.seed
    architecture = student_architecture(workshop.encoder, len(data.class_names))
    scratch = from_scratch(architecture, task.records, task.labels, seed=seed)
    return scratch, self_trained(scratch, task.records, task.labels, task.probes, seed=seed)


def compare(
    workshop: StudentWorkshop, exam: Exam, baselines: Baselines | None
) -> dict[str, float | None]:
    """Return the test accuracy of the student and of what it would be without teachers.

    Without ``baselines`` these are None: where the student's labelled records are protected, what
    was made of them without noise is not for others to see.
    """
    model, network = workshop.load()
    own = {"student": exam.of_head(model), "student_network": exam.of_network(network)}
    if baselines is None:
        return own | dict.fromkeys(("public_encoder", "scratch", "self_training"))
    return own | without_privacy(workshop, exam, baselines)


def without_privacy(
    workshop: StudentWorkshop, exam: Exam, baselines: Baselines
) -> dict[str, float | None]:
    """Return the test accuracies without teachers, made of labelled records without noise."""
    encoder = exam.of_head(without_teachers(workshop.encoder, _with_labels(workshop)))
    return {"public_encoder": encoder, **baselines.accuracies(exam)}


def _with_labels(workshop: StudentWorkshop) -> StudentData:
    """Return the student's data with its labelled records, protected or not."""
    task, data = workshop.task, workshop.data
    if workshop.labels is None:
        return data
    encoded = StudentData.encode(
        workshop.encoder, task.records, task.labels, task.probes[:0], classes=data.classes
    )
    return replace(encoded, probes=data.probes)


def simulate_without_noise(
    data: DemoData,
    workshop: StudentWorkshop,
    agreement: Agreement,
    members: tuple[str, ...],
    exam: Exam,
) -> dict[str, Any]:
    """Return the accuracy of the same amalgamation of raw summaries. SIMULATION ONLY.

    Raw summaries are un-noised functions of private records: only the demo, whose data are
    public, may compute this, and it never enters a run folder.
    """
    total = np.zeros(triangle_size(agreement.encoder.dimension))
    records = 0.0
    for teacher in data.teachers:
        if teacher.id not in members:
            continue
        nothing = Noise(int_array([0] * noise_plan(agreement, teacher.id).shape.noise_values), True)
        exact, _ = read_private(
            teacher.images,
            teacher.labels,
            encoder=workshop.encoder,
            agreement=agreement,
            teacher=teacher.id,
            noise=nothing,
            persons=teacher.persons,
        )
        # No noise was added, so none is to be taken off.
        scatter, count = between_scatter(
            NoisySummary(exact.sums, exact.counts, 0.0, exact.grid, exact.count_unit),
            count_floor=agreement.mechanism.count_floor,
        )
        total += upper_triangle(scatter)
        records += count
    labelled = _with_labels(workshop)
    model = workshop.amalgamate(total, records, len(members), 0.0, data=labelled)
    return {
        "simulated": True,
        "warning": "SIMULATION: computed from raw summaries, without differential privacy. "
        "Only a demo on public data may do this.",
        "accuracy": {"without_noise": exam.of_head(model)},
    }
