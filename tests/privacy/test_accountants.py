"""Every accountant, ours and those that check ours, against one class of cases."""

from __future__ import annotations

import ast
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import secure_fedsa
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budget_filter import counted_rho, rho_budget
from secure_fedsa.privacy.cross_check import cross_check
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
)
from secure_fedsa.privacy.groups import group_of_releases, training_epsilons
from secure_fedsa.privacy.shared_noise import (
    MemberNeighbours,
    SharedNoiseRelease,
    View,
    figures,
)
from secure_fedsa.privacy.training_accountant import renyi_epsilon, training_epsilon
from tests.privacy.accountant_cases import (
    DELTA,
    GRID,
    Accountant,
    AccountantCases,
    RefusalCases,
    releases,
    trainings,
)

SUBSAMPLED = (DpSgdTraining(2.0, 0.05, 300), DpSgdTraining(4.0, 0.1, 200))
SELECTIONS = (ExponentialMechanism(0.1, 5), PermuteAndFlip(0.1), ExponentialMechanism(1.0))
BY_RENYI: dict[str, Any] = {"excess": 0.115, "deltas": (1e-5, 1e-9)}
OF_TRAININGS = ("gaussian", "dp-sgd", "trainings")


def only_trainings(events: Sequence[Event]) -> list[DpSgdTraining]:
    found = [event for event in events if isinstance(event, DpSgdTraining)]
    assert len(found) == len(events)
    return found


class TestHeadlineOfReleases(AccountantCases, RefusalCases):
    accountant = Accountant(epsilon_of, releases, **BY_RENYI, modules=("accountant",))


class TestHeadlineOfTrainings(AccountantCases, RefusalCases):
    accountant = Accountant(
        lambda events, delta: training_epsilon(only_trainings(events), delta),
        trainings,
        SUBSAMPLED,
        OF_TRAININGS,
        modules=("training_accountant",),
    )


class TestRenyiOfTrainings(AccountantCases):
    accountant = Accountant(
        lambda events, delta: renyi_epsilon(only_trainings(events), delta),
        trainings,
        SUBSAMPLED,
        OF_TRAININGS,
        excess=0.18,
        deltas=(1e-5, 1e-9),
        modules=("training_accountant",),
    )


class TestAmountOfReleases(AccountantCases, RefusalCases):
    accountant = Accountant(
        lambda events, delta: Amount.of(events).epsilon(delta),
        releases,
        (*SUBSAMPLED, *SELECTIONS),
        ("gaussian", "dp-sgd", "trainings", "selections", "mixes"),
        **BY_RENYI,
        modules=("amounts", "accountant", "selection_accountant", "training_accountant"),
    )


class TestAmountOfTrainings(AccountantCases, RefusalCases):
    accountant = Accountant(
        lambda events, delta: Amount.sum(Amount.of([event]) for event in events).epsilon(delta),
        trainings,
        (*SUBSAMPLED, *SELECTIONS),
        ("gaussian", "dp-sgd", "trainings", "selections", "mixes"),
    )


def number(name: str) -> Any:
    """Return how to ask a cross-check for one of its numbers."""

    def ask(events: Sequence[Event], delta: float) -> float:
        found = getattr(cross_check(events, delta), name)
        if found is None:
            raise PrivacyParameterError("It states none for this delta.")
        return float(found)

    return ask


class TestCrossCheckHeadline(AccountantCases, RefusalCases):
    accountant = Accountant(number("epsilon"), releases, **BY_RENYI, modules=("cross_check",))


class TestCrossCheckRdp(AccountantCases, RefusalCases):
    accountant = Accountant(number("rdp_epsilon"), releases, **BY_RENYI)


class TestCrossCheckPld(AccountantCases, RefusalCases):
    accountant = Accountant(number("pld_epsilon"), releases)


class TestCrossCheckPldTransferred(AccountantCases, RefusalCases):
    """Of the discrete mechanism: dearer, and not by a constant factor."""

    accountant = Accountant(number("pld_transferred"), releases, excess=0.06, deltas=(1e-5, 1e-9))


# --- units above a record, whole members of a sum, budgets ----------------------------

PERSON = 3  # records


def grouped(events: Sequence[Event], delta: float) -> float:
    """Return what releases tell of a person with several records."""
    found = [event for event in events if isinstance(event, DiscreteGaussianRelease)]
    assert len(found) == len(events)
    return epsilon_of([group_of_releases(event, PERSON) for event in found], delta)


class TestPersonsOfReleases(AccountantCases, RefusalCases):
    """Gaussians whose noise is for one record, asked about a person: as much more of it is here."""

    accountant = Accountant(
        grouped,
        lambda multiplier, count: releases(PERSON * multiplier, count),
        **BY_RENYI,
        modules=("groups",),
    )


