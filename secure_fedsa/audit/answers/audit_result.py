"""The result of an empirical audit that a reader brings along: an unsigned file, from anybody."""

from __future__ import annotations

import hashlib
import json
import math
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from secure_fedsa.audit.evidence import values_in
from secure_fedsa.errors import UsageError
from secure_fedsa.roles.refusals import shown

_MAXIMUM_BYTES = 2**24
_MOST_VALUES = 100_000
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

    def require_of(self, agreement: str) -> None:
        """Refuse a result of another agreement than the one with this hash.

        Raises:
            UsageError: If it is of another.
        """
        if self.agreement != agreement:
            raise UsageError(
                f"{self.file} is of another agreement than this run's.",
                why=f"It names {shown(self.agreement)[:16]}, this run's is {agreement[:16]}.",
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
        canaries=_typed(content["canaries"], int),
        runs=_typed(content["runs"], int),
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


def _number(value: Any) -> float:
    found = float(_typed(value, int, float))
    if not (math.isfinite(found) and found >= 0):
        raise ValueError("number")
    return found
