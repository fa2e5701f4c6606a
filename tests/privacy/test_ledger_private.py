"""What a ledger keeps besides runs: uses outside, linked data sets, statements, limits."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import BudgetError, LedgerError, PrivacyParameterError
from secure_fedsa.privacy.accountant import epsilon_of, rho_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.dp_events import MODULE, composed
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining, Unprotected
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Books, Terms, replay, verify_segment
from secure_fedsa.privacy.ledger_entries import entry_hash, make_entry
from secure_fedsa.privacy.ledger_private import Disjoint, Link, external_body
from secure_fedsa.privacy.mechanisms import calibrate
from tests.privacy.test_ledger import rewrite, stored

DELTA = 1e-5
ONE = [DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA), 257)]
TERMS = Terms(1.5, DELTA)
GAUSSIAN = {"module_name": MODULE, "class_name": "GaussianDpEvent", "noise_multiplier": 4.0}
NOT_PRIVATE = {"module_name": MODULE, "class_name": "NonPrivateDpEvent"}


def new(folder: Path) -> Ledger:
    """Return a new data set's ledger."""
    return Ledger.create(folder, delta=DELTA)


def linked(folder: Path) -> tuple[Ledger, Ledger]:
    """Return two data sets that share persons, and both know it."""
    one, two = new(folder / "one"), new(folder / "two")
    for mine, other in ((one, two), (two, one)):
        place = str(other.path.parent.resolve())
        mine.note("link", Link(other.data_set, place, other.books_alone().spent_alone()).body())
    return one, two


def charge(ledger: Ledger, run: str, budget: float = 1.5, agreement: str = "a") -> None:
    """Charge one release."""
    ledger.reserve(run, agreement, ONE, TERMS, budget)


def test_a_use_outside_counts_in_every_total(tmp_path: Path) -> None:
    """If this fails, a survey of the same people is imported and costs nothing."""
    ledger = new(tmp_path / "state")
    ledger.note("external", external_body("survey", composed([GAUSSIAN] * 3)))
    outside = Amount(3 / 32)
    assert ledger.books().spent() == outside
    assert ledger.spent().epsilon == outside.epsilon(DELTA)
    assert ledger.spent("a").rho == 0
    budget = Amount.sum([outside, Amount.of(ONE)]).epsilon(DELTA)
    with pytest.raises(BudgetError, match="this data set"):
        charge(ledger, "run", budget * 0.999)
    charge(ledger, "run", budget)
    # The same description and events again were another use, if somebody says so.
    ledger.note("external", external_body("survey", composed([GAUSSIAN] * 3)), again=True)
    assert ledger.books().external[1].cost == outside
    assert Ledger.open(tmp_path / "state").books().spent().rho > 6 / 32


def test_a_use_outside_without_protection_ends_every_promise(tmp_path: Path) -> None:
    """If this fails, an epsilon is promised for people whose records were published."""
    ledger = new(tmp_path / "state")
    charge(ledger, "run")
    ledger.note("external", external_body("published by mistake", composed([NOT_PRIVATE])))
    assert ledger.spent().epsilon == float("inf")
    with pytest.raises(BudgetError, match="without differential privacy"):
        charge(ledger, "run-2", 1e6, "another")


def test_a_segment_shows_nothing_of_it(tmp_path: Path) -> None:
    """If this fails, a run's public folder tells of other uses; or its segment does not verify."""
    ledger = new(tmp_path / "state")
    ledger.note("external", external_body("survey", composed([GAUSSIAN])))
    charge(ledger, "run", 4.0)
    ledger.note("limit", {"epsilon": 4.0})
    ledger.note("external", external_body("another", composed([GAUSSIAN])))
    ledger.commit("run")
    segment = ledger.segment("run")
    assert [entry["kind"] for entry in segment] == ["reserve", "commit"]
    assert [entry["position"] for entry in segment] == [2, 5]
    assert verify_segment(segment).committed
    private = json.loads(stored(tmp_path / "state")[3])
    assert private["kind"] == "limit"
    with pytest.raises(LedgerError, match="another run"):
        verify_segment([segment[0], private])
    with pytest.raises(LedgerError, match="not a known kind"):
        verify_segment([segment[0], _of_run(private)])


