"""The whole run in the small world."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from secure_fedsa.engines.local import LocalRun
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.noisy_release import derive_signal
from secure_fedsa.signals import NoisySummary
from secure_fedsa.wire import canonical
from tests.support import World


def recorded_summaries(run: LocalRun) -> dict[str, NoisySummary]:
    """Wrap every site so that what it released can be compared with the opened sum."""
    seen: dict[str, NoisySummary] = {}
    for name in run.agreement.teachers:
        site = run.sites[name]
        original = site.read_private

        def keep(noise: object, name: str = name, original: object = original) -> NoisySummary:
            seen[name] = original(noise)  # type: ignore[operator]
            return seen[name]

        site.read_private = keep  # type: ignore[method-assign]
    return seen


def test_opened_sum_is_the_sum_of_the_noisy_signals(world: World) -> None:
    """Otherwise the student would learn from something that no teacher said."""
    run = world.local_run()
    summaries = recorded_summaries(run)
    outcome = run.execute()
    assert outcome.problem == ""
    assert outcome.refused == ()
    expected = sum(derive_signal(s, run.agreement).features for s in summaries.values())
    (released,) = world.released
    assert np.array_equal(released.values, expected)
    assert released.members == run.agreement.teachers


def test_every_effect_order_charges_before_noise_before_records(world: World) -> None:
    """A record read before its charge is durable would be a free look at private data."""
    orders: dict[str, list[str]] = {}

    def observe(party: str, effect: fx.Effect) -> None:
        match effect:
            case fx.Persist(record=fx.ReserveCharge()):
                orders.setdefault(party, []).append("charge")
            case fx.DrawEntropy(draw=fx.NoiseDraw()):
                orders.setdefault(party, []).append("noise")
            case fx.ReadPrivate():
                orders.setdefault(party, []).append("read")
            case fx.Persist(record=fx.CommitCharge()):
                orders.setdefault(party, []).append("commit")

    run = world.local_run()
    run.execute(observe=observe)
    assert set(orders) == set(run.agreement.teachers)
    assert all(order == ["charge", "noise", "read", "commit"] for order in orders.values())


def test_unusable_records_are_told_to_their_own_operator_only(world: World) -> None:
    """The operator must learn of broken data; anybody else would learn about records."""
    name = "teacher-1"
    data = world.data[name]
    broken = data.records.copy()
    broken[:7] = np.nan
    world.data[name] = PrivateData(broken, data.labels)
    outcome = world.local_run().execute()
    (line,) = (world.folder / name / "local-log.jsonl").read_bytes().splitlines()
    entry = canonical.decode(line)
    assert (entry["records"], entry["zeroed"]) == (200, 7)
    told = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
    assert all(f'`"{name}"' in told for name in set(entry) - {"agreement"})
    assert not any(b"zeroed" in envelope for envelope in outcome.envelopes)