def trained_on(records: int) -> Any:
    """Return how to ask what equal trainings tell of a person with so many records."""

    def ask(events: Sequence[Event], delta: float) -> float:
        found = only_trainings(events)
        (kind,) = {(event.noise_multiplier, event.sampling_rate) for event in found}
        steps = sum(event.steps for event in found)
        (epsilon,) = training_epsilons(DpSgdTraining(*kind, steps), records, [delta])
        if epsilon is None:
            raise PrivacyParameterError("It states none for this delta.")
        return epsilon

    return ask


@pytest.mark.slow
class TestPersonsOfOneRecordOfTrainings(AccountantCases, RefusalCases):
    accountant = Accountant(
        trained_on(1),
        trainings,
        published=("gaussian", "dp-sgd"),
        modules=("groups",),
        multipliers=(5.0, 5.0),
    )


@pytest.mark.slow
class TestPersonsOfTrainings(AccountantCases, RefusalCases):
    accountant = Accountant(
        trained_on(PERSON),
        lambda multiplier, count: trainings(PERSON * multiplier, count),
        modules=("groups",),
        multipliers=(5.0, 5.0),
    )


MEMBERS, COLLUDING = 40, 4


def told(view: View) -> Accountant:
    """Return how to ask what opened sums tell a view of one member, as of one Gaussian."""
    bound = int(GRID)

    def ask(events: Sequence[SharedNoiseRelease], delta: float) -> float:
        return next(found.epsilon for found in figures(events, delta) if found.view == view)

    def shared(multiplier: float, neighbours: MemberNeighbours) -> SharedNoiseRelease:
        one = SharedNoiseRelease(bound, neighbours, 1e6, 7, MEMBERS, COLLUDING)
        scale = multiplier * one.sensitivity / math.sqrt(one.shares(view))
        return replace(one, share_scale=scale)

    return Accountant(
        ask,
        lambda multiplier, count: [shared(multiplier, "member-to-zero")] * count,
        (shared(7.0, "member-to-any"),),
        **BY_RENYI,
        modules=("shared_noise",),
        read=SharedNoiseRelease.from_dict,
        optional=frozenset({"max_colluding"}),
    )


class TestMembersOfASum(AccountantCases, RefusalCases):
    accountant = told("sum")


class TestMembersOfASumToColludingOnes(AccountantCases, RefusalCases):
    accountant = told("sum-and-colluding")


class TestMembersOfASumToEverybodyElse(AccountantCases, RefusalCases):
    accountant = told("everybody-else")


def least_budget(events: Sequence[Event], delta: float) -> float:
    """Return the least budget whose filter admits a composition, to 1e-9 of it."""
    amount = Amount.of(events)
    low, high = 1e-6, 1e3
    if counted_rho(amount, high, delta) > rho_budget(high, delta):
        raise PrivacyParameterError("No budget that is passed here holds it.")
    while high > low * (1 + 1e-9):
        middle = math.sqrt(low * high)
        fits = counted_rho(amount, middle, delta) <= rho_budget(middle, delta)
        low, high = (low, middle) if fits else (middle, high)
    return high


@pytest.mark.slow
class TestBudgetsThatAreFilters(AccountantCases, RefusalCases):
    """Its total is the least budget that would have admitted all of it."""

    accountant = Accountant(
        least_budget,
        releases,
        (*SUBSAMPLED, *SELECTIONS),
        **BY_RENYI,
        modules=("budget_filter",),
    )


NO_ACCOUNTANTS = {"training_floor": "a bound from below, which the others have to stay above"}


def ours() -> list[Accountant]:
    """Return every accountant of this package that the cases above are run on."""
    every: list[type[AccountantCases]] = [
        found
        for found in globals().values()
        if isinstance(found, type) and issubclass(found, AccountantCases)
    ]
    return [found.accountant for found in every if found is not AccountantCases]


def accountants(package: Path) -> set[str]:
    """Return the modules that state an epsilon at a delta, or call themselves an accountant."""
    found = set()
    for path in package.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        named = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        states = any(
            "epsilon" in node.name
            and not node.name.startswith("_")
            and "_for_" not in node.name  # calibrations ask the other way round
            and {arg.arg for arg in node.args.args} & {"delta", "deltas"}
            for node in functions
        )
        if states or {"NAME", "VERSION"} <= named:
            found.add(path.stem)
    return found


def test_no_accountant_is_left_out_of_the_cases(tmp_path: Path) -> None:
    """If this fails, a new accountant's figures go into receipts, and nothing held them."""
    covered = {module for accountant in ours() for module in accountant.modules}
    there = accountants(Path(secure_fedsa.__file__).parent / "privacy")
    assert {"accountant", "groups", "shared_noise", "amounts", "budget_filter"} <= there
    assert there - NO_ACCOUNTANTS.keys() - covered == set()
    assert NO_ACCOUNTANTS.keys() <= there
    (tmp_path / "functions.py").write_text("def total_epsilon(events, delta):\n    return 0.0\n")
    (tmp_path / "named.py").write_text('NAME = "ours"\nVERSION = "1"\n')
    (tmp_path / "neither.py").write_text("def noise_for_epsilon(epsilon, delta):\n    return 1\n")
    assert accountants(tmp_path) == {"functions", "named"}


