"""A small network of the usual kind, trained without privacy.

For who has records and no model of their own to bring: the command line's teachers of the route
encryption-only; and the student's own network whose attribution maps it compares with theirs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.network import raw_tensor
from secure_fedsa.models.records import RecordSchema

_CHANNELS = (16, 32, 64)
_WIDTH, _CELLS, _BATCH, _RATE, _DECAY = 64, 3, 128, 0.004, 0.1


class PlainNetwork(nn.Module):
    """Three convolutions and a hidden layer for images, two hidden layers for tables.

    Args:
        schema: The form of a record.
        classes: Number of logits.
        generator: Draws the first weights.
    """

    def __init__(self, schema: RecordSchema, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if schema.kind == "image":
            before = schema.shape[2] if len(schema.shape) == 3 else 1
            for number, channels in enumerate(_CHANNELS):
                layers += [_convolution(before, channels, generator), nn.ReLU()]
                layers += [nn.MaxPool2d(2, ceil_mode=True)] if number < 2 else []
                before = channels
            layers += [nn.AdaptiveAvgPool2d(_CELLS), nn.Flatten()]
            before *= _CELLS**2
        else:
            before = 2 * _WIDTH
            layers += [_linear(schema.shape[0], before, generator), nn.ReLU()]
        layers += [_linear(before, _WIDTH, generator), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.head = _linear(_WIDTH, classes, generator)
        nn.init.zeros_(self.head.weight)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return logits (n, C) for inputs as :func:`train_plain` prepares them."""
        return torch.as_tensor(self.head(self.body(values)))


def train_plain(
    records: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    classes: int,
    *,
    schema: RecordSchema,
    seed: int,
    purpose: str,
    epochs: int = 6,
    steps: int = 300,
) -> TeacherAdapter:
    """Train a network on records WITHOUT differential privacy, and return it to be asked.

    Args:
        records: Raw, shape (n, ...); n is at least 1.
        labels: int64 (n,); records with labels outside 0 to C - 1 are left out.
        classes: C.
        schema: The form of a record.
        seed: Public seed.
        purpose: Name of this training, so that trainings do not share randomness.
        epochs: Passes over the records.
        steps: Least number of steps.
    """
    generator = training_generator(seed, purpose)
    network = PlainNetwork(schema, classes, generator)
    raw = _inputs(schema, records)
    goals = torch.from_numpy(np.asarray(labels, dtype=np.int64))
    usable = (goals >= 0) & (goals < classes) & raw.flatten(1).isfinite().all(dim=1)
    raw, goals = raw[usable], goals[usable]
    axes = tuple(range(raw.dim())) if schema.kind == "image" else (0,)
    mean = raw.mean(dim=axes, keepdim=True)
    scale = raw.std(dim=axes, keepdim=True, correction=0).clamp_min(1e-6)

    def prepare(given: npt.NDArray[Any]) -> torch.Tensor:
        return ((_inputs(schema, given) - mean) / scale).clamp(-8, 8)

    values = ((raw - mean) / scale).clamp(-8, 8)
    batch = min(_BATCH, max(1, len(values)))
    per_epoch = max(1, len(values) // batch)
    total = max(steps, epochs * per_epoch) if len(values) else 0
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=_RATE, total_steps=max(1, total), pct_start=0.25
    )
    order = torch.empty(0, dtype=torch.int64)
    for step in range(total):
        at = step % per_epoch
        if at == 0:
            order = torch.randperm(len(values), generator=generator)
        chosen = order[at * batch : (at + 1) * batch]
        loss = functional.cross_entropy(network(values[chosen]), goals[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval()
    return TeacherAdapter(network, prepare=prepare)


def _inputs(schema: RecordSchema, records: npt.NDArray[Any]) -> torch.Tensor:
    raw = raw_tensor(schema, records)
    if schema.kind != "image":
        return raw
    return raw.unsqueeze(1) if raw.dim() == 3 else raw.movedim(3, 1).contiguous()


def _convolution(inputs: int, outputs: int, generator: torch.Generator) -> nn.Conv2d:
    layer: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inputs, outputs, 3, padding=1
    )
    _start(layer, generator)
    return layer


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, inputs, outputs
    )
    _start(layer, generator)
    return layer


def _start(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
