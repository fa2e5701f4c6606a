"""The demo's split: nothing used twice, even classes, ids that tell nothing."""

from __future__ import annotations

import re
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.cli.allocation import even_shares, largest_demand
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.splits import DemoData, demo_split
from secure_fedsa.errors import DataError

PER_CLASS = 120


def numbered_images(count: int, first: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Images that carry their own number, so that a test can follow each one."""
    images = np.zeros((count, 28, 28), dtype=np.uint8)
    images[:, 0, :4] = np.arange(first, first + count, dtype=">u4").view(np.uint8).reshape(-1, 4)
    return images


def numbers(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[int]:
    flat = np.ascontiguousarray(images[:, 0, :4])
    return [int(number) for number in flat.view(">u4").reshape(-1)]


DATA = LabelledImages(
    name="numbered",
    images=numbered_images(10 * PER_CLASS, 0),
    labels=np.arange(10 * PER_CLASS, dtype=np.int64) % 10,
    test_images=numbered_images(20, 10**6),
    test_labels=np.arange(20, dtype=np.int64) % 10,
    class_names=tuple(f"class {i}" for i in range(10)),
)


def small_split(seed: int, **changes: int) -> DemoData:
    return demo_split(DATA, seed=seed, **{"labels": 23, "probes": 100, "records": 60, **changes})


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    labels=st.integers(10, 200),
    probes=st.integers(1, 300),
    records=st.integers(5, 80),
    relevant=st.integers(1, 6),
)
def test_no_example_is_used_twice(
    seed: int, labels: int, probes: int, records: int, relevant: int
) -> None:
    """An example held by two parties breaks the privacy unit and flatters the accuracy."""
    split = demo_split(
        DATA, seed=seed, labels=labels, probes=probes, records=records, relevant=relevant
    )
    mine = [t for t in split.teachers if t.kind in ("relevant", "shuffled-labels")]
    assert len(mine) == relevant + 1
    used = numbers(split.probes) + numbers(split.images) + numbers(split.test_images)
    for teacher in mine:
        found = numbers(teacher.images)
        assert len(found) == records
        used += found
        if teacher.kind == "relevant":
            truth = [teacher.classes[label] for label in teacher.labels]
            assert truth == [number % 10 for number in found]
    assert len(set(used)) == len(used) == probes + labels + 20 + records * (relevant + 1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), labels=st.integers(10, 200))
def test_classes_are_even(seed: int, labels: int) -> None:
    """Lopsided classes would make one seed's accuracy incomparable with another's."""
    split = small_split(seed, labels=labels)
    student = np.bincount(split.labels, minlength=10)
    assert student.sum() == labels
    assert student.max() - student.min() <= 1
    for teacher in split.teachers:
        assert len(teacher.task) == len(set(teacher.classes)) == 5
        assert teacher.labels.min() >= 0
        assert teacher.labels.max() < 5
        if teacher.kind == "relevant":
            assert np.bincount(teacher.labels, minlength=5).tolist() == [12] * 5


def test_kinds_are_what_they_say() -> None:
    """The demo's bad teachers must be bad, or its selection proves nothing."""
    kinds = {t.kind: t for t in small_split(0).teachers}
    shuffled = kinds["shuffled-labels"]
    truth = np.array([number % 10 for number in numbers(shuffled.images)])
    claimed = np.array(shuffled.classes)[shuffled.labels]
    assert sorted(truth) == sorted(claimed)
    assert 0.05 < np.mean(truth == claimed) < 0.5
    assert abs(kinds["noise"].images.mean() - 127.5) < 2
    assert all(name.startswith("digit") for name in kinds["other-domain"].task)
    assert len(kinds["other-domain"].images) == 60


def test_the_same_seed_gives_the_same_split_and_counts_do_not_interfere() -> None:
    """A run that cannot be repeated cannot be checked."""
    first, again, other = small_split(1), small_split(1), small_split(2)
    more = small_split(1, records=70)
    for a, b in zip(first.teachers, again.teachers, strict=True):
        assert (a.id, a.kind, a.task) == (b.id, b.kind, b.task)
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.labels, b.labels)
    assert numbers(first.probes) == numbers(again.probes) != numbers(other.probes)
    assert numbers(first.probes) == numbers(more.probes)
    assert numbers(first.images) == numbers(more.images)


