"""Every parameter that could be made to depend on private data, found by looking at the code.

Names are ``agreement:TABLE.ENTRY``, ``option:COMMAND OPTION``, ``parameter:FUNCTION NAME``,
``field:CLASS.NAME``, ``constant:MODULE.NAME``; docs/data-dependent-choices.toml gives each of them
its class.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import secure_fedsa
from secure_fedsa import agreement, agreement_tables, entropy, signals
from secure_fedsa.cli.main import build_parser
from secure_fedsa.engines import data_register, own_files, preflight, retention
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.site import LocalSite
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.models import (
    adapters,
    amalgamation,
    attribution,
    dp_sgd,
    encoder,
    filters,
    heads,
    model_signals,
    multi_task,
    private_labels,
    probe_signals,
    records,
    refinement,
    saliency,
    scatter,
    teachers,
    trainable,
    training,
)
from secure_fedsa.privacy import (
    clipping,
    contributions,
    mechanisms,
    parameters,
    shared_noise,
    shares,
)
from secure_fedsa.roles import charges, model_teachers, noisy_release, private_student, scores
from secure_fedsa.wire import canonical

ROOT = Path(secure_fedsa.__file__).parents[1]

TABLES: dict[type[Any], str] = {
    agreement.Agreement: "",
    agreement_tables.Party: "parties.",
    agreement_tables.Stated: "parties.stated.",
    agreement_tables.Encoder: "encoder.",
    agreement_tables.Promise: "privacy.",
    agreement_tables.Privacy: "privacy.",
    agreement_tables.InstitutionPrivacy: "institution_privacy.",
    agreement_tables.Training: "training.",
    agreement_tables.Answers: "answers.",
    agreement_tables.Protection: "protection.",
    agreement_tables.Saliency: "saliency.",
    agreement_tables.Features: "features.",
    agreement_tables.Encryption: "encryption.",
    agreement_tables.Selection: "selection.",
    agreement_tables.Publish: "publish.",
    agreement_tables.Limits: "limits.",
    agreement_tables.StudentPrivacy: "student_privacy.",
    agreement_tables.Retention: "retention.",
}
"""Where each type's entries stand in an agreement."""

COMMANDS = ("demo", "agree new", "run")
"""Commands whose options reach what is done to private records."""

FUNCTIONS: tuple[Callable[..., Any], ...] = (
    noisy_release.read_private,
    noisy_release.release_encoded,
    contributions.first_records,
    contributions.check_persons,
    noisy_release.noise_plan,
    noisy_release.plan_of_shape,
    noisy_release.derive_signal,
    clipping.to_grid,
    clipping.summarise,
    clipping.check_grid,
    clipping.usable_labels,
    parameters.positive,
    parameters.positive_integer,
    mechanisms.count_unit,
    mechanisms.l2_sensitivity,
    mechanisms.differing_coordinates,
    mechanisms.plan_release,
    mechanisms.draw_noise,
    mechanisms.add_noise,
    shares.clip_to_norm,
    shares.draw_share,
    shares.add_share,
    scatter.between_scatter,
    scatter.upper_triangle,
    saliency.teacher_saliency,
    saliency.quantise,
    scores.saliency_scale,
    signals.int_array,
    agreement_tables.triangle,
    records.RecordSchema.check,
    model_teachers.model_to_ask,
    model_teachers.dp_sgd_spec,
    model_teachers.head_on_encoding,
    model_teachers.prepared,
    model_teachers.adapter_of,
    model_teachers.answer_form,
    model_teachers.AskedProbes.of,
    model_teachers.signal_of_model,
    dp_sgd.train_privately,
    trainable.initialise,
    trainable.copied,
    trainable.check_trainable,
    trainable.check_training,
    trainable.check_separate,
    trainable.check_prepare,
    trainable.goals_of,
    trainable.loss_of,
    trainable.per_record_gradients,
    trainable.usable_records,
    adapters.TeacherAdapter.features,
    adapters.TeacherAdapter.outputs,
    adapters.TeacherAdapter.tensor,
    adapters.last_layer,
    model_signals.answers_of,
    model_signals.model_features,
    model_signals.alignment_saliency,
    attribution.attribution_saliency,
    probe_signals.gram_triangle,
    probe_signals.joined,
    probe_signals.normalised,
    probe_signals.probe_scatter,
    probe_signals.sketch,
    encoder.PublicEncoder.fit,
    encoder.PublicEncoder.encode,
    encoder.PublicEncoder.encode_clipped,
    entropy.SystemNoise.torch_generator,
    entropy.secret_projection,
    entropy.training_generator,
    entropy.SystemNoise.discrete_gaussian,
    entropy.PacedNoise.discrete_gaussian,
    preflight.check_brought,
    preflight.check_records,
    data_register.DataRegister.sketch,
    charges.is_stated,
    entropy.secret_bytes,
    LocalRun.__init__,
    LocalSite.__init__,
    LocalSite.read_private,
    LocalSite.ask_model,
    own_files.local_log_lock,
    own_files.tell_operator,
    retention.stamp,
    canonical.encode,
    StudentLabels.__init__,
    StudentLabels.summary,
    private_student.label_plan,
    private_student.read_labels,
    private_labels.project,
    private_labels.name_probes,
    saliency.public_query,
)
"""What private records, their sums and their gradients pass through, up to what is sent.

A test watches runs of every route and finds what is missing here.
"""

