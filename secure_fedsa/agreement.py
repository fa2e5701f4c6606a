"""The agreement: the one text that all parties sign before anything runs.

An agreement is a TOML file. :func:`parse` turns it into frozen dataclasses and refuses
unknown, missing and wrongly typed entries by name; :meth:`Agreement.check` refuses what
cannot hold by itself. What can only be judged with the accountant or the encryption
parameters is judged by the plan (:mod:`secure_fedsa.planning`).

Every choice in it is public and made before private data are read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from secure_fedsa.agreement_rules import check_rules
from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import TEACHER, Role
from secure_fedsa.toml_text import read_toml

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
class Agreement:
    """A whole agreement; ``signatures`` are not part of what is signed.

    Attributes:
        version: 1.
        title: For people.
        route: What makes the teachers' signals private.
        simulation: True allows noise from a seed, in tests: such a run protects nobody, and
            ``verify`` refuses it.
        custody: Who makes and holds the one-use feature key. With ``aggregator`` the
            student's side can open the sum alone: masks still hide single teachers, and that
            one sum was opened is the aggregator's word.
    """

    version: int
    title: str
    route: Literal["noisy-release"]
    simulation: bool
    custody: Literal["key-holder", "aggregator"]
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
    def custodian(self) -> str:
        """The party that holds the feature key."""
        return self.only(self.custody)

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
        check_rules(self)


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
        data = read_toml(text)
    except (ValueError, RecursionError) as error:  # TOML errors and numbers of 5,000 digits
        raise AgreementError("", "The agreement is not valid TOML.", why=f"{error}.") from error
    return from_dict(data)


def from_dict(data: Any) -> Agreement:
    """Return the agreement of nested dictionaries, checked as :func:`parse` does."""
    agreement = unchecked(data)
    agreement.check()
    return agreement


def unchecked(data: Any) -> Agreement:
    """Return the agreement of nested dictionaries, of the right form and not judged by the rules.

    Raises:
        AgreementError: If an entry is unknown, missing or of the wrong type.
    """
    return _build(Agreement, data, "")


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
