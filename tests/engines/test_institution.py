"""A sum that hides single institutions: shares in real runs, and what the readers of it can do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import beta, norm

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.entropy import SystemNoise
from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.messages import Roster
from secure_fedsa.models.scatter import between_scatter, upper_triangle
from secure_fedsa.planning import check_promises
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.privacy.shares import clip_to_norm, draw_share
from secure_fedsa.report.html import report_html
from secure_fedsa.report.model_card import model_card
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.noisy_release import (
    derive_signal,
    noise_plan,
    read_private,
    share_plan,
)
from secure_fedsa.signals import IntArray, Noise, NoisySummary, from_int64_bytes, int_array
from tests.audit import folders
from tests.engines.network import Network, body_of, lie, muted, opened_sums
from tests.protocols.implementations import by_reference
from tests.support import World, encoder, institution_promise, make_world, table

MANY, FEWEST = 8, 7


class Crash(Exception):
    """The power is gone."""


def hiding(folder: Path, teachers: int = 4, smallest: int = 3, **changes: Any) -> World:
    """Return a world whose sum hides single institutions."""
    return make_world(folder, teachers, **institution_promise(smallest), **changes)


@contextmanager
def watched(run: LocalRun) -> Iterator[tuple[dict[str, NoisySummary], dict[str, list[IntArray]]]]:
    """Write down every teacher's summary and shares."""
    summaries: dict[str, NoisySummary] = {}
    shares: dict[str, list[IntArray]] = {name: [] for name in run.agreement.teachers}
    for name in run.agreement.teachers:
        site = run.sites[name]

        def read(noise: Noise, name: str = name, original: Any = site.read_private) -> Any:
            summaries[name] = original(noise)
            return summaries[name]

        def draw(request: Any, name: str = name, original: Any = site.draw) -> Any:
            drawn = original(request)
            if isinstance(request, fx.ShareDraw):
                shares[name].append(from_int64_bytes(drawn[0]))
            return drawn

        site.read_private = read  # type: ignore[method-assign]
        site.draw = draw  # type: ignore[method-assign]
    yield summaries, shares


def clipped(summary: NoisySummary, agreement: Agreement) -> IntArray:
    """Return a teacher's signal without its share, by the specification's text."""
    scatter, _ = between_scatter(summary, count_floor=agreement.mechanism.count_floor)
    integers = np.trunc(upper_triangle(scatter) * agreement.features.scale).astype(np.int64)
    integers = np.clip(integers, -agreement.features.bound, agreement.features.bound)
    return clip_to_norm(int_array(integers), agreement.institution_promise.norm_bound).values


@pytest.mark.slow
def test_the_opened_sum_is_that_of_the_clipped_signals_and_the_shares(tmp_path: Path) -> None:
    """If this fails, members hide one another by other noise than report and receipt say."""
    world = hiding(tmp_path / "state", MANY, FEWEST)
    seen: dict[str, Any] = {}
    make = world.local_run

    def keep(build: Any) -> LocalRun:
        run = make(build)
        with watched(run) as seen["kept"]:
            return run

    world.local_run = keep  # type: ignore[assignment]
    run, outcome, student = folders.run_to_the_end(world)
    agreement, (summaries, shares) = run.agreement, seen["kept"]
    assert outcome.problem == ""
    assert outcome.refused == ()
    folder = folders.close(run, outcome, student)
    assert folder.facts.roster.members == agreement.teachers
    assert folder.facts.roster.scores == {}
    modulus = agreement.encryption.plain_modulus
    total = sum(clipped(summaries[name], agreement) + shares[name][0] for name in shares)
    (release,) = [body_of(data) for data in outcome.envelopes if b'"release"' in data]
    opened = from_int64_bytes(release.values)
    assert len(opened) == agreement.feature_values == 15
    assert np.array_equal(opened % modulus, total % modulus)
    assert {len(drawn) for drawn in shares.values()} == {1}
    without = sum(clipped(summary, agreement) for summary in summaries.values())
    assert not np.array_equal(opened, without)

    place = folder.write(tmp_path / "run")
    verdict = verify_folder(place)
    assert "institution-share" in {entry["claim"] for entry in verdict.attested}
    assert by_reference(place).accepted
    planned = next(
        one for one in check_promises(agreement).institution if one.view == "sum-and-colluding"
    )
    assert planned.shares == FEWEST - 1
    assert folder.summary["institution_privacy"]["sum-and-colluding"] == planned.epsilon
    for made in (report_html, model_card):
        text = made(folder.facts, folder.summary)
        assert "For one whole member the opened sum is differentially private" in text
        assert f"and on {FEWEST - 1} members that drew their shares" in text


