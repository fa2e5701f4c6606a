"""The honest runs of protocols/v1/vectors/runs: made by real parties, closed by real signers.

Identity keys are the published test keys, so that names and signatures of agreements repeat.
Everything else of a run is drawn fresh (nonces, noise, keys, masks): a run that is made again
has other bytes, and all that is made from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Retention
from secure_fedsa.engines.student import (
    ARCHITECTURE_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    NETWORK_FILE,
    StudentTask,
    StudentWorkshop,
)
from secure_fedsa.engines.student_labels import StudentLabels
from tests.audit import folders
from tests.engines.network import Network, muted
from tests.protocols.bench import following, formulas
from tests.protocols.bench.resigning import Run
from tests.routes import Shape, encryption_only, private_training, trained_models
from tests.support import (
    CLASSES,
    STUDENT_PROMISE,
    asked_by_probes,
    encoder,
    institution_promise,
    make_world,
    table,
)

VECTORS = Path(__file__).resolve().parents[3] / "protocols" / "v1" / "vectors"
RUNS = VECTORS / "runs"
_REPORT = b"<!doctype html><title>Test vector</title><p>The report of this run was left out."
_NOTHING = {"feature_key": False, "ciphertexts": False, "sums": False, "scores": "none"}
_SHARED = institution_promise(4)
_OPEN = {"he": False, "masks": False}


@dataclass(frozen=True, slots=True)
class Kind:
    """What an honest run is of.

    Attributes:
        about: For people.
        teachers: How many take part.
        changes: To the toy agreement.
        shape: What makes of it an agreement of another route.
        models: How many teachers, the first ones, bring trained models.
        lost: A teacher whose roster signature and mask values reach nobody.
    """

    about: str
    teachers: int
    changes: dict[str, Any] = field(default_factory=dict)
    lost: str = ""
    shape: Shape | None = None
    models: int = 0


KINDS: dict[str, Kind] = {
    "published": Kind("encrypted, custody key-holder, everything published", 3),
    "sealed": Kind(
        "encrypted, custody aggregator, nothing published but the roster",
        3,
        {"custody": "aggregator", "publish": _NOTHING},
    ),
    "plain": Kind("without encryption, scores and sum published", 3, {"protection": _OPEN}),
    "two-rosters": Kind(
        "without encryption, ranks and sum published; two rosters, as one teacher's signature "
        "did not arrive, and its upload is for the first",
        4,
        {"protection": _OPEN, "publish": {"scores": "order"}},
        lost="teacher-1",
    ),
    "private-training": Kind(
        "models trained by DP-SGD, one of them stated; without encryption, scores and sum "
        "published; three of four teachers selected",
        4,
        {"protection": _OPEN, "selection": {"select": 3}},
        shape=private_training("sketch", stated=["teacher-1"]),
        models=1,
    ),
    "private-student": Kind(
        "the student's labelled records protected too; without encryption, scores and sum "
        "published",
        3,
        {"protection": _OPEN, "student_privacy": STUDENT_PROMISE},
    ),
    "institution": Kind(
        "a sum that hides single institutions; encrypted, sum published",
        4,
        {
            **_SHARED,
            "publish": {"feature_key": False, "ciphertexts": False, "scores": "none"},
        },
    ),
    "encryption-only": Kind(
        "no differential privacy; encrypted, custody key-holder, scores and sum published",
        3,
        {"publish": {"feature_key": False, "ciphertexts": False}},
        shape=encryption_only("scatter"),
        models=3,
    ),
    "limited": Kind(
        "limits for what runs leave with the parties; without encryption, scores and sum published",
        3,
        {"protection": _OPEN, "retention": Retention(local_log_days=30, unfinished_days=7)},
    ),
}


def parties(kind: Kind) -> list[str]:
    """Return the parties' names."""
    teachers = [f"teacher-{number}" for number in range(1, kind.teachers + 1)]
    return [*teachers, "aggregator", "key-holder", "student"]


def make(name: str, place: Path) -> dict[str, bytes]:
    """Run, and return the files of the run folder; ``place`` keeps the parties' state.

    The report, half of a small folder's bytes, is replaced by a line and the receipt signed
    again.
    """
    kind = KINDS[name]
    title = f"Test vector {name}: its keys are known to everybody"
    world = make_world(place, kind.teachers, title=title, **kind.changes)
    world.shape, world.brought = kind.shape, dict(trained_models(kind.models))
    for party in parties(kind):
        (place / party).mkdir(parents=True)
        secret = formulas.known_key(party).private_bytes_raw()
        (place / party / "identity.key").write_bytes(secret)
    probes, _ = table(3000, 60)
    records, labels = table(3001, 12)
    task = StudentTask(CLASSES, records, labels, probes)
    agreement, own = world.agreement(), None
    if agreement.student_privacy is not None:
        own, world.public = StudentLabels(place / "student", agreement), asked_by_probes()
    workshop = StudentWorkshop(task, encoder(), place / "built", seed=0, labels=own)
    run = world.local_run(lambda released: workshop.build(released, agreement))
    lost = muted(kind.lost, "roster-signature", "mask-share") if kind.lost else None
    outcome = (Network(run, lost) if lost else Network(run)).execute()
    built = (NETWORK_FILE, ARCHITECTURE_FILE, HEAD_FILE, ENCODER_FILE)
    student = {file: (workshop.folder / file).read_bytes() for file in built}
    files = folders.close(run, outcome, student).files
    made = Run.of_files(files, {party: formulas.known_key(party) for party in parties(kind)}).copy()
    made.files["report.html"] = _REPORT
    return following.rebuilt(made)


def keys_toml(head: str, keys: dict[str, str]) -> str:
    """Return a trust file."""
    return f"# {head}\n\n[keys]\n" + "".join(f'{name} = "{key}"\n' for name, key in keys.items())


def read(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@cache
def honest(name: str) -> Run:
    """Return an honest run of the vectors, taken apart; copy it before changing it."""
    files = read(RUNS / name)
    return Run.of_files(files, {party: formulas.known_key(party) for party in parties(KINDS[name])})
