"""Training with differential privacy by Opacus (DP-SGD; Abadi et al. 2016, arXiv 1607.00133).

Every step takes each record with the public sampling rate q (Poisson sampling), clips its
gradient to the public clip norm C, adds Gaussian noise of standard deviation
``noise_multiplier`` C to the sum, and divides by a *public* denominator. Opacus computes the
per-record gradients, clips and adds the noise; three things are done around it because its own
loop does otherwise: the denominator is public (it takes the private number of records, issue
819), a step whose sample is empty is a step of noise like any other, and a record with a
non-finite gradient contributes zero instead of spoiling, visibly, the whole model.

Where the protected unit is a person, a step takes each *person* with probability q, and of each the
mean of all its records' gradients is clipped to C, as in federated averaging (McMahan, Ramage,
Talwar and Zhang 2018, arXiv 1710.06963): the same mechanism, on persons instead of records.

Gradients, their clipping and the noise are float32: the accountant's figure is for real numbers,
and what rounding adds to a clipped gradient is in no claim of ours.

Which event this is for the accountant, :mod:`secure_fedsa.privacy.events` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from secure_fedsa.errors import DataError
from secure_fedsa.models.trainable import (
    Targets,
    check_trainable,
    check_training,
    copied,
    goals_of,
    per_record_gradients,
    usable_records,
)

if TYPE_CHECKING:
    from secure_fedsa.entropy import TrainingNoise
    from secure_fedsa.models.adapters import Head


_AT_ONCE = 1024  # records whose gradients are in memory together
_PART = "_current_grad_sample"  # Opacus's, of a layer that is used more than once


@dataclass(frozen=True, slots=True)
class DpSgdSpec:
    """One training, every value of it public and fixed before records are read.

    Attributes:
        sampling_rate: Probability with which a step takes a record, or a person (q).
        steps: Number of steps (T); training never stops earlier.
        noise_multiplier: Standard deviation of the noise over ``clip_norm``.
        clip_norm: Euclidean norm to which each record's or person's gradient is scaled down.
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


