"""What every way of asking says of a run that somebody made up from beginning to end."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.encryption.paillier import generate_paillier
from secure_fedsa.report.claims import WORDS
from secure_fedsa.wire.keys import IdentityKey
from tests.audit.folders import honest, write
from tests.audit.forging import Forgery

UNCHECKED = "consistent, identities not checked"
MADE_UP = "No identity was checked: anybody can make up all keys and all data"
ATTESTED = {"data-was-real", "noise-was-drawn", "selection", "one-release", "erasure", "accuracy"}
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def forged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in the names of institutions that know nothing of it: every key is the forger's."""
    forgery = Forgery()
    forgery.primes = generate_paillier(2048)
    forgery.identities = {name: IdentityKey.generate() for name in forgery.identities}
    return write(tmp_path_factory.mktemp("forged") / "run", forgery.build("agreement"))


def trust(path: Path, keys: dict[str, str]) -> Path:
    """Write a trust file."""
    lines = "".join(f'{name} = "{key}"\n' for name, key in keys.items())
    path.write_text(f"[keys]\n{lines}")
    return path


OF_OTHER_ROUTES = {
    "training-accounting",
    "no-differential-privacy",
    "institution-share",
    "private-training",
    "stated-training",
    "own-model",
    "student-summary",
    "retention",
}


@pytest.fixture
def known(tmp_path: Path) -> Path:
    """The keys of the real institutions."""
    return trust(tmp_path / "keys.toml", honest().keys)


def test_verify_says_that_no_identity_was_checked(forged: Path, capsys: Capture) -> None:
    """People would take names in a folder for the institutions of that name."""
    assert main(["verify", str(forged)]) == 0
    text = capsys.readouterr().out
    head, recomputed = text.split("Recomputed from this folder alone:")
    recomputed, attested = recomputed.split("Not recomputed from this folder")
    assert f"  {UNCHECKED}\n" in head
    assert MADE_UP in text
    for claim in ATTESTED:
        assert WORDS[claim] not in recomputed
        assert f"{WORDS[claim]}\n    attested by " in attested
    assert not re.search("verified|trusted|genuine", text, re.IGNORECASE)


def test_json_says_that_no_identity_was_checked(forged: Path, capsys: Capture) -> None:
    """A pipeline reads fields, not warnings."""
    assert main(["verify", "--json", str(forged)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == UNCHECKED
    assert said["identities_checked"] is False
    attested = {entry["claim"]: entry["by"] for entry in said["attested"]}
    assert set(attested) >= ATTESTED
    assert all(attested.values())
    assert not set(attested) & set(said["recomputed"])
    assert set(attested) | set(said["recomputed"]) == set(WORDS) - OF_OTHER_ROUTES


def test_the_page_says_that_no_identity_was_checked(forged: Path, capsys: Capture) -> None:
    """The page is what is passed on, without the terminal that it was made in."""
    out = forged.parent / "page.html"
    assert main(["report", str(forged), "--out", str(out)]) == 0
    assert f"Verdict: {UNCHECKED}\n" in capsys.readouterr().out
    page = out.read_text()
    header = page.split("</header>")[0]
    assert f"<strong><bdi>{UNCHECKED}</bdi></strong>" in header
    assert MADE_UP in header
    assert "not that it is true" in header
    assert "identities checked" not in page.lower().replace(UNCHECKED, "")
    assert not re.search("verified|genuine", page, re.IGNORECASE)


@pytest.mark.parametrize("command", [["verify"], ["verify", "--json"], ["report"]])
def test_known_keys_unmask_it(
    command: list[str], forged: Path, known: Path, capsys: Capture, tmp_path: Path
) -> None:
    """Only what a reader knows from elsewhere tells a forgery from a run."""
    out = ["--out", str(tmp_path / "page.html")] if command == ["report"] else []
    assert main([*command, str(forged), "--trust", str(known), *out]) == 1
    said = capsys.readouterr()
    assert "is not the key that the trust file has for" in said.out + said.err
    assert "consistent" not in said.out + said.err
    assert not (tmp_path / "page.html").exists()


def test_checked_is_said_with_the_file_that_was_checked_against(
    known: Path, tmp_path: Path, capsys: Capture
) -> None:
    """Whose list of keys it was is half of the verdict; and its holders can still lie together."""
    run, out = honest().write(tmp_path / "run"), tmp_path / "page.html"
    checked = f"consistent, identities checked against {known}"
    assert main(["verify", str(run), "--trust", str(known)]) == 0
    text = capsys.readouterr().out
    assert main(["verify", str(run), "--trust", str(known), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert main(["report", str(run), "--trust", str(known), "--out", str(out)]) == 0
    assert f"  {checked}\n" in text
    assert (said["verdict"], said["identities_checked"]) == (checked, True)
    for shown in (text, out.read_text()):
        assert checked in shown
        assert MADE_UP not in shown
        assert "Whoever held those keys could sign anything together." in shown
