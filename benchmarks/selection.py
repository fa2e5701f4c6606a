"""How well each saliency tells good teachers from bad ones, over settings and seeds.

    .venv/bin/python -m benchmarks.selection --seeds $(seq 0 19) --out FILE

For every method: the area under the ROC curve of relevant teachers' scores over bad teachers'
(1.0 means that every relevant one scored higher), whether exactly the relevant ones were
selected, and the regret: test accuracy of the best set of teachers, found by trying all that
may be opened, less that of the selected set. A set's accuracy is that of a small
classifier on the sum of its noisy scatters at the same epsilon, small so that hundreds of sets
can be tried; "no set" has the accuracy of the public encoder without teachers.

Scores are inner products of integers, as under encryption. Networks are trained without
privacy (route encryption-only); heads on the public encoder by DP-SGD (private-training).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from benchmarks.baselines.networks import Inputs, Network
from benchmarks.baselines.training import Training, train_classifier
from benchmarks.private_heads import private_head
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.drafting import THRESHOLD
from secure_fedsa.cli.splits import TASK_CLASSES, DemoData, TeacherData, demo_split
from secure_fedsa.entropy import SystemNoise, public_generator, training_generator
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.amalgamation import (
    AmalgamationSpec,
    Release,
    StudentData,
    leading_directions,
    without_teachers,
)
from secure_fedsa.models.attribution import attribution_saliency
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.heads import MixtureSpec, fit_mixture
from secure_fedsa.models.model_signals import alignment_saliency
from secure_fedsa.models.saliency import SaliencyScale, quantise, student_query, teacher_saliency
from secure_fedsa.models.scatter import between_scatter
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.privacy.mechanisms import (
    add_noise,
    calibrate,
    count_unit,
    draw_noise,
    plan_release,
)
from secure_fedsa.selection import choose
from secure_fedsa.signals import SummaryShape

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

EPSILON, DELTA = 1.0, 1e-5
SELECT, LEAST = 6, 3  # most teachers in a sum, fewest that may be opened
BITS, GRID = 16, 2**16
COUNT_WEIGHT, COUNT_FLOOR = 0.25, 20.0
LEADING, PROBES, TESTED = 128, 2000, 5000  # of the small classifier that compares sets
EPOCHS, FEW = Training(epochs=4, rate=0.005, decay=0.3), Training(steps=300)


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """One student with its candidates.

    Attributes:
        name: Of the setting.
        data: Student, probes and test.
        good: Ids of the teachers that are worth selecting.
    """

    name: str
    data: DemoData
    good: frozenset[str]


def settings_of(images: LabelledImages, seed: int, records: int) -> list[Setting]:
    """Return the settings of a seed; they share probes and most teachers."""
    data = demo_split(images, seed=seed, records=records)
    relevant = [t for t in data.teachers if t.kind == "relevant"]
    bad = [t for t in data.teachers if t.kind != "relevant"]
    good = frozenset(t.id for t in relevant)
    few = demo_split(images, seed=seed, records=records, labels=30)
    small = replace(relevant[0], images=relevant[0].images[:400], labels=relevant[0].labels[:400])
    return [
        Setting("nine teachers", data, good),
        Setting("30 labels", replace(few, teachers=data.teachers), good),
        irrelevant_tasks(images, seed, records),
        Setting("small good one", replace(data, teachers=(small, *relevant[1:], *bad)), good),
        Setting("three good", replace(data, teachers=(*relevant[:3], *bad)), good_of(relevant[:3])),
        Setting("all good", replace(data, teachers=tuple(relevant)), good),
        Setting("none good", replace(data, teachers=tuple(bad)), frozenset()),
    ]


def good_of(teachers: list[TeacherData]) -> frozenset[str]:
    """Return the ids of teachers."""
    return frozenset(t.id for t in teachers)


def irrelevant_tasks(images: LabelledImages, seed: int, records: int) -> Setting:
    """Return a student of four similar classes; teachers know three of them or none.

    The bad ones are honest institutions with good labels for another task.
    """
    target = (0, 2, 4, 6)  # T-shirt, pullover, coat, shirt
    others = tuple(c for c in range(10) if c not in target)
    draw = public_generator(seed, "selection benchmark: irrelevant tasks")
    order = draw.permutation(len(images.labels))
    probes, order = order[:5000], order[5000:]
    pools = {c: list(order[images.labels[order] == c]) for c in range(10)}
    own = [row for c in target for row in take(pools[c], 25)]
    teachers, good = [], set()
    for number in range(9):
        inside = 3 if number < 5 else 0
        task = tuple(
            sorted(
                [
                    *draw.permutation(target)[:inside],
                    *draw.permutation(others)[: TASK_CLASSES - inside],
                ]
            )
        )
        share = min(records // TASK_CLASSES, 950)
        rows = [row for c in task for row in take(pools[int(c)], share)]
        labels = np.searchsorted(task, images.labels[rows]).astype(np.int64)
        name = f"teacher-{number + 1}"
        names = tuple(images.class_names[int(c)] for c in task)
        classes = tuple(int(c) for c in task)
        teachers.append(TeacherData(name, names, classes, images.images[rows], labels, "relevant"))
        if inside:
            good.add(name)
    tested = np.isin(images.test_labels, target)
    data = DemoData(
        source=images.name,
        class_names=tuple(images.class_names[c] for c in target),
        probes=images.images[probes],
        images=images.images[own],
        labels=np.searchsorted(target, images.labels[own]).astype(np.int64),
        test_images=images.test_images[tested],
        test_labels=np.searchsorted(target, images.test_labels[tested]).astype(np.int64),
        teachers=tuple(teachers),
    )
    return Setting("irrelevant tasks", data, frozenset(good))


def take(pool: list[int], count: int) -> list[int]:
    """Remove and return rows of a pool; from its beginning again when it runs out.

    Only teachers of irrelevant tasks share rows then, each of which is a teacher for itself.
    """
    taken = pool[:count]
    pool[:] = [*pool[count:], *taken] if len(pool) < 2 * count else pool[count:]
    return taken


class Bench:
    """One setting and seed: every teacher's models and summary, made once."""

    def __init__(self, setting: Setting, seed: int, made: dict[Any, Any]) -> None:
        self.setting, self.seed, self.made = setting, seed, made
        data = setting.data
        self.encoder = self.once(
            ("encoder", id(data.probes)), lambda: PublicEncoder.fit(data.probes)
        )
        self.scale = SaliencyScale.of(self.encoder)
        self.student = StudentData.encode(
            self.encoder, data.images, data.labels, data.probes, classes=len(data.class_names)
        )
        self.query = student_query(self.student.labelled, self.student.labels, self.scale)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return what was made under a key before, or make it; ids of arrays stay alive here."""
        if key not in self.made:
            self.made[key] = (make(), self.setting)
        return self.made[key][0]

    def encoded(self, teacher: TeacherData) -> Any:
        """Return the clipped encoding of a teacher's records."""
        return self.once(
            ("encoded", id(teacher.images), id(self.encoder)),
            lambda: self.encoder.encode(teacher.images),
        )

    def scatter(self, teacher: TeacherData) -> tuple[FloatArray, float, float]:
        """Return a teacher's scatter under fresh noise, its records and its noise."""

        def make() -> tuple[FloatArray, float, float]:
            shape = SummaryShape(len(teacher.task), self.encoder.dimension)
            unit = count_unit(GRID, COUNT_WEIGHT)
            event = plan_release(
                shape,
                grid=GRID,
                count_unit=unit,
                neighbours="add-remove",
                noise_multiplier=calibrate(EPSILON, DELTA),
                max_records=1,
            )
            encoding = self.encoded(teacher)
            rows, valid = to_grid(encoding.values, self.encoder.clip_norm, GRID)
            summary, _ = summarise(
                rows, teacher.labels, valid & encoding.valid, shape.classes, unit, grid=GRID
            )
            noise = draw_noise(SystemNoise(), shape, event.noise_scale)
            noisy = add_noise(
                summary, noise, noise_scale=event.noise_scale, grid=GRID, count_unit=unit
            )
            scatter, records = between_scatter(noisy, count_floor=COUNT_FLOOR)
            return scatter, records, event.noise_scale / GRID

        key = ("scatter", id(teacher.images), id(teacher.labels), id(self.encoder))
        found: tuple[FloatArray, float, float] = self.once(key, make)
        return found

    def network(self, teacher: TeacherData) -> TeacherAdapter:
        """Return a teacher's network, trained without privacy."""
        key = ("network", id(teacher.images), id(teacher.labels), id(self.encoder))
        return self._trained(key, teacher.images, teacher.labels, len(teacher.task), EPOCHS)

    def own_network(self) -> TeacherAdapter:
        """Return the student's own network of its few labels."""
        data = self.setting.data
        key = ("own", id(data.images), id(self.encoder))
        return self._trained(key, data.images, data.labels, len(data.class_names), FEW)

    def _trained(
        self, key: Any, images: npt.NDArray[Any], labels: IntArray, classes: int, spec: Training
    ) -> TeacherAdapter:
        inputs = Inputs.of(self.setting.data.probes)

        def make() -> Network:
            generator = training_generator(self.seed, f"selection benchmark: {len(self.made)}")
            network = Network(inputs, classes, generator, shape="plain")
            values, targets = inputs.tensor(images), torch.from_numpy(labels)
            return train_classifier(network, values, targets, spec, generator)

        return TeacherAdapter(self.once(key, make), prepare=inputs.tensor)

    def head(self, teacher: TeacherData) -> TeacherAdapter:
        """Return a teacher's linear head on the public encoder, trained by DP-SGD."""
        key = ("head", id(teacher.images), id(teacher.labels), id(self.encoder))
        head: TeacherAdapter = self.once(
            key,
            lambda: private_head(
                self.encoder.encode_clipped(teacher.images)[0],
                teacher.labels,
                len(teacher.task),
                epsilon=EPSILON,
                delta=DELTA,
            ),
        )
        return head

    def accuracy(self, members: tuple[str, ...]) -> float:
        """Return the test accuracy of a set of teachers, of the none the encoder's alone."""
        data = self.setting.data
        encoded = self.once(
            ("test", id(data.test_images), id(self.encoder)),
            lambda: self.encoder.encode_clipped(data.test_images[:TESTED])[0],
        )
        truth = data.test_labels[:TESTED]
        if not members:
            alone = without_teachers(self.encoder, self.student)
            return float((alone.log_probabilities_of(encoded).argmax(axis=1) == truth).mean())
        parts = [self.scatter(t) for t in data.teachers if t.id in members]
        release = Release(
            np.sum([part[0][:LEADING, :LEADING] for part in parts], axis=0),
            sum(part[1] for part in parts),
            len(parts),
            parts[0][2],
        )
        probes = self.student.probes[:PROBES, :LEADING]
        centre = probes.mean(axis=0)
        classes = len(data.class_names)
        view = leading_directions(release, probes - centre, 2 * classes - 2, AmalgamationSpec())
        head = fit_mixture(
            (self.student.labelled[:, :LEADING] - centre) @ view,
            self.student.labels,
            (probes - centre) @ view,
            classes,
            MixtureSpec(rounds=8),
        )
        guesses = head.logits((encoded[:, :LEADING] - centre) @ view)
        return float((guesses.argmax(axis=1) == truth).mean())


