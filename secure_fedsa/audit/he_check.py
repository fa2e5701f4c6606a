"""Ciphertexts and keys of a run folder, checked in a child process with limits.

"Nothing is parsed before its signature verifies" protects nobody when a forger signs its
own bytes: a verifier hands native code whatever the folder holds. So another process does
it; if that one dies, hangs or runs out of memory, the check has failed with a reason.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from signal import Signals
from typing import Any, Final

import secure_fedsa
from secure_fedsa.audit import he_child
from secure_fedsa.audit.failures import require
from secure_fedsa.audit.he_request import (
    HELD,
    MAXIMUM_ANSWER_BYTES,
    STAGES,
    Claim,
    digest_of,
    to_parts,
)
from secure_fedsa.errors import DataError, StorageError, VerificationError
from secure_fedsa.wire import canonical

# What a stage is about, if the process ends in it.
_FILE_OF_STAGE = {"key": "feature-key", "sum": "sum", "opening": "release"}

_MOST_REMEMBERED = 32
_held: Final[OrderedDict[str, None]] = OrderedDict()


def check_ciphertexts(claim: Claim, *, files: Mapping[str, str]) -> None:
    """Check a claim about ciphertexts, once a process: the check is a pure function.

    Args:
        claim: What the folder claims.
        files: The file to name, by ``feature-key``, ``sum``, ``release`` and
            ``upload MEMBER``.

    Raises:
        VerificationError: If the claim does not hold, or could not be checked within limits.
        StorageError: If no child process can be started here.
    """
    digest = digest_of(claim)
    if digest in _held:
        return
    answer, ended = _ask(claim)
    _judge(answer, ended, files)
    _held[digest] = None
    while len(_held) > _MOST_REMEMBERED:
        _held.popitem(last=False)


def _ask(claim: Claim) -> tuple[list[str], str]:
    """Return the child's lines, and how it ended in words; no words if it ended well."""
    try:
        with tempfile.TemporaryFile() as request, tempfile.TemporaryFile() as answer:
            for part in to_parts(claim):
                request.write(part)
            size = request.tell()
            request.flush()
            request.seek(0)
            ended = _run(request.fileno(), answer.fileno(), 2 * he_child.seconds_for(size))
            answer.seek(0)
            # What died may have written anything.
            said = answer.read(MAXIMUM_ANSWER_BYTES).decode("utf-8", "replace")
            return said.splitlines(), ended
    except OSError as error:
        raise StorageError(
            "The process that checks ciphertexts cannot be started.",
            why=f"{error.strerror}.",
            do="Make room for temporary files and processes, and verify again.",
        ) from error


def _run(request: int, answer: int, seconds: int) -> str:
    package = Path(secure_fedsa.__file__).resolve().parent.parent
    environment = {
        "PATH": os.defpath,
        "PYTHONPATH": str(package),
        "LC_ALL": "C.UTF-8",
        # Threads would reserve address space by the core.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    command = [sys.executable, "-s", "-P", "-B", "-m", he_child.__name__]
    try:
        done = subprocess.run(  # noqa: S603 - this interpreter, this package, no shell
            command,
            stdin=request,
            stdout=answer,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It was stopped after {seconds} seconds."
    if done.returncode < 0:
        return f"It died of {_signal_name(-done.returncode)}, on bytes that crash the library."
    return "" if done.returncode == 0 else "It ran out of memory or met an error."


def _signal_name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"


def _judge(answer: list[str], ended: str, files: Mapping[str, str]) -> None:
    passed = [line for line in answer if line in STAGES]
    last = answer[-1] if answer else ""
    if not ended and last.startswith("refused "):
        refused = _refusal(last.removeprefix("refused "))
        file = files.get(refused["where"], files["sum"])
        require(False, file, refused["why"])
    held = not ended and answer == [*STAGES, HELD]
    if not held:
        reached = STAGES[min(len(passed), len(STAGES) - 1)]
        raise VerificationError(
            files[_FILE_OF_STAGE[reached]],
            "its ciphertexts or keys could not be checked.",
            why=ended or "The process that checked them gave no answer.",
        )


def _refusal(text: str) -> dict[str, str]:
    try:
        value: Any = canonical.decode(text.encode())
        return {"where": str(value["where"]), "why": str(value["why"])}
    except (DataError, KeyError, TypeError):
        return {"where": "sum", "why": "The process that checked it gave no clear answer."}
