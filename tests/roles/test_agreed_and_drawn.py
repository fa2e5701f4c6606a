"""What is agreed is what is charged, and what is charged is what is drawn."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.agreement import Agreement
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.dp_sgd import DpSgdSpec
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.mechanisms import count_unit, l2_sensitivity
from secure_fedsa.roles.charges import data_set_budget, planned_event, terms_of
from secure_fedsa.roles.model_teachers import dp_sgd_spec
from secure_fedsa.roles.noisy_release import noise_plan
from secure_fedsa.signals import NoisySummary
from tests.routes import private_training
from tests.support import World, encoder, make_world, teacher_names, toy_agreement

PLAIN = {"he": False, "masks": False}


def agreement(**changes: Any) -> Agreement:
    """Return an unsigned agreement of the toy world."""
    parties = (*teacher_names(3), AGGREGATOR, KEY_HOLDER, STUDENT)
    keys = {name: f"{number:064x}" for number, name in enumerate(parties, 5)}
    return toy_agreement(keys, **changes)


@pytest.mark.parametrize("neighbours", ["add-remove", "replace-one"])
@pytest.mark.parametrize("records", [1, 4])
def test_the_noise_is_for_the_agreed_unit_and_neighbours(neighbours: Any, records: int) -> None:
    """If this fails, a person with four records gets the protection of one."""
    unit = "record" if records == 1 else "person"
    agreed = agreement(privacy={"unit": unit, "max_records": records, "neighbours": neighbours})
    privacy = agreed.mechanism
    event = noise_plan(agreed, "teacher-1").event
    weight = count_unit(privacy.grid, privacy.count_weight)
    assert event.sensitivity == l2_sensitivity(privacy.grid, weight, neighbours, records)
    assert event.noise_scale >= privacy.noise_multiplier * event.sensitivity
    assert event.noise_scale == pytest.approx(privacy.noise_multiplier * event.sensitivity)
    assert planned_event(agreed, "teacher-1") == event


def test_each_budget_is_the_one_that_is_named_so() -> None:
    """If this fails, the smaller of two budgets is not kept."""
    agreed = agreement(privacy={"agreement_budget": 11.0, "data_set_budget": 13.0, "delta": 1e-6})
    assert terms_of(agreed) == Terms(11.0, 1e-6)
    assert data_set_budget(agreed) == 13.0


def test_a_training_is_the_agreed_one_and_charged_as_such() -> None:
    """If this fails, a model is trained with other noise or samples than its ledger knows."""
    agreed = private_training(noise_multiplier=2.25, sampling_rate=0.25)(agreement())
    spec, training = dp_sgd_spec(agreed), agreed.training
    for field in fields(DpSgdSpec):
        assert getattr(spec, field.name) == getattr(training, field.name), field.name
    event = planned_event(agreed, "teacher-1")
    assert event == DpSgdTraining(spec.noise_multiplier, spec.sampling_rate, spec.steps)


class Recorder(SystemNoise):
    """The system's noise, remembered."""

    def __init__(self) -> None:
        self.scales: list[float] = []
        self.values: list[npt.NDArray[np.int64]] = []

    def discrete_gaussian(self, scale: float, size: int) -> npt.NDArray[np.int64]:
        """Draw, and remember it."""
        self.scales.append(scale)
        self.values.append(super().discrete_gaussian(scale, size))
        return self.values[-1]


@pytest.fixture
def plain(tmp_path: Any) -> World:
    """Four teachers without encryption; one with records that cannot be used."""
    world = make_world(tmp_path, protection=PLAIN)
    data = world.data["teacher-2"]
    records = data.records.copy()
    records[::3] = np.nan
    world.data["teacher-2"] = PrivateData(records, data.labels)
    return world


def test_a_run_adds_one_draw_of_the_charged_scale_to_the_exact_sums(plain: World) -> None:
    """If this fails, a ledger says more noise than a teacher sends, or another sum."""
    run = plain.local_run()
    sources = {name: Recorder() for name in run.agreement.teachers}
    summaries: dict[str, NoisySummary] = {}
    for name, source in sources.items():
        site = run.sites[name]
        site.noise = source
        original = site.read_private

        def read(noise: Any, name: str = name, original: Any = original) -> NoisySummary:
            summaries[name] = original(noise)
            return summaries[name]

        site.read_private = read  # type: ignore[method-assign]
    outcome = run.execute()
    privacy = run.agreement.mechanism
    unit = count_unit(privacy.grid, privacy.count_weight)
    for name, source in sources.items():
        ledger = run.sites[name].ledger
        assert ledger is not None
        (event,) = ledger.books().charges[outcome.run_id].events
        assert isinstance(event, DiscreteGaussianRelease)
        assert source.scales == [event.noise_scale]
        data, classes = plain.data[name], len(run.agreement.parties[name].classes)
        encoding = encoder().encode(data.records)
        rows, valid = to_grid(encoding.values, privacy.clip_norm, privacy.grid)
        valid &= encoding.valid
        exact, _ = summarise(rows, data.labels, valid, classes, unit, grid=privacy.grid)
        noise = source.values[0]
        wanted = exact.sums + noise[: exact.sums.size].reshape(exact.sums.shape)
        assert np.array_equal(summaries[name].sums, wanted)
        assert np.array_equal(summaries[name].counts, exact.counts + noise[exact.sums.size :])
        assert summaries[name].noise_scale == event.noise_scale
    assert not np.array_equal(sources["teacher-1"].values[0], sources["teacher-3"].values[0])
