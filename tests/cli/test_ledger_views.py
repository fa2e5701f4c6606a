"""``ledger show`` by view: who may have learned what over all runs, and what nobody here knows."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Agreement, Publish
from secure_fedsa.cli.main import main
from secure_fedsa.engines.ledger_notes import keep_agreement
from secure_fedsa.engines.site import load_identity
from secure_fedsa.planning.unit_claim import DELTAS, NO_MU
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.dp_events import composed, from_dp_accounting
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining, Event, Unprotected
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.ledger_private import external_body
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.report.views import by_view
from secure_fedsa.wire.agreement_signatures import agreement_hash
from tests.cli.test_ledger_command import Capture, said, values
from tests.protocols import security_table
from tests.report import runs
from tests.support import institution_promise, make_world

DELTA = 1e-5
RELEASE = DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(1.0, DELTA), 257)
TRAINING = DpSgdTraining(4.0, 0.1, 100)
TERMS = Terms(20.0, DELTA)
FORGER = "coalitions.forger"
NOT_KEPT = "ab" * 32

MODEL = security_table.load()
IDS = {*MODEL["views"], *(f"coalitions.{name}" for name in MODEL["coalitions"])}


class Books:
    """A state folder with a ledger that tests charge."""

    def __init__(self, folder: Path) -> None:
        load_identity(folder)
        self.folder = folder
        self.ledger = Ledger.create(folder, delta=DELTA)

    def charge(self, run: str, agreement: Agreement | str, event: Event = RELEASE) -> str:
        """Charge one run; keep the agreement if it is one. Return its hash."""
        digest = agreement
        if isinstance(agreement, Agreement):
            digest = agreement_hash(agreement)
            keep_agreement(self.folder, agreement, digest)
        assert isinstance(digest, str)
        given = isinstance(event, Unprotected)
        self.ledger.reserve(run, digest, [event], None if given else TERMS, None if given else 90.0)
        return digest


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """A new ledger."""
    return Books(tmp_path / "north")


def facts(seen: dict[str, Any]) -> dict[str, list[str]]:
    """Return the facts of one view by their words."""
    return {one["fact"]: one["agreements"] for one in seen["institution_facts"]}


def test_every_view_and_coalition_of_the_threat_model_is_there(
    books: Books, capsys: Capture
) -> None:
    """If this fails, a privacy officer is not told what one coalition may have learned."""
    agreed = runs.agreement()
    digest = books.charge("run-1", agreed)
    page = books.folder.parent / "page.html"
    text = said(capsys, "show", str(books.folder), "--out", str(page))
    found = values(capsys, "show", str(books.folder))
    assert found["by_view"].keys() == IDS
    written = page.read_text()
    promised = {view.id: view for view in by_view(agreed).views}
    for name, seen in found["by_view"].items():
        assert f"  {name} " in text
        assert f"<code>{name}</code>" in written
        assert seen["name"] == promised[name].name
        assert tuple(seen["parties"]) == promised[name].parties
        assert tuple(facts(seen)) == promised[name].institution_facts
        for fact, agreements in facts(seen).items():
            assert name == FORGER or fact in html.unescape(written)
            assert agreements == ([] if name == FORGER else [digest])
        if name != FORGER:
            assert seen["claim"] == "all-charges"
            assert seen["epsilon"] == Amount.of([RELEASE]).epsilon(DELTA)
            assert (seen["unit"], seen["neighbours"]) == ("record (add-remove)", "add-remove")
            assert seen["accountants"][0]["version"] == "1"
            assert seen["institution_facts_not_shown"] == []


def test_a_forger_has_no_epsilon(books: Books, capsys: Capture) -> None:
    """If this fails, a number is stated against whoever saw nothing of anybody."""
    books.charge("run-1", runs.agreement())
    forger = values(capsys, "show", str(books.folder))["by_view"][FORGER]
    assert (forger["epsilon"], forger["delta"], forger["rho"]) == (None, None, None)
    assert forger["claim"] is None
    assert "makes up" in forger["why_no_epsilon"]


def test_the_claim_has_the_whole_curve_and_says_where_it_is_from(
    books: Books, capsys: Capture
) -> None:
    """If this fails, an officer with another delta has no bound, or one of some runs only."""
    digest = books.charge("run-1", runs.agreement())
    books.charge("run-2", runs.agreement())
    note = external_body("survey", composed([{**_gaussian()}]))
    books.ledger.note("external", note)
    total = Amount.sum([Amount.of([RELEASE] * 2), Amount(1 / 128)])
    claim = values(capsys, "show", str(books.folder))["claims"]["all-charges"]
    assert [at for at, _ in claim["curve"]] == sorted({*DELTAS, DELTA}, reverse=True)
    assert dict(map(tuple, claim["curve"])) == {at: total.epsilon(at) for at in {*DELTAS, DELTA}}
    assert claim["epsilon"] == total.epsilon(DELTA)
    assert claim["rho"] == total.rho
    assert (claim["mu"], claim["mu_not_there"]) == (None, NO_MU)
    told = [(one["name"], one["kind"], one["agreement"], one["events"]) for one in claim["events"]]
    assert told == [
        ("run-1", "run", digest, {"discrete-gaussian": 1}),
        ("run-2", "run", digest, {"discrete-gaussian": 1}),
        ("survey", "outside", None, {"zcdp": 1}),
    ]
    assert claim["accountants"][0]["version"] == "1"
    assert "names no unit" in claim["unit_not_shown"]
    assert "it is their owner's word" in claim["why"]
    text = said(capsys, "show", str(books.folder))
    assert "per record (add-remove) (of part of it that is not known)" in text
    assert "From 2 runs (discrete-gaussian), 1 use outside (zcdp)." in text
    assert "  delta    0.001 " in text
    (line,) = (line for line in text.splitlines() if line.startswith("  epsilon  "))
    shown = list(map(float, line.split()[1:]))
    for value, (_, exact) in zip(shown, claim["curve"], strict=True):
        assert exact <= value <= exact * 1.002


def _gaussian() -> dict[str, Any]:
    from dp_accounting.dp_event import GaussianDpEvent

    return from_dp_accounting(GaussianDpEvent(8.0))


def test_what_a_view_saw_is_the_union_over_the_runs(books: Books, capsys: Capture) -> None:
    """If this fails, one closed agreement makes a view look blind that an open one let see."""
    open_one = runs.agreement(title="Open")
    closed = runs.agreement(
        title="Closed", publish=Publish("none", ciphertexts=False, sums=False, feature_key=False)
    )
    opened, shut = books.charge("run-1", open_one), books.charge("run-2", closed)
    found = values(capsys, "show", str(books.folder))
    reader = facts(found["by_view"]["auditor"])
    assert reader["its score: how well its noisy saliency fits the student's question"] == [opened]
    (names,) = (where for fact, where in reader.items() if fact.startswith("the names"))
    assert names == [opened, shut]
    holder = facts(found["by_view"]["key-holder"])
    (score,) = (where for fact, where in holder.items() if fact.startswith("its score"))
    assert score == [opened, shut]
    # Two sums can be subtracted, which neither agreement says by itself.
    assert "subtract one from another" in found["institution_facts_over_runs"]
    text = said(capsys, "show", str(books.folder))
    assert f"fits the student's question ({opened[:12]})" in " ".join(text.split())
    assert f"({opened[:12]}, {shut[:12]})" in " ".join(text.split())


def test_what_the_sum_promises_an_institution_is_said_of_one_run(
    books: Books, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a weaker view's smaller number is missing, or is read as that of all runs."""
    agreed = make_world(tmp_path / "world", 4, **institution_promise(4)).agreement()
    digest = books.charge("run-1", agreed)
    books.charge("run-2", agreed)
    found = values(capsys, "show", str(books.folder))["by_view"]
    for view in by_view(agreed).views:
        told = found[view.id]["institution_epsilon_of_one_run"]
        assert told == ({} if view.id == FORGER else {digest: view.institution})
    assert found["aggregator"] != found["coalitions.max-colluding"]
    text = " ".join(said(capsys, "show", str(books.folder)).split())
    (line,) = (part for part in text.split(" + ") if "against aggregator," in part)
    assert line.startswith(f"Of one run under agreement {digest[:12]}, for the institution's")
    assert "No ledger adds it up." in line
    page = books.folder.parent / "page.html"
    said(capsys, "show", str(books.folder), "--out", str(page))
    assert page.read_text().count("No ledger adds it up.") == 3