def test_shares_are_drawn_before_the_records_are_read_and_once(tmp_path: Path) -> None:
    """Two shares of one charge would cancel; one drawn after the records could follow them."""
    world = hiding(tmp_path)
    run, state = world.local_run(), {"armed": True}
    orders: dict[str, list[str]] = {}

    def observe(party: str, effect: fx.Effect) -> None:
        match effect:
            case fx.Persist(record=fx.ReserveCharge()):
                orders.setdefault(party, []).append("charge")
            case fx.DrawEntropy(draw=fx.ShareDraw()):
                orders[party].append("share")
            case fx.DrawEntropy(draw=fx.NoiseDraw()):
                orders[party].append("noise")
            case fx.ReadPrivate():
                if state["armed"]:
                    state["armed"] = False
                    raise Crash(party)
                orders[party].append("read")

    with watched(run) as (_, first), pytest.raises(Crash):
        run.execute(observe=observe)
    again = world.local_run()
    with watched(again) as (summaries, second):
        assert again.execute(observe=observe).problem == ""
    for order in orders.values():
        assert [step for step in order if step != "noise"] == ["charge", "share", "read"]
        assert order.index("share") < order.index("read")
    drawn = {name: first[name] + second[name] for name in first}
    assert {len(shares) for shares in drawn.values()} == {1}
    (released,) = world.released
    total = sum(clipped(summaries[name], again.agreement) + drawn[name][0] for name in drawn)
    assert np.array_equal(released.values, total)


def summary(number: int, agreement: Agreement) -> NoisySummary:
    """Return the noisy summary of one teacher's toy records."""
    plan = noise_plan(agreement, "teacher-1")
    noise = draw_noise(SystemNoise(), plan.shape, plan.event.noise_scale)
    noisy, _ = read_private(
        *table(number, 200),
        encoder=encoder(),
        agreement=agreement,
        teacher="teacher-1",
        noise=noise,
    )
    return noisy


def test_a_reply_says_nothing_of_a_signal(tmp_path: Path) -> None:
    """If this fails, scores tell the key holder of a teacher what no noise hides."""
    run = hiding(tmp_path).local_run()
    network = Network(run)
    assert network.execute().problem == ""
    holder = network.parties["key-holder"].state
    assert set(holder.scores.values()) == {0.0}
    assert set(holder.roster.members) == set(run.agreement.teachers)
    share = draw_share(SystemNoise(), share_plan(run.agreement))
    signals = [derive_signal(summary(n, run.agreement), run.agreement, share) for n in (1, 2)]
    assert not np.array_equal(signals[0].features, signals[1].features)
    for signal in signals:
        assert len(signal.saliency) == run.agreement.saliency.values
        assert not signal.saliency.any()


def test_no_value_is_cut_or_refused_after_its_share(tmp_path: Path) -> None:
    """Cut values add up to no function of the sum, and then nothing is proved about it."""
    agreement = hiding(tmp_path).agreement()
    modulus, count = agreement.encryption.plain_modulus, agreement.feature_values
    far = int_array(np.array([(-1) ** at * (2**50 + at) for at in range(count)]))
    noisy = summary(1, agreement)
    made = derive_signal(noisy, agreement, Noise(far, seeded=False))
    exact = clipped(noisy, agreement) + far
    assert np.array_equal(made.features, exact)
    assert np.array_equal(suite_of(agreement).encode(made).residues, exact % modulus)
    norm_bound = agreement.institution_promise.norm_bound
    squares = sum(int(v) ** 2 for v in clipped(noisy, agreement))
    assert 0.9 * norm_bound**2 < squares <= norm_bound**2


