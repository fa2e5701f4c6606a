"""The ledger of a data set that several mechanisms use, one of them without any protection."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import BudgetError, LedgerError, PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    ExponentialMechanism,
    Unprotected,
)
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms, replay, verify_segment
from secure_fedsa.privacy.ledger_entries import Entry, entry_hash, make_entry
from secure_fedsa.privacy.mechanisms import calibrate

DELTA = 1e-5
RELEASE = DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA), 257)
TRAINING = DpSgdTraining(4.0, 0.1, 100)
ONCE = Amount.of([TRAINING]).epsilon(DELTA)
TWICE = Amount.of([TRAINING, TRAINING]).epsilon(DELTA)
TERMS = Terms(8.0, DELTA)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A new data set's ledger."""
    return Ledger.create(tmp_path / "state", delta=DELTA)


def filled(folder: Path) -> Ledger:
    """Return a ledger that both routes with a promise have charged."""
    ledger = Ledger.create(folder, delta=DELTA)
    ledger.reserve("run-1", "trains", [TRAINING], TERMS, 9.0)
    ledger.commit("run-1")
    ledger.reserve("run-2", "trains", [TRAINING], TERMS, 9.0)
    ledger.reserve("run-3", "sums", [RELEASE], TERMS, 9.0)
    ledger.reserve("run-4", "states", [TRAINING], TERMS, 9.0, stated=True)
    return ledger


def given_away(folder: Path) -> Ledger:
    """Return a ledger of uses without differential privacy."""
    ledger = Ledger.create(folder, delta=DELTA)
    ledger.reserve("run-5", "gives", [Unprotected()], None, None)
    ledger.commit("run-5")
    return ledger


def test_trainings_are_counted_and_survive(tmp_path: Path) -> None:
    """If this fails, a training on people's records is forgotten."""
    filled(tmp_path / "state")
    ledger = Ledger.open(tmp_path / "state")
    books = ledger.books()
    charge = books.charges["run-2"]
    assert charge.cost == Amount(trainings=(TRAINING,))
    assert charge.agreement_total == Amount.of([TRAINING, TRAINING])
    assert (charge.terms, charge.stated) == (TERMS, False)
    assert books.charges["run-4"].stated
    assert books.spent_under("trains") == Amount.of([TRAINING, TRAINING])
    whole = Amount.of([TRAINING, TRAINING, TRAINING, RELEASE])
    assert books.spent() == whole
    assert ledger.spent("trains").epsilon == TWICE
    assert ledger.spent().epsilon == whole.epsilon(DELTA) > TWICE
    assert 0 < ledger.left(9.0).epsilon < 9.0 - TWICE


def test_a_use_without_protection_is_noted_and_survives(tmp_path: Path) -> None:
    """If this fails, nobody knows any more that people's records were given away."""
    given_away(tmp_path / "state")
    ledger = Ledger.open(tmp_path / "state")
    books = ledger.books()
    given = books.charges["run-5"]
    assert (given.terms, given.stated, given.cost) == (None, False, Amount(unprotected=1))
    assert given.committed
    assert ledger.spent().epsilon == math.inf
    assert ledger.spent("gives").epsilon == math.inf
    assert ledger.spent("another").epsilon == 0.0
    assert ledger.left(1e6).epsilon == 0.0


def test_budgets_hold_for_trainings(ledger: Ledger) -> None:
    """If this fails, models are trained on the same people again and again."""
    tight = Terms(TWICE * 1.0001, DELTA)
    for run in ("run-1", "run-2"):
        ledger.reserve(run, "agreement", [TRAINING], tight, 99.0)
    head = ledger.head()
    with pytest.raises(BudgetError, match=r"this agreement \(privacy.agreement_budget\)"):
        ledger.reserve("run-3", "agreement", [TRAINING], tight, 99.0)
    with pytest.raises(BudgetError, match=r"this data set \(privacy.data_set_budget\)"):
        ledger.reserve("run-3", "another", [TRAINING], TERMS, tight.budget)
    assert ledger.head() == head
    ledger.reserve("run-3", "another", [TRAINING], TERMS, 99.0)


