"""Canaries of the route noisy-release: records in the encoding's units, each in its own class.

A canary reaches the sensitivity of the agreed neighbour relation, so no pair of neighbours is
easier to tell apart. Each has its own class, or two, so canaries share no coordinate of the
summary: what they add to it is exactly orthogonal, and stays so on the grid.

* add-remove: m records (x, W) of one person, present or absent.
* replace-one, W <= S: m records x or m records -x, of one class.
* replace-one, W > S: m records in one class or in another (two classes a canary).

Half of the canaries are given with a norm of exactly the clip norm, half with four times as much,
which the clip has to bring to the same place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries.scores import BoolArray, FloatArray
from secure_fedsa.entropy import public_generator
from secure_fedsa.privacy.mechanisms import Neighbours, count_unit
from secure_fedsa.signals import IntArray

BEYOND = 4.0
"""How many clip norms half of the canaries have before they are clipped."""

_FINE = 256  # grid steps that a coordinate of a canary has at least


@dataclass(frozen=True, slots=True)
class Design:
    """How canaries look, all of it public.

    Attributes:
        neighbours: The relation whose two sides a canary's coin decides between.
        dimension: Width d of the encoding.
        nonzero: Coordinates of a canary that are not zero, a power of 4, so that equal sizes with
            free signs have a norm without rounding.
        grid: Grid steps in one clip norm (S).
        count_unit: Grid units of a record in its class's count (W).
        records: Records of one person (m).
        clip_norm: In the encoding's units.
    """

    neighbours: Neighbours
    dimension: int
    nonzero: int
    grid: int
    count_unit: int
    records: int
    clip_norm: float

    @classmethod
    def of(cls, agreement: Agreement) -> Design:
        """Return the design for an agreement of the route noisy-release."""
        privacy, dimension = agreement.mechanism, agreement.encoder.dimension
        nonzero = 1
        while 4 * nonzero <= dimension and 2 * _FINE * nonzero**0.5 <= privacy.grid:
            nonzero *= 4
        return cls(
            neighbours=privacy.neighbours,
            dimension=dimension,
            nonzero=nonzero,
            grid=privacy.grid,
            count_unit=count_unit(privacy.grid, privacy.count_weight),
            records=privacy.max_records,
            clip_norm=privacy.clip_norm,
        )

    @property
    def classes_each(self) -> int:
        """Public classes that one canary has."""
        return 2 if self.neighbours == "replace-one" and self.count_unit > self.grid else 1

    @property
    def loads(self) -> tuple[float, float]:
        """What the score of an absent and of a present canary holds of the shift."""
        return (0.0, 1.0) if self.neighbours == "add-remove" else (-0.5, 0.5)


@dataclass(frozen=True, slots=True, repr=False)
class Part:
    """Some canaries, those of consecutive numbers.

    Attributes:
        records: float64, shape (n, d): the present ones, as an encoder would return them.
        labels: int64, shape (n,): classes, counted within this part.
        persons: int64, shape (n,): whose each record is; a canary is one person.
        direction: float64, shape (K, b (d + 1)): by how much the summary's blocks of each canary
            differ between its two neighbours, if clipped as agreed; b classes each.
    """

    records: FloatArray
    labels: IntArray
    persons: IntArray
    direction: FloatArray


def widened(agreement: Agreement, teacher: str, classes: int) -> Agreement:
    """Return the agreement with another public label set of one teacher, of so many classes."""
    names = tuple(f"canary-{number}" for number in range(classes))
    party = replace(agreement.parties[teacher], classes=names)
    return replace(agreement, parties={**agreement.parties, teacher: party})


def make_part(design: Design, begin: int, coins: BoolArray) -> Part:
    """Return the canaries from number ``begin`` on, as many as there are coins."""
    number, blocks = len(coins), design.classes_each
    signs = np.stack(
        [_signs(design, begin, number, f"canaries, class {block}") for block in range(blocks)],
        axis=1,
    )  # (K, b, d), of -1, 0 and 1
    size = design.clip_norm / design.nonzero**0.5
    beyond = np.where((begin + np.arange(number)) % 2 == 1, BEYOND, 1.0)
    given = signs * size * beyond[:, None, None]
    places = np.arange(number)
    if design.neighbours == "add-remove":
        chosen, labels = given[coins, 0], places[coins]
    elif blocks == 1:
        chosen, labels = np.where(coins[:, None], given[:, 0], -given[:, 0]), places
    else:
        block = np.where(coins, 0, 1)
        chosen, labels = given[places, block], blocks * places + block
    return Part(
        records=np.repeat(chosen, design.records, axis=0),
        labels=np.repeat(labels, design.records).astype(np.int64),
        persons=np.repeat(np.arange(len(chosen)), design.records),
        direction=_direction(design, signs),
    )


def _signs(design: Design, begin: int, number: int, purpose: str) -> FloatArray:
    """Return -1, 0 and 1, shape (number, d), with ``nonzero`` that are not 0 a row."""
    generator = public_generator(begin, purpose)
    found = np.zeros((number, design.dimension))
    coins = generator.integers(0, 2, (number, design.nonzero))
    flips: FloatArray = coins.astype(np.float64) * 2 - 1
    if design.nonzero == design.dimension:
        return flips
    order = generator.random((number, design.dimension))
    places = np.argpartition(order, design.nonzero - 1, axis=1)[:, : design.nonzero]
    np.put_along_axis(found, places, flips, axis=1)
    return found


def _direction(design: Design, signs: FloatArray) -> FloatArray:
    number, blocks, _ = signs.shape
    step = np.trunc(design.grid / design.nonzero**0.5)
    weight = np.zeros((number, blocks, 1))
    if design.neighbours == "add-remove":
        rows, weight = signs * step, weight + design.count_unit
    elif blocks == 1:
        rows = 2 * signs * step  # x against -x: the counts cancel
    else:
        side = np.array([1.0, -1.0])[None, :, None]
        rows, weight = signs * step * side, weight + design.count_unit * side
    whole: npt.NDArray[Any] = np.concatenate([rows, weight], axis=2) * design.records
    return np.asarray(whole.reshape(number, -1), dtype=np.float64)