def train_privately(
    module: nn.Module,
    records: torch.Tensor,
    targets: Targets,
    *,
    head: Head,
    classes: int = 0,
    usable: npt.NDArray[np.bool_] | None = None,
    persons: npt.NDArray[Any] | None = None,
    spec: DpSgdSpec,
    noise: TrainingNoise,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Set a module's parameters to those of a training by DP-SGD.

    A copy is trained: whatever it may keep beside its parameters goes with it.

    Args:
        module: Its start is public; whoever calls this answers for that (see
            :func:`~secure_fedsa.models.trainable.initialise`, which leaves nothing of an earlier
            training).
        records: As the module takes them, shape (n, ...); n is private and may be 0.
        targets: Classes, int64 (n,); labels (n, k) of 0 and 1; or values (n,) or (n, k).
        head: The loss.
        classes: Public number of classes, for ``classification``; a record of any other label
            contributes zero, as one with a non-finite value does.
        usable: bool (n,), False for records that contribute zero for another reason.
        persons: Whose each record is, shape (n,), if the unit is a person; a record alone if None.
        spec: The training.
        noise: Source of noise and of the secret samples.
        progress: Called with (steps done, steps) now and then.

    Raises:
        DataError: Records and targets of different numbers; records that no module could take.
        UsageError: A module that cannot be trained so (:mod:`secure_fedsa.models.trainable`).
    """
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    if len(records) != len(targets):
        raise DataError(f"{len(records)} records, but {len(targets)} targets.")
    check_trainable(module)
    check_training(module, records, targets, head=head, classes=classes)
    goals, _ = goals_of(targets, head, classes=classes)
    sound = usable_records(records, targets, usable, head=head, classes=classes)
    inner = copied(module).train()
    watched = GradSampleModule(inner, loss_reduction="sum")
    weights = [p for p in inner.parameters() if p.requires_grad]
    owners = _numbered(persons, len(records))
    units = int(owners.max()) + 1 if len(owners) else 0
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
        # In float64: a coarser draw would take units more often than the event says.
        drawn = torch.rand(units, generator=generator, dtype=torch.float64)
        chosen = (drawn < spec.sampling_rate)[owners] & sound
        optimiser.generator = generator
        *parts, last = _parts(chosen, owners, whole_units=persons is not None)
        for part in (*parts, last):
            optimiser.zero_grad(set_to_none=True)
            _record_gradients(watched, weights, records[part], goals[part], head)
            if persons is not None:
                _mean_of_each(weights, owners[part])
            optimiser.signal_skip_step(do_skip=part is not last)  # clipped and summed; no noise yet
            optimiser.step()
        if step >= first_averaged:
            for total, parameter in zip(mean, weights, strict=True):
                total.add_(parameter.detach(), alpha=1 / (spec.steps - first_averaged))
        if progress and (step + 1) % 50 == 0:
            progress(step + 1, spec.steps)
    own = (p for p in module.parameters() if p.requires_grad)
    with torch.no_grad():
        for total, parameter in zip(mean, own, strict=True):
            parameter.copy_(total)
    module.eval()


def _record_gradients(
    watched: nn.Module,
    weights: list[nn.Parameter],
    records: torch.Tensor,
    goals: torch.Tensor,
    head: Head,
) -> None:
    """Leave each record's gradient in ``grad_sample``, zeros for records without a finite one.

    A record that the module cannot take (an unknown category, say) has none either: whether one
    is there must not show.
    """
    if not len(records):
        for parameter in weights:
            parameter.grad_sample = torch.zeros(0, *parameter.shape)  # type: ignore[attr-defined]
        return
    try:
        per_record_gradients(watched, records, goals, head)
    except Exception:  # noqa: BLE001 - a caller's module on private records: none of it may show
        _one_by_one(watched, weights, records, goals, head)
    _drop_what_is_not_finite(weights)


def _drop_what_is_not_finite(weights: list[nn.Parameter]) -> None:
    """Set the gradient of a record, or of a person, to zero if any value of it is not finite."""
    finite = torch.stack(
        [p.grad_sample.flatten(1).isfinite().all(dim=1) for p in weights]  # type: ignore[attr-defined]
    ).all(dim=0)
    if not finite.all():
        for parameter in weights:
            parameter.grad_sample[~finite] = 0.0  # type: ignore[attr-defined]


def _numbered(persons: npt.NDArray[Any] | None, records: int) -> torch.Tensor:
    """Return the number of each record's unit, int64 (n,): of its person, or its own."""
    if persons is None:
        return torch.arange(records)
    _, numbers = np.unique(persons, return_inverse=True)
    return torch.from_numpy(numbers.astype(np.int64))


def _parts(
    chosen: torch.Tensor, owners: torch.Tensor, *, whole_units: bool
) -> tuple[torch.Tensor, ...]:
    """Return the places of a sample's records in parts, at least one.

    So the memory of a step does not grow with its sample: a part has at most ``_AT_ONCE`` records,
    or those of one person, of whom at most ``max_records`` count. A unit's records stay together.
    """
    places = torch.nonzero(chosen).flatten()
    if not whole_units:
        return torch.split(places, _AT_ONCE)
    places = places[torch.argsort(owners[places], stable=True)]
    _, counts = torch.unique_consecutive(owners[places], return_counts=True)
    sizes = [0]
    for count in counts.tolist():
        if sizes[-1] and sizes[-1] + count > _AT_ONCE:
            sizes.append(0)
        sizes[-1] += count
    return torch.split(places, sizes)


def _mean_of_each(weights: list[nn.Parameter], owners: torch.Tensor) -> None:
    """Replace the gradients of a step's records by the mean of each person's."""
    present, places, counts = torch.unique(owners, return_inverse=True, return_counts=True)
    for parameter in weights:
        each = parameter.grad_sample  # type: ignore[attr-defined]
        shares = each / counts[places].reshape(-1, *[1] * (each.dim() - 1))
        empty = torch.zeros(len(present), *each.shape[1:], dtype=each.dtype)
        parameter.grad_sample = empty.index_add_(0, places, shares)  # type: ignore[attr-defined]
    _drop_what_is_not_finite(weights)  # a mean of the largest numbers can round to infinity


def _one_by_one(
    watched: nn.Module,
    weights: list[nn.Parameter],
    records: torch.Tensor,
    goals: torch.Tensor,
    head: Head,
) -> None:
    """Compute the gradients of a sample in which some record stops the module."""
    found: list[list[torch.Tensor]] = [[] for _ in weights]
    for at in range(len(records)):
        _forget(watched, weights)
        try:
            per_record_gradients(watched, records[at : at + 1], goals[at : at + 1], head)
        except Exception:  # noqa: BLE001 - likewise, of this record
            _forget(watched, weights)
        for gradients, parameter in zip(found, weights, strict=True):
            own = getattr(parameter, "grad_sample", None)
            gradients.append(torch.zeros(1, *parameter.shape) if own is None else own.detach())
    _forget(watched, weights)
    for gradients, parameter in zip(found, weights, strict=True):
        parameter.grad_sample = torch.cat(gradients)  # type: ignore[attr-defined]


def _forget(watched: nn.Module, weights: list[nn.Parameter]) -> None:
    """Drop what Opacus keeps of a batch, and its count of layers that one cut off left open.

    With that count left, gradients of the records after it would not be taken.
    """
    for layer in watched.modules():
        kept: list[torch.Tensor] = vars(layer).get("activations", [])
        kept.clear()
    for parameter in weights:
        parameter.grad = None
        parameter.grad_sample = None  # type: ignore[attr-defined]
        parameter._forward_counter = 0  # type: ignore[attr-defined]  # noqa: SLF001 - Opacus's
        if hasattr(parameter, _PART):
            delattr(parameter, _PART)
