"""What may be trained privately: a module that is refused here has no bound, or fails later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.errors import DataError, UsageError
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.trainable import (
    check_prepare,
    check_separate,
    check_trainable,
    check_training,
    copied,
    initialise,
)

LABELS = np.zeros(0, dtype=np.int64)


def check(
    module: nn.Module, targets: npt.NDArray[Any] = LABELS, head: Any = "classification"
) -> None:
    """Check a module of four inputs and three outputs as a teacher does before its charge."""
    check_trainable(module)
    tried = copied(module)
    initialise(tried, seed=0)
    check_training(tried, torch.zeros(0, 4), targets, head=head, classes=3)


class Backwards(nn.Module):
    """Its first layer sees the records in another order than its last one."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        order = torch.arange(len(rows) - 1, -1, -1)
        return torch.as_tensor(self.last(self.first(rows[order])[order]))


class Loud(torch.autograd.Function):
    """Multiplies gradients by the number of records."""

    @staticmethod
    def forward(context: Any, rows: torch.Tensor) -> torch.Tensor:
        context.count = len(rows)
        return rows.clone()

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return gradients[0] * context.count


class Custom(Backwards):
    """Has a gradient of its own that grows with the batch."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        loud = Loud.apply(self.first(rows))  # type: ignore[no-untyped-call]
        return torch.as_tensor(self.last(loud))


class Unused(Backwards):
    """Does not use its first layer."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.last(rows))


class Borrowed(Backwards):
    """Uses a weight outside its own layer, where nothing counts it."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.last(functional.linear(self.first(rows), self.first.weight)))


class Prompted(Backwards):
    """Adds a learnt row to all records."""

    def __init__(self) -> None:
        super().__init__()
        self.prompt = nn.Embedding(1, 4)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        row = self.prompt(torch.zeros(1, dtype=torch.int64))
        return torch.as_tensor(self.last(self.first(rows) + row))


class Mixing(Backwards):
    """Subtracts the batch's mean."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.last(self.first(rows - rows.mean(dim=0))))


class Remembering(Backwards):
    """Keeps a tensor that no list of parameters shows."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.ones(4)


def hooked() -> nn.Module:
    """Return a module with a hook, which may keep anything."""
    module = nn.Linear(4, 3)
    module.register_forward_hook(lambda *_: None)
    return module


def buffered() -> nn.Module:
    """Return a module with a buffer."""
    module = nn.Linear(4, 3)
    module.register_buffer("learnt", torch.ones(5))
    return module


REFUSED: list[tuple[Callable[[], nn.Module], str]] = [
    (Backwards, "other gradients"),
    (Custom, "other gradients"),
    (Unused, "other gradients"),
    (Borrowed, "other gradients"),
    (Prompted, "other gradients"),
    (Mixing, "beside it"),
    (lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 3)), "beside it"),
    (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)), "GroupNorm"),
    (lambda: nn.Sequential(nn.Linear(4, 8), nn.LSTM(8, 3)), "opacus.layers"),
    (lambda: nn.Sequential(nn.LazyLinear(3)), "Layer|no shape"),
    (lambda: nn.Linear(4, 3).double(), "32-bit"),
    (lambda: nn.Linear(4, 3).bfloat16(), "32-bit"),
    (lambda: nn.Linear(4, 3).requires_grad_(False), "nothing to train"),
    (Remembering, "keeps 'mean'"),
    (hooked, "keeps '_forward_hooks'"),
    (buffered, "keeps 'learnt'"),
    (lambda: nn.Embedding(4, 3, max_norm=1.0), "max_norm"),
]


@pytest.mark.parametrize(("build", "words"), REFUSED)
def test_no_module_without_a_bound_is_trained(build: Callable[[], nn.Module], words: str) -> None:
    """If this fails, one record moves the model by more than epsilon says, or beside the noise."""
    with pytest.raises(UsageError, match=words):
        check(build())


def tied() -> nn.Module:
    """Return a module that uses one layer twice."""
    line = nn.Linear(4, 4)
    return nn.Sequential(line, nn.ReLU(), line, nn.Linear(4, 3))


def convolutional() -> nn.Module:
    """Return a small network with both kinds of normalisation that keep records apart."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 4, 2, padding=1),
        nn.GroupNorm(2, 4),
        nn.ReLU(),
        nn.Flatten(),
        nn.LayerNorm(36),
        nn.Linear(36, 3),
    )


