"""Persons: however many records somebody has, at most so many count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError, PrivacyParameterError
from secure_fedsa.privacy.clipping import summarise, to_grid, usable_labels
from secure_fedsa.privacy.contributions import check_persons, first_records
from secure_fedsa.privacy.mechanisms import l2_sensitivity

GRID, UNIT = 64, 16

records_of_persons = st.lists(st.tuples(st.integers(-1, 4), st.booleans()), min_size=0, max_size=40)


def counted(owners: list[int], usable: list[bool], most: int) -> list[bool]:
    """The rule in the plainest words: one look at a record after the other."""
    seen: dict[int, int] = {}
    flags = []
    for owner, good in zip(owners, usable, strict=True):
        takes = good and owner >= 0 and seen.get(owner, 0) < most
        seen[owner] = seen.get(owner, 0) + takes
        flags.append(takes)
    return flags


@settings(max_examples=200, deadline=None)
@given(records_of_persons, st.integers(1, 4), st.booleans())
def test_the_first_usable_records_of_each_person_count(
    held: list[tuple[int, bool]], most: int, texts: bool
) -> None:
    """If this fails, a person weighs more than the noise is for, or honest records are lost."""
    owners, usable = [owner for owner, _ in held], [good for _, good in held]
    ids: npt.NDArray[Any] = np.array(owners, dtype=np.int64)
    if texts:
        ids = np.array(["" if owner < 0 else f"patient {owner}" for owner in owners], dtype=np.str_)
    found = first_records(ids, np.array(usable, dtype=np.bool_), most)
    assert found.tolist() == counted(owners, usable, most)


@settings(max_examples=100, deadline=None)
@given(records_of_persons, st.integers(0, 4), st.integers(1, 3))
def test_a_person_that_leaves_changes_nobody_elses_part(
    held: list[tuple[int, bool]], leaver: int, most: int
) -> None:
    """If this fails, one person's records decide about another's: no bound on persons holds."""
    owners = np.array([owner for owner, _ in held], dtype=np.int64)
    usable = np.array([good for _, good in held], dtype=np.bool_)
    stay = owners != leaver
    before = first_records(owners, usable, most)[stay]
    assert np.array_equal(before, first_records(owners[stay], usable[stay], most))


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("neighbours", ["add-remove", "replace-one"])
def test_a_person_with_many_records_moves_a_summary_by_no_more_than_the_sensitivity(
    most: int, neighbours: Any
) -> None:
    """If this fails, epsilon for a person is false for everybody with many records."""
    generator = public_generator(0, "persons")

    def summary(rows: Any, labels: Any, owners: Any) -> npt.NDArray[np.int64]:
        grid_rows, valid = to_grid(rows, 1.0, GRID)
        valid &= usable_labels(labels, 3)[1]
        valid = first_records(owners, valid, most)
        told, _ = summarise(grid_rows, labels, valid, 3, UNIT, grid=GRID)
        return np.concatenate([told.sums.ravel(), told.counts])

    others = generator.normal(size=(30, 4)), generator.integers(3, size=30), np.arange(1, 31)
    # The worst person: fifty equal records of full length; in the other data set, of their opposite
    # or of another class.
    direction = np.array([1.0, 0.0, 0.0, 0.0])
    bound = l2_sensitivity(GRID, UNIT, neighbours, most)
    reached = 0.0
    for sign, label in ((-1.0, 0), (1.0, 1), (-1.0, 1)):
        parts = []
        for factor, its_label in ((1.0, 0), (sign, label)):
            rows = np.concatenate([others[0], np.tile(factor * direction, (50, 1))])
            labels = np.concatenate([others[1], np.full(50, its_label)])
            owners = np.concatenate([others[2], np.zeros(50, dtype=np.int64)])
            parts.append(summary(rows, labels, owners))
        parts.append(summary(*others))
        if neighbours == "replace-one":
            reached = max(reached, float(np.linalg.norm(parts[0] - parts[1])))
        reached = max(reached, float(np.linalg.norm(parts[0] - parts[2])))
    assert reached <= bound
    assert reached > bound - 1e-6  # and the bound is not loose


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_record_whose_place_another_takes_moves_a_summary_like_a_replacement(most: int) -> None:
    """If this fails, the figure for one record of a person is below what is lost."""
    bound = l2_sensitivity(GRID, UNIT, "replace-one")
    direction, reached = np.array([1.0, 0.0]), 0.0
    for sign, label in ((-1.0, 0), (1.0, 1), (-1.0, 1)):
        # The last record counts only where the first one is gone.
        rows = np.stack([direction, *[0 * direction] * (most - 1), sign * direction])
        labels = np.array([0] * most + [label])
        told = []
        for gone in (0, 1):
            grid_rows, valid = to_grid(rows[gone:], 1.0, GRID)
            valid = first_records(np.zeros(len(rows) - gone, dtype=np.int64), valid, most)
            summary, _ = summarise(grid_rows, labels[gone:], valid, 2, UNIT, grid=GRID)
            told.append(np.concatenate([summary.sums.ravel(), summary.counts]))
        reached = max(reached, float(np.linalg.norm(told[0] - told[1])))
    assert l2_sensitivity(GRID, UNIT, "add-remove") < bound - 1e-6 < reached <= bound


@pytest.mark.parametrize(
    "ids",
    [
        np.zeros(4, dtype=np.int64),
        np.zeros((3, 1), dtype=np.int64),
        np.zeros(3),
        np.array([None, 1, 2]),
        [0, 1, 2],
        np.array([b"a", b"b", b"c"]),
    ],
    ids=["too many", "two axes", "floats", "objects", "a list", "bytes"],
)
def test_ids_of_another_form_are_refused_without_a_look_at_them(ids: Any) -> None:
    """If this fails, records are bounded by ids that are not theirs, or a NaN is a person."""
    with pytest.raises(DataError, match="person ids"):
        check_persons(ids, 3, "clinic")
    with pytest.raises(DataError, match="person ids"):
        first_records(ids, np.ones(3, dtype=np.bool_), 1)


@pytest.mark.parametrize("most", [0, -1, True, 1.0])
def test_a_bound_that_is_none_is_refused(most: Any) -> None:
    """If this fails, a mistaken bound lets every record in, or none."""
    with pytest.raises(PrivacyParameterError, match="max_records"):
        first_records(np.arange(3), np.ones(3, dtype=np.bool_), most)
