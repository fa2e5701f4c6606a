"""Training of student networks: all layers by gradient steps, or the last one exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.heads import fit_logistic
from secure_fedsa.models.network import Architecture, Student, StudentNetwork, raw_tensor

if TYPE_CHECKING:
    from secure_fedsa.models.image_features import ImageFeatures

__all__ = ["Architecture", "Student", "TrainingSpec", "fit_last_layer", "train"]

FloatArray = npt.NDArray[np.float64]


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

    epochs: int = 5
    batch: int = 128
    rate: float = 0.003
    decay: float = 0.02
    shift: int = 1
    steps: int = 200


def train(
    records: npt.NDArray[Any],
    targets: FloatArray,
    architecture: Architecture,
    *,
    seed: int,
    purpose: str,
    spec: TrainingSpec | None = None,
) -> Student:
    """Train all layers on raw records and class probabilities.

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
    _check(records, targets, architecture)
    generator = training_generator(seed, purpose)
    network = StudentNetwork(architecture, generator)
    raw = raw_tensor(architecture.schema, records)
    network.standardise(raw)
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
    # The filters have moved since the start; only tables standardise their inputs.
    network.eval()
    return Student(architecture, network)


def fit_last_layer(
    records: npt.NDArray[Any],
    targets: FloatArray,
    architecture: Architecture,
    filters: ImageFeatures,
    *,
    penalty: float = 0.01,
    rounds: int = 60,
) -> Student:
    """Start from public filters and fit the last layer, a convex problem without a seed.

    Args:
        records: Raw images, shape (n, ...).
        targets: float64 (n, C), rows summing to 1.
        architecture: The network.
        filters: The public encoder's banks.
        penalty: L2 penalty of the last layer.
        rounds: Most iterations of L-BFGS.

    Raises:
        DataError: Shapes that do not fit, or no records.
    """
    _check(records, targets, architecture)
    network = StudentNetwork(architecture, training_generator(0, "overwritten"))
    network.start_from(filters)
    raw = raw_tensor(architecture.schema, records)
    network.standardise(raw)
    with torch.no_grad():
        blocks = [
            (network.features(b) - network.mean) / network.scale for b in torch.split(raw, 512)
        ]
        features = torch.cat(blocks).numpy().astype(np.float64)
        head = fit_logistic(features, targets, penalty, rounds=rounds)
        network.head.weight.copy_(torch.from_numpy(head.weights.T))
        network.head.bias.copy_(torch.from_numpy(head.offsets))
    network.eval()
    return Student(architecture, network)


def _check(records: npt.NDArray[Any], targets: FloatArray, architecture: Architecture) -> None:
    if targets.shape != (len(records), architecture.classes) or not len(records):
        raise DataError(
            f"Targets of shape {targets.shape} for {len(records)} records and "
            f"{architecture.classes} classes.",
            do="Give one row of class probabilities per record, at least one record.",
        )


def _moved(images: torch.Tensor, shift: int, generator: torch.Generator) -> torch.Tensor:
    """Move a batch of images by one random offset, filling with the border's pixels."""
    if images.dim() < 3 or shift == 0:
        return images
    rows, columns = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
    height, width = images.shape[1:3]
    down = torch.arange(height).sub(rows).clamp(0, height - 1)
    right = torch.arange(width).sub(columns).clamp(0, width - 1)
    return images[:, down][:, :, right]
