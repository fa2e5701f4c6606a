"""What noise at the level of a whole institution costs, by the number of teachers.

    python -m benchmarks.institution_noise --out benchmarks/results/institution_noise.json
    python -m benchmarks.institution_noise --choose --out benchmarks/results/institution_choice.json

Fashion-MNIST, relevant teachers only, all of them in the sum, so that the roster depends on no
signal. Record-level noise as in the demo; on top of it every member scales its signal to a norm,
adds its share of discrete Gaussian noise, and the sum is what the student gets
(``secure_fedsa.privacy.shared_noise``, docs/decisions/0019-institution-noise.md). Encoder, summary,
noise, scatter, classifiers and refinement are the package's own; transport and encryption return
what was put in and are left out.

Two forms of signal:

* ``scatter``: the between-class scatter on the leading public directions, scaled to the norm;
* ``levelled``: the same, relative to the probes' scatter, with the square roots of its leading
  (classes - 1) eigenvalues and nothing else, scaled to the norm. Noise drowns small eigenvalues
  first, so levelling them gives more of them a chance. It is post-processing, too.

Teachers clip the leading directions by the probes' median norm in these; the student refines on
the whole encoding, which is public. ``--choose`` measures settings on other seeds and on training
images that nobody holds; :func:`chosen` holds what came of it.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.splits import TASK_CLASSES, DemoData, TeacherData, demo_split
from secure_fedsa.entropy import IntArray, SystemNoise
from secure_fedsa.models.amalgamation import (
    AmalgamatedModel,
    AmalgamationSpec,
    Release,
    StudentData,
    leading_directions,
    ridge,
    without_teachers,
)
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder, useful_dimension
from secure_fedsa.models.heads import fit_mixture
from secure_fedsa.models.refinement import fit_refinement
from secure_fedsa.models.scatter import (
    between_scatter,
    from_upper_triangle,
    triangle_size,
    upper_triangle,
)
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.privacy.mechanisms import (
    add_noise,
    calibrate,
    count_unit,
    draw_noise,
    plan_release,
)
from secure_fedsa.privacy.shared_noise import (
    SharedNoiseRelease,
    figures,
    plan_shared_noise,
)
from secure_fedsa.privacy.shares import add_share, clip_to_norm, draw_share
from secure_fedsa.signals import FloatArray, Noise, NoisySummary, SummaryShape

Form = Literal["scatter", "levelled"]

DELTA = 1e-5
RECORD_EPSILON = 1.0
MAX_COLLUDING = 1
GRID = 2**16
NORM_BOUND = 2**16
CHOICE_SEEDS, SEEDS = (300, 301), (0, 1, 2)
EPSILONS = (1.0, 2.0, 4.0, 8.0)
_HEADS = ((1.0, 1.5), (1.0, 1.5, 2.0, 3.0), (2.0, 3.0))
_COUNT_FLOOR = 20.0
_RECORD_NOISE = 4.17  # of a class's sum at a record's epsilon of 1, in clip norms
_WIDEST = 256
_HELD_OUT = 500  # of a class


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the data are.

    Attributes:
        records: Records a teacher, by the number of teachers.
        probes: Public probes.
        labels: The student's labelled records.
        whole: Width of the student's encoding.
    """

    records: Mapping[int, int]
    probes: int
    labels: int
    whole: int


FULL = Scale({6: 4500, 12: 4000, 25: 2000, 50: 1000, 100: 500, 200: 250}, 5_000, 100, 512)
"""From 12 teachers on, about all that Fashion-MNIST has."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Public choices about a release.

    Attributes:
        form: What a signal is.
        width: Leading public directions that it is about, d'.
        heads: Widths of the student's classifiers, in units of its classes - 1.
    """

    form: Form
    width: int
    heads: tuple[float, ...]


def default(teachers: int) -> Setting:
    """Return a run's own setting, without institution noise: as wide as records' noise asks."""
    width = useful_dimension(FULL.records[teachers], _RECORD_NOISE, FULL.probes)
    return Setting("scatter", min(width, _WIDEST), (1.0, 1.5, 2.0, 3.0))


def relative_noise(teachers: int, epsilon: float) -> float:
    """Return the noise of a value of the members' mean signal, in units of the norm."""
    event = plan(epsilon, teachers, 16)
    assert event is not None
    return event.share_scale / event.norm_bound / math.sqrt(teachers)