def test_of_an_agreement_that_was_not_kept_nothing_is_guessed(
    books: Books, capsys: Capture
) -> None:
    """If this fails, a view looks as if it had seen nothing of a run that nobody can look up."""
    books.charge("run-1", NOT_KEPT)
    found = values(capsys, "show", str(books.folder))
    for name, seen in found["by_view"].items():
        if name != FORGER:
            assert seen["institution_facts"] == []
            (told,) = seen["institution_facts_not_shown"]
            assert told.startswith(f"not shown for agreement {NOT_KEPT[:12]}")
            assert seen["epsilon"] == Amount.of([RELEASE]).epsilon(DELTA)
    assert found["claims"]["all-charges"]["unit"] is None
    assert "1 agreement whose text was not" in found["claims"]["all-charges"]["unit_not_shown"]
    page = books.folder.parent / "page.html"
    text = said(capsys, "show", str(books.folder), "--out", str(page))
    for shown in (text, page.read_text()):
        assert f"not shown for agreement {NOT_KEPT[:12]}" in shown
        assert "a unit that is not known here" in shown


def test_each_run_says_whom_its_epsilon_is_for(books: Books, capsys: Capture) -> None:
    """If this fails, a number for records is read as one for persons."""
    agreed = runs.agreement()
    assert agreed.privacy is not None
    persons = replace(agreed, privacy=replace(agreed.mechanism, unit="person", max_records=3))
    one = replace(agreed, privacy=replace(agreed.mechanism, unit="person", max_records=1))
    books.charge("run-1", agreed)
    books.charge("run-2", persons)
    books.charge("run-3", one)
    books.charge("run-4", NOT_KEPT)
    books.ledger.note("external", external_body("survey", composed([_gaussian()])))
    rows = values(capsys, "show", str(books.folder))["by_run"]
    assert [row["unit"] for row in rows] == [
        "record (add-remove)",
        "person, of whom at most 3 records count (add-remove)",
        "person, of whom at most 1 record counts (add-remove)",
        None,
        None,
    ]
    assert [row["neighbours"] for row in rows] == ["add-remove"] * 3 + [None] * 2
    assert [row["unit_not_shown"] for row in rows[:3]] == [None] * 3
    assert "text was not kept" in rows[3]["unit_not_shown"]
    assert "names no unit" in rows[4]["unit_not_shown"]
    exported = values(capsys, "export", str(books.folder))["charges"]
    for row, charge in zip(rows, exported, strict=True):
        for name in ("unit", "neighbours", "unit_not_shown"):
            assert charge[name] == row[name]
        assert charge["accountants"][0]["version"] == "1"


