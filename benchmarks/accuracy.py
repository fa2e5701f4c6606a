"""Accuracy and ranking of the noisy-release route, over seeds and epsilons.

    .venv/bin/python -m benchmarks.accuracy --seeds 0 1 2 3 4 --epsilons 0.5 1 8 --out FILE
    .venv/bin/python -m benchmarks.accuracy --seeds $(seq 0 19) --epsilons 1 --ranking-only

Runs the demo's own code on real data under real noise: split, encoder, clipping, ledger's
noise plan, discrete Gaussian, signals as integers, selection, sum, amalgamation, student
network, baselines. Only transport and encryption are left out: they return exactly what was
put in (tests/engines/test_whole_run.py), so they do not change a figure here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.noisy_release import NoisyRelease
from secure_fedsa.cli.baselines import Baselines, compare
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.splits import demo_split


def one(
    release: NoisyRelease, epsilon: float, *, ranking_only: bool, baselines: bool
) -> dict[str, Any]:
    """Return the row of one seed and epsilon; the baselines do not depend on epsilon."""
    done = release.round(epsilon)
    kinds = {t.id: t.kind for t in release.data.teachers}
    good = [score for name, score in done.scores.items() if kinds[name] == "relevant"]
    bad = [score for name, score in done.scores.items() if kinds[name] != "relevant"]
    row: dict[str, Any] = {
        "seed": release.seed,
        "epsilon": epsilon,
        "records": release.options(epsilon).records,
        "dimension": done.bench.encoder.dimension,
        "worst_relevant": min(good),
        "best_bad": max(bad),
        "ranked": min(good) > max(bad),
        "selected_all_relevant": {kinds[name] for name in done.members} == {"relevant"}
        and len(done.members) == len(good),
    }
    if not ranking_only:
        release.build(done)
        workshop, exam = done.bench.workshop, done.bench.exam
        if baselines:
            row |= compare(workshop, exam, Baselines(release.data, workshop))
        else:
            model, network = workshop.load()
            row["student"] = exam.of_head(model)
            row["student_network"] = exam.of_network(network)
    return row


def main() -> int:
    """Run all rows, print them and their means, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.5, 1.0, 8.0])
    parser.add_argument("--records", type=int, default=4500, help="records a teacher")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--ranking-only", action="store_true")
    parser.add_argument("--scratch-folder", type=Path, default=Path("scratch/accuracy"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_fashion_mnist()
    rows = []
    for number in options.seeds:
        began = time.monotonic()
        data = demo_split(images, seed=number, records=options.records)
        release = NoisyRelease(number, data, options.scratch_folder / str(number))
        for epsilon in options.epsilons:
            first = epsilon == options.epsilons[0] and not options.no_baselines
            rows.append(one(release, epsilon, ranking_only=options.ranking_only, baselines=first))
            print(json.dumps(rows[-1]), flush=True)
        print(f"seed {number}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    result: dict[str, Any] = {"rows": rows, "means": {}}
    for epsilon in options.epsilons:
        mine = [row for row in rows if row["epsilon"] == epsilon]
        means: dict[str, Any] = {
            name: statistics.mean(row[name] for row in mine)
            for name in ("student", "student_network")
            if name in mine[0]
        }
        means["all_ranked"] = all(row["ranked"] for row in mine)
        result["means"][f"{epsilon:g}"] = means
    for name in ("scratch", "self_training", "public_encoder"):
        found = [row[name] for row in rows if name in row]
        if found:
            result["means"][name] = statistics.mean(found)
    print(json.dumps(result["means"], indent=2))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
