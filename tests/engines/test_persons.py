"""Runs whose promise is about persons: real ones, from records with person ids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.errors import RunAborted
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.roles.noisy_release import noise_plan, read_private
from secure_fedsa.signals import Noise, int_array
from tests.support import World, make_world, tables

MOST = 3


def world_of_persons(folder: Path) -> World:
    """Four institutions; in each one person owns a hundred of the 200 records."""
    world = make_world(folder, privacy={"unit": "person", "max_records": MOST})
    for name, data in world.data.items():
        owners = np.arange(200)
        owners[:100] = 0
        world.data[name] = replace(data, persons=owners)
    return world


@pytest.mark.slow
def test_a_run_counts_no_more_of_a_person_than_was_agreed(tmp_path: Path) -> None:
    """If this fails, a run that promises something to persons lets one of them in a hundredfold."""
    world = world_of_persons(tmp_path)
    run = world.local_run()
    run.execute()
    name = next(iter(world.data))
    data, agreement = world.data[name], run.agreement
    plan = noise_plan(agreement, name)
    silent = Noise(int_array([0] * plan.shape.noise_values), seeded=True)
    summary, notes = read_private(
        data.records,
        data.labels,
        encoder=tables().encoder,
        agreement=agreement,
        teacher=name,
        noise=silent,
        persons=data.persons,
    )
    assert notes.records - notes.zeroed == 100 + MOST
    assert int(summary.counts.sum()) == (100 + MOST) * plan.count_unit
    # And the site hands the ids on: what it read is the same, but for the noise.
    read = run.sites[name].read_private(silent)
    assert np.array_equal(read.sums, summary.sums)
    assert np.array_equal(read.counts, summary.counts)


def test_a_record_that_cannot_be_used_takes_no_place_of_its_persons(tmp_path: Path) -> None:
    """If this fails, one wrong label costs a person's other records, and teachers their use."""
    world = world_of_persons(tmp_path)
    agreement = world.local_run().agreement
    name, data = next(iter(world.data.items()))
    plan = noise_plan(agreement, name)
    labels = data.labels.copy()
    labels[:MOST] = 99  # of the person with a hundred records
    summary, _ = read_private(
        data.records,
        labels,
        encoder=tables().encoder,
        agreement=agreement,
        teacher=name,
        noise=Noise(int_array([0] * plan.shape.noise_values), seeded=True),
        persons=data.persons,
    )
    assert int(summary.counts.sum()) == (100 + MOST) * plan.count_unit


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (None, "come without person ids"),
        (np.zeros(200), "person ids of .* are not one"),
        (np.zeros(199, dtype=np.int64), "person ids of .* are not one"),
    ],
)
def test_a_promise_to_persons_needs_their_ids_before_any_charge(
    tmp_path: Path, ids: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None, words: str
) -> None:
    """If this fails, persons are promised what nothing enforces, or a budget is lost on it."""
    world = world_of_persons(tmp_path)
    name = next(iter(world.data))
    world.data[name] = replace(world.data[name], persons=ids)
    with pytest.raises(RunAborted, match=f"{words}.*Nothing was charged"):
        world.local_run().execute()
    assert all(Ledger.open(tmp_path / teacher).spent().epsilon == 0 for teacher in world.data)
