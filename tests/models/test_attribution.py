"""Attribution maps as saliency vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from secure_fedsa.errors import UsageError
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.attribution import GRID, attribution_saliency


class Corner(nn.Module):
    """Looks at the upper left quarter of an image only."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 1, bias=False)
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            self.convolution.weight.fill_(1.0)
            self.head.weight.zero_()
            mask = torch.zeros(4, 4)
            mask[:2, :2] = 1.0
            self.head.weight[1] = mask.flatten()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(8, 8)
        mask[:4, :4] = 1.0
        maps = self.convolution(images) * mask
        return torch.as_tensor(self.head(nn.functional.avg_pool2d(maps, 2).flatten(1)))


PROBES = np.random.default_rng(0).integers(1, 256, (5, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["grad-cam", "input-x-gradient"])
def test_a_map_lies_where_the_model_looks(kind: Any) -> None:
    module = Corner()
    layer = None if kind == "input-x-gradient" else "convolution"
    picked = TeacherAdapter(module, features=lambda m, x: m(x))
    vector = attribution_saliency(picked, PROBES, kind, values=3 * GRID**2 + 5, layer=layer)
    assert vector.shape == (53,)
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert not vector[48:].any()
    if kind == "grad-cam":  # one channel of weight 1: its map is the image itself
        images = torch.from_numpy(PROBES[:3]).double()[:, None]
        cells = nn.functional.adaptive_avg_pool2d(images, GRID).flatten(1).numpy()
        wanted = cells / np.linalg.norm(cells, axis=1, keepdims=True) / np.sqrt(3)
        np.testing.assert_allclose(vector[:48].reshape(3, 16), wanted, rtol=1e-5)
    else:
        for one in vector[:48].reshape(3, GRID, GRID):
            assert one[:2, :2].sum() == pytest.approx(one.sum())


def test_the_inner_product_is_the_mean_cosine() -> None:
    adapter = TeacherAdapter(Corner())
    vector = attribution_saliency(adapter, PROBES, "grad-cam", values=80)
    assert float(vector @ vector) == pytest.approx(1)


@pytest.mark.parametrize(
    ("adapter", "probes", "kind", "words"),
    [
        (TeacherAdapter(nn.Linear(6, 2)), np.ones((4, 6)), "grad-cam", "need images"),
        (TeacherAdapter(nn.Flatten()), PROBES, "grad-cam", "no Conv2d"),
        (TeacherAdapter(LogisticRegression()), PROBES, "grad-cam", "no gradients"),
        (TeacherAdapter(Corner()), PROBES[:0], "grad-cam", "hold no map"),
    ],
)
def test_what_has_no_map_is_refused(adapter: Any, probes: Any, kind: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        attribution_saliency(adapter, probes, kind, values=64)
