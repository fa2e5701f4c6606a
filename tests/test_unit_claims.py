"""What one noise promises to whom: every figure with the events that it comes from."""

from __future__ import annotations

import ast
import math
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

import secure_fedsa
from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.agreement_file import read_agreement
from secure_fedsa.cli.plan import _units as unit_lines
from secure_fedsa.cli.terms import terms
from secure_fedsa.planning import check_promises, plan, unit_words
from secure_fedsa.planning.unit_claim import DELTAS, UnitClaim
from secure_fedsa.planning.unit_claims import unit_claims
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DiscreteGaussianRelease, event_from_dict
from secure_fedsa.privacy.mechanisms import l2_sensitivity
from secure_fedsa.report.views import by_view

EXAMPLES = Path(__file__).parents[1] / "protocols" / "v1" / "examples"
NOISY = ("banks", "hospitals")  # persons of eight records, replaced; records, added or removed
WITH_PRIVACY = (*NOISY, "clinics")


def example(name: str) -> Agreement:
    return read_agreement(EXAMPLES / f"{name}.toml").agreement


@cache
def claims(name: str) -> dict[str, UnitClaim]:
    return {claim.id: claim for claim in unit_claims(example(name))}


@pytest.mark.parametrize("name", WITH_PRIVACY)
def test_the_agreed_units_figure_is_the_receipts(name: str) -> None:
    """If this fails, an auditor reads another epsilon than the one that was signed."""
    accounting = check_promises(example(name)).accounting
    assert accounting is not None
    assert claims(name)["agreed-unit"].epsilon == accounting.epsilon


@pytest.mark.parametrize("name", [*WITH_PRIVACY, "suppliers"])
def test_every_figure_has_its_events_and_every_gap_its_reason(name: str) -> None:
    """If this fails, a number stands without what it was computed from, or a gap unexplained."""
    for claim in claims(name).values():
        assert claim.why
        told = claim.to_dict()
        assert told["mu"] is None
        if claim.epsilon is None:
            assert (claim.delta, claim.curve, claim.rho, claim.neighbours) == (None, (), None, "")
            continue
        assert claim.neighbours
        assert claim.accountant
        assert claim.accountant_version
        assert set(claim.events) == set(example(name).teachers)
        for events in told["events"].values():
            assert [event_from_dict(event) for event in events]
        assert dict(claim.curve)[claim.delta or 0.0] == claim.epsilon


@pytest.mark.parametrize("name", WITH_PRIVACY)
def test_a_curve_falls_as_delta_grows(name: str) -> None:
    """If this fails, one of two figures of the same mechanism is false."""
    for claim in claims(name).values():
        stated = [epsilon for _, epsilon in claim.curve if epsilon is not None]
        assert stated == sorted(stated)
        assert [delta for delta, _ in claim.curve] == sorted(
            (delta for delta, _ in claim.curve), reverse=True
        )
        assert not claim.curve or set(DELTAS) <= {delta for delta, _ in claim.curve}


@pytest.mark.parametrize("name", NOISY)
def test_releases_are_accounted_from_the_events_beside_them(name: str) -> None:
    """If this fails, an auditor who computes a claim again gets another number."""
    for claim in claims(name).values():
        if claim.epsilon is None or claim.delta is None:
            continue
        each = [Amount.of(events) for events in claim.events.values()]
        whole = [Amount.sum(each)] if claim.id == "person-at-every-teacher" else each
        assert claim.rho == max(amount.rho for amount in whole)
        assert claim.epsilon == max(amount.epsilon(claim.delta) for amount in whole)


def test_one_record_of_a_person_and_a_person_of_many_records() -> None:
    """If this fails, a unit's sensitivity is not that of what the unit owns."""
    agreement = example("banks")
    privacy = agreement.mechanism
    unit = round(privacy.grid * privacy.count_weight)
    person = l2_sensitivity(privacy.grid, unit, privacy.neighbours, privacy.max_records)
    scale = math.nextafter(privacy.noise_multiplier * person, math.inf)
    record = DiscreteGaussianRelease(l2_sensitivity(privacy.grid, unit, "replace-one"), scale, 1)
    assert claims("banks")["one-record"].epsilon == epsilon_of([record], privacy.delta)

    # Under add-remove too: another record of the person may take the place of one that is gone.
    come_and_go = replace(privacy, neighbours="add-remove")
    one = {claim.id: claim for claim in unit_claims(replace(agreement, privacy=come_and_go))}
    person = l2_sensitivity(privacy.grid, unit, "add-remove", privacy.max_records)
    scale = math.nextafter(privacy.noise_multiplier * person, math.inf)
    record = DiscreteGaussianRelease(l2_sensitivity(privacy.grid, unit, "replace-one"), scale, 1)
    assert one["one-record"].epsilon == epsilon_of([record], privacy.delta)
    assert "another one of the same person may count in its place" in one["one-record"].why

    ((agreed,), *_) = claims("hospitals")["agreed-unit"].events.values()
    assert isinstance(agreed, DiscreteGaussianRelease)
    for records in (2, 5, 10):
        grown = DiscreteGaussianRelease(records * agreed.sensitivity, agreed.noise_scale, 1)
        found = claims("hospitals")[f"person-with-{records}-records"].epsilon
        assert found == epsilon_of([grown], 1e-5)