def test_an_export_says_whom_it_is_for(books: Books, capsys: Capture) -> None:
    """If this fails, whoever counts an export adds losses of records to losses of persons."""
    books.charge("run-1", runs.agreement())
    found = values(capsys, "export", str(books.folder))
    assert (found["unit"], found["neighbours"]) == ("record (add-remove)", "add-remove")
    assert found["unit_not_shown"] is None
    assert found["accountants"][0]["name"].startswith("zCDP")


@pytest.mark.parametrize("first", [RELEASE, TRAINING])
def test_nothing_with_a_training_in_it_has_a_rho(
    books: Books, capsys: Capture, first: Event
) -> None:
    """If this fails, DP-SGD is shown with a rho of 0: as if it had told nothing."""
    books.charge("run-1", NOT_KEPT if first is RELEASE else "cd" * 32, first)
    books.charge("run-2", "cd" * 32, TRAINING)
    found = values(capsys, "show", str(books.folder), "--budget", "80")
    rows, released = found["by_run"], first is RELEASE
    assert (rows[0]["spent"]["rho"] is not None) is released
    assert (rows[0]["total"]["rho"] is not None) is released
    assert rows[1]["spent"]["rho"] is None
    assert rows[1]["total"]["rho"] is None
    assert found["spent"]["rho"] is None
    assert found["spent_alone"]["rho"] is None
    assert found["by_view"]["auditor"]["rho"] is None
    claim = found["claims"]["all-charges"]
    assert claim["rho"] is None
    assert "DP-SGD" in claim["rho_not_there"]
    assert [entry["spent"]["rho"] is None for entry in found["by_agreement"]][-1]
    assert found["left"]["rho"] > 0  # of a release, which has one
    assert values(capsys, "export", str(books.folder))["spent"]["rho"] is None