@pytest.mark.parametrize("build", [lambda: nn.Linear(4, 3), tied, convolutional])
def test_the_usual_modules_can_be_trained(build: Callable[[], nn.Module]) -> None:
    """If this fails, nobody can use the route; in evaluation mode or not, for every head."""
    for module in (build(), build().eval()):
        check(module)
        check(module, np.zeros((0, 3)), "regression")
        check(module, np.zeros((0, 3), dtype=np.int64), "multi-label")


@pytest.mark.parametrize(
    ("targets", "head"),
    [
        (np.zeros(0), "classification"),
        (np.zeros((0, 3), dtype=np.int64), "classification"),
        (np.zeros((0, 2)), "regression"),
        (np.zeros(0, dtype=np.str_), "multi-label"),
    ],
)
def test_targets_that_no_loss_takes_are_refused(targets: npt.NDArray[Any], head: Any) -> None:
    """If this fails, the training fails after its charge."""
    with pytest.raises(UsageError, match=r"[Tt]argets"):
        check(nn.Linear(4, 3), targets, head)


def test_records_that_a_module_cannot_take_are_refused() -> None:
    """If this fails, the training fails after its charge."""
    with pytest.raises(DataError, match="cannot take records"):
        check(nn.Linear(5, 3))


def test_a_module_that_mixes_records_is_refused() -> None:
    """If this fails, no list of layers shows it."""
    with pytest.raises(UsageError, match="beside it"):
        check_separate(Mixing(), torch.randn(4, 4))
    check_separate(nn.Linear(3, 2), torch.randn(4, 3))


def standardised(records: npt.NDArray[Any]) -> torch.Tensor:
    """Subtract the mean of the records that are given: the commonest mistake there is."""
    return torch.from_numpy(records - records.mean(axis=0)).float()


def dropping(records: npt.NDArray[Any]) -> torch.Tensor:
    """Leave out a record that is not like the others."""
    return torch.from_numpy(records[records[:, 0] < 0.5]).float()


@pytest.mark.parametrize("prepare", [standardised, dropping])
def test_a_preparation_that_mixes_records_is_refused(prepare: Any) -> None:
    """If this fails, one outlier changes what every other record's gradient is."""
    probes = np.linspace(0.0, 1.0, 12).reshape(3, 4)
    with pytest.raises(UsageError, match="`prepare`"):
        check_prepare(TeacherAdapter(nn.Linear(4, 3), prepare=prepare), probes)
    check_prepare(TeacherAdapter(nn.Linear(4, 3)), probes)


def test_features_that_mix_records_are_refused() -> None:
    """If this fails, a record's features hold the others'."""
    mixed = TeacherAdapter(nn.Linear(4, 3), features=lambda model, rows: model(rows).cumsum(dim=0))
    with pytest.raises(UsageError, match="`features`"):
        check_prepare(mixed, np.linspace(0.0, 1.0, 12).reshape(3, 4))


def test_a_start_leaves_no_training_in_the_module() -> None:
    """If this fails, a model trained without privacy enters the private route as a start."""
    build = [nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Linear(4, 2)) for _ in "ab"]
    with torch.no_grad():
        for parameter in build[0].parameters():
            parameter.fill_(7.0)
    for module in build:
        initialise(module, seed=3)
    torch.testing.assert_close(build[0].state_dict(), build[1].state_dict())

    class Free(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.anything = nn.Parameter(torch.ones(3))

    with pytest.raises(UsageError, match="start of parameter"):
        initialise(Free(), seed=0)


def test_a_module_that_mixes_records_where_no_gradient_shows_it_is_refused() -> None:
    """If this fails, what a model answers about one probe depends on the others.

    A shift of all logits by a batch's mean changes no gradient of the cross entropy.
    """

    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 2)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.as_tensor(self.line(rows) + 10 * rows.detach().mean())

    with pytest.raises(UsageError, match="when other records are beside it"):
        check_training(
            Shifted(), torch.zeros(1, 3), np.zeros(1, np.int64), head="classification", classes=2
        )
