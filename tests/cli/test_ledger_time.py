"""A data set over time: earlier versions, the days of charges, and what is drawn of both."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.engines.ledger_notes import DAYS_FILE
from secure_fedsa.engines.ledger_versions import VERSIONS_FOLDER
from secure_fedsa.engines.own_files import note_head
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.privacy.dp_events import composed
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.report.ledger_drawing import Axis, axis_of
from secure_fedsa.report.ledger_reading import ledger_view
from tests.cli.test_ledger_command import Capture, said, values
from tests.cli.test_ledger_views import DELTA, NOT_KEPT, RELEASE, Books, _gaussian
from tests.report import runs


@pytest.fixture
def books(tmp_path: Path) -> Books:
    """A ledger with two runs under one kept agreement."""
    made = Books(tmp_path / "old")
    for name in ("run-1", "run-2"):
        made.charge(name, runs.agreement())
    return made


def dated(books: Books, *days: str) -> None:
    """Note the days of a ledger's charges, in their order."""
    charges = Ledger.open(books.folder).books().in_order()
    lines = [
        json.dumps({"entry": charge.entry_hash, "day": day})
        for charge, day in zip(charges, days, strict=False)
        if day
    ]
    (books.folder / DAYS_FILE).write_text("\n".join(lines) + "\n")


def succeed(old: Path, new: Path, capsys: Capture) -> dict[str, Any]:
    """Make a new version and return what is shown of it."""
    said(capsys, "new", str(new), "--parent", str(old))
    return values(capsys, "show", str(new))


# --- versions ----------------------------------------------------------------------------