def test_releases_and_trainings_share_a_data_sets_budget(ledger: Ledger) -> None:
    """If this fails, each mechanism empties the budget once."""
    ledger.reserve("run-1", "sums", [RELEASE], TERMS, 99.0)
    both = Amount.of([RELEASE, TRAINING]).epsilon(DELTA)
    with pytest.raises(BudgetError, match="this data set"):
        ledger.reserve("run-2", "trains", [TRAINING], TERMS, both * 0.999)
    ledger.reserve("run-2", "trains", [TRAINING], TERMS, both)
    assert ledger.spent().epsilon == both


@pytest.mark.parametrize("event", [RELEASE, TRAINING])
def test_after_a_use_without_protection_no_promise_is_taken(ledger: Ledger, event: Any) -> None:
    """If this fails, an epsilon is promised for records that were given away before."""
    ledger.reserve("run-1", "gives", [Unprotected()], None, None)
    head = ledger.head()
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("run-2", "promises", [event], TERMS, 1e9)
    text = str(refusal.value)
    for part in (
        "'run-2'",
        "this data set",
        "used without differential privacy before",
        "no epsilon bounds what that told",
        "Nothing was charged",
        "route encryption-only",
    ):
        assert part in text
    assert ledger.head() == head
    ledger.reserve("run-2", "gives", [Unprotected()], None, None)  # who promises nothing may go on
    assert ledger.books().spent().unprotected == 2


@pytest.mark.parametrize("event", [RELEASE, TRAINING])
def test_no_promise_is_broken_by_a_use_without_protection(
    ledger: Ledger, tmp_path: Path, event: Any
) -> None:
    """If this fails, people were promised a budget, and then their records are given away."""
    ledger.reserve("run-1", "promises", [event], TERMS, 9.0)
    child = Ledger.create(tmp_path / "new", delta=DELTA, parent=ledger)
    with pytest.raises(BudgetError, match="promised a budget") as refusal:
        child.reserve("run-2", "gives", [Unprotected()], None, None)
    assert "Nothing was charged" in str(refusal.value)
    assert child.head().position == 0
    later = Ledger.create(tmp_path / "newest", delta=DELTA, parent=child)
    with pytest.raises(BudgetError, match="promised a budget"):
        later.reserve("run-2", "gives", [Unprotected()], None, None)


def test_no_promise_of_the_same_ledger_is_broken(ledger: Ledger) -> None:
    """If this fails, the refusal holds for inherited promises only."""
    ledger.reserve("run-1", "trains", [TRAINING], TERMS, 9.0)
    with pytest.raises(BudgetError, match="promised a budget"):
        ledger.reserve("run-2", "gives", [Unprotected()], None, None)
    assert ledger.head().position == 1
    assert ledger.spent("trains").epsilon == ONCE


@pytest.mark.parametrize(
    ("events", "terms", "stated"),
    [
        ([TRAINING], TERMS, True),
        ([TRAINING, TRAINING], TERMS, False),
        ([DpSgdTraining(4.0, 0.1, 99)], TERMS, False),
        ([RELEASE], TERMS, False),
        ([Unprotected()], None, False),
        ([TRAINING], Terms(8.0, 1e-6), False),
    ],
)
def test_a_resumed_training_is_charged_once_and_for_nothing_else(
    ledger: Ledger, events: Any, terms: Any, stated: bool
) -> None:
    """If this fails, a crash costs a second budget, or changes what was paid for."""
    first = ledger.reserve("run", "agreement", [TRAINING], TERMS, 9.0)
    assert ledger.reserve("run", "agreement", [TRAINING], TERMS, 9.0) == first
    assert ledger.head().position == 1
    with pytest.raises(LedgerError, match="charged before"):
        ledger.reserve("run", "agreement", events, terms, 9.0 if terms else None, stated=stated)