@pytest.mark.parametrize("number", range(len(ours())))
def test_the_cases_run_the_module_that_they_are_said_to_cover(number: int) -> None:
    """If this fails, an accountant counts as tested by cases that never ask it."""
    accountant = ours()[number]
    ran: set[str] = set()

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            ran.add(frame.f_globals.get("__name__", ""))

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        if accountant.modules:
            accountant.ask([*accountant.gaussian(5.0, 1), *accountant.others], DELTA)
    finally:
        sys.setprofile(before)
    assert {f"secure_fedsa.privacy.{module}" for module in accountant.modules} <= ran


# --- other people's, as oracles ------------------------------------------------------


def library(kind: str) -> Any:
    """Return how to ask dp_accounting with its own defaults, but for ten times wider PLD cells."""

    def ask(events: Sequence[Event], delta: float) -> float:
        from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
        from dp_accounting.pld import PLDAccountant
        from dp_accounting.rdp import RdpAccountant

        pld = PLDAccountant(value_discretization_interval=1e-3)
        accountant = pld if kind == "pld" else RdpAccountant()
        for event in only_trainings(events):
            step = GaussianDpEvent(event.noise_multiplier)
            if event.sampling_rate < 1:
                step = PoissonSampledDpEvent(event.sampling_rate, step)
            accountant.compose(step, event.steps)
        return float(accountant.get_epsilon(delta))

    return ask


def opacus(name: str) -> Any:
    """Return how to ask an accountant of Opacus."""

    def ask(events: Sequence[Event], delta: float) -> float:
        import opacus.accountants

        accountant = getattr(opacus.accountants, name)()
        accountant.history = [
            (event.noise_multiplier, event.sampling_rate, event.steps)
            for event in only_trainings(events)
        ]
        return float(accountant.get_epsilon(delta))

    return ask


@pytest.mark.slow
class TestDpAccountingPld(AccountantCases):
    accountant = Accountant(library("pld"), trainings, SUBSAMPLED, OF_TRAININGS)


class TestDpAccountingRdp(AccountantCases):
    accountant = Accountant(library("rdp"), trainings, SUBSAMPLED, OF_TRAININGS, **BY_RENYI)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order is the (largest|smallest) alpha")
class TestOpacusRdp(AccountantCases):
    accountant = Accountant(
        opacus("RDPAccountant"), trainings, SUBSAMPLED, OF_TRAININGS, excess=0.2, deltas=(1e-5,)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Optimal order is the (largest|smallest) alpha")
@pytest.mark.filterwarnings("ignore:(divide by zero|invalid value) encountered:RuntimeWarning")
class TestOpacusPrv(AccountantCases):
    accountant = Accountant(
        opacus("PRVAccountant"),
        trainings,
        SUBSAMPLED,
        OF_TRAININGS,
        excess=0.1,
        deltas=(1e-2, 1e-5),
        shift=0.011,
    )


@pytest.mark.filterwarnings("ignore:GDP accounting is experimental")
def test_the_cases_find_the_accountant_that_is_known_to_be_wrong() -> None:
    """If this fails, the cases would pass anything: Opacus's GDP accountant is 11% too low."""

    class Wrong(AccountantCases):
        accountant = Accountant(opacus("GaussianAccountant"), trainings, (), ("dp-sgd",))

    with pytest.raises(AssertionError):
        Wrong().test_published_values()


@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_the_cases_find_an_accountant_that_is_wrong_by_two_percent(factor: float) -> None:
    """If this fails, the cases are too wide to say anything of our own accountant."""

    def ask(events: Sequence[Event], delta: float) -> float:
        return factor * training_epsilon(only_trainings(events), delta)

    class Wrong(AccountantCases):
        accountant = Accountant(ask, trainings, SUBSAMPLED, OF_TRAININGS)

    with pytest.raises(AssertionError):
        Wrong().test_closed_form_gaussian(1.0)


def test_other_peoples_accountants_are_oracles_of_tests_only() -> None:
    """If this fails, a figure in a receipt rests on an accountant that is known to be too low."""
    package = Path(secure_fedsa.__file__).parent
    imported = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
    assert "dp_accounting.pld.PLDAccountant" in imported  # the search sees imports in functions
    assert not {name for name in imported if name.startswith(("opacus.accountants", "prv_"))}


def test_a_mechanism_that_nobody_knows_is_in_no_total() -> None:
    """If this fails, a new kind of event is charged and counted nowhere."""

    class Unknown:
        kind = "unknown"

    with pytest.raises(PrivacyParameterError):
        Amount.of([DiscreteGaussianRelease(1.0, 4.0, 1), Unknown()])  # type: ignore[list-item]
    assert Amount.of([]).epsilon(DELTA) == 0.0
