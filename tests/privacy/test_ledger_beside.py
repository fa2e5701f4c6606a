"""What a charge owes to linked data sets: their limits and promises bind it too."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest

from secure_fedsa.errors import BudgetError, LedgerError
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.privacy.ledger_private import Link
from tests.privacy.test_ledger_private import DELTA, ONE, TERMS, at_once, charge, linked, new

TWICE, THRICE = epsilon_of(ONE * 2, DELTA), epsilon_of(ONE * 3, DELTA)


def link(one: Ledger, two: Ledger) -> None:
    """Link two ledgers, as `ledger link` does."""
    for mine, other in ((one, two), (two, one)):
        place = str(other.path.parent.resolve())
        mine.note("link", Link(other.data_set, place, other.books_alone().spent_alone()).body())


def test_a_charge_keeps_the_limit_of_a_linked_data_set(tmp_path: Path) -> None:
    """If this fails, an owner's "no run takes this data set past epsilon 6" is not true."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 9.0)
    one.note("limit", {"epsilon": TWICE})
    charge(two, "run-2", 9.0, "b")  # just fits
    head = two.head()
    with pytest.raises(BudgetError, match=rf"linked data set {one.data_set[:12]} \(its own limit"):
        charge(two, "run-3", 9.0, "c")
    with pytest.raises(BudgetError, match="linked data set"):  # as a party asks before a run
        two.books().require_affordable("next", "c", Amount.of(ONE), TERMS, 9.0)
    assert two.head() == head
    assert one.spent().epsilon == TWICE


def test_a_charge_keeps_what_was_promised_of_a_linked_data_set(tmp_path: Path) -> None:
    """If this fails, an agreement's data_set_budget holds until somebody runs on the other one."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 9.0)
    for budget, delta in ((TWICE * 0.999, DELTA), (TWICE, DELTA / 10)):
        promises = {one.data_set: (Terms(budget, delta),)}
        with pytest.raises(BudgetError, match="by an agreement of its own, to epsilon"):
            two.reserve("run-2", "b", ONE, TERMS, 9.0, beside=partial(_said, promises))
    promises = {one.data_set: (Terms(TWICE, DELTA),)}
    two.reserve("run-2", "b", ONE, TERMS, 9.0, beside=partial(_said, promises))


def _said(promises: Mapping[str, tuple[Terms, ...]], _: Books) -> Mapping[str, tuple[Terms, ...]]:
    return promises


def test_a_refusal_names_noise_that_fits_the_linked_one_too(tmp_path: Path) -> None:
    """If this fails, somebody signs a new agreement whose noise is refused as well."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 9.0)
    one.note("limit", {"epsilon": 1.1})
    with pytest.raises(BudgetError, match=r"noise multiplier of ([0-9.]+) or more") as refusal:
        charge(two, "run-2", 1.5, "b")
    assert "budgets of" not in str(refusal.value)  # nobody can raise an owner's limit


def test_in_a_chain_each_counts_what_it_is_linked_to(tmp_path: Path) -> None:
    """If this fails, a third data set's spend is forgotten in the limit of the one between."""
    one, two = linked(tmp_path)
    three = new(tmp_path / "three")
    link(one, three)  # three - one - two; two and three share nobody
    charge(three, "run-1", 9.0)
    charge(one, "run-2", 9.0)
    one.note("limit", {"epsilon": TWICE})
    assert two.books().spent() == Amount.of(ONE)
    with pytest.raises(BudgetError, match=one.data_set[:12]):
        charge(two, "run-3", 9.0, "b")
    with pytest.raises(BudgetError, match=one.data_set[:12]):
        charge(three, "run-3", 9.0, "b")
    # What the far end may spend binds nobody here: they share no person.
    three.note("limit", {"epsilon": TWICE * 0.999})
    four = new(tmp_path / "four")
    link(two, four)
    charge(four, "run-3", 9.0, "b")


def test_a_linked_total_that_cannot_be_known_stops_charges(tmp_path: Path) -> None:
    """If this fails, moving a third folder away frees what it spent of another's limit."""
    one, two = linked(tmp_path)
    three = new(tmp_path / "three")
    link(one, three)
    charge(three, "run-1", 9.0)
    shutil.move(tmp_path / "three", tmp_path / "moved")
    charge(two, "run-2", 9.0)  # nothing was promised of the one between
    one.note("limit", {"epsilon": 9.0})
    with pytest.raises(LedgerError, match="cannot be read") as refusal:
        charge(two, "run-3", 9.0, "b")
    for data_set in (one.data_set, three.data_set):
        assert data_set[:12] in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)


def test_a_limit_of_later_than_the_link_holds_and_versions_keep_it(tmp_path: Path) -> None:
    """If this fails, a new version of either data set forgets the other's limit."""
    one, two = linked(tmp_path)
    charge(one, "run-1", 9.0)
    charge(two, "run-2", 9.0, "b")
    one.note("limit", {"epsilon": TWICE})
    child = Ledger.create(tmp_path / "child", delta=DELTA, parent=two)
    # The link back is still to the version before: it is not counted twice, nor forgotten.
    assert child.books().beside[one.data_set].spent() == Amount.of(ONE * 2)
    with pytest.raises(BudgetError, match="its own limit"):
        charge(child, "run-3", 9.0, "c")
    newer = Ledger.create(tmp_path / "newer", delta=DELTA, parent=one)
    body = Link(newer.data_set, str(tmp_path / "newer"), newer.books_alone().spent_alone())
    child.note("link", body.body(one.data_set))
    with pytest.raises(BudgetError, match=newer.data_set[:12]):
        charge(child, "run-3", 9.0, "c")


def test_of_an_export_nothing_is_known_to_keep(tmp_path: Path) -> None:
    """If this fails, a data set elsewhere stops every run, or a limit is claimed to hold."""
    ledger = new(tmp_path / "state")
    ledger.note("link", Link("cd" * 16, "", Amount.of(ONE)).body())
    assert not ledger.books().beside
    charge(ledger, "run-1", TWICE)


@pytest.mark.slow
def test_two_ends_of_a_chain_cannot_both_take_what_is_left(tmp_path: Path) -> None:
    """If this fails, two charges at once, on data sets that share nobody, pass one's limit."""
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        one, _ = linked(folder)
        link(one, new(folder / "three"))
        charge(one, "run-0", 9.0)
        one.note("limit", {"epsilon": THRICE * 0.999})
        assert at_once([folder / "two", folder / "three"], 9.0) == ["charged", "refused"]
