"""Plans of the routes whose teachers are models: what a run promises, and what it sends."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa import agreement as ag
from secure_fedsa.errors import AgreementError
from secure_fedsa.planning import PlanError, plan
from secure_fedsa.planning.seconds import seconds_by_party
from secure_fedsa.planning.traffic import traffic
from secure_fedsa.planning.units import measure
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.training_check import TrainingCheck
from secure_fedsa.wire.envelope import parse
from tests.message_list import messages_of, traffic_of
from tests.routes import (
    PROMISE,
    ROUTES,
    Shape,
    encryption_only,
    private_training,
    trained_models,
)
from tests.support import World, encoder, make_world, toy_agreement
from tests.test_plan import NAMES, ROLES, agreement

ONCE = Amount.of([DpSgdTraining(2.0, 0.5, 12)]).epsilon(PROMISE.delta)


def of_route(shape: Shape, teachers: int = 4, **changes: Any) -> ag.Agreement:
    """Return an unsigned agreement of a route with real encryption parameters."""
    return shape(agreement(teachers, **changes))


# --- promises ---------------------------------------------------------------------------


def test_a_plan_of_trainings_says_what_they_spend() -> None:
    """People decide by these numbers."""
    found = plan(of_route(private_training()))
    assert isinstance(found.accounting, TrainingCheck)
    assert found.accounting.epsilon == ONCE
    assert found.accounting.epsilon <= found.accounting.rdp_epsilon
    assert found.to_json()["accounting"]["epsilon"] == ONCE
    assert found.upload_bytes > 0


def test_a_plan_without_differential_privacy_says_no_number() -> None:
    """If this fails, an epsilon or a budget stands where there is no promise."""
    found = plan(of_route(encryption_only("sketch")))
    assert (found.accounting, found.runs_in_budget) == (None, None)
    assert found.headroom is not None
    assert found.headroom.noise_budget_bits > 1
    told = found.to_json()
    assert (told["accounting"], told["runs_in_budget"]) == (None, None)


def test_the_worst_of_several_trainings_counts() -> None:
    """If this fails, one institution's weaker training hides behind the others'."""
    weaker = ag.Stated(sampling_rate=0.5, steps=13, noise_multiplier=2.0)
    agreed = of_route(private_training(stated=["teacher-2"]))
    assert plan(agreed).accounting == plan(of_route(private_training())).accounting
    parties = dict(agreed.parties)
    parties["teacher-2"] = replace(parties["teacher-2"], stated=weaker)
    found = plan(replace(agreed, parties=parties)).accounting
    assert found is not None
    assert found.epsilon == Amount.of([DpSgdTraining(2.0, 0.5, 13)]).epsilon(PROMISE.delta) > ONCE


def test_a_budget_has_room_for_the_trainings_that_the_plan_says() -> None:
    """One run too many would be refused by every teacher, after everything was prepared."""
    found = plan(of_route(private_training()))
    runs = found.runs_in_budget
    assert runs is not None

    def spent(count: int) -> float:
        return Amount.of([DpSgdTraining(2.0, 0.5, 12)] * count).epsilon(PROMISE.delta)

    assert spent(runs) <= PROMISE.agreement_budget < spent(runs + 1)
    tight = replace(PROMISE, agreement_budget=5.0)
    assert plan(of_route(private_training(promise=tight))).runs_in_budget == 1


BROKEN: list[tuple[str, Shape, str]] = [
    (
        "too little noise",
        private_training(promise=replace(PROMISE, epsilon=ONCE * 0.999)),
        "training.noise_multiplier",
    ),
    ("too many steps", private_training(steps=40), "training.noise_multiplier"),
    (
        "hopeless noise",
        private_training(noise_multiplier=0.05),
        "privacy",
    ),
    (
        "a delta that nobody can account",
        private_training(promise=replace(PROMISE, delta=1e-14)),
        "privacy",
    ),
    (
        "a delta that promises nothing",
        private_training(promise=replace(PROMISE, delta=0.5)),
        "privacy",
    ),
]


@pytest.mark.parametrize(("name", "shape", "clause"), BROKEN, ids=[b[0] for b in BROKEN])
def test_a_training_that_breaks_the_promise_is_refused(
    name: str, shape: Shape, clause: str
) -> None:
    """If this fails, the agreement promises a privacy that its training does not give."""
    del name
    with pytest.raises(PlanError) as error:
        plan(of_route(shape))
    assert error.value.clause == clause


def test_a_stated_training_that_breaks_the_promise_is_refused_by_its_name() -> None:
    """If this fails, who is at fault must be found among all teachers by hand."""
    agreed = of_route(private_training(stated=["teacher-3"]))
    parties = dict(agreed.parties)
    parties["teacher-3"] = replace(parties["teacher-3"], stated=ag.Stated(0.5, 30, 2.0))
    with pytest.raises(PlanError, match="gives epsilon") as error:
        plan(replace(agreed, parties=parties))
    assert error.value.clause == "parties.teacher-3.stated"


def test_a_budget_below_one_training_is_refused() -> None:
    """If this fails, no run of the agreement is ever possible, and nobody is told."""
    slack = replace(PROMISE, epsilon=4.0, agreement_budget=4.0, data_set_budget=4.2)
    with pytest.raises(PlanError) as error:
        plan(of_route(private_training(promise=slack)))
    assert error.value.clause in ("training.noise_multiplier", "privacy.agreement_budget")


# --- sums, signals and messages ------------------------------------------------------------


@pytest.mark.parametrize("form", ["sketch", "gram", "scatter"])
def test_more_models_than_the_modulus_holds_are_refused(form: Any) -> None:
    """A sum that wraps is a wrong sum without an error."""
    agreed = of_route(encryption_only(form))
    modulus = agreed.encryption.plain_modulus
    roomy = replace(agreed, features=replace(agreed.features, bound=modulus // 8 - 1))
    plan(roomy)
    wide = replace(agreed, features=replace(agreed.features, bound=modulus // 8 + 1))
    with pytest.raises(AgreementError, match="could wrap") as error:
        plan(wide)
    assert error.value.clause == "features.bound"


@pytest.mark.parametrize(
    ("form", "probes", "width", "select"),
    [("gram", 4000, 0, 4), ("sketch", 2000, 2048, 4), ("sketch", 3000, 1024, 20)],
)
def test_a_signal_that_nobody_would_take_is_refused_by_what_makes_it_long(
    form: Any, probes: int, width: int, select: int
) -> None:
    """If this fails, people change the encoder, and the signal stays as long."""
    agreed = of_route(encryption_only(form), select)
    answers = replace(agreed.asked, probes=probes, width=width)
    with pytest.raises(PlanError, match=r"message would take|public messages would take") as error:
        plan(replace(agreed, answers=answers))
    assert error.value.clause == "answers.probes"
    plan(replace(agreed, answers=replace(answers, probes=probes // 4)))


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("changes", [{}, {"publish": {"scores": "none"}}])
def test_what_is_counted_is_what_would_be_built(
    changes: dict[str, Any], names: str, route: str
) -> None:
    """The plan counts messages that it does not build; a slip there would misinform everybody."""
    keys = {name: f"{number:064x}" for number, name in enumerate((*NAMES[names], *ROLES), 1)}
    tried = ROUTES[route](toy_agreement(keys, **changes))
    assert traffic(tried) == traffic_of(tried)


@pytest.mark.slow
@pytest.mark.parametrize("route", ["private-training", "encryption-only"])
def test_bytes_by_party_are_those_of_a_real_run(route: str, tmp_path: Path) -> None:
    """Institutions reserve networks by these figures: exact numbers, sizes within 1 per cent."""
    if route == "private-training":
        world = make_world(tmp_path, 4)
        world.shape = private_training("sketch", stated=["teacher-3"])
        world.brought["teacher-3"] = trained_models()["teacher-3"]
    else:
        world = World(tmp_path, {}, brought=dict(trained_models()), shape=encryption_only("sketch"))
    run = world.local_run()
    outcome = run.execute()
    sent, kinds = Counter[str](), Counter[tuple[str, str, str]]()
    for data in outcome.envelopes:
        header = parse(data).header
        sent[header.sender] += len(data)
        kinds[header.sender, header.recipient, header.kind] += 1
    expected = messages_of(run.agreement, run.agreement.teachers)
    assert kinds == Counter((m.sender, m.recipient, m.kind) for m in expected)
    for name in run.agreement.parties:
        planned = run.plan.traffic.by_party[name]
        assert planned.sent_bytes == pytest.approx(sent[name], rel=0.01)
    assert run.plan.traffic.total_bytes == pytest.approx(sent.total(), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
def test_seconds_leave_out_what_models_take_and_nothing_else(route: str) -> None:
    """An institution that plans for models must not be told of noise that it never draws."""
    agreed = of_route(ROUTES[route])
    units = measure(agreed, encoder())
    assert (units.noise, units.signal, units.record) == (None, None, None)
    loads = plan(agreed).traffic.by_party
    found = seconds_by_party(agreed, units, loads, records=200)
    assert set(found) == set(agreed.parties)
    for name in agreed.teachers:
        assert not {"noise", "records", "signal"} & set(found[name])
        assert {"question", "upload"} <= set(found[name])
        assert all(value >= 0 for value in found[name].values())
