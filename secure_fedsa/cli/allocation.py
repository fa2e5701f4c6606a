"""How many records of each class each teacher gets, when classes are scarce.

A transport problem: teacher t wants ``demand`` records of the classes of its task, class
c has ``supply[c]``, and each teacher's shares should be as even as possible.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

IntArray = npt.NDArray[np.int64]

_UNREACHABLE = 2**40


def largest_demand(supply: Sequence[int], tasks: Sequence[Sequence[int]]) -> int:
    """Return the largest demand a teacher that all teachers can have at once.

    Hall's condition: for every set of classes, the teachers whose whole task lies in it
    cannot want more than it holds. Looks at all 2^classes sets: for ten classes or so.

    >>> largest_demand([10, 10, 4], [(0, 1), (0, 1), (1, 2)])
    8
    >>> largest_demand([10, 10, 4], [(2,), (2,), (0, 1)])
    2
    """
    classes = range(len(supply))
    best = sum(supply)
    for size in range(1, len(supply) + 1):
        for chosen in combinations(classes, size):
            inside = sum(set(task) <= set(chosen) for task in tasks)
            if inside:
                best = min(best, sum(supply[c] for c in chosen) // inside)
    return best


def even_shares(
    supply: Sequence[int], tasks: Sequence[Sequence[int]], demand: int
) -> list[list[int]]:
    """Return each teacher's number of records of each class, shape (teachers, classes).

    Among all ways to serve everybody, this has the least sum of squared shares. It
    starts from equal shares and, record by record, moves what an overdrawn class lacks
    along the cheapest chain of exchanges to a class with some left: successive shortest
    paths for a convex cost.

    Args:
        supply: Records that each class has.
        tasks: Each teacher's classes.
        demand: Records that each teacher gets, at most :func:`largest_demand`.

    >>> even_shares([3, 9, 9], [(0, 1), (0, 2)], 6)
    [[1, 5, 0], [2, 0, 4]]
    """
    classes = len(supply)
    shares = np.zeros((len(tasks), classes), dtype=np.int64)
    member = np.zeros((len(tasks), classes), dtype=np.bool_)
    for t, task in enumerate(tasks):
        member[t, list(task)] = True
        for i, c in enumerate(task):
            shares[t, c] = demand // len(task) + (i < demand % len(task))
    left = np.array(supply, dtype=np.int64) - shares.sum(axis=0)
    while (left < 0).any():
        start = int(left.argmin())
        path = _cheapest_path(shares, member, start, left > 0)
        for t, source, target in path:
            shares[t, source] -= 1
            shares[t, target] += 1
        left[start] += 1
        left[path[-1][2]] -= 1
    result: list[list[int]] = shares.tolist()
    return result


def _cheapest_path(
    shares: IntArray, member: npt.NDArray[np.bool_], start: int, goal: npt.NDArray[np.bool_]
) -> list[tuple[int, int, int]]:
    """Return moves (teacher, from class, to class) from ``start`` to a class in ``goal``."""
    classes = shares.shape[1]
    # Moving one record of teacher t from class a to b changes the cost by this (halved).
    cost = shares[:, None, :] - shares[:, :, None] + 1
    allowed = member[:, None, :] & member[:, :, None] & (shares[:, :, None] > 0)
    cost = np.where(allowed, cost, _UNREACHABLE)
    mover = cost.argmin(axis=0)
    edge = cost.min(axis=0)
    distance = np.full(classes, _UNREACHABLE)
    distance[start] = 0
    before = np.full(classes, -1)
    for _ in range(classes):
        through = distance[:, None] + edge
        better = through.min(axis=0) < distance
        if not better.any():
            break
        before[better] = through.argmin(axis=0)[better]
        distance[better] = through.min(axis=0)[better]
    at = int(np.where(goal, distance, _UNREACHABLE).argmin())
    path = []
    while at != start:
        source = int(before[at])
        path.append((int(mover[source, at]), source, at))
        at = source
    return path[::-1]