def chosen(teachers: int, epsilon: float | None) -> Setting:
    """Return the setting for an institution's epsilon, a function of public numbers only.

    Of what ``--choose`` measured with 25 and 100 teachers: less noise bears more directions, and
    under much noise classifiers on more of them depend less on which the sum names first.
    """
    if epsilon is None:
        return replace(default(teachers), form="levelled")
    noise = relative_noise(teachers, epsilon)
    if noise <= 0.01:
        return Setting("levelled", 64, (1.0, 1.5, 2.0, 3.0))
    if noise <= 0.03:
        return Setting("levelled", 32, (1.0, 1.5))
    return Setting("levelled", 32, (1.0, 1.5, 2.0, 3.0))


class World:
    """One seed: everything encoded once, for all numbers of teachers.

    Args:
        images: The data set.
        seed: Of the split; never of noise.
        scale: How large the data are.
    """

    def __init__(self, images: LabelledImages, seed: int, scale: Scale = FULL) -> None:
        self.seed, self.scale = seed, scale
        self._labels = images.labels
        # Records by their numbers, so that the demo's split deals encodings.
        numbers: Any = np.arange(len(images.labels)).reshape(-1, 1)
        self._numbers = replace(images, images=numbers)
        base = self._split(min(scale.records))
        self._probes = base.probes[:, 0]
        self._own = base.images[:, 0]
        self.encoder = PublicEncoder.fit(
            images.images[self._probes], EncoderSpec(dimension=scale.whole)
        )
        self._values = self.encoder.encode(images.images).values
        self._tests = self.encoder.encode_clipped(images.test_images)[0]
        self._test_labels = images.test_labels
        self.student = StudentData(
            self._clipped(self._own),
            base.labels,
            self._clipped(self._probes),
            len(images.class_names),
        )

    def _split(self, teachers: int) -> DemoData:
        return demo_split(
            self._numbers,
            seed=self.seed,
            labels=self.scale.labels,
            probes=self.scale.probes,
            records=self.scale.records[teachers],
            relevant=teachers,
        )

    def _clipped(self, rows: IntArray) -> FloatArray:
        values = self._values[rows]
        norms = np.linalg.norm(values, axis=1, keepdims=True)
        return np.asarray(values / np.maximum(norms, self.encoder.clip_norm), dtype=np.float64)

    def teachers(self, count: int) -> tuple[TeacherData, ...]:
        """Return the relevant teachers; their images are numbers of records."""
        data = self._split(count)
        assert np.array_equal(data.probes[:, 0], self._probes)
        return tuple(teacher for teacher in data.teachers if teacher.kind == "relevant")

    def clip_norm(self, width: int) -> float:
        """Return the probes' median norm on the leading directions: public."""
        return float(np.median(np.linalg.norm(self._values[self._probes, :width], axis=1)))

    def narrow_probes(self, width: int) -> FloatArray:
        """Return the probes' leading directions in clip norms, centred."""
        values, clip = self._values[self._probes, :width], self.clip_norm(width)
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), clip)
        return np.asarray(values - values.mean(axis=0), dtype=np.float64)

    def summary(self, teacher: TeacherData, width: int) -> NoisySummary:
        """Return a teacher's noisy summary of the leading directions, under fresh noise."""
        unit = count_unit(GRID, 0.25)
        shape = SummaryShape(len(teacher.task), width)
        event = plan_release(
            shape,
            grid=GRID,
            count_unit=unit,
            neighbours="add-remove",
            noise_multiplier=calibrate(RECORD_EPSILON, DELTA),
        )
        noise = draw_noise(SystemNoise(), shape, event.noise_scale)
        values = np.ascontiguousarray(self._values[teacher.images[:, 0], :width])
        rows, valid = to_grid(values, self.clip_norm(width), GRID)
        exact, _ = summarise(rows, teacher.labels, valid, shape.classes, unit, grid=GRID)
        return add_noise(exact, noise, noise_scale=event.noise_scale, grid=GRID, count_unit=unit)

    def accuracy(self, model: AmalgamatedModel) -> float:
        """Return the accuracy on the official test images."""
        right = model.log_probabilities_of(self._tests).argmax(axis=1) == self._test_labels
        return float(right.mean())

    def held_out_accuracy(
        self, model: AmalgamatedModel, teachers: tuple[TeacherData, ...]
    ) -> float:
        """Return the mean accuracy of classes on training images that nobody holds."""
        unused = np.ones(len(self._labels), dtype=np.bool_)
        for rows in (self._probes, self._own, *(teacher.images[:, 0] for teacher in teachers)):
            unused[rows] = False
        left = np.flatnonzero(unused)
        shares = []
        for label in range(self.student.classes):
            mine = left[self._labels[left] == label][:_HELD_OUT]
            if len(mine) >= _COUNT_FLOOR:
                found = model.log_probabilities_of(self._clipped(mine)).argmax(axis=1)
                shares.append(float((found == label).mean()))
        return statistics.mean(shares)


