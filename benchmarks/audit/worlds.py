"""Agreements for the campaign: small encoders, so that hundreds of releases are quick.

The exact sampler gives 75,000 values a second and a summary has M (d + 1). What a canary's score
tells does not depend on d: it is one projection of its block. So hundreds of runs use d = 1 or 2,
and one run the full d = 256.
"""

from __future__ import annotations

from dataclasses import replace

from secure_fedsa import agreement as ag
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.privacy.mechanisms import Neighbours, calibrate
from secure_fedsa.privacy.training_accountant import noise_multiplier_for

DELTA = 1e-5
TEACHERS = ("teacher-1", "teacher-2", "teacher-3")
CLASSES = ("a", "b", "c", "d", "e", "f", "g", "h")
BUDGET = 1000.0


def summaries(
    epsilon: float,
    *,
    dimension: int = 2,
    neighbours: Neighbours = "add-remove",
    max_records: int = 1,
    count_weight: float = 0.25,
) -> ag.Agreement:
    """Return an agreement of the route noisy-release whose noise is calibrated to ``epsilon``."""
    names = (*TEACHERS, AGGREGATOR, KEY_HOLDER, STUDENT)
    keys = {name: f"{number:02x}" * 32 for number, name in enumerate(names, 17)}
    parties = {name: ag.Party(TEACHER, keys[name], CLASSES) for name in TEACHERS}
    parties |= {role: ag.Party(role, keys[role]) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    return ag.Agreement(
        version=1,
        title="Audit campaign",
        route="noisy-release",
        simulation=False,
        custody="key-holder",
        parties=parties,
        encoder=ag.Encoder("00" * 32, dimension, "00" * 32),
        privacy=ag.Privacy(
            unit="record" if max_records == 1 else "person",
            neighbours=neighbours,
            max_records=max_records,
            epsilon=epsilon,
            delta=DELTA,
            clip_norm=0.75,
            grid=2**16,
            count_weight=count_weight,
            count_floor=20.0,
            noise_multiplier=calibrate(epsilon, DELTA),
            agreement_budget=BUDGET,
            data_set_budget=BUDGET,
        ),
        protection=ag.Protection(dp=True, he=True, masks=True),
        saliency=ag.Saliency(
            directions=min(2, dimension), unit=0.05, teacher_bound=1.0, query_bound=2.0, bits=12
        ),
        features=ag.Features(bound=2**24, scale=2**24 / 18000),
        encryption=ag.Encryption("bfv", 4096, (54, 55), 17179754497, 3072),
        selection=ag.Selection(select=3, threshold=0.15, minimum_cohort=3, max_colluding=1),
        publish=ag.Publish(scores="values", ciphertexts=True, sums=True, feature_key=True),
        limits=ag.Limits(reply_seconds=300, silence_seconds=900, max_burned=2),
    )


def trainings(
    epsilon: float,
    *,
    sampling_rate: float = 0.3,
    steps: int = 60,
    momentum: float = 0.9,
    averaged: float = 0.5,
) -> ag.Agreement:
    """Return an agreement of the route private-training; the default is the route's own."""
    base, probes = summaries(1.0, dimension=8), 40
    multiplier = noise_multiplier_for(epsilon, DELTA, sampling_rate=sampling_rate, steps=steps)
    return replace(
        base,
        route=ag.PRIVATE_TRAINING,
        privacy=ag.Promise(
            unit="record",
            neighbours="add-remove",
            max_records=1,
            epsilon=epsilon,
            delta=DELTA,
            agreement_budget=BUDGET,
            data_set_budget=BUDGET,
        ),
        training=ag.Training(
            sampling_rate=sampling_rate,
            steps=steps,
            noise_multiplier=multiplier,
            clip_norm=1.0,
            denominator=1000.0,
            learning_rate=4.0,
            momentum=momentum,
            averaged=averaged,
            optimiser="sgd",
            seed=0,
        ),
        answers=ag.Answers("gram", probes, 0, "alignment"),
    )
