"""What a run gets whose agreement hides whole institutions, as ``agree new`` drafts it.

    python -m benchmarks.institution_runs --out benchmarks/results/institution_runs.json

Fashion-MNIST, relevant teachers only, all of them in the sum, a record's epsilon 1. Agreement,
encoder width, summary, clipping, noise, shares and the student's classifier are those of a run;
transport and encryption return what was put in and are left out, and so is the distilled network.
Every row is one draw of noise. ``institution_noise.py`` measures other forms of signal than a run
has.
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

from benchmarks.institution_noise import FULL, MAX_COLLUDING
from secure_fedsa.agreement import Agreement, Party
from secure_fedsa.cli.datasets import LabelledImages, load_fashion_mnist
from secure_fedsa.cli.drafting import Choices, draft, encoder_spec
from secure_fedsa.cli.splits import DemoData, TeacherData, demo_split
from secure_fedsa.engines.student import StudentTask, StudentWorkshop
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.amalgamation import amalgamate, without_teachers
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.privacy.shares import draw_share
from secure_fedsa.roles.noisy_release import derive_signal, noise_plan, read_private, share_plan
from secure_fedsa.signals import IntArray, ReleasedSum, int_array

SEEDS = (0, 1, 2)
EPSILONS: tuple[float | None, ...] = (None, 8.0, 4.0, 2.0, 1.0)
Row = dict[str, Any]


def agreed(
    teachers: list[TeacherData], choices: Choices, encoder: PublicEncoder, probes: str = "0" * 64
) -> Agreement:
    """Return the agreement that ``agree new`` drafts, of parties with made-up keys."""
    roles = {t.id: (TEACHER, tuple(map(str, t.task))) for t in teachers}
    roles |= {role: (role, ()) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    parties = {
        name: Party(role, f"{number:064x}", classes)
        for number, (name, (role, classes)) in enumerate(roles.items(), 1)
    }
    return draft(choices, parties, encoder, probes)


def opened(teachers: list[TeacherData], agreement: Agreement, encoder: PublicEncoder) -> IntArray:
    """Return the sum that a run opens: int64 (values,)."""
    noise = SystemNoise()
    total = np.zeros(agreement.feature_values, dtype=np.int64)
    for teacher in teachers:
        plan, share = noise_plan(agreement, teacher.id), None
        if agreement.institution_privacy is not None:
            share = draw_share(noise, share_plan(agreement))
        drawn = draw_noise(noise, plan.shape, plan.event.noise_scale)
        summary, _ = read_private(
            teacher.images,
            teacher.labels,
            encoder=encoder,
            agreement=agreement,
            teacher=teacher.id,
            noise=drawn,
        )
        total += derive_signal(summary, agreement, share).features
    return int_array(total)


def measured(
    data: DemoData, records: int, seed: int, epsilons: tuple[float | None, ...]
) -> list[Row]:
    """Return one row for each epsilon, and one without teachers."""
    teachers = [teacher for teacher in data.teachers if teacher.kind == "relevant"]
    common: Row = {"teachers": len(teachers), "records": records, "seed": seed}
    known: dict[int, tuple[PublicEncoder, StudentWorkshop]] = {}
    rows = []
    for epsilon in epsilons:
        whole = len(teachers) if epsilon is not None else min(3, len(teachers))
        choices = Choices(
            "measurement",
            records=records,
            select=len(teachers),
            minimum_cohort=whole,
            max_colluding=MAX_COLLUDING,
            institution_epsilon=epsilon,
        )
        spec = encoder_spec(choices, len(data.probes))
        if spec.dimension not in known:
            encoder = PublicEncoder.fit(data.probes, spec)
            task = StudentTask(data.class_names, data.images, data.labels, data.probes)
            known[spec.dimension] = encoder, StudentWorkshop(task, encoder, Path(), seed=seed)
        encoder, workshop = known[spec.dimension]
        agreement = agreed(teachers, choices, encoder)
        released = ReleasedSum(
            opened(teachers, agreement, encoder), tuple(teacher.id for teacher in teachers)
        )
        model = amalgamate(workshop.release(released, agreement), encoder, workshop.data)
        found = accuracy(model.predict(data.test_images), data.test_labels)
        rows.append({**common, "epsilon": epsilon, "width": spec.dimension, "accuracy": found})
    encoder, workshop = known[max(known)]
    alone = without_teachers(encoder, workshop.data).predict(data.test_images)
    none = {"epsilon": None, "width": max(known), "accuracy": accuracy(alone, data.test_labels)}
    return [*rows, {**common, "teachers": 0, "records": 0, **none}]


def accuracy(told: IntArray, labels: IntArray) -> float:
    """Return the share of right answers."""
    return float((told == labels).mean())


def split(images: LabelledImages, seed: int, teachers: int, records: int) -> DemoData:
    """Return the demo's split with so many relevant teachers."""
    return demo_split(
        images, seed=seed, labels=100, probes=5000, records=records, relevant=teachers
    )


def means(rows: list[Row]) -> list[Row]:
    """Return mean, least and most accuracy of each setting over seeds."""
    groups: dict[tuple[int, float | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["teachers"], row["epsilon"]), []).append(row)
    return [
        {"teachers": teachers, "epsilon": epsilon, "width": found[0]["width"], "rows": len(found)}
        | {"mean": statistics.mean(row["accuracy"] for row in found)}
        | {"least": min(row["accuracy"] for row in found)}
        | {"most": max(row["accuracy"] for row in found)}
        for (teachers, epsilon), found in sorted(
            groups.items(), key=lambda item: (item[0][0], -(item[0][1] or 1e9))
        )
    ]


def main() -> int:
    """Measure, say each row as it comes, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument(
        "--teachers", type=int, nargs="+", default=[6, 12, 25, 50, 100], choices=FULL.records
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, rows = load_fashion_mnist(), []
    for seed in options.seeds:
        for teachers in options.teachers:
            began, records = time.monotonic(), FULL.records[teachers]
            data = split(images, seed, teachers, records)
            rows += measured(data, records, seed, EPSILONS)
            told = f"seed {seed}, {teachers} teachers: {time.monotonic() - began:.0f} s"
            print(told, file=sys.stderr, flush=True)
            if options.out:
                result = {"record_epsilon": 1.0, "means": means(rows), "rows": rows}
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(result, indent=2) + "\n")
    for row in means(rows):
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
