"""The student network: a small torch model distilled from the amalgamated classifier.

The network works alone on raw records, without the encoder. Its baseline from scratch is
the same network trained on the labels only, with the same number of steps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.records import RecordSchema

if TYPE_CHECKING:
    from collections.abc import Callable

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything needed to rebuild a student network.

    Attributes:
        schema: Shape of a raw record.
        classes: Number of outputs.
        widths: Channels of the three convolutions (images) or units of the layers (tables).
    """

    schema: RecordSchema
    classes: int
    widths: tuple[int, ...] = (24, 48, 96)

    def describe(self) -> dict[str, Any]:
        """Return a plain dictionary that :meth:`restore` undoes."""
        return asdict(self)

    @classmethod
    def restore(cls, description: dict[str, Any]) -> Architecture:
        """Rebuild an architecture from :meth:`describe`, also after a trip through JSON.

        Raises:
            DataError: An entry is missing or of a wrong type.
        """
        try:
            schema = description["schema"]
            return cls(
                RecordSchema(schema["kind"], tuple(int(size) for size in schema["shape"])),
                int(description["classes"]),
                tuple(int(width) for width in description["widths"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("This is not the description of a student network.") from error


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """Public settings of a training run.

    Attributes:
        epochs: Passes over the records; a run makes at least ``steps`` steps.
        batch: Records a step.
        rate: Peak learning rate of AdamW under a one-cycle schedule.
        decay: Weight decay.
        shift: Images are moved by up to so many pixels each way, as augmentation.
        steps: Least number of steps, so that few records do not mean little training.
    """

    epochs: int = 12
    batch: int = 128
    rate: float = 0.01
    decay: float = 0.02
    shift: int = 2
    steps: int = 300


class StudentNetwork(nn.Module):
    """Standardises raw records, then three convolutions, or layers for tables, and a head."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, architecture: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        schema = architecture.schema
        image = schema.kind == "image"
        channels = (schema.shape[2] if len(schema.shape) == 3 else 1) if image else schema.shape[0]
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("scale", torch.ones(channels))
        layers: list[nn.Module] = []
        width = channels
        for index, units in enumerate(architecture.widths):
            if image:
                size, stride = (5, 2) if index == 0 else (3, 1)
                layers.append(_bare(nn.Conv2d, width, units, size, stride=stride,
                                    padding=size // 2, bias=False))
                layers.append(nn.BatchNorm2d(units))
            else:
                layers.append(_bare(nn.Linear, width, units, bias=False))
                layers.append(nn.BatchNorm1d(units))
            layers.append(nn.ReLU())
            if image and index > 0:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            width = units
        cells = 1
        if image:
            layers.append(nn.AdaptiveAvgPool2d(2))
            layers.append(nn.Flatten())
            cells = 4
        self.body = nn.Sequential(*layers)
        self.head = _bare(nn.Linear, width * cells, architecture.classes)
        self.image = image
        self.factor = max(1, min(schema.shape[:2]) // 28) if image else 1
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        """Return logits (n, C) for raw records as float32: pixels 0..255, or table rows."""
        if self.image:
            records = records.unsqueeze(1) if records.dim() == 3 else records.movedim(3, 1)
            records = (records - self.mean[:, None, None]) / self.scale[:, None, None]
            if self.factor > 1:
                records = functional.avg_pool2d(records, self.factor)
        else:
            records = ((records - self.mean) / self.scale).clamp(-8, 8)
        logits: torch.Tensor = self.head(self.body(records))
        return logits


def _bare(layer: Callable[..., nn.Module], *args: Any, **options: Any) -> Any:
    """Make a layer without its default initialisation, which draws from a global generator."""
    return nn.utils.skip_init(layer, *args, **options)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Student:
    """A trained student network.

    Attributes:
        architecture: How to rebuild it.
        network: The network, in evaluation mode.
    """

    architecture: Architecture
    network: StudentNetwork

    def log_probabilities(self, records: npt.NDArray[Any]) -> FloatArray:
        """Return float64 (n, C) for raw records, as :class:`RecordSchema` accepts them."""
        raw = _raw(self.architecture.schema, records)
        with torch.inference_mode():
            parts = [
                functional.log_softmax(self.network(block), dim=1) for block in raw.split(512)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

    def predict(self, records: npt.NDArray[Any]) -> LabelArray:
        """Return the classes of raw records, int64 (n,)."""
        return self.log_probabilities(records).argmax(axis=1).astype(np.int64)

    def to_bytes(self) -> bytes:
        """Return the weights as safetensors; the architecture travels beside them."""
        return save_tensors(
            {name: value.contiguous() for name, value in self.network.state_dict().items()}
        )

    @classmethod
    def from_bytes(cls, description: dict[str, Any], data: bytes) -> Student:
        """Rebuild a student from its description and weights.

        Raises:
            DataError: Bytes that are not the weights of such a network.
        """
        architecture = Architecture.restore(description)
        network = StudentNetwork(architecture, training_generator(0, "overwritten"))
        try:
            network.load_state_dict(load_tensors(data))
        except (SafetensorError, RuntimeError) as error:
            raise DataError(
                "These bytes are not the weights of the described network.",
                do="Use the safetensors file and the description of the same run.",
            ) from error
        network.eval()
        return cls(architecture, network)


def train(
    records: npt.NDArray[Any],
    targets: FloatArray,
    architecture: Architecture,
    *,
    seed: int,
    purpose: str,
    spec: TrainingSpec | None = None,
) -> Student:
    """Train a network on raw records and class probabilities.

    Deterministic for a seed, a machine and a number of torch threads.

    Args:
        records: Raw records, shape (n, ...).
        targets: float64 (n, C), rows summing to 1 (one-hot for labels).
        architecture: The network.
        seed: Public seed.
        purpose: Name of this training, so that trainings do not share randomness.
        spec: Settings.

    Raises:
        DataError: Shapes that do not fit, or no records.
    """
    spec = spec or TrainingSpec()
    if targets.shape != (len(records), architecture.classes) or not len(records):
        raise DataError(
            f"Targets of shape {targets.shape} for {len(records)} records and "
            f"{architecture.classes} classes.",
            do="Give one row of class probabilities per record, at least one record.",
        )
    generator = training_generator(seed, purpose)
    network = StudentNetwork(architecture, generator)
    raw = _raw(architecture.schema, records)
    flat = raw.reshape(-1, len(network.mean)) if raw.dim() != 3 else raw.reshape(-1, 1)
    network.mean.copy_(flat.mean(dim=0))
    network.scale.copy_(flat.std(dim=0, unbiased=False).clamp_min(1e-6))
    goal = torch.from_numpy(targets.astype(np.float32))
    batch = min(spec.batch, len(raw))
    per_epoch = max(1, len(raw) // batch)
    steps = max(spec.steps, spec.epochs * per_epoch)
    optimiser = torch.optim.AdamW(network.parameters(), lr=spec.rate, weight_decay=spec.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=spec.rate, total_steps=steps, pct_start=0.25
    )
    network.train()
    order = torch.randperm(len(raw), generator=generator)
    for step in range(steps):
        at = step % per_epoch
        if at == 0:
            order = torch.randperm(len(raw), generator=generator)
        chosen = order[at * batch : (at + 1) * batch]
        logits = network(_moved(raw[chosen], spec.shift, generator))
        loss = functional.cross_entropy(logits, goal[chosen])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    network.eval()
    return Student(architecture, network)


def _raw(schema: RecordSchema, records: npt.NDArray[Any]) -> torch.Tensor:
    """Return validated records as float32: pixels 0..255 in the schema's shape, or rows."""
    if schema.kind == "image":
        pixels, _ = schema.pixels(records)
        return torch.from_numpy(pixels.reshape(len(pixels), *schema.shape)).float()
    rows, _ = schema.rows(records)
    return torch.from_numpy(np.clip(rows, -1e30, 1e30).astype(np.float32))


def _moved(images: torch.Tensor, shift: int, generator: torch.Generator) -> torch.Tensor:
    """Move a batch of images by one random offset, filling with the border's pixels."""
    if images.dim() < 3 or shift == 0:
        return images
    rows, columns = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
    height, width = images.shape[1:3]
    down = torch.arange(height).sub(rows).clamp(0, height - 1)
    right = torch.arange(width).sub(columns).clamp(0, width - 1)
    return images[:, down][:, :, right]
