"""What an audit looks at: one number a canary, and the secret coin that decided about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from secure_fedsa.entropy import secret_bytes

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, repr=False)
class Scores:
    """Scores of M canaries, in planned standard deviations of their noise.

    By plan a score is ``shift`` times its load, plus noise of mean 0 and standard deviation 1
    (of ``spread`` for those that are present).

    Attributes:
        values: float64, shape (M,).
        coins: bool, shape (M,): whether the canary was present. For replace-one: which of the two
            neighbours was.
        common: float64, shape (M,): what one unit added to every coordinate's noise adds to the
            score.
        shift: Planned distance between the two means: sensitivity over noise scale, as accounted.
        loads: Of an absent and of a present canary; they differ by 1.
        spread: Planned standard deviation of a present canary's score.
        gaussian: Whether scores of both groups are Gaussian by plan, as near as M can tell.
    """

    values: FloatArray
    coins: BoolArray
    common: FloatArray
    shift: float
    loads: tuple[float, float] = (0.0, 1.0)
    spread: float = 1.0
    gaussian: bool = True

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        return f"Scores(canaries={len(self)}, shift={self.shift:.4g})"

    @property
    def midpoint(self) -> float:
        """The score half way between the two planned means: public, fixed before the release."""
        return self.shift * (self.loads[0] + self.loads[1]) / 2


def secret_coins(number: int) -> BoolArray:
    """Return fair coins of the operating system's generator, bool (number,)."""
    bits = np.unpackbits(np.frombuffer(secret_bytes((number + 7) // 8), dtype=np.uint8))
    return bits[:number].astype(np.bool_)
