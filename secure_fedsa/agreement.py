"""The agreement: the one text that all parties sign before anything runs.

An agreement is a TOML file. :func:`parse` turns it into frozen dataclasses and refuses
unknown, missing and wrongly typed entries by name; :meth:`Agreement.check` refuses what
cannot hold by itself. What can only be judged with the accountant or the encryption
parameters is judged by the plan (:mod:`secure_fedsa.plan`).

Every choice in it is public and made before private data are read.
"""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER, Role

VERSION = 1
_PARTY = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_HASH = re.compile(r"[0-9a-f]{64}")
_LARGEST_INTEGER = 2**53 - 1  # of canonical JSON

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Party:
    """One party.

    Attributes:
        role: teacher, aggregator, key-holder or student.
        key: Ed25519 public key, 64 hexadecimal digits.
        classes: Public label set of a teacher's own task; empty for other roles.
    """

    role: Role
    key: str
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Encoder:
    """The public encoder that every teacher applies, and the probes behind it."""

    sha256: str
    dimension: int
    probes_sha256: str


@dataclass(frozen=True, slots=True)
class Privacy:
    """Everything the differential privacy claim depends on.

    Attributes:
        unit: What one person contributes at most: a record, or ``max_records`` of them.
        neighbours: add-remove or replace-one.
        max_records: Records of one person that the claim covers (m).
        epsilon: Privacy loss bound that the noise is for, at ``delta``.
        delta: Probability that the bound fails.
        clip_norm: Euclidean norm to which each encoded record is scaled down; from
            public data.
        grid: Integer steps in one clip norm (S).
        count_weight: What a record adds to its class count, in clip norms (w).
        count_floor: Smallest class count that a noisy count may become.
        noise_multiplier: Noise scale divided by the sensitivity.
        agreement_budget: Epsilon at ``delta`` that all runs under this agreement may
            spend at one teacher.
        data_set_budget: Epsilon at ``delta`` that all runs on one data set may spend.
    """

    unit: Literal["record", "person"]
    neighbours: Literal["add-remove", "replace-one"]
    max_records: int
    epsilon: float
    delta: float
    clip_norm: float
    grid: int
    count_weight: float
    count_floor: float
    noise_multiplier: float
    agreement_budget: float
    data_set_budget: float


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
        return self.directions * (self.directions + 1) // 2


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


