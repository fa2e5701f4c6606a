"""The campaign itself: it must not call a fault caught that was not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutation.bench import Bench
from tests.mutation.catalogue import CATALOGUE, Fault, StaleFaultError, load

pytestmark = pytest.mark.slow

CODE = "def double(number: int) -> int:\n    return 2 * number\n"
TESTS = """
import pytest
from secure_fedsa.code import double

def test_strict():
    assert double(3) == 6

def test_lax():
    assert double(0) == 0

def test_wrong():
    assert double(3) == 5

def test_endless():
    import time
    time.sleep(60)

def test_elsewhere():
    assert pytest
"""
FAULT = Fault(
    "halved",
    "secure_fedsa/code.py",
    "2 * number",
    "number / 2",
    "Half.",
    ("tests/test_code.py::test_strict",),
)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench of a small project."""
    root = tmp_path_factory.mktemp("project")
    for name, text in {
        "secure_fedsa/__init__.py": "",
        "secure_fedsa/code.py": CODE,
        "tests/test_code.py": TESTS,
        "tests/test_nothing.py": "def test_nothing():\n    assert True\n",
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = ["--import-mode=importlib"]\n',
    }.items():
        path = root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    with Bench(tmp_path_factory.mktemp("bench"), root, seconds=10) as made:
        yield made


def of(test: str, **changes: str) -> Fault:
    """Return the fault with another test, and with other fields."""
    return replace(FAULT, tests=(f"tests/{test}",), **changes)  # type: ignore[arg-type]


def test_all_tests_at_once(bench: Bench) -> None:
    """If this fails, a test that fails anyway is taken for one that noticed."""
    assert bench.check_all_at_once([FAULT, of("test_code.py::test_lax")])
    assert not bench.check_all_at_once([FAULT, of("test_code.py::test_wrong")])


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (FAULT, "killed"),
        (of("test_code.py::test_lax"), "survived"),
        (of("test_code.py::test_lax", equivalent="Zero is zero."), "equivalent"),
        (of("test_code.py::test_strict", equivalent="It is not."), "not-equivalent"),
        (of("test_code.py::test_wrong"), "error"),  # fails without the fault, too
        (of("test_code.py::test_endless"), "error"),
        (of("test_code.py::test_nowhere"), "error"),
        (of("test_nothing.py"), "error"),  # never loads what is faulty
        (of("test_code.py::test_lax", after="missing("), "stale"),
        (of("test_code.py::test_lax", after="2 * (number)"), "stale"),
        (of("test_code.py::test_lax", before="3 * number"), "stale"),
        (of("test_code.py::test_lax", before="number"), "stale"),
        (of("test_code.py::test_lax", file="secure_fedsa/gone.py"), "stale"),
        # No test fails: the module cannot even be imported.
        (of("test_code.py::test_lax", before="def double", after="1 / 0\ndef double"), "error"),
        (
            of(
                "test_code.py::test_strict",
                after="2 * number if number else __import__('time').sleep(60)",
            ),
            "survived",
        ),
        (of("test_code.py::test_lax", after="number or __import__('time').sleep(60)"), "timeout"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_outcomes(bench: Bench, fault: Fault, outcome: str) -> None:
    """If this fails, a fault that nothing noticed is said to be caught."""
    found = bench.judge(fault)
    assert found.outcome == outcome, found
    assert found.good == (outcome in ("killed", "equivalent"))
    assert (bench.root / "secure_fedsa/code.py").read_text() == CODE


def test_a_kill_names_its_test(bench: Bench) -> None:
    """Whoever reads the result wants to know which test it was."""
    assert bench.judge(FAULT).killed_by == "tests/test_code.py::test_strict"
    assert "1.5 == 6" in bench.judge(FAULT).why


ENTRY = """[[fault]]
id = "a"
file = "f"
before = "b"
after = "c"
loses = "d"
tests = ["t"]
"""


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[[fault]]\nid = "a"\n',
        ENTRY.replace('"t"', ""),
        ENTRY + 'reason = "e"\n',
        ENTRY + ENTRY,
    ],
)
def test_a_malformed_catalogue_is_refused(tmp_path: Path, text: str) -> None:
    """If this fails, a fault is listed and never seeded."""
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(StaleFaultError):
        load(path)
    path.write_text(ENTRY)
    assert [fault.id for fault in load(path)] == ["a"]


def test_every_part_of_the_code_has_a_fault_on_every_submission() -> None:
    """If this fails, what is left for offline is all that there is of some kind."""
    often = [fault for fault in load() if not fault.offline]
    assert len(often) >= 40
    for folder in ("privacy", "roles", "encryption", "models", "wire", "audit"):
        assert any(f"/{folder}/" in fault.file for fault in often), folder


def test_the_page_counts_what_the_catalogue_has() -> None:
    """If this fails, a reader takes an old figure for what is tested now."""
    faults = load()
    equivalent = sum(bool(fault.equivalent) for fault in faults)
    page = (CATALOGUE.parents[2] / "docs" / "mutation.md").read_text("utf-8")
    online = sum(not fault.offline for fault in faults)
    assert f"{len(faults)} faults, of which {online} are met on every submission" in page
    assert f"{len(faults) - equivalent} killed, {equivalent} equivalent" in page
