"""Private training: what each step does to which records, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secure_fedsa.entropy import SeededNoise, SystemNoise
from secure_fedsa.errors import DataError, UsageError
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from secure_fedsa.models.trainable import initialise

# Noise too small to matter: what is left is clipping, sampling and the denominator.
QUIET = DpSgdSpec(
    sampling_rate=1.0,
    steps=1,
    noise_multiplier=1e-9,
    clip_norm=1.0,
    denominator=10.0,
    learning_rate=1.0,
    momentum=0.0,
    averaged=0.0,
)


def one_step(
    records: torch.Tensor, targets: Any, spec: DpSgdSpec = QUIET, seed: int = 0
) -> torch.Tensor:
    """Return how far one regression step moves the weights of a line that starts at zero."""
    module = nn.Linear(records.shape[1] if records.dim() > 1 else 3, 1, bias=False)
    nn.init.zeros_(module.weight)
    train_privately(module, records, targets, head="regression", spec=spec, noise=SeededNoise(seed))
    return module.weight.detach()[0]


def test_each_record_moves_the_model_by_at_most_the_clip_norm_over_the_denominator() -> None:
    """If this fails, sensitivity is not what the ledger is charged for."""
    records, targets = torch.tensor([[3.0, 4.0, 0.0]]), np.array([1000.0])
    moved = one_step(records, targets)
    assert float(moved.norm()) == pytest.approx(0.1, rel=1e-5)
    tripled = one_step(records.repeat(3, 1), np.repeat(targets, 3))
    torch.testing.assert_close(tripled, 3 * moved)  # the denominator does not count records


def test_records_that_cannot_be_used_contribute_zero() -> None:
    """If this fails, one NaN spoils the model, and all see that somebody has such a record."""
    good, targets = torch.eye(3), np.array([1.0, 1.0, 1.0])
    wanted = one_step(good, targets)
    for value in (float("nan"), float("inf"), 1e30):
        bad = torch.cat([good, torch.full((1, 3), value)])
        torch.testing.assert_close(one_step(bad, np.append(targets, 1.0)), wanted)
    torch.testing.assert_close(
        one_step(torch.cat([good, good[:1]]), np.append(targets, np.nan)), wanted
    )
    # Finite by itself, but its gradient is not.
    huge = torch.cat([good, torch.full((1, 3), 3e38)])
    torch.testing.assert_close(one_step(huge, np.append(targets, 1e30)), wanted)


def test_labels_out_of_range_contribute_zero() -> None:
    records, labels = torch.eye(3), np.array([0, 1, 7])
    moved = []
    for count in (3, 2):
        module = nn.Linear(3, 2, bias=False)
        nn.init.zeros_(module.weight)
        train_privately(
            module,
            records[:count],
            labels[:count],
            head="classification",
            classes=2,
            spec=QUIET,
            noise=SeededNoise(0),
        )
        moved.append(module.weight.detach())
    torch.testing.assert_close(*moved)


@pytest.mark.parametrize("count", [0, 1])
def test_an_empty_sample_is_a_step_of_noise(count: int) -> None:
    """If this fails, a training that meets an empty sample stops, or shows that it was empty."""
    loud = replace(QUIET, noise_multiplier=2.0, sampling_rate=1e-9, steps=5)
    moved = one_step(torch.ones(count, 3), np.ones(count), loud)
    assert moved.abs().min() > 0


@pytest.mark.slow
@pytest.mark.statistical
def test_noise_and_sampling_are_as_large_as_the_event_says() -> None:
    """False alarms: below 1e-6 (six standard errors of each figure)."""
    steps, width = 400, 50
    spec = replace(QUIET, noise_multiplier=3.0, denominator=1.0, clip_norm=0.5)
    nothing = torch.zeros(4, width)
    seen = torch.stack([one_step(nothing, np.zeros(4), spec, seed) for seed in range(steps)])
    variance = float(seen.var())
    assert variance == pytest.approx(1.5**2, rel=6 * np.sqrt(2 / seen.numel()))
    taken = replace(QUIET, sampling_rate=0.3, denominator=1.0)
    ones, push = torch.ones(500, 1), np.full(500, 9.0)
    shares = [float(one_step(ones, push, taken, seed)) / 500 for seed in range(200)]
    assert np.mean(shares) == pytest.approx(0.3, abs=6 * np.sqrt(0.21 / 100_000))
    assert np.var(shares) == pytest.approx(0.21 / 500, rel=6 * np.sqrt(2 / 200))


def test_no_two_trainings_draw_the_same_noise() -> None:
    """If this fails, the difference of two models shows the records."""
    spec = replace(QUIET, noise_multiplier=1.0)
    moved = []
    for _ in range(2):
        module = nn.Linear(3, 1, bias=False)
        nn.init.zeros_(module.weight)
        train_privately(
            module, torch.eye(3), np.zeros(3), head="regression", spec=spec, noise=SystemNoise()
        )
        moved.append(module.weight.detach())
    assert not torch.allclose(moved[0], moved[1], atol=1e-3)


def test_a_private_model_learns() -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(2000, 5))
    y = (x[:, 0] + x[:, 1] > 0).astype(np.int64)
    module = nn.Sequential(nn.Linear(5, 8), nn.GroupNorm(2, 8), nn.ReLU(), nn.Linear(8, 2))
    initialise(module, seed=0)
    spec = DpSgdSpec(0.1, 60, 1.5, 1.0, 200.0, 1.0)
    train_privately(
        module,
        torch.from_numpy(x).float(),
        y,
        head="classification",
        classes=2,
        spec=spec,
        noise=SeededNoise(1),
    )
    with torch.no_grad():
        right = module(torch.from_numpy(x).float()).argmax(dim=1).numpy() == y
    assert right.mean() > 0.9
    assert not hasattr(next(module.parameters()), "grad_sample")


class Mixing(nn.Module):
    """Subtracts the batch's mean, which no list of layers shows."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 2)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.line(rows - rows.mean(dim=0)))


