"""What the vectors of single derivations share."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.protocols.bench.formulas import sha256

Json = Any
File = dict[str, Json]

RUN = sha256(b"some run")
AGREEMENT = sha256(b"some agreement")


def named(text: str) -> bytes:
    """Return 32 bytes of a name."""
    return hashlib.sha256(text.encode()).digest()
