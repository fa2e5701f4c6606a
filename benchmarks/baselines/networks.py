"""The small networks that all baselines share: five CNN shapes for images, one MLP for tables.

Every network has the same three readings: its last feature map, its features (a vector made
from the map) and its logits. So a method that matches maps, one that concatenates features and
one that averages scores run on the same networks. None of them uses batch statistics: what a
network says about one record does not depend on the others, as differential privacy needs.

The baselines use the shape "contrast", whose first layer is made like the student's own network
(:mod:`secure_fedsa.models.network`): usual CNNs were .05 to .07 behind it on a hundred labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.models.network import raw_tensor
from secure_fedsa.models.records import RecordSchema

FloatArray = npt.NDArray[np.float64]
Shape = Literal["contrast", "narrow", "plain", "wide", "residual"]

SHAPES: tuple[Shape, ...] = ("contrast", "narrow", "plain", "wide", "residual")
"""Names of the CNN shapes; tables have one network, whatever the name."""

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Inputs:
    """How raw records become a network's inputs: public numbers, read off the probes.

    Attributes:
        schema: Shape of a raw record.
        mean: float32, of all pixels, or of each column of a table.
        scale: float32, their spread.
    """

    schema: RecordSchema
    mean: torch.Tensor
    scale: torch.Tensor

    @classmethod
    def of(cls, probes: npt.NDArray[Any]) -> Inputs:
        """Read them off the public probes."""
        schema = RecordSchema.of(probes)
        raw = raw_tensor(schema, probes)
        if schema.kind == "image":
            return cls(schema, raw.mean(), raw.std().clamp_min(1e-6))
        return cls(schema, raw.mean(dim=0), raw.std(dim=0, correction=0).clamp_min(1e-6))

    def tensor(self, records: npt.NDArray[Any]) -> torch.Tensor:
        """Return inputs, float32: (n, channels, H, W) for images, (n, columns) for tables."""
        raw = raw_tensor(self.schema, records)
        values = ((raw - self.mean) / self.scale).clamp(-8, 8)
        if self.schema.kind != "image":
            return values
        return values.unsqueeze(1) if values.dim() == 3 else values.movedim(3, 1).contiguous()


class _Contrast(nn.Module):
    """Filters of local contrast: signed responses over a threshold, pooled, their root.

    A response is divided by its patch's spread, so that bright and dark garments of one kind
    look alike.
    """

    def __init__(self, channels: int, filters: int, generator: torch.Generator) -> None:
        super().__init__()
        self.size, self.stride, self.pool = 6, 2, 2
        weight = torch.empty(filters, channels, self.size, self.size)
        self.weight = nn.Parameter(weight.normal_(0, 3.0, generator=generator))
        self.threshold = nn.Parameter(torch.full((filters, 1, 1), 0.5))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        response = functional.conv2d(images, weight, stride=self.stride)
        moments = torch.cat(
            [images.mean(dim=1, keepdim=True), images.square().mean(dim=1, keepdim=True)], dim=1
        )
        found = functional.avg_pool2d(moments, self.size, self.stride)
        mean, square = found[:, :1], found[:, 1:]
        # Inputs have unit spread; the floor gives flat patches no response.
        spread = ((square - mean.square()).clamp_min(0) + 1e-3).sqrt()
        response = response / (self.size**2 * spread)
        signed = torch.cat([response - self.threshold, -response - self.threshold], dim=1)
        pooled = functional.avg_pool2d(functional.relu(signed), self.pool)
        # The offset keeps the root's slope finite where nothing responds.
        return torch.sqrt(pooled + 1e-3)


class _Residual(nn.Module):
    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = _convolution(width, width, 3, 1, generator)
        self.second = _convolution(width, width, 3, 1, generator)
        # Starts as the identity, which trains well without normalisation (Zhang et al. 2019).
        with torch.no_grad():
            self.second.weight.zero_()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        inner: torch.Tensor = self.second(functional.relu(self.first(values)))
        return functional.relu(values + inner)


class Network(nn.Module):
    """A network with a body (to its last feature map), features and a head.

    Args:
        inputs: Its inputs.
        classes: Number of logits.
        generator: Draws its first weights.
        shape: One of :data:`SHAPES`; tables have one network only.
        neck: Whether a layer lies between the pooled map and the features; without it the
            features are the pooled map.
    """

    def __init__(
        self,
        inputs: Inputs,
        classes: int,
        generator: torch.Generator,
        *,
        shape: Shape = "contrast",
        neck: bool = True,
    ) -> None:
        super().__init__()
        schema = inputs.schema
        self.image = schema.kind == "image"
        if self.image:
            channels = schema.shape[2] if len(schema.shape) == 3 else 1
            self.body, self.channels, self.width = _BODIES[shape](channels, generator)
            self.cells = 3
        else:
            self.channels, self.width, self.cells = 128, 64, 1
            hidden = linear(schema.shape[0], self.channels, generator)
            self.body = nn.Sequential(hidden, nn.ReLU())
        pooled = self.channels * self.cells**2
        self.neck = linear(pooled, self.width, generator) if neck else None
        self.width = self.width if neck else pooled
        self.head = linear(self.width, classes, generator)
        nn.init.zeros_(self.head.weight)

    def map(self, values: torch.Tensor) -> torch.Tensor:
        """Return the last feature map, (n, channels, h, w); for tables h = w = 1."""
        found: torch.Tensor = self.body(values)
        return found if self.image else found[:, :, None, None]

    def features_of_map(self, found: torch.Tensor) -> torch.Tensor:
        """Return features (n, width) of last feature maps."""
        pooled = functional.adaptive_avg_pool2d(found, self.cells) if self.image else found
        flat = pooled.flatten(1)
        return flat if self.neck is None else functional.relu(self.neck(flat))

    def features(self, values: torch.Tensor) -> torch.Tensor:
        """Return features, (n, width)."""
        return self.features_of_map(self.map(values))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return logits, (n, classes)."""
        logits: torch.Tensor = self.head(self.features(values))
        return logits

    def with_head(self, classes: int, generator: torch.Generator) -> Network:
        """Give it a fresh head and return it."""
        self.head = linear(self.width, classes, generator)
        nn.init.zeros_(self.head.weight)
        return self


