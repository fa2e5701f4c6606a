"""``secure-fedsa verify`` as people and programs meet it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.report.claims import WORDS
from tests.audit.folders import honest, write
from tests.audit.forging import Forgery


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return honest("default").write(tmp_path / "run")


def verify(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "secure_fedsa.cli.main", "verify", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_the_text_says_what_holds_whose_word_the_rest_is_and_what_it_does_not_mean(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person must not have to know the protocol to know what was checked."""
    assert main(["verify", str(folder)]) == 0
    text = capsys.readouterr().out
    made = honest("default")
    assert text.startswith(f"Run {made.summary['run_id']}\nunder agreement ")
    for name in ("aggregator", "key-holder", "teacher-1"):
        assert f"({made.agreement.parties[name].role}), key {made.keys[name]}" in text
    recomputed, rest = text.split("Not recomputed from this folder")
    attested, limits = rest.split("What this does not mean:")
    for claim in ("homomorphic-sum", "decryption", "accounting"):
        assert f"  {claim}: {WORDS[claim]}\n" in recomputed
    assert f"  accuracy: {WORDS['accuracy']}\n    attested by aggregator\n" in attested
    assert "attested by teacher-1, teacher-2, teacher-3, teacher-4\n" in attested
    bound = "Bound by their signed messages only, not by the receipt:\n  student (student), key "
    assert f"{bound}{made.keys['student']}\n" in text
    assert "attested by student (student: by signed messages, not under the receipt)" in attested
    assert "No identity was checked" in limits
    assert "verified" not in text.lower()


def test_json_is_what_programs_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A pipeline decides by these fields."""
    assert main(["verify", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    made = honest("default")
    assert set(said) == {
        "verdict", "run_id", "agreement", "identities_checked", "trust", "signers",
        "bound_by_messages", "recomputed", "attested", "limits",
    }  # fmt: skip
    assert said["trust"] is None
    assert "anybody can make up all keys" in said["limits"][0]
    assert {other["party"] for other in said["bound_by_messages"]} == {"student"}
    assert said["run_id"] == made.summary["run_id"]
    assert said["signers"][0] == {
        "party": "aggregator",
        "role": "aggregator",
        "key": made.keys["aggregator"],
    }
    assert all(set(claim) == {"claim", "by"} for claim in said["attested"])


def test_a_failed_check_is_exit_code_one_with_file_and_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A build must stop, and its log must say where to look."""
    (folder / "summary.json").write_bytes(b"[" * 500_000)
    assert main(["verify", str(folder)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: summary.json: is not the file that was signed.")
    assert main(["verify", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "verdict": "failed",
        "file": "summary.json",
        "reason": "is not the file that was signed. Its hash is not the one in the receipt.",
    }


def test_a_whole_verification_in_a_process_of_its_own(folder: Path) -> None:
    """Nothing may rest on what the process that made the run still knows."""
    done = verify(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "consistent, identities not checked" in done.stdout


def test_a_lie_about_ciphertexts_in_a_process_of_its_own(tmp_path: Path) -> None:
    """The child that checks ciphertexts is started wherever the command runs."""
    forgery = Forgery()
    release = forgery.body("release")
    release["values"] = "AAAA" + release["values"][4:]
    done = verify(write(tmp_path / "run", forgery.build("log")))
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "key-holder-005-release.json: does not hold the values" in done.stderr


UNUSABLE = {
    "no folder": ("nothing", None, "is not a folder"),
    "a file": ("file", None, "is not a folder"),
    "no trust file": ("run", "nothing", "cannot be read"),
    "a folder for a trust file": ("run", "run", "is not a file"),
    "a trust file that is no text": ("run", b"\xff", "is not TOML"),
    "a trust file that is no TOML": ("run", b"keys", "is not TOML"),
    "a trust file of another form": ("run", b'teacher-1 = "00"', "exactly one table"),
    "an empty trust file": ("run", b"", "exactly one table"),
    "a trust file without keys": ("run", b"[keys]", "exactly one table"),
    "a trust file with more": ("run", b"[keys]\na = 1\n[more]", "exactly one table"),
    "a key that is none": ("run", b'[keys]\nteacher-1 = "00"', "is no key"),
    "a key in capitals": ("run", b'[keys]\na = "' + b"AB" * 32 + b'"', "is no key"),
    "a deep trust file": ("run", b"a = " + b"[" * 100_000, "is not TOML"),
    "a huge trust file": ("run", b"#" * (2**20 + 1), "at most 1 MiB"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_cannot_be_used_is_exit_code_two(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong path must not look like a run that failed its checks, nor like one that passed."""
    (tmp_path / "file").touch()
    (tmp_path / "run").mkdir()
    where, trust, reason = UNUSABLE[name]
    arguments = ["verify", str(tmp_path / where)]
    if isinstance(trust, bytes):
        (tmp_path / "keys.toml").write_bytes(trust)
        arguments += ["--trust", str(tmp_path / "keys.toml")]
    elif trust is not None:
        arguments += ["--trust", str(tmp_path / trust)]
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert reason in said.err
    assert said.out == ""


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    """Most people read the examples and nothing else."""
    with pytest.raises(SystemExit) as caught:
        main(["verify", "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "secure-fedsa verify demo-run --trust keys.toml" in text
    assert "exit codes" in text


def test_words_from_the_folder_cannot_write_to_the_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file's name must not clear the screen that shows the refusal."""
    (folder / "\x1b[2J\x1b[1;1Hconsistent").touch()
    assert main(["verify", str(folder)]) == 1
    assert "\x1b" not in capsys.readouterr().err
    assert main(["verify", str(folder), "--json"]) == 1
    assert "\\u001b" not in capsys.readouterr().out
