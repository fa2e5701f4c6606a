"""Does the time that noise takes tell of its values?

    python -m benchmarks.noise_timing --out benchmarks/results/noise_timing.json

Draws batches of the system's discrete Gaussian noise, as a summary does, and correlates the
processor time of each with what its values are. A sampler that rejects and draws again has no
constant time: what matters is that nothing of a *record* is in it, since noise is drawn before any
record is read.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

from secure_fedsa.entropy import SystemNoise

SCALE = 273_589.0
"""About that of the demo's noise, in steps of its grid."""


def measured(batches: int, size: int, scale: float = SCALE) -> dict[str, float]:
    """Return correlations of a batch's processor time with sums over its values.

    Args:
        batches: Number of batches.
        size: Values of each.
        scale: Parameter of the discrete Gaussian.
    """
    noise = SystemNoise()
    noise.discrete_gaussian(scale, size)  # imports and caches
    seconds, sizes, signs = np.zeros(batches), np.zeros(batches), np.zeros(batches)
    for index in range(batches):
        began = time.process_time_ns()
        values = noise.discrete_gaussian(scale, size)
        seconds[index] = time.process_time_ns() - began
        sizes[index], signs[index] = np.abs(values).sum(), np.sign(values).sum()
    ranks = np.argsort(np.argsort(seconds))  # a pause of the machine counts as one batch
    return {
        "batches": batches,
        "values_a_batch": size,
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
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    text = json.dumps([measured(options.batches, size) for size in options.sizes], indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
