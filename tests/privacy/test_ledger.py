"""The privacy ledger: budgets, resumes, inheritance, tampering."""

from __future__ import annotations

import json
import math
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import BudgetError, LedgerError, PrivacyParameterError, StorageError
from secure_fedsa.privacy.accountant import epsilon_of, rho_of
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import FILE_NAME, Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.ledger_entries import entry_hash
from secure_fedsa.privacy.mechanisms import calibrate

DELTA = 1e-5
ONE = [DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA), 257)]
HALF = [DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA, releases=2), 257)]
ROSTER = {"roster": "ab" * 32, "members": ["clinic", "hospital", "registry"]}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "state", delta=DELTA)


def filled(folder: Path) -> Ledger:
    ledger = Ledger.create(folder, delta=DELTA)
    ledger.reserve("run-1", "agreement-a", HALF, Terms(1.0, DELTA), 8.0)
    ledger.commit("run-1")
    ledger.record("roster-opened", "run-1", ROSTER)
    ledger.reserve("run-2", "agreement-a", HALF, Terms(1.0, DELTA), 8.0)
    ledger.reserve("run-3", "agreement-b", ONE, Terms(2.0, DELTA), 8.0)
    ledger.record("abort", "run-3", {"reason": "time-out", "missing": ["clinic"]})
    ledger.commit("run-3")
    return ledger


def rewrite(folder: Path, *statements: tuple[str, tuple[Any, ...]]) -> None:
    connection = sqlite3.connect(folder / FILE_NAME)
    for statement, values in statements:
        connection.execute(statement, values)
    connection.commit()
    connection.close()


def stored(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / FILE_NAME)
    rows = [row[0] for row in connection.execute("SELECT entry FROM entries ORDER BY position")]
    connection.close()
    return rows


def test_a_charge_is_counted_and_survives(ledger: Ledger) -> None:
    """If this fails, privacy is spent and forgotten."""
    assert ledger.spent().epsilon == 0
    charge = ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 3.0)
    assert charge.cost.rho == rho_of(ONE)
    assert not charge.committed
    again = Ledger.open(ledger.path.parent)
    assert again.data_set == ledger.data_set
    assert again.spent().epsilon == epsilon_of(ONE, DELTA)
    assert again.spent("agreement").rho == rho_of(ONE)
    assert again.spent("another").rho == 0
    assert again.left(1.0, "agreement").epsilon < 0.01
    assert 1.5 < again.left(3.0).epsilon < 3.0


def test_a_resume_is_not_a_second_charge(ledger: Ledger) -> None:
    """If this fails, a crash costs a second budget; or a resume draws noise twice."""
    first = ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 1.0)
    assert ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 1.0) == first
    ledger.commit("run")
    ledger.commit("run")
    resumed = ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 1.0)
    assert resumed.committed
    assert ledger.spent().rho == rho_of(ONE)
    assert [entry["kind"] for entry in ledger.segment("run")] == ["reserve", "commit"]


@pytest.mark.parametrize(
    ("agreement", "events", "delta", "budget"),
    [
        ("agreement", HALF, DELTA, 1.0),
        ("agreement", ONE * 2, DELTA, 1.0),
        ("another", ONE, DELTA, 1.0),
        ("agreement", ONE, 1e-6, 1.0),
        ("agreement", ONE, DELTA, 5.0),
    ],
)
def test_the_same_run_cannot_be_charged_for_something_else(
    ledger: Ledger, agreement: str, events: Any, delta: float, budget: float
) -> None:
    """If this fails, a run releases more than it was charged for."""
    ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 1.0)
    with pytest.raises(LedgerError, match="charged before"):
        ledger.reserve("run", agreement, events, Terms(budget, delta), 1.0)


def test_an_agreement_cannot_raise_its_own_budget(ledger: Ledger) -> None:
    """If this fails, the second run of an agreement ignores what all parties signed."""
    ledger.reserve("run-1", "agreement", ONE, Terms(1.0, DELTA), 9.0)
    with pytest.raises(LedgerError, match="budget of an agreement changed"):
        ledger.reserve("run-2", "agreement", ONE, Terms(9.0, DELTA), 9.0)


def test_a_passed_budget_is_refused_in_words(ledger: Ledger) -> None:
    """If this fails, a privacy officer cannot see from the refusal what is left."""
    ledger.reserve("run-1", "agreement", HALF, Terms(1.0, DELTA), 9.0)
    head = ledger.head()
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("run-2", "agreement", ONE, Terms(1.0, DELTA), 9.0)
    text = str(refusal.value)
    spent, asked = epsilon_of(HALF, DELTA), epsilon_of(ONE, DELTA)
    for part in (
        "'run-2'",
        "this agreement",
        "budget of 1 at delta 1e-05",
        f"Spent: epsilon {spent:.6g} (rho {rho_of(HALF):.6g})",
        f"Asked: epsilon {asked:.6g} (rho {rho_of(ONE):.6g})",
        "Left: epsilon 0.68",
        "Nothing was charged",
    ):
        assert part in text
    assert "a budget of" not in text.split("What fits")[1]  # all signed it: nobody raises it
    assert ledger.head() == head


