"""The whole path of a release, with the system's noise: what is added to which sums, and when.

False alarms: ``tests/privacy/noise_checks.py`` says how seldom.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.site import LocalSite
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.privacy import clipping, mechanisms
from secure_fedsa.privacy.clipping import summarise, to_grid
from secure_fedsa.privacy.mechanisms import add_noise, draw_noise
from secure_fedsa.roles import noisy_release
from secure_fedsa.roles.noisy_release import NoisePlan, noise_plan, read_private
from secure_fedsa.signals import Noise, NoisySummary, PrivateSummary, int_array
from tests.engines.network import Network
from tests.privacy.noise_checks import LEVEL, IntArray, checks, correlated, normal, variance
from tests.support import encoder, make_world, table, toy_agreement

RELEASES = 1000
PLAIN = {"he": False, "masks": False}


@dataclass(frozen=True)
class Teacher:
    """A teacher of the toy world with few records."""

    agreement: Agreement
    data: PrivateData
    plan: NoisePlan

    @classmethod
    def make(cls, seed: int) -> Teacher:
        keys = {name: f"{at:064x}" for at, name in enumerate(("teacher-1", "teacher-2"))}
        keys |= {role: f"{at:064x}" for at, role in enumerate(ROLES, 10)}
        agreement = toy_agreement(keys)
        return cls(agreement, PrivateData(*table(seed, 12)), noise_plan(agreement, "teacher-1"))

    def release(self, noise: Noise) -> NoisySummary:
        return read_private(
            self.data.records,
            self.data.labels,
            encoder=encoder(),
            agreement=self.agreement,
            teacher="teacher-1",
            noise=noise,
        )[0]

    def draw(self) -> Noise:
        return draw_noise(SystemNoise(), self.plan.shape, self.plan.event.noise_scale)

    def silence(self) -> Noise:
        return Noise(int_array([0] * self.plan.shape.noise_values), seeded=False)


ROLES = ("aggregator", "key-holder", "student")


def flat(summary: NoisySummary) -> IntArray:
    return np.concatenate([summary.sums.ravel(), summary.counts])


# --- what is added ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.statistical
def test_what_a_release_adds_to_the_exact_sums_is_the_discrete_gaussian() -> None:
    """If this fails, what leaves a teacher has other noise than its ledger is charged for.

    Two teachers' releases, 1,000 of each, from records to noisy sums; what the exact sums are is
    taken off. 36,000 values in all, 18 of each release.
    """
    found = []
    for seed in (1, 2):
        teacher = Teacher.make(seed)
        exact = flat(teacher.release(teacher.silence()))
        assert exact.any()
        found.append(
            np.stack([flat(teacher.release(teacher.draw())) - exact for _ in range(RELEASES)])
        )
    scale = teacher.plan.event.noise_scale
    together = np.concatenate(found)
    bad = {n: p for n, p in checks(together.ravel(), scale).items() if p < LEVEL}
    assert bad == {}
    # Every coordinate of its own, counts included: the level is for all 18 together.
    assert min(variance(column, scale) for column in together.T) > LEVEL / 18
    # Between coordinates of a release (153 pairs), between parties, and between runs.
    correlations = np.corrcoef(together.T.astype(float))
    largest = np.abs(correlations[np.triu_indices(18, 1)]).max()
    assert normal(float(largest) * np.sqrt(2 * RELEASES)) > LEVEL / 153
    one, other = (noise.astype(float) for noise in found)
    assert correlated(one.ravel(), other.ravel()) > LEVEL
    assert correlated(one[1:].ravel(), one[:-1].ravel()) > LEVEL


def test_a_release_is_its_exact_sums_plus_the_noise_that_was_drawn() -> None:
    """If this fails, noise is scaled, cut off or left out on the way."""
    teacher = Teacher.make(1)
    exact = flat(teacher.release(teacher.silence()))
    for _ in range(20):
        noise = teacher.draw()
        assert np.array_equal(flat(teacher.release(noise)), exact + noise.values)


def summaries_of(run: LocalRun) -> dict[str, NoisySummary]:
    """Run, and return what each teacher's site made of its records and its noise."""
    seen: dict[str, NoisySummary] = {}
    for name in run.agreement.teachers:
        site = run.sites[name]

        def keep(noise: Noise, name: str = name, site: LocalSite = site) -> NoisySummary:
            seen[name] = LocalSite.read_private(site, noise)
            return seen[name]

        site.read_private = keep  # type: ignore[method-assign]
    outcome = Network(run).execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    return seen


@pytest.mark.slow
@pytest.mark.statistical
def test_no_two_parties_and_no_two_runs_share_noise(tmp_path: Path) -> None:
    """If this fails, the difference of two releases shows the difference of their records.

    Two whole runs of the same four teachers, by the engine: 8 releases of 18 values. Their squares
    add up to a chi-square of 144 degrees of freedom; two that were the same, or opposite, or
    mixed of one another to more than nine tenths, would show in the pair's correlation.
    """
    from scipy import stats

    world = make_world(tmp_path, protection=PLAIN)
    noises = []
    for _ in range(2):
        run = world.local_run()
        made = summaries_of(run)
        run.discard()
        for name, noisy in made.items():
            plan = noise_plan(run.agreement, name)
            private = run.agreement.mechanism
            encoding = encoder().encode(world.data[name].records)
            rows, valid = to_grid(encoding.values, private.clip_norm, private.grid)
            exact, _ = summarise(
                rows,
                world.data[name].labels,
                valid & encoding.valid,
                plan.shape.classes,
                plan.count_unit,
                grid=private.grid,
            )
            drawn = flat(noisy) - np.concatenate([exact.sums.ravel(), exact.counts])
            noises.append(drawn / plan.event.noise_scale)
    together = np.stack(noises)
    squares = float((together**2).sum())
    size = together.size
    assert size == 144
    assert min(stats.chi2.cdf(squares, size), stats.chi2.sf(squares, size)) > LEVEL / 2
    pairs = np.corrcoef(together)[np.triu_indices(8, 1)]
    # Of 18 independent normal values r sqrt(16 / (1 - r^2)) is Student's t (16): 28 pairs.
    t = np.abs(pairs).max() * np.sqrt(16 / (1 - pairs[np.abs(pairs).argmax()] ** 2))
    assert 2 * stats.t.sf(t, 16) > LEVEL / 28


