"""Runs of every route are watched: what they hand private records to is in the list of choices."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
from torch import nn

from secure_fedsa.engines import site, student_labels
from secure_fedsa.engines.data_register import DataRegister
from secure_fedsa.engines.site import LocalSite
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.messages import STUDENT
from secure_fedsa.models.scatter import triangle_size
from secure_fedsa.models.teachers import PrivateModel
from tests.engines.test_routes import image_world
from tests.engines.test_student_labels import ask, protected
from tests.privacy.choices import FUNCTIONS, called
from tests.routes import PROMISE, Shape, encryption_only, private_training, trained_models
from tests.support import World, institution_promise, make_world, table

Called = set[tuple[str, str]]

HANDED: tuple[tuple[Any, str], ...] = (
    (site, "check_brought"),
    (DataRegister, "sketch"),
    (LocalSite, "read_private"),
    (LocalSite, "ask_model"),
)
"""Where a run hands private records on: before the charge, to know them again, and to use them."""


@contextmanager
def watched(found: Called) -> Iterator[None]:
    """Note module and name of every function of the package that is called in this block."""

    def note(frame: FrameType, event: str, _: object) -> None:
        module = str(frame.f_globals.get("__name__", ""))
        if event == "call" and module.startswith("secure_fedsa."):
            found.add((module, frame.f_code.co_qualname))

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(before)


def watched_in(monkeypatch: pytest.MonkeyPatch, places: Iterable[tuple[Any, str]]) -> Called:
    """Return a set that fills with what these functions call, themselves included."""
    found: Called = set()
    for owner, name in places:
        own = getattr(owner, name)

        def inside(*arguments: Any, own: Any = own, **named: Any) -> Any:
            with watched(found):
                return own(*arguments, **named)

        monkeypatch.setattr(owner, name, functools.wraps(own)(inside))
    return found


def not_listed(found: Called) -> list[str]:
    """Return which of them others can call, and are not in the list."""
    known = {called(function) for function in FUNCTIONS}
    missing = []
    for module, name in sorted(found):
        if "<" in name or any(part.startswith("_") for part in name.split(".")):
            continue  # part of another function, which is listed or missing itself
        owner: Any = importlib.import_module(module)
        for part in name.split("."):
            owner = getattr(owner, part)
        if not isinstance(owner, property) and called(owner) not in known:
            missing.append(f"{module}.{name}")
    return missing


def of_records(folder: Path) -> World:
    return make_world(folder, 3, privacy={"unit": "person", "max_records": 2})


def hiding_institutions(folder: Path) -> World:
    return make_world(folder, 4, **institution_promise(3))


def trained_in_the_run(folder: Path, shape: Shape) -> World:
    world = make_world(folder, 3)
    world.shape = shape
    records, labels = table(1, 200)
    persons = np.arange(200) // 2
    world.brought["teacher-1"] = PrivateModel(nn.Linear(6, 3), records, labels, persons=persons)
    return world


def trained_before(folder: Path) -> World:
    world = make_world(folder, 4)
    world.shape = encryption_only("sketch")
    world.brought = dict(trained_models())
    return world


PERSONS = private_training("scatter", promise=replace(PROMISE, unit="person", max_records=2))
WORLDS: dict[str, Callable[[Path], World]] = {
    "records": of_records,
    "institutions": hiding_institutions,
    "trained, scatter": lambda folder: trained_in_the_run(folder, PERSONS),
    "trained, sketch": lambda folder: trained_in_the_run(folder, private_training("sketch")),
    "trained, gram": lambda folder: trained_in_the_run(folder, private_training("gram")),
    "trained before": trained_before,
    "maps": lambda folder: image_world(folder, "grad-cam"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(WORLDS))
def test_no_function_that_a_run_hands_records_to_is_missing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, a function that sees private records has parameters that nobody classed."""
    world = WORLDS[name](tmp_path)
    world.data = {
        teacher: replace(data, persons=np.arange(len(data.labels)) // 2)
        for teacher, data in world.data.items()
    }
    found = watched_in(monkeypatch, HANDED)
    outcome = world.local_run(register=DataRegister(tmp_path / "register")).execute()
    assert outcome.problem == ""
    assert len(found) > 20
    assert not_listed(found) == []


@pytest.mark.slow
def test_no_function_that_gets_the_students_labels_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, what the student's protected records pass through is classed by nobody."""
    found = watched_in(monkeypatch, [(student_labels, "read_labels")])
    ask(StudentLabels(tmp_path / STUDENT, protected(tmp_path).agreement()))
    assert len(found) > 5
    assert not_listed(found) == []


def test_the_watch_is_not_blind() -> None:
    """If this fails, a function that is missing would not be missed."""
    found: Called = set()
    with watched(found):
        triangle_size(3)
    assert not_listed(found) == ["secure_fedsa.models.scatter.triangle_size"]