def test_ids_do_not_tell_the_kind() -> None:
    """An id that tells the kind would let the selection cheat."""
    orders = {tuple(t.kind for t in small_split(seed, records=10).teachers) for seed in range(8)}
    assert len(orders) > 4
    assert [t.id for t in small_split(0).teachers] == [f"teacher-{i}" for i in range(1, 10)]


@pytest.mark.parametrize("seed", range(3))
def test_too_many_records_names_the_largest_number_that_works(seed: int) -> None:
    """Whoever asks for too much should not have to search for what is possible."""
    with pytest.raises(DataError) as caught:
        small_split(seed, records=10_000)
    largest = int(re.findall(r"at most (\d+)", str(caught.value))[-1])
    assert all(len(t.images) == largest for t in small_split(seed, records=largest).teachers[:1])
    with pytest.raises(DataError, match=f"at most {largest}"):
        small_split(seed, records=largest + 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": 9}, "9 labelled examples are too few. Use at least 10"),
        ({"labels": 10_000}, "10000 labelled examples are too many.*Use at most"),
        ({"probes": 0}, "0 probes are too few"),
        ({"probes": 1_200}, "1200 probes are too many. Use at most 1190"),
        ({"records": 4}, "4 records a teacher are too few"),
        ({"relevant": 0}, "0 relevant teachers are too few"),
    ],
)
def test_counts_out_of_range_are_refused(changes: dict[str, int], message: str) -> None:
    """A count that cannot work should say which ones can."""
    with pytest.raises(DataError, match=message):
        small_split(0, **changes)


def test_the_default_split_of_fashion_mnist() -> None:
    """The demo's own sizes must be possible for the seeds that people use."""
    data = load_fashion_mnist()
    for seed in range(3):
        split = demo_split(data, seed=seed)
        sizes = {t.kind: len(t.images) for t in split.teachers}
        assert split.probes.shape == (5_000, 28, 28)
        assert sizes["relevant"] == sizes["shuffled-labels"] == sizes["noise"] == 4_500
        assert 850 < sizes["other-domain"] < 950
        for teacher in split.teachers:
            if teacher.kind == "relevant":
                counts = np.bincount(teacher.labels, minlength=5)
                assert counts.sum() == 4_500
                assert counts.max() - counts.min() < 300


@settings(max_examples=60, deadline=None)
@given(
    supply=st.lists(st.integers(0, 6), min_size=3, max_size=3),
    tasks=st.lists(st.sampled_from([(0, 1), (1, 2), (0, 2), (0, 1, 2)]), min_size=1, max_size=3),
)
def test_shares_are_as_even_as_supply_allows(
    supply: list[int], tasks: list[tuple[int, ...]]
) -> None:
    """Against brute force: a wrong bound refuses a possible run or deals records twice."""
    demand = largest_demand(supply, tasks)
    shares = np.array(even_shares(supply, tasks, demand))
    assert (shares >= 0).all()
    assert (shares.sum(axis=1) == demand).all()
    assert (shares.sum(axis=0) <= supply).all()
    best, possible = _best_by_brute_force(supply, tasks, demand)
    assert possible
    assert (shares**2).sum() == best
    assert not _best_by_brute_force(supply, tasks, demand + 1)[1]


def _best_by_brute_force(
    supply: list[int], tasks: list[tuple[int, ...]], demand: int
) -> tuple[int, bool]:
    # Least cost of each amount used so far, one teacher after the other.
    states = {(0, 0, 0): 0}
    for task in tasks:
        options = [
            row
            for row in product(*(range(demand + 1) if c in task else (0,) for c in range(3)))
            if sum(row) == demand
        ]
        after: dict[tuple[int, ...], int] = {}
        for used, cost in states.items():
            for row in options:
                now = tuple(u + r for u, r in zip(used, row, strict=True))
                if all(n <= s for n, s in zip(now, supply, strict=True)):
                    total = cost + sum(r * r for r in row)
                    after[now] = min(total, after.get(now, total))
        states = after  # type: ignore[assignment]
    return min(states.values(), default=0), bool(states)