class Cohort:
    """The teachers of one sum, and their noisy scatters on the leading directions.

    Args:
        world: The seed.
        count: Number of teachers.
        width: Leading directions.
    """

    def __init__(self, world: World, count: int, width: int) -> None:
        self.world, self.width = world, width
        self.teachers = world.teachers(count)
        summaries = [world.summary(teacher, width) for teacher in self.teachers]
        sigma = summaries[0].noise_scale / GRID
        self._scatters = [between_scatter(one, count_floor=_COUNT_FLOOR) for one in summaries]
        # The number of records is not released: a public order of magnitude stands for it.
        self.blank = Release(
            np.zeros((width, width)), float(world.scale.records[count] * count), count, sigma
        )
        self.probes = world.narrow_probes(width)
        self._shares: dict[SharedNoiseRelease, list[Noise]] = {}

    @cached_property
    def _metric(self) -> tuple[FloatArray, FloatArray]:
        """Square root and inverse square root of the probes' scatter with its ridge."""
        total = self.probes.T @ self.probes / len(self.probes)
        floor = ridge(self.blank, float(np.trace(total)) / self.width, AmalgamationSpec())
        values, vectors = np.linalg.eigh(total + floor * np.eye(self.width))
        return (vectors * values**0.5) @ vectors.T, (vectors * values**-0.5) @ vectors.T

    def signals(self, form: Form) -> list[FloatArray]:
        """Return every teacher's signal as a vector of norm 1.

        Entries beside the diagonal stand twice in a matrix, so they are multiplied by sqrt(2).
        """
        found = []
        for scatter, records in self._scatters:
            matrix = scatter / records
            if form == "levelled":
                inverse = self._metric[1]
                values, vectors = np.linalg.eigh(inverse @ matrix @ inverse)
                values, vectors = values[1 - TASK_CLASSES :], vectors[:, 1 - TASK_CLASSES :]
                matrix = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
                matrix = (matrix + matrix.T) / 2
            vector = upper_triangle(matrix) * _weights(self.width)
            found.append(vector / max(float(np.linalg.norm(vector)), 1e-12))
        return found

    def opened(self, form: Form, event: SharedNoiseRelease | None) -> FloatArray:
        """Return the mean of the members' signals, each with its share if there is an event.

        Rows of one release and two settings share the draws, so that they differ by the setting.
        """
        signals = self.signals(form)
        if event is None:
            return np.asarray(np.mean(signals, axis=0), dtype=np.float64)
        if event not in self._shares:
            self._shares[event] = [draw_share(SystemNoise(), event) for _ in signals]
        total = np.zeros(event.coordinates, dtype=np.int64)
        for signal, share in zip(signals, self._shares[event], strict=True):
            integers = np.trunc(signal * event.norm_bound).astype(np.int64)
            total += add_share(clip_to_norm(integers, event.norm_bound), share, event)
        return np.asarray(total / event.norm_bound / len(signals), dtype=np.float64)

    def student(self, total: FloatArray, setting: Setting) -> AmalgamatedModel:
        """Build the classifier from the mean of the signals, noise included."""
        matrix = from_upper_triangle(total / _weights(self.width), self.width)
        if setting.form == "levelled":
            root = self._metric[0]
            matrix = root @ matrix @ root
            matrix = (matrix + matrix.T) / 2
        release = replace(self.blank, scatter=matrix * self.blank.total)
        data, spec = self.world.student, AmalgamationSpec(widths=setting.heads)
        unit = max(data.classes - 1, spec.least_width)
        widths = sorted({min(round(share * unit), self.width) for share in spec.widths})
        narrow = leading_directions(release, self.probes, widths[-1], spec)
        centre = data.probes.mean(axis=0)
        labelled, probes = data.labelled - centre, data.probes - centre
        directions = np.zeros((probes.shape[1], widths[-1]))
        directions[: self.width] = narrow
        directions /= (probes @ directions).std(axis=0)
        points, projected = labelled @ directions, probes @ directions
        heads = tuple(
            fit_mixture(
                points[:, :width], data.labels, projected[:, :width], data.classes, spec.mixture
            )
            for width in widths
        )
        first = AmalgamatedModel(self.world.encoder, centre, directions, heads)
        posteriors = np.exp(first.log_probabilities_of(data.probes))
        refined = fit_refinement(labelled, data.labels, probes, posteriors, spec.refinement)
        shape = spec.refinement
        return replace(first, refined=refined, share=shape.share, sharpness=shape.sharpness)


def _weights(width: int) -> FloatArray:
    rows, columns = np.triu_indices(width)
    return np.where(rows == columns, 1.0, np.sqrt(2.0))


