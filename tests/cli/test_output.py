"""A command whose output nobody takes: its exit code must not say that all is well."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from tests.audit.folders import honest

COMMAND = [sys.executable, "-m", "secure_fedsa.cli.main", "verify"]


def verify_into(stdout: int, folder: Path, *options: str) -> tuple[int, str]:
    """Return exit code and standard error of verify with that standard output."""
    done = subprocess.run(
        [*COMMAND, str(folder), *options],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def nobody_reads() -> int:
    """Return a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_reader_that_left_turns_no_failure_into_success(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """`verify DIR | head` in a script would else let a forged run pass."""
    folder = honest().write(tmp_path / "run")
    with (folder / "report.html").open("ab") as page:
        page.write(b"x")
    writer = nobody_reads()
    try:
        code, told = verify_into(writer, folder, *options)
    finally:
        os.close(writer)
    assert code in (1, 141)
    assert "Traceback" not in told


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_a_full_device_is_an_error_in_words(tmp_path: Path, options: tuple[str, ...]) -> None:
    """The verdict was not written: that is no verdict."""
    folder = honest().write(tmp_path / "run")
    with Path("/dev/full").open("wb") as full:
        code, told = verify_into(full.fileno(), folder, *options)
    assert code == 2
    assert "Cannot write the output" in told
    assert "Traceback" not in told


def test_options_are_not_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    """`--tru` could one day mean another option than it does today."""
    assert main(["verify", "run", "--tru", "keys.toml"]) == 2
    assert "unrecognized arguments: --tru" in capsys.readouterr().err
