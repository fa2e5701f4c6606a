"""What every baseline takes and returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.baselines.networks import Inputs
from secure_fedsa.cli.splits import DemoData

T = TypeVar("T")
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much training a baseline may do; the same for all of them.

    Attributes:
        name: Stands in result files.
        teacher_epochs: Passes of a teacher's network over its own records.
        student_epochs: Passes of the student's network over the probes.
        label_steps: Steps on the student's few labels.
        rounds: Rounds of FedSA.
        federated_rounds: Rounds of federated averaging; each is one pass at every teacher.
        consensus_rounds: Rounds in which FedMD's teachers learn from the consensus.
        central_epochs: Passes over everybody's records together.
        dp_epochs: Expected passes of DP-SGD over a teacher's records.
    """

    name: str
    teacher_epochs: int
    student_epochs: int
    label_steps: int
    rounds: int
    federated_rounds: int
    consensus_rounds: int
    central_epochs: int
    dp_epochs: int


FULL = Effort("full", 10, 20, 300, 12, 8, 1, 8, 5)
QUICK = Effort("quick", 3, 10, 100, 4, 2, 1, 3, 5)


class SharedWork:
    """Work that several methods need and one does: the cache of one data set, seed and effort.

    Whoever takes something that is already there is charged the seconds that it took to
    make, so that a method's seconds do not depend on which method came first.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[Any, float]] = {}
        self.saved_seconds = 0.0

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what ``make`` returned when this name was first asked for."""
        if name in self._made:
            value, seconds = self._made[name]
            self.saved_seconds += seconds
        else:
            began, saved = time.monotonic(), self.saved_seconds
            value = make()
            inner = self.saved_seconds - saved
            self._made[name] = (value, time.monotonic() - began + inner)
        result: T = value
        return result


@dataclass(frozen=True, slots=True)
class Job:
    """One baseline's task.

    Attributes:
        data: The student, its teachers and the test records.
        seed: Public seed of all training.
        effort: How much training.
        shared: What the methods of the same data, seed and effort share.
        progress: Called with one line before each step that takes time.
        epsilon: Privacy loss bound, for methods that take one.
        delta: Its delta.
    """

    data: DemoData
    seed: int
    effort: Effort
    shared: SharedWork = field(default_factory=SharedWork)
    progress: Callable[[str], None] = lambda _line: None
    epsilon: float | None = None
    delta: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a baseline came to.

    Attributes:
        accuracy: Share of the test records that the student gets right.
        payload_bytes: The most that any one teacher sends in the whole job, counted from the
            arrays that it sends; 0 where no teacher sends anything.
    """

    accuracy: float
    payload_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class Tensors:
    """A job's records as network inputs.

    Attributes:
        inputs: How records become inputs.
        classes: The student's classes.
        probes: The public probes.
        labelled: The student's labelled records.
        labels: int64, their labels.
        teachers: Each teacher's records and labels, in the order of ``data.teachers``.
    """

    inputs: Inputs
    classes: int
    probes: torch.Tensor
    labelled: torch.Tensor
    labels: torch.Tensor
    teachers: tuple[tuple[torch.Tensor, torch.Tensor], ...]


def tensors_of(job: Job) -> Tensors:
    """Return a job's records as network inputs, converted once."""
    return job.shared.once("tensors", lambda: _tensors(job.data))


def _tensors(data: DemoData) -> Tensors:
    inputs = Inputs.of(data.probes)
    return Tensors(
        inputs,
        len(data.class_names),
        inputs.tensor(data.probes),
        inputs.tensor(data.images),
        torch.from_numpy(data.labels),
        tuple((inputs.tensor(t.images), torch.from_numpy(t.labels)) for t in data.teachers),
    )


def test_accuracy(job: Job, predict: Callable[[torch.Tensor], torch.Tensor]) -> float:
    """Return the test accuracy of scores, (n, classes), for inputs. The only look at the test."""
    inputs = tensors_of(job).inputs
    values = job.shared.once("test records", lambda: inputs.tensor(job.data.test_images))
    guesses = torch.cat([predict(block).argmax(dim=1) for block in torch.split(values, 512)])
    return float(np.mean(guesses.numpy() == job.data.test_labels))
