"""Runs every method that was asked for, keeps each row, writes the result file and its page."""

from __future__ import annotations

import json
import os
import platform
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import torch

from benchmarks.baselines.job import Job, SharedWork
from benchmarks.utility.data import (
    DATASETS,
    FULL_SCALE,
    MULTI_TASK,
    PERSONS,
    QUICK_SCALE,
    SETTINGS,
    Scale,
    data_of,
    suite_of,
)
from benchmarks.utility.multi_task import NO_TEACHERS, SCATTER, scores
from benchmarks.utility.page import page
from benchmarks.utility.registry import METHODS, Method
from benchmarks.utility.rows import Journal, Row, means_of, row_key
from secure_fedsa.cli.datasets import LabelledImages
from secure_fedsa.errors import UsageError

DELTA = 1e-5
_PACKAGES = ("secure-fedsa", "torch", "numpy", "opacus", "dp-accounting", "tenseal")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    Attributes:
        out: The result file; rows and page lie beside it.
        quick: Small data, little training, one seed.
        seeds: Empty for the scale's own.
        epsilons: Empty for the scale's own.
        methods: Empty for all.
        datasets: Empty for all.
        settings: Empty for the first.
        labels: The student's labelled records; None for the scale's own.
        records: Records a teacher; None for the scale's own.
    """

    out: Path
    quick: bool = False
    seeds: tuple[int, ...] = ()
    epsilons: tuple[float, ...] = ()
    methods: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    labels: int | None = None
    records: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """One data set, setting and seed, made when the first missing row needs it."""

    dataset: str
    setting: str
    seed: int


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Run what is missing; return all rows, those of earlier runs too.

    Args:
        options: What to run.
        say: Called with lines of progress.

    Raises:
        UsageError: If a name is not known, or the file is of another kind of run.
    """
    scale = _scale(options)
    methods = _methods(options.methods)
    known = (*DATASETS, PERSONS)
    datasets = _known("data set", options.datasets or known, known)
    # Methods by name are those of single tasks; several tasks have their own.
    usual = SETTINGS[:1] if options.methods else (SETTINGS[0], MULTI_TASK)
    settings = _known("setting", options.settings or usual, SETTINGS)
    if datasets == (PERSONS,) and MULTI_TASK not in settings:
        raise UsageError(
            f"{PERSONS!r} has several tasks and no other setting.",
            do=f"Leave out --methods, and use --settings {MULTI_TASK}.",
        )
    torch.set_num_threads(1)
    with Journal.open(journal_path(options.out), scale.effort.name) as journal:
        try:
            for dataset in datasets:
                images: LabelledImages | None = None
                for setting in settings:
                    for seed in scale.seeds:
                        split = Split(dataset, setting, seed)
                        if setting == MULTI_TASK:
                            if dataset in DATASETS and images is None:
                                images = DATASETS[dataset]()
                            _run_suite(split, images, scale, journal, say)
                            continue
                        if dataset == PERSONS:
                            continue  # its tasks come together
                        todo = _missing(journal, split, methods, scale)
                        if not todo:
                            continue
                        images = images or DATASETS[dataset]()
                        _run_split(images, split, todo, scale, journal, say)
        finally:
            # Also after an interruption: what is finished can be looked at.
            write(options, list(journal.rows.values()))
        return list(journal.rows.values())


def journal_path(out: Path) -> Path:
    """Return where the rows of a result file are kept."""
    return out.with_name(out.name + ".rows")


def command_line(options: Options) -> str:
    """Return the command that asks for these options."""
    words: list[str] = ["secure-fedsa", "benchmark", "utility"]
    if options.quick:
        words.append("--quick")
    lists: dict[str, Sequence[object]] = {
        "--seeds": options.seeds,
        "--epsilons": [f"{epsilon:g}" for epsilon in options.epsilons],
        "--methods": options.methods,
        "--datasets": options.datasets,
        "--settings": options.settings,
        "--labels": [] if options.labels is None else [options.labels],
        "--records": [] if options.records is None else [options.records],
    }
    for name, values in lists.items():
        if values:
            words += [name, *map(str, values)]
    return shlex.join([*words, "--out", str(options.out)])


def write(options: Options, rows: list[Row]) -> None:
    """Write the result file and its page, each as a whole."""
    command = command_line(options)
    versions = {name: version(name) for name in _PACKAGES}
    versions["python"] = platform.python_version()
    means = means_of(rows)
    result = {
        "command": command,
        "versions": versions,
        "rows": [asdict(row) for row in rows],
        "means": [asdict(mean) for mean in means],
    }
    _replace(options.out, json.dumps(result, indent=2) + "\n")
    _replace(options.out.with_suffix(".html"), page(command, versions, means))


