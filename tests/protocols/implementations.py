"""The two verifiers of run folders, side by side: the package's and the reference."""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.errors import VerificationError

REFERENCE = Path(__file__).resolve().parents[2] / "protocols" / "reference" / "verify.py"
_SERVER = Path(__file__).parent / "bench" / "reference_server.py"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a verifier says of a folder.

    Attributes:
        accepted: Whether it is consistent.
        file: The file that a refusal names.
        reason: Why.
        section: Letter of the section of verification.md, where the verifier tells.
    """

    accepted: bool
    file: str = ""
    reason: str = ""
    section: str = ""


def by_package(folder: Path, trust: Mapping[str, str] | None = None) -> Judgement:
    """Return what ``secure-fedsa verify`` says; anything but its refusal is raised."""
    try:
        verify_folder(folder, trust)
    except VerificationError as error:
        return Judgement(accepted=False, file=error.file, reason=str(error))
    return Judgement(accepted=True)


def by_reference(folder: Path, trust: Mapping[str, str] | None = None) -> Judgement:
    """Return what the reference says."""
    ask_reference(folder, trust)
    return answer_of_reference()


def by_both(folder: Path, trust: Mapping[str, str] | None = None) -> tuple[Judgement, Judgement]:
    """Return what the package and the reference say, found at the same time."""
    ask_reference(folder, trust)
    try:
        package = by_package(folder, trust)
    finally:
        reference = answer_of_reference()
    return package, reference


def ask_reference(folder: Path, trust: Mapping[str, str] | None) -> None:
    """Have the reference begin with a folder."""
    server = _server()
    assert server.stdin is not None
    server.stdin.write(json.dumps([str(folder), trust]) + "\n")
    server.stdin.flush()


def answer_of_reference() -> Judgement:
    """Return what the reference says of the folder that it was asked about."""
    server = _server()
    assert server.stdout is not None
    file, reason = json.loads(server.stdout.readline())
    return Judgement(not reason, file, reason, reason[:1])


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, str(_SERVER), str(REFERENCE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.kill)
    return server


def by_command(folder: Path, trust: Path | None = None) -> tuple[int, str]:
    """Return the exit code and the words of the reference, as a reader starts it."""
    command = [sys.executable, str(REFERENCE), str(folder)]
    command += ["--trust", str(trust)] if trust else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout.strip()
