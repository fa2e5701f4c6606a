"""Canaries in DP-SGD: planned as the trainer really adds its steps up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.audit.worlds import DELTA, TEACHERS, trainings
from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries import training
from secure_fedsa.audit.canaries.audit import audit_agreement, claimed_epsilon
from secure_fedsa.audit.canaries.scores import secret_coins
from secure_fedsa.audit.canaries.trade_off import gaussian_epsilon, mu_of_accuracy
from secure_fedsa.audit.canaries.training import step_weights, training_scores
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.errors import UsageError
from secure_fedsa.models import dp_sgd
from secure_fedsa.roles.model_teachers import dp_sgd_spec


def other(agreement: Agreement, **changes: object) -> Agreement:
    assert agreement.training is not None
    return replace(agreement, training=replace(agreement.training, **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("momentum", "averaged", "steps"),
    [(0.0, 0.0, 7), (0.9, 0.5, 12), (0.5, 1.0, 5), (0.9, 0.0, 6), (0.3, 0.3, 1)],
)
def test_the_plan_of_the_final_weights_is_the_trainers(
    momentum: float, averaged: float, steps: int
) -> None:
    """With every record in every step and next to no noise, scores are the plan.

    Otherwise every sound training would alarm, or the threshold lie beside the two groups.
    """
    agreement = other(
        trainings(4.0),
        sampling_rate=1.0,
        steps=steps,
        noise_multiplier=0.05,
        momentum=momentum,
        averaged=averaged,
        clip_norm=0.3,
        learning_rate=2.0,
        denominator=50.0,
    )
    coins = secret_coins(200)
    scores = training_scores(agreement, coins, noise=SystemNoise())
    away = scores.values - scores.shift * coins
    assert abs(away.mean()) < 0.5  # the noise's own, of standard deviation 1 each
    assert 0.7 < away.std() < 1.3
    weights = step_weights(dp_sgd_spec(agreement))
    assert scores.shift == pytest.approx(weights.sum() / np.sqrt((weights**2).sum()) / 0.05)
    assert scores.shift > 15


@pytest.mark.parametrize("most", [1, 3, 40])
def test_a_canary_is_a_person_where_persons_are_promised_something(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, what a training does with persons is audited by nobody."""
    of_records = other(trainings(4.0), sampling_rate=1.0, steps=4, noise_multiplier=0.05)
    promise = replace(of_records.promise, unit="person", max_records=most)
    agreement = replace(of_records, privacy=promise)
    seen: list[tuple[int, int]] = []
    own = dp_sgd.train_privately

    def watched(module: Any, records: Any, *rest: Any, persons: Any, **more: Any) -> None:
        seen.append((len(records), len(np.unique(persons))))
        own(module, records, *rest, persons=persons, **more)

    monkeypatch.setattr(training, "train_privately", watched)
    coins = secret_coins(120)
    scores = training_scores(agreement, coins, noise=SystemNoise())
    away = scores.values - scores.shift * coins
    assert abs(away.mean()) < 0.6
    assert 0.7 < away.std() < 1.3
    assert seen == [(coins.sum() * min(most, 16), coins.sum())]


def test_weights_of_steps_by_hand() -> None:
    """Plain steps count alike; of momentum one half, three steps count 1.75, 1.5 and 1."""
    spec = dp_sgd_spec(trainings(4.0))
    plain = replace(spec, steps=3, momentum=0.0, averaged=0.0)
    assert step_weights(plain).tolist() == [1.0, 1.0, 1.0]
    heavy = replace(plain, momentum=0.5)
    assert step_weights(heavy).tolist() == pytest.approx([1.75, 1.5, 1.0])
    mean = replace(plain, averaged=1.0)
    assert step_weights(mean).tolist() == pytest.approx([1.0, 2 / 3, 1 / 3])


@pytest.mark.slow
@pytest.mark.statistical
def test_a_sound_training_is_measured_and_passes() -> None:
    """The audit of the second route, whole. Alarms by chance twice in a row once in 400."""
    for _ in range(2):
        result = audit_agreement(trainings(4.0), canaries=3000, teachers=TEACHERS[:1])
        if not result.alarms:
            break
    assert result.alarms == ()
    (finding,) = result.findings
    shares = {b.method: (b.epsilon or 0.0) / finding.claim for b in finding.bounds}
    assert 0.5 < shares["parametric"] < 1.0
    assert 0.5 < shares["gdp"] < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "steps"), [(0.3, 60), (0.05, 400), (0.01, 2000), (0.5, 12), (0.9, 3)]
)
@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_reading_a_training_as_a_gaussian_errs_low(rate: float, steps: int, epsilon: float) -> None:
    """Subsampled steps are no Gaussian: their figure as one must not exceed the proved one.

    Of infinitely many canaries, on the best weights an attacker could see.
    """
    agreement = trainings(epsilon, sampling_rate=rate, steps=steps, momentum=0.0, averaged=0.0)
    spec, claim = dp_sgd_spec(agreement), claimed_epsilon(agreement, TEACHERS[0])
    mu = rate * steps**0.5 / spec.noise_multiplier
    spread = (1 + rate * (1 - rate) / spec.noise_multiplier**2) ** 0.5
    accuracy = float(norm.cdf(mu / 2 / spread) + norm.cdf(mu / 2)) / 2
    assert gaussian_epsilon(mu, DELTA) <= claim
    assert gaussian_epsilon(mu_of_accuracy(accuracy), DELTA) <= claim


def test_scores_that_are_not_gaussian_by_plan_have_no_parametric_bound() -> None:
    """Few steps with little noise leave the coins of the sampling in the scores."""
    agreement = trainings(8.0, sampling_rate=0.02, steps=10)
    result = audit_agreement(agreement, canaries=1000, teachers=TEACHERS[:1])
    bounds = {bound.method: bound for bound in result.findings[0].bounds}
    assert bounds["parametric"].epsilon is None
    assert "not Gaussian" in bounds["parametric"].reason
    assert bounds["gdp"].epsilon is not None
    assert "distribution" not in {alarm.split(": ")[1] for alarm in result.alarms}


def test_trainings_that_cannot_be_audited_are_refused() -> None:
    """Rather than a score without a plan, or a full memory."""
    adam = other(trainings(4.0), optimiser="adam")
    with pytest.raises(UsageError, match="adam cannot be audited"):
        audit_agreement(adam, canaries=100)
    with pytest.raises(UsageError, match="too many for a step"):
        audit_agreement(trainings(4.0), canaries=100_000)
