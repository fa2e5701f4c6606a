"""Leading principal directions of public features, softly whitened."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

FloatArray = npt.NDArray[np.float64]


def soft_principal_directions(
    features: FloatArray, dimension: int, softness: float, generator: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return directions and centre: ``(features - centre) @ directions`` are the components.

    The component j has variance ``v_j ** (1 - softness)`` with v_j the principal variance.
    Randomised subspace iteration (Halko, Martinsson and Tropp 2011) keeps the time
    proportional to the number of directions.

    Args:
        features: float64, shape (n, p).
        dimension: Number of directions wanted; fewer come back if n or p is small.
        softness: 0 for plain principal components, 1 for full whitening.
        generator: Public randomness for the iteration's start.

    Returns:
        float64 of shapes (p, d) and (p,).

    Raises:
        DataError: The features do not vary.
    """
    centre = features.mean(axis=0)
    # Single precision halves the time; the result is frozen, so its last bits do not matter.
    centred = (features - centre).astype(np.float32)
    count, width = centred.shape
    kept = min(dimension, count - 1, width)
    start = generator.normal(size=(width, min(kept + 32, width))).astype(np.float32)
    basis = np.linalg.qr(start)[0]
    for _ in range(4):
        basis = np.linalg.qr(centred.T @ (centred @ basis))[0]
    components = (centred @ basis).astype(np.float64)
    variances, rotation = np.linalg.eigh(components.T @ components / count)
    order = np.argsort(-variances)[:kept]
    variances = variances[order]
    if not variances[0] > 0:
        raise DataError(
            "The probes are all the same: there is nothing to fit an encoder to.",
            do="Use probes drawn from the population that the task is about.",
        )
    # Directions without variance would be blown up by the whitening.
    solid = variances > 1e-6 * variances[0]
    directions = basis.astype(np.float64) @ rotation[:, order[solid]]
    # Signs are arbitrary; fix them so that equal probes give equal bytes.
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return directions * signs * variances[solid] ** (-softness / 2), centre
