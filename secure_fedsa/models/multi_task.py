"""One student for several target tasks, from the same released sum.

The released sum says along which public directions the teachers' classes differ, whatever the
classes are. So it serves every task of the student at once: each task has its own few labelled
records and its own head, and a compact network with one trunk is distilled from all of them.
Tasks that no teacher was trained on are the normal case, single-task the case of one.

A regression task has no classes to spread over the probes; its head is a ridge regression on
the directions beside the whole encoding, both strengths chosen by leave-one-out on the
student's own labels (Golub, Heath and Wahba 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.amalgamation import (
    AmalgamationSpec,
    StudentData,
    amalgamate,
    leading_directions,
)
from secure_fedsa.models.heads import LinearHead

if TYPE_CHECKING:
    from secure_fedsa.models.amalgamation import AmalgamatedModel, Release
    from secure_fedsa.models.encoder import PublicEncoder

FloatArray = npt.NDArray[np.float64]
Records = npt.NDArray[Any]

_DIRECTIONS = 16  # of a regression, which has no classes to count
_STRENGTHS = np.logspace(-3, 4, 15)
_SHARES = (0.0, 0.1, 0.3, 1.0)  # weight of the whole encoding beside the directions


@dataclass(frozen=True, slots=True, repr=False)
class TargetTask:
    """One task of the student, and what it has for it.

    Attributes:
        name: Names it; no two tasks of a student share one.
        kind: ``classification`` or ``regression``.
        records: Its labelled records, raw, shape (n, ...).
        targets: int64 (n,), 0 to classes - 1, every class present; or float64 (n,).
        classes: Number of classes; 1 for a regression.
    """

    name: str
    kind: Literal["classification", "regression"]
    records: Records
    targets: npt.NDArray[Any]
    classes: int = 1

    @property
    def outputs(self) -> int:
        """Number of outputs of a network for it."""
        return self.classes if self.kind == "classification" else 1


@dataclass(frozen=True, slots=True)
class RegressionModel:
    """A regression of raw records: public encoder, directions, one affine map.

    Attributes:
        encoder: The public encoder.
        centre: float64 (d,), the probes' mean encoding.
        line: Affine map (d, 1) of centred encodings to values.
    """

    encoder: PublicEncoder
    centre: FloatArray
    line: LinearHead

    def values_of(self, encoded: FloatArray) -> FloatArray:
        """Return float64 (n,) for encoded records (n, d), in clip norms."""
        return self.line.logits(encoded - self.centre)[:, 0]

    def predict(self, records: Records, *, threads: int = 1) -> FloatArray:
        """Return the values of raw records, float64 (n,)."""
        return self.values_of(self.encoder.encode_clipped(records, threads=threads)[0])


def amalgamate_tasks(
    release: Release,
    encoder: PublicEncoder,
    tasks: Sequence[TargetTask],
    probes: Records,
    *,
    spec: AmalgamationSpec | None = None,
) -> dict[str, AmalgamatedModel | RegressionModel]:
    """Build a model of each task from one released sum.

    Args:
        release: The released sum.
        encoder: The public encoder.
        tasks: At least one; names differ.
        probes: Raw probes, shape (m, ...).
        spec: Public choices.

    Raises:
        DataError: No task, two of one name, labels or shapes that do not fit.
    """
    if not tasks or len({task.name for task in tasks}) != len(tasks):
        raise DataError("A student has at least one task, each with a name of its own.")
    encoded = encoder.encode_clipped(probes)[0]
    models: dict[str, AmalgamatedModel | RegressionModel] = {}
    for task in tasks:
        if task.kind == "classification":
            data = StudentData(
                encoder.encode_clipped(task.records)[0],
                np.asarray(task.targets),
                encoded,
                task.classes,
            )
            models[task.name] = amalgamate(release, encoder, data, spec)
        else:
            models[task.name] = _regress(release, encoder, task, encoded, spec)
    return models


def _regress(
    release: Release,
    encoder: PublicEncoder,
    task: TargetTask,
    probes: FloatArray,
    spec: AmalgamationSpec | None,
) -> RegressionModel:
    targets = np.asarray(task.targets, dtype=np.float64)
    if targets.shape != (len(task.records),) or not np.isfinite(targets).all():
        raise DataError(
            f"The targets of task {task.name!r} are not one finite number a record.",
            do="Give float64 of shape (n,).",
        )
    spec = spec or AmalgamationSpec()
    centre = probes.mean(axis=0)
    wanted = min(encoder.dimension, _DIRECTIONS)
    leading = leading_directions(release, probes - centre, wanted, spec)
    spread = np.sqrt(np.mean((probes - centre) ** 2) * encoder.dimension)
    centred = encoder.encode_clipped(task.records)[0] - centre
    # The map into both views: a share decides how much the whole encoding may say.
    maps = [np.hstack([leading, share * np.eye(encoder.dimension) / spread]) for share in _SHARES]
    found = [_leave_one_out(centred @ view, targets) for view in maps]
    best = min(range(len(maps)), key=lambda index: found[index][0])
    _, weights, offset = found[best]
    return RegressionModel(
        encoder, centre, LinearHead((maps[best] @ weights)[:, None], np.array([offset]))
    )


def _leave_one_out(points: FloatArray, targets: FloatArray) -> tuple[float, FloatArray, float]:
    """Return (error, weights, offset) of the ridge regression that predicts left-out records best.

    Closed form by the singular values: the residual of a left-out record is its residual over
    one minus its leverage.
    """
    mean, offset = points.mean(axis=0), float(targets.mean())
    left, sizes, right = np.linalg.svd(points - mean, full_matrices=False)
    wanted = left.T @ (targets - offset)
    best: tuple[float, FloatArray] | None = None
    for strength in _STRENGTHS:
        kept = sizes**2 / (sizes**2 + strength)
        residual = targets - offset - left @ (kept * wanted)
        leverage = (left**2) @ kept + 1 / len(points)
        error = float(np.mean((residual / np.clip(1 - leverage, 1e-3, None)) ** 2))
        if best is None or error < best[0]:
            weights = right.T @ (np.divide(kept, sizes, where=sizes > 0, out=sizes * 0) * wanted)
            best = error, np.asarray(weights)
    assert best is not None
    error, weights = best
    return error, weights, offset - float(mean @ weights)


@dataclass(frozen=True, slots=True)
class DistillationSpec:
    """Public settings of a distillation.

    Attributes:
        epochs: Passes over probes and labelled records.
        batch: Records a step.
        rate: Peak learning rate of AdamW under a one-cycle schedule.
        decay: Weight decay.
        label_weight: How many probes one labelled record counts for.
    """

    epochs: int = 12
    batch: int = 128
    rate: float = 0.003
    decay: float = 0.02
    label_weight: float = 3.0


class MultiTaskStudent:
    """A network of any architecture with one trunk and an output for each task's classes.

    Args:
        module: Maps prepared records to (n, sum of the tasks' outputs), tasks in order.
        tasks: Names, kinds and numbers of outputs.
        prepare: Turns raw records into what the module takes.
    """

    def __init__(
        self,
        module: nn.Module,
        tasks: Sequence[TargetTask],
        prepare: Callable[[Records], torch.Tensor],
    ) -> None:
        self.module = module
        self.prepare = prepare
        self._places: dict[str, slice] = {}
        self._kinds = {task.name: task.kind for task in tasks}
        begin = 0
        for task in tasks:
            self._places[task.name] = slice(begin, begin + task.outputs)
            begin += task.outputs
        self.outputs = begin
        self.scales = {task.name: (0.0, 1.0) for task in tasks}

    def place(self, name: str) -> slice:
        """Return which outputs are a task's."""
        return self._places[name]

    def predict(self, name: str, records: Records) -> npt.NDArray[Any]:
        """Return a task's classes, int64 (n,), or values, float64 (n,), of raw records."""
        self.module.eval()
        with torch.inference_mode():
            batches = torch.split(self.prepare(records), 512)
            found = torch.cat([self.module(part)[:, self._places[name]] for part in batches])
        if self._kinds[name] == "classification":
            return np.asarray(found.argmax(dim=1).numpy(), dtype=np.int64)
        mean, spread = self.scales[name]
        return np.asarray(found[:, 0].double().numpy() * spread + mean)


def distil_tasks(
    module: nn.Module,
    models: Mapping[str, AmalgamatedModel | RegressionModel],
    tasks: Sequence[TargetTask],
    probes: Records,
    *,
    prepare: Callable[[Records], torch.Tensor],
    seed: int,
    spec: DistillationSpec | None = None,
) -> MultiTaskStudent:
    """Distil the models of all tasks into one network (Hinton, Vinyals and Dean 2015).

    The network learns every model's answers on the probes, and the true labels of the
    student's own records for the task that they belong to.

    Args:
        module: The network, with its starting weights; trained in place.
        models: A model of each task, from :func:`amalgamate_tasks`.
        tasks: The tasks, in the order of the network's outputs.
        probes: Raw probes, shape (m, ...).
        prepare: Turns raw records into what the module takes.
        seed: Public seed of the order of training.
        spec: Settings.

    Raises:
        DataError: A network with another number of outputs than the tasks need.
    """
    spec = spec or DistillationSpec()
    student = MultiTaskStudent(module, tasks, prepare)
    rows, goals, weights = _lessons(student, models, tasks, probes, spec)
    with torch.no_grad():
        width = module.eval()(rows[:2]).shape[1]
    if width != student.outputs:
        raise DataError(
            f"The network has {width} outputs, but the tasks need {student.outputs}.",
            do="Give its last layer one output a class, and one a regression.",
        )
    generator = training_generator(seed, "distillation of all tasks")
    per_epoch = max(1, len(rows) // spec.batch)
    optimiser = torch.optim.AdamW(module.parameters(), lr=spec.rate, weight_decay=spec.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=spec.rate, total_steps=spec.epochs * per_epoch, pct_start=0.25
    )
    module.train()
    for _ in range(spec.epochs):
        order = torch.randperm(len(rows), generator=generator)
        for part in torch.split(order[: per_epoch * spec.batch], spec.batch):
            loss = _loss(student, tasks, module(rows[part]), goals[part], weights[part])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    module.eval()
    return student


def _lessons(
    student: MultiTaskStudent,
    models: Mapping[str, AmalgamatedModel | RegressionModel],
    tasks: Sequence[TargetTask],
    probes: Records,
    spec: DistillationSpec,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return records, goals (n, outputs) and weights (n, tasks); weight 0 where nothing is said."""
    own = [task.records for task in tasks]
    rows = np.concatenate([probes, *own])
    goals = np.zeros((len(rows), student.outputs))
    weights = np.zeros((len(rows), len(tasks)))
    weights[: len(probes)] = 1.0
    begin = len(probes)
    for index, task in enumerate(tasks):
        place, mine = student.place(task.name), slice(begin, begin + len(task.records))
        begin += len(task.records)
        model = models[task.name]
        if isinstance(model, RegressionModel):
            said, true = model.predict(probes)[:, None], np.asarray(task.targets)[:, None]
            mean, spread = float(said.mean()), float(said.std()) or 1.0
            student.scales[task.name] = (mean, spread)
            said, true = (said - mean) / spread, (true - mean) / spread
        else:
            said = np.exp(model.log_probabilities(probes))
            true = np.eye(task.classes)[np.asarray(task.targets)]
        goals[: len(probes), place], goals[mine, place] = said, true
        weights[mine, index] = spec.label_weight
    return (
        student.prepare(rows),
        torch.from_numpy(goals.astype(np.float32)),
        torch.from_numpy(weights.astype(np.float32)),
    )


def _loss(
    student: MultiTaskStudent,
    tasks: Sequence[TargetTask],
    answers: torch.Tensor,
    goals: torch.Tensor,
    weights: torch.Tensor,
) -> torch.Tensor:
    total = answers.new_zeros(())
    for index, task in enumerate(tasks):
        place = student.place(task.name)
        if task.kind == "classification":
            each = functional.cross_entropy(answers[:, place], goals[:, place], reduction="none")
        else:
            each = (answers[:, place] - goals[:, place]).square().sum(dim=1)
        total = total + (each * weights[:, index]).mean()
    return total
