"""What models say about public probes, in forms that add up over teachers.

Let A_t be teacher t's matrix: one row a probe, one column a feature or output, centred and
scaled so that every teacher weighs the same (:func:`normalised`). Widths, architectures and
label sets differ from teacher to teacher, so the A_t themselves do not add up. Three things
made of them do, and each determines or estimates the sum of Gram matrices K = sum A_t A_t^T,
in which the label sets' names no longer occur:

* the **sketch** A_t W_t, with W_t a secret Gaussian matrix of teacher t, fresh for the run. The
  sum over teachers is [A_1 ... A_k][W_1; ...; W_k], a Johnson-Lindenstrauss sketch of the
  concatenation (Johnson and Lindenstrauss 1984; Dasgupta and Gupta 2003);
* the **Gram** matrix A_t A_t^T itself, for a few probes (kernel amalgamation);
* the **scatter** Z^T A_t A_t^T Z on the public encoding Z of the probes, by far the smallest,
  and of the same form as the summaries of the route noisy-release.

What the sum of sketches tells: every column of it is a draw from N(0, K / m), because Gaussian
matrices are rotation invariant; so whoever sees the sum learns no more than from K, however
wide the sketch, up to what clipping and rounding of single values show
(docs/decisions/0013). It does *not* hide K, and K of teachers with few columns and very different
tasks can be taken apart in part: the test measures it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError
from secure_fedsa.models.scatter import upper_triangle

if TYPE_CHECKING:
    from collections.abc import Sequence

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def normalised(values: FloatArray) -> FloatArray:
    """Centre the columns of (n, f) and scale the whole to mean squared row length 1.

    A teacher that says the same of all probes gives zeros.

    Raises:
        DataError: Not a finite matrix.

    >>> normalised(np.array([[1.0, 0.0], [3.0, 0.0]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    if values.ndim != 2 or not np.isfinite(values).all():
        raise DataError("A teacher's answers must be a finite matrix, one row a probe.")
    centred = values - values.mean(axis=0)
    length = float(np.sqrt((centred**2).sum() / max(1, len(centred))))
    scaled: FloatArray = centred / length if length > 1e-12 else np.zeros_like(centred)
    return scaled


def joined(parts: Sequence[FloatArray]) -> FloatArray:
    """Return normalised parts side by side, each with the same share of the whole.

    Raises:
        DataError: No parts, or parts for different numbers of probes.
    """
    if not parts or len({len(part) for part in parts}) != 1:
        raise DataError("Answers for different numbers of probes cannot be joined.")
    return normalised(np.concatenate([normalised(part) for part in parts], axis=1))


def sketch(answers: FloatArray, projection: FloatArray) -> FloatArray:
    """Return (n, m): answers (n, f) times a secret projection (f, m) over sqrt(m).

    Args:
        answers: float64 (n, f), from :func:`normalised` or :func:`joined`.
        projection: float64 (f, m), independent standard Gaussians, secret, used once.

    Raises:
        DataError: Shapes that do not fit.
    """
    if projection.ndim != 2 or answers.shape[1] != projection.shape[0]:
        raise DataError(f"A projection of {projection.shape} for answers of {answers.shape}.")
    sketched: FloatArray = answers @ projection / np.sqrt(projection.shape[1])
    return sketched


def gram_triangle(answers: FloatArray) -> FloatArray:
    """Return the upper triangle of A A^T / n, float64 (n (n + 1) / 2,); its trace is at most 1."""
    return upper_triangle(_symmetric(answers @ answers.T / len(answers)))


def probe_scatter(answers: FloatArray, encoded: FloatArray) -> FloatArray:
    """Return Z^T A A^T Z / n^2 for centred Z, float64 (d, d), symmetric, positive semidefinite.

    How far each public direction agrees with what the model tells apart: for outputs that are
    one-hot it is the between-class scatter of the probes under the model's own classes.

    Args:
        answers: float64 (n, f), normalised.
        encoded: float64 (n, d), the same probes in the public encoder, in clip norms.

    Raises:
        DataError: Different numbers of probes.
    """
    if len(answers) != len(encoded):
        raise DataError(f"Answers for {len(answers)} probes, encodings of {len(encoded)}.")
    across = (encoded - encoded.mean(axis=0)).T @ answers / len(answers)
    return _symmetric(across @ across.T)


def scatter_of_sketch(summed: FloatArray, encoded: FloatArray) -> FloatArray:
    """Return what :func:`probe_scatter` of the concatenation would be, estimated from its sketch.

    Linear regression of the sketch on the encoding, seen as directions: its expectation over
    the projections is the sum of the teachers' own scatters.
    """
    return probe_scatter(summed, encoded)


def scatter_of_gram(gram: FloatArray, encoded: FloatArray) -> FloatArray:
    """Return Z^T K Z / n for a summed Gram matrix K / n (n, n) over the same probes.

    Raises:
        DataError: Shapes that do not fit.
    """
    if gram.shape != (len(encoded), len(encoded)):
        raise DataError(f"A Gram matrix of {gram.shape} for {len(encoded)} probes.")
    centred = encoded - encoded.mean(axis=0)
    return _symmetric(centred.T @ gram @ centred / len(encoded))


def _symmetric(matrix: FloatArray) -> FloatArray:
    """Return a matrix that is symmetric to the last bit, as its triangle must be."""
    mean: FloatArray = (matrix + matrix.T) / 2
    return mean
