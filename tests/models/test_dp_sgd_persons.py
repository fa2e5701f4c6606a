"""Private training whose unit is a person: what a step takes, and how far one person moves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secure_fedsa.entropy import SeededNoise
from secure_fedsa.models import dp_sgd, trainable
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from tests.models.test_dp_sgd import QUIET


def moved(
    records: torch.Tensor, targets: Any, persons: Any, spec: DpSgdSpec = QUIET, seed: int = 0
) -> torch.Tensor:
    """Return how far one regression step moves the weights of a line that starts at zero."""
    module = nn.Linear(records.shape[1], 1, bias=False)
    nn.init.zeros_(module.weight)
    train_privately(
        module,
        records,
        np.asarray(targets),
        head="regression",
        persons=np.asarray(persons),
        spec=spec,
        noise=SeededNoise(seed),
    )
    return module.weight.detach()[0]


@pytest.mark.parametrize("most", [1, 2, 50])
@pytest.mark.parametrize("ids", [7, "seven"])
def test_a_person_moves_the_model_by_at_most_the_clip_norm_over_the_denominator(
    most: int, ids: Any
) -> None:
    """If this fails, epsilon for a person is false for everybody with many records."""
    records = torch.tensor([[3.0, 4.0, 0.0]]).repeat(most, 1)
    told = moved(records, np.full(most, 1000.0), [ids] * most)
    assert float(told.norm()) == pytest.approx(0.1, rel=1e-5)


def test_what_is_clipped_is_the_mean_of_each_persons_gradients() -> None:
    """If this fails, the training is another one than the agreement's."""
    generator = torch.Generator().manual_seed(3)
    records = torch.randn(60, 3, generator=generator)
    targets = torch.randn(60, generator=generator) * 2
    persons = np.random.default_rng(0).integers(0, 20, 60) * 5 - 3
    gradients = -targets[:, None] * records  # of half the squared error, at zero
    total = torch.zeros(3)
    for person in np.unique(persons):
        own = gradients[persons == person].mean(dim=0)
        total += own * min(1.0, 1.0 / float(own.norm()))
    torch.testing.assert_close(
        moved(records, targets, persons), -total / QUIET.denominator, rtol=1e-4, atol=1e-5
    )


def test_a_person_that_leaves_changes_nobody_elses_part() -> None:
    """If this fails, one person's records decide how others' are clipped."""
    generator = torch.Generator().manual_seed(4)
    records, targets = torch.randn(30, 3, generator=generator), np.full(30, 5.0)
    persons = np.arange(30) // 3
    whole, left = moved(records, targets, persons), persons != 4
    others = moved(records[left], targets[left], persons[left])
    alone = moved(records[~left], targets[~left], persons[~left])
    torch.testing.assert_close(whole, others + alone, rtol=1e-4, atol=1e-6)
    assert float((whole - others).norm()) <= 0.1 * (1 + 1e-5)


def test_a_step_takes_all_records_of_a_person_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this fails, the event's sampling rate is not that of persons: epsilon is too small."""
    seen: list[torch.Tensor] = []
    of_records = trainable.per_record_gradients

    def watched(module: Any, records: torch.Tensor, *rest: Any) -> None:
        seen.append(records.clone())
        of_records(module, records, *rest)

    monkeypatch.setattr(dp_sgd, "per_record_gradients", watched)
    persons = np.arange(200) % 50  # four records each, far apart
    records = torch.from_numpy(np.eye(50, dtype=np.float32)[persons])
    spec = replace(QUIET, sampling_rate=0.3, steps=30)
    moved(records, np.ones(200), persons, spec)
    taken = torch.stack([step.sum(dim=0) for step in seen])
    assert set(taken.flatten().tolist()) == {0.0, 4.0}
    # Six standard errors of the number of persons taken: fails by chance once in 10^9 runs.
    assert float((taken > 0).double().mean()) == pytest.approx(0.3, abs=6 * (0.21 / 1500) ** 0.5)


def test_records_that_cannot_be_used_cost_nobody_else_anything() -> None:
    """If this fails, one NaN of a person spoils the model, or tells that it is there."""
    records = torch.tensor([[1.0, 0.0], [0.0, 1.0], [float("nan"), 1.0], [3e38, 3e38]])
    targets = np.array([1.0, 1.0, 1.0, 1e30])
    told = moved(records, targets, [1, 2, 3, 4])
    torch.testing.assert_close(told, torch.tensor([0.1, 0.1]), rtol=1e-5, atol=1e-8)


def test_a_mean_that_rounds_to_infinity_counts_as_zero() -> None:
    """If this fails, ten huge gradients of one person spoil the model, for all to see."""
    weight = nn.Parameter(torch.zeros(1))
    most = torch.finfo(torch.float32).max
    weight.grad_sample = torch.full((11, 1), most)  # type: ignore[attr-defined]
    weight.grad_sample[10] = 2.0  # type: ignore[attr-defined]
    dp_sgd._mean_of_each([weight], torch.tensor([4] * 10 + [9]))
    assert weight.grad_sample[:, 0].tolist() == [0.0, 2.0]  # type: ignore[attr-defined]


def test_nobody_is_a_step_of_noise() -> None:
    """If this fails, a training without persons stops, and shows that there were none."""
    loud = replace(QUIET, noise_multiplier=2.0, steps=3)
    told = moved(torch.ones(0, 3), np.ones(0), np.zeros(0, dtype=np.int64), loud)
    assert told.abs().min() > 0


@pytest.mark.parametrize(
    "persons",
    [None, np.arange(40) // 7, np.arange(40) % 7, np.zeros(40, dtype=np.int64)],
)
@pytest.mark.parametrize("at_once", [1, 6, 9, 1000])
def test_a_step_in_parts_is_the_step(
    persons: Any, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a large sample is clipped otherwise, or gets noise more than once or never."""
    generator = torch.Generator().manual_seed(5)
    records, targets = torch.randn(40, 3, generator=generator), np.full(40, 3.0)
    spec = replace(QUIET, steps=3, sampling_rate=0.7, noise_multiplier=0.5)
    told = []
    seen: list[int] = []
    of_records = trainable.per_record_gradients

    def watched(module: Any, records: torch.Tensor, *rest: Any) -> None:
        seen.append(len(records))
        of_records(module, records, *rest)

    monkeypatch.setattr(dp_sgd, "per_record_gradients", watched)
    for size in (10**6, at_once):
        monkeypatch.setattr(dp_sgd, "_AT_ONCE", size)
        seen.clear()
        module = nn.Linear(3, 1, bias=False)
        nn.init.zeros_(module.weight)
        train_privately(
            module,
            records,
            targets,
            head="regression",
            persons=persons,
            spec=spec,
            noise=SeededNoise(1),
        )
        told.append(module.weight.detach())
    largest = 1 if persons is None else int(np.bincount(persons).max())
    assert max(seen) <= max(at_once, largest)
    torch.testing.assert_close(told[0], told[1], rtol=1e-5, atol=1e-6)
