"""Canaries through the run's own code of the route noisy-release.

From the encoder's output on, every line is that of a run: the plan of the noise, the exact sampler,
clip, grid, sums, noise. The encoder itself is left out; that it treats each record alone is tested
elsewhere. A wide summary is computed in parts, classes side by side, since classes share nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from secure_fedsa.audit.canaries.design import Design, Part, make_part, widened
from secure_fedsa.audit.canaries.scores import BoolArray, Scores
from secure_fedsa.errors import UsageError
from secure_fedsa.models.encoder import Encoding
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.roles.noisy_release import NoisePlan, noise_plan, release_encoded

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.audit.canaries.scores import FloatArray
    from secure_fedsa.entropy import NoiseSource

Told = Callable[[int, int], None]
"""Called with (canaries done, canaries), now and then."""

_VALUES = 2**20  # noise values of a part: about a quarter of a minute
_ENCODED = 2**24  # numbers in the records of a part
_CLASSES = 2**12  # of a part: summing looks through all records once a class


def release_scores(
    agreement: Agreement,
    teacher: str,
    coins: BoolArray,
    *,
    noise: NoiseSource,
    runs: int = 1,
    progress: Told | None = None,
) -> Scores:
    """Return the scores of canaries in one noisy summary of one teacher, or in several.

    The score is the inner product of the canary's noisy blocks with what the canary adds to them,
    over the length of that and the noise scale. Of several runs, everything they release is used:
    the mean of the summaries.

    Args:
        agreement: Of the route noisy-release.
        teacher: Whose release it is.
        coins: bool, shape (M,): who is present.
        noise: Where the noise comes from.
        runs: Summaries of the same canaries, each with fresh noise.
        progress: Told now and then how far it is.

    Raises:
        UsageError: If one person's records alone do not fit into memory.
    """
    design = Design.of(agreement)
    size = design.records * design.dimension
    if size > _ENCODED:
        raise UsageError(
            f"A person of {design.records} records of {design.dimension} values cannot be planted.",
            why="The records of one canary would fill the memory.",
        )
    width = design.classes_each * (design.dimension + 1)
    most = min(_VALUES // width, _ENCODED // size, _CLASSES // design.classes_each)
    step = max(1, most)
    total, values, common = len(coins), [], []
    for begin in range(0, total, step):
        own = coins[begin : begin + step]
        part = make_part(design, begin, own)
        wide = widened(agreement, teacher, design.classes_each * len(own))
        plan = noise_plan(wide, teacher)
        seen = np.zeros((len(own), width))
        for _ in range(runs):
            seen += _released(part, wide, teacher, plan, noise)
        length = np.linalg.norm(part.direction, axis=1)
        unit = part.direction / length[:, None]
        values.append((seen * unit).sum(axis=1) / (plan.event.noise_scale * runs**0.5))
        common.append(unit.sum(axis=1))
        if progress:
            progress(min(begin + step, total), total)
    event = noise_plan(agreement, teacher).event
    return Scores(
        values=np.concatenate(values),
        coins=coins,
        common=np.concatenate(common),
        shift=event.sensitivity / event.noise_scale * runs**0.5,
        loads=design.loads,
    )


def _released(
    part: Part,
    agreement: Agreement,
    teacher: str,
    plan: NoisePlan,
    noise: NoiseSource,
) -> FloatArray:
    """Return what one run releases of a part: a row a canary, its blocks side by side."""
    drawn = draw_noise(noise, plan.shape, plan.event.noise_scale)
    noisy, _ = release_encoded(
        Encoding(part.records, np.ones(len(part.records), dtype=np.bool_)),
        part.labels,
        agreement=agreement,
        teacher=teacher,
        noise=drawn,
        persons=part.persons,
    )
    blocks = np.concatenate([noisy.sums, noisy.counts[:, None]], axis=1).astype(np.float64)
    classes = Design.of(agreement).classes_each
    return np.asarray(blocks.reshape(len(blocks) // classes, -1), dtype=np.float64)
