"""Every accountant, ours and those that check ours, against one class of cases."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import secure_fedsa
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.cross_check import cross_check
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
)
from secure_fedsa.privacy.training_accountant import renyi_epsilon, training_epsilon
from tests.privacy.accountant_cases import (
    DELTA,
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
    accountant = Accountant(epsilon_of, releases, **BY_RENYI)


class TestHeadlineOfTrainings(AccountantCases, RefusalCases):
    accountant = Accountant(
        lambda events, delta: training_epsilon(only_trainings(events), delta),
        trainings,
        SUBSAMPLED,
        OF_TRAININGS,
    )


class TestRenyiOfTrainings(AccountantCases):
    accountant = Accountant(
        lambda events, delta: renyi_epsilon(only_trainings(events), delta),
        trainings,
        SUBSAMPLED,
        OF_TRAININGS,
        excess=0.18,
        deltas=(1e-5, 1e-9),
    )


class TestAmountOfReleases(AccountantCases, RefusalCases):
    accountant = Accountant(
        lambda events, delta: Amount.of(events).epsilon(delta),
        releases,
        (*SUBSAMPLED, *SELECTIONS),
        ("gaussian", "dp-sgd", "trainings", "selections", "mixes"),
        **BY_RENYI,
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
    accountant = Accountant(number("epsilon"), releases, **BY_RENYI)


class TestCrossCheckRdp(AccountantCases, RefusalCases):
    accountant = Accountant(number("rdp_epsilon"), releases, **BY_RENYI)


class TestCrossCheckPld(AccountantCases, RefusalCases):
    accountant = Accountant(number("pld_epsilon"), releases)


class TestCrossCheckPldTransferred(AccountantCases, RefusalCases):
    """Of the discrete mechanism: dearer, and not by a constant factor."""

    accountant = Accountant(number("pld_transferred"), releases, excess=0.06, deltas=(1e-5, 1e-9))


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
