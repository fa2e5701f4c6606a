"""A plan refuses what cannot keep its promise, and says what a run will send and take."""

from __future__ import annotations

import resource
from collections import Counter
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from secure_fedsa import agreement as ag
from secure_fedsa.errors import AgreementError
from secure_fedsa.planning import PlanError, plan
from secure_fedsa.planning.seconds import seconds_by_party
from secure_fedsa.planning.traffic import traffic
from secure_fedsa.planning.units import measure
from secure_fedsa.privacy.accountant import epsilon_from_rho
from secure_fedsa.privacy.cross_check import CrossCheck
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.run import PartyRun
from secure_fedsa.wire.envelope import parse
from tests.message_list import load_of, messages_of, traffic_of
from tests.support import encoder, make_world, toy_agreement

ROLES = ("aggregator", "key-holder", "student")


def agreement(teachers: int = 4, **changes: Any) -> ag.Agreement:
    """Return an unsigned toy agreement with real encryption parameters."""
    names = [f"teacher-{number}" for number in range(1, teachers + 1)]
    keys = {name: f"{number:064x}" for number, name in enumerate((*names, *ROLES), 1)}
    return toy_agreement(keys, **changes)


def test_a_plan_says_what_the_run_spends_and_sends() -> None:
    """People decide by these numbers."""
    found = plan(agreement())
    assert found.accounting is not None
    assert 0 < found.accounting.epsilon <= 4.0
    assert found.headroom is not None
    assert found.headroom.noise_budget_bits > 1
    assert found.collusion_bits is not None
    assert found.smallest_sum == 3
    assert set(found.to_json()) >= {
        "accounting",
        "headroom",
        "collusion_bits",
        "upload_bytes",
        "query_bytes",
        "smallest_sum",
        "tolerated_losses",
        "runs_in_budget",
        "bytes",
    }


def test_a_budget_has_room_for_the_runs_that_the_plan_says() -> None:
    """One run too many would be refused by every teacher, after everything was prepared."""
    found = plan(agreement())
    assert isinstance(found.accounting, CrossCheck)
    assert found.runs_in_budget is not None
    rho, runs = found.accounting.rho, found.runs_in_budget
    assert epsilon_from_rho(runs * rho, 1e-5) <= 20.0 < epsilon_from_rho((runs + 1) * rho, 1e-5)
    single = plan(agreement(privacy={"agreement_budget": 4.0}))
    assert single.runs_in_budget == 1


@pytest.mark.parametrize("factor", [0.5, 0.9, 0.999])
def test_too_little_noise_for_the_epsilon_is_refused(factor: float) -> None:
    """The agreement would promise a privacy that the noise does not give."""
    weak = {"noise_multiplier": factor * calibrate(4.0, 1e-5)}
    with pytest.raises(AgreementError, match="gives epsilon") as error:
        plan(agreement(privacy=weak))
    assert error.value.clause == "privacy.noise_multiplier"