@dataclass(frozen=True, slots=True)
class Publish:
    """What the run folder shows."""

    scores: Literal["none", "order", "values"]
    feature_key: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines and how often an aborted sum may burn signals.

    Attributes:
        reply_seconds: Each teacher's reply leaves this long after the phase began.
        silence_seconds: A party silent for this long counts as lost.
        max_burned: Aborts after an upload before a new run needs the operator.
    """

    reply_seconds: int
    silence_seconds: int
    max_burned: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """A whole agreement; ``signatures`` are not part of what is signed."""

    version: int
    title: str
    route: Literal["noisy-release"]
    custody: Literal["key-holder"]
    parties: dict[str, Party]
    encoder: Encoder
    privacy: Privacy
    protection: Protection
    saliency: Saliency
    features: Features
    encryption: Encryption
    selection: Selection
    publish: Publish
    limits: Limits
    signatures: dict[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return what is signed: everything but the signatures, as JSON values."""
        return {
            name: _listed(value) for name, value in asdict(self).items() if name != "signatures"
        }

    def to_toml_dict(self) -> dict[str, Any]:
        """Return the whole agreement as nested dictionaries for a TOML writer."""
        return {**self.content(), "signatures": dict(self.signatures)}

    def names(self, role: Role) -> tuple[str, ...]:
        """Return the parties of a role, sorted."""
        return tuple(sorted(name for name, party in self.parties.items() if party.role == role))

    def only(self, role: Role) -> str:
        """Return the one party of a role that has exactly one."""
        return self.names(role)[0]

    @property
    def teachers(self) -> tuple[str, ...]:
        """All teachers, sorted."""
        return self.names(TEACHER)

    @property
    def feature_values(self) -> int:
        """Values in a feature signal: the upper triangle and the record count."""
        return self.encoder.dimension * (self.encoder.dimension + 1) // 2 + 1

    def check(self) -> None:
        """Refuse an agreement that contradicts itself.

        Raises:
            AgreementError: Naming the clause and what to change.
        """
        if self.version != VERSION:
            raise AgreementError("version", f"is {self.version}; this software speaks {VERSION}.")
        self._check_parties()
        self._check_privacy()
        self._check_signals()
        self._check_selection()

    def _check_parties(self) -> None:
        for role in (AGGREGATOR, KEY_HOLDER, STUDENT):
            if len(self.names(role)) != 1:
                raise AgreementError("parties", f"there must be exactly one {role}.")
        keys: dict[str, str] = {}
        for name, party in self.parties.items():
            clause = f"parties.{name}"
            if not _PARTY.fullmatch(name):
                raise AgreementError(
                    clause, "a name has 1 to 40 lower-case letters, digits and hyphens."
                )
            if not _HASH.fullmatch(party.key):
                raise AgreementError(f"{clause}.key", "must be 64 hexadecimal digits (Ed25519).")
            if party.key in keys:
                raise AgreementError(
                    f"{clause}.key",
                    f"is also the key of {keys[party.key]}.",
                    why="One identity may not speak for two parties.",
                    do="Give every party its own key.",
                )
            keys[party.key] = name
            if (party.role == TEACHER) != bool(party.classes):
                raise AgreementError(
                    f"{clause}.classes", "teachers name their public label set, others have none."
                )
            if len(set(party.classes)) != len(party.classes):
                raise AgreementError(f"{clause}.classes", "a label is named twice.")
            if party.role == TEACHER and len(party.classes) < 2:
                raise AgreementError(f"{clause}.classes", "a task needs at least two classes.")

    def _check_privacy(self) -> None:
        privacy = self.privacy
        for name in ("epsilon", "clip_norm", "count_weight", "count_floor", "noise_multiplier"):
            _positive(f"privacy.{name}", getattr(privacy, name))
        for name in ("agreement_budget", "data_set_budget"):
            _positive(f"privacy.{name}", getattr(privacy, name))
            if getattr(privacy, name) < privacy.epsilon:
                raise AgreementError(
                    f"privacy.{name}",
                    f"{getattr(privacy, name):g} is below one run's epsilon {privacy.epsilon:g}.",
                    do="Raise the budget or lower privacy.epsilon.",
                )
        _positive("privacy.delta", privacy.delta)
        if privacy.delta >= 1:
            raise AgreementError("privacy.delta", "must be below 1.")
        if not 2 <= privacy.grid <= 2**24:
            raise AgreementError("privacy.grid", "must be from 2 to 2^24.")
        if privacy.max_records < 1 or (privacy.unit == "record") != (privacy.max_records == 1):
            raise AgreementError(
                "privacy.max_records", "is 1 for the unit record and above 1 for the unit person."
            )
        if not self.protection.dp:
            raise AgreementError(
                "protection.dp",
                "the route noisy-release always adds noise.",
                do="Set it to true.",
            )
        if self.protection.he != self.protection.masks:
            raise AgreementError("protection", "he and masks are switched together.")

    def _check_signals(self) -> None:
        for clause, value in (
            ("saliency.unit", self.saliency.unit),
            ("saliency.teacher_bound", self.saliency.teacher_bound),
            ("saliency.query_bound", self.saliency.query_bound),
            ("features.scale", self.features.scale),
        ):
            _positive(clause, value)
        if not 1 <= self.encoder.dimension <= 2048:
            raise AgreementError("encoder.dimension", "must be from 1 to 2048.")
        if not 1 <= self.saliency.directions <= self.encoder.dimension:
            raise AgreementError("saliency.directions", "must be from 1 to encoder.dimension.")
        if not 4 <= self.saliency.bits <= 24:
            raise AgreementError("saliency.bits", "must be from 4 to 24.")
        if self.features.bound < 1:
            raise AgreementError("features.bound", "must be at least 1.")
        for clause, digest in (
            ("encoder.sha256", self.encoder.sha256),
            ("encoder.probes_sha256", self.encoder.probes_sha256),
        ):
            if not _HASH.fullmatch(digest):
                raise AgreementError(clause, "must be 64 hexadecimal digits.")
        if not 2048 <= self.encryption.query_modulus_bits <= 8192:
            raise AgreementError("encryption.query_modulus_bits", "must be from 2048 to 8192.")

    def _check_selection(self) -> None:
        selection = self.selection
        if not math.isfinite(selection.threshold):
            raise AgreementError("selection.threshold", "must be finite.")
        if selection.max_colluding < 1:
            raise AgreementError("selection.max_colluding", "must be at least 1.")
        if selection.minimum_cohort < 1:
            raise AgreementError("selection.minimum_cohort", "must be at least 1.")
        if selection.select > len(self.teachers):
            raise AgreementError(
                "selection.select",
                f"{selection.select} is more than the {len(self.teachers)} teachers.",
            )
        if selection.smallest_sum > selection.select:
            raise AgreementError(
                "selection.select",
                f"{selection.select} can never be opened.",
                why=f"The minimum cohort is {selection.minimum_cohort} and max_colluding + 2 is "
                f"{selection.max_colluding + 2}.",
                do=f"Select at least {selection.smallest_sum} or lower those two.",
            )
        for name in ("reply_seconds", "silence_seconds", "max_burned"):
            if getattr(self.limits, name) < 1:
                raise AgreementError(f"limits.{name}", "must be at least 1.")


