"""What private training gets that promises persons something, over how many records of each count.

    python -m benchmarks.trained_persons --out benchmarks/results/trained_persons.json

Fashion-MNIST, the six relevant teachers, all of them in the sum; every person has 16 records at
one teacher. ``mixed``: of any of the teacher's classes. ``alike``: all of one class, as far as the
numbers allow. Agreement, training (``model_to_ask``), signals and the student's classifier are
those of a run; transport and encryption return what was put in and are left out, and so is the
distilled network. Every row is one draw of noise.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.institution_runs import Row, accuracy, agreed, split
from secure_fedsa.agreement import PRIVATE_TRAINING
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.drafting import Choices, asked, encoder_spec, usual_form
from secure_fedsa.cli.splits import DemoData, TeacherData
from secure_fedsa.engines.student import StudentTask, StudentWorkshop
from secure_fedsa.entropy import SystemNoise, public_generator, secret_projection
from secure_fedsa.models.amalgamation import amalgamate
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.roles.model_teachers import AskedProbes, model_to_ask, signal_of_model
from secure_fedsa.signals import IntArray, ReleasedSum, int_array

RECORDS, EACH = 4496, 16
COUNTED = (1, 4, 16)


def persons_of(teacher: TeacherData, arrangement: str, seed: int) -> IntArray:
    """Return whose each record is, int64 (n,): persons with 16 records, the last with fewer."""
    order = public_generator(seed, f"persons of {teacher.id}").permutation(len(teacher.labels))
    if arrangement == "alike":
        order = order[np.argsort(teacher.labels[order], kind="stable")]
    persons = np.zeros(len(order), dtype=np.int64)
    persons[order] = np.arange(len(order)) // EACH
    return int_array(persons)


def measured(
    data: DemoData,
    known: tuple[PublicEncoder, StudentWorkshop],
    choices: Choices,
    persons: dict[str, IntArray],
) -> float:
    """Return the accuracy of the student of one run."""
    teachers = [teacher for teacher in data.teachers if teacher.kind == "relevant"]
    encoder, workshop = known
    agreement = agreed(teachers, choices, encoder)
    probes = AskedProbes.of(agreement, data.probes, encoder)
    total = np.zeros(agreement.feature_values, dtype=np.int64)
    for teacher in teachers:
        model, failure = model_to_ask(
            PrivateData(teacher.images, teacher.labels, persons.get(teacher.id)),
            agreement=agreement,
            teacher=teacher.id,
            encoder=encoder,
            noise=SystemNoise(),
            probes=data.probes,
        )
        assert not failure
        signal = signal_of_model(model, probes, agreement=agreement, project=secret_projection)
        total += signal.features
    released = ReleasedSum(int_array(total), tuple(teacher.id for teacher in teachers))
    student = amalgamate(workshop.release(released, agreement), encoder, workshop.data)
    return accuracy(student.predict(data.test_images), data.test_labels)


def rows_of(data: DemoData, seed: int, epsilons: tuple[float, ...]) -> list[Row]:
    """Return a row for each promise: to records, and to persons over how many of theirs count."""
    relevant = [teacher for teacher in data.teachers if teacher.kind == "relevant"]
    settings: list[tuple[str, int]] = [("records", 1)]
    settings += [(how, most) for how in ("mixed", "alike") for most in COUNTED]
    rows: list[Row] = []
    for epsilon in epsilons:
        known = None
        for how, most in settings:
            records = RECORDS if how == "records" else RECORDS // EACH * most
            choices = Choices(
                "measurement",
                epsilon=epsilon,
                route=PRIVATE_TRAINING,
                unit="record" if how == "records" else "person",
                max_records=most,
                records=records,
                select=len(relevant),
                answers=asked(len(data.probes), usual_form(PRIVATE_TRAINING)),
            )
            if known is None:
                encoder = PublicEncoder.fit(data.probes, encoder_spec(choices, len(data.probes)))
                task = StudentTask(data.class_names, data.images, data.labels, data.probes)
                known = encoder, StudentWorkshop(task, encoder, Path(), seed=seed)
            persons = {t.id: persons_of(t, how, seed) for t in relevant if how != "records"}
            found = measured(data, known, choices, persons)
            rows.append({"seed": seed, "epsilon": epsilon, "persons": how, "counted": most})
            rows[-1]["accuracy"] = found
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def means(rows: list[Row]) -> list[Row]:
    """Return the mean, least and most accuracy of each setting over seeds."""
    groups: dict[tuple[float, str, int], list[float]] = {}
    for row in rows:
        key = row["epsilon"], row["persons"], row["counted"]
        groups.setdefault(key, []).append(row["accuracy"])
    return [
        {"epsilon": epsilon, "persons": how, "counted": most, "rows": len(found)}
        | {"mean": statistics.mean(found), "least": min(found), "most": max(found)}
        for (epsilon, how, most), found in groups.items()
    ]


def main() -> int:
    """Measure, say each row as it comes, write them with --out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epsilons", type=float, nargs="+", default=[1.0, 4.0])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, rows = load_fashion_mnist(), []
    for seed in options.seeds:
        began = time.monotonic()
        data = split(images, seed, 6, RECORDS)
        rows += rows_of(data, seed, tuple(options.epsilons))
        print(f"seed {seed}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        if options.out:
            result = {"records": RECORDS, "each": EACH, "means": means(rows), "rows": rows}
            options.out.write_text(json.dumps(result, indent=2) + "\n")
    for row in means(rows):
        print(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