@pytest.mark.parametrize("he", [True, False])
def test_more_teachers_than_the_modulus_holds_are_refused(he: bool) -> None:
    """A sum that wraps is a wrong sum without an error, in both arms."""
    arm = {"he": he, "masks": he}
    modulus = agreement().encryption.plain_modulus
    roomy = {"bound": modulus // (2 * 4) - 1}
    plan(agreement(protection=arm, features=roomy))
    with pytest.raises(AgreementError, match="could wrap") as error:
        plan(agreement(5, protection=arm, features=roomy))
    assert error.value.clause == "features.bound"


def test_a_noise_budget_that_could_run_out_is_refused() -> None:
    """BFV without noise budget decrypts to random numbers without an error."""
    short = {"coeff_mod_bit_sizes": (45, 46)}
    with pytest.raises(AgreementError, match="noise budget") as error:
        plan(agreement(encryption=short))
    assert error.value.clause == "encryption"


def test_scores_too_wide_for_64_bits_are_refused() -> None:
    """Without encryption they are added in 64-bit integers."""
    wide: dict[str, Any] = {
        "encoder": {"dimension": 2048},
        "saliency": {"directions": 2048, "bits": 24},
    }
    with pytest.raises(AgreementError, match="saliency"):
        plan(agreement(protection={"he": False, "masks": False}, **wide))


def test_a_plan_checks_the_agreement_itself() -> None:
    """Who plans first and signs later must meet the same refusals."""
    with pytest.raises(AgreementError, match="can never be opened"):
        plan(agreement(selection={"minimum_cohort": 9}))


def test_a_broken_promise_is_told_from_malformed_input() -> None:
    """Scripts act on exit codes: 1 is for a text that was read and cannot hold."""
    with pytest.raises(PlanError) as error:
        plan(agreement(privacy={"epsilon": -1.0}))
    assert error.value.exit_code == 1
    assert str(error.value).startswith("privacy.epsilon: is -1.0.")
    assert AgreementError.exit_code == 2


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"saliency": {"directions": 512}, "encoder": {"dimension": 512}}, "saliency.directions"),
        ({"privacy": {"count_floor": 0.9}}, "privacy.count_floor"),
        ({"privacy": {"count_weight": 1e12}}, "privacy"),
        ({"privacy": {"clip_norm": 1e-300}}, "privacy.clip_norm"),
        ({"privacy": {"agreement_budget": 1e9}}, "privacy.agreement_budget"),
        ({"privacy": {"epsilon": 500.0, "noise_multiplier": 0.01}}, "privacy"),
        ({"encryption": {"query_modulus_bits": 2056}}, "encryption.query_modulus_bits"),
        ({"encryption": {"poly_modulus_degree": 1000}}, "encryption"),
    ],
)
def test_what_would_fail_after_the_charge_is_refused_before(
    changes: dict[str, Any], clause: str
) -> None:
    """A teacher's budget would be spent on a run that cannot work."""
    if "epsilon" in changes.get("privacy", {}):
        changes["privacy"] |= {"agreement_budget": 900.0, "data_set_budget": 900.0}
    with pytest.raises(PlanError) as error:
        plan(agreement(**changes))
    assert error.value.clause == clause


VARIANTS: list[dict[str, Any]] = [
    {},
    {"custody": "aggregator"},
    {"publish": {"sums": False, "feature_key": False, "scores": "none"}},
    {
        "custody": "aggregator",
        "publish": {"sums": False, "feature_key": False, "scores": "order"},
    },
    {"protection": {"he": False, "masks": False}},
    {"selection": {"select": 3}},
]


NAMES: dict[str, list[str]] = {
    "few": ["teacher-1", "teacher-10", "teacher-x"],
    "of several lengths": [f"teacher-{mark}" for mark in ("t", "t2", "z" * 32, "y", "a", "t1")],
    # Numbers of messages go from one digit to two at another member for each.
    "many": [f"teacher-{number}" + "x" * (number % 3) for number in range(14)],
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("changes", [*VARIANTS, {"publish": {"scores": "order"}}])
def test_what_is_counted_is_what_would_be_built(changes: dict[str, Any], names: str) -> None:
    """The plan counts messages that it does not build; a slip there would misinform everybody."""
    keys = {name: f"{number:064x}" for number, name in enumerate((*NAMES[names], *ROLES), 1)}
    tried = toy_agreement(keys, **changes)
    parties = {
        name: replace(party, classes=tuple(map(str, range(number))))
        for number, (name, party) in enumerate(tried.parties.items(), 2)
        if party.role == "teacher"
    }
    tried = replace(tried, parties={**tried.parties, **parties})
    assert traffic(tried) == traffic_of(tried)


def largest(select: int = 95) -> ag.Agreement:
    """Return an agreement of as many parties, names as long and as many classes as may be."""
    names = [f"teacher-{number:03d}".ljust(40 - number % 29, "x") for number in range(197)]
    keys = {name: f"{number:064x}" for number, name in enumerate((*names, *ROLES), 1000)}
    roomy = {"poly_modulus_degree": 8192, "coeff_mod_bit_sizes": (54, 54, 55)}
    found = toy_agreement(keys, encryption=roomy, selection={"select": select})
    parties = {
        name: replace(party, classes=tuple(map(str, range(150 + number))))
        for number, (name, party) in enumerate(found.parties.items())
        if party.role == "teacher"
    }
    return replace(found, parties={**found.parties, **parties})


def test_a_run_whose_folder_nobody_would_take_is_refused() -> None:
    """Its teachers would be charged, and no signer could sign."""
    with pytest.raises(PlanError, match=r"selection\.select: .*messages.*20,000"):
        plan(largest(select=100))
    names = [f"teacher-{number}" for number in range(30)]
    keys = {name: f"{number:064x}" for number, name in enumerate((*names, *ROLES), 1000)}
    wide = toy_agreement(keys, encoder={"dimension": 2048})
    with pytest.raises(PlanError, match=r"encoder\.dimension: .*1,073,741,824"):
        plan(wide)
    plan(replace(wide, publish=replace(wide.publish, ciphertexts=False, feature_key=False)))


SECONDS = 20


def _plan_within_limits(text: str) -> None:
    spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + SECONDS, int(spent) + SECONDS))
    assert plan(ag.parse(text)).traffic.total_bytes > 10**7


