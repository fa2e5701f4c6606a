"""Who opens the sum, and what of it is shown: as the agreement says, and not otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.run_folder import public_bodies
from secure_fedsa.messages import FeatureKey, Permit, Release, Roster, SealedSum
from secure_fedsa.signals import from_int64_bytes
from secure_fedsa.wire import canonical
from secure_fedsa.wire.envelope import Header, parse
from tests.engines.network import Network, body_of, opened_sums
from tests.support import World, make_world

PLAIN = {"he": False, "masks": False}
WITHHELD = {"sums": False, "ciphertexts": False, "feature_key": False}


def kinds_by(outcome: Outcome) -> dict[str, list[str]]:
    """Return who sent each kind."""
    found: dict[str, list[str]] = {}
    for data in outcome.envelopes:
        header = parse(data).header
        found.setdefault(header.kind, []).append(header.sender)
    return found


def one(outcome: Outcome, kind: type[Any]) -> Any:
    """Return the one public body of a kind."""
    (found,) = [body for _, body in public_bodies(outcome.envelopes) if isinstance(body, kind)]
    return found


def lies(
    world: World, sender: str, kind: str, change: Callable[[Network, Any], tuple[str, Any]]
) -> Outcome:
    """Run with one party's messages of a kind replaced by what ``change`` says, from whom."""
    run = world.local_run()

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        del recipient
        if (header.sender, header.kind) != (sender, kind):
            return [data]
        speaker, told = change(network, body_of(data))
        return [network.forge(speaker, told, header.recipient, 60 + header.sequence)]

    network = Network(run, hook)
    return network.execute()


@pytest.mark.slow
def test_the_aggregator_opens_the_sum_that_the_key_holder_permits(tmp_path: Path) -> None:
    """With custody at the aggregator the key holder still checks and logs every sum first."""
    world = make_world(tmp_path, teachers=3, custody="aggregator")
    run = world.local_run()
    held: dict[str, bytes] = {}
    network = Network(run)

    def watch(party: str, effect: Any) -> None:
        del effect
        held[party] = held.get(party, b"") or network.parties[party].session.feature_secret

    network.watch = watch
    outcome = network.execute()
    assert outcome.problem == ""
    senders = kinds_by(outcome)
    for kind in ("feature-key", "sum", "release"):
        assert senders[kind] == ["aggregator"], kind
    assert senders["permit"] == ["key-holder"]
    assert held["aggregator"]
    assert not any(secret for party, secret in held.items() if party != "aggregator")
    (logged,) = opened_sums(run)
    permit, release = one(outcome, Permit), one(outcome, Release)
    assert permit.sum_hash == release.sum_hash == logged["sum_hash"]
    assert permit.signal_ids == release.signal_ids == logged["signal_ids"]
    assert (from_int64_bytes(release.values) == world.released[0].values).all()
    assert network.erased == set(run.agreement.parties)


@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_a_sum_that_is_not_published_reaches_the_student_alone(
    tmp_path: Path, custody: str
) -> None:
    """An agreement may keep the sum from teachers and readers: then no message may show it."""
    world = make_world(tmp_path, protection=PLAIN, custody=custody, publish=WITHHELD)
    run = world.local_run()
    outcome = run.execute()
    senders = kinds_by(outcome)
    assert senders["sealed-sum"] == senders["release"] == [custody]
    assert one(outcome, Release).values == b""
    assert not any(isinstance(body, SealedSum) for _, body in public_bodies(outcome.envelopes))
    (released,) = world.released
    shown = canonical.to_base64(released.values.astype("<i8").tobytes())[:400].encode()
    told = [data for data in outcome.envelopes if parse(data).header.kind == "release"]
    assert all(shown not in data for data in told)
    assert released.values.size == run.agreement.feature_values


REFUSED: list[tuple[str, dict[str, Any], str, str, Callable[[Network, Any], Any]]] = [
    (
        "publish.scores",
        {"publish": {"scores": "none", "feature_key": False}},
        "roster",
        "key-holder",
        lambda _, body: replace(body, scores=dict.fromkeys(body.members, 1.0)),
    ),
    (
        "publish.scores",
        {"publish": {"scores": "order", "feature_key": False}},
        "roster",
        "key-holder",
        lambda _, body: replace(body, scores=dict.fromkeys(body.members, 1.0)),
    ),
    (
        "selection",
        {"selection": {"select": 3}},
        "roster",
        "key-holder",
        lambda _, body: replace(body, members=("teacher-1", "teacher-2")),
    ),
    (
        "publish.sums",
        {},
        "release",
        "key-holder",
        lambda _, body: replace(body, values=b""),
    ),
    (
        "publish.sums",
        {"publish": WITHHELD},
        "release",
        "key-holder",
        lambda _, body: replace(body, values=bytes(128)),
    ),
    (
        "publish.feature_key",
        {},
        "release",
        "key-holder",
        lambda _, body: replace(body, secret_key=b"key"),
    ),
    (
        "custody",
        {"custody": "aggregator"},
        "release",
        "key-holder",
        lambda _, body: body,
    ),
    (
        "custody",
        {"custody": "aggregator"},
        "feature-key",
        "key-holder",
        lambda _, body: FeatureKey(body.public_key),
    ),
    (
        "custody",
        {},
        "release",
        "key-holder",
        lambda _, body: Permit(body.roster_hash, body.sum_hash, body.signal_ids),
    ),
]


@pytest.mark.parametrize(("clause", "changes", "kind", "speaker", "told"), REFUSED)
def test_what_the_agreement_does_not_allow_is_refused_by_its_clause(
    tmp_path: Path,
    clause: str,
    changes: dict[str, Any],
    kind: str,
    speaker: str,
    told: Callable[[Network, Any], Any],
) -> None:
    """A party must be able to say which signed clause it refused for."""
    world = make_world(tmp_path, protection=PLAIN, **changes)
    sender = changes.get("custody", "key-holder")
    outcome = lies(world, sender, kind, lambda network, body: (speaker, told(network, body)))
    assert any(f"The agreement's clause: {clause}." in text for text in outcome.refused), (
        outcome.refused
    )
    assert world.released == []


@pytest.mark.parametrize("field", ["roster_hash", "sum_hash", "signal_ids"])
def test_a_permit_for_anything_else_opens_nothing(tmp_path: Path, field: str) -> None:
    """The log would name one sum and the aggregator open another."""
    world = make_world(tmp_path, protection=PLAIN, custody="aggregator")
    other: Any = {"teacher-1": "0" * 64} if field == "signal_ids" else "0" * 64
    outcome = lies(
        world,
        "key-holder",
        "permit",
        lambda _, body: ("key-holder", replace(body, **{field: other})),
    )
    assert any("permitted another sum" in text for text in outcome.refused)
    assert "No release of the permitted sum came" in outcome.problem
    assert world.released == []


def test_an_unpublished_score_is_in_no_roster(tmp_path: Path) -> None:
    """Scores tell how much an institution's task resembles the student's."""
    world = make_world(tmp_path, protection=PLAIN, publish={"scores": "none"})
    outcome = world.local_run().execute()
    assert one(outcome, Roster).scores == {}
