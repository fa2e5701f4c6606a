"""A process that dies between any two effects, again and again, in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.roles import effects as fx
from tests.support import World, make_world


class Crash(Exception):
    """The process dies here."""


def run_with_crashes(world: World) -> tuple[Outcome, int]:
    """Run to the end with a crash after every single effect; return how many there were."""
    crashes = 0
    while True:
        performed = 0

        def observe(party: str, effect: fx.Effect) -> None:
            nonlocal performed
            if performed == 1:
                raise Crash(f"{party} before {type(effect).__name__}")
            performed += 1

        try:
            return world.local_run().execute(observe=observe), crashes
        except Crash:
            crashes += 1


CUSTODIES: dict[str, dict[str, Any]] = {
    "key holder opens and publishes": {},
    "aggregator opens and seals": {
        "custody": "aggregator",
        "protection": {"he": False, "masks": False},
        "publish": {"ciphertexts": False, "sums": False, "feature_key": False},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("changes", CUSTODIES.values(), ids=CUSTODIES)
def test_a_crash_between_any_two_effects_loses_and_doubles_nothing(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """A crash must never charge twice, release twice, or let two noises out."""
    world = make_world(tmp_path, teachers=3, **changes)
    outcome, crashes = run_with_crashes(world)
    assert outcome.problem == ""
    assert outcome.refused == ()
    assert crashes > 100
    run = world.local_run()
    for name in run.agreement.teachers:
        ledger = run.sites[name].ledger
        assert ledger is not None
        kinds = [entry["kind"] for entry in ledger.segment(outcome.run_id)]
        assert kinds == ["reserve", "commit", "roster-opened", "erasure"]
        assert list(ledger.books().charges) == [outcome.run_id]
    release_log = run.sites["key-holder"].release_log
    assert release_log is not None
    (entry,) = release_log.entries()
    assert entry["body"]["run_id"] == outcome.run_id
    sums = {released.values.tobytes() for released in world.released}
    assert len(sums) == 1


def test_a_cut_off_run_resumes_under_its_own_id_and_charge(world: World) -> None:
    """Otherwise every interruption would cost the institutions a second epsilon."""
    seen = 0

    def die_after_second_reading(party: str, effect: fx.Effect) -> None:
        nonlocal seen
        seen += isinstance(effect, fx.ReadPrivate)
        if seen == 3:
            raise Crash(party)

    first = world.local_run()
    with pytest.raises(Crash):
        first.execute(observe=die_after_second_reading)
    again = world.local_run()
    assert again.unfinished
    run_id = again.open_run_id()
    assert again.charged(run_id)
    outcome = again.execute()
    assert outcome.run_id == run_id
    for name in again.agreement.teachers:
        ledger = again.sites[name].ledger
        assert ledger is not None
        assert list(ledger.books().charges) == [run_id]
    assert np.isfinite(world.released[0].values).all()


def test_noise_lost_in_a_crash_is_drawn_anew_and_never_used_twice(world: World) -> None:
    """Two summaries under one noise would differ by their records."""
    draws: list[bytes] = []
    state = {"armed": True}
    first = world.local_run()
    for run in (first,):
        _watch_noise(run, draws)

    def die_before_reading(party: str, effect: fx.Effect) -> None:
        if isinstance(effect, fx.ReadPrivate) and state["armed"]:
            state["armed"] = False
            raise Crash(party)

    with pytest.raises(Crash):
        first.execute(observe=die_before_reading)
    second = world.local_run()
    _watch_noise(second, draws)
    second.execute()
    assert len(draws) == len(set(draws)) == len(first.agreement.teachers) + 1


def _watch_noise(run: object, draws: list[bytes]) -> None:
    for name in run.agreement.teachers:  # type: ignore[attr-defined]
        site = run.sites[name]  # type: ignore[attr-defined]
        original = site.draw_noise

        def draw(request: fx.NoiseDraw, original: object = original) -> object:
            noise = original(request)  # type: ignore[operator]
            draws.append(noise.values.tobytes())
            return noise

        site.draw_noise = draw
