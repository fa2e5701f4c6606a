"""What DP-SGD can train: a module, its preparation and its targets, checked before any charge.

Every bound of DP-SGD rests on one thing: a record's gradient is its own. A module is refused if it
mixes the records of a batch, on the way forward or back; if it keeps anything beside its
parameters, which could hold what it learnt earlier or pass records by the noise; or if Opacus would
compute another gradient for a record than the record alone has. All of it is tried on copies, with
public or made-up records.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from secure_fedsa.entropy import training_generator
from secure_fedsa.errors import DataError, UsageError

if TYPE_CHECKING:
    from secure_fedsa.models.adapters import Head, TeacherAdapter

Targets = npt.NDArray[Any]

_STATEFUL = (
    nn.modules.batchnorm._BatchNorm,  # noqa: SLF001 - the one class that all of them have
    nn.SyncBatchNorm,
)
_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
)
FORWARD_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
)


def check_trainable(module: nn.Module) -> None:
    """Refuse a module by its layers and by what it keeps.

    Raises:
        UsageError: Naming each layer that Opacus cannot train, and what to use instead; or what
            else the module keeps than float32 parameters.
    """
    from opacus.validators import ModuleValidator

    for name, layer in module.named_modules():
        if isinstance(layer, _STATEFUL):
            raise UsageError(
                f"Layer {name!r} is a {type(layer).__name__}.",
                why="It mixes the records of a batch and keeps statistics of them, so no "
                "record's share of the model can be bounded.",
                do="Use torch.nn.GroupNorm or LayerNorm in its place "
                "(opacus.validators.ModuleValidator.fix does it for a whole module).",
            )
        _check_state(name, layer)
    for name, parameter in module.named_parameters():
        if isinstance(parameter, nn.UninitializedParameter):
            raise UsageError(f"Parameter {name} has no shape yet.", do="Use layers of given sizes.")
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise UsageError(
                f"Parameter {name} is {parameter.dtype} on {parameter.device.type}.",
                why="The noise is 32-bit: in finer weights the noiseless bits below it would show.",
                do="Use module.float().cpu().",
            )
    tried = copied(module).train()
    errors = ModuleValidator.validate(tried, strict=False)
    if errors:
        raise UsageError(
            "DP-SGD cannot train this module.",
            why="; ".join(str(error) for error in errors[:3]),
            do="Use layers that Opacus supports: linear, convolution, embedding, group and layer "
            "normalisation, or its own recurrent and attention layers (opacus.layers).",
        )
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise UsageError("This module has nothing to train: all its parameters are frozen.")


def _check_state(name: str, layer: nn.Module) -> None:
    """Refuse what a layer keeps beside its parameters."""
    held = [
        key for key, value in vars(layer).items() if isinstance(value, torch.Tensor | np.ndarray)
    ]
    held += [key for key, _ in layer.named_buffers(recurse=False)]
    held += [key for key in _HOOKS if getattr(layer, key)]
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag) and layer.max_norm is not None:
        held.append("max_norm, which rewrites the rows that occur")
    if held:
        raise UsageError(
            f"Layer {name!r} keeps {held[0]!r}.",
            why="It could hold what was learnt from private records without privacy, or pass "
            "records by the noise.",
            do="Keep parameters alone; make constants of public data in forward().",
        )


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy of a module.

    Raises:
        UsageError: If it cannot be copied.
    """
    try:
        return copy.deepcopy(module)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageError(
            "This module cannot be copied.",
            why=f"{type(error).__name__}.",
            do="Keep parameters and plain values only.",
        ) from error


def initialise(module: nn.Module, *, seed: int) -> None:
    """Give every parameter a new start from a public seed, so that no training is left in it.

    He et al. (2015) for weights, zero for offsets, one for the gains of normalisation layers.

    Raises:
        UsageError: Parameters whose start is not known: they could hold a model that was trained
            without privacy. What else a module keeps, :func:`check_trainable` refuses.
    """
    generator = training_generator(seed, "start of private training")
    for name, layer in module.named_modules():
        for which, parameter in layer.named_parameters(recurse=False):
            with torch.no_grad():
                if isinstance(layer, nn.GroupNorm | nn.LayerNorm):
                    parameter.fill_(1.0 if which == "weight" else 0.0)
                elif which == "weight" and parameter.dim() >= 2:
                    nn.init.kaiming_normal_(parameter, generator=generator)
                elif which == "bias":
                    parameter.zero_()
                else:
                    raise UsageError(
                        f"The start of parameter {name}.{which} is not known.",
                        do="Use linear, convolution, embedding and normalisation layers.",
                    )