def in_blocks(
    reading: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor
) -> torch.Tensor:
    """Return a network's reading of many inputs, without gradients."""
    with torch.no_grad():
        return torch.cat([reading(block) for block in torch.split(values, _BLOCK)])


def extractor(network: Network) -> list[nn.Parameter]:
    """Return the parameters below the head."""
    neck = [] if network.neck is None else network.neck.parameters()
    return [*network.body.parameters(), *neck]


def size_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Return the bytes of tensors as they are sent."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """Return a layer whose weights come from a generator of our own, never the global one."""
    layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, inputs, outputs
    )
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer


def pointwise(inputs: int, outputs: int, generator: torch.Generator) -> nn.Conv2d:
    """Return a 1x1 convolution."""
    return _convolution(inputs, outputs, 1, 1, generator)


def _convolution(
    inputs: int, outputs: int, size: int, stride: int, generator: torch.Generator
) -> nn.Conv2d:
    layer: nn.Conv2d = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Conv2d, inputs, outputs, size, stride=stride, padding=size // 2
    )
    nn.init.kaiming_normal_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _contrast(channels: int, generator: torch.Generator) -> tuple[nn.Module, int, int]:
    body = nn.Sequential(
        _Contrast(channels, 32, generator),
        _convolution(64, 64, 3, 1, generator),
        nn.GroupNorm(4, 64),
        nn.ReLU(),
    )
    return body, 64, 128


def _narrow(channels: int, generator: torch.Generator) -> tuple[nn.Module, int, int]:
    body = nn.Sequential(
        _Contrast(channels, 12, generator),
        _convolution(24, 32, 3, 1, generator),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
    )
    return body, 32, 48


def _plain(channels: int, generator: torch.Generator) -> tuple[nn.Module, int, int]:
    body = nn.Sequential(
        _convolution(channels, 16, 5, 2, generator),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        _convolution(16, 48, 3, 2, generator),
        nn.GroupNorm(4, 48),
        nn.ReLU(),
    )
    return body, 48, 64


def _wide(channels: int, generator: torch.Generator) -> tuple[nn.Module, int, int]:
    body = nn.Sequential(
        _convolution(channels, 32, 7, 4, generator),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
        _convolution(32, 64, 3, 1, generator),
        nn.GroupNorm(4, 64),
        nn.ReLU(),
    )
    return body, 64, 96


def _residual(channels: int, generator: torch.Generator) -> tuple[nn.Module, int, int]:
    body = nn.Sequential(
        _convolution(channels, 16, 5, 2, generator),
        nn.GroupNorm(4, 16),
        nn.ReLU(),
        _convolution(16, 32, 3, 2, generator),
        nn.GroupNorm(4, 32),
        nn.ReLU(),
        _Residual(32, generator),
    )
    return body, 32, 48


_BODIES: dict[Shape, Callable[[int, torch.Generator], tuple[nn.Module, int, int]]] = {
    "contrast": _contrast,
    "narrow": _narrow,
    "plain": _plain,
    "wide": _wide,
    "residual": _residual,
}
