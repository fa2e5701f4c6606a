"""The student's labelled records become one noisy summary: its sensitivity and its reading."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from secure_fedsa.agreement import Agreement
from secure_fedsa.entropy import public_generator
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.private_labels import LabelSummary, name_probes, project
from secure_fedsa.privacy.accountant import epsilon_of
from secure_fedsa.roles.private_student import label_plan, read_labels
from secure_fedsa.signals import FloatArray, Noise, NoisySummary, int_array
from secure_fedsa.wire.keys import IdentityKey
from tests.support import (
    CLASSES,
    DIMENSION,
    STUDENT_PROMISE,
    encoder,
    probes,
    table,
    teacher_names,
    toy_agreement,
)


def agreed(**privacy: Any) -> Agreement:
    """Return an agreement with a promise about the student's records; its keys are fresh."""
    names = (*teacher_names(4), AGGREGATOR, KEY_HOLDER, STUDENT)
    keys = {name: IdentityKey.generate().public.hex() for name in names}
    return toy_agreement(keys, privacy=privacy, student_privacy=STUDENT_PROMISE)


def space() -> tuple[FloatArray, FloatArray]:
    """Return a centre and two directions, as an opened sum gives them."""
    encoded = encoder().encode_clipped(probes())[0]
    return encoded.mean(axis=0), public_generator(7, "directions").normal(0, 3, (DIMENSION, 2))


def exact(
    records: npt.NDArray[Any],
    labels: npt.NDArray[Any],
    agreement: Agreement,
    *,
    shrunk: float = 1.0,
) -> npt.NDArray[np.int64]:
    """Return the summary of records without noise, one flat vector."""
    centre, directions = space()
    nothing = Noise(int_array([0] * label_plan(agreement).shape.noise_values), True)
    summary, _ = read_labels(
        records,
        labels,
        encoder=encoder(),
        agreement=agreement,
        centre=centre,
        directions=directions * shrunk,
        noise=nothing,
    )
    return np.concatenate([summary.noisy.sums.ravel(), summary.noisy.counts])


@pytest.mark.parametrize("neighbours", ["add-remove", "replace-one"])
def test_one_record_moves_the_sums_by_no_more_than_the_sensitivity(neighbours: str) -> None:
    """With a larger step than accounted, the student's epsilon would be a lie."""
    agreement = agreed(neighbours=neighbours)
    event = label_plan(agreement).event
    records, labels = table(5, 30)
    records[3] *= 1e6  # far away
    records[4] = np.nan
    whole = exact(records, labels, agreement)
    longest = 0.0
    for index in range(len(records)):
        rest = np.delete(np.arange(len(records)), index)
        if neighbours == "add-remove":
            other = exact(records[rest], labels[rest], agreement)
        else:
            changed, numbers = records.copy(), labels.copy()
            changed[index] = records[(index + 7) % len(records)]
            numbers[index] = (labels[index] + index % 2) % len(CLASSES)
            other = exact(changed, numbers, agreement)
        longest = max(longest, float(np.linalg.norm(whole - other)))
    # Replacing is worst for opposite vectors of one class, which three clusters do not have.
    least = 0.99 if neighbours == "add-remove" else 0.7
    assert least * event.sensitivity < longest <= event.sensitivity


def test_a_record_is_summed_as_if_it_were_alone() -> None:
    """A vector that depended on the others, if only in a last bit, would void the sensitivity."""
    agreement = agreed()
    records, labels = table(6, 300)
    one_by_one = [exact(records[i : i + 1], labels[i : i + 1], agreement) for i in range(300)]
    together = exact(records, labels, agreement)
    assert np.array_equal(sum(one_by_one), together)
    assert np.array_equal(exact(records[::-1], labels[::-1], agreement), together)


def test_projection_of_a_row_is_its_own_to_the_last_bit() -> None:
    """A matrix product adds in another order for another number of rows."""
    generator = public_generator(3, "rows")
    rows, directions = generator.normal(size=(700, 512)), generator.normal(size=(512, 9))
    centre = generator.normal(size=512)
    together = project(rows, centre, directions)
    for index in (0, 255, 256, 699):
        assert np.array_equal(
            project(rows[index : index + 1], centre, directions)[0], together[index]
        )
    assert np.allclose(together, (rows - centre) @ directions)
    assert project(rows[:0], centre, directions).shape == (0, 9)


def test_the_event_gives_the_promised_epsilon() -> None:
    """The plan shows this figure, the ledger is charged with this event."""
    agreement = agreed()
    event = label_plan(agreement).event
    spent = epsilon_of([event], agreement.promise.delta)
    assert 0.999 * STUDENT_PROMISE.epsilon < spent <= STUDENT_PROMISE.epsilon
    assert event.coordinates == STUDENT_PROMISE.directions + 1


def test_a_record_that_cannot_be_used_adds_nothing() -> None:
    """It would lie where the probes' mean is not, and count as a record that nobody has."""
    records, labels = table(8, 12)
    assert not exact(np.full_like(records, np.nan), labels, agreed()).any()


def test_every_usable_record_has_length_one() -> None:
    """Shorter vectors would drown in noise that was made for length one."""
    agreement = agreed()
    records, labels = table(8, 12)
    grid = agreement.mechanism.grid
    for index in range(len(records)):
        one = exact(records[index : index + 1], labels[index : index + 1], agreement, shrunk=1e-4)
        sums = one[: -len(CLASSES)]
        assert np.linalg.norm(sums) == pytest.approx(grid, rel=1e-3)


@pytest.mark.parametrize("labels", [[9] * 12, [-1] * 12, [0.5] * 12])
def test_labels_that_are_no_class_add_nothing(labels: list[float]) -> None:
    """A refusal here would tell others about a record."""
    agreement = agreed()
    records = table(8, 12)[0]
    assert not exact(records, np.array(labels), agreement).any()


def test_a_summary_that_is_all_noise_names_something() -> None:
    """Without labels, or in unlucky noise, the run must go on as in any other case."""
    centre, directions = space()
    encoded = encoder().encode_clipped(probes())[0]
    for sums in (np.zeros((3, 2)), np.full((3, 2), 10**9)):
        noisy = NoisySummary(
            int_array(sums.astype(np.int64)), int_array([0] * 3), 1e4, 2**12, 2**10
        )
        shares = name_probes(LabelSummary(centre, directions, noisy), encoded)
        assert np.isfinite(shares).all()
        assert np.allclose(shares.sum(axis=1), 1)


def test_bytes_of_a_summary_are_read_back() -> None:
    """The stored summary serves every later run: what is read must be what was drawn."""
    centre, directions = space()
    noisy = NoisySummary(int_array(np.array([[1, -2], [3, 4]])), int_array([5, 6]), 1.5, 4096, 1024)
    data = LabelSummary(centre, directions, noisy).to_bytes()
    found = LabelSummary.from_bytes(data)
    assert found.to_bytes() == data
    assert np.array_equal(found.noisy.sums, noisy.sums)
    assert replace(found.noisy, sums=noisy.sums, counts=noisy.counts) == noisy
