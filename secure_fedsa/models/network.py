"""The student network: small, alone on raw records, rebuilt from a plain description."""

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
from secure_fedsa.models.filters import BankSpec, membership
from secure_fedsa.models.image_features import fitting_bank, shrink_factor
from secure_fedsa.models.records import RecordSchema

if TYPE_CHECKING:
    from secure_fedsa.models.image_features import ImageFeatures

FloatArray = npt.NDArray[np.float64]
LabelArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Architecture:
    """Everything needed to rebuild a student network.

    Attributes:
        schema: Shape of a raw record.
        classes: Number of outputs.
        sizes: Sides of the filters, pixels, one entry a bank (images).
        pools: Each bank's responses are summed into pool x pool cells (images).
        filters: Filters a bank (images).
        hidden: Hidden units (tables).
    """

    schema: RecordSchema
    classes: int
    sizes: tuple[int, ...] = (6, 10)
    pools: tuple[int, ...] = (4, 3)
    filters: int = 24
    hidden: int = 128

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
                tuple(int(size) for size in description["sizes"]),
                tuple(int(pool) for pool in description["pools"]),
                int(description["filters"]),
                int(description["hidden"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "This is not the description of a student network.",
                do="Use the description that was stored beside the weights.",
            ) from error


class FilterLayer(nn.Module):
    """One bank: filters, local contrast, signed soft threshold, pooling, square root.

    In floats what :class:`~secure_fedsa.models.filters.FilterBank` does in integers.
    """

    pooling: torch.Tensor

    def __init__(
        self, spec: BankSpec, channels: int, sides: tuple[int, int], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.size, self.stride = spec.size, spec.stride
        self.taps = channels * spec.size**2
        weight = torch.empty(spec.filters, channels, spec.size, spec.size)
        self.weight = nn.Parameter(weight.normal_(0, 3.0, generator=generator))
        self.threshold = nn.Parameter(torch.full((spec.filters, 1), spec.threshold))
        rows, columns = ((side - spec.size) // spec.stride + 1 for side in sides)
        cells = (
            membership(rows, spec.pool)[:, None, :, None]
            * membership(columns, spec.pool)[:, None, :]
        )
        pooling = torch.from_numpy(cells.reshape(spec.pool**2, rows * columns).T.copy())
        self.register_buffer("pooling", pooling)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (n, 2 filters pool^2) for images (n, channels, H, W), 0..255."""
        weight = self.weight - self.weight.mean(dim=(1, 2, 3), keepdim=True)
        response = functional.conv2d(images, weight, stride=self.stride).flatten(2)
        grey = torch.cat(
            [images.sum(dim=1, keepdim=True), (images * images).sum(dim=1, keepdim=True)], dim=1
        )
        sums = functional.avg_pool2d(grey, self.size, self.stride) * self.size**2
        total, square = sums.flatten(2).unbind(dim=1)
        # The floor gives flat patches no response: a grey-level variance of 10.
        contrast = (self.taps * square - total**2).clamp_min(0) + 10.0 * self.taps**2
        response = response / contrast.sqrt().unsqueeze(1)
        signed = torch.cat([response - self.threshold, -response - self.threshold], dim=1)
        pooled = functional.relu(signed) @ self.pooling
        # The offset keeps the root's slope finite where nothing responds.
        return torch.sqrt(pooled + 1e-3).flatten(1)


class StudentNetwork(nn.Module):
    """Features of raw records, standardised, and a linear head.

    Attributes:
        mean: Of the features (tables: of the inputs), set at the start of training.
        scale: Their spread.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, architecture: Architecture, generator: torch.Generator) -> None:
        super().__init__()
        shape = architecture.schema.shape
        self.image = architecture.schema.kind == "image"
        self.banks = nn.ModuleList()
        if self.image:
            self.factor = shrink_factor(shape[0], shape[1])
            sides = (shape[0] // self.factor, shape[1] // self.factor)
            width = 0
            for size, pool in zip(architecture.sizes, architecture.pools, strict=True):
                spec = fitting_bank(BankSpec(size, architecture.filters, 2, pool, 0.5), min(sides))
                channels = shape[2] if len(shape) == 3 else 1
                self.banks.append(FilterLayer(spec, channels, sides, generator))
                width += 2 * spec.filters * spec.pool**2
            inputs = width
        else:
            inputs, width = shape[0], architecture.hidden
            self.hidden = _linear(inputs, width)
            nn.init.kaiming_normal_(self.hidden.weight, generator=generator)
            nn.init.zeros_(self.hidden.bias)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(()) if self.image else torch.ones(inputs))
        self.head = _linear(width, architecture.classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def features(self, records: torch.Tensor) -> torch.Tensor:
        """Return features (n, width), not yet standardised, for raw float32 records."""
        if not self.image:
            return records
        images = records.unsqueeze(1) if records.dim() == 3 else records.movedim(3, 1)
        if self.factor > 1:
            images = functional.avg_pool2d(images, self.factor).floor()
        return torch.cat([bank(images) for bank in self.banks], dim=1)

    def forward(self, records: torch.Tensor) -> torch.Tensor:
        """Return logits (n, C) for raw records as float32: pixels 0..255, or table rows."""
        values = (self.features(records) - self.mean) / self.scale
        if not self.image:
            values = functional.relu(self.hidden(values.clamp(-8, 8)))
        logits: torch.Tensor = self.head(values)
        return logits

    @torch.no_grad()
    def standardise(self, records: torch.Tensor) -> None:
        """Set mean and scale from raw records."""
        values = torch.cat([self.features(block) for block in torch.split(records, 512)])
        self.mean.copy_(values.mean(dim=0))
        if self.image:
            self.scale.copy_((values - self.mean).std().clamp_min(1e-6))
        else:
            self.scale.copy_(values.std(dim=0, unbiased=False).clamp_min(1e-6))

    @torch.no_grad()
    def start_from(self, features: ImageFeatures) -> None:
        """Copy filters and thresholds of a public encoder's banks.

        Raises:
            DataError: Banks of other sizes.
        """
        for layer, bank in zip(self.banks, features.banks, strict=True):
            if not isinstance(layer, FilterLayer):
                continue
            count = len(layer.weight)
            size, channels = bank.spec.size, bank.filters.shape[0] // bank.spec.size**2
            filters = torch.from_numpy(bank.filters[:, :count].T * np.float32(bank.gain))
            if layer.weight.shape != (count, channels, size, size) or len(filters) != count:
                raise DataError("The encoder's filters do not fit this network.")
            layer.weight.copy_(filters.reshape(count, channels, size, size))
            layer.threshold.fill_(bank.spec.threshold)


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
        raw = raw_tensor(self.architecture.schema, records)
        with torch.inference_mode():
            parts = [
                functional.log_softmax(self.network(block), dim=1)
                for block in torch.split(raw, 512)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

    def predict(self, records: npt.NDArray[Any]) -> LabelArray:
        """Return the classes of raw records, int64 (n,)."""
        return np.asarray(self.log_probabilities(records).argmax(axis=1), dtype=np.int64)

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


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Make a layer without its default initialisation, which draws from a global generator."""
    layer: nn.Linear = nn.utils.skip_init(  # type: ignore[no-untyped-call]
        nn.Linear, inputs, outputs
    )
    return layer


def raw_tensor(schema: RecordSchema, records: npt.NDArray[Any]) -> torch.Tensor:
    """Return records as float32: pixels 0..255 in the schema's shape, or rows."""
    if schema.kind == "image":
        pixels, _ = schema.pixels(records)
        return torch.from_numpy(pixels.reshape(len(pixels), *schema.shape).astype(np.float32))
    rows, _ = schema.rows(records)
    return torch.from_numpy(np.clip(rows, -1e30, 1e30).astype(np.float32))
