"""Persons with outcomes: the flchain data, split among institutions and a student.

7,874 residents of Olmsted County, their free light chains, and whether and when they died
(Dispenzieri et al. 2012; as scikit-survival ships it). Every institution asks another question
of its own persons; the student has two that nobody asked: whether somebody died within the whole
follow-up, and for how many years they were followed. The last institution's answers follow from two
columns of the records themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.entropy import public_generator
from secure_fedsa.models.multi_task import TargetTask

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

PROBES, LABELLED, INSTITUTIONS, RECORDS = 1500, 100, 5, 900
_YEAR = 365.25


@dataclass(frozen=True, slots=True, repr=False)
class Institution:
    """An institution's persons, and the answers to its own question.

    Attributes:
        id: Its name.
        question: What it asks.
        records: float64 (n, 7).
        labels: int64 (n,), 0 to classes - 1.
        classes: Number of answers.
    """

    id: str
    question: str
    records: FloatArray
    labels: IntArray
    classes: int


@dataclass(frozen=True, slots=True, repr=False)
class Persons:
    """Everything of one split; no person is used twice.

    Attributes:
        probes: float64 (p, 7), public, without outcomes.
        institutions: The teachers.
        tasks: The student's two tasks, with the same labelled persons.
        tests: Records and true targets of each task.
    """

    probes: FloatArray
    institutions: tuple[Institution, ...]
    tasks: tuple[TargetTask, ...]
    tests: dict[str, tuple[FloatArray, npt.NDArray[Any]]]


def persons(seed: int) -> Persons:
    """Return the split of a seed."""
    from sksurv.datasets import load_flchain

    frame, outcome = load_flchain()
    died = np.asarray(outcome["death"], dtype=bool)
    years = np.asarray(outcome["futime"], dtype=np.float64) / _YEAR
    creatinine = frame["creatinine"].to_numpy(dtype=np.float64, na_value=np.nan)
    known = np.isfinite(creatinine)
    records = np.column_stack(
        [
            frame["age"].to_numpy(dtype=np.float64),
            (frame["sex"] == "F").to_numpy(dtype=np.float64),
            frame["sample.yr"].to_numpy(dtype=np.float64),
            np.log(frame["kappa"].to_numpy(dtype=np.float64) + 0.01),
            np.log(frame["lambda"].to_numpy(dtype=np.float64) + 0.01),
            np.where(known, np.log(np.where(known, creatinine, 1.0)), 0.0),
            known.astype(np.float64),
        ]
    )
    cause = np.zeros(len(died), dtype=np.int64)
    chapter = frame["chapter"].astype(str).to_numpy()
    cause[died] = 3
    cause[chapter == "Circulatory"] = 1
    cause[chapter == "Neoplasms"] = 2
    questions: list[tuple[str, IntArray, int]] = [
        ("died within 3 years", (died & (years < 3)).astype(np.int64), 2),
        ("died within 6 years", (died & (years < 6)).astype(np.int64), 2),
        ("died within 9 years", (died & (years < 9)).astype(np.int64), 2),
        ("cause: none, circulatory, neoplasm, other", cause, 4),
        ("free light chains above the median", above_median(frame), 2),
    ]
    order = public_generator(seed, "benchmark: persons").permutation(len(records))
    probes, order = order[:PROBES], order[PROBES:]
    institutions = []
    for number, (question, answers, classes) in enumerate(questions[:INSTITUTIONS], start=1):
        mine, order = order[:RECORDS], order[RECORDS:]
        institutions.append(
            Institution(f"teacher-{number}", question, records[mine], answers[mine], classes)
        )
    own, rest = order[:LABELLED], order[LABELLED:]
    tasks = (
        TargetTask("death", "classification", records[own], died[own].astype(np.int64), 2),
        TargetTask("years followed (R2)", "regression", records[own], years[own]),
    )
    tests = {
        tasks[0].name: (records[rest], died[rest].astype(np.int64)),
        tasks[1].name: (records[rest], years[rest]),
    }
    return Persons(records[probes], tuple(institutions), tasks, tests)


def above_median(frame: Any) -> IntArray:
    """Return whether the sum of both chains lies in the upper half of its ten groups."""
    return np.asarray(frame["flc.grp"].astype(int) > 5, dtype=np.int64)