def integer_scores(
    vectors: Mapping[str, FloatArray], query: FloatArray, scale: SaliencyScale
) -> dict[str, float]:
    """Return the scores as encryption gives them: inner products of clipped integers."""
    asked = quantise(query, scale.query_bound, BITS)
    steps = 2 ** (BITS - 1) - 1
    unit = scale.signal_bound * scale.query_bound / steps**2
    return {
        name: int(quantise(vector, scale.signal_bound, BITS) @ asked) * unit
        for name, vector in vectors.items()
    }


def scatter_scores(bench: Bench) -> dict[str, float]:
    """Score by the noisy summary's scatter: the default."""
    vectors = {}
    for teacher in bench.setting.data.teachers:
        scatter, records, _ = bench.scatter(teacher)
        vectors[teacher.id] = teacher_saliency(scatter, records, bench.scale)
    return integer_scores(vectors, bench.query, bench.scale)


def head_scores(bench: Bench) -> dict[str, float]:
    """Score private heads by kernel alignment."""
    probes = bench.student.probes
    vectors = {
        t.id: alignment_saliency(bench.head(t).outputs(probes), probes, bench.scale)
        for t in bench.setting.data.teachers
    }
    return integer_scores(vectors, bench.query, bench.scale)


def network_scores(bench: Bench) -> dict[str, float]:
    """Score networks by kernel alignment."""
    probes = bench.student.probes
    vectors = {
        t.id: alignment_saliency(
            bench.network(t).outputs(bench.setting.data.probes), probes, bench.scale
        )
        for t in bench.setting.data.teachers
    }
    return integer_scores(vectors, bench.query, bench.scale)