def test_where_nothing_is_protected_every_view_says_so(books: Books, capsys: Capture) -> None:
    """If this fails, a curve is drawn for people whose records were given away."""
    books.charge("run-1", NOT_KEPT, Unprotected())
    found = values(capsys, "show", str(books.folder))
    for name, seen in found["by_view"].items():
        assert seen["epsilon"] is None
        assert ("NO DIFFERENTIAL PRIVACY" in seen["why_no_epsilon"]) is (name != FORGER)
    claim = found["claims"]["all-charges"]
    assert {epsilon for _, epsilon in claim["curve"]} == {None}
    assert claim["rho"] is None
    assert found["by_run"][0]["unit"] is None
    assert "1 use without differential privacy" in claim["unit_not_shown"]
    assert said(capsys, "show", str(books.folder)).count("no epsilon holds") == 1


def test_counts_are_said_in_their_number(books: Books, capsys: Capture) -> None:
    """If this fails, "1 charges" makes a reader look for the other one."""
    assert "0 charges" in said(capsys, "show", str(books.folder))
    books.charge("run-1", NOT_KEPT)
    text = said(capsys, "show", str(books.folder))
    assert ", 1 charge\n" in text
    assert "1 charges" not in text
    assert "1 agreements" not in text
    assert "1 runs" not in text


def test_a_page_says_where_it_is_and_spares_what_is_there(books: Books, capsys: Capture) -> None:
    """If this fails, a mistyped --out writes a page over a ledger or a thesis."""
    page = books.folder.parent / "page.html"
    assert f"Wrote {page}" in said(capsys, "show", str(books.folder), "--out", str(page))
    assert page.stat().st_mode & 0o077 == 0
    found = values(capsys, "show", str(books.folder), "--out", str(page))  # over an earlier page
    assert found["page"] == str(page)
    for path in (books.folder / "ledger.sqlite", books.folder.parent / "thesis.txt"):
        path.touch()
        before = path.read_bytes()
        capsys.readouterr()
        assert main(["ledger", "show", str(books.folder), "--out", str(path)]) == 2
        assert "not made by this command" in capsys.readouterr().err
        assert path.read_bytes() == before


def test_an_export_spares_what_is_there(books: Books, capsys: Capture) -> None:
    """If this fails, an export that others hold the hash of is written over; or a ledger is."""
    books.charge("run-1", NOT_KEPT)
    out = books.folder / "export.json"
    state = str(books.folder)
    said(capsys, "export", state, "--out", str(out))
    first = out.read_text()
    books.charge("run-2", NOT_KEPT)
    assert main(["ledger", "export", state, "--out", str(out)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert out.read_text() == first
    said(capsys, "export", state, "--out", str(out), "--force")
    assert len(json.loads(out.read_text())["charges"]) == 2
    other = books.folder.parent / "notes.txt"
    other.write_text("mine")
    assert main(["ledger", "export", state, "--out", str(other)]) == 2
    said(capsys, "export", state, "--out", str(other), "--force")
    ledger = books.folder / "ledger.sqlite"
    before = ledger.read_bytes()
    assert main(["ledger", "export", state, "--out", str(ledger), "--force"]) == 2
    assert ledger.read_bytes() == before


def test_what_linked_data_sets_spent_is_in_the_claim_and_their_views_are_not(
    books: Books, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, who shares persons with another register is told of half their loss."""
    other = Books(tmp_path / "other")
    other.charge("run-9", NOT_KEPT)
    digest = books.charge("run-1", runs.agreement())
    said(capsys, "link", str(books.folder), "--shares", str(other.folder))
    found = values(capsys, "show", str(books.folder))
    claim = found["claims"]["all-charges"]
    total = Amount.of([RELEASE] * 2)
    assert claim["epsilon"] == total.epsilon(DELTA)
    assert [(one["kind"], one["name"]) for one in claim["events"]] == [
        ("run", "run-1"),
        ("linked", other.ledger.data_set),
    ]
    assert claim["unit_not_shown"] == "1 linked data set (see the ledger of each)"
    seen = found["by_view"]["auditor"]
    assert seen["epsilon"] == total.epsilon(DELTA)
    assert {names for where in facts(seen).values() for names in where} == {digest}
    assert seen["institution_facts_not_shown"] == [
        f"not shown for linked data set {other.ledger.data_set[:12]}: see its own ledger"
    ]