def _positive(clause: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise AgreementError(clause, f"is {value!r}.", do="Use a finite number above zero.")


def _listed(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value


def parse(text: str) -> Agreement:
    """Return the agreement of a TOML text, checked.

    Raises:
        AgreementError: If the text is not TOML (a key named twice included), or an entry
            is unknown, missing, of the wrong type, or out of range.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOML errors and numbers of 5,000 digits
        raise AgreementError("", "The agreement is not valid TOML.", why=f"{error}.") from error
    return from_dict(data)


def from_dict(data: Any) -> Agreement:
    """Return the agreement of nested dictionaries, checked as :func:`parse` does."""
    agreement = _build(Agreement, data, "")
    agreement.check()
    return agreement


def _build(kind: type[T], data: Any, clause: str) -> T:
    if not isinstance(data, dict):
        raise AgreementError(clause, "must be a table.")
    hints = get_type_hints(kind)
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    optional = {"signatures", "classes"}
    for name in sorted(set(data) - known):
        raise AgreementError(_join(clause, name), "is not an entry of version 1.", do="Remove it.")
    for name in sorted(known - set(data) - optional):
        raise AgreementError(_join(clause, name), "is missing.")
    return kind(
        **{name: _convert(hints[name], value, _join(clause, name)) for name, value in data.items()}
    )


def _join(clause: str, name: str) -> str:
    return f"{clause}.{name}" if clause else str(name)


def _convert(hint: Any, value: Any, clause: str) -> Any:
    origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, clause)
    if origin is dict and isinstance(value, dict):
        inner = get_args(hint)[1]
        return {str(key): _convert(inner, item, _join(clause, key)) for key, item in value.items()}
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(get_args(hint)[0], item, clause) for item in value)
    if origin is Literal:
        if value in get_args(hint):
            return value
        allowed = ", ".join(str(choice) for choice in get_args(hint))
        raise AgreementError(clause, f"is {value!r}.", do=f"Allowed here: {allowed}.")
    if type(value) is int and abs(value) > _LARGEST_INTEGER:
        raise AgreementError(clause, "is a whole number beyond 2^53.")
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise AgreementError(clause, f"has the wrong type ({type(value).__name__}).")