def plan(epsilon: float | None, teachers: int, width: int) -> SharedNoiseRelease | None:
    """Return the release of an institution's epsilon; None for no institution noise."""
    if epsilon is None:
        return None
    return plan_shared_noise(
        epsilon,
        DELTA,
        norm_bound=NORM_BOUND,
        coordinates=triangle_size(width),
        members=teachers,
        max_colluding=MAX_COLLUDING,
    )


def one(
    cohort: Cohort, setting: Setting, epsilon: float | None, *, held_out: bool
) -> dict[str, Any]:
    """Return the row of one release under fresh institution noise."""
    world, count = cohort.world, len(cohort.teachers)
    event = plan(epsilon, count, setting.width)
    model = cohort.student(cohort.opened(setting.form, event), setting)
    row: dict[str, Any] = {
        "seed": world.seed,
        "teachers": count,
        "records": world.scale.records[count],
        "epsilon": epsilon,
        "form": setting.form,
        "width": setting.width,
        "heads": list(setting.heads),
        "values": triangle_size(setting.width),
        "accuracy": world.held_out_accuracy(model, cohort.teachers)
        if held_out
        else world.accuracy(model),
    }
    if event is not None:
        row["event"] = event.to_dict()
        row["epsilon_by_view"] = {each.view: each.epsilon for each in figures([event], DELTA)}
        wider = replace(event, neighbours="member-to-any")
        row["epsilon_member_to_any"] = {each.view: each.epsilon for each in figures([wider], DELTA)}
    return row


def choice_rows(
    world: World, teachers: list[int], widths: list[int], forms: list[Form]
) -> list[dict[str, Any]]:
    """Return rows of all settings on held-out images."""
    rows = []
    for count in teachers:
        for width in widths:
            cohort = Cohort(world, count, width)
            for form in forms:
                for epsilon in (None, *EPSILONS):
                    for heads in _HEADS:
                        setting = Setting(form, width, heads)
                        rows.append(one(cohort, setting, epsilon, held_out=True))
                        print(json.dumps(_short(rows[-1])), flush=True)
    return rows


def reported_rows(world: World, teachers: list[int]) -> list[dict[str, Any]]:
    """Return rows of the chosen settings on the test images, and of what has no teachers."""
    alone = world.accuracy(without_teachers(world.encoder, world.student))
    rows: list[dict[str, Any]] = [{"seed": world.seed, "teachers": 0, "accuracy": alone}]
    for count in teachers:
        wanted: list[tuple[Setting, float | None]] = [(default(count), None)]
        for epsilon in (None, *EPSILONS):
            wanted.append((chosen(count, epsilon), epsilon))
            if epsilon is not None:
                wanted.append((replace(chosen(count, epsilon), form="scatter"), epsilon))
        cohorts: dict[int, Cohort] = {}
        for setting, epsilon in wanted:
            if setting.width not in cohorts:
                cohorts[setting.width] = Cohort(world, count, setting.width)
            rows.append(one(cohorts[setting.width], setting, epsilon, held_out=False))
            print(json.dumps(_short(rows[-1])), flush=True)
    return rows


def _short(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if not name.startswith(("event", "eps_", "epsilon_"))
    }


def means(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean, least and most accuracy of each setting over seeds."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    names = ("teachers", "epsilon", "form", "width", "heads")
    for row in rows:
        key = tuple(json.dumps(row.get(name)) for name in names)
        groups.setdefault(key, []).append(row["accuracy"])
    return [
        dict(zip(names, map(json.loads, key), strict=True))
        | {"seeds": len(found), "mean": statistics.mean(found), "least": min(found)}
        | {"most": max(found)}
        for key, found in groups.items()
    ]


def main() -> int:
    """Measure, print rows as they come, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0 1 2; choice: 300 301")
    parser.add_argument(
        "--teachers", type=int, nargs="+", default=list(FULL.records), choices=FULL.records
    )
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--forms", nargs="+", default=get_args(Form), choices=get_args(Form))
    parser.add_argument("--choose", action="store_true", help="on other seeds and held-out images")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, rows = load_fashion_mnist(), []
    for seed in options.seeds or (CHOICE_SEEDS if options.choose else SEEDS):
        began = time.monotonic()
        world = World(images, seed)
        rows += (
            choice_rows(world, options.teachers, options.widths, options.forms)
            if options.choose
            else reported_rows(world, options.teachers)
        )
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if options.out:
            result = {
                "delta": DELTA,
                "record_epsilon": RECORD_EPSILON,
                "max_colluding": MAX_COLLUDING,
                "neighbours": "member-to-zero",
                "means": means(rows),
                "rows": rows,
            }
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
