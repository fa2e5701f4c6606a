"""Teachers that are linear heads on the public encoder, trained by DP-SGD with fresh noise."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from secure_fedsa.entropy import SystemNoise
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from secure_fedsa.privacy.training_accountant import noise_multiplier_for
from secure_fedsa.roles.model_teachers import head_on_encoding

SAMPLING_RATE, STEPS, RATE = 0.3, 60, 4.0


def private_head(
    encoded: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    classes: int,
    *,
    epsilon: float,
    delta: float,
) -> TeacherAdapter:
    """Train a head; it is asked about encoded records, and its features are its logits.

    Args:
        encoded: float64 (n, d), in clip norms.
        labels: int64 (n,).
        classes: Number of classes.
        epsilon: Of the whole training.
        delta: Its delta.
    """
    line = head_on_encoding(encoded.shape[1], classes)
    train_privately(
        line,
        _tensor(encoded),
        labels,
        head="classification",
        classes=classes,
        spec=DpSgdSpec(
            sampling_rate=SAMPLING_RATE,
            steps=STEPS,
            noise_multiplier=_noise_multiplier(epsilon, delta),
            clip_norm=1.0,
            denominator=SAMPLING_RATE * len(encoded),  # public: the order of its records
            learning_rate=RATE,
        ),
        noise=SystemNoise(),
    )
    return TeacherAdapter(line, features=lambda model, rows: model(rows), prepare=_tensor)


@cache
def _noise_multiplier(epsilon: float, delta: float) -> float:
    return noise_multiplier_for(epsilon, delta, sampling_rate=SAMPLING_RATE, steps=STEPS)


def _tensor(encoded: npt.NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(encoded).float()
