"""Where a model looks: attribution maps of public probes, as saliency vectors.

FedSA's published code (arXiv 2207.13309) compares teacher and student by their Grad-CAM maps
(Selvaraju et al. 2017) of the same images. DEPARA (Song et al. 2020, arXiv 2003.07496)
compares input x gradient of the feature norm. Both are here so that they can be measured against
kernel alignment, the default, under the same encryption; benchmarks/results says how they do.

A vector holds the maps of the first few probes, one after the other, each pooled to a small
grid and of length 1 / sqrt(maps): so the inner product of two vectors is the mean cosine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.errors import UsageError
from secure_fedsa.models.adapters import last_layer, layer_of

if TYPE_CHECKING:
    from secure_fedsa.models.adapters import TeacherAdapter

FloatArray = npt.NDArray[np.float64]
Attribution = Literal["grad-cam", "input-x-gradient"]

GRID = 4
"""Cells along each side of a pooled map."""
_DO = "Name a layer that gives maps, or use input-x-gradient or kernel alignment."


def attribution_saliency(
    adapter: TeacherAdapter,
    probes: npt.NDArray[Any],
    kind: Attribution,
    *,
    values: int,
    layer: str | None = None,
) -> FloatArray:
    """Return a model's attribution of as many probes as fit into ``values`` values.

    Args:
        adapter: A torch module; for Grad-CAM one with a convolution.
        probes: Public probes, images, shape (n, ...).
        kind: Grad-CAM, or input x gradient.
        values: Length of the vector; what is left over is zero.
        layer: Name of Grad-CAM's layer; by default the last convolution.

    Returns:
        float64 (values,), each within 1, of length at most 1.

    Raises:
        UsageError: A model without gradients or convolutions, records that are no images, or
            ``values`` below one map.
    """
    count = min(len(probes), values // GRID**2)
    if count < 1:
        raise UsageError(f"{values} values hold no map of {GRID} x {GRID}.")
    batch = adapter.tensor(probes[:count])
    if batch.dim() != 4:
        raise UsageError(
            "Attribution maps need images.", do="Use kernel alignment for tables of numbers."
        )
    module = adapter.module
    was_training = module.training
    module.eval()
    try:
        if kind == "grad-cam":
            maps = _grad_cam(module, batch, layer)
        else:
            maps = _input_x_gradient(adapter, batch)
    finally:
        module.train(was_training)
    pooled = functional.adaptive_avg_pool2d(maps, GRID).flatten(1).double().numpy()
    pooled = np.where(np.isfinite(pooled).all(axis=1, keepdims=True), pooled, 0.0)
    lengths = np.linalg.norm(pooled, axis=1, keepdims=True)
    unit = np.divide(pooled, lengths, out=np.zeros_like(pooled), where=lengths > 1e-12)
    vector = np.zeros(values)
    vector[: unit.size] = unit.ravel() / np.sqrt(count)
    return vector


def _grad_cam(module: nn.Module, batch: torch.Tensor, layer: str | None) -> torch.Tensor:
    """Return maps (n, 1, h, w) for each record's most likely output."""
    from captum.attr import LayerGradCam

    chosen = layer_of(module, layer) if layer else last_layer(module, nn.Conv2d, "Grad-CAM", do=_DO)
    with torch.no_grad():
        likely = torch.as_tensor(module(batch)).argmax(dim=1)
    found = LayerGradCam(module, chosen).attribute(batch, likely, relu_attributions=True)
    return torch.as_tensor(found).detach()


def _input_x_gradient(adapter: TeacherAdapter, batch: torch.Tensor) -> torch.Tensor:
    """Return maps (n, 1, H, W): input times the gradient of the features' norm, absolute."""
    from captum.attr import InputXGradient

    def norm(records: torch.Tensor) -> torch.Tensor:
        rows = adapter.features_with_gradient(records).flatten(1)
        return torch.as_tensor(rows.norm(dim=1))

    found = InputXGradient(norm).attribute(batch.requires_grad_())
    return torch.as_tensor(found).detach().abs().sum(dim=1, keepdim=True)
