"""The routes whose teachers are models: from a model to a teacher's two signals.

:func:`model_to_ask` is the one place where private training reads records; the engine calls it
after the charge is durable. What a model trained so then says about public probes is
post-processing. In the route encryption-only, and in private-training with a stated training, the
model was trained before: nothing here protects its records, and what is claimed of them is the
institution's word at most.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from secure_fedsa.agreement import Agreement
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.attribution import attribution_saliency
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from secure_fedsa.models.model_signals import (
    ModelSignalSpec,
    alignment_saliency,
    answers_of,
    model_features,
)
from secure_fedsa.models.saliency import quantise
from secure_fedsa.models.teachers import Brought, PrivateData, PrivateModel, TrainedModel
from secure_fedsa.models.trainable import copied, initialise, usable_records
from secure_fedsa.privacy.contributions import first_records, persons_missing
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
    probes: npt.NDArray[Any],
) -> tuple[ModelToAsk, str]:
    """Return a teacher's model, trained privately now unless it was trained before.

    A training that fails for whatever reason after the checks of before is done again without
    records: the model is noise then, and nobody sees more than that.

    Args:
        brought: Records to train a linear classifier of the public encoding on, a module to
            train, or a model.
        agreement: The agreement.
        teacher: Whose model it is.
        encoder: The public encoder.
        noise: Source of the training's noise and samples.
        probes: Public records; only their form counts.

    Returns:
        The model, and what its own operator should know: empty, or the kind of failure.

    Raises:
        DataError: If the unit is a person and the records come without ids.
    """
    if isinstance(brought, TrainedModel):
        return ModelToAsk(brought.adapter), ""
    if agreement.promise.unit == "person" and brought.persons is None:
        raise persons_missing(teacher)
    classes, spec = len(agreement.parties[teacher].classes), dp_sgd_spec(agreement)

    def train(private: PrivateModel, module: nn.Module, form: torch.Tensor, *, empty: bool) -> None:
        records, usable = form[:0], np.zeros(0, dtype=np.bool_)
        persons = private.persons if agreement.promise.unit == "person" else None
        if not empty:
            records, usable = prepared(adapter_of(private), private.records, form)
            if persons is not None:
                sound = usable_records(
                    records, private.targets, usable, head=private.head, classes=classes
                )
                usable = first_records(persons, sound.numpy(), agreement.promise.max_records)
        train_privately(
            module,
            records,
            private.targets[: len(records)],
            head=private.head,
            classes=classes,
            usable=usable,
            persons=None if persons is None else persons[: len(records)],
            spec=spec,
            noise=noise,
        )

    failure = ""
    for empty in (False, True):
        private, on_encoding = _started(brought, agreement, encoder, classes)
        asked = encoder.encode_clipped(probes[:1])[0] if on_encoding else probes[:1]
        try:
            if on_encoding and not empty:
                private = _encoded(private, encoder)
            train(private, private.module, adapter_of(private).tensor(asked), empty=empty)
        except Exception as error:
            if empty:
                raise  # not of the records, then
            failure = type(error).__name__
        else:
            return ModelToAsk(adapter_of(private), on_encoding), failure
    raise AssertionError


def _started(
    brought: PrivateData | PrivateModel, agreement: Agreement, encoder: PublicEncoder, classes: int
) -> tuple[PrivateModel, bool]:
    """Return what is trained, with a module that starts anew; and whether it takes encodings."""
    if isinstance(brought, PrivateData):
        line = head_on_encoding(encoder.dimension, classes)
        return (
            PrivateModel(
                line,
                brought.records,
                brought.labels,
                features=lambda model, rows: model(rows),
                prepare=_rows,
                persons=brought.persons,
            ),
            True,
        )
    assert agreement.training is not None
    module = copied(brought.module)
    initialise(module, seed=agreement.training.seed)
    return replace(brought, module=module), False


def _encoded(private: PrivateModel, encoder: PublicEncoder) -> PrivateModel:
    """Return the same training on encoded records; one that the encoder refuses has no label."""
    values, valid = encoder.encode_clipped(private.records)
    return replace(private, records=values, targets=np.where(valid, private.targets, -1))


def prepared(
    adapter: TeacherAdapter, records: npt.NDArray[Any], form: torch.Tensor
) -> tuple[torch.Tensor, npt.NDArray[np.bool_]]:
    """Return records as a module takes them, and which of them it can take.

    Args:
        adapter: Has the preparation.
        records: Private, shape (n, ...).
        form: A public record, prepared: every record has to come out like it.

    Returns:
        (n, ...) like ``form``, zeros for a record that cannot be prepared; bool (n,).
    """

    def one(part: npt.NDArray[Any]) -> torch.Tensor | None:
        try:
            found = adapter.tensor(part)
        except Exception:  # noqa: BLE001 - a caller's function on one record: it counts as unusable
            return None
        same = found.shape == (len(part), *form.shape[1:]) and found.dtype == form.dtype
        return found if same else None

    whole = one(records)
    if whole is not None:
        return whole, np.ones(len(records), dtype=np.bool_)
    alone = [one(records[at : at + 1]) for at in range(len(records))]
    nothing = torch.zeros_like(form[:1])
    rows = [nothing if row is None else row for row in alone]
    usable = np.array([row is not None for row in alone], dtype=np.bool_)
    return torch.cat(rows) if rows else form[:0], usable


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
