"""docs/data-dependent-choices.toml is complete, true where a test can tell, and enforced."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import tomllib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from secure_fedsa import agreement_tables
from secure_fedsa.engines import student
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.messages import RULES, LedgerSegment
from secure_fedsa.models.dp_sgd import DpSgdSpec, train_privately
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.wire import bodies, canonical
from secure_fedsa.wire.envelope import parse
from tests.cli.agreements import TEACHERS, new
from tests.cli.agreements import make_world as drafted_world
from tests.engines.network import Network, sizes_by_kind
from tests.privacy.choices import ROOT, SPECS, TABLES, every_parameter
from tests.support import make_world, table

FILE = ROOT / "docs" / "data-dependent-choices.toml"
STATUSES = {"public", "charged", "refused"}
ASKED = {
    # what a privacy officer asks about, and under which name it stands
    "clip norm": "agreement:privacy.clip_norm",
    "dimensions": "agreement:encoder.dimension",
    "regularisation": "choice:regularisation",
    "number selected": "choice:number-selected",
    "early stop": "choice:early-stop",
    "retries": "choice:retry-of-a-run",
    "label set": "choice:label-set",
    "denominator": "agreement:training.denominator",
    "learning rate": "agreement:training.learning_rate",
    "deadlines": "choice:deadlines",
    "noise seed": "choice:noise-seed",
    "student's labels": "choice:student-labels",
    "computing time": "choice:computing-time",
}


def entries() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["entries"]
    return found


def listed() -> list[str]:
    return [name for entry in entries() for name in entry["names"]]


def not_promised() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["not_promised"]
    return found


def problems(found: Iterable[str], named: Iterable[str]) -> list[str]:
    """Return what is missing, unknown or there twice."""
    names = list(named)
    there, known = set(found), {name for name in names if not name.startswith("choice:")}
    twice = [name for name, count in Counter(names).items() if count > 1]
    return (
        [f"{name} is not in {FILE.name}" for name in sorted(there - known)]
        + [f"{name} is no parameter" for name in sorted(known - there)]
        + [f"{name} is there twice" for name in twice]
    )


def test_every_parameter_has_its_class_and_nothing_else_has_one() -> None:
    """If this fails, a new option may leak what no epsilon covers, and nobody was asked."""
    assert problems(every_parameter(), listed()) == []
    said = {f"choice:{entry['what']}" for entry in not_promised()}
    assert set(ASKED.values()) <= {*listed(), *said}


def test_a_parameter_more_or_less_is_found() -> None:
    """If this fails, the list is complete by accident."""
    found, named = every_parameter(), listed()
    assert problems([*found, "agreement:privacy.adaptive_clip"], named)
    assert problems(found, [*named, "option:demo --early-stop"])
    assert problems(found, [*named, named[0]])
    assert problems(found[1:], named)


def test_the_search_for_parameters_is_not_blind() -> None:
    """If this fails, a new table of the agreement is in no list."""
    tables = {
        kind
        for _, kind in inspect.getmembers(agreement_tables, dataclasses.is_dataclass)
        if kind.__module__ == agreement_tables.__name__
    }
    assert tables <= set(TABLES)
    assert all(dataclasses.is_dataclass(spec) for spec in SPECS)
    kinds = Counter(name.split(":")[0] for name in every_parameter())
    assert min(kinds[k] for k in ("agreement", "option", "parameter", "field", "constant")) > 10


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry["names"][0])
def test_an_entry_has_a_reason_a_place_and_tests_that_exist(entry: dict[str, Any]) -> None:
    """If this fails, the list says that something is enforced where nothing is."""
    assert set(entry) == {"status", "why", "where", "tests", "names"}
    assert entry["status"] in STATUSES
    assert len(entry["why"]) > 20
    assert entry["names"]
    found_where_it_says(entry)


@pytest.mark.parametrize("entry", not_promised(), ids=lambda entry: entry["what"])
def test_what_is_not_promised_is_said_to_users_and_no_parameter(entry: dict[str, Any]) -> None:
    """If this fails, somebody takes silence for a promise."""
    assert set(entry) == {"what", "why", "where", "tests"}
    assert len(entry["why"]) > 20
    found_where_it_says(entry)


def found_where_it_says(entry: dict[str, Any]) -> None:
    """Check that the places and the tests of an entry exist."""
    assert entry["where"]
    assert entry["tests"]
    for place in entry["where"]:
        file, _, text = place.partition("::")
        assert (ROOT / file).is_file(), place
        assert text in " ".join((ROOT / file).read_text(encoding="utf-8").split()), place
    for node in entry["tests"]:
        file, _, name = node.partition("::")
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}
        assert name in names if name else any(one.startswith("test_") for one in names), node


# --- teachers on other records -------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Shown:
    """What a run shows of teacher-2 before anybody opens a signal."""

    agreement: str
    event: Any
    charged: Any
    sent: list[tuple[str, str, int]]
    order: list[str]


def shown(folder: Path, data: PrivateData) -> Shown:
    world = make_world(folder, protection={"he": False, "masks": False})
    world.data["teacher-2"] = data
    order: list[str] = []

    def watch(party: str, effect: fx.Effect) -> None:
        if party == "teacher-2":
            order.append(type(effect).__name__)

    run = world.local_run()
    outcome = Network(run, watch=watch).execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    messages = [parse(data) for data in outcome.envelopes]
    (segment,) = (
        bodies.from_json(RULES["ledger"].body, one.body)
        for one in messages
        if (one.header.kind, one.header.sender) == ("ledger", "teacher-2")
    )
    assert isinstance(segment, LedgerSegment)
    charge = next(e["body"] for e in segment.entries if e["kind"] == "reserve")
    content = {**run.agreement.content(), "parties": {}}  # keys are fresh in every world
    return Shown(
        canonical.sha256(canonical.encode(content)),
        planned_event(run.agreement, "teacher-2"),
        {name: value for name, value in charge.items() if name != "agreement"},
        sizes_by_kind(outcome.envelopes, "teacher-2"),
        order,
    )


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    return shown(tmp_path_factory.mktemp("usual"), PrivateData(*table(1, 200)))


@pytest.mark.slow
@pytest.mark.parametrize("change", ["one other", "ten times"])
def test_agreement_event_and_schedule_are_those_of_any_other_records(
    tmp_path: Path, change: str, usual: Shown
) -> None:
    """If this fails, something that all see was chosen by looking at records."""
    records, labels = table(1, 200)
    other = records.copy()
    other[17] *= -1000
    data = {
        "one other": (other, np.where(np.arange(200) == 17, 2, labels)),
        "ten times": (np.tile(records, (10, 1)), np.tile(labels, 10)),
    }
    assert shown(tmp_path, PrivateData(*data[change])) == usual


@pytest.mark.slow
def test_a_draft_does_not_look_at_the_records(tmp_path: Path) -> None:
    """If this fails, clip norm, width or ranges were tuned on private records, without a charge."""
    drafted = tmp_path
    drafted_world(drafted)
    before = (drafted / "agreement.toml").read_bytes()
    for name in TEACHERS:
        path = drafted / "data" / f"{name}.npz"
        with np.load(path) as arrays:
            old = dict(arrays)
        many = np.full((3, old["x"].shape[1]), np.float32(1e30))
        np.savez(path, x=many, y=np.array([99, -1, 0]), classes=old["classes"])
    assert new(drafted, out="again/agreement.toml") == 0
    assert (drafted / "again" / "agreement.toml").read_bytes() == before


class Counting(SeededNoise):
    """Counts the steps that ask for noise."""

    def __init__(self) -> None:
        super().__init__(0)
        self.steps = 0

    def torch_generator(self) -> torch.Generator:
        self.steps += 1
        return super().torch_generator()


@pytest.mark.parametrize("value", [0.0, 1.0, float("nan"), 1e30])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_training_takes_all_its_steps_whatever_the_records_are(count: int, value: float) -> None:
    """If this fails, a training that learnt all, or nothing, stops early and tells so."""
    noise = Counting()
    spec = DpSgdSpec(0.3, 23, 1.0, 1.0, 10.0, 0.1)
    labels = np.zeros(count, dtype=np.int64)
    train_privately(
        nn.Linear(3, 2),
        torch.full((count, 3), value),
        labels,
        head="classification",
        classes=2,
        spec=spec,
        noise=noise,
    )
    assert noise.steps == 23


def test_the_students_settings_are_constants() -> None:
    """If this fails, something was tuned on the student's labels, and the list says it was not."""
    for spec in SPECS:
        if spec.__module__ in {"secure_fedsa.models.dp_sgd", "secure_fedsa.models.teachers"}:
            continue
        for entry in dataclasses.fields(spec):
            if spec.__name__ in {"StudentData", "BankSpec"}:
                continue
            assert entry.default is not dataclasses.MISSING or callable(entry.default_factory)
    tree = ast.parse(inspect.getsource(student))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"amalgamate", "without_teachers", "distil", "fit_network"}
    ]
    assert len(calls) >= 2
    for call in calls:
        assert not any(keyword.arg == "spec" for keyword in call.keywords)
    amalgamating = [call for call in calls if ast.unparse(call.func) == "amalgamate"]
    assert amalgamating
    assert all(len(call.args) == 3 for call in amalgamating)
