"""One of something is not called several, in what people sign or act on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secure_fedsa.agreement import Retention
from secure_fedsa.cli.erase import _tell
from secure_fedsa.cli.terms import kept, promised
from secure_fedsa.engines.retention import log_item
from secure_fedsa.errors import counted
from secure_fedsa.planning import plan
from secure_fedsa.planning.unit_claims import unit_claims
from tests.cli.test_institution_privacy import agreed
from tests.report import runs


def test_a_budget_of_one_run_has_room_for_one_run() -> None:
    """Who reads "1 runs" looks for the digit that is missing."""
    made = runs.agreement()
    assert made.privacy is not None
    single = replace(made, privacy=replace(made.privacy, agreement_budget=made.privacy.epsilon))
    assert "(room for 1 run)," in " ".join(promised(single, plan(single)))
    assert "(room for 1 run)," not in " ".join(promised(made, plan(made)))


def test_a_day_is_one_day() -> None:
    """As above, of what is signed about erasure."""
    days = replace(runs.agreement(), retention=Retention(1, 1))
    (line,) = kept(days)
    assert "lines of local logs 1 day; a run that was cut off 1 day;" in line


def test_what_was_erased_after_a_day_was_erased_after_one_day(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As above, of what an operator files."""
    _tell("student", "2026-01-02", [log_item(Retention(1, 1))], ())
    assert "local log after 1 day\n" in capsys.readouterr().out


def test_a_share_alone_is_one_share() -> None:
    """As above, of the figure that is no promise."""
    whys = {claim.id: claim.why for claim in unit_claims(agreed())}
    alone = whys["institution-against-everybody-else"]
    assert alone.startswith("1 share of the members' noise counts.")
    assert whys["institution"].startswith("7 shares of the members' noise count.")


def test_numbers_with_their_nouns() -> None:
    """What all of them use."""
    assert counted(1, "class", "classes") == "1 class"
    assert counted(2, "class", "classes") == "2 classes"
    assert counted(0, "charge") == "0 charges"
