"""One training loop for all baselines, and averaging of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn
from torch.nn import functional

Loss = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of one training run of AdamW.

    Attributes:
        epochs: Passes over the records.
        steps: Least number of steps, so that few records do not mean little training.
        batch: Records a step.
        rate: Peak learning rate.
        decay: Weight decay.
        one_cycle: Whether the rate rises and falls over the run; else it stays, as in the
            short local runs of federated methods.
    """

    epochs: int = 1
    steps: int = 1
    batch: int = 128
    rate: float = 0.003
    decay: float = 0.02
    one_cycle: bool = True


def fit(
    parameters: Iterable[nn.Parameter],
    loss: Loss,
    count: int,
    training: Training,
    generator: torch.Generator,
) -> None:
    """Lower a loss that is given batches of record numbers.

    Args:
        parameters: What to train.
        loss: Returns the loss of a batch; is given int64 numbers below ``count``.
        count: Number of records.
        training: Settings.
        generator: Orders the records.
    """
    batch = min(training.batch, count)
    per_epoch = max(1, count // batch)
    steps = max(training.steps, training.epochs * per_epoch)
    optimiser = torch.optim.AdamW(parameters, lr=training.rate, weight_decay=training.decay)
    schedule = (
        torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=training.rate, total_steps=steps, pct_start=0.25
        )
        if training.one_cycle
        else None
    )
    order = torch.empty(0, dtype=torch.int64)
    for step in range(steps):
        at = step % per_epoch
        if at == 0:
            order = torch.randperm(count, generator=generator)
        value = loss(order[at * batch : (at + 1) * batch])
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if schedule is not None:
            schedule.step()


Module = TypeVar("Module", bound=nn.Module)


def train_classifier(
    network: Module,
    values: torch.Tensor,
    targets: torch.Tensor,
    training: Training,
    generator: torch.Generator,
    *,
    parameters: Iterable[nn.Parameter] | None = None,
    shift: int = 1,
) -> Module:
    """Train a network, or some of its parameters, by cross-entropy; return it.

    Args:
        network: The network.
        values: Inputs, (n, ...).
        targets: Labels (n,) or class probabilities (n, C).
        training: Settings.
        generator: Orders the records and moves the images.
        parameters: What to train; everything if not given.
        shift: Images move by up to so many pixels each way, as augmentation.
    """

    def loss(chosen: torch.Tensor) -> torch.Tensor:
        logits = network(moved(values[chosen], shift, generator))
        return functional.cross_entropy(logits, targets[chosen])

    fit(parameters or network.parameters(), loss, len(values), training, generator)
    return network


def moved(images: torch.Tensor, shift: int, generator: torch.Generator) -> torch.Tensor:
    """Move a batch of images by one random offset, filling with the border; leave tables."""
    if images.dim() != 4 or shift == 0:
        return images
    rows, columns = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
    height, width = images.shape[2:]
    down = torch.arange(height).sub(rows).clamp(0, height - 1)
    right = torch.arange(width).sub(columns).clamp(0, width - 1)
    return images[:, :, down][:, :, :, right]


@torch.no_grad()
def average_into(
    target: Sequence[nn.Parameter],
    copies: Sequence[Sequence[nn.Parameter]],
    weights: Sequence[float],
) -> None:
    """Set parameters to the weighted average of copies, as in McMahan et al. (2017)."""
    total = sum(weights)
    for place, parameter in enumerate(target):
        parts = [weight / total * copy[place] for copy, weight in zip(copies, weights, strict=True)]
        parameter.copy_(torch.stack(parts).sum(dim=0))
