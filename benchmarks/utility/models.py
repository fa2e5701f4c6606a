"""secure-fedsa with teachers that are models: sketches and Gram matrices of what they say.

Selection, clipping, integers and sum are those of a run of the route encryption-only; transport
and encryption return what was put in, so they are left out. The models are networks and estimators
of six kinds, trained without privacy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from torch import nn

from benchmarks.baselines.job import Job, Outcome, tensors_of
from benchmarks.baselines.networks import Network, Shape
from benchmarks.baselines.teachers import TEACHER_DECAY, TEACHER_RATE
from benchmarks.baselines.training import Training, train_classifier
from secure_fedsa.cli.baselines import Exam, RememberingEncoder
from secure_fedsa.cli.drafting import SELECT
from secure_fedsa.encryption.parameters import BfvParameters, check_headroom
from secure_fedsa.entropy import secret_projection, training_generator
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.amalgamation import StudentData, amalgamate
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.models.model_signals import (
    FeatureForm,
    ModelSignalSpec,
    alignment_saliency,
    answers_of,
    model_features,
    release_of,
)
from secure_fedsa.models.saliency import SaliencyScale, quantise, student_query
from secure_fedsa.selection import choose

FloatArray = npt.NDArray[np.float64]
CNNS: tuple[Shape, ...] = ("plain", "wide", "residual")
Adapters = dict[str, TeacherAdapter]

EPOCHS = 6  # of a teacher's own model
BITS, BOUND = 16, 2**24
WIDTH, GRAM_PROBES, DIMENSION = 128, 1000, 512
NETWORK_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, repr=False)
class Bench:
    """The student's side: public encoder, its own data, the test."""

    encoder: PublicEncoder
    student: StudentData
    exam: Exam


def run_sketch(job: Job) -> Outcome:
    """Amalgamate models of six kinds by the sum of their secret sketches. No privacy."""
    return _amalgamate(job, "sketch", _any_models(job), _bench(job, DIMENSION), NETWORK_THRESHOLD)


def run_gram(job: Job) -> Outcome:
    """Amalgamate the same models by the sum of their Gram matrices. No privacy."""
    return _amalgamate(job, "gram", _any_models(job), _bench(job, DIMENSION), NETWORK_THRESHOLD)


def _bench(job: Job, dimension: int) -> Bench:
    def make() -> Bench:
        data = job.data
        encoder = RememberingEncoder.fit(data.probes, EncoderSpec(dimension=dimension))
        student = StudentData.encode(
            encoder, data.images, data.labels, data.probes, classes=len(data.class_names)
        )
        return Bench(encoder, student, Exam(data, encoder))

    return job.shared.once(f"encoder of width {dimension}", make)


def _any_models(job: Job) -> Adapters:
    return job.shared.once("teachers of six kinds", lambda: _train_any(job))


def _train_any(job: Job) -> Adapters:
    """Train teachers of six kinds in turn: three CNNs, an MLP, boosted trees, a linear model."""
    kinds: list[Callable[[Job, int], TeacherAdapter]] = [
        *(lambda job, index, shape=shape: _cnn(job, index, shape) for shape in CNNS),
        _mlp,
        _boosted,
        _linear,
    ]
    found = {}
    for index, teacher in enumerate(job.data.teachers):
        job.progress(f"{teacher.id} trains its model")
        found[teacher.id] = kinds[index % len(kinds)](job, index)
    return found


def _cnn(job: Job, index: int, shape: Any) -> TeacherAdapter:
    task, teacher = tensors_of(job), job.data.teachers[index]
    generator = training_generator(job.seed, f"{shape} network of {teacher.id}")
    network = Network(task.inputs, len(teacher.task), generator, shape=shape)
    training = Training(epochs=EPOCHS, steps=100, rate=TEACHER_RATE, decay=TEACHER_DECAY)
    train_classifier(network, *task.teachers[index], training, generator)
    return TeacherAdapter(network, prepare=task.inputs.tensor)


