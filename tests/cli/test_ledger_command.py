"""``ledger``: what a privacy officer sees, plans, takes out and brings in."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.engines.disjoint import is_signed
from secure_fedsa.engines.site import load_identity
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend, fits
from secure_fedsa.privacy.dp_events import from_dp_accounting, to_dp_accounting
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining, Unprotected
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.report.summary import VIEWS
from tests.cli.agreements import set_entry
from tests.cli.test_run_command import run
from tests.support import World

Capture = pytest.CaptureFixture[str]

DELTA = 1e-5
ONE = [DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA), 257)]
TRAINING = DpSgdTraining(4.0, 0.1, 100)
TERMS = Terms(2.0, DELTA)
A, B = "ab" * 32, "cd" * 32


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder whose data set two releases were charged to."""
    return filled(tmp_path / "north")


def filled(folder: Path) -> Path:
    """Make a state folder with a key and a ledger."""
    load_identity(folder)
    ledger = Ledger.create(folder, delta=DELTA)
    ledger.reserve("run-1", A, ONE, TERMS, 8.0)
    ledger.commit("run-1")
    ledger.record("erasure", "run-1", {"items": ["sealing key"]})
    ledger.reserve("run-2", A, ONE, TERMS, 8.0)
    return folder


def said(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """Run a command and return its standard output."""
    capsys.readouterr()
    found = main(["ledger", *arguments])
    told = capsys.readouterr()
    assert found == code, told.err
    return told.out


def values(capsys: Capture, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Run a command with --json and return its object."""
    found: dict[str, Any] = json.loads(said(capsys, *arguments, "--json", code=code))
    return found


def test_show_says_what_is_spent_left_and_by_whom_it_is_seen(state: Path, capsys: Capture) -> None:
    """If this fails, a privacy officer has to add up runs by hand."""
    text = said(capsys, "show", str(state), "--budget", "4")
    total = epsilon_of(ONE * 2, DELTA)
    assert f"Spent: epsilon {total:.3g}" in text
    assert "Left: epsilon " in text
    assert "within 4 (--budget)" in text
    rows = [line for line in text.splitlines() if line.startswith("  -    run-")]
    assert len(rows) == 2
    assert "keys and signals erased" in rows[0]
    assert "NO ERASURE NOTED" in rows[1]
    assert "no result was stored" in rows[1]
    assert all(view in text for view in VIEWS)
    assert "the bound is the same against everybody" in text
    assert "zCDP of the discrete Gaussian" in text
    assert "a filter" in text


def test_show_as_json_has_every_number_with_its_accountant(state: Path, capsys: Capture) -> None:
    """If this fails, a dashboard shows a number that nobody can trace."""
    found = values(capsys, "show", str(state))
    assert found["spent"]["epsilon"] == epsilon_of(ONE * 2, DELTA)
    assert found["accountants"][0]["version"] == "1"
    assert [row["name"] for row in found["by_run"]] == ["run-1", "run-2"]
    assert [row["erasure_noted"] for row in found["by_run"]] == [True, False]
    assert found["by_run"][0]["total"]["epsilon"] == epsilon_of(ONE, DELTA)
    assert found["by_run"][0]["events"] == [ONE[0].to_dict()]
    (agreement,) = found["by_agreement"]
    assert agreement["budget"] == 2.0
    assert agreement["runs"] == 2
    assert found["by_view"].keys() >= set(VIEWS)
    for name, seen in found["by_view"].items():
        if name != "coalitions.forger":
            assert seen["epsilon"] == epsilon_of(ONE * 2, DELTA)
            assert seen["accountants"] == found["accountants"]
    assert found["budget"] is None
    assert found["left"] is None
    assert any("not kept" in remark for remark in found["remarks"])


def test_what_was_given_away_is_shown_as_unbounded(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, records that nothing protects are shown with a number."""
    load_identity(tmp_path / "south")
    ledger = Ledger.create(tmp_path / "south", delta=DELTA)
    ledger.reserve("run-1", A, [Unprotected()], None, None)
    text = said(capsys, "show", str(tmp_path / "south"), "--out", str(tmp_path / "page.html"))
    assert "Spent: epsilon unbounded" in text
    assert "NO DIFFERENTIAL PRIVACY" in text
    page = (tmp_path / "page.html").read_text()
    assert "No epsilon bounds what was told" in page
    assert 'class="dot open"' in page
    found = values(capsys, "show", str(tmp_path / "south"))
    assert found["spent"]["epsilon"] is None
    assert found["unprotected_uses"] == 1


def test_the_page_needs_nothing_and_runs_nothing(state: Path, capsys: Capture) -> None:
    """If this fails, a page of private runs loads or sends something, or a name becomes code."""
    ledger = Ledger.open(state)
    ledger.reserve("<script>alert(1)</script>", B, [TRAINING], TERMS, 8.0, stated=True)
    page = state / "page.html"
    said(capsys, "show", str(state), "--budget", "4", "--out", str(page))
    text = page.read_text()
    assert "<script" not in text
    assert not re.search(r"(?:src|href)=|url\(|@import|http://|https://", text)
    assert "default-src &#x27;none&#x27;" in text
    assert text.count("<circle") == 3
    assert 'class="dot stated"' in text
    assert "budget 4" in text
    assert "Private:" in text


def test_an_empty_ledger_is_shown(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a new data set cannot be looked at."""
    said(capsys, "new", str(tmp_path / "state"), "--delta", "1e-5")
    out = str(tmp_path / "page.html")
    text = said(capsys, "show", str(tmp_path / "state"), "--budget", "2", "--out", out)
    assert "Spent: epsilon 0" in text
    assert "Nothing was charged yet" in Path(out).read_text()


def test_a_folder_without_a_ledger_is_named(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a mistyped folder is shown as one where nothing was spent."""
    capsys.readouterr()
    assert main(["ledger", "show", str(tmp_path)]) == 2
    assert "holds no privacy ledger" in capsys.readouterr().err


def test_a_mistyped_place_is_named_as_one(state: Path, capsys: Capture) -> None:
    """If this fails, somebody begins a new ledger where the old one was only mistyped."""
    capsys.readouterr()
    assert main(["ledger", "show", f"{state}s"]) == 2
    told = capsys.readouterr().err
    assert "does not exist" in told
    assert f"Names like it there: {state.name}." in told


def test_a_removed_ledger_is_not_shown_as_empty(state: Path, capsys: Capture) -> None:
    """If this fails, deleting a file empties the record, and the officer sees nothing."""
    (state / "ledger-head").write_text(Ledger.open(state).head().hash)
    (state / "ledger.sqlite").unlink()
    capsys.readouterr()
    assert main(["ledger", "show", str(state)]) == 1
    assert "has no privacy ledger" in capsys.readouterr().err


def test_a_removed_ledger_is_not_begun_again(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, removing a file and one command empty the record."""
    state = tmp_path / "state"
    said(capsys, "new", str(state), "--delta", "1e-5")
    for _ in range(2):
        capsys.readouterr()
        assert main(["ledger", "new", str(state), "--delta", "1e-5"]) == 1
        assert "has, or had, a ledger" in capsys.readouterr().err
        (state / "ledger.sqlite").unlink(missing_ok=True)


# --- plan --------------------------------------------------------------------------------


def test_plan_counts_what_fits_and_names_what_else_would(state: Path, capsys: Capture) -> None:
    """If this fails, an agreement is signed that the ledger refuses."""
    spent = Amount.of(ONE * 2)
    wanted = ("plan", str(state), "--epsilon", "1", "--budget", "2")
    room = values(capsys, *wanted)["budgets"][0]
    assert room["fits"]
    one = Amount(0.5 / calibrate(1.0, DELTA) ** 2)
    assert fits(Amount.sum([spent, *[one] * room["more"]]), 2.0, DELTA)
    assert not fits(Amount.sum([spent, *[one] * (room["more"] + 1)]), 2.0, DELTA)
    runs = str(room["more"] + 3)
    found = values(capsys, *wanted, "--runs", runs, code=1)
    assert not found["fits"]
    nearest = found["budgets"][0]["nearest"]
    quieter = Amount(0.5 / nearest["noise_multiplier"] ** 2)
    assert fits(Amount.sum([spent, *[quieter] * int(runs)]), 2.0, DELTA)
    assert fits(Amount.sum([spent, *[one] * int(runs)]), nearest["budget"], DELTA)
    text = said(capsys, *wanted, "--runs", runs, code=1)
    assert "THEY DO NOT FIT" in text
    assert f"noise multiplier of {nearest['noise_multiplier']:g} or more" in text


def test_plan_of_an_agreement_asks_both_budgets(drafted: Path, capsys: Capture) -> None:
    """If this fails, a plan forgets one of the two budgets."""
    state = drafted / "states" / "teacher-site-0"
    said(capsys, "new", str(state), "--delta", "1e-5")
    found = values(capsys, "plan", str(state), str(drafted / "agreement.toml"))
    assert [room["whose"] for room in found["budgets"]] == ["this agreement", "this data set"]
    assert found["fits"]
    said(capsys, "limit", str(state), "--epsilon", "0.5")
    found = values(capsys, "plan", str(state), str(drafted / "agreement.toml"), code=1)
    assert [room["fits"] for room in found["budgets"]] == [True, True, False]
    assert found["budgets"][2]["budget"] == 0.5
    capsys.readouterr()
    for party, words in (
        ("aggregator", "no teacher of this agreement, nor of its student"),
        ("student", "promises nothing for its records"),
    ):
        stranger = drafted / "states" / party
        said(capsys, "new", str(stranger), "--delta", "1e-5")
        capsys.readouterr()
        assert main(["ledger", "plan", str(stranger), str(drafted / "agreement.toml")]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--epsilon", "1"],
        ["--epsilon", "nan", "--budget", "2"],
        ["--epsilon", "1", "--budget", "2", "--runs", "0"],
        ["--epsilon", "1", "--budget", "2", "--runs", "100000"],
    ],
)
def test_a_plan_of_nothing_is_refused(state: Path, capsys: Capture, more: list[str]) -> None:
    """If this fails, a plan against no budget says that all is well."""
    assert main(["ledger", "plan", str(state), *more]) == 2
    assert capsys.readouterr().err


# --- export and import -------------------------------------------------------------------


def test_an_export_is_accounted_by_others_to_the_same_total(state: Path, capsys: Capture) -> None:
    """If this fails, an auditor's own accountant contradicts the ledger."""
    from dp_accounting.rdp import RdpAccountant

    found = values(capsys, "export", str(state))
    accountant = RdpAccountant([1 + 1.05**step for step in range(-40, 120)])
    theirs = accountant.compose(to_dp_accounting(found["dp_event"])).get_epsilon(DELTA)
    assert theirs == pytest.approx(found["spent"]["epsilon"], rel=1e-3)
    assert [charge["name"] for charge in found["charges"]] == ["run-1", "run-2"]
    out = state / "export.json"
    said(capsys, "export", str(state), "--out", str(out))
    assert json.loads(out.read_text()) == found


def test_an_import_is_charged_and_shown_as_a_statement(state: Path, capsys: Capture) -> None:
    """If this fails, a use outside is forgotten, or passes as one that was witnessed."""
    from dp_accounting.dp_event import GaussianDpEvent, SelfComposedDpEvent

    events = state / "events.json"
    events.write_text(json.dumps(from_dp_accounting(SelfComposedDpEvent(GaussianDpEvent(8.0), 4))))
    text = said(capsys, "import", str(state), str(events), "--description", "census 2024")
    assert "Charged, and spent for ever" in text
    assert "your word" in text
    found = values(capsys, "show", str(state))
    row = found["by_run"][-1]
    assert (row["name"], row["stated"], row["agreement"]) == ("census 2024", True, None)
    total = Amount.sum([Amount.of(ONE * 2), Amount(4 / 128)])
    assert found["spent"]["epsilon"] == Spend.of(total, DELTA).epsilon
    assert any("owner's statement" in remark for remark in found["remarks"])
    exported = values(capsys, "export", str(state))
    assert exported["charges"][-1]["stated"]


def test_a_bad_import_charges_nothing(state: Path, capsys: Capture) -> None:
    """If this fails, half a file is charged, or an unknown mechanism counts as nothing."""
    head = Ledger.open(state).head()
    events = state / "events.json"
    unknown = {"module_name": "dp_accounting.dp_event", "class_name": "RepeatAndSelectDpEvent"}
    for text in ("", "[]", json.dumps(unknown)):
        events.write_text(text)
        assert main(["ledger", "import", str(state), str(events), "--description", "x"]) == 2
    assert "RepeatAndSelectDpEvent" in capsys.readouterr().err
    assert main(["ledger", "import", str(state), str(state / "no"), "--description", "x"]) == 2
    assert Ledger.open(state).head() == head


# --- data sets and one another -----------------------------------------------------------


def test_a_new_version_inherits_and_is_followed(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a corrected file begins with nothing spent; or who shares persons loses it."""
    old, other = filled(tmp_path / "old"), filled(tmp_path / "other")
    said(capsys, "link", str(old), "--shares", str(other))
    before = values(capsys, "show", str(old))["spent"]
    made = values(capsys, "new", str(tmp_path / "new"), "--parent", str(old))
    assert made["spent"] == before
    assert made["spent"]["epsilon"] == epsilon_of(ONE * 4, DELTA)
    page = tmp_path / "page.html"
    text = said(capsys, "show", str(tmp_path / "new"), "--out", str(page))
    alone = epsilon_of(ONE * 2, DELTA)
    (line,) = (line for line in text.splitlines() if "(inherited)" in line)
    assert f"  {alone:.3g}" in line
    assert "of the versions before this one" in page.read_text()
    ledger = Ledger.open(tmp_path / "new")
    ledger.reserve("run-9", B, ONE, TERMS, 9.0)
    found = values(capsys, "show", str(other))
    assert found["spent"]["epsilon"] == epsilon_of(ONE * 5, DELTA)
    assert [row["data_set"] for row in found["linked"]] == [made["data_set"]]
    assert "has a new version" in said(capsys, "show", str(old))
    Ledger.open(other).reserve("run-9", B, ONE, TERMS, 9.0)  # goes on


def test_linking_counts_in_both(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a person in two registers is promised twice the loss."""
    one, two = filled(tmp_path / "one"), filled(tmp_path / "two")
    text = said(capsys, "link", str(one), "--shares", str(two))
    assert "Both ledgers note it" in text
    total = epsilon_of(ONE * 4, DELTA)
    for state in (one, two):
        assert values(capsys, "show", str(state))["spent"]["epsilon"] == total
        assert "some of the same persons" in said(capsys, "show", str(state))
    said(capsys, "link", str(two), "--shares", str(one))  # again is fine
    assert values(capsys, "show", str(one))["spent"]["epsilon"] == total


def test_a_data_set_elsewhere_is_linked_by_its_export(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, who shares persons with another machine cannot count them."""
    one, two = filled(tmp_path / "one"), filled(tmp_path / "two")
    export = tmp_path / "two.json"
    said(capsys, "export", str(two), "--out", str(export))
    text = said(capsys, "link", str(one), "--shares", str(export))
    assert "cannot see what is spent there later" in text
    found = values(capsys, "show", str(one))
    assert found["spent"]["epsilon"] == epsilon_of(ONE * 4, DELTA)
    assert any("as its export stated" in remark for remark in found["remarks"])
    export.write_text(json.dumps({"format": "another"}))
    assert main(["ledger", "link", str(one), "--shares", str(export)]) == 1


def test_a_copy_of_a_state_folder_is_no_other_data_set(state: Path, capsys: Capture) -> None:
    """If this fails, a copied ledger is added to itself, and each copy forgets the other."""
    for action, option in (("link", "--shares"), ("disjoint", "--from")):
        capsys.readouterr()
        assert main(["ledger", action, str(state), option, str(state)]) == 2
        assert "same data set" in capsys.readouterr().err


def test_disjointness_is_signed_and_anybody_can_check(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, nobody can be held to the word that two data sets share no person."""
    one, two = filled(tmp_path / "one"), filled(tmp_path / "two")
    found = values(capsys, "disjoint", str(one), "--from", str(two))
    key = load_identity(one).public.hex()
    assert found["key"] == key
    books, other = Ledger.open(one).books(), Ledger.open(two).data_set
    assert is_signed(books, other, key)
    assert not is_signed(books, other, load_identity(two).public.hex())
    assert not is_signed(books, "ff" * 16, key)
    assert not is_signed(Ledger.open(two).books(), books.data_set, key)
    books.data_set = "00" * 16  # the signature is of the two, and of no others
    assert not is_signed(books, other, key)
    said(capsys, "link", str(one), "--shares", str(two))
    capsys.readouterr()
    assert main(["ledger", "disjoint", str(two), "--from", str(one)]) == 1
    assert "forget their spend" in capsys.readouterr().err


def test_a_limit_is_never_raised(state: Path, capsys: Capture) -> None:
    """If this fails, a promise is undone by whoever wants one more run."""
    said(capsys, "limit", str(state), "--epsilon", "3")
    assert (state / "ledger-head").read_text() == Ledger.open(state).head().hash
    capsys.readouterr()
    assert main(["ledger", "limit", str(state), "--epsilon", "4"]) == 1
    assert "cannot be raised" in capsys.readouterr().err
    found = values(capsys, "show", str(state))
    assert (found["limit"], found["budget"]) == (3.0, 3.0)
    assert found["left"]["epsilon"] > 0


@pytest.mark.slow
def test_a_refused_run_names_what_fits(signed: Path, capsys: Capture) -> None:
    """If this fails, who is refused on the day of the run has to guess what would pass."""
    state = signed / "states" / "teacher-site-0"
    said(capsys, "new", str(state), "--delta", "1e-5")
    said(capsys, "limit", str(state), "--epsilon", "0.5")
    assert run(signed) == 1
    told = capsys.readouterr().err
    (noise,) = re.findall(r"What fits: the same run with a noise multiplier of (\S+) or more", told)
    assert fits(Amount(0.5 / float(noise) ** 2), 0.5, DELTA)
    assert not fits(Amount(0.5 / (float(noise) * 0.999) ** 2), 0.5, DELTA)
    assert Ledger.open(state).books().charges == {}


# --- after a real run --------------------------------------------------------------------


@pytest.mark.slow
def test_after_a_run_its_day_agreement_and_erasure_are_shown(world: World, capsys: Capture) -> None:
    """If this fails, nobody can say from the ledger when a run was and whom it was agreed with."""
    outcome = world.local_run().execute()
    state = world.folder / "teacher-1"
    found = values(capsys, "show", str(state))
    (row,) = found["by_run"]
    assert row["name"] == outcome.run_id
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", row["day"])
    assert row["committed"]
    assert row["erasure_noted"]
    assert found["unit"] == "record (add-remove)"
    assert found["by_agreement"][0]["title"] == "Toy world"
    assert found["budget"] == 20.0
    assert found["budget_from"] == "privacy.data_set_budget"
    # An agreement that was changed on disk is not the one that was charged under.
    (kept,) = (state / "agreements").glob("*.json")
    kept.write_bytes(kept.read_bytes().replace(b"Toy world", b"Toy words"))
    assert values(capsys, "show", str(state))["unit"] == ""


def test_show_takes_an_agreement_that_was_not_kept(drafted: Path, capsys: Capture) -> None:
    """If this fails, a ledger of before says of no figure what unit it is for."""
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    file = drafted / "agreement.toml"
    set_entry(drafted, "title", '"Wards"')
    state = drafted / "states" / "teacher-site-0"
    ledger = Ledger.create(state, delta=DELTA)
    digest = agreement_hash(read_agreement(file).agreement)
    ledger.reserve("run-1", digest, ONE, Terms(4.0, DELTA), 9.0)
    assert values(capsys, "show", str(state))["unit"] == ""
    found = values(capsys, "show", str(state), "--agreement", str(file))
    assert found["unit"] == "record (add-remove)"
    assert found["by_agreement"][0]["title"] == "Wards"


def test_a_limit_that_is_passed_already_says_so(state: Path, capsys: Capture) -> None:
    """If this fails, an owner closes a data set for ever without a word."""
    assert main(["ledger", "limit", str(state), "--epsilon", "1"]) == 0
    assert "past that already" in capsys.readouterr().out
    assert main(["ledger", "limit", str(state), "--epsilon", "0.5"]) == 0
