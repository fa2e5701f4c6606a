"""The routes whose teachers are models, in the small world: agreements, models and records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa import agreement as ag
from secure_fedsa.entropy import public_generator, training_generator
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.models.model_signals import ModelSignalSpec
from secure_fedsa.models.teachers import TrainedModel
from tests.support import CLASSES, table

Form = Literal["sketch", "gram", "scatter"]
SaliencyKind = Literal["alignment", "grad-cam", "input-x-gradient"]
Shape = Callable[[ag.Agreement], ag.Agreement]
"""Makes another route's agreement of one of noisy-release."""

ASKED = 40
WIDTH_OF_SKETCH = 4
SIDE = 8
BOUND = 2**24
PROMISE = ag.Promise(
    unit="record",
    neighbours="add-remove",
    max_records=1,
    epsilon=5.0,
    delta=1e-5,
    agreement_budget=20.0,
    data_set_budget=20.0,
)
TRAINING = ag.Training(
    sampling_rate=0.5,
    steps=12,
    noise_multiplier=2.0,
    clip_norm=1.0,
    denominator=100.0,
    learning_rate=1.0,
    momentum=0.5,
    averaged=0.5,
    optimiser="sgd",
    seed=7,
)
STATED = ag.Stated(sampling_rate=0.5, steps=10, noise_multiplier=2.5)


def _answering(agreement: ag.Agreement, form: Form, saliency: SaliencyKind) -> ag.Agreement:
    width = WIDTH_OF_SKETCH if form == "sketch" else 0
    largest = ModelSignalSpec(form, ASKED, agreement.encoder.dimension, width).largest
    return replace(
        agreement,
        answers=ag.Answers(form, ASKED, width, saliency),
        features=ag.Features(BOUND, BOUND / largest),
    )


def private_training(
    form: Form = "gram",
    saliency: SaliencyKind = "alignment",
    *,
    stated: Iterable[str] = (),
    promise: ag.Promise = PROMISE,
    **training: Any,
) -> Shape:
    """Return what makes an agreement one of private-training; ``training`` changes its own."""

    def shape(agreement: ag.Agreement) -> ag.Agreement:
        parties = dict(agreement.parties)
        for name in stated:
            parties[name] = replace(parties[name], stated=STATED)
        return replace(
            _answering(agreement, form, saliency),
            route=ag.PRIVATE_TRAINING,
            parties=parties,
            privacy=promise,
            training=replace(TRAINING, **training),
        )

    return shape


def encryption_only(form: Form = "gram", saliency: SaliencyKind = "alignment") -> Shape:
    """Return what makes an agreement one of encryption-only."""

    def shape(agreement: ag.Agreement) -> ag.Agreement:
        return replace(
            _answering(agreement, form, saliency),
            route=ag.ENCRYPTION_ONLY,
            privacy=None,
            protection=replace(agreement.protection, dp=False),
        )

    return shape


def _first_stated(agreement: ag.Agreement) -> ag.Agreement:
    return private_training("sketch", stated=agreement.teachers[:1])(agreement)


ROUTES: dict[str, Shape] = {
    "private-training": private_training(),
    "private-training, one teacher's stated": _first_stated,
    "encryption-only, sketch": encryption_only("sketch"),
    "encryption-only, gram": encryption_only("gram"),
    "encryption-only, scatter": encryption_only("scatter"),
}
"""Every route whose teachers are models, and every form of an answer."""


# --- models ------------------------------------------------------------------------


def small_network(width: int = 12, outputs: int = len(CLASSES)) -> nn.Sequential:
    """Return a network of the toy tables with one hidden layer."""
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, outputs))


def deep_network() -> nn.Sequential:
    """Return another of other shape."""
    return nn.Sequential(
        nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 7), nn.Tanh(), nn.Linear(7, len(CLASSES))
    )


def image_network(channels: int = 4) -> nn.Sequential:
    """Return a small convolutional network of toy images."""
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8 * channels, len(CLASSES)),
    )


def start(module: nn.Module, seed: int) -> nn.Module:
    """Give a module weights that are the same in every process."""
    generator = training_generator(seed, "start of a toy model")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module


def learn(
    module: nn.Module,
    records: npt.NDArray[Any],
    labels: npt.NDArray[np.int64],
    *,
    seed: int = 0,
    steps: int = 60,
) -> nn.Module:
    """Train a module without any privacy, from a start of its own, and return it."""
    torch.set_num_threads(1)  # two are slower on such small batches
    start(module, seed)
    given = TeacherAdapter(module).tensor(records)
    goals = torch.from_numpy(labels)
    optimiser = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(module(given), goals).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return module


def trained_models(count: int = 4) -> dict[str, TrainedModel]:
    """Return teachers of the toy tables that agree in nothing but their subject."""
    from sklearn.linear_model import LogisticRegression

    made: list[TrainedModel] = []
    for number in range(count):
        records, labels = table(number, 200)
        if number % 3 == 0:
            module = learn(small_network(9 + number), records, labels, seed=number)
            made.append(TrainedModel(TeacherAdapter(module)))
        elif number % 3 == 1:
            module = learn(deep_network(), records, labels, seed=number)
            made.append(TrainedModel(TeacherAdapter(module, features="1")))
        else:
            made.append(
                TrainedModel(
                    TeacherAdapter(LogisticRegression().fit(records.astype(np.float64), labels))
                )
            )
    return {f"teacher-{number}": model for number, model in enumerate(made, 1)}


# --- images ------------------------------------------------------------------------


def images(seed: int, size: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return toy images (size, 8, 8): a bright bar at a place that says the class."""
    generator = public_generator(seed, "toy images")
    labels = generator.integers(0, len(CLASSES), size)
    found = generator.integers(0, 60, (size, SIDE, SIDE))
    for place, label in enumerate(labels):
        found[place, :, 1 + 2 * label : 3 + 2 * label] += 150
    return found.astype(np.uint8), labels


@lru_cache(maxsize=1)
def image_probes() -> npt.NDArray[np.uint8]:
    """Return the public images behind the image encoder."""
    return images(1000, 200)[0]


@lru_cache(maxsize=1)
def image_encoder() -> PublicEncoder:
    """Return a small public encoder of the toy images."""
    return PublicEncoder.fit(image_probes(), EncoderSpec(dimension=8))
