"""The one door to randomness.

Two kinds of randomness exist here and never mix:

* *secret* randomness (noise, keys, masks, blinds, nonces) comes from the operating
  system's generator and takes no seed;
* *public* randomness (splits of public data, model initialisation, training order)
  comes from a seeded generator so that a run can be repeated.

Seeded noise exists for tests only: :class:`SeededNoise` carries ``seeded = True``, a
run that used it says so in its summary, and ``verify`` refuses such a run.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import PrivacyParameterError

if TYPE_CHECKING:
    import torch

IntArray = npt.NDArray[np.int64]

_LEAST_PACE = 0.002  # seconds: far above what a few values take
_AWAKE = 0.0005  # seconds before noise is ready
_TWISTER_WORDS, _TWISTER_AT = 624, 24  # of torch's generator state, which a test pins


def secret_bytes(size: int) -> bytes:
    """Return ``size`` bytes of the operating system's generator.

    >>> len(secret_bytes(32))
    32
    """
    return secrets.token_bytes(size)


def secret_below(bound: int) -> int:
    """Return a uniform secret integer in ``[0, bound)``, ``bound`` of any size."""
    return secrets.randbelow(bound)


class NoiseSource(Protocol):
    """Where a mechanism's integer noise comes from."""

    seeded: bool

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return ``size`` independent discrete Gaussians, parameter ``scale``."""
        ...


class TrainingNoise(Protocol):
    """Where the noise and the secret samples of private training come from."""

    seeded: bool

    def torch_generator(self) -> torch.Generator:
        """Return a fresh generator for the noise and the sampling of one training step."""
        ...


class SystemNoise:
    """Exact discrete Gaussian noise from OpenDP, seeded by the operating system.

    The distribution is that of Canonne, Kamath and Steinke, "The Discrete Gaussian for
    Differential Privacy" (2020): mass at integer x proportional to
    ``exp(-x^2 / (2 scale^2))``, sampled without floating-point error.
    """

    seeded = False

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return ``size`` draws as int64, shape (size,).

        The whole batch is drawn at once and before any private record is read, so that
        its timing cannot depend on one.
        """
        import opendp.prelude as dp

        _check_scale(scale)
        dp.enable_features("contrib")
        space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T="f64")
        return np.asarray(dp.m.make_gaussian(*space, scale=scale)([0] * size), dtype=np.int64)

    def torch_generator(self) -> torch.Generator:
        """Return a torch generator whose whole state comes from the operating system.

        DP-SGD's libraries draw floating-point noise from torch's Mersenne Twister, which is no
        cryptographic generator. Its seed would have 32 bits, few enough to try all of them, so its
        624 words are filled instead, anew for each step: what one step's noise tells of its state
        tells nothing of another's. The claim of the route private-training names this.
        """
        import torch

        generator = torch.Generator()
        state = generator.get_state().clone()
        words = np.frombuffer(secrets.token_bytes(4 * _TWISTER_WORDS), dtype="<u4")
        held = words.astype("<u8").view(np.uint8)
        state[_TWISTER_AT : _TWISTER_AT + len(held)] = torch.from_numpy(held.copy())
        # One word is left of the state that was there, so the next draw makes a new one of ours.
        state[8:12] = torch.from_numpy(np.array([1], dtype="<i4").view(np.uint8).copy())
        state[16:24] = 0
        generator.set_state(state)
        return generator


class PacedNoise(SystemNoise):
    """System noise that is ready at a time which another batch decides.

    A sampler that rejects and draws again takes a time that tells of its values. So a rehearsal
    of the same scale and size, whose values are thrown away, says how long such a batch takes;
    the batch itself is handed out when twice that time has passed since its drawing began, and
    if the machine was held up for longer, at the next multiple of it. Haeberlen, Pierce and
    Narayan, "Differential Privacy Under Fire" (2011), pad what touches private records to a fixed
    time likewise. Who measures the *processor* instead of the clock still sees the sampler work.
    """

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return ``size`` draws as int64, shape (size,), at a time set by another batch."""
        began = time.perf_counter()
        super().discrete_gaussian(scale, size)
        pace = 2 * max(time.perf_counter() - began, _LEAST_PACE)
        began = time.perf_counter()
        values = super().discrete_gaussian(scale, size)
        ready = began
        while ready < time.perf_counter():
            ready += pace
        time.sleep(max(0.0, ready - time.perf_counter() - _AWAKE))
        while time.perf_counter() < ready:  # how late a sleeper wakes hangs on how long it slept
            pass
        return values


class SeededNoise:
    """Repeatable, *insecure* noise for tests; it marks every run that it touches."""

    seeded = True

    def __init__(self, seed: int) -> None:
        self._generator = public_generator(seed, "seeded-noise-for-tests")

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        """Return ``size`` rounded Gaussians as int64, shape (size,)."""
        _check_scale(scale)
        return np.rint(self._generator.normal(0.0, scale, size)).astype(np.int64)

    def torch_generator(self) -> torch.Generator:
        """Return the next of a repeatable series of torch generators."""
        import torch

        generator = torch.Generator()
        generator.manual_seed(int(self._generator.integers(2**62)))
        return generator


def secret_projection(rows: int, columns: int) -> npt.NDArray[np.float64]:
    """Return (rows, columns) independent secret standard Gaussians, for a sketch used once.

    Discrete Gaussians of a large parameter, scaled down: OpenDP's exact sampler, which draws
    from the operating system's generator.
    """
    steps = 2**20
    drawn = SystemNoise().discrete_gaussian(float(steps), rows * columns)
    return drawn.reshape(rows, columns) / steps


def _check_scale(scale: float) -> None:
    if not (np.isfinite(scale) and scale > 0):
        raise PrivacyParameterError(
            f"A noise scale of {scale!r} gives no privacy.",
            do="Use a finite scale above zero.",
        )


def _derive_seed(seed: int, purpose: str) -> int:
    digest = hashlib.sha256(f"secure-fedsa public randomness\n{purpose}\n{seed}".encode())
    return int.from_bytes(digest.digest()[:8], "big")


def public_generator(seed: int, purpose: str) -> np.random.Generator:
    """Return a seeded generator for a public choice.

    Generators of different purposes are independent, so that adding one draw in one
    place changes nothing elsewhere.

    >>> a = public_generator(0, "split").integers(100)
    >>> bool(a == public_generator(0, "split").integers(100))
    True
    """
    return np.random.Generator(np.random.PCG64(_derive_seed(seed, purpose)))


def training_generator(seed: int, purpose: str) -> torch.Generator:
    """Return a seeded torch generator for model training (initialisation, order)."""
    import torch

    generator = torch.Generator()
    generator.manual_seed(_derive_seed(seed, purpose) & (2**63 - 1))
    return generator
