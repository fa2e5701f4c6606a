"""The result of an empirical audit that a reader brings along (replaced below)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What ``secure-fedsa audit CONFIG --canaries M --json`` printed.

    Attributes:
        file: Name of the file that it was read from.
        sha256: Of its bytes, hexadecimal.
        content: What it says.
    """

    file: str
    sha256: str
    content: dict[str, Any]
