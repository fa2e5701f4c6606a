"""The result of an empirical audit that a reader brings along: an unsigned file, from anybody."""

from __future__ import annotations

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.canaries.audit import (
    LEAST,
    MOST,
    MOST_RUNS,
    audited_teachers,
    claimed_epsilon,
)
from secure_fedsa.audit.evidence import values_in
from secure_fedsa.errors import AgreementError, UsageError
from secure_fedsa.privacy.events import Event
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.roles.refusals import shown

_MAXIMUM_BYTES = 2**24
_MOST_VALUES = 100_000
_CLOSE = 1e-6  # relative: another version of an accountant may round otherwise
_DO = (
    "Give what `secure-fedsa audit agreement.toml --canaries M --json` printed for the agreement "
    "of this run."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one method measured of one teacher's release.

    Attributes:
        teacher: Whose release.
        method: How.
        claim: Epsilon that is claimed.
        epsilon: Lower bound on the true one; None if the method gives none.
    """

    teacher: str
    method: str
    claim: float
    epsilon: float | None


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What ``secure-fedsa audit CONFIG --canaries M --json`` printed.

    Attributes:
        file: Name of the file that it was read from.
        sha256: Of its bytes, hexadecimal.
        agreement: Hash of the agreement whose code was measured.
        passed: Whether nothing alarmed.
        canaries: Records that were planted at each teacher.
        runs: Releases that were measured together.
        delta: Probability at which every epsilon is stated.
        confidence: Of each lower bound.
        alarms: What alarmed, in words.
        bounds: What was measured.
        content: All that the file says.
    """

    file: str
    sha256: str
    agreement: str
    passed: bool
    canaries: int
    runs: int
    delta: float
    confidence: float
    alarms: tuple[str, ...]
    bounds: tuple[Measured, ...]
    content: dict[str, Any]

    def require_of(self, agreement: Agreement, agreed: str) -> None:
        """Refuse a result that is not of this agreement, or compares with another claim than its.

        Args:
            agreement: The run's.
            agreed: Its hash, hexadecimal.

        Raises:
            UsageError: If it is of another, or names teachers or claims that it does not have.
        """
        if self.agreement != agreed:
            raise UsageError(
                f"{self.file} is of another agreement than this run's.",
                why=f"It names {shown(self.agreement)[:16]}, this run's is {agreed[:16]}.",
                do=_DO,
            )
        try:
            audited_teachers(agreement, [found.teacher for found in self.bounds])
        except (AgreementError, UsageError) as error:
            raise UsageError(
                f"{self.file} does not fit this run's agreement.", why=error.what, do=_DO
            ) from error
        if not math.isclose(self.delta, agreement.promise.delta, rel_tol=_CLOSE):
            raise self._another("delta", self.delta, agreement.promise.delta)
        claims: dict[Event, float] = {}
        for found in self.bounds:
            event = planned_event(agreement, found.teacher)
            if event not in claims:
                claims[event] = claimed_epsilon(agreement, found.teacher, runs=self.runs)
            if not math.isclose(found.claim, claims[event], rel_tol=_CLOSE):
                raise self._another(f"{found.teacher}'s claim", found.claim, claims[event])

    def _another(self, what: str, found: float, expected: float) -> UsageError:
        return UsageError(
            f"{self.file} compares with another claim than this run's agreement makes.",
            why=f"It says {what} is {found:.6g}; the agreement gives {expected:.6g}.",
            do=_DO,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"file": self.file, "sha256": self.sha256, "content": self.content}


def read_audit_result(path: Path) -> AuditResult:
    """Return the result in a file.

    Raises:
        UsageError: If it cannot be read or has another form.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAXIMUM_BYTES:
            raise UsageError(f"{path} is not a file of at most 16 MiB.", do=_DO)
        data = path.read_bytes()
        if values_in(data) > _MOST_VALUES:
            raise UsageError(f"{path} holds more than {_MOST_VALUES:,} JSON values.", do=_DO)
        content = json.loads(data, parse_constant=_refuse_constant)
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", why=f"{error.strerror}.", do=_DO) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON.", why=f"{error}.", do=_DO) from error
    try:
        return _read(content, path.name, hashlib.sha256(data).hexdigest())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{path} is no result of an empirical audit.", do=_DO) from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _read(content: Any, file: str, digest: str) -> AuditResult:
    if content["verdict"] not in ("pass", "fail"):
        raise ValueError("verdict")
    alarms = tuple(_typed(alarm, str) for alarm in _typed(content["alarms"], list))
    passed = content["verdict"] == "pass"
    if passed == bool(alarms):
        raise ValueError("alarms")
    bounds = tuple(
        Measured(
            teacher=_typed(found["teacher"], str),
            method=_typed(method, str),
            claim=_number(found["claim"]),
            epsilon=None if bound["epsilon"] is None else _number(bound["epsilon"]),
        )
        for found in _typed(content["teachers"], list)
        for method, bound in _typed(found["bounds"], dict).items()
    )
    if not bounds:
        raise ValueError("bounds")
    return AuditResult(
        file=file,
        sha256=digest,
        agreement=_typed(content["agreement"], str),
        passed=passed,
        canaries=_from_to(content["canaries"], LEAST, MOST),
        runs=_from_to(content["runs"], 1, MOST_RUNS),
        delta=_number(content["delta"]),
        confidence=_number(content["confidence"]),
        alarms=alarms,
        bounds=bounds,
        content=content,
    )


def _typed(value: Any, *kinds: type) -> Any:
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError("another type")
    return value


def _from_to(value: Any, least: int, most: int) -> int:
    found = int(_typed(value, int))
    if not least <= found <= most:
        raise ValueError("out of range")
    return found


def _number(value: Any) -> float:
    found = float(_typed(value, int, float))
    if not (math.isfinite(found) and found >= 0):
        raise ValueError("number")
    return found