def test_persons_of_a_training_lose_more_than_their_records() -> None:
    """If this fails, a person with several records is promised what one record is."""
    found = claims("clinics")
    losses = [
        found[name].epsilon or math.inf
        for name in ("agreed-unit", "person-with-2-records", "person-with-5-records")
    ]
    assert losses[0] < losses[1] < losses[2] < math.inf


def of_persons(multiplier: float) -> Agreement:
    """Return trainings that promise persons, with so much noise."""
    agreement = example("clinics")
    assert agreement.privacy is not None
    assert agreement.training is not None
    return replace(
        agreement,
        privacy=replace(agreement.privacy, unit="person", max_records=2),
        training=replace(agreement.training, noise_multiplier=multiplier),
    )


@pytest.mark.slow
def test_a_unit_without_a_figure_is_named_with_the_reason() -> None:
    """If this fails, a person reads its own figure as one for a record, for want of another."""
    trained = of_persons(0.5)
    weaker = of_persons(0.45)
    records = replace(weaker, privacy=replace(weaker.promise, unit="record", max_records=1))
    noisy = replace(
        example("hospitals"), privacy=replace(example("hospitals").mechanism, noise_multiplier=0.3)
    )
    for agreement, ids in (
        (trained, {"one-record": "does not hold for it"}),
        (records, {"person-with-2-records": "above 100", "person-with-5-records": "as above"}),
        (noisy, {"person-with-5-records": "above 100", "person-with-10-records": "above 100"}),
    ):
        found = {claim.id: claim for claim in unit_claims(agreement)}
        assert found["agreed-unit"].epsilon is not None
        for name, why in ids.items():
            assert found[name].epsilon is None
            assert (found[name].curve, found[name].neighbours) == ((), "")
            assert why in found[name].why
        told = " ".join(unit_lines(by_view(agreement)))
        assert all(found[name].unit in told.split("no epsilon for")[1] for name in ids)


def test_nothing_is_promised_without_differential_privacy() -> None:
    """If this fails, a run without noise names an epsilon."""
    found = unit_claims(example("suppliers"))
    assert [claim.epsilon for claim in found] == [None] * len(found)
    assert found[0].why.startswith("NO DIFFERENTIAL PRIVACY")


@pytest.mark.parametrize("name", [*WITH_PRIVACY, "suppliers"])
def test_institutions_and_the_student_are_said_to_be_unprotected(name: str) -> None:
    """If this fails, somebody takes epsilon for more than it is."""
    for unit in ("institution", "student-record"):
        assert claims(name)[unit].epsilon is None
    assert "NOT protected" in claims(name)["student-record"].why


@pytest.mark.parametrize("name", WITH_PRIVACY)
def test_who_signs_and_who_reads_are_told_of_one_unit(name: str) -> None:
    """If this fails, an officer compares two spellings and wonders which of them was promised."""
    agreement = example(name)
    unit = unit_words.agreed_unit(agreement.promise)
    assert claims(name)["agreed-unit"].unit == unit
    assert claims(name)["agreed-unit"].neighbours.endswith(unit)
    (line,) = [line for line in terms(agreement, plan(agreement)) if "A run spends" in line]
    assert unit.removeprefix("one ") in line


def texts(source: str) -> list[str]:
    """Return the texts of a module without its docstrings, parts of formatted ones apart."""
    tree = ast.parse(source)
    said = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


def test_units_are_spelled_in_one_module() -> None:
    """If this fails, the next page spells the unit in a way of its own again."""
    spelled = re.compile(r"one person,? (with|of whom)|adding or removing|per (record|person) \(")
    package = Path(secure_fedsa.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if "ledger" not in path.name and any(map(spelled.search, texts(path.read_text("utf-8"))))
    }
    assert found == {"planning/unit_words.py"}