def check_prepare(adapter: TeacherAdapter, probes: npt.NDArray[Any]) -> None:
    """Refuse a preparation, or a choice of features, that makes a record depend on others.

    What it keeps from private records nobody can see here: it may keep nothing.

    Args:
        adapter: How the module is asked.
        probes: Public, at least two.

    Raises:
        UsageError: If a probe is prepared or described differently when others are beside it.
    """
    few = probes[:3]
    readings = (
        ("prepare", lambda records: adapter.tensor(records).double().numpy()),
        ("features", adapter.features),
    )
    for name, reading in readings:
        whole, alone = reading(few), [reading(few[at : at + 1]) for at in range(len(few))]
        same = all(len(one) == 1 and one.shape[1:] == whole.shape[1:] for one in alone)
        if len(whole) != len(few) or not same or not _close(whole, np.concatenate(alone)):
            raise UsageError(
                f"`{name}` makes something else of a record when other records are beside it.",
                why="Then no record's share of the model can be bounded; standardising by the "
                "mean of the records given is the usual case.",
                do="Use constants that were computed from public data, and change no number of "
                "records.",
            )


def _close(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return bool(np.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=False))


def check_training(
    module: nn.Module, form: torch.Tensor, targets: Targets, *, head: Head, classes: int
) -> None:
    """Refuse a training that would mix records, or fail, whatever the records are.

    Args:
        module: Started; only copies of it are used.
        form: A tensor of prepared records, of which only shape and type count; may be empty.
        targets: Their values are not looked at.
        head: The loss.
        classes: Public number of classes.

    Raises:
        UsageError: If the module mixes records, Opacus would clip other gradients than the
            records' own, or the targets do not go with what the module returns.
        DataError: If the module cannot take such records.
    """
    _check_targets(targets, head)
    records = _made_up(form)
    last = np.full((len(records), *targets.shape[1:]), max(0, classes - 1), dtype=np.int64)
    goals, _ = goals_of(last, head, classes=classes)
    try:
        answers = _answers(module, records)
    except FORWARD_ERRORS as error:
        raise DataError(
            f"The module cannot take records of shape {tuple(records.shape[1:])}.",
            why=f"{type(error).__name__} in its forward pass.",
            do="Give PrivateModel records and a `prepare` that suit its module.",
        ) from error
    try:
        loss_of(head, answers, goals)
    except FORWARD_ERRORS as error:
        raise UsageError(
            f"Targets of shape {targets.shape[1:]} a record and {classes} classes do not go "
            f"with a module that returns {tuple(answers.shape[1:])} a record.",
            do="Classification takes one logit a class and one label a record; other heads "
            "take targets of the shape of what the module returns.",
        ) from error
    check_separate(module, records)
    for count in (2, 3):
        _check_gradients(module, records[:count], goals[:count], head)


def check_separate(module: nn.Module, records: torch.Tensor) -> None:
    """Refuse a module that answers a record differently in other company.

    Args:
        module: A copy of it is asked as it is trained.
        records: Public or made up, at least three, as the module takes them.

    Raises:
        UsageError: If an answer changes when the other records are left out.
    """
    whole = _answers(module, records)
    alone = torch.cat([_answers(module, record[None]) for record in records])
    if whole.shape != alone.shape or not torch.allclose(whole, alone, rtol=1e-3, atol=1e-4):
        raise UsageError(
            "This module answers a record differently when other records are beside it.",
            why="Then one record's share of the gradient cannot be bounded.",
            do="Remove dropout and whatever else mixes the records of a batch.",
        )


