"""Who holds what in the demo: one public data set split among a student and its teachers.

No example is ever used twice: teachers' records, probes, labelled examples and test
examples are disjoint. Every choice is public and repeats with the seed, and each has its
own generator: more records a teacher, for instance, leave the probes as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from secure_fedsa.cli.allocation import even_shares, largest_demand
from secure_fedsa.cli.datasets import LabelledImages, load_digits
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError

IntArray = npt.NDArray[np.int64]
Records = npt.NDArray[Any]

TeacherKind = Literal["relevant", "shuffled-labels", "noise", "other-domain"]

TASK_CLASSES = 5


@dataclass(frozen=True, slots=True, repr=False)
class TeacherData:
    """One institution's private records, and what is public about them.

    Attributes:
        id: Public name of the institution; says nothing about its kind.
        task: Names of its classes, in the order of its labels.
        classes: Ids of those classes in the data set that they come from (for
            ``other-domain``, ids in that other data set).
        images: Records, uint8 or float, shape (n, ...).
        labels: int64, shape (n,), in [0, len(task)); values outside are possible in
            data that somebody else made, and are for the teacher's own code to zero.
        kind: What the demo made it for, or None if nobody declared it.
        persons: Whose each record is, integers or texts, shape (n,); None if nobody said.
    """

    id: str
    task: tuple[str, ...]
    classes: tuple[int, ...]
    images: Records
    labels: IntArray
    kind: TeacherKind | None
    persons: npt.NDArray[Any] | None = None

    def __repr__(self) -> str:
        return f"TeacherData(id={self.id!r}, task={self.task!r}, <private records>)"


@dataclass(frozen=True, slots=True, repr=False)
class DemoData:
    """Everything that one run of the demo reads.

    Attributes:
        source: Where it comes from, for people.
        class_names: The student's classes, in the order of its labels.
        probes: Unlabelled public examples, shape (p, ...).
        images: The student's labelled examples, shape (n, ...).
        labels: int64, shape (n,), in [0, len(class_names)).
        test_images: Test examples, shape (m, ...).
        test_labels: int64, shape (m,).
        teachers: In the order of their ids.
        declared: Whether the student's classes were declared, not derived from its labels.
    """

    source: str
    class_names: tuple[str, ...]
    probes: Records
    images: Records
    labels: IntArray
    test_images: Records
    test_labels: IntArray
    teachers: tuple[TeacherData, ...]
    declared: bool = True


def demo_split(
    data: LabelledImages,
    *,
    seed: int,
    labels: int = 100,
    probes: int = 5_000,
    records: int = 4_500,
    relevant: int = 6,
) -> DemoData:
    """Split ``data`` among a student and ``relevant`` + 3 teachers.

    Each relevant teacher has a task of 5 classes, drawn at random and independently, so
    some class may be held by no teacher at all. Three more teachers should not be
    selected: one of the same kind whose labels are permuted, one with uniform noise for
    images, and one with another domain, which has all its digits give, up to
    ``records``. Ids are dealt at random, so that they do not tell who is who.

    Args:
        data: Training part for student and teachers, test part for testing only.
        seed: Seed of every choice made here.
        labels: Labelled examples of the student, as even over classes as possible.
        probes: Unlabelled public examples, drawn regardless of class.
        records: Records a teacher, as even over its classes as the data allow.
        relevant: Number of relevant teachers.

    Raises:
        DataError: A count that is out of range or asks for more than the data have; the
            message names the largest count that works.
    """
    _check_counts(data, labels=labels, probes=probes, records=records, relevant=relevant)
    classes = len(data.class_names)
    order = public_generator(seed, "split: order of the training examples").permutation(
        len(data.labels)
    )
    probe_rows, rest = order[:probes], order[probes:]
    pools = [rest[data.labels[rest] == c] for c in range(classes)]
    labelled_rows, pools = _draw_labelled(pools, labels, seed)

    draw_task = public_generator(seed, "split: tasks of the teachers")
    # One more than relevant: the teacher whose labels will be shuffled.
    tasks = [_random_task(draw_task, classes) for _ in range(relevant + 1)]
    rows = _deal_records(pools, tasks, records, seed)

    teachers = [
        _teacher(data, task, data.images[mine], _local(data.labels[mine], task), "relevant")
        for task, mine in zip(tasks[:-1], rows[:-1], strict=True)
    ]
    teachers.append(_shuffled_teacher(data, tasks[-1], rows[-1], seed))
    teachers.append(_noise_teacher(data, records, seed))
    teachers.append(_other_domain_teacher(load_digits(), records, seed))
    return DemoData(
        source=data.name,
        class_names=data.class_names,
        probes=data.images[probe_rows],
        images=data.images[labelled_rows],
        labels=data.labels[labelled_rows],
        test_images=data.test_images,
        test_labels=data.test_labels,
        teachers=_deal_ids(teachers, seed),
    )


def _check_counts(
    data: LabelledImages, *, labels: int, probes: int, records: int, relevant: int
) -> None:
    classes = len(data.class_names)
    if classes < TASK_CLASSES:
        raise DataError(
            f"A split needs at least {TASK_CLASSES} classes, {data.name} has {classes}."
        )
    for what, value, smallest in (
        ("labelled examples", labels, classes),
        ("probes", probes, 1),
        ("records a teacher", records, TASK_CLASSES),
        ("relevant teachers", relevant, 1),
    ):
        if value < smallest:
            raise DataError(f"{value} {what} are too few.", do=f"Use at least {smallest}.")
    available = len(data.labels) - classes
    if probes > available:
        raise DataError(f"{probes} probes are too many.", do=f"Use at most {available}.")


def _draw_labelled(
    pools: list[IntArray], labels: int, seed: int
) -> tuple[IntArray, list[IntArray]]:
    """Take the labelled examples from the front of each class; return them and the rest."""
    generator = public_generator(seed, "split: labelled examples")
    largest = min(len(pool) for pool in pools) * len(pools)
    if labels > largest:
        raise DataError(
            f"{labels} labelled examples are too many.",
            why="They are spread evenly over the classes, and the probes come first.",
            do=f"Use at most {largest}.",
        )
    counts = np.full(len(pools), labels // len(pools))
    counts[generator.permutation(len(pools))[: labels % len(pools)]] += 1
    taken = [pool[:count] for pool, count in zip(pools, counts, strict=True)]
    left = [pool[count:] for pool, count in zip(pools, counts, strict=True)]
    return generator.permutation(np.concatenate(taken)), left


def _random_task(generator: np.random.Generator, classes: int) -> tuple[int, ...]:
    return tuple(sorted(int(c) for c in generator.permutation(classes)[:TASK_CLASSES]))


def _deal_records(
    pools: list[IntArray], tasks: list[tuple[int, ...]], records: int, seed: int
) -> list[IntArray]:
    """Deal each teacher ``records`` row numbers of its classes, none of them twice."""
    supply = [len(pool) for pool in pools]
    largest = largest_demand(supply, tasks)
    if records > largest:
        raise DataError(
            f"{records} records a teacher are too many.",
            why="No example may be used twice, and some of the teachers want the same classes.",
            do=f"With this seed and these probes and labels, use at most {largest}.",
        )
    shares = even_shares(supply, tasks, records)
    generator = public_generator(seed, "split: order of the teachers' records")
    used = [0] * len(pools)
    rows = []
    for task, share in zip(tasks, shares, strict=True):
        mine = []
        for c in task:
            mine.append(pools[c][used[c] : used[c] + share[c]])
            used[c] += share[c]
        rows.append(generator.permutation(np.concatenate(mine)))
    return rows


def _local(labels: IntArray, task: tuple[int, ...]) -> IntArray:
    """Number a teacher's labels within its own task; ``task`` is sorted."""
    return np.searchsorted(np.array(task), labels).astype(np.int64)


