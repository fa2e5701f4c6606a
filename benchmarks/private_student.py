"""What it costs the student to protect its own labelled records, over epsilons and seeds.

    .venv/bin/python -m benchmarks.private_student --out benchmarks/results/private_student.json

The run's own code on real data under real noise: the teachers' summaries at epsilon 1, selection by
the student's question, the opened sum; then the student's ledger is charged, its noise drawn, its
records summed once, and the student and its network are built from that. Only transport and
encryption are left out (``benchmarks.noisy_release``). ``null`` is no protection: question, head
and network are made from the labelled records without noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.noisy_release import NoisyRelease, Round
from secure_fedsa.agreement import Agreement, StudentPrivacy
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.splits import demo_split
from secure_fedsa.engines.student import StudentWorkshop
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.models.saliency import quantise
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.roles.scores import score_unit
from secure_fedsa.selection import choose
from secure_fedsa.signals import ReleasedSum, int_array

TEACHERS_EPSILON = 1.0


def promised(agreement: Agreement, epsilon: float, classes: int) -> Agreement:
    """Return an agreement with a promise about the student's records, as the demo drafts it."""
    noise = calibrate(epsilon, agreement.promise.delta)
    promise = StudentPrivacy(epsilon, noise, 10 * epsilon, classes, classes - 1)
    found = replace(agreement, student_privacy=promise)
    found.check()
    return found


def measure(done: Round, workshop: StudentWorkshop, agreement: Agreement) -> dict[str, Any]:
    """Return who a workshop's question selects, and how good the student is that it builds."""
    bits, bound = agreement.saliency.bits, agreement.saliency.query_bound
    query = quantise(workshop.question(agreement), bound, bits)
    unit = score_unit(agreement)
    scores = {name: int(one.saliency @ query) * unit for name, one in done.signals.items()}
    selection = agreement.selection
    members = choose(scores, select=selection.select, threshold=selection.threshold)
    total = int_array(np.sum([done.signals[name].features for name in members], axis=0))
    workshop.build(ReleasedSum(total, members), agreement)
    model, network = workshop.load()
    return {
        "members": list(members),
        "student": done.bench.exam.of_head(model),
        "student_network": done.bench.exam.of_network(network),
    }


def rows_of(
    images: LabelledImages, seed: int, labels: int, epsilons: list[float], draws: int, folder: Path
) -> list[dict[str, Any]]:
    """Return the rows of one seed and number of labels; one sum of the teachers serves all."""
    data = demo_split(images, seed=seed, labels=labels)
    release = NoisyRelease(seed, data, folder / "unprotected")
    done = release.round(TEACHERS_EPSILON)
    kinds = {teacher.id: teacher.kind for teacher in data.teachers}
    rows = []
    for epsilon in (None, *epsilons):
        for draw in range(1 if epsilon is None else draws):
            agreement, workshop = done.agreement, done.bench.workshop
            if epsilon is not None:
                agreement = promised(agreement, epsilon, len(data.class_names))
                place = folder / f"{epsilon:g}-{draw}"
                workshop = StudentWorkshop(
                    workshop.task,
                    workshop.encoder,
                    place / "built",
                    seed=seed,
                    labels=StudentLabels(place, agreement),
                )
            found = measure(done, workshop, agreement)
            members = found.pop("members")
            rows.append(
                {
                    "seed": seed,
                    "labels": labels,
                    "student_epsilon": epsilon,
                    "draw": draw,
                    "selected_all_relevant": sorted(members)
                    == sorted(name for name, kind in kinds.items() if kind == "relevant"),
                    **found,
                }
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


def means_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return mean, least and largest accuracy by labels and epsilon."""
    found = []
    for labels, epsilon in dict.fromkeys((row["labels"], row["student_epsilon"]) for row in rows):
        mine = [row for row in rows if (row["labels"], row["student_epsilon"]) == (labels, epsilon)]
        entry: dict[str, Any] = {"labels": labels, "student_epsilon": epsilon, "runs": len(mine)}
        for name in ("student", "student_network"):
            values = [row[name] for row in mine]
            entry[name] = {
                "mean": round(statistics.mean(values), 4),
                "least": min(values),
                "largest": max(values),
            }
        entry["selected_all_relevant"] = sum(row["selected_all_relevant"] for row in mine)
        found.append(entry)
    return found


def main() -> int:
    """Run all rows, print them and their means, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--labels", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1.0, 2.0, 4.0, 8.0])
    parser.add_argument("--draws", type=int, default=3, help="noises for each of them")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_fashion_mnist()
    rows: list[dict[str, Any]] = []
    with threadpool_limits(1), tempfile.TemporaryDirectory() as folder:
        for seed in options.seeds:
            for labels in options.labels:
                began = time.monotonic()
                place = Path(folder) / f"{seed}-{labels}"
                rows += rows_of(images, seed, labels, options.epsilons, options.draws, place)
                took = time.monotonic() - began
                print(f"seed {seed}, {labels} labels: {took:.0f} s", file=sys.stderr, flush=True)
                result = {
                    "teachers_epsilon": TEACHERS_EPSILON,
                    "means": means_of(rows),
                    "rows": rows,
                }
                if options.out is not None:
                    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(means_of(rows), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
