"""Adapters: any model answers about public probes in one form, and nothing else leaves it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from torch import nn

from secure_fedsa.errors import DataError, UsageError
from secure_fedsa.models.adapters import TeacherAdapter


def table(rows: int = 60, columns: int = 6) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(size=(rows, columns))


def images(count: int = 7) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (count, 12, 12), dtype=np.uint8)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    )


def test_a_classifier_gives_probabilities_and_its_last_hidden_layer() -> None:
    module = network()
    adapter = TeacherAdapter(module)
    outputs, features = adapter.outputs(images()), adapter.features(images())
    assert outputs.shape == (7, 3)
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0, rtol=1e-6)
    scaled = torch.from_numpy(images()).float()[:, None] / 255
    np.testing.assert_allclose(features, module[:4](scaled).detach().numpy(), rtol=1e-5)


def test_a_named_layer_or_a_callable_picks_the_features() -> None:
    module = network()
    by_name = TeacherAdapter(module, features="0").features(images())
    by_call = TeacherAdapter(module, features=lambda m, x: m[0](x)).features(images())
    assert by_name.shape == (7, 4)  # a map is averaged over space
    np.testing.assert_allclose(by_name, by_call, rtol=1e-6)


@pytest.mark.parametrize("head", ["multi-label", "regression"])
def test_other_heads(head: Any) -> None:
    module = nn.Linear(6, 4)
    outputs = TeacherAdapter(module, head=head).outputs(table())
    raw = module(torch.from_numpy(table()).float()).detach()
    wanted = torch.sigmoid(raw) if head == "multi-label" else raw
    np.testing.assert_allclose(outputs, wanted.numpy(), rtol=1e-5)


def test_estimators_with_probabilities_or_values() -> None:
    x = table()
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0)
    boosted = GradientBoostingClassifier(n_estimators=3).fit(x, y)
    np.testing.assert_allclose(TeacherAdapter(boosted).outputs(x), boosted.predict_proba(x))
    labels = np.stack([x[:, 0] > 0, x[:, 1] > 0], axis=1).astype(int)
    forest = RandomForestClassifier(n_estimators=3).fit(x, labels)
    found = TeacherAdapter(forest, head="multi-label").outputs(x)
    np.testing.assert_allclose(found[:, 0], forest.predict_proba(x)[0][:, 1])
    line = LinearRegression().fit(x, x @ np.arange(6))
    np.testing.assert_allclose(
        TeacherAdapter(line, head="regression").outputs(x)[:, 0], x @ np.arange(6)
    )
    linear = LogisticRegression().fit(x, y)
    picked = TeacherAdapter(linear, features=lambda m, rows: m.decision_function(rows))
    assert picked.features(x).shape == (60, 3)


def test_asking_leaves_the_module_as_it_was_and_does_not_depend_on_the_batch() -> None:
    """If this fails, dropout or batch statistics show who else was asked about."""
    module = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 3))
    module.train()
    one, many = TeacherAdapter(module, batch=1), TeacherAdapter(module, batch=64)
    np.testing.assert_allclose(one.outputs(table()), many.outputs(table()), rtol=1e-5)
    assert module.training
    assert int(module[2].num_batches_tracked) == 0  # type: ignore[arg-type]


def test_a_non_finite_answer_becomes_zeros() -> None:
    """If this fails, one bad weight stops the run, and everybody sees whose it was."""
    module = nn.Linear(6, 2)
    with torch.no_grad():
        module.weight[0, 0] = float("nan")
    assert not TeacherAdapter(module, head="regression").outputs(table()).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: TeacherAdapter(network(), features="conv"), "no layer 'conv'"),
        (lambda: TeacherAdapter(network(), head="ranking"), "not a form of outputs"),  # type: ignore[arg-type]
        (lambda: TeacherAdapter(network(), batch=0), "batch of 0"),
        (lambda: TeacherAdapter(LinearRegression()), "no `predict_proba`"),
        (lambda: TeacherAdapter(LogisticRegression(), features="coef"), "no layer"),
        (lambda: TeacherAdapter(nn.Flatten()).features(table()), "no Linear"),
        (lambda: TeacherAdapter(LogisticRegression()).module, "no gradients"),
    ],
)
def test_what_cannot_be_asked_is_refused(make: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make()


@pytest.mark.parametrize(
    ("records", "words"),
    [(table(0), "at least one"), (np.zeros(3), "at least one"), (table(columns=5), "cannot take")],
)
def test_records_that_do_not_fit_are_refused(records: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        TeacherAdapter(nn.Linear(6, 2)).outputs(records)
