"""The agreement: the one text that all parties sign before anything runs.

An agreement is a TOML file. :func:`parse` turns it into frozen dataclasses and refuses
unknown, missing and wrongly typed entries by name; :meth:`Agreement.check` refuses what
cannot hold by itself. What can only be judged with the accountant or the encryption
parameters is judged by the plan (:mod:`secure_fedsa.planning`).

Every choice in it is public and made before private data are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from secure_fedsa.agreement_rules import check_rules
from secure_fedsa.agreement_tables import (
    ENCRYPTION_ONLY,
    NOISY_RELEASE,
    PRIVATE_TRAINING,
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
    Stated,
    StudentPrivacy,
    Training,
    triangle,
)
from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import TEACHER, Role
from secure_fedsa.toml_text import read_toml

__all__ = [
    "ENCRYPTION_ONLY",
    "NOISY_RELEASE",
    "PRIVATE_TRAINING",
    "Agreement",
    "Answers",
    "Encoder",
    "Encryption",
    "Features",
    "InstitutionPrivacy",
    "Limits",
    "Party",
    "Privacy",
    "Promise",
    "Protection",
    "Publish",
    "Retention",
    "Route",
    "Saliency",
    "Selection",
    "Stated",
    "StudentPrivacy",
    "Training",
    "from_dict",
    "parse",
    "unchecked",
]

_LARGEST_INTEGER = 2**53 - 1  # of canonical JSON
_OF_RELEASES = ("student_privacy", "institution_privacy")
"""Tables that an agreement of the route noisy-release may have."""
_OF_ROUTES = frozenset({"privacy", "training", "answers", *_OF_RELEASES})
_OPTIONAL = frozenset({"signatures", "classes", "stated"}) | _OF_ROUTES

T = TypeVar("T")


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
        retention: How long parties keep what runs leave with them; None if that is not agreed.
        privacy: The promise; None for encryption-only, which has none.
        training: For private-training only.
        answers: For the routes whose teachers are models.
        student_privacy: What is promised about the student's own labelled records; None if
            nothing is. For noisy-release only.
        institution_privacy: What the sum promises about a whole member; None if nothing. For
            noisy-release only.
    """

    version: int
    title: str
    route: Route
    simulation: bool
    custody: Literal["key-holder", "aggregator"]
    parties: dict[str, Party]
    encoder: Encoder
    protection: Protection
    saliency: Saliency
    features: Features
    encryption: Encryption
    selection: Selection
    publish: Publish
    limits: Limits
    retention: Retention | None = None
    privacy: Promise | None = None
    training: Training | None = None
    answers: Answers | None = None
    student_privacy: StudentPrivacy | None = None
    institution_privacy: InstitutionPrivacy | None = None
    signatures: dict[str, str] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Return what is signed: everything but the signatures, as JSON values.

        Tables that the route does not have are left out.
        """
        return {
            name: _listed(value)
            for name, value in asdict(self).items()
            if name != "signatures" and value is not None
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
    def promise(self) -> Promise:
        """What is promised; ask only where there is differential privacy."""
        assert self.privacy is not None
        return self.privacy

    @property
    def mechanism(self) -> Privacy:
        """The promise and the mechanism of the route noisy-release."""
        assert isinstance(self.privacy, Privacy)
        return self.privacy

    @property
    def student_promise(self) -> StudentPrivacy:
        """What is promised about the student's labelled records; ask only where something is."""
        assert self.student_privacy is not None
        return self.student_privacy

    @property
    def institution_promise(self) -> InstitutionPrivacy:
        """What the sum promises about a whole member; ask only where something is promised."""
        assert self.institution_privacy is not None
        return self.institution_privacy

    @property
    def asked(self) -> Answers:
        """What models are asked, in the routes whose teachers are models."""
        assert self.answers is not None
        return self.answers

    @property
    def feature_values(self) -> int:
        """Values in a feature signal.

        Of noisy-release the upper triangle and the record count, which is not sent where the sum
        protects institutions; of models what their form has.
        """
        if self.answers is None:
            return triangle(self.encoder.dimension) + (self.institution_privacy is None)
        match self.answers.form:
            case "sketch":
                return self.answers.probes * self.answers.width
            case "gram":
                return triangle(self.answers.probes)
            case "scatter":
                return triangle(self.encoder.dimension)

    def largest_opened(self, members: int) -> int:
        """Return the largest absolute value that a sum over honest members can have."""
        if self.institution_privacy is not None:
            return self.encryption.plain_modulus // 2  # it is one modulo t, and nothing is cut
        return members * self.features.bound

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
        return {key: _listed(item) for key, item in value.items() if item is not None}
    return value


_TABLES: dict[str, dict[str, type[Any]]] = {
    NOISY_RELEASE: {"privacy": Privacy},
    PRIVATE_TRAINING: {"privacy": Promise, "training": Training, "answers": Answers},
    ENCRYPTION_ONLY: {"answers": Answers},
}
"""The tables that a route has and others have not, or have in another form."""


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
    if not isinstance(data, dict):
        raise AgreementError("", "must be a table.")
    route = data.get("route", NOISY_RELEASE)
    if route not in get_args(Route):
        _convert(Route, route, "route")
    own = _TABLES[route]
    allowed = {*own, *(_OF_RELEASES if route == NOISY_RELEASE else ())}
    for name in sorted(set(data) & _OF_ROUTES - allowed):
        raise AgreementError(name, f"is not a table of the route {route}.", do="Remove it.")
    return _build(Agreement, data, "", own)


def _build(
    kind: type[T], data: Any, clause: str, tables: Mapping[str, type[Any]] | None = None
) -> T:
    """Return a table as its type; ``tables`` names those whose type the route decides."""
    if not isinstance(data, dict):
        raise AgreementError(clause, "must be a table.")
    hints: dict[str, Any] = {**get_type_hints(kind), **(tables or {})}
    known = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    optional = (_OPTIONAL | {"retention"}) - set(tables or {})
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
    if get_origin(hint) is UnionType:  # an optional table that is there
        hint = get_args(hint)[0]
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
