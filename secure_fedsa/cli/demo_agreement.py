"""The agreement of the demo: what its flags say, and all scores shown."""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.agreement import NOISY_RELEASE, Agreement, Party, Publish, Route
from secure_fedsa.cli.drafting import Choices, asked, draft, encoder_spec, usual_form
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.errors import UsageError, counted
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo's flags say.

    Attributes:
        seed: Of the split and of model training; noise and keys never depend on it.
        epsilon: Privacy loss bound a run, at delta 1e-5.
        labels: The student's labelled examples.
        select: Most teachers to select.
        records: Private records a teacher.
        encryption: False for the arm without encryption and masks.
        data: Folder of the user's own data, or empty for Fashion-MNIST.
        route: What makes the teachers' signals private.
        student_epsilon: Privacy loss bound of the student's labelled records; None for none.
    """

    seed: int = 0
    epsilon: float = 1.0
    labels: int = 100
    select: int = 6
    records: int = 4500
    encryption: bool = True
    data: str = ""
    route: Route = NOISY_RELEASE
    student_epsilon: float | None = None


def demo_agreement(
    options: DemoOptions, data: DemoData, encoder: PublicEncoder, keys: dict[str, str]
) -> Agreement:
    """Return the demo's agreement, not yet signed.

    Args:
        options: The demo's flags.
        data: Only its public parts are read.
        encoder: The public encoder.
        keys: Ed25519 public keys by party, hexadecimal.

    Raises:
        AgreementError: If it contradicts itself, for instance when fewer teachers are to
            be selected than a sum needs.
        UsageError: If there are too few teachers.
    """
    choices = _choices(options, data)
    teachers = {teacher.id: teacher.task for teacher in data.teachers}
    smallest = max(choices.minimum_cohort, choices.max_colluding + 2)
    if len(teachers) < smallest:
        raise UsageError(
            f"The data have {counted(len(teachers), 'teacher')}; a sum needs {smallest}.",
            do="Add data of more teachers.",
        )
    parties = {name: Party(TEACHER, keys[name], task) for name, task in teachers.items()}
    parties |= {role: Party(role, keys[role]) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    agreement = draft(choices, parties, encoder, probes_hash(data.probes))
    agreement.check()
    return agreement


def demo_encoder_spec(options: DemoOptions, data: DemoData) -> EncoderSpec:
    """Return how to fit the demo's public encoder."""
    return encoder_spec(_choices(options, data), len(data.probes))


def _choices(options: DemoOptions, data: DemoData) -> Choices:
    return Choices(
        title="Demo: " + data.source,
        epsilon=options.epsilon,
        records=options.records,
        select=min(options.select, len(data.teachers)),
        encryption=options.encryption,
        publish=Publish("values", ciphertexts=True, sums=True, feature_key=options.encryption),
        route=options.route,
        answers=None
        if options.route == NOISY_RELEASE
        else asked(len(data.probes), usual_form(options.route)),
        student_epsilon=options.student_epsilon,
        student_classes=len(data.class_names),
    )
