"""``keys``: a key that is lost, replaced or shown is a party that cannot be told from others."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.engines.site import load_identity

Capture = pytest.CaptureFixture[str]


def test_a_new_key_is_private_and_its_public_part_is_printed(
    tmp_path: Path, capsys: Capture
) -> None:
    """Who reads the private part signs in the party's name."""
    state = tmp_path / "north"
    assert main(["keys", "new", str(state)]) == 0
    shown = capsys.readouterr()
    identity = load_identity(state)
    assert shown.out == identity.public.hex() + "\n"
    assert identity.to_bytes().hex() not in shown.out + shown.err
    file = state / "identity.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o077 == 0


def test_an_existing_key_is_never_replaced(tmp_path: Path, capsys: Capture) -> None:
    """Every agreement that the party signed would be lost with its key."""
    assert main(["keys", "new", str(tmp_path)]) == 0
    before = (tmp_path / "identity.key").read_bytes()
    capsys.readouterr()
    assert main(["keys", "new", str(tmp_path)]) == 2
    words = capsys.readouterr().err
    assert "already" in words
    assert "keys show" in words
    assert (tmp_path / "identity.key").read_bytes() == before


def test_show_prints_a_line_for_the_trust_file(tmp_path: Path, capsys: Capture) -> None:
    """A key that was copied by hand is a key with a typing error."""
    state = tmp_path / "teacher-north"
    assert main(["keys", "new", str(state)]) == 0
    public = load_identity(state).public.hex()
    capsys.readouterr()
    assert main(["keys", "show", str(state)]) == 0
    assert main(["keys", "show", str(state), "--name", "clinic-2"]) == 0
    shown = capsys.readouterr()
    found = tomllib.loads("[keys]\n" + shown.out)["keys"]
    assert found == {"teacher-north": public, "clinic-2": public}
    assert load_identity(state).to_bytes().hex() not in shown.out + shown.err


def test_show_makes_no_key(tmp_path: Path, capsys: Capture) -> None:
    """A mistyped folder must not become a new identity."""
    assert main(["keys", "show", str(tmp_path / "absent")]) == 2
    assert "keys new" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize("name", ["Two Words", 'a"\nb', "", "é"])
def test_a_name_that_no_party_can_have_is_refused(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    """Its line would not be read, or be read as another."""
    state = tmp_path / "Folder"
    assert main(["keys", "new", str(state)]) == 0
    capsys.readouterr()
    assert main(["keys", "show", str(state), "--name", name]) == 2
    assert capsys.readouterr().out == ""


def test_a_folder_that_cannot_be_written_is_an_error_in_words(
    tmp_path: Path, capsys: Capture
) -> None:
    """A traceback tells nobody what to do."""
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    assert main(["keys", "new", str(blocker)]) == 2
    assert "error: Cannot" in capsys.readouterr().err
