"""Training with differential privacy by Opacus (DP-SGD; Abadi et al. 2016, arXiv 1607.00133).

Every step takes each record with the public sampling rate q (Poisson sampling), clips its
gradient to the public clip norm C, adds Gaussian noise of standard deviation
``noise_multiplier`` C to the sum, and divides by a *public* denominator. Opacus computes the
per-record gradients, clips and adds the noise; three things are done around it because its own
loop does otherwise: the denominator is public (it takes the private number of records, issue
819), a step whose sample is empty is a step of noise like any other, and a record with a
non-finite gradient contributes zero instead of spoiling, visibly, the whole model.

Gradients, their clipping and the noise are float32: the accountant's figure is for real numbers,
and what rounding adds to a clipped gradient is in no claim of ours.

Which event this is for the accountant, :mod:`secure_fedsa.privacy.events` says.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import DataError, UsageError

if TYPE_CHECKING:
    from secure_fedsa.entropy import TrainingNoise
    from secure_fedsa.models.adapters import Head

Targets = npt.NDArray[Any]

_STATEFUL = (
    nn.modules.batchnorm._BatchNorm,  # noqa: SLF001 - the one class that all of them have
    nn.SyncBatchNorm,
)


@dataclass(frozen=True, slots=True)
class DpSgdSpec:
    """One training, every value of it public and fixed before records are read.

    Attributes:
        sampling_rate: Probability with which a step takes a record (q).
        steps: Number of steps (T); training never stops earlier.
        noise_multiplier: Standard deviation of the noise over ``clip_norm``.
        clip_norm: Euclidean norm to which each record's gradient is scaled down.
        denominator: What the noisy sum is divided by; the expected size of a sample.
        learning_rate: Of the optimiser, which sees noisy gradients only.
        momentum: Of plain gradient steps; 0 for none.
        averaged: Share of the last steps over which the weights are averaged; 0 for the last.
        optimiser: Plain gradient steps, or Adam (Kingma and Ba 2015).
    """

    sampling_rate: float
    steps: int
    noise_multiplier: float
    clip_norm: float
    denominator: float
    learning_rate: float
    momentum: float = 0.9
    averaged: float = 0.5
    optimiser: Literal["sgd", "adam"] = "sgd"


def check_trainable(module: nn.Module) -> None:
    """Refuse a module whose gradient of one record could depend on another record.

    Raises:
        UsageError: Naming each layer that Opacus cannot train, and what to use instead.
    """
    from opacus.validators import ModuleValidator

    for name, layer in module.named_modules():
        if isinstance(layer, _STATEFUL):
            raise UsageError(
                f"Layer {name!r} is a {type(layer).__name__}.",
                why="It mixes the records of a batch and keeps statistics of them, so no "
                "record's share of the model can be bounded.",
                do="Use torch.nn.GroupNorm or LayerNorm in its place "
                "(opacus.validators.ModuleValidator.fix does it for a whole module).",
            )
    errors = ModuleValidator.validate(module, strict=False)
    if errors:
        raise UsageError(
            "DP-SGD cannot train this module.",
            why="; ".join(str(error) for error in errors[:3]),
            do="Use layers that Opacus supports: linear, convolution, embedding, group and layer "
            "normalisation, or its own recurrent and attention layers (opacus.layers).",
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise UsageError("This module has nothing to train: all its parameters are frozen.")


def check_separate(module: nn.Module, records: torch.Tensor) -> None:
    """Refuse a module that answers a record differently in other company.

    Args:
        module: In evaluation mode or not; asked as it is trained.
        records: Public or made up, at least three, as the module takes them.

    Raises:
        UsageError: If an answer changes when the other records are left out.
    """
    with torch.no_grad():
        whole = module(records)
        alone = torch.cat([module(record[None]) for record in records])
    if not torch.allclose(whole, alone, rtol=1e-3, atol=1e-4):
        raise UsageError(
            "This module answers a record differently when other records are beside it.",
            why="Then one record's share of the gradient cannot be bounded.",
            do="Remove dropout and whatever else mixes the records of a batch.",
        )


def check_targets(
    module: nn.Module, records: torch.Tensor, targets: Targets, *, head: Head, classes: int
) -> None:
    """Refuse targets of which a module could not learn, by their form alone.

    Args:
        module: It is asked about ``records``.
        records: Public or made up, as the module takes them.
        targets: Their values are not looked at.
        head: The loss.
        classes: Public number of classes.

    Raises:
        UsageError: If they are no numbers, or do not go with what the module returns.
    """
    kinds = "iu" if head == "classification" else "biuf"
    if targets.dtype.kind not in kinds:
        raise UsageError(
            f"Targets of {targets.dtype} are not what {head} learns from.",
            do="Give whole numbers of the teacher's own classes, or name another head."
            if head == "classification"
            else "Give numbers.",
        )
    last = np.full((len(records), *targets.shape[1:]), max(0, classes - 1), dtype=np.int64)
    goals, _ = _goals(last, head, classes=classes)
    with torch.no_grad():
        answers = module(records)
        try:
            loss_of(head, answers, goals)
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise UsageError(
                f"Targets of shape {targets.shape[1:]} a record and {classes} classes do not go "
                f"with a module that returns {tuple(answers.shape[1:])} a record.",
                do="Classification takes one logit a class and one label a record; other heads "
                "take targets of the shape of what the module returns.",
            ) from error


def initialise(module: nn.Module, *, seed: int) -> None:
    """Give every parameter a new start from a public seed, so that no training is left in it.

    He et al. (2015) for weights, zero for offsets, one for the gains of normalisation layers.

    Raises:
        UsageError: Buffers or parameters whose start is not known: they could hold a model that
            was trained without privacy.
    """
    generator = training_generator(seed, "start of private training")
    buffers = [name for name, _ in module.named_buffers()]
    if buffers:
        raise UsageError(
            f"The module has a buffer, {buffers[0]!r}.",
            why="It could hold what was learnt from private records without privacy.",
            do="Make it a constant in the code.",
        )
    for name, layer in module.named_modules():
        for which, parameter in layer.named_parameters(recurse=False):
            with torch.no_grad():
                if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
                    parameter.fill_(1.0 if which == "weight" else 0.0)
                elif which == "weight" and parameter.dim() >= 2:
                    nn.init.kaiming_normal_(parameter, generator=generator)
                elif which == "bias":
                    parameter.zero_()
                else:
                    raise UsageError(
                        f"The start of parameter {name}.{which} is not known.",
                        do="Use linear, convolution, embedding and normalisation layers.",
                    )


def loss_of(head: Head, answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each record, summed: cross entropy, or half squared error."""
    if head == "classification":
        return functional.cross_entropy(answers, targets, reduction="sum")
    if head == "multi-label":
        return functional.binary_cross_entropy_with_logits(answers, targets, reduction="sum")
    return 0.5 * ((answers - targets.reshape(answers.shape)) ** 2).sum()