def _answers(module: nn.Module, records: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.as_tensor(copied(module).train()(records))


def _check_gradients(
    module: nn.Module, records: torch.Tensor, goals: torch.Tensor, head: Head
) -> None:
    """Refuse a module of whose records Opacus has other gradients than each has alone."""
    try:
        found = _opacus_gradients(module, records, goals, head)
    except FORWARD_ERRORS as error:
        raise _other_gradients(f"{type(error).__name__} while they were computed.") from error
    for at in range(len(records)):
        alone = copied(module).train()
        loss_of(head, alone(records[at : at + 1]), goals[at : at + 1]).backward()  # type: ignore[no-untyped-call]
        own = {name: p.grad for name, p in alone.named_parameters() if p.requires_grad}
        for name, gradient in own.items():
            theirs = found.get(name)
            if gradient is None or theirs is None or len(theirs) != len(records):
                raise _other_gradients(f"Parameter {name} has none for each record.")
            if not torch.allclose(theirs[at], gradient, rtol=1e-3, atol=1e-4):
                raise _other_gradients(f"That of parameter {name} is another.")


def _opacus_gradients(
    module: nn.Module, records: torch.Tensor, goals: torch.Tensor, head: Head
) -> dict[str, torch.Tensor]:
    from opacus import GradSampleModule

    inner = copied(module).train()
    watched = GradSampleModule(inner, loss_reduction="sum")
    per_record_gradients(watched, records, goals, head)
    found = ((n, getattr(p, "grad_sample", None)) for n, p in inner.named_parameters())
    return {name: value for name, value in found if isinstance(value, torch.Tensor)}


def _other_gradients(why: str) -> UsageError:
    return UsageError(
        "DP-SGD would clip other gradients than the records' own.",
        why=why,
        do="Let every layer take records along its first axis, use every parameter once a record, "
        "inside its own layer, and leave out custom gradients.",
    )


def per_record_gradients(
    watched: nn.Module, records: torch.Tensor, goals: torch.Tensor, head: Head
) -> None:
    """Leave in ``grad_sample`` of each parameter of an Opacus module each record's gradient."""
    with warnings.catch_warnings():
        # The first layer's hook fires for its weights alone, as records need no gradient.
        warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
        loss_of(head, watched(records), goals).backward()  # type: ignore[no-untyped-call]


def loss_of(head: Head, answers: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the loss of each record, summed: cross entropy, or half squared error."""
    if head == "classification":
        return functional.cross_entropy(answers, targets, reduction="sum")
    if head == "multi-label":
        return functional.binary_cross_entropy_with_logits(answers, targets, reduction="sum")
    return 0.5 * ((answers - targets.reshape(answers.shape)) ** 2).sum()


def goals_of(targets: Targets, head: Head, *, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the targets as tensors, and which of them can be used."""
    if head == "classification":
        goals = torch.as_tensor(np.asarray(targets, dtype=np.int64))
        usable = (goals >= 0) & (goals < classes)
        return goals.clamp(0, max(0, classes - 1)), usable
    values = torch.as_tensor(np.asarray(targets, dtype=np.float32))
    rows = values[:, None] if values.dim() == 1 else values.flatten(1)
    usable = rows.isfinite().all(dim=1)
    return torch.nan_to_num(values), usable


def usable_records(
    records: torch.Tensor,
    targets: Targets,
    usable: npt.NDArray[np.bool_] | None,
    *,
    head: Head,
    classes: int,
) -> torch.Tensor:
    """Return which records a training takes, each judged by itself: bool (n,).

    Args:
        records: As the module takes them, shape (n, ...).
        targets: One for each.
        usable: bool (n,), False for records that are left out for another reason.
        head: The loss.
        classes: Number of classes, for ``classification``.
    """
    _, sound = goals_of(targets, head, classes=classes)
    if usable is not None:
        sound &= torch.from_numpy(usable)
    return sound & records.flatten(1).isfinite().all(dim=1)


def _check_targets(targets: Targets, head: Head) -> None:
    kinds = "iu" if head == "classification" else "biuf"
    if targets.dtype.kind not in kinds:
        raise UsageError(
            f"Targets of {targets.dtype} are not what {head} learns from.",
            do="Give whole numbers of the teacher's own classes, or name another head."
            if head == "classification"
            else "Give numbers.",
        )


def _made_up(form: torch.Tensor) -> torch.Tensor:
    """Return three records of the same form that are nobody's."""
    generator = training_generator(0, "made-up records")
    shape = (3, *form.shape[1:])
    if form.is_floating_point():
        return torch.rand(shape, generator=generator, dtype=form.dtype)
    return torch.randint(0, 2, shape, generator=generator, dtype=form.dtype)