# --- in which numbers ------------------------------------------------------------------


def test_sums_keep_every_bit_that_a_double_would_lose() -> None:
    """If this fails, a floating-point number touched a sum, and rounding tells its size."""
    sums = np.array([[2**60 + 1, -(2**60) - 3]], dtype=np.int64)
    summary = PrivateSummary(int_array(sums), int_array([2**53 + 1]))
    noise = Noise(int_array([2, -4, 2**54 + 1]), seeded=True)
    noisy = add_noise(summary, noise, noise_scale=1e6, grid=10, count_unit=1)
    assert noisy.sums.tolist() == [[2**60 + 3, -(2**60) - 7]]
    assert noisy.counts.tolist() == [2**53 + 1 + 2**54 + 1]
    for values in (noisy.sums, noisy.counts):
        assert values.dtype == np.int64


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int32, np.uint64, np.longdouble])
def test_noise_and_sums_of_any_other_type_are_refused(kind: Any) -> None:
    """If this fails, noise with the holes of floating point is added without a word."""
    sums, counts = np.zeros((2, 3), np.int64), np.zeros(2, np.int64)
    noise = np.zeros(8, np.int64)
    for bad in (
        (PrivateSummary(sums.astype(kind), counts), Noise(noise, seeded=True)),
        (PrivateSummary(sums, counts.astype(kind)), Noise(noise, seeded=True)),
        (PrivateSummary(sums, counts), Noise(noise.astype(kind), seeded=True)),
    ):
        with pytest.raises(PrivacyParameterError, match="int64"):
            add_noise(*bad, noise_scale=1.0, grid=10, count_unit=1)

    class Other:
        seeded = True

        def discrete_gaussian(self, scale: float, size: int) -> Any:
            return np.full(size, round(scale), dtype=kind)

    shape = Teacher.make(1).plan.shape
    with pytest.raises(PrivacyParameterError, match="type"):
        draw_noise(Other(), shape, 10.0)


FLOATING = {"float", "float64", "float32", "double", "true_divide", "divide", "mean", "sqrt"}


def floating_in(function: Any) -> list[str]:
    """Return what in a function's code could make a floating-point number."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(repr(node.value))
        elif isinstance(node, ast.Div | ast.Pow):
            found.append(type(node).__name__)
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            found += [name] if name in FLOATING else []
    return found


def test_no_floating_point_operation_stands_between_the_rows_and_the_noisy_sums() -> None:
    """If this fails, somebody put a division or a float between exact sums and their noise.

    By the code: in what adds up and what adds noise. The scale of the noise is a number beside the
    sums: its annotation is the one word "float" there.
    """
    for adding in (clipping.summarise, int_array, mechanisms._check_range):
        assert floating_in(adding) == [], adding.__name__
    for drawing in (mechanisms.draw_noise, mechanisms.add_noise):
        assert floating_in(drawing) == ["float"], drawing.__name__
    assert floating_in(clipping.to_grid)  # rows become whole numbers there: the search sees it


def test_nothing_touches_a_raw_summary_between_adding_up_and_adding_noise() -> None:
    """If this fails, something else sees exact sums, or changes them, in the one function."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(noisy_release.release_encoded)))
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "summary"]
    assert [type(use.ctx) for use in uses] == [ast.Store, ast.Load]
    (adding,) = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "add_noise"
    ]
    assert ast.unparse(adding.args[0]) == "summary"


# --- when ------------------------------------------------------------------------------


class Listening(SystemNoise):
    """The system's noise, that tells when it is asked."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def discrete_gaussian(self, scale: float, size: int) -> IntArray:
        self.told.append(f"noise of {size}")
        return super().discrete_gaussian(scale, size)


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["usual", "no record"])
def test_the_noise_of_a_run_is_drawn_before_its_records_are_touched(
    tmp_path: Path, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, the time that noise takes can tell of the records that it is for.

    One batch of a size that the agreement fixes, whole before the encoder sees a private record;
    and none while records are read.
    """
    world = make_world(tmp_path, protection=PLAIN)
    records, labels = table(1, 200)
    records = {
        "usual": records,
        "no record": records[:0],
    }[variant]
    world.data["teacher-2"] = PrivateData(records, labels[: len(records)])
    told: list[str] = []
    world.noise = Listening(told)
    original = noisy_release.read_private

    def reading(*args: Any, **named: Any) -> Any:
        told.append(f"{named['teacher']} reads")
        found = original(*args, **named)
        told.append(f"{named['teacher']} has read")
        return found

    monkeypatch.setattr("secure_fedsa.engines.site.read_private", reading)
    outcome = Network(world.local_run()).execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    size = noise_plan(world.agreement(), "teacher-2").shape.noise_values
    drawn = 0
    for before, event in zip(["", *told], told, strict=False):
        if event.startswith("noise"):
            assert event == f"noise of {size}"
            assert not before.endswith(" reads")
            drawn += 1
        elif event.endswith(" reads"):
            drawn -= 1
            assert drawn >= 0
        else:
            assert before == event.replace("has read", "reads")
    assert drawn == 0
    assert sum(event.endswith(" reads") for event in told) == 4