SPECS: tuple[type[Any], ...] = (
    dp_sgd.DpSgdSpec,
    teachers.PrivateData,
    teachers.PrivateModel,
    teachers.TrainedModel,
    encoder.EncoderSpec,
    filters.BankSpec,
    amalgamation.AmalgamationSpec,
    amalgamation.StudentData,
    heads.MixtureSpec,
    refinement.RefinementSpec,
    multi_task.DistillationSpec,
    training.TrainingSpec,
)

MODULES: tuple[ModuleType, ...] = (
    noisy_release,
    clipping,
    contributions,
    mechanisms,
    shared_noise,
    shares,
    scatter,
    saliency,
    model_teachers,
    dp_sgd,
    trainable,
    entropy,
    private_student,
    private_labels,
)


def agreement_entries() -> Iterator[str]:
    """Yield every entry of every table; one that is a table itself is not an entry."""
    for table, prefix in TABLES.items():
        for entry in dataclasses.fields(table):
            if not any(place == f"{prefix}{entry.name}." for place in TABLES.values()):
                yield f"agreement:{prefix}{entry.name}"


def options() -> Iterator[str]:
    """Yield every option of the commands that reach private records."""
    for command in COMMANDS:
        parser: argparse.ArgumentParser = build_parser()
        for word in command.split():
            parser = next(
                action.choices[word]
                for action in parser._actions
                if isinstance(action, argparse._SubParsersAction)
            )
        for action in parser._actions:
            if not isinstance(action, argparse._HelpAction):
                name = action.option_strings[-1] if action.option_strings else action.dest
                yield f"option:{command} {name}"


def called(function: Callable[..., Any]) -> str:
    """Return a function's name in the list; that of a class for its constructor."""
    return function.__qualname__.removesuffix(".__init__")


def parameters_of_functions() -> Iterator[str]:
    """Yield every parameter of the functions."""
    for function in FUNCTIONS:
        name = called(function)
        for parameter in inspect.signature(function).parameters:
            if parameter not in ("self", "cls"):
                yield f"parameter:{name} {parameter}"


def fields() -> Iterator[str]:
    """Yield every field of the specifications."""
    for spec in SPECS:
        for entry in dataclasses.fields(spec):
            yield f"field:{spec.__name__}.{entry.name}"


def constants() -> Iterator[str]:
    """Yield every constant of the modules."""
    for module in MODULES:
        assert module.__file__ is not None
        for statement in ast.parse(Path(module.__file__).read_text()).body:
            targets: list[ast.expr] = []
            if isinstance(statement, ast.Assign):
                targets = statement.targets
            elif isinstance(statement, ast.AnnAssign):
                targets = [statement.target]
            for target in (t for one in targets for t in ast.walk(one)):
                if isinstance(target, ast.Name) and re.fullmatch(r"_?[A-Z][A-Z0-9_]+", target.id):
                    yield f"constant:{module.__name__.removeprefix('secure_fedsa.')}.{target.id}"


def every_parameter() -> list[str]:
    """Return all names, each once, in order."""
    found = [*agreement_entries(), *options(), *parameters_of_functions(), *fields(), *constants()]
    return list(dict.fromkeys(found))
