"""The routes whose teachers are models: from a model to a teacher's two signals.

:func:`model_to_ask` is the one place where private training reads records; the engine calls it
after the charge is durable. What a model trained so then says about public probes is
post-processing. In the route encryption-only, and in private-training with a stated training, the
model was trained before: nothing here protects its records, and what is claimed of them is the
institution's word at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from secure_fedsa.agreement import Agreement
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.attribution import attribution_saliency
from secure_fedsa.models.dp_sgd import DpSgdSpec, initialise, train_privately
from secure_fedsa.models.model_signals import (
    ModelSignalSpec,
    alignment_saliency,
    answers_of,
    model_features,
)
from secure_fedsa.models.saliency import quantise
from secure_fedsa.models.teachers import Brought, PrivateData, PrivateModel, TrainedModel
from secure_fedsa.roles.scores import saliency_scale
from secure_fedsa.signals import FloatArray, Signal, int_array

if TYPE_CHECKING:
    from secure_fedsa.entropy import TrainingNoise
    from secure_fedsa.models.encoder import PublicEncoder

Projection = Callable[[int, int], FloatArray]


@dataclass(frozen=True, slots=True, repr=False)
class AskedProbes:
    """The public probes that models are asked about.

    Attributes:
        records: Raw, shape (n, ...).
        encoded: The same under the public encoder, in clip norms, float64 (n, d).
    """

    records: npt.NDArray[Any]
    encoded: FloatArray

    @classmethod
    def of(
        cls, agreement: Agreement, probes: npt.NDArray[Any], encoder: PublicEncoder
    ) -> AskedProbes:
        """Return the first of the agreed probes, as many as the agreement says."""
        records = probes[: agreement.asked.probes]
        return cls(records, encoder.encode_clipped(records)[0])


@dataclass(frozen=True, slots=True, repr=False)
class ModelToAsk:
    """A model, and what it takes.

    Attributes:
        adapter: How to ask it.
        on_encoding: Whether it takes encoded probes instead of raw ones.
    """

    adapter: TeacherAdapter
    on_encoding: bool = False


def answer_form(agreement: Agreement) -> ModelSignalSpec:
    """Return the public form of a model's feature signal."""
    asked = agreement.asked
    return ModelSignalSpec(asked.form, asked.probes, agreement.encoder.dimension, asked.width)


def dp_sgd_spec(agreement: Agreement) -> DpSgdSpec:
    """Return the training that the agreement fixes."""
    how = agreement.training
    assert how is not None
    return DpSgdSpec(
        sampling_rate=how.sampling_rate,
        steps=how.steps,
        noise_multiplier=how.noise_multiplier,
        clip_norm=how.clip_norm,
        denominator=how.denominator,
        learning_rate=how.learning_rate,
        momentum=how.momentum,
        averaged=how.averaged,
        optimiser=how.optimiser,
    )


def model_to_ask(
    brought: Brought,
    *,
    agreement: Agreement,
    teacher: str,
    encoder: PublicEncoder,
    noise: TrainingNoise,
) -> ModelToAsk:
    """Return a teacher's model, trained privately now unless it was trained before.

    Args:
        brought: Records to train a linear classifier of the public encoding on, a module to
            train, or a model.
        agreement: The agreement.
        teacher: Whose model it is.
        encoder: The public encoder.
        noise: Source of the training's noise and samples.
    """
    if isinstance(brought, TrainedModel):
        return ModelToAsk(brought.adapter)
    assert agreement.training is not None
    classes = len(agreement.parties[teacher].classes)
    if isinstance(brought, PrivateData):
        values, valid = encoder.encode_clipped(brought.records)
        line = head_on_encoding(encoder.dimension, classes)
        private = PrivateModel(line, values, np.where(valid, brought.labels, -1))
        model = ModelToAsk(head_adapter(line), on_encoding=True)
    else:
        private = brought
        initialise(private.module, seed=agreement.training.seed)
        model = ModelToAsk(adapter_of(private))
    train_privately(
        private.module,
        model.adapter.tensor(private.records),
        private.targets,
        head=private.head,
        classes=classes,
        spec=dp_sgd_spec(agreement),
        noise=noise,
    )
    return model


def adapter_of(brought: PrivateModel) -> TeacherAdapter:
    """Return how to ask a module that is trained in the run."""
    return TeacherAdapter(
        brought.module, features=brought.features, head=brought.head, prepare=brought.prepare
    )


def head_on_encoding(dimension: int, classes: int) -> nn.Linear:
    """Return a linear classifier of the public encoding, all zeros: a public start."""
    line: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, dimension, classes
    )
    nn.init.zeros_(line.weight)
    nn.init.zeros_(line.bias)
    return line


def head_adapter(line: nn.Linear) -> TeacherAdapter:
    """Return how to ask a classifier of the encoding: its features are its logits."""
    return TeacherAdapter(line, features=lambda model, rows: model(rows), prepare=_rows)


def signal_of_model(
    model: ModelToAsk, probes: AskedProbes, *, agreement: Agreement, project: Projection
) -> Signal:
    """Return a model's two integer signals, from what it says about public probes.

    Saliency: ``saliency.values`` integers. Features: the agreed form times
    ``features.scale``, truncated toward zero and clipped to ``features.bound``.

    Args:
        model: The model.
        probes: What it is asked about.
        agreement: The agreement.
        project: Draws a secret Gaussian projection (columns, width), for a sketch; the draw is
            used once.
    """
    asked, saliency, features = agreement.asked, agreement.saliency, agreement.features
    given = probes.encoded if model.on_encoding else probes.records
    form, adapter = answer_form(agreement), model.adapter
    answers = answers_of(adapter, given)
    projection = project(answers.shape[1], form.width) if form.width else None
    values = np.trunc(model_features(form, answers, probes.encoded, projection) * features.scale)
    scale = saliency_scale(agreement)
    if asked.saliency == "alignment":
        vector = alignment_saliency(adapter.outputs(given), probes.encoded, scale)
    else:
        vector = attribution_saliency(adapter, given, asked.saliency, values=saliency.values)
    clipped = np.clip(values, -features.bound, features.bound).astype(np.int64)
    return Signal(
        int_array(quantise(vector, saliency.teacher_bound, saliency.bits)), int_array(clipped)
    )


def _rows(encoded: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(encoded, dtype=np.float32))
