"""Saliency of networks: Grad-CAM for images, input times gradient for tables."""

from __future__ import annotations

import torch
from torch.nn import functional

from benchmarks.baselines.networks import Network


def saliency(
    network: Network, values: torch.Tensor, labels: torch.Tensor | None = None
) -> torch.Tensor:
    """Return one saliency map a record, flat, (n, h w) for images, (n, columns) for tables.

    Grad-CAM (Selvaraju et al., arXiv 1610.02391) of the last feature map: channels weighted by
    the mean gradient of a logit, summed, negative parts cut. A table has no map, so that its
    map is the size of input times gradient.

    Args:
        network: The network.
        values: Its inputs, (n, ...).
        labels: Which logit of each record; the largest one if not given, as a teacher with
            other classes has no other choice.
    """
    start = network.map(values).detach() if network.image else values.detach()
    start.requires_grad_(True)
    features = network.features_of_map(start) if network.image else network.features(start)
    logits = network.head(features)
    chosen = logits.argmax(dim=1) if labels is None else labels
    (slope,) = torch.autograd.grad(logits.gather(1, chosen[:, None]).sum(), start)
    if not network.image:
        return (start * slope).detach().abs()
    weights = slope.mean(dim=(2, 3), keepdim=True)
    return functional.relu((weights * start).sum(dim=1)).detach().flatten(1)


def similarity(mine: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return the mean cosine of maps of the same records; maps without any signal count 0."""
    return float(functional.cosine_similarity(mine, theirs, dim=1).mean())