def test_a_new_version_shows_the_runs_that_it_inherited(
    books: Books, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a corrected file hides behind "runs 0" who used these people, and for what."""
    books.ledger.commit("run-1")
    books.ledger.record("erasure", "run-1", {"items": ["sealing key"]})
    dated(books, "2026-01-05", "2026-02-01")
    found = succeed(books.folder, tmp_path / "new", capsys)
    assert found["by_run"] == []
    rows = found["inherited_runs"]
    assert [row["name"] for row in rows] == ["run-1", "run-2"]
    assert [row["day"] for row in rows] == ["2026-01-05", "2026-02-01"]
    assert [row["erasure_noted"] for row in rows] == [True, False]
    assert {row["unit"] for row in rows} == {"record (add-remove)"}
    assert {row["data_set"] for row in rows} == {books.ledger.data_set}
    assert rows[-1]["total"]["epsilon"] == epsilon_of([RELEASE] * 2, DELTA)
    assert (found["unit"], found["neighbours"]) == ("record (add-remove)", "add-remove")
    (agreement,) = found["by_agreement"]
    assert (agreement["runs"], agreement["inherited_runs"]) == (0, 2)
    sources = found["claims"]["all-charges"]["events"]
    assert [(one["name"], one["kind"]) for one in sources] == [("run-1", "run"), ("run-2", "run")]
    page = tmp_path / "page.html"
    text = said(capsys, "show", str(tmp_path / "new"), "--out", str(page))
    assert "0 charges, and 2 in the versions before" in text
    assert "0, and 2 before" in text
    assert text.count("in a version before") == 2
    assert page.read_text().count("<circle") == 2
    folder = tmp_path / "new" / VERSIONS_FOLDER
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_versions_of_versions_are_kept(books: Books, tmp_path: Path, capsys: Capture) -> None:
    """If this fails, the second correction forgets what the first one remembered."""
    succeed(books.folder, tmp_path / "second", capsys)
    second = Ledger.open(tmp_path / "second")
    second.reserve("run-3", NOT_KEPT, [RELEASE], *_terms())
    note_head(tmp_path / "second", second)
    found = succeed(tmp_path / "second", tmp_path / "third", capsys)
    names = [row["name"] for row in found["inherited_runs"]]
    assert names == ["run-1", "run-2", "run-3"]
    assert found["inherited_runs"][-1]["total"] == found["spent"]
    assert found["inherited_runs"][-1]["data_set"] == second.data_set
    assert found["inherited_runs"][-1]["unit"] is None


def _terms() -> tuple[Any, float]:
    from tests.cli.test_ledger_views import TERMS

    return TERMS, 90.0


@pytest.mark.parametrize("what", ["gone", "changed", "cut", "another"])
def test_a_copy_that_is_not_what_was_closed_is_not_shown(
    books: Books, tmp_path: Path, capsys: Capture, what: str
) -> None:
    """If this fails, whoever can write beside a ledger makes up what was spent, and for what."""
    spent = succeed(books.folder, tmp_path / "new", capsys)["spent"]
    (copy,) = (tmp_path / "new" / VERSIONS_FOLDER).iterdir()
    lines = copy.read_bytes().splitlines(keepends=True)
    if what == "gone":
        copy.unlink()
    elif what == "changed":
        copy.write_bytes(b"".join(lines).replace(b"run-2", b"run-9"))
    elif what == "cut":
        copy.write_bytes(b"".join(lines[:-1]))
    else:
        other = Books(tmp_path / "other")
        other.charge("run-7", NOT_KEPT)
        succeed(other.folder, tmp_path / "its-new", capsys)
        (theirs,) = (tmp_path / "its-new" / VERSIONS_FOLDER).iterdir()
        copy.write_bytes(theirs.read_bytes())
    found = values(capsys, "show", str(tmp_path / "new"))
    assert found["spent"] == spent
    assert found["inherited_runs"] == []
    assert found["by_agreement"][0]["inherited_runs"] is None
    assert [one["kind"] for one in found["claims"]["all-charges"]["events"]] == ["inherited"]
    assert found["unit"] == "record (add-remove)"  # its agreement is kept
    assert "a number that was not kept" in said(capsys, "show", str(tmp_path / "new"))


def test_a_version_without_its_agreements_says_that_its_unit_is_not_known(
    tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, inherited spend is shown for a unit that nobody wrote down."""
    old = Books(tmp_path / "old")
    old.charge("run-1", NOT_KEPT)
    found = succeed(old.folder, tmp_path / "new", capsys)
    (row,) = found["inherited_runs"]
    assert row["unit"] is None
    assert "not kept" in row["unit_not_shown"]
    assert found["unit"] == ""
    assert "not kept" in found["unit_not_shown"]


# --- imports -----------------------------------------------------------------------------


def _import(state: Path, *more: str) -> int:
    events = state.parent / "events.json"
    events.write_text(json.dumps(composed([_gaussian()])))
    return main(["ledger", "import", str(state), str(events), *more])


def test_the_same_import_again_has_to_be_meant(
    books: Books, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a command that is repeated charges people twice for ever."""
    state, survey = books.folder, ("--description", "survey of 2024")
    assert _import(state, *survey) == 0
    first = Ledger.open(state).books()
    entry, head = first.external[0].entry_hash, Ledger.open(state).head()
    capsys.readouterr()
    for words in ("survey of 2024", "  Survey  of 2024"):
        assert _import(state, "--description", words) == 1
        told = capsys.readouterr().err
        assert f"entry {first.positions[entry]} of data set" in told
        assert entry[:12] in told
        assert "--again" in told
        assert told.count("Nothing was charged") == 1
    assert Ledger.open(state).head() == head
    assert _import(state, "--description", "survey of 2025") == 0  # another use
    assert _import(state, *survey, "--again") == 0
    assert len(Ledger.open(state).books().external) == 3
    succeed(state, tmp_path / "new", capsys)
    assert _import(tmp_path / "new", *survey) == 1  # the version before was charged
    assert "charged before" in capsys.readouterr().err
    assert _import(tmp_path / "new", *survey, "--again") == 0


def test_an_import_has_the_day_of_its_charge(books: Books, capsys: Capture) -> None:
    """If this fails, a ledger with one import cannot be drawn over time."""
    assert _import(books.folder, "--description", "survey of 2024") == 0
    row = values(capsys, "show", str(books.folder))["by_run"][-1]
    assert row["day"] == datetime.now(UTC).date().isoformat()


# --- drawn over time ---------------------------------------------------------------------


def axis(books: Books, *days: str) -> Axis:
    """Return the axis of a ledger's charges with these days."""
    state = Ledger.open(books.folder).books()
    known = {
        charge.entry_hash: day for charge, day in zip(state.in_order(), days, strict=False) if day
    }
    return axis_of(ledger_view(state, days=known, agreements={}).rows)


def test_charges_stand_where_their_days_are(books: Books) -> None:
    """If this fails, ten charges of one week look like those of ten years."""
    books.charge("run-3", NOT_KEPT)
    found = axis(books, "2026-01-01", "2026-01-01", "2026-01-10")
    first, second, third = found.places
    assert 0 < first < second < 0.1
    assert 0.9 < third < 1
    assert found.caption.startswith("day of the charge")
    assert [text for _, text in found.ticks] == [f"2026-01-{day:02d}" for day in range(1, 11, 2)]
    assert found.ticks[0][0] == pytest.approx(0.05)
    one = axis(books, "2026-01-01", "2026-01-01", "2026-01-01")
    assert one.places == pytest.approx((0.25, 0.5, 0.75))
    assert [text for _, text in one.ticks] == ["2026-01-01"]


@pytest.mark.parametrize(
    ("days", "why"),
    [
        (("", ""), "the day of 2 of 2 charges was not noted"),
        (("2026-01-01", ""), "the day of 1 of 2 charges was not noted"),
        (("2026-02-01", "2026-01-01"), "the noted days go back and forth"),
    ],
)
def test_without_days_the_axis_says_that_it_is_not_time(
    books: Books, days: tuple[str, str], why: str
) -> None:
    """If this fails, times are made up for a ledger that has none."""
    found = axis(books, *days)
    assert found.caption == f"order of the charges, not time: {why}"
    assert found.places == (0.25, 0.75)
    assert [text for _, text in found.ticks] == ["run-1", "run-2"]


def test_the_page_draws_the_days(books: Books, capsys: Capture) -> None:
    """If this fails, the drawing "over time" has no time in it."""
    page = books.folder.parent / "page.html"
    dated(books, "2026-01-01", "2026-01-03")
    said(capsys, "show", str(books.folder), "--out", str(page))
    text = page.read_text()
    assert "day of the charge (UTC" in text
    assert ">2026-01-02<" in text  # no charge was on it, and it takes its room
    (left, right) = (float(x) for x in re.findall(r'<circle class="dot" cx="([0-9.]+)"', text))
    assert right - left > 400
    dated(books, "2026-01-01")
    said(capsys, "show", str(books.folder), "--out", str(page))
    assert "order of the charges, not time" in page.read_text()