def attribution_scores(bench: Bench, kind: Any) -> dict[str, float]:
    """Score networks by attribution maps."""
    data, values = bench.setting.data, bench.scale.values
    vectors = {
        t.id: attribution_saliency(bench.network(t), data.probes, kind, values=values)
        for t in data.teachers
    }
    own = attribution_saliency(bench.own_network(), data.probes, kind, values=values)
    return integer_scores(vectors, own, bench.scale)


@dataclass(frozen=True, slots=True)
class Method:
    """A way to score, and the smallest score that it may select.

    Attributes:
        name: For people.
        route: Whose claim the scores have.
        scores: Scores of all teachers.
        threshold: Public; fixed on other seeds than those reported.
    """

    name: str
    route: str
    scores: Callable[[Bench], dict[str, float]]
    threshold: float


METHODS = (
    Method("scatter (default)", "noisy-release", scatter_scores, THRESHOLD),
    Method("kernel alignment of heads", "private-training", head_scores, 0.15),
    Method("kernel alignment of networks", "encryption-only", network_scores, 0.5),
    Method(
        "Grad-CAM of networks (FedSA)",
        "encryption-only",
        lambda bench: attribution_scores(bench, "grad-cam"),
        0.0,
    ),
    Method(
        "input x gradient of networks (DEPARA)",
        "encryption-only",
        lambda bench: attribution_scores(bench, "input-x-gradient"),
        0.0,
    ),
)