class _Flat(nn.Module):
    """A multi-layer perceptron on all pixels."""

    def __init__(self, inputs: int, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for begin, end in ((inputs, 256), (256, 64), (64, classes)):
            line: nn.Linear = nn.utils.skip_init(nn.Linear, begin, end)  # type: ignore[no-untyped-call]
            nn.init.kaiming_normal_(line.weight, generator=generator)
            nn.init.zeros_(line.bias)
            layers += [line, nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.layers(values))


def _mlp(job: Job, index: int) -> TeacherAdapter:
    task, teacher = tensors_of(job), job.data.teachers[index]
    values, labels = task.teachers[index]
    generator = training_generator(job.seed, f"perceptron of {teacher.id}")
    network = _Flat(values[0].numel(), len(teacher.task), generator)
    training = Training(epochs=EPOCHS, steps=100, rate=0.002, decay=0.1)
    train_classifier(network, values, labels, training, generator, shift=0)
    return TeacherAdapter(network, prepare=task.inputs.tensor)


def _rows(job: Job) -> Callable[[npt.NDArray[Any]], FloatArray]:
    """Return what turns records into rows for an estimator: images at half their size."""
    inputs = tensors_of(job).inputs

    def rows(records: npt.NDArray[Any]) -> FloatArray:
        values = inputs.tensor(records)
        if values.dim() == 4:
            values = nn.functional.avg_pool2d(values, 2)
        return np.asarray(values.flatten(1).numpy(), dtype=np.float64)

    return rows


def _boosted(job: Job, index: int) -> TeacherAdapter:
    teacher, rows = job.data.teachers[index], _rows(job)
    model = HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=15, random_state=job.seed)
    model.fit(rows(teacher.images), teacher.labels)
    return TeacherAdapter(model, prepare=rows)


def _linear(job: Job, index: int) -> TeacherAdapter:
    teacher, rows = job.data.teachers[index], _rows(job)
    model = LogisticRegression(C=0.02, max_iter=200).fit(rows(teacher.images), teacher.labels)
    return TeacherAdapter(model, features=lambda m, x: m.decision_function(x), prepare=rows)


def _amalgamate(
    job: Job,
    form: FeatureForm,
    adapters: Adapters,
    bench: Bench,
    threshold: float,
) -> Outcome:
    """Select by kernel alignment, sum the members' integers, amalgamate, and test."""
    scale, probes = SaliencyScale.of(bench.encoder), job.data.probes
    encoded, student = bench.student.probes, bench.student
    query = quantise(
        student_query(student.labelled, student.labels, scale), scale.query_bound, BITS
    )
    unit = scale.signal_bound * scale.query_bound / (2 ** (BITS - 1) - 1) ** 2
    scores: dict[str, float | None] = {}
    for name, adapter in adapters.items():
        vector = alignment_saliency(adapter.outputs(probes), encoded, scale)
        scores[name] = int(quantise(vector, scale.signal_bound, BITS) @ query) * unit
    members = choose(scores, select=SELECT, threshold=threshold)
    members = members or choose(scores, select=3, threshold=-np.inf)  # a bench needs a student
    count = min(GRAM_PROBES, len(probes)) if form == "gram" else len(probes)
    spec = ModelSignalSpec(form, count, bench.encoder.dimension, WIDTH if form == "sketch" else 0)
    total = np.zeros(spec.values, dtype=np.int64)
    for name in members:
        answers = answers_of(adapters[name], probes[:count])
        projection = secret_projection(answers.shape[1], WIDTH) if spec.width else None
        values = model_features(spec, answers, encoded[:count], projection)
        total += np.trunc(values / spec.largest * BOUND).astype(np.int64)
    summed = np.asarray(total * (spec.largest / BOUND), dtype=np.float64)
    release = release_of(spec, summed, encoded[:count], len(members))
    model = amalgamate(release, bench.encoder, student)
    headroom = check_headroom(
        BfvParameters(), parties=len(members), feature_bound=BOUND, values=spec.values
    )
    return Outcome(bench.exam.of_head(model), headroom.payload_bytes)