def _replace(path: Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    with new.open("w", encoding="utf-8") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    new.replace(path)


def _scale(options: Options) -> Scale:
    scale = QUICK_SCALE if options.quick else FULL_SCALE
    # A value named twice is one value.
    seeds = tuple(dict.fromkeys(options.seeds or scale.seeds))
    epsilons = tuple(dict.fromkeys(options.epsilons or scale.epsilons))
    return replace(
        scale,
        seeds=seeds,
        epsilons=epsilons,
        labels=options.labels or scale.labels,
        records=options.records or scale.records,
    )


def _methods(names: tuple[str, ...]) -> list[Method]:
    known = {method.name: method for method in METHODS}
    return [known[name] for name in _known("method", names or tuple(known), tuple(known))]


def _known(what: str, names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in known:
            raise UsageError(
                f"{name!r} is no {what}.",
                do="Known: " + ", ".join(repr(one) for one in known) + ".",
            )
    return tuple(dict.fromkeys(names))


def _missing(
    journal: Journal, split: Split, methods: list[Method], scale: Scale
) -> list[tuple[Method, float | None]]:
    todo: list[tuple[Method, float | None]] = []
    for method in methods:
        epsilons = scale.epsilons if method.takes_epsilon else (None,)
        for epsilon in epsilons:
            key = row_key(
                dataset=split.dataset,
                setting=split.setting,
                method=method.name,
                epsilon=epsilon,
                delta=None if epsilon is None else DELTA,
                labels=scale.labels,
                records_per_teacher=scale.records,
                seed=split.seed,
            )
            if key not in journal.rows:
                todo.append((method, epsilon))
    return todo


def _run_suite(
    split: Split,
    images: LabelledImages | None,
    scale: Scale,
    journal: Journal,
    say: Callable[[str], None],
) -> None:
    """Run the epsilons of a student of several tasks that are missing; one row a task."""
    suite = suite_of(split.dataset, images, split.seed, scale)
    first, teachers = suite.tasks[0].name, suite.data.teachers
    for epsilon in scale.epsilons:

        def row(
            method: str, task: str, accuracy: float, seconds: float, sent: int, epsilon: float
        ) -> Row:
            private = method != NO_TEACHERS
            return Row(
                split.dataset,
                f"{split.setting}: {task}",
                method,
                "noisy-release" if private else "none",
                epsilon if private else None,
                DELTA if private else None,
                len(suite.data.labels),
                len(teachers),
                max(len(teacher.labels) for teacher in teachers),
                split.seed,
                accuracy,
                round(seconds, 2),
                sent if private else 0,
            )

        if row(SCATTER, first, 0.0, 0.0, 0, epsilon).key in journal.rows:
            continue
        say(f"{split.dataset}, several tasks, seed {split.seed}, epsilon {epsilon:g}")
        began = time.monotonic()
        found = scores(suite, split.seed, epsilon)
        seconds = time.monotonic() - began
        # The row that is looked for comes last: a run that was cut off does all of them again.
        for method in sorted(found.by_method, key=lambda name: name == SCATTER):
            for task, accuracy in reversed(found.by_method[method].items()):
                journal.add(row(method, task, accuracy, seconds, found.payload_bytes, epsilon))


def _run_split(
    images: LabelledImages,
    split: Split,
    todo: list[tuple[Method, float | None]],
    scale: Scale,
    journal: Journal,
    say: Callable[[str], None],
) -> None:
    data = data_of(images, split.setting, split.seed, scale)
    job = Job(data, split.seed, scale.effort, SharedWork(), lambda line: say(f"  {line}"))
    for number, (method, epsilon) in enumerate(todo, start=1):
        at = "" if epsilon is None else f" at epsilon {epsilon:g}"
        say(
            f"{split.dataset}, {split.setting}, seed {split.seed}: {method.name}{at} "
            f"({number} of {len(todo)})"
        )
        delta = None if epsilon is None else DELTA
        began, saved = time.monotonic(), job.shared.saved_seconds
        outcome = method.run(replace(job, epsilon=epsilon, delta=delta))
        seconds = time.monotonic() - began + job.shared.saved_seconds - saved
        journal.add(
            Row(
                split.dataset,
                split.setting,
                method.name,
                method.route,
                epsilon,
                delta,
                scale.labels,
                len(data.teachers),
                scale.records,
                split.seed,
                outcome.accuracy,
                round(seconds, 2),
                outcome.payload_bytes,
            )
        )
        say(f"  accuracy {outcome.accuracy:.3f}")