def test_a_refusal_under_an_agreement_names_what_binds_and_no_way_round(ledger: Ledger) -> None:
    """If this fails, who is refused raises a budget that all signed, and is refused again."""
    ledger.note("limit", {"epsilon": 1.2})
    ledger.reserve("run-1", "agreement", HALF, Terms(1.0, DELTA), 1.1)
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("run-2", "agreement", ONE, Terms(1.0, DELTA), 1.1)
    text = str(refusal.value)
    assert "this agreement (privacy.agreement_budget) to epsilon" in text
    assert "would also pass this data set (privacy.data_set_budget), 1.1 at delta 1e-05" in text
    assert f"; and this data set (its own limit), 1.2 at delta {DELTA:g}." in text
    assert "budget of 1 at" in text
    assert "or more for" not in text
    (noise,) = re.findall(r"What fits: the same run with a noise multiplier of (\S+) or more", text)
    assert "a budget of" not in text.split("What fits")[1]
    assert "A new agreement begins with nothing spent of its own agreement_budget" in text
    assert "with all that was spent of what holds for all runs on the data set" in text
    assert text.count("Nothing was charged") == 1
    quieter = [DiscreteGaussianRelease(1.0, float(noise), 1)]
    ledger.reserve("run-2", "agreement", quieter, Terms(1.0, DELTA), 1.1)  # it fits all of them


def test_a_refusal_by_the_data_set_offers_no_new_agreement(ledger: Ledger) -> None:
    """If this fails, a second agreement is signed that the same budget refuses."""
    ledger.reserve("run-1", "agreement-a", HALF, Terms(1.0, DELTA), 1.0)
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("run-2", "agreement-b", ONE, Terms(9.0, DELTA), 1.0)
    assert "a budget of" in str(refusal.value).split("What fits")[1]  # of a draft, it can be
    assert "A new agreement" not in str(refusal.value)
    ledger.reserve("run-2", "agreement-c", HALF, Terms(9.0, DELTA), 1.0)
    with pytest.raises(BudgetError, match="this data set") as refusal:
        ledger.reserve("run-3", "agreement-c", HALF, Terms(9.0, DELTA), 1.0)
    # It was charged under: what it promised of the data set binds every later one.
    assert "a budget of" not in str(refusal.value).split("Nothing was charged")[1]


def test_the_data_sets_budget_counts_all_agreements(ledger: Ledger) -> None:
    """If this fails, many small agreements together empty a person's privacy."""
    ledger.reserve("run-1", "agreement-a", HALF, Terms(1.0, DELTA), 1.0)
    ledger.reserve("run-2", "agreement-b", HALF, Terms(1.0, DELTA), 1.0)
    with pytest.raises(BudgetError, match="this data set"):
        ledger.reserve("run-3", "agreement-c", HALF, Terms(1.0, DELTA), 1.0)
    assert ledger.spent().epsilon <= 1.0


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "1", None])
def test_bad_numbers_are_refused(ledger: Ledger, tmp_path: Path, value: Any) -> None:
    """If this fails, a NaN budget lets everything pass."""
    for delta, budget, whole in ((value, 1.0, 1.0), (DELTA, value, 1.0), (DELTA, 1.0, value)):
        with pytest.raises(PrivacyParameterError):
            ledger.reserve("run", "agreement", ONE, Terms(budget, delta), whole)
    with pytest.raises(PrivacyParameterError):
        Ledger.create(tmp_path / "other", delta=value)
    with pytest.raises(PrivacyParameterError):
        ledger.left(value)
    assert ledger.head().position == 0


def test_empty_charges_and_names_are_refused(ledger: Ledger) -> None:
    """If this fails, a run is charged nothing, or cannot be found again."""
    with pytest.raises(PrivacyParameterError):
        ledger.reserve("run", "agreement", [], Terms(1.0, DELTA), 1.0)
    for name in ("", "a\nb", "x" * 201):
        with pytest.raises(LedgerError):
            ledger.reserve(name, "agreement", ONE, Terms(1.0, DELTA), 1.0)
        with pytest.raises(LedgerError):
            ledger.reserve("run", name, ONE, Terms(1.0, DELTA), 1.0)
    with pytest.raises(LedgerError):
        ledger.commit("run")