def train_privately(
    module: nn.Module,
    records: torch.Tensor,
    targets: Targets,
    *,
    head: Head,
    classes: int = 0,
    spec: DpSgdSpec,
    noise: TrainingNoise,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Train a module in place.

    Args:
        module: Its start is public; whoever calls this answers for that (see
            :func:`initialise`, which leaves nothing of an earlier training).
        records: As the module takes them, shape (n, ...); n is private and may be 0.
        targets: Classes, int64 (n,); labels (n, k) of 0 and 1; or values (n,) or (n, k).
        head: The loss.
        classes: Public number of classes, for ``classification``; a record of any other label
            contributes zero, as one with a non-finite value does.
        spec: The training.
        noise: Source of noise and of the secret samples.
        progress: Called with (steps done, steps) now and then.

    Raises:
        DataError: Records and targets of different numbers.
        UsageError: A module that cannot be trained so (:func:`check_trainable`), or that mixes
            the records of a batch (:func:`check_separate`).
    """
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    if len(records) != len(targets):
        raise DataError(f"{len(records)} records, but {len(targets)} targets.")
    check_trainable(module)
    goals, usable = _goals(targets, head, classes=classes)
    usable &= records.flatten(1).isfinite().all(dim=1)
    module.train()
    check_separate(module, made_up(records))
    watched = GradSampleModule(module, loss_reduction="sum")
    weights = [p for p in module.parameters() if p.requires_grad]
    plain: torch.optim.Optimizer = (
        torch.optim.Adam(weights, lr=spec.learning_rate)
        if spec.optimiser == "adam"
        else torch.optim.SGD(weights, lr=spec.learning_rate, momentum=spec.momentum)
    )
    optimiser = DPOptimizer(
        plain,
        noise_multiplier=spec.noise_multiplier,
        max_grad_norm=spec.clip_norm,
        expected_batch_size=spec.denominator,
        secure_mode=True,  # sums several draws: Holohan and Braghin 2021, section 5.1
    )
    first_averaged = spec.steps - max(1, round(spec.averaged * spec.steps))
    mean = [torch.zeros_like(p) for p in weights]
    watched.train()
    for step in range(spec.steps):
        generator = noise.torch_generator()
        # In float64: a coarser draw would take records more often than the event says.
        drawn = torch.rand(len(records), generator=generator, dtype=torch.float64)
        chosen = drawn < spec.sampling_rate
        chosen &= usable
        optimiser.zero_grad(set_to_none=True)
        _per_record_gradients(watched, weights, records[chosen], goals[chosen], head)
        optimiser.generator = generator
        optimiser.step()
        if step >= first_averaged:
            for total, parameter in zip(mean, weights, strict=True):
                total.add_(parameter.detach(), alpha=1 / (spec.steps - first_averaged))
        if progress and (step + 1) % 50 == 0:
            progress(step + 1, spec.steps)
    with torch.no_grad():
        for total, parameter in zip(mean, weights, strict=True):
            parameter.copy_(total)
    watched.remove_hooks()
    for parameter in weights:
        for name in ("grad_sample", "summed_grad"):
            if hasattr(parameter, name):
                delattr(parameter, name)
        parameter.grad = None
    module.eval()


def made_up(records: torch.Tensor) -> torch.Tensor:
    """Return three records of the same form that are nobody's."""
    generator = training_generator(0, "made-up records")
    shape = (3, *records.shape[1:])
    if records.is_floating_point():
        return torch.rand(shape, generator=generator, dtype=records.dtype)
    return torch.randint(0, 2, shape, generator=generator, dtype=records.dtype)


def _goals(targets: Targets, head: Head, *, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the targets as tensors, and which of them can be used."""
    if head == "classification":
        goals = torch.as_tensor(np.asarray(targets, dtype=np.int64))
        usable = (goals >= 0) & (goals < classes)
        return goals.clamp(0, max(0, classes - 1)), usable
    values = torch.as_tensor(np.asarray(targets, dtype=np.float32))
    rows = values[:, None] if values.dim() == 1 else values.flatten(1)
    usable = rows.isfinite().all(dim=1)
    return torch.nan_to_num(values), usable


def _per_record_gradients(
    watched: nn.Module,
    weights: list[nn.Parameter],
    records: torch.Tensor,
    goals: torch.Tensor,
    head: Head,
) -> None:
    """Leave each record's gradient in ``grad_sample``, zeros for records without a finite one."""
    if not len(records):
        for parameter in weights:
            parameter.grad_sample = torch.zeros(0, *parameter.shape)  # type: ignore[attr-defined]
        return
    with warnings.catch_warnings():
        # The first layer's hook fires for its weights alone, as records need no gradient.
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        loss_of(head, watched(records), goals).backward()  # type: ignore[no-untyped-call]
    finite = torch.ones(len(records), dtype=torch.bool)
    for parameter in weights:
        finite &= parameter.grad_sample.flatten(1).isfinite().all(dim=1)  # type: ignore[attr-defined]
    if not finite.all():
        for parameter in weights:
            parameter.grad_sample[~finite] = 0.0  # type: ignore[attr-defined]