def area_under_curve(scores: Mapping[str, float], good: frozenset[str]) -> float | None:
    """Return the share of (good, bad) pairs in the right order; None without such pairs."""
    pairs = [
        (scores[one] > scores[other]) + 0.5 * (scores[one] == scores[other])
        for one in scores
        for other in scores
        if one in good and other not in good
    ]
    return statistics.mean(pairs) if pairs else None


def best_accuracy(bench: Bench) -> float:
    """Return the accuracy of the best set that may be opened, the empty one included."""
    names = [t.id for t in bench.setting.data.teachers]
    sets = [
        members
        for size in range(LEAST, min(SELECT, len(names)) + 1)
        for members in itertools.combinations(names, size)
    ]
    return max(bench.accuracy(members) for members in [(), *sets])


def rows_of(
    setting: Setting, seed: int, made: dict[Any, Any], names: list[str]
) -> list[dict[str, Any]]:
    """Return one row a method."""
    bench = Bench(setting, seed, made)
    best = best_accuracy(bench)
    rows = []
    for method in METHODS:
        if names and method.name not in names:
            continue
        scores = method.scores(bench)
        members = choose(scores, select=SELECT, threshold=method.threshold)
        opened = members if len(members) >= LEAST else ()
        rows.append(
            {
                "setting": setting.name,
                "seed": seed,
                "method": method.name,
                "route": method.route,
                "auc": area_under_curve(scores, setting.good),
                "exact": frozenset(members) == setting.good,
                "selected": len(members),
                "bad_selected": len(set(members) - setting.good),
                "regret": best - bench.accuracy(opened),
                "worst_good": min((scores[n] for n in setting.good), default=None),
                "best_bad": max(
                    (s for n, s in scores.items() if n not in setting.good), default=None
                ),
            }
        )
    return rows


def table_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return means over seeds by setting and method."""
    table = []
    for setting, method in dict.fromkeys((row["setting"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["setting"], row["method"]) == (setting, method)]
        aucs = [row["auc"] for row in mine if row["auc"] is not None]
        table.append(
            {
                "setting": setting,
                "method": method,
                "seeds": len(mine),
                "auc_mean": statistics.mean(aucs) if aucs else None,
                "auc_least": min(aucs) if aucs else None,
                "exact": statistics.mean(row["exact"] for row in mine),
                "selected": statistics.mean(row["selected"] for row in mine),
                "bad_selected": statistics.mean(row["bad_selected"] for row in mine),
                "regret_mean": statistics.mean(row["regret"] for row in mine),
                "regret_most": max(row["regret"] for row in mine),
            }
        )
    return table


def main() -> int:
    """Run, print the table, write rows and table with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--records", type=int, default=4500)
    parser.add_argument("--settings", nargs="*", default=[])
    parser.add_argument("--methods", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_fashion_mnist()
    rows: list[dict[str, Any]] = []
    for seed in options.seeds:
        made: dict[Any, Any] = {}
        for setting in settings_of(images, seed, options.records):
            if options.settings and setting.name not in options.settings:
                continue
            began = time.monotonic()
            rows += rows_of(setting, seed, made, options.methods)
            took = time.monotonic() - began
            print(f"seed {seed}, {setting.name}: {took:.0f} s", file=sys.stderr, flush=True)
            if options.out:
                options.out.parent.mkdir(parents=True, exist_ok=True)
                command = " ".join(["python -m benchmarks.selection", *sys.argv[1:]])
                result = {"command": command, "table": table_of(rows), "rows": rows}
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    for line in table_of(rows):
        print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in line.items()}))
    return 0


if __name__ == "__main__":
    # Hundreds of small products: threads that wait for each other take longer than one.
    with threadpool_limits(1):
        sys.exit(main())