def test_notes(ledger: Ledger) -> None:
    """If this fails, the memory of opened rosters is lost, or free text becomes public."""
    ledger.record("roster-opened", "run", ROSTER)
    ledger.record("roster-opened", "run", ROSTER)
    assert ledger.opened_rosters() == [frozenset(ROSTER["members"])]
    assert ledger.head().position == 1
    for kind, body in (
        ("reserve", ROSTER),
        ("gossip", {"text": "x"}),
        ("roster-opened", {**ROSTER, "patients": ["x"]}),
        ("roster-opened", {"roster": "x"}),
        ("roster-opened", {"roster": "x", "members": "abc"}),
        ("erasure", {"items": [1]}),
        ("burn", {"reason": 3.5}),
    ):
        with pytest.raises(LedgerError):
            ledger.record(kind, "run", body)


def test_a_new_version_inherits_the_spend_and_closes_the_old_one(tmp_path: Path) -> None:
    """If this fails, adding one record to a data set resets everybody's privacy."""
    parent = filled(tmp_path / "old")
    spent = parent.spent()
    child = Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    assert child.data_set != parent.data_set
    assert child.spent().rho == pytest.approx(spent.rho, rel=1e-15)
    assert child.spent().rho >= spent.rho
    assert child.opened_rosters() == parent.opened_rosters() != []
    assert child.spent("agreement-a").rho == parent.spent("agreement-a").rho
    with pytest.raises(LedgerError, match="new version"):
        parent.reserve("run-9", "agreement-c", HALF, Terms(1.0, DELTA), 9.0)
    parent.commit("run-2")
    with pytest.raises(BudgetError):
        child.reserve("run-9", "agreement-a", HALF, Terms(1.0, DELTA), 9.0)
    child.reserve("run-9", "agreement-c", HALF, Terms(1.0, DELTA), 9.0)
    with pytest.raises(LedgerError, match="another folder"):
        Ledger.create(tmp_path / "second", delta=DELTA, parent=parent)
    with pytest.raises(LedgerError, match="already has a ledger"):
        Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    Ledger.open(tmp_path / "old")
    Ledger.open(tmp_path / "new")