@pytest.mark.parametrize(
    ("events", "terms"),
    [
        ([TRAINING, RELEASE], TERMS),
        ([TRAINING, Unprotected()], TERMS),
        ([Unprotected(), TRAINING], None),
        ([RELEASE], None),
        ([ExponentialMechanism(0.1)], TERMS),
        ([TRAINING], None),
        ([Unprotected()], TERMS),
        ([], None),
    ],
)
def test_a_charge_is_of_one_kind_with_a_budget_if_it_has_an_epsilon(
    ledger: Ledger, events: Any, terms: Any
) -> None:
    """If this fails, a training is charged as a use that no budget counts."""
    with pytest.raises((PrivacyParameterError, BudgetError)):
        ledger.reserve("run", "agreement", events, terms, 9.0 if terms else None)
    assert ledger.head().position == 0


def test_an_agreement_keeps_to_having_a_budget(ledger: Ledger) -> None:
    """If this fails, an agreement with a promise has a run without one."""
    ledger.reserve("run-1", "agreement", [TRAINING], TERMS, 9.0)
    with pytest.raises(LedgerError, match="budget of an agreement changed"):
        ledger.reserve("run-2", "agreement", [Unprotected()], None, None)


@pytest.mark.parametrize("make", [filled, given_away])
def test_a_new_version_inherits_every_kind_of_spend(
    tmp_path: Path, make: Callable[[Path], Ledger]
) -> None:
    """If this fails, adding one record makes trainings and uses without protection undone."""
    parent = make(tmp_path / "old")
    child = Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    grandchild = Ledger.create(tmp_path / "newest", delta=DELTA, parent=child)
    for ledger in (child, grandchild, Ledger.open(tmp_path / "newest")):
        books = ledger.books()
        assert books.spent() == parent.books().spent()
        for name in ("trains", "sums", "states", "gives"):
            assert books.spent_under(name) == parent.books().spent_under(name)
    spent = grandchild.spent().epsilon
    with pytest.raises(BudgetError):
        grandchild.reserve("run-9", "new", [TRAINING], TERMS, min(spent, 1e9))
    with pytest.raises(LedgerError, match="new version"):
        child.reserve("run-9", "gives", [Unprotected()], None, None)


def test_a_training_after_inherited_ones_states_their_total(tmp_path: Path) -> None:
    """If this fails, an auditor takes the newest version's charges for all there were."""
    parent = Ledger.create(tmp_path / "old", delta=DELTA)
    parent.reserve("run-1", "trains", [TRAINING], TERMS, 9.0)
    child = Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    charge = child.reserve("run-2", "trains", [TRAINING], TERMS, 9.0)
    assert charge.agreement_total == Amount.of([TRAINING, TRAINING])
    assert verify_segment(child.segment("run-2")).agreement_total == charge.agreement_total


# --- lies in a segment --------------------------------------------------------------


def rehashed(entries: list[Entry]) -> list[Entry]:
    """Return entries whose hashes fit again."""
    previous = ""
    for entry in entries:
        if previous:
            entry["previous"] = previous
        previous = entry["hash"] = entry_hash(entry)
    return entries


