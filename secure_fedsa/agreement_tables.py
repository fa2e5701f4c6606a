"""The tables of an agreement, as types; :mod:`secure_fedsa.agreement` puts them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from secure_fedsa.messages import Role

NOISY_RELEASE: Final = "noisy-release"
PRIVATE_TRAINING: Final = "private-training"
ENCRYPTION_ONLY: Final = "encryption-only"
NOISE_MULTIPLIERS = (0.05, 1e5)
"""Range of a training's noise multiplier, over its clip norm."""
MOST_STEPS = 10**6
MOST_TRAININGS = 16
"""Different trainings of one agreement: each takes its readers about a second to account."""
VALUES_OF_A_MAP = 16
"""Values of one attribution map: a grid of 4 x 4."""

Route = Literal["noisy-release", "private-training", "encryption-only"]


@dataclass(frozen=True, slots=True)
class Stated:
    """A training by DP-SGD that a teacher says it did before: its word, which nobody witnessed.

    Attributes:
        sampling_rate: Probability with which a step took a record (q).
        steps: Number of steps (T), of tuning on the same records too.
        noise_multiplier: Standard deviation of a step's noise over its clip norm.
    """

    sampling_rate: float
    steps: int
    noise_multiplier: float


@dataclass(frozen=True, slots=True)
class Party:
    """One party.

    Attributes:
        role: teacher, aggregator, key-holder or student.
        key: Ed25519 public key, 64 hexadecimal digits.
        classes: Public label set of a teacher's own task; empty for other roles.
        stated: How a teacher says that it trained the model that it brings; None if its model
            is trained in the run. For the route private-training only.
    """

    role: Role
    key: str
    classes: tuple[str, ...] = ()
    stated: Stated | None = None


@dataclass(frozen=True, slots=True)
class Encoder:
    """The public encoder that every teacher applies, and the probes behind it."""

    sha256: str
    dimension: int
    probes_sha256: str


@dataclass(frozen=True, slots=True)
class Promise:
    """What is promised of differential privacy, by whichever mechanism.

    Attributes:
        unit: Whom the promise is for: a record, or a person, of whom ``max_records`` count.
        neighbours: add-remove or replace-one.
        max_records: Records of one person that count (m).
        epsilon: Privacy loss bound that the noise is for, at ``delta``.
        delta: Probability that the bound fails.
        agreement_budget: Epsilon at ``delta`` that all runs under this agreement may
            spend at one teacher.
        data_set_budget: Epsilon at ``delta`` that all runs on one data set may spend.
    """

    unit: Literal["record", "person"]
    neighbours: Literal["add-remove", "replace-one"]
    max_records: int
    epsilon: float
    delta: float
    agreement_budget: float
    data_set_budget: float


@dataclass(frozen=True, slots=True)
class Privacy(Promise):
    """The promise of the route noisy-release, and its mechanism.

    Attributes:
        clip_norm: Euclidean norm to which each encoded record is scaled down; from
            public data.
        grid: Integer steps in one clip norm (S).
        count_weight: What a record adds to its class count, in clip norms (w).
        count_floor: Smallest class count that a noisy count may become.
        noise_multiplier: Noise scale divided by the sensitivity.
    """

    clip_norm: float
    grid: int
    count_weight: float
    count_floor: float
    noise_multiplier: float


@dataclass(frozen=True, slots=True)
class StudentPrivacy:
    """What is promised about the student's own labelled records; all else is as in ``privacy``.

    Attributes:
        epsilon: Privacy loss bound that the noise is for, at ``privacy.delta``.
        noise_multiplier: Noise scale divided by the sensitivity.
        budget: Epsilon at ``privacy.delta`` of all uses of the student's labelled data.
        classes: Number of classes of the student's task.
        directions: Directions of the opened sum along which the records are summed.
    """

    epsilon: float
    noise_multiplier: float
    budget: float
    classes: int
    directions: int


@dataclass(frozen=True, slots=True)
class InstitutionPrivacy:
    """What the opened sum promises about one member's whole signal, at ``privacy.delta``.

    The members' noise adds up: it is planned for the smallest sum that may be opened, less the
    members that may collude (``Selection``).

    Attributes:
        epsilon: Privacy loss bound that the shares are for, against whoever sees the sum and
            colludes with ``max_colluding`` of its members.
        neighbours: What may become of one member's signal: zero, or any other within the norm.
        norm_bound: L2 norm to which a member's integer signal is scaled down (C).
        share_scale: Parameter sigma of the discrete Gaussian share that each member adds.
        records: Order of magnitude of a member's records, for the student: no count is sent.
    """

    epsilon: float
    neighbours: Literal["member-to-zero", "member-to-any"]
    norm_bound: int
    share_scale: float
    records: int


