"""Which teachers are chosen: the top k above a public threshold.

Fewer are chosen when fewer deserve it; a score that fell outside its public range counts
as not selected, with no message of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def choose(scores: Mapping[str, float | None], *, select: int, threshold: float) -> tuple[str, ...]:
    """Return the chosen teachers, sorted by name.

    Args:
        scores: By teacher; None or NaN where no valid score exists.
        select: Largest number to choose (k).
        threshold: Smallest score that may be chosen.

    >>> choose({"a": 0.9, "b": 0.1, "c": 0.7, "d": None}, select=2, threshold=0.2)
    ('a', 'c')
    """
    valid = {
        teacher: score
        for teacher, score in scores.items()
        if score is not None and math.isfinite(score) and score >= threshold
    }
    # Ties go to the name that sorts first, so that every reader gets the same roster.
    ranked = sorted(valid, key=lambda teacher: (-valid[teacher], teacher))
    return tuple(sorted(ranked[:select]))