def _of_run(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a private entry that claims to be of the run, with a hash that fits."""
    claimed = {**entry, "run_id": "run"}
    return {**claimed, "hash": entry_hash(claimed)}


def test_an_import_cannot_be_made_smaller() -> None:
    """If this fails, an owner rewrites what an import cost and recomputes the hash."""
    body = external_body("survey", composed([GAUSSIAN]))
    genesis = make_entry(
        "ab" * 16, "genesis", "", {"delta": DELTA, "inherits": None}, position=0, previous="0" * 64
    )

    def chain(changed: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            genesis,
            make_entry("ab" * 16, "external", "", changed, position=1, previous=genesis["hash"]),
        ]

    assert replay(chain(body)).spent() == Amount(1 / 32)
    for changed in (
        {**body, "amount": 0.001},
        {**body, "events": composed([])},
        {**body, "events": None},
        {**body, "description": 3},
    ):
        with pytest.raises(LedgerError, match="entry 1"):
            replay(chain(changed))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("external", {"description": "", "events": GAUSSIAN, "amount": 0.1}),
        ("limit", {"epsilon": 0}),
        ("limit", {"epsilon": "4"}),
        ("limit", {}),
        ("link", {"data_set": "", "folder": "", "amount": None, "replaces": ""}),
        ("link", {"data_set": "ab", "folder": 3, "amount": None, "replaces": ""}),
        ("link", {"data_set": "ab", "folder": "", "amount": 0, "replaces": ""}),
        ("disjoint", {"data_set": "ab", "statement": "", "key": "k", "signature": "s"}),
        ("erasure", {"items": []}),
        ("reserve", {}),
    ],
)
def test_malformed_notes_are_refused(tmp_path: Path, kind: str, body: dict[str, Any]) -> None:
    """If this fails, one bad note makes a ledger that nobody can open again."""
    ledger = new(tmp_path / "state")
    with pytest.raises(LedgerError):
        ledger.note(kind, body)
    assert Ledger.open(tmp_path / "state").head().position == 0


def test_a_description_is_plain_text() -> None:
    """If this fails, an import's name steers the terminal of whoever lists it."""
    for text in ("", "a\nb", "\x1b[31m", "x" * 201):
        with pytest.raises(LedgerError):
            external_body(text, composed([GAUSSIAN]))
    with pytest.raises(PrivacyParameterError):
        external_body("ok", composed([]))


# --- linked data sets --------------------------------------------------------------------


def test_linked_data_sets_are_summed_in_both(tmp_path: Path) -> None:
    """If this fails, a person in two data sets loses twice what either promises."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 1.5)
    assert two.books().spent() == one.books().spent() == Amount.of(ONE)
    both = epsilon_of(ONE * 2, DELTA)
    with pytest.raises(BudgetError, match="this data set"):
        charge(two, "run-2", both * 0.999, "b")
    with pytest.raises(BudgetError):  # as a party asks before a run
        two.books().require_affordable("next", "b", Amount.of(ONE), TERMS, both * 0.999)
    charge(two, "run-2", both, "b")
    assert one.spent().epsilon == two.spent().epsilon == both
    assert one.books().spent_alone() == Amount.of(ONE)


def test_a_promise_for_one_forbids_giving_away_the_other(tmp_path: Path) -> None:
    """If this fails, the same people's records are published by way of the other data set."""
    one, two = linked(tmp_path)
    charge(one, "run-1")
    with pytest.raises(BudgetError, match="promised a budget"):
        two.reserve("run-2", "gives", [Unprotected()], None, None)
    three, four = linked(tmp_path / "more")
    three.reserve("run-1", "gives", [Unprotected()], None, None)
    with pytest.raises(BudgetError, match="without differential privacy"):
        charge(four, "run-2", 1e6)


@pytest.mark.parametrize("how", ["gone", "another", "damaged"])
def test_a_linked_ledger_that_cannot_be_read_stops_charges(tmp_path: Path, how: str) -> None:
    """If this fails, moving one folder away makes its spend forgotten."""
    one, two = linked(tmp_path)
    charge(one, "run-1")
    if how == "damaged":
        rewrite(tmp_path / "one", ("DELETE FROM entries WHERE position = 1", ()))
    else:
        shutil.rmtree(tmp_path / "one")
    if how == "another":
        new(tmp_path / "one")
    head = two.head()
    with pytest.raises(LedgerError):
        charge(two, "run-2", 9.0)
    books = two.books()  # it can still be shown
    assert set(books.unreachable) == {one.data_set}
    with pytest.raises(LedgerError, match="cannot be read") as refusal:
        books.require_affordable("next", "b", Amount.of(ONE), TERMS, 9.0)
    assert str(tmp_path) not in str(refusal.value)  # other parties read it before a run
    assert two.head() == head


def test_a_known_export_counts_as_it_was(tmp_path: Path) -> None:
    """If this fails, a data set on another machine is linked and counts as nothing."""
    ledger = new(tmp_path / "state")
    ledger.note("link", Link("cd" * 16, "", Amount.of(ONE)).body())
    assert ledger.books().spent() == Amount.of(ONE)
    ledger.note("link", Link("cd" * 16, "", Amount.of(ONE * 2)).body())
    assert ledger.books().spent() == Amount.of(ONE * 2)
    with pytest.raises(BudgetError, match="promised a budget"):
        ledger.reserve("run", "gives", [Unprotected()], None, None)


def _reserve(folder: str, run: str, budget: float, results: Any) -> None:
    try:
        charge(Ledger.open(Path(folder)), run, budget, run)
        results.put("charged")
    except BudgetError:
        results.put("refused")


def at_once(folders: Iterable[Path], budget: float) -> list[str]:
    """Charge ledgers at once, each by a process of its own; return how that ended, in order."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=_reserve, args=(str(folder), f"run-{folder.name}", budget, results))
        for folder in folders
    ]
    for worker in workers:
        worker.start()
    found = sorted(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
    return found


@pytest.mark.slow
def test_two_processes_cannot_both_take_what_is_left(tmp_path: Path) -> None:
    """If this fails, two linked data sets charged at once pass their budget together."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        linked(folder)
        left = epsilon_of(ONE * 2, DELTA) * 0.999
        assert at_once([folder / "one", folder / "two"], left) == ["charged", "refused"]


# --- versions, statements, limits --------------------------------------------------------


def test_a_new_version_takes_everything_over(tmp_path: Path) -> None:
    """If this fails, a new version forgets imports, links or the limit of the one before."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 3.0)
    charge(two, "run-2", 3.0, "b")
    one.note("external", external_body("survey", composed([GAUSSIAN])))
    one.note("limit", {"epsilon": 3.0})
    statement = Disjoint("ef" * 16, "words", "aa", "bb")
    one.note("disjoint", statement.body())
    spent = one.books().spent()
    child = Ledger.create(tmp_path / "child", delta=DELTA, parent=one)
    for ledger in (child, Ledger.create(tmp_path / "grand", delta=DELTA, parent=child)):
        books = ledger.books()
        assert books.spent().rho == pytest.approx(spent.rho, rel=1e-15)
        assert books.spent().rho >= spent.rho
        assert books.limit == 3.0
        assert books.links.keys() == {two.data_set}
        assert books.disjoint == {statement.data_set: statement}
    for kind, body in (
        ("limit", {"epsilon": 1.0}),
        ("external", external_body("late", composed([GAUSSIAN]))),
    ):
        with pytest.raises(LedgerError, match="new version"):
            one.note(kind, body)
    # Who counts the old version is told that there is a new one.
    assert "new version" in two.books().unreachable[one.data_set]
    with pytest.raises(LedgerError, match="cannot be read"):
        charge(two, "run-3", 9.0, "c")


def test_an_inherited_import_is_no_promise(tmp_path: Path) -> None:
    """If this fails, data of which nothing was promised cannot be used in any way."""
    ledger = new(tmp_path / "state")
    ledger.note("external", external_body("survey", composed([GAUSSIAN])))
    child = Ledger.create(tmp_path / "child", delta=DELTA, parent=ledger)
    child.reserve("run", "gives", [Unprotected()], None, None)
    assert child.books().spent() == Amount(1 / 32, (), 1)


def test_a_limit_holds_whatever_an_agreement_allows(tmp_path: Path) -> None:
    """If this fails, a later agreement with a larger budget undoes an earlier promise."""
    ledger = new(tmp_path / "state")
    ledger.note("limit", {"epsilon": 1.0})
    with pytest.raises(BudgetError, match="owner's limit"):
        ledger.reserve("run-0", "gives", [Unprotected()], None, None)
    charge(ledger, "run-1", 50.0)
    with pytest.raises(BudgetError, match="its own limit") as refusal:
        charge(ledger, "run-2", 50.0, "b")
    assert "past its budget of 1 " in str(refusal.value)
    with pytest.raises(LedgerError, match="raises"):
        ledger.note("limit", {"epsilon": 2.0})
    ledger.note("limit", {"epsilon": 0.5})
    assert ledger.books().limit == 0.5


def test_a_ledger_that_began_with_a_large_delta_weakens_no_agreement(tmp_path: Path) -> None:
    """If this fails, a ledger begun at delta 0.1 lets nearly everything pass a budget at 1e-5."""
    ledger = Ledger.create(tmp_path / "state", delta=0.1)
    charge(ledger, "run-1", 1.5, "a")
    both = epsilon_of(ONE * 2, DELTA)
    with pytest.raises(BudgetError, match=r"privacy.data_set_budget\).* at delta 1e-05"):
        charge(ledger, "run-2", both * 0.999, "b")
    charge(ledger, "run-2", both, "b")


def test_a_link_outweighs_a_statement(tmp_path: Path) -> None:
    """If this fails, a wrong statement stands for ever, or undoes a link."""
    ledger = new(tmp_path / "state")
    ledger.note("disjoint", Disjoint("cd" * 16, "words", "aa", "bb").body())
    ledger.note("link", Link("cd" * 16, "", Amount.of(ONE)).body())
    assert ledger.books().disjoint == {}
    with pytest.raises(LedgerError, match="disjoint of what is linked"):
        ledger.note("disjoint", Disjoint("cd" * 16, "words", "aa", "bb").body())


@pytest.mark.slow
def test_a_data_sets_budget_is_a_filter_over_several_kinds(tmp_path: Path) -> None:
    """If this fails, a training that was chosen by a release's result passes the budget."""
    ledger = new(tmp_path / "state")
    first, second = DpSgdTraining(2.4, 1.0, 1), DpSgdTraining(0.3914, 0.001, 1)
    terms = Terms(9.0, DELTA)
    ledger.reserve("run-1", "a", [first], terms, 2.0)
    assert Amount.of([first, second]).epsilon(DELTA) <= 2.0
    with pytest.raises(BudgetError, match="proved to hold"):
        ledger.reserve("run-2", "b", [second], terms, 2.0)
    assert rho_of(ONE) > 0
    assert ledger.books().spent() == Amount.of([first])


def test_promises_are_read_from_the_books_that_are_charged(tmp_path: Path) -> None:
    """If this fails, of two runs at once one passes what the other's agreement promised."""
    ledger = Ledger.create(tmp_path, delta=DELTA)
    once = epsilon_of(ONE, DELTA)

    def promised(books: Books) -> tuple[Terms, ...]:
        return tuple(Terms(1.2 * once, DELTA) for _ in books.charges)

    ledger.reserve("run-1", "a", ONE, TERMS, 9.0, promised=promised)
    with pytest.raises(BudgetError, match="by an earlier agreement"):
        ledger.reserve("run-2", "b", ONE, TERMS, 9.0, promised=promised)
    assert list(ledger.books().charges) == ["run-1"]
    ledger.reserve("run-2", "b", ONE, TERMS, 9.0)