def test_the_largest_agreement_is_planned_in_seconds() -> None:
    """A stranger's agreement could else keep a party or a verifier busy for hours.

    The limit is processor time, four times and more what it takes, and the kernel's to hold.
    """
    text = tomli_w.dumps(largest().to_toml_dict())
    assert len(text) > 2**19
    child = get_context("spawn").Process(target=_plan_within_limits, args=(text,))
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.slow
@pytest.mark.parametrize("changes", VARIANTS)
def test_bytes_by_party_are_those_of_a_real_run(changes: dict[str, Any], tmp_path: Path) -> None:
    """Institutions reserve networks by these figures: exact numbers, sizes within 1 per cent."""
    run = make_world(tmp_path, **changes).local_run()
    outcome = run.execute()
    envelopes = [parse(data) for data in outcome.envelopes]
    sent = Counter[str]()
    for envelope, data in zip(envelopes, outcome.envelopes, strict=True):
        sent[envelope.header.sender] += len(data)
    (roster,) = (envelope.body for envelope in envelopes if envelope.header.kind == "roster")
    expected = messages_of(run.agreement, roster["members"])

    def kinds(messages: Any) -> Counter[tuple[str, str, str]]:
        return Counter((m.sender, m.recipient, m.kind) for m in messages)

    assert kinds(envelope.header for envelope in envelopes) == kinds(expected)
    for name in run.agreement.parties:
        load = load_of(run.agreement, name, expected)
        assert load.sent_bytes == pytest.approx(sent[name], rel=0.01)
        if name in roster["members"] or name not in run.agreement.teachers:
            planned = run.plan.traffic.by_party[name]
            assert planned.sent_bytes == pytest.approx(load.sent_bytes, rel=0.001)
            assert planned.received_bytes == pytest.approx(load.received_bytes, rel=0.001)
    assert run.plan.traffic.total_bytes == pytest.approx(sent.total(), rel=0.01)
    assert sum(run.plan.traffic.by_kind.values()) == run.plan.traffic.total_bytes


@pytest.mark.slow
def test_every_party_takes_as_many_messages_as_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a party must be able to receive is half of its network."""
    received: Counter[str] = Counter()
    original = PartyRun.receive

    def counted(self: PartyRun, data: bytes) -> None:
        received[self.me] += 1
        original(self, data)

    monkeypatch.setattr(PartyRun, "receive", counted)
    run = make_world(tmp_path).local_run()
    run.execute()
    loads = run.plan.traffic.by_party
    assert received == {name: load.received_messages for name, load in loads.items()}


@pytest.mark.slow
def test_seconds_are_of_the_right_order(tmp_path: Path) -> None:
    """An estimate in milliseconds for seconds would be worse than none.

    Ten times either way: other work on the machine must not fail the test.
    """
    import time

    run = make_world(tmp_path).local_run()
    began = time.perf_counter()
    run.execute()
    real = time.perf_counter() - began
    units = measure(run.agreement, encoder())
    loads = run.plan.traffic.by_party
    estimated = seconds_by_party(run.agreement, units, loads, records=200)
    total = sum(sum(parts.values()) for parts in estimated.values())
    assert real / 10 < total < real * 10
