"""What a command says when a run is done."""

from __future__ import annotations

from typing import Any

from secure_fedsa.cli.closing_words import _table
from secure_fedsa.report.html import _score


def teacher(name: str, score: float | None, kind: str | None = None) -> dict[str, Any]:
    """Return a teacher as in summary.json."""
    return {"id": name, "selected": name == "a", "score": score, "kind": kind}


def test_no_score_is_less_than_nothing_by_rounding() -> None:
    """-0.00 beside 0.00 reads as if there were a difference."""
    rows = _table([teacher("b", -0.004), teacher("a", 0.5), teacher("c", -0.2)])
    assert [row.split() for row in rows] == [
        ["selected", "teacher", "score"],
        ["yes", "a", "0.50"],
        ["b", "0.00"],
        ["c", "-0.20"],
    ]
    assert _score(-0.0004, None, ranked=False) == "0.000"


def test_what_is_known_of_no_teacher_has_no_column() -> None:
    """A column of dashes invites questions that nobody may answer."""
    assert _table([teacher("a", None), teacher("b", None)])[0].split() == ["selected", "teacher"]
    assert _table([teacher("a", None, "noise")])[0].split() == ["selected", "teacher", "kind"]
