"""An agreement drafted from a few choices and from what is public: defaults, and what follows.

The demo and ``agree new`` draft the same agreements.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from secure_fedsa.agreement import (
    ENCRYPTION_ONLY,
    NOISY_RELEASE,
    PRIVATE_TRAINING,
    Agreement,
    Answers,
    Encoder,
    Encryption,
    Features,
    InstitutionPrivacy,
    Limits,
    Party,
    Privacy,
    Promise,
    Protection,
    Publish,
    Retention,
    Route,
    Saliency,
    Selection,
    StudentPrivacy,
    Training,
)
from secure_fedsa.agreement_tables import triangle
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder, useful_dimension
from secure_fedsa.models.model_signals import ModelSignalSpec
from secure_fedsa.models.saliency import SaliencyScale
from secure_fedsa.privacy.mechanisms import calibrate, count_unit, l2_sensitivity
from secure_fedsa.privacy.shared_noise import plan_shared_noise
from secure_fedsa.privacy.training_accountant import noise_multiplier_for

DELTA = 1e-5
THRESHOLD = 0.15
SELECT = 6
RECORDS = 4500
MODEL_THRESHOLD = 0.5
"""Of models trained without noise, whose alignment is larger (docs/decisions/0014)."""
RUNS_IN_BUDGET = 10
LEAST_DATA_SET_BUDGET = 20.0
LOG_DAYS, UNFINISHED_DAYS = 90, 30
ROOM = 4.0  # a scatter entry may be that of so many times the agreed records
CHECKABLE = Publish("none", ciphertexts=True, sums=True, feature_key=True)
MOST_ASKED = {"sketch": 2000, "gram": 1000, "scatter": 5000}
"""Probes that models are asked about, by the form of their answers: what it costs bounds it."""
SKETCH_WIDTH = 128
_FEATURE_BOUND = 2**26
_GRID = 2**16
_NARROW, _WIDE, _WIDE_FROM_EPSILON = 256, 512, 2.0
_SAMPLING_RATE, _STEPS, _LEARNING_RATE = 0.3, 60, 4.0
_COUNT_WEIGHT = 0.25
_NORM_BOUND = 2**16
_SHARED_WIDTH = 64
"""Dimensions of a sum under noise for institutions; wider ones lose (docs/decisions/0019)."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What people choose; all else follows from public data or is a default.

    Attributes:
        title: What the agreement is about.
        epsilon: Privacy loss bound of a run at a teacher.
        delta: Probability that it fails.
        neighbours: What the bound compares.
        max_records: Records of one person that count; above 1 the unit is a person, and about
            ``records`` over so many persons are expected in a training.
        unit: record or person; None for a person if max_records is above 1.
        agreement_budget: Epsilon of all runs under the agreement; None for ten runs'.
        data_set_budget: Epsilon of all runs on a data set; None for as much, but at least 20.
        records: Order of magnitude of a teacher's records.
        select: Most teachers in the sum.
        threshold: Smallest score that may be selected; None for the usual one of the route.
        minimum_cohort: Fewest teachers in a sum.
        max_colluding: Teachers that may collude.
        custody: Who holds the feature key.
        encryption: False for the arm without encryption and masks.
        publish: What the run folder shows.
        log_days: Days that lines of local logs are kept; None as ``unfinished_days`` has it.
        unfinished_days: Days after which a run that was cut off is given up; with neither, no
            limits are agreed.
        route: What makes the teachers' signals private.
        answers: What models are asked; None for the route noisy-release.
        student_epsilon: Privacy loss bound of the student's labelled records; None for no promise.
        student_budget: Epsilon of all uses of those records; None for ten summaries'.
        student_classes: Classes of the student's task; used with ``student_epsilon`` only.
        institution_epsilon: Privacy loss bound of a whole teacher in the sum; None for no promise.
        institution_neighbours: What that bound compares.
    """

    title: str
    epsilon: float = 1.0
    delta: float = DELTA
    neighbours: Literal["add-remove", "replace-one"] = "add-remove"
    max_records: int = 1
    unit: Literal["record", "person"] | None = None
    agreement_budget: float | None = None
    data_set_budget: float | None = None
    records: int = RECORDS
    select: int = SELECT
    threshold: float | None = None
    minimum_cohort: int = 3
    max_colluding: int = 1
    custody: Literal["key-holder", "aggregator"] = "key-holder"
    encryption: bool = True
    publish: Publish = CHECKABLE
    log_days: int | None = None
    unfinished_days: int | None = None
    route: Route = NOISY_RELEASE
    answers: Answers | None = None
    student_epsilon: float | None = None
    student_budget: float | None = None
    student_classes: int = 0
    institution_epsilon: float | None = None
    institution_neighbours: Literal["member-to-zero", "member-to-any"] = "member-to-zero"


def encoder_spec(choices: Choices, probes: int) -> EncoderSpec:
    """Return how to fit the public encoder: as wide as the agreed noise leaves useful.

    Only epsilon, delta, the neighbour relation and the order of magnitude of the records go
    in: what the agreement makes public anyway.

    Args:
        choices: What people chose.
        probes: Number of public probes.
    """
    if choices.route == NOISY_RELEASE:
        sensitivity = l2_sensitivity(
            _GRID, count_unit(_GRID, _COUNT_WEIGHT), choices.neighbours, choices.max_records
        )
        noise = calibrate(choices.epsilon, choices.delta) * sensitivity / _GRID
        width = useful_dimension(choices.records, noise, probes)
        if choices.institution_epsilon is not None:
            width = min(width, _SHARED_WIDTH)
        return EncoderSpec(dimension=width)
    noisy = choices.route == PRIVATE_TRAINING and choices.epsilon < _WIDE_FROM_EPSILON
    width = _NARROW if noisy else _WIDE
    return EncoderSpec(dimension=min(width, useful_dimension(1, 0.0, probes)))


def usual_form(route: Route) -> Literal["sketch", "scatter"]:
    """Return the form in which models answer unless people choose another.

    A scatter is the smallest and as good (docs/decisions/0014). But it is the same in every run,
    which a route without differential privacy had better not have.
    """
    return "sketch" if route == ENCRYPTION_ONLY else "scatter"


def asked(
    probes: int,
    form: Literal["sketch", "gram", "scatter"],
    *,
    most: int | None = None,
    width: int = SKETCH_WIDTH,
    saliency: Literal["alignment", "grad-cam", "input-x-gradient"] = "alignment",
) -> Answers:
    """Return what models are asked where there are so many probes; only a sketch has a width."""
    count = min(most or MOST_ASKED[form], probes)
    return Answers(form, count, width if form == "sketch" else 0, saliency)


def draft(
    choices: Choices, parties: Mapping[str, Party], encoder: PublicEncoder, probes_sha256: str
) -> Agreement:
    """Return an agreement, not yet signed and not yet checked.

    Args:
        choices: What people chose.
        parties: By name.
        encoder: The public encoder; clip norm, dimension and saliency scale are its own.
        probes_sha256: Hash of the probes that it was fitted to.
    """
    scale, bfv = SaliencyScale.of(encoder), BfvParameters()
    private, answers = choices.route != ENCRYPTION_ONLY, choices.answers
    return Agreement(
        version=1,
        title=choices.title,
        route=choices.route,
        simulation=False,
        custody=choices.custody,
        parties=dict(parties),
        encoder=Encoder(encoder.sha256(), encoder.dimension, probes_sha256),
        privacy=_privacy(choices, encoder) if private else None,
        training=_training(choices) if choices.route == PRIVATE_TRAINING else None,
        answers=answers,
        student_privacy=_student(choices, encoder),
        institution_privacy=_institution(choices, encoder),
        protection=Protection(dp=private, he=choices.encryption, masks=choices.encryption),
        saliency=Saliency(
            directions=scale.directions,
            unit=scale.variance,
            teacher_bound=scale.signal_bound,
            query_bound=scale.query_bound,
            bits=16,
        ),
        features=Features(_FEATURE_BOUND, _FEATURE_BOUND / _largest(choices, answers, encoder)),
        encryption=Encryption(
            "bfv",
            bfv.poly_modulus_degree,
            bfv.coeff_mod_bit_sizes,
            bfv.plain_modulus,
            3072,
        ),
        selection=Selection(
            select=choices.select,
            threshold=_threshold(choices),
            minimum_cohort=choices.minimum_cohort,
            max_colluding=choices.max_colluding,
        ),
        publish=choices.publish,
        limits=Limits(reply_seconds=30, silence_seconds=60, max_burned=2),
        retention=_retention(choices),
    )


def _retention(choices: Choices) -> Retention | None:
    """Return how long parties keep what runs leave, if either limit is asked for."""
    log, unfinished = choices.log_days, choices.unfinished_days
    if log is None and unfinished is None:
        return None
    return Retention(
        local_log_days=LOG_DAYS if log is None else log,
        unfinished_days=UNFINISHED_DAYS if unfinished is None else unfinished,
    )


def _privacy(choices: Choices, encoder: PublicEncoder) -> Promise:
    budget = choices.agreement_budget or RUNS_IN_BUDGET * choices.epsilon
    promise = Promise(
        unit=choices.unit or ("record" if choices.max_records == 1 else "person"),
        neighbours=choices.neighbours,
        max_records=choices.max_records,
        epsilon=choices.epsilon,
        delta=choices.delta,
        agreement_budget=budget,
        data_set_budget=choices.data_set_budget or max(budget, LEAST_DATA_SET_BUDGET),
    )
    if choices.route == PRIVATE_TRAINING:
        return promise
    return Privacy(
        **asdict(promise),
        clip_norm=encoder.clip_norm,
        grid=_GRID,
        count_weight=_COUNT_WEIGHT,
        count_floor=20.0,
        noise_multiplier=calibrate(choices.epsilon, choices.delta),
    )


def _student(choices: Choices, encoder: PublicEncoder) -> StudentPrivacy | None:
    """Return the promise about the student's records: one summary for all runs."""
    epsilon = choices.student_epsilon
    if epsilon is None:
        return None
    return StudentPrivacy(
        epsilon=epsilon,
        noise_multiplier=calibrate(epsilon, choices.delta),
        budget=choices.student_budget or RUNS_IN_BUDGET * epsilon,
        classes=choices.student_classes,
        directions=max(1, min(choices.student_classes - 1, encoder.dimension)),
    )