def body(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a reserve entry's body; None removes an entry."""

    def tell(of: dict[str, Any]) -> None:
        for name, value in changes.items():
            if value is None:
                del of[name]
            else:
                of[name] = value

    return tell


LISTED = TRAINING.to_dict()
RHO = RELEASE.to_dict()
LIES: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "another training": ("run-1", body(events=[{**LISTED, "noise_multiplier": 8.0}])),
    "fewer steps": ("run-1", body(agreement_trainings=[{**LISTED, "steps": 99}])),
    "no total": ("run-1", body(agreement_trainings=[])),
    "a total of another kind": (
        "run-1",
        body(agreement_trainings=[{**LISTED, "sampling_rate": 0.2}]),
    ),
    "a total that is not merged": ("run-1", body(agreement_trainings=[LISTED, LISTED])),
    "a total of releases": ("run-1", body(agreement_trainings=[RHO])),
    "stated as one": ("run-1", body(stated=1)),
    "stated as text": ("run-1", body(stated="no")),
    "not said whether stated": ("run-1", body(stated=None)),
    "no budget": ("run-1", body(budget=None)),
    "a budget that is true": ("run-1", body(budget=True)),
    "an infinite delta": ("run-1", body(delta=2.0)),
    "a rho beside": ("run-1", body(rho=0.1)),
    "a training as a use without protection": (
        "run-1",
        body(stated=None, agreement_trainings=None, delta=None, budget=None),
    ),
    "a training as a release": (
        "run-1",
        body(stated=None, agreement_trainings=None, rho=0.1, agreement_rho=0.1),
    ),
    "an unprotected use as a training": (
        "run-1",
        body(events=[Unprotected().to_dict()]),
    ),
    "an unprotected use beside a training": (
        "run-1",
        body(events=[LISTED, Unprotected().to_dict()]),
    ),
    "a release as a training": ("run-1", body(events=[RHO])),
    "a release as a use without protection": ("run-5", body(events=[RHO])),
    "a use without protection under a budget": ("run-5", body(budget=8.0, delta=DELTA)),
    "a use without protection that was stated": ("run-5", body(stated=True)),
    "no use at all": ("run-5", body(events=[])),
    "an epsilon of a use without protection": (
        "run-5",
        body(events=[{**Unprotected().to_dict(), "epsilon": 1.0}]),
    ),
    "a release of another rho": ("run-3", body(rho=0.01)),
    "a total below its release": ("run-3", body(agreement_rho=0.01)),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_in_a_segment_is_refused(tmp_path: Path, name: str) -> None:
    """If this fails, the run folder shows another charge than was made."""
    run, tell = LIES[name]
    make = given_away if run == "run-5" else filled
    entries = json.loads(json.dumps(make(tmp_path / "state").segment(run)))
    verify_segment(copy.deepcopy(entries))
    tell(entries[0]["body"])
    with pytest.raises(LedgerError):
        verify_segment(rehashed(entries))


def _chain(*bodies: dict[str, Any], inherits: Any = None) -> list[Entry]:
    """Return a whole chain of reserve entries, hashes and all."""
    entries = [
        make_entry(
            "ab" * 16,
            "genesis",
            "",
            {"delta": DELTA, "inherits": inherits},
            position=0,
            previous="0" * 64,
        )
    ]
    for position, content in enumerate(bodies, 1):
        entries.append(
            make_entry(
                "ab" * 16,
                "reserve",
                f"run-{position}",
                content,
                position=position,
                previous=entries[-1]["hash"],
            )
        )
    return entries


def test_a_chain_whose_total_leaves_a_training_out_is_refused() -> None:
    """If this fails, a teacher that rewrites its ledger passes a budget unseen."""
    common = {"agreement": "a", "events": [LISTED], "stated": False, "delta": DELTA, "budget": 8.0}
    first = {**common, "agreement_trainings": [LISTED]}
    second = {**common, "agreement_trainings": [{**LISTED, "steps": 200}]}
    assert replay(_chain(first, second)).spent() == Amount.of([TRAINING, TRAINING])
    for wrong in ([LISTED], [{**LISTED, "steps": 300}], [OTHER_KIND, {**LISTED, "steps": 200}]):
        with pytest.raises(LedgerError, match="not the sum of its charges"):
            replay(_chain(first, {**common, "agreement_trainings": wrong}))


OTHER_KIND = DpSgdTraining(1.0, 0.1, 5).to_dict()


@pytest.mark.parametrize(
    "spent",
    [
        0,
        {"rho": 0, "trainings": [], "unprotected": 0},
        {"rho": 0, "trainings": [LISTED, LISTED], "unprotected": 0},
        {"rho": 0, "trainings": [LISTED], "unprotected": -1},
        {"rho": -1.0, "trainings": [LISTED], "unprotected": 0},
        {"trainings": [LISTED], "unprotected": 0},
        [LISTED],
        None,
    ],
)
def test_a_malformed_inheritance_is_refused(spent: Any) -> None:
    """If this fails, a forged first entry makes what was spent before smaller."""
    inherits = {"data_set": "cd" * 16, "head": "ef" * 32, "spent": {"a": spent}, "rosters": []}
    with pytest.raises(LedgerError, match="entry 0"):
        replay(_chain(inherits=inherits))
    inherits["spent"] = {"a": {"rho": 0, "trainings": [LISTED], "unprotected": 1}}
    assert replay(_chain(inherits=inherits)).spent() == Amount.of([TRAINING, Unprotected()])