@dataclass(frozen=True, slots=True)
class Training:
    """How the route private-training trains each teacher's model by DP-SGD; all of it public.

    Attributes:
        sampling_rate: Probability with which a step takes a record, or a person's (q).
        steps: Number of steps (T); training never stops earlier.
        noise_multiplier: Standard deviation of a step's noise over ``clip_norm``.
        clip_norm: Euclidean norm to which each record's, or person's mean, gradient is scaled down.
        denominator: What the noisy sum of gradients is divided by.
        learning_rate: Of the optimiser, which sees noisy gradients only.
        momentum: Of plain gradient steps.
        averaged: Share of the last steps over which the weights are averaged.
        optimiser: sgd or adam.
        seed: Public seed of the model's first weights.
    """

    sampling_rate: float
    steps: int
    noise_multiplier: float
    clip_norm: float
    denominator: float
    learning_rate: float
    momentum: float
    averaged: float
    optimiser: Literal["sgd", "adam"]
    seed: int


@dataclass(frozen=True, slots=True)
class Answers:
    """What a teacher's model is asked about public probes, and in which form it answers.

    Attributes:
        form: sketch, gram or scatter of its features and outputs
            (:mod:`secure_fedsa.models.probe_signals`).
        probes: How many probes it is asked about: the first of the agreed ones.
        width: Columns of a sketch; 0 for the other forms.
        saliency: What is compared with the student's question: alignment (of kernels),
            grad-cam or input-x-gradient.
    """

    form: Literal["sketch", "gram", "scatter"]
    probes: int
    width: int
    saliency: Literal["alignment", "grad-cam", "input-x-gradient"]


@dataclass(frozen=True, slots=True)
class Protection:
    """Which protections a run has: the benchmark's arms."""

    dp: bool
    he: bool
    masks: bool


@dataclass(frozen=True, slots=True)
class Saliency:
    """The saliency signal: its directions and its public fixed-point range.

    Attributes:
        directions: Leading public principal directions; the signal has
            ``directions (directions + 1) / 2`` values.
        unit: Scatter per record that counts as 1, in squared clip norms; from public data.
        teacher_bound: Bound of a teacher's values before quantisation, in that unit.
        query_bound: Bound of the student's values before quantisation.
        bits: Bits of each quantised value, sign included.
    """

    directions: int
    unit: float
    teacher_bound: float
    query_bound: float
    bits: int

    @property
    def values(self) -> int:
        """Number of values of the saliency signal."""
        return triangle(self.directions)


@dataclass(frozen=True, slots=True)
class Features:
    """The feature signal's public fixed-point range.

    Attributes:
        bound: Largest absolute integer of one teacher's value (R).
        scale: Integer steps in one unit of scatter.
    """

    bound: int
    scale: float


@dataclass(frozen=True, slots=True)
class Encryption:
    """Parameters of the encrypted sum (BFV) and of the encrypted query (Paillier)."""

    scheme: Literal["bfv"]
    poly_modulus_degree: int
    coeff_mod_bit_sizes: tuple[int, ...]
    plain_modulus: int
    query_modulus_bits: int


@dataclass(frozen=True, slots=True)
class Selection:
    """How teachers are chosen.

    Attributes:
        select: Largest number of teachers in the sum (k).
        threshold: Smallest score that may be selected.
        minimum_cohort: Smallest number of teachers in a sum that may be opened.
        max_colluding: Number of teachers that may collude; no sum over fewer than
            ``max_colluding + 2`` is ever opened.
    """

    select: int
    threshold: float
    minimum_cohort: int
    max_colluding: int

    @property
    def smallest_sum(self) -> int:
        """The smallest roster whose sum may be opened."""
        return max(self.minimum_cohort, self.max_colluding + 2)

    @property
    def binding(self) -> str:
        """The entry that ``smallest_sum`` comes from."""
        larger = self.max_colluding + 2 > self.minimum_cohort
        return f"selection.{'max_colluding' if larger else 'minimum_cohort'}"


@dataclass(frozen=True, slots=True)
class Publish:
    """What the run folder shows.

    Attributes:
        scores: Nothing, the ranks, or the scores, in the signed roster.
        ciphertexts: The masked uploads and their sum; else their hashes only.
        sums: The opened sum; else it is sealed to the student.
        feature_key: The one-use secret feature key, so that anyone can decrypt the sum again.
    """

    scores: Literal["none", "order", "values"]
    ciphertexts: bool
    sums: bool
    feature_key: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and how often an aborted sum may burn signals.

    Attributes:
        reply_seconds: An engine across machines lets each teacher's reply leave this long
            after the phase began. The in-process engine has logical deadlines instead
            (docs/decisions/0008).
        silence_seconds: Likewise, how long a silent party is awaited.
        max_burned: Aborts after an upload before a new run needs the operator.
    """

    reply_seconds: int
    silence_seconds: int
    max_burned: int


@dataclass(frozen=True, slots=True)
class Retention:
    """How long each party keeps, at most, what a run leaves in its state folder.

    Attributes:
        local_log_days: Days that a line of a party's local log is kept; 0: until the run's end.
        unfinished_days: Days after which a run that was cut off is given up, with its keys,
            masks and signals.
    """

    local_log_days: int
    unfinished_days: int


def triangle(width: int) -> int:
    """Return the number of values in the upper triangle of a symmetric matrix."""
    return width * (width + 1) // 2
