"""A copy of the project in which one fault at a time is seeded and tested."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.mutation.catalogue import Fault, StaleFaultError

ROOT = Path(__file__).parents[2]
MAPPED_SECONDS = 30
WHOLE_SECONDS = 3600
GOOD = ("killed", "equivalent")
"""Outcomes that are as the catalogue says."""

_LEFT_OUT = (
    ".git", ".venv", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis",
    ".import_linter_cache", "build", "dist", "scratch", "demo-run*", "simulation*.json",
)  # fmt: skip
_OPTIONS = (
    "-x", "-q", "--no-header", "--tb=short", "-p", "no:cacheprovider", "-p", "no:xdist",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # of hypothesis, which is loaded before
)  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the tests met one fault.

    Attributes:
        fault: Its id.
        outcome: ``killed``; ``equivalent`` (nothing noticed, as stated); ``survived``;
            ``not-equivalent`` (something noticed what is stated to be equivalent); ``stale``;
            ``timeout``; ``error`` (pytest failed otherwise than by a test, the module was not
            loaded, or the tests fail without the fault).
        seconds: Wall time of its tests.
        cpu_seconds: Time that one processor was busy with them.
        killed_by: The test that failed first.
        why: What it said, or what went wrong.
    """

    fault: str
    outcome: str
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    killed_by: str = ""
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether it is as the catalogue says."""
        return self.outcome in GOOD

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


class Bench:
    """A copy of the project and a process that tests it; use as a context.

    Args:
        folder: Where the copy goes; made here and removed at the end.
        root: What is copied.
        seconds: Limit for one fault's mapped tests.
    """

    def __init__(self, folder: Path, root: Path = ROOT, *, seconds: float = MAPPED_SECONDS) -> None:
        self._seconds = seconds
        self.root = folder.resolve() / "copy"
        shutil.copytree(root, self.root, ignore=shutil.ignore_patterns(*_LEFT_OUT))
        # A campaign within a campaign would never end.
        for path in (self.root / "tests" / "mutation").glob("test_*.py"):
            path.unlink()
        self._baselines: dict[tuple[str, ...], str] = {}
        environment = {**os.environ, **dict.fromkeys(_THREADS, "1"), "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("PYTHONPATH", None)
        environment.pop("PYTEST_ADDOPTS", None)
        environment = {k: v for k, v in environment.items() if not k.startswith("PYTEST_XDIST")}
        worker = Path(__file__).with_name("worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream(self._process.stdin).close()
        self._stream(self._process.stdout).close()
        self._process.wait(timeout=60)
        shutil.rmtree(self.root, ignore_errors=True)

    def check_all_at_once(self, faults: Iterable[Fault]) -> bool:
        """Run all tests of these faults together, without a fault; return whether they pass.

        Then no set of them is asked for alone any more. That a test passes only after others would
        go unnoticed so, and its fault count as killed: a whole campaign asks for each set alone.
        """
        sets = {fault.tests for fault in faults}
        together = tuple(dict.fromkeys(test for tests in sorted(sets) for test in tests))
        passed: bool = self._pytest(together, seconds=WHOLE_SECONDS)["code"] == 0
        if passed:
            self._baselines |= dict.fromkeys(sets, "")
        return passed

    def judge(self, fault: Fault, *, whole: bool = False) -> Outcome:
        """Return how the fault's tests meet it, or the whole test suite does."""
        path = self.root / fault.file
        try:
            source = path.read_text() if path.is_file() else ""
            changed = fault.seeded(source)
        except StaleFaultError as error:
            return Outcome(fault.id, "stale", why=str(error))
        tests = () if whole else fault.tests
        broken = self._baseline(tests)
        if broken:
            return Outcome(fault.id, "error", why=f"without the fault: {broken}")
        try:
            _write(path, changed)
            answer = self._pytest(tests, module=fault.file)
        finally:
            _write(path, source)
        return _judged(fault, answer)

    def _baseline(self, tests: tuple[str, ...]) -> str:
        """Return why tests fail in the unchanged copy, or an empty text; asked once of each."""
        if tests not in self._baselines:
            answer = self._pytest(tests)
            broken = "" if answer["code"] == 0 else f"{answer.get('test')} {_last(answer)}"
            self._baselines[tests] = broken
        return self._baselines[tests]

    def _pytest(
        self, tests: tuple[str, ...], *, module: str = "", seconds: float = 0.0
    ) -> dict[str, Any]:
        request = {
            "root": str(self.root),
            "tests": list(tests),
            "options": list(_OPTIONS),
            "seconds": seconds or (self._seconds if tests else WHOLE_SECONDS),
            "module": module.removesuffix(".py").replace("/", "."),
        }
        stdin = self._stream(self._process.stdin)
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        line = self._stream(self._process.stdout).readline()
        if not line:
            raise RuntimeError("The process that runs the tests died; its words are above.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream


def _judged(fault: Fault, answer: dict[str, Any]) -> Outcome:
    code, by = answer["code"], ""
    if code is None:
        outcome, why = "timeout", "its tests took too long"
    elif answer.get("outsiders"):
        outcome, why = "error", f"loaded {answer['outsiders'][0]}"
    elif code not in (0, 1):
        outcome, why = "error", f"pytest ended with {code}: {_last(answer)}"
    elif not answer["loaded"]:
        outcome, why = "error", f"its tests never load {fault.file}"
    elif code == 0:
        outcome, why = ("equivalent" if fault.equivalent else "survived"), ""
    else:
        outcome = "not-equivalent" if fault.equivalent else "killed"
        by, why = answer["test"], answer["why"]
    seconds, cpu_seconds = round(answer["seconds"], 2), round(answer["cpu_seconds"], 2)
    return Outcome(fault.id, outcome, seconds, cpu_seconds, by, why)


def _last(answer: dict[str, Any]) -> str:
    lines = [line for line in answer.get("output", "").splitlines() if line.strip()]
    return " | ".join(lines[-3:])[-300:]


def _write(path: Path, source: str) -> None:
    """Write a module and forget what was compiled of it: times and sizes may coincide."""
    path.write_text(source)
    Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
