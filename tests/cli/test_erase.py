"""``secure-fedsa erase``: an institution that takes part once a year keeps to it in between."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.engines.own_files import LOCAL_LOG_FILE
from secure_fedsa.errors import SecureFedsaError
from secure_fedsa.journal import Journal
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from tests.cli.agreements import check, edit, new, sign

Capture = pytest.CaptureFixture[str]
PARTY = "teacher-site-0"


@pytest.fixture
def agreed(drafted: Path) -> Path:
    """All parties' folders, and an agreement with the table that one of them signed."""
    (drafted / "agreement.toml").unlink()
    (drafted / "encoder.safetensors").unlink()
    assert new(drafted, "--log-days", "30", "--unfinished-days", "7") == 0
    assert sign(drafted, PARTY) == 0
    old = (datetime.now(UTC) - timedelta(days=31)).date().isoformat()
    young = (datetime.now(UTC) - timedelta(days=28)).date().isoformat()
    log(drafted).write_text(f'{{"day":"{old}"}}\n{{"day":"{young}"}}\n')
    return drafted


def log(folder: Path) -> Path:
    """Return the party's local log."""
    return folder / "states" / PARTY / LOCAL_LOG_FILE


def erase(folder: Path, *more: str, party: str = PARTY) -> int:
    """Run the command for a party."""
    state = str(folder / "states" / party)
    return main(["erase", state, "--agreement", str(folder / "agreement.toml"), *more])


def cut_off(folder: Path, days: float) -> Path:
    """Put a run that was cut off into the party's folder; return where."""
    run = folder / "states" / PARTY / "run"
    Journal(run).close()
    when = datetime.now(UTC).timestamp() - days * 86_400
    for path in (*run.iterdir(), run):
        os.utime(path, (when, when))
    return run


def test_what_came_of_age_goes_and_the_rest_stays(agreed: Path, capsys: Capture) -> None:
    """Otherwise a log of last year lies there until the next run, if there is one."""
    state = agreed / "states" / PARTY
    run, key = cut_off(agreed, 6.9), (state / "identity.key").read_bytes()
    capsys.readouterr()
    assert erase(agreed) == 0
    words = capsys.readouterr().out
    assert "no longer in the state folder: local log after 30 days" in words
    assert "nothing is left" not in words  # of copies and the disk nobody here can say that
    assert "Copies elsewhere, in\nbackups, in snapshots and below the file system" in words
    entries = [json.loads(line) for line in log(agreed).read_text().splitlines()]
    assert len(entries) == 2
    assert entries[1]["lines_removed"] == 1
    assert run.exists()
    cut_off(agreed, 7.1)
    assert erase(agreed, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == ["local log after 30 days", "unfinished run after 7 days"]
    assert (found["party"], found["not_removed"]) == (PARTY, [])
    assert sorted(path.name for path in state.iterdir()) == ["identity.key", LOCAL_LOG_FILE]
    assert (state / "identity.key").read_bytes() == key


def test_the_ledger_is_kept_and_told(agreed: Path) -> None:
    """What was spent is spent, whatever is erased."""
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    digest = agreement_hash(read_agreement(agreed / "agreement.toml").agreement)
    ledger = Ledger.create(agreed / "states" / PARTY, delta=1e-5)
    event = DiscreteGaussianRelease(sensitivity=1.0, noise_scale=5.0, coordinates=3)
    ledger.reserve("one", digest, [event], Terms(20.0, 1e-5), 20.0)
    cut_off(agreed, 8)
    spent = ledger.spent()
    assert erase(agreed) == 0
    notes = [(note["kind"], note["run_id"]) for note in ledger.books().notes]
    assert notes == [("burn", "one"), ("erasure", "one")]
    assert ledger.spent() == spent
    assert erase(agreed) == 0
    assert len(ledger.books().notes) == 2


def test_what_cannot_be_removed_is_said(agreed: Path, capsys: Capture) -> None:
    """A script must not take it for done."""
    run = cut_off(agreed, 8)
    run.rename(run.with_name("elsewhere"))
    run.symlink_to(run.with_name("elsewhere"))
    log(agreed).rename(agreed / "log")
    log(agreed).symlink_to(agreed / "log")
    before = (agreed / "log").read_text()
    capsys.readouterr()
    assert erase(agreed, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["removed"] == []
    assert [entry["item"] for entry in found["not_removed"]] == [
        *("local log after 30 days", "unfinished run after 7 days")
    ]
    assert all(entry["why"] for entry in found["not_removed"])
    assert (agreed / "log").read_text().startswith(before)
    assert (run.with_name("elsewhere") / "wrapping.key").exists()
    assert erase(agreed) == 1
    assert "NOT removed: local log after 30 days" in capsys.readouterr().out


@pytest.mark.parametrize("who", ["another party", "a stranger", "changed text", "no table"])
def test_nobody_elses_text_removes_anything(agreed: Path, who: str, capsys: Capture) -> None:
    """Whoever can hand an operator a file could have its logs erased."""
    party = PARTY
    if who == "another party":  # it has not signed
        party = "teacher-site-1"
        log(agreed).rename(agreed / "states" / party / LOCAL_LOG_FILE)
    elif who == "a stranger":
        (agreed / "states" / PARTY / "identity.key").write_bytes(bytes(32))
    elif who == "changed text":
        edit(agreed, "local_log_days = 30", "local_log_days = 0")
    else:
        edit(agreed, "[retention]\n", "")
        edit(agreed, "local_log_days = 30\n", "")
        edit(agreed, "unfinished_days = 7\n", "")
    before = (agreed / "states" / party / LOCAL_LOG_FILE).read_bytes()
    capsys.readouterr()
    code = erase(agreed, party=party)
    assert code in (SecureFedsaError.exit_code, 2)
    assert capsys.readouterr().err.startswith("error: ")
    assert (agreed / "states" / party / LOCAL_LOG_FILE).read_bytes() == before


def test_who_signs_reads_it(agreed: Path, capsys: Capture) -> None:
    """A limit that nobody was shown is a limit that nobody keeps."""
    capsys.readouterr()
    words = "Kept at most: lines of local logs 30 days; a run that was cut off 7 days"
    check(agreed)
    assert words in capsys.readouterr().out
    assert main(["plan", str(agreed / "agreement.toml"), "--no-time"]) == 0
    assert words in capsys.readouterr().out
