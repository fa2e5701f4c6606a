"""Roles decide; they do not act."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import secure_fedsa.roles as package
from secure_fedsa.roles import effects as fx
from secure_fedsa.run import PartyRun
from tests.support import make_world

FORBIDDEN = {
    "asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random",
    "requests", "secrets", "shutil", "socket", "sqlite3", "subprocess", "sys", "tempfile",
    "threading", "time", "uuid",
}  # fmt: skip
FORBIDDEN_OURS = {"entropy", "journal", "release_log", "run", "engines", "cli"}
FORBIDDEN_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
SOURCES = sorted(Path(package.__path__[0]).glob("*.py"))


def _of_types_only(node: ast.stmt) -> bool:
    """Return whether a statement never runs: names for the type checker alone."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_roles_import_nothing_that_acts(path: Path) -> None:
    """A role that reads a clock, a file or randomness could act before its charge is durable."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not _of_types_only(node)]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, *rest = name.split(".")
            assert first not in FORBIDDEN, name
            assert first != "secure_fedsa" or rest[0] not in FORBIDDEN_OURS, name
            assert "random" not in rest, name
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_CALLS


def test_steps_are_functions_of_state_and_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resuming replays every step: one that gave another answer would say two things."""
    steps = 0
    original = PartyRun.__init__

    class Twice:
        def __init__(self, machine: object) -> None:
            self.machine = machine

        def __getattr__(self, name: str) -> object:
            return getattr(self.machine, name)

        def step(self, state: object, event: fx.Event) -> object:
            nonlocal steps
            steps += 1
            before = {name: getattr(state, name) for name in state.__slots__}  # type: ignore[attr-defined]
            first = self.machine.step(state, event)  # type: ignore[attr-defined]
            second = self.machine.step(state, event)  # type: ignore[attr-defined]
            assert all(getattr(state, name) is value for name, value in before.items())
            assert _plain(first) == _plain(second)
            return first

    def wrapped(self: PartyRun, **arguments: object) -> None:
        original(self, **arguments)  # type: ignore[arg-type]
        self.machine = Twice(self.machine)

    monkeypatch.setattr(PartyRun, "__init__", wrapped)
    world = make_world(tmp_path, teachers=3, protection={"he": False, "masks": False})
    outcome = world.local_run().execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    assert steps > 200


def _plain(value: object) -> object:
    """Return a value that compares by content, arrays included."""
    import dataclasses

    import numpy as np

    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.tobytes())
    if dataclasses.is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
