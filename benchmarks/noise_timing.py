"""Does the time that noise takes tell of its values?

    python -m benchmarks.noise_timing --out benchmarks/results/noise_timing.json

Draws batches of discrete Gaussian noise, as a summary does, and correlates the time of each with
what its values are: the processor time of the sampler, which rejects and draws again, and the
time on the clock until a run's noise is ready, which is what others than the machine's owner can
see. Last, the clock of the noise of one step of private training.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from secure_fedsa.entropy import PacedNoise, SystemNoise

SCALE = 273_589.0
"""About that of the demo's noise, in steps of its grid."""

_VALUES = 7_500_000
"""Most that is drawn of one kind: of long batches fewer are measured."""

Draw = Callable[[int], npt.NDArray[np.float64]]
Clock = Callable[[], int]


def sampler(size: int) -> npt.NDArray[np.float64]:
    """Return noise as the sampler gives it."""
    return SystemNoise().discrete_gaussian(SCALE, size).astype(np.float64)


def run(size: int) -> npt.NDArray[np.float64]:
    """Return noise as a run draws it."""
    return PacedNoise().discrete_gaussian(SCALE, size).astype(np.float64)


def training(size: int) -> npt.NDArray[np.float64]:
    """Return noise as a step of private training draws it."""
    generator = SystemNoise().torch_generator()
    return torch.normal(0.0, SCALE, (size,), generator=generator).double().numpy()


MEASURED: dict[str, tuple[Draw, Clock]] = {
    "sampler, processor": (sampler, time.process_time_ns),
    "sampler, clock": (sampler, time.perf_counter_ns),
    "run, processor": (run, time.process_time_ns),
    "run, clock": (run, time.perf_counter_ns),
    "training step, clock": (training, time.perf_counter_ns),
}


def measured(what: str, batches: int, size: int) -> dict[str, str | float]:
    """Return correlations of a batch's time with sums over its values.

    Args:
        what: Of ``MEASURED``.
        batches: Number of batches.
        size: Values of each.
    """
    draw, clock = MEASURED[what]
    draw(size)  # imports and caches
    times, sizes, signs = np.zeros(batches), np.zeros(batches), np.zeros(batches)
    for index in range(batches):
        began = clock()
        values = draw(size)
        times[index] = clock() - began
        sizes[index], signs[index] = np.abs(values).sum(), np.sign(values).sum()
    ranks = np.argsort(np.argsort(times))  # a pause of the machine counts as one batch
    return {
        "what": what,
        "batches": batches,
        "values_a_batch": size,
        "milliseconds": float(np.median(times)) / 1e6,
        "with_sizes": float(np.corrcoef(ranks, sizes)[0, 1]),
        "with_signs": float(np.corrcoef(ranks, signs)[0, 1]),
        "standard_error": 1 / math.sqrt(batches),
    }


def main() -> int:
    """Measure and print; write with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, default=6000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100, 1000, 5000])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for size in options.sizes:
        for what in MEASURED:
            found.append(measured(what, min(options.batches, _VALUES // size), size))
            print(json.dumps(found[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