def _teacher(
    data: LabelledImages,
    task: tuple[int, ...],
    images: Records,
    labels: IntArray,
    kind: TeacherKind,
) -> TeacherData:
    names = tuple(data.class_names[c] for c in task)
    return TeacherData("", names, task, images, labels, kind)


def _shuffled_teacher(
    data: LabelledImages, task: tuple[int, ...], rows: IntArray, seed: int
) -> TeacherData:
    generator = public_generator(seed, "split: shuffled labels")
    labels = generator.permutation(_local(data.labels[rows], task))
    return _teacher(data, task, data.images[rows], labels, "shuffled-labels")


def _noise_teacher(data: LabelledImages, records: int, seed: int) -> TeacherData:
    generator = public_generator(seed, "split: noise images")
    task = _random_task(generator, len(data.class_names))
    images = generator.integers(256, size=(records, *data.images.shape[1:]), dtype=np.uint8)
    labels = generator.integers(TASK_CLASSES, size=records, dtype=np.int64)
    return _teacher(data, task, images, labels, "noise")


def _other_domain_teacher(data: LabelledImages, records: int, seed: int) -> TeacherData:
    generator = public_generator(seed, "split: other domain")
    task = _random_task(generator, len(data.class_names))
    order = generator.permutation(len(data.labels))
    pools = [order[data.labels[order] == c] for c in range(len(data.class_names))]
    available = sum(len(pools[c]) for c in task)
    (rows,) = _deal_records(pools, [task], min(records, available), seed)
    return _teacher(data, task, data.images[rows], _local(data.labels[rows], task), "other-domain")


def _deal_ids(teachers: list[TeacherData], seed: int) -> tuple[TeacherData, ...]:
    order = public_generator(seed, "split: ids of the teachers").permutation(len(teachers))
    return tuple(
        replace(teachers[i], id=f"teacher-{number}") for number, i in enumerate(order, start=1)
    )
