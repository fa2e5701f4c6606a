"""Hashes that name what a run begins and ends with: public probes, and the student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.wire import canonical

STUDENT_DOMAIN = "secure-fedsa/v1/student"


def probes_hash(probes: npt.NDArray[Any]) -> str:
    """Return the hash of public probes: their shape, type and bytes."""
    probes = np.ascontiguousarray(probes)
    return canonical.digest(
        "secure-fedsa/v1/probes",
        {
            "shape": list(probes.shape),
            "dtype": probes.dtype.str,
            "sha256": canonical.sha256(probes.tobytes()),
        },
    )


def student_hash(parts: Mapping[str, str]) -> str:
    """Return the hash that the student signs.

    Args:
        parts: SHA-256 of the files ``network``, ``architecture`` and ``head``.
    """
    return canonical.digest(STUDENT_DOMAIN, dict(parts))