@pytest.mark.parametrize(
    "module", [Mixing(), nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)), nn.BatchNorm1d(3)]
)
def test_training_itself_refuses_what_no_bound_holds_for(module: nn.Module) -> None:
    """If this fails, the checks exist and nobody has to pass them."""
    with pytest.raises(UsageError):
        train_privately(
            module,
            torch.eye(3),
            np.zeros((3, 2)),
            head="regression",
            spec=QUIET,
            noise=SeededNoise(0),
        )


def test_records_and_targets_of_different_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="2 targets"):
        one_step(torch.eye(3), np.zeros(2))


def test_a_record_that_stops_the_module_contributes_zero() -> None:
    """If this fails, a category that nobody knows ends the run, and all see that it is there."""

    def trained(rows: list[list[int]]) -> torch.Tensor:
        module = nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(4, 1))
        with torch.no_grad():
            for number, parameter in enumerate(module.parameters()):
                parameter.fill_(0.1 * (number + 1))
        train_privately(
            module,
            torch.tensor(rows, dtype=torch.int64).reshape(-1, 2),
            np.ones(len(rows)),
            head="regression",
            spec=QUIET,
            noise=SeededNoise(0),
        )
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    good = [[0, 1], [2, 2]]
    torch.testing.assert_close(trained([*good, [1, 7]]), trained(good), rtol=0, atol=1e-6)
    torch.testing.assert_close(trained([[1, 7]]), trained([]), rtol=0, atol=1e-6)
    assert float((trained(good) - trained([])).norm()) > 0.01


class _OfItsOwn(Exception):
    """An error that only a caller's module knows."""


@pytest.mark.parametrize("error", [ValueError, MemoryError, _OfItsOwn])
def test_a_record_that_stops_a_later_layer_leaves_the_others_their_gradients(
    error: type[Exception],
) -> None:
    """If this fails, one bad record takes away the share of all records after it in the sample."""

    class Strict(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 1)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            inner = torch.tanh(self.first(rows))
            if bool((rows > 100).any()):
                raise error("far out")
            return torch.as_tensor(self.last(inner))

    def trained(rows: list[list[float]]) -> torch.Tensor:
        module = Strict()
        initialise(module, seed=0)
        records = torch.tensor(rows)
        spec = replace(QUIET, steps=3)
        train_privately(
            module,
            records,
            np.ones(len(rows)),
            head="regression",
            spec=spec,
            noise=SeededNoise(0),
        )
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    good = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 1.0]]
    bad = [500.0, 0.0, 0.0]
    for rows in ([bad, *good], [good[0], bad, *good[1:]], [*good, bad]):
        torch.testing.assert_close(trained(rows), trained(good), rtol=0, atol=1e-6)
    assert float((trained(good) - trained([bad])).norm()) > 0.01


def test_a_training_leaves_nothing_in_the_module_but_parameters() -> None:
    """If this fails, what a forward pass counted of private records goes out beside the noise."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.line = nn.Linear(3, 1)
            self.seen = 0.0

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            self.seen += float(rows.sum())
            return torch.as_tensor(self.line(rows))

    module = Counting()
    train_privately(
        module, torch.eye(3), np.ones(3), head="regression", spec=QUIET, noise=SeededNoise(0)
    )
    assert module.seen == 0.0


def test_a_sample_is_drawn_finely_and_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, a record is taken more often than a small sampling rate says.

    32-bit draws are multiples of 2^-24: a rate of 2^-30 would take records 64 times too often.
    """
    real, drawn = torch.rand, []

    def watched(*shape: int, **named: Any) -> torch.Tensor:
        drawn.append(real(*shape, **named))
        return drawn[-1]

    monkeypatch.setattr(torch, "rand", watched)
    one_step(torch.ones(1000, 1), np.ones(1000), replace(QUIET, sampling_rate=0.5))
    (chances,) = [chance for chance in drawn if chance.shape == (1000,)]
    assert ((chances * 2**24) % 1 != 0).double().mean() > 0.9


@pytest.mark.slow
@pytest.mark.statistical
def test_a_step_takes_records_at_the_rate_of_its_event() -> None:
    """If this fails, records are in more steps than the amplification allows.

    Six standard errors, a hundredth of the rate: fails by chance once in 10^8 runs.
    """
    count, taken = 800_000, replace(QUIET, sampling_rate=0.3, denominator=800_000.0)
    share = float(one_step(torch.ones(count, 1), np.full(count, 9.0), taken, seed=11))
    assert share == pytest.approx(0.3, abs=6 * np.sqrt(0.21 / count))


def test_one_step_has_the_noise_and_the_sample_of_its_event() -> None:
    """If this fails, noise is smaller, or records are taken more often, than the ledger knows.

    Seeds are fixed; with others it would fail once in 10^8 runs (six standard errors).
    """
    width = 4000
    loud = replace(QUIET, noise_multiplier=3.0, denominator=1.0, clip_norm=0.5)
    moved = one_step(torch.zeros(1, width), np.zeros(1), loud)
    assert float(moved.std()) == pytest.approx(1.5, rel=6 / np.sqrt(2 * width))
    taken = replace(QUIET, sampling_rate=0.3, denominator=1.0)
    count = 2000
    sizes = [
        round(float(one_step(torch.ones(count, 1), np.full(count, 9.0), taken, seed)))
        for seed in range(4)
    ]
    for size in sizes:
        assert size == pytest.approx(0.3 * count, abs=6 * np.sqrt(0.21 * count))
    assert len(set(sizes)) > 1  # the size of a Poisson sample is random
