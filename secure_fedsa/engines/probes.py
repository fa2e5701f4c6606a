"""The public records behind an encoder (probes), as an agreement names them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.wire import canonical


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
