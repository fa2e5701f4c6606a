"""Runs pytest in forked copies of a process that has the libraries loaded already.

Started by :mod:`tests.mutation.bench` as a script, without this project on its path. Reads one JSON
object a line, ``{"root", "tests", "options", "seconds"}``, and answers each with one. Importing
torch and its like takes longer than most tests; a fork starts with them imported, and with nothing
of the project's own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

LIBRARIES = (
    "captum.attr",
    "cryptography.hazmat.primitives.asymmetric.mlkem",
    "cryptography.hazmat.primitives.hpke",
    "cryptography.hazmat.primitives.ciphers.aead",
    "cryptography.hazmat.primitives.kdf.hkdf",
    "dp_accounting.pld",
    "dp_accounting.rdp",
    "gmpy2",
    "hypothesis",
    "opacus",
    "opacus.optimizers",
    "opacus.validators",
    "opendp.prelude",
    "phe",
    "pytest",
    "rfc8785",
    "safetensors.torch",
    "scipy.linalg",
    "scipy.stats",
    "tenseal",
    "tomli_w",
    "tomlkit",
    "torch",
)
PACKAGES = ("secure_fedsa", "tests")


class Watch:
    """A pytest plugin that remembers the first failure."""

    def __init__(self) -> None:
        self.test = ""
        self.why = ""

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Remember a test that failed, or whose set-up did."""
        if report.failed and not self.test:
            self.test = report.nodeid
            crash = getattr(report.longrepr, "reprcrash", None)
            lines = (crash.message if crash else str(report.longrepr)).splitlines()
            self.why = (lines or [""])[0][:200]


def outsiders(root: str) -> list[str]:
    """Return the loaded modules of this project that are not of the copy under ``root``."""
    found = []
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES:
            file = getattr(module, "__file__", None)
            if file is not None and not file.startswith(root + os.sep):
                found.append(f"{name} of {file}")
    return found


def run_tests(request: dict[str, Any]) -> dict[str, Any]:
    """Run pytest here, in the copy; return how it ended."""
    import pytest

    root = request["root"]
    os.chdir(root)
    sys.path.insert(0, root)
    os.environ["PYTHONPATH"] = root  # for tests that start processes
    watch = Watch()
    # A place of its own: several pytests at once would tidy up each other's old ones.
    with tempfile.TemporaryDirectory(
        prefix="secure-fedsa-fault-", ignore_cleanup_errors=True
    ) as own:
        base = ["--basetemp", str(Path(own) / "tests")]
        code = pytest.main([*request["options"], *base, *request["tests"]], plugins=[watch])
    wanted = request.get("module", "")
    return {
        "code": int(code),
        "test": watch.test,
        "why": watch.why,
        "outsiders": outsiders(root),
        "loaded": not wanted or wanted in sys.modules,
    }


def forked(request: dict[str, Any]) -> dict[str, Any]:
    """Run one request in a child process of its own group, with a limit on its time."""
    reading, writing = os.pipe()
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.setsid()
            os.close(reading)
            for number in (1, 2):
                os.dup2(output.fileno(), number)
            answer: dict[str, Any] = {}
            try:
                answer = run_tests(request)
            finally:
                if not answer:
                    answer = {"code": 3}
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(writing, json.dumps(answer).encode())
                os._exit(0)
        os.close(writing)
        ready, _, _ = select.select([reading], [], [], request["seconds"])
        data = os.read(reading, 1 << 20) if ready else b""
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests started, too
        _, _, usage = os.wait4(child, 0)
        answer = json.loads(data) if data else {"code": None if not ready else 3}
        output.seek(0)
        text = output.read().decode(errors="replace")
    seconds, cpu_seconds = time.monotonic() - began, usage.ru_utime + usage.ru_stime
    return {**answer, "output": text[-4000:], "seconds": seconds, "cpu_seconds": cpu_seconds}


def steady_examples() -> None:
    """Let hypothesis draw the same examples every time, and not make failing ones smaller."""
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutation", derandomize=True, database=None, phases=phases)
    settings.load_profile("mutation")


def main() -> None:
    """Answer requests until there are no more."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            importlib.import_module(name)
    assert not any(name in sys.modules for name in PACKAGES), "the project itself is loaded"
    steady_examples()
    gc.collect()
    gc.freeze()  # children neither search nor copy what the libraries hold
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        out.write(json.dumps(forked(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if not (Path(entry) / "secure_fedsa").is_dir()]
    main()
