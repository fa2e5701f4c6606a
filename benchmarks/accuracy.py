"""Accuracy and ranking of the noisy-release route, over seeds and epsilons.

    .venv/bin/python benchmarks/accuracy.py --seeds 0 1 2 3 4 --epsilons 0.5 1 8 --out FILE
    .venv/bin/python benchmarks/accuracy.py --seeds $(seq 0 19) --epsilons 1 --ranking-only

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

import numpy as np
import torch

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.baselines import Baselines, Exam, RememberingEncoder, compare
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.demo_agreement import DemoOptions, demo_agreement, demo_encoder_spec
from secure_fedsa.cli.splits import DemoData, TeacherData, demo_split
from secure_fedsa.engines.student import StudentTask, StudentWorkshop
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.saliency import quantise
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.roles.noisy_release import (
    derive_signal,
    noise_plan,
    read_private,
    saliency_scale,
    score_unit,
)
from secure_fedsa.selection import choose
from secure_fedsa.signals import ReleasedSum, Signal, int_array
from secure_fedsa.wire.keys import IdentityKey


class Seed:
    """One seed's data, encoded as an epsilon asks."""

    def __init__(self, options: DemoOptions, data: DemoData, folder: Path) -> None:
        self.seed = seed = options.seed
        self.options = options
        self.data = data
        self.encoder = RememberingEncoder.fit(data.probes, demo_encoder_spec(options, data))
        task = StudentTask(data.class_names, data.images, data.labels, data.probes)
        self.workshop = StudentWorkshop(task, self.encoder, folder, seed=seed)
        self.exam = Exam(data, self.encoder)

    def agreement(self) -> Agreement:
        """Return the demo's agreement; keys play no part here."""
        names = [*(t.id for t in self.data.teachers), AGGREGATOR, KEY_HOLDER, STUDENT]
        keys = {name: IdentityKey.generate().public.hex() for name in names}
        return demo_agreement(self.options, self.data, self.encoder, keys)

    def signal(self, teacher: TeacherData, agreement: Agreement) -> Signal:
        """Return a teacher's signals under fresh noise."""
        plan = noise_plan(agreement, teacher.id)
        noisy, _ = read_private(
            teacher.images,
            teacher.labels,
            encoder=self.encoder,
            agreement=agreement,
            teacher=teacher.id,
            noise=draw_noise(SystemNoise(), plan.shape, plan.event.noise_scale),
        )
        return derive_signal(noisy, agreement)


def one(seed: Seed, *, ranking_only: bool, baselines: bool) -> dict[str, Any]:
    """Return the row of one seed and epsilon; the networks do not depend on epsilon."""
    agreement = seed.agreement()
    signals = {t.id: seed.signal(t, agreement) for t in seed.data.teachers}
    bits, bound = agreement.saliency.bits, agreement.saliency.query_bound
    query = quantise(seed.workshop.query(saliency_scale(agreement)), bound, bits)
    unit = score_unit(agreement)
    scores = {name: int(signal.saliency @ query) * unit for name, signal in signals.items()}
    kinds = {t.id: t.kind for t in seed.data.teachers}
    good = [score for name, score in scores.items() if kinds[name] == "relevant"]
    bad = [score for name, score in scores.items() if kinds[name] != "relevant"]
    selection = agreement.selection
    members = choose(scores, select=selection.select, threshold=selection.threshold)
    row: dict[str, Any] = {
        "seed": seed.seed,
        "epsilon": seed.options.epsilon,
        "records": seed.options.records,
        "dimension": seed.encoder.dimension,
        "worst_relevant": min(good),
        "best_bad": max(bad),
        "ranked": min(good) > max(bad),
        "selected_all_relevant": {kinds[name] for name in members} == {"relevant"}
        and len(members) == len(good),
    }
    if not ranking_only:
        total = int_array(np.sum([signals[name].features for name in members], axis=0))
        seed.workshop.build(ReleasedSum(total, members), agreement)
        if baselines:
            row |= compare(seed.workshop, seed.exam, Baselines(seed.data, seed.workshop))
        else:
            model, network = seed.workshop.load()
            row["student"] = seed.exam.of_head(model)
            row["student_network"] = seed.exam.of_network(network)
    return row


def main() -> int:
    """Run all rows, print them and their means, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[0.5, 1.0, 8.0])
    parser.add_argument("--records", type=int, default=4500, help="records a teacher")
    parser.add_argument("--ranking-only", action="store_true")
    parser.add_argument("--no-baselines", action="store_true")
    parser.add_argument("--scratch-folder", type=Path, default=Path("scratch/accuracy"))
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_fashion_mnist()
    rows = []
    for number in options.seeds:
        began = time.monotonic()
        data = demo_split(images, seed=number, records=options.records)
        for epsilon in options.epsilons:
            choices = DemoOptions(seed=number, epsilon=epsilon, records=options.records)
            seed = Seed(choices, data, options.scratch_folder / str(number))
            first = epsilon == options.epsilons[0] and not options.no_baselines
            rows.append(one(seed, ranking_only=options.ranking_only, baselines=first))
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
