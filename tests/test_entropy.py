"""The one door to randomness: what private training draws from, and when noise is ready."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from secure_fedsa import entropy
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.entropy import PacedNoise, SystemNoise, secret_below, secret_projection
from tests.support import make_world


def test_every_word_of_a_steps_generator_comes_from_the_system() -> None:
    """If this fails, noise has no more than a seed's 32 bits, and whoever tries all subtracts it.

    numpy's twister, given the words that stand in torch's state, draws the same numbers: so the
    state is where this module writes it.
    """
    generator = SystemNoise().torch_generator()
    words = generator.get_state().numpy()[24 : 24 + 8 * 624].view("<u8")
    assert len(np.unique(words)) > 600
    twister = np.random.MT19937()
    key = words.astype("<u4")
    twister.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
    expected = [int(twister.random_raw()) for _ in range(2000)]
    drawn = torch.randint(0, 2**32, (1000,), generator=generator, dtype=torch.int64).tolist()
    assert drawn == expected[1::2]  # of 64 bits the lower half


def test_two_generators_share_no_words() -> None:
    """If this fails, two steps have the same noise, and their difference none."""
    one, other = (SystemNoise().torch_generator().get_state() for _ in range(2))
    same = (one[24:].view(torch.int64) == other[24:].view(torch.int64)).double().mean()
    assert float(same) < 0.05


def test_what_it_draws_is_uniform_and_normal() -> None:
    """If this fails, the noise is not of the size that the ledger is charged for.

    Ten standard errors: it fails by chance less than once in 10^20 runs.
    """
    generator = SystemNoise().torch_generator()
    uniform = torch.rand(100_000, generator=generator, dtype=torch.float64)
    normal = torch.normal(0.0, 1.0, (100_000,), generator=generator)
    assert abs(float(uniform.mean()) - 0.5) < 10 * 0.2887 / 316
    assert abs(float(normal.std()) - 1.0) < 10 * 0.7071 / 316


def test_every_projection_is_another_and_secret() -> None:
    """If this fails, whoever draws the same matrix reads a teacher's answers from its sketch.

    Six standard errors: it fails by chance less than once in 10^8 runs.
    """
    one, other = secret_projection(40, 50), secret_projection(40, 50)
    assert not np.array_equal(one, other)
    assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 6 / 2000**0.5
    assert one.std() == pytest.approx(1.0, rel=6 / (2 * 2000) ** 0.5)


def test_secret_numbers_reach_the_whole_range() -> None:
    """If this fails, blinds do not hide what they should.

    It fails by chance less than once in 10^12 runs.
    """
    bound = 10
    drawn = [secret_below(bound) for _ in range(400)]
    assert set(drawn) == set(range(bound))
    upper = sum(secret_below(2**256) >> 255 for _ in range(400))
    assert 60 < upper < 340


class Clock:
    """A clock that goes on when it is read, slept by, or when the sampler works."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.work = 0.0, list(seconds)

    def perf_counter(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def draw(self, scale: float, size: int) -> npt.NDArray[np.int64]:
        """Return a batch of one number, another for each batch, after its time."""
        del scale
        self.now += self.work.pop(0)
        return np.full(size, 7 - 2 * len(self.work), dtype=np.int64)


@pytest.mark.parametrize(
    ("rehearsal", "batch", "ready"),
    [
        (0.010, 0.001, 0.030),
        (0.010, 0.008, 0.030),
        (0.010, 0.0199, 0.030),
        (0.010, 0.021, 0.050),  # held up: the next multiple
        (0.010, 0.055, 0.070),
        (0.0001, 0.0003, 0.0041),  # a few values: a pace far above what they take
        (0.0001, 0.0020, 0.0041),
    ],
)
def test_when_noise_is_ready_hangs_on_the_rehearsal_alone(
    rehearsal: float, batch: float, ready: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, whoever sees when a teacher goes on learns something of its noise."""
    clock = Clock(rehearsal, batch)
    monkeypatch.setattr(entropy, "time", clock)
    monkeypatch.setattr(SystemNoise, "discrete_gaussian", clock.draw)
    values = PacedNoise().discrete_gaussian(10.0, 3)
    assert clock.now == pytest.approx(ready, abs=2e-5)
    assert values.tolist() == [7, 7, 7]  # of the second batch, not of the one that was timed


def test_runs_draw_noise_at_a_pace(tmp_path: Path) -> None:
    """If this fails, the pace above is kept by nobody."""
    made = make_world(tmp_path, 3)
    run = made.local_run()
    assert isinstance(run.sites["teacher-1"].noise, PacedNoise)
    assert isinstance(StudentLabels(tmp_path / "student", run.agreement).noise, PacedNoise)
    assert np.abs(PacedNoise().discrete_gaussian(1000.0, 50)).sum() > 0