def _institution(choices: Choices, encoder: PublicEncoder) -> InstitutionPrivacy | None:
    """Return the promise about whole teachers: shares for the smallest sum that may be opened."""
    epsilon, smallest = choices.institution_epsilon, choices.minimum_cohort
    if epsilon is None:
        return None
    event = plan_shared_noise(
        epsilon,
        choices.delta,
        norm_bound=_NORM_BOUND,
        coordinates=triangle(encoder.dimension),
        members=max(smallest, choices.max_colluding + 2),
        max_colluding=choices.max_colluding,
        neighbours=choices.institution_neighbours,
    )
    return InstitutionPrivacy(
        epsilon, event.neighbours, event.norm_bound, event.share_scale, choices.records
    )


def _training(choices: Choices) -> Training:
    """Return a training that suits linear classifiers of the encoding, and small networks."""
    return Training(
        sampling_rate=_SAMPLING_RATE,
        steps=_STEPS,
        noise_multiplier=noise_multiplier_for(
            choices.epsilon, choices.delta, sampling_rate=_SAMPLING_RATE, steps=_STEPS
        ),
        clip_norm=1.0,
        denominator=_SAMPLING_RATE * choices.records / choices.max_records,
        learning_rate=_LEARNING_RATE,
        momentum=0.9,
        averaged=0.5,
        optimiser="sgd",
        seed=0,
    )


def _largest(choices: Choices, answers: Answers | None, encoder: PublicEncoder) -> float:
    """Return the largest value of a signal that is not cut."""
    if answers is None:
        # A scatter entry is at most the number of records, in squared clip norms.
        return ROOM * choices.records
    return ModelSignalSpec(answers.form, answers.probes, encoder.dimension, answers.width).largest


def _threshold(choices: Choices) -> float:
    if choices.threshold is not None:
        return choices.threshold
    if choices.institution_epsilon is not None:
        return 0.0  # of all, whose scores are zero
    if choices.route == ENCRYPTION_ONLY:
        aligned = choices.answers is None or choices.answers.saliency == "alignment"
        return MODEL_THRESHOLD if aligned else 0.0
    return THRESHOLD