def test_a_signal_without_its_share_does_not_leave(tmp_path: Path) -> None:
    """A step that was forgotten would show one institution under nobody's noise but others'."""
    agreement = hiding(tmp_path).agreement()
    with pytest.raises(PrivacyParameterError, match="without its share"):
        derive_signal(summary(1, agreement), agreement)
    short = Noise(int_array([0]), seeded=False)
    with pytest.raises(PrivacyParameterError, match="another length"):
        derive_signal(summary(1, agreement), agreement, short)


@pytest.mark.slow
def test_a_roster_below_the_agreed_minimum_is_refused(tmp_path: Path) -> None:
    """Shares are counted for the smallest sum: over fewer members the noise is too little."""
    run = hiding(tmp_path / "a", 5, 4).local_run()

    def silent(header: Any, _: str, data: bytes) -> list[bytes]:
        lost = header.sender in {"teacher-1", "teacher-2"} and header.kind in {"reply", "blind"}
        return [] if lost else [data]

    outcome = Network(run, silent).execute()
    assert "3 teachers are left" in outcome.problem
    assert "a sum needs 4" in outcome.problem
    assert opened_sums(run) == []

    def fewer(_: Network, body: Roster) -> Roster:
        return replace(body, members=body.members[:3])

    run, outcome, _ = lie(hiding(tmp_path / "b", 5, 4), "key-holder", "roster", fewer)
    assert all(b'"roster-signature"' not in data for data in outcome.envelopes)
    assert all(b'"kind":"upload"' not in data for data in outcome.envelopes)
    assert any("signed a roster of 3 members" in text for text in outcome.refused)


@pytest.mark.slow
def test_a_member_may_drop_out_down_to_the_agreed_minimum(tmp_path: Path) -> None:
    """Else one silent teacher costs all others their charge."""
    world = hiding(tmp_path, 4, 3)
    run = world.local_run()
    assert Network(run, muted("teacher-3", "reply", "blind")).execute().problem == ""
    assert world.released[0].members == ("teacher-1", "teacher-2", "teacher-4")


def _surely(hits: int, trials: int, *, least: bool) -> float:
    """Return a bound of a probability (Clopper and Pearson), wrong once in 10^7."""
    if least:
        return float(beta.ppf(1e-7, hits, trials - hits + 1))
    return float(beta.isf(1e-7, hits + 1, trials - hits))


def _least_mu(agreement: Agreement, shares: int, trials: int) -> float:
    """Attack sums of a known member, or of zero, under so many shares; return a bound of mu.

    The attacker knows the signal, and took all others' signals and its accomplices' shares off.
    """
    event, source, modulus = (
        share_plan(agreement),
        SystemNoise(),
        agreement.encryption.plain_modulus,
    )
    noisy = summary(1, agreement)
    known = clipped(noisy, agreement).astype(np.float64)
    hits = {"there": 0, "zero": 0}
    for case in hits:
        for _ in range(trials):
            share = draw_share(source, event)
            seen = share.values
            if case == "there":
                seen = derive_signal(noisy, agreement, share).features
            for _ in range(shares - 1):
                seen = seen + draw_share(source, event).values
            opened = (seen + modulus // 2) % modulus - modulus // 2
            hits[case] += float(opened @ known) > float(known @ known) / 2
    found = _surely(hits["there"], trials, least=True)
    false = _surely(hits["zero"], trials, least=False)
    return float(norm.ppf(found) - norm.ppf(false))


@pytest.mark.slow
@pytest.mark.statistical
def test_who_knows_everything_but_one_member_and_its_shares_tells_no_more_than_epsilon(
    tmp_path: Path,
) -> None:
    """If this fails, the sum tells more of one institution than the report says.

    The best test of one member against zero, by whoever knows all else, on 2,500 sums each: under
    as many shares as the plan counts its power is within the claim; under one share less it is
    beyond it, so the test can see what a member that leaves its share out costs. False once in
    10^6 runs.
    """
    agreement = hiding(tmp_path, 4, 3).agreement()
    event = share_plan(agreement)
    counted = event.shares("sum-and-colluding")
    assert counted == 2
    claimed = math.sqrt(2 * event.rho("sum-and-colluding"))
    assert 0.5 * claimed < _least_mu(agreement, counted, 2_500) <= claimed
    assert _least_mu(agreement, counted - 1, 2_500) > claimed