def test_a_crash_while_inheriting_can_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a power cut leaves a data set that can never be used again."""
    parent = filled(tmp_path / "old")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("secure_fedsa.privacy.ledger.insert_entry", crash)
        with pytest.raises(KeyboardInterrupt):
            Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    parent.supersede(tmp_path / "new", "cd" * 16)
    child = Ledger.create(tmp_path / "new", delta=DELTA, parent=parent)
    assert child.data_set == "cd" * 16
    assert child.spent().rho >= parent.spent().rho


def test_every_flipped_row_is_found_and_named(tmp_path: Path) -> None:
    """If this fails, a teacher edits its past and still passes as honest."""
    folder = tmp_path / "state"
    filled(folder)
    rows = stored(folder)
    for position, row in enumerate(rows):
        for at in range(3, len(row), 31):
            changed = row[:at] + ("x" if row[at] != "x" else "y") + row[at + 1 :]
            update = "UPDATE entries SET entry = ? WHERE position = ?"
            rewrite(folder, (update, (changed, position)))
            with pytest.raises(LedgerError, match=f"entry {position} "):
                Ledger.open(folder)
            rewrite(folder, (update, (row, position)))
    assert Ledger.open(folder).spent().epsilon > 1


def test_rehashed_rows_are_found(tmp_path: Path) -> None:
    """If this fails, recomputing one hash is enough to rewrite the past."""
    folder = tmp_path / "state"
    filled(folder)
    for position, row in enumerate(stored(folder)):
        entry = json.loads(row)
        entry["data_set"] = "00" * 16
        entry["hash"] = entry_hash(entry)
        text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
        update = "UPDATE entries SET entry = ? WHERE position = ?"
        rewrite(folder, (update, (text, position)))
        with pytest.raises(LedgerError, match=r"entry \d+ "):
            Ledger.open(folder)
        rewrite(folder, (update, (row, position)))


def test_a_plausible_rehashed_note_breaks_the_chain(tmp_path: Path) -> None:
    """If this fails, an opened roster is rewritten and the difference attack comes back."""
    folder = tmp_path / "state"
    filled(folder)
    entry = json.loads(stored(folder)[3])
    assert entry["kind"] == "roster-opened"
    entry["body"]["members"].append("university")
    entry["hash"] = entry_hash(entry)
    text = json.dumps(entry, sort_keys=True, separators=(",", ":"))
    rewrite(folder, ("UPDATE entries SET entry = ? WHERE position = 3", (text,)))
    with pytest.raises(LedgerError, match=r"entry 4 .* does not follow"):
        Ledger.open(folder)


def test_removed_swapped_and_cut_rows_are_found(tmp_path: Path) -> None:
    """If this fails, a charge disappears from the middle, or the newest ones do."""
    folder = tmp_path / "state"
    head = filled(folder).head()
    rows = stored(folder)
    insert = "INSERT INTO entries VALUES (?, ?)"
    for position in range(len(rows) - 1):
        rewrite(folder, ("DELETE FROM entries WHERE position = ?", (position,)))
        with pytest.raises(LedgerError, match=f"entry {position} "):
            Ledger.open(folder)
        rewrite(folder, (insert, (position, rows[position])))
    assert Ledger.open(folder, known_head=head.hash).head() == head
    rewrite(folder, ("DELETE FROM entries WHERE position = ?", (len(rows) - 1,)))
    with pytest.raises(LedgerError, match="head that was seen before"):
        Ledger.open(folder, known_head=head.hash)
    rewrite(folder, ("DELETE FROM entries", ()))
    with pytest.raises(LedgerError, match="empty"):
        Ledger.open(folder)


def test_tampering_while_the_ledger_is_open_is_found(tmp_path: Path) -> None:
    """If this fails, the check at opening can be outwaited."""
    folder = tmp_path / "state"
    ledger = filled(folder)
    rewrite(folder, ("DELETE FROM entries WHERE position = 1", ()))
    with pytest.raises(LedgerError, match="entry 1 "):
        ledger.reserve("run-9", "agreement-c", HALF, Terms(1.0, DELTA), 9.0)
    with pytest.raises(LedgerError, match="entry 1 "):
        ledger.spent()


def test_segments_verify_alone(tmp_path: Path) -> None:
    """If this fails, an auditor cannot check a charge from the run folder."""
    ledger = filled(tmp_path / "state")
    segment = json.loads(json.dumps(ledger.segment("run-1")))
    charge = Ledger.verify_segment(segment)
    assert charge.committed
    assert charge.cost.rho == rho_of(HALF)
    assert not Ledger.verify_segment(ledger.segment("run-2")).committed
    second = Ledger.verify_segment(ledger.segment("run-2"))
    assert second.agreement_total.rho == pytest.approx(2 * rho_of(HALF))
    with pytest.raises(LedgerError):
        ledger.segment("run-x")
    with pytest.raises(LedgerError):
        ledger.segment("")


def test_bad_segments_are_refused(tmp_path: Path) -> None:
    """If this fails, a forged segment shows a smaller charge than was made."""
    ledger = filled(tmp_path / "state")
    one, two = ledger.segment("run-1"), ledger.segment("run-2")
    cheaper = json.loads(json.dumps(one))
    cheaper[0]["body"]["events"][0]["noise_scale"] *= 2
    rehashed = json.loads(json.dumps(cheaper))
    rehashed[0]["hash"] = entry_hash(rehashed[0])
    other_rho = json.loads(json.dumps(one[:1]))
    other_rho[0]["body"]["rho"] /= 2
    other_rho[0]["hash"] = entry_hash(other_rho[0])
    nan = json.loads(json.dumps(one[:1]))
    nan[0]["body"]["delta"] = math.nan
    bad: list[Any] = [
        [],
        one[1:],
        one[::-1],
        [one[0], *one],
        one + two,
        [one[0], two[0]],
        cheaper,
        rehashed,
        other_rho,
        nan,
        [{**one[0], "extra": 1}],
        [{}],
        [None],
    ]
    for entries in bad:
        with pytest.raises(LedgerError):
            Ledger.verify_segment(entries)


def test_other_files_are_refused(tmp_path: Path, ledger: Ledger) -> None:
    """If this fails, a wrong path reads as a data set without any spend."""
    with pytest.raises(LedgerError, match="no privacy ledger"):
        Ledger.open(tmp_path / "nowhere")
    garbage = tmp_path / "garbage"
    garbage.mkdir()
    (garbage / FILE_NAME).write_bytes(b"this is not a database, it is just text" * 50)
    with pytest.raises(LedgerError):
        Ledger.open(garbage)
    (garbage / FILE_NAME).write_bytes(b"")
    with pytest.raises(LedgerError, match="not a privacy ledger"):
        Ledger.open(garbage)
    other = Ledger.create(tmp_path / "other", delta=DELTA)
    other.path.write_bytes(ledger.path.read_bytes())
    with pytest.raises(LedgerError, match="another data set"):
        other.spent()


def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path) -> None:
    """If this fails, an operator sees a traceback of SQLite instead of an advice."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="Check that the folder is writable"):
        Ledger.create(tmp_path / "file", delta=DELTA)


def test_the_ledger_file_is_private(ledger: Ledger) -> None:
    """If this fails, other accounts on the machine read or edit the ledger."""
    assert ledger.path.stat().st_mode & 0o077 == 0
