"""Whatever the agreement does not allow is refused, and the refusal names the entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import ReleaseRefused, RunAborted
from secure_fedsa.messages import (
    FeatureKey,
    LedgerSegment,
    Permit,
    Query,
    QueryKey,
    QuerySecret,
    Release,
    Roster,
)
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.privacy.ledger_entries import make_entry
from secure_fedsa.roles.effects import LogRelease, Persist, Send
from secure_fedsa.roles.key_holder import _release
from secure_fedsa.roles.release_gate import conflict_of, gate
from secure_fedsa.roles.rosters import Opened
from secure_fedsa.roles.session import query_hash_of
from tests.engines.network import Change, Network, lie
from tests.support import DIMENSION, make_world, probes

PLAIN = {"he": False, "masks": False}
ALL = ("teacher-1", "teacher-2", "teacher-3", "teacher-4")
LONG_QUERY = (bytes(8),) * 4


@dataclass(frozen=True)
class Breach:
    """One party that breaks one entry of the agreement.

    Attributes:
        clause: The entry that the refusal must name.
        changes: What makes it an entry to break.
    """

    clause: str
    sender: str
    kind: str
    change: Change
    changes: dict[str, Any] = field(default_factory=lambda: {"protection": PLAIN})


def members(count: int) -> Change:
    """Return a roster of the first teachers, its other claims as they were."""
    return lambda _, body: replace(body, members=ALL[:count])


def below_threshold(_: Any, body: Roster) -> Roster:
    return replace(body, scores={**body.scores, body.members[0]: -200.0})


def worse_chosen(_: Any, body: Roster) -> Roster:
    left_out = next(name for name in ALL if name not in body.members)
    return replace(body, members=tuple(sorted((left_out, *body.members[1:]))))


def ranked_otherwise(_: Any, body: Roster) -> Roster:
    turned = {name: 5.0 - place for name, place in body.scores.items()}
    return replace(body, scores=turned)


def other_delta(_: Any, body: LedgerSegment) -> LedgerSegment:
    return rewritten(body, lambda charge: {**charge, "delta": charge["delta"] / 10})


def past_the_budget(_: Any, body: LedgerSegment) -> LedgerSegment:
    return rewritten(body, lambda charge: {**charge, "agreement_rho": 50.0})


def rewritten(
    body: LedgerSegment, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> LedgerSegment:
    """Return the segment with another charge and sound hashes."""
    entries: list[Any] = []
    for entry in body.entries:
        told = change(entry["body"]) if entry["kind"] == "reserve" else entry["body"]
        previous = entries[-1]["hash"] if entries else entry["previous"]
        new = make_entry(
            entry["data_set"],
            entry["kind"],
            entry["run_id"],
            told,
            position=entry["position"],
            previous=previous,
        )
        entries.append(new)
    return LedgerSegment(tuple(entries), entries[-1]["hash"])


BREACHES = {
    "a role that may not": Breach(
        "parties", "teacher-2", "upload", lambda net, _: net.parties["teacher-2"].state.roster
    ),
    "a public key of the arm without": Breach(
        "protection.he", "key-holder", "feature-key", lambda *_: FeatureKey(b"some")
    ),
    "a feature key cut short": Breach(
        "encryption",
        "key-holder",
        "feature-key",
        lambda _, body: FeatureKey(body.public_key[:-1]),
        {},
    ),
    "a query modulus of other bits": Breach(
        "encryption.query_modulus_bits",
        "student",
        "query-key",
        lambda _, body: replace(body, modulus=body.modulus[:-1]),
        {},
    ),
    "an upload of other length": Breach(
        "encoder.dimension",
        "teacher-2",
        "upload",
        lambda _, body: replace(body, values=body.values + 1),
    ),
    "an upload cut short": Breach(
        "encryption",
        "teacher-2",
        "upload",
        lambda _, body: replace(body, ciphertext=body.ciphertext[:-8]),
    ),
    "a charge at another delta": Breach("privacy", "teacher-2", "ledger", other_delta),
    "a total past the budget": Breach(
        "privacy.agreement_budget", "teacher-2", "ledger", past_the_budget
    ),
    "too few for the cohort": Breach(
        "selection.minimum_cohort",
        "key-holder",
        "roster",
        members(3),
        {"protection": PLAIN, "selection": {"minimum_cohort": 4, "max_colluding": 1}},
    ),
    "too few for the colluding": Breach(
        "selection.max_colluding",
        "key-holder",
        "roster",
        members(3),
        {"protection": PLAIN, "selection": {"minimum_cohort": 1, "max_colluding": 2}},
    ),
    "too many": Breach(
        "selection.select",
        "key-holder",
        "roster",
        members(4),
        {"protection": PLAIN, "selection": {"select": 3}},
    ),
    "a member below the threshold": Breach(
        "selection.threshold", "key-holder", "roster", below_threshold
    ),
    "another choice than by score": Breach(
        "selection.select",
        "key-holder",
        "roster",
        worse_chosen,
        {"protection": PLAIN, "selection": {"select": 3}},
    ),
    "another choice than by rank": Breach(
        "selection.select",
        "key-holder",
        "roster",
        ranked_otherwise,
        {"protection": PLAIN, "selection": {"select": 3}, "publish": {"scores": "order"}},
    ),
    "scores that stay secret": Breach(
        "publish.scores",
        "key-holder",
        "roster",
        lambda _, body: replace(body, scores={"teacher-1": 0.5}),
        {"protection": PLAIN, "publish": {"scores": "none"}},
    ),
    "scores for ranks": Breach(
        "publish.scores",
        "key-holder",
        "roster",
        lambda _, body: replace(body, scores=dict.fromkeys(body.scores, 0.5)),
        {"protection": PLAIN, "publish": {"scores": "order"}},
    ),
    "a sum kept back": Breach(
        "publish.sums", "key-holder", "release", lambda _, body: replace(body, values=b"")
    ),
    "a key that stays secret": Breach(
        "publish.feature_key",
        "key-holder",
        "release",
        lambda _, body: replace(body, secret_key=b"key"),
    ),
    "values beyond the bound": Breach(
        "features.bound",
        "key-holder",
        "release",
        lambda _, body: replace(body, values=bytes(7) + b"\x40" + body.values[8:]),
    ),
    "a result of another sum": Breach(
        "publish.sums", "student", "result", lambda _, body: replace(body, opened="0" * 64)
    ),
    "a sum of other length": Breach(
        "encoder.dimension",
        "aggregator",
        "sum",
        lambda _, body: replace(body, values=body.values + 1),
    ),
    "primes of another key": Breach(
        "encryption.query_modulus_bits", "student", "query-secret", lambda *_: QuerySecret(())
    ),
    "a permit where none is needed": Breach(
        "custody",
        "key-holder",
        "release",
        lambda _, body: Permit(body.roster_hash, body.sum_hash, body.signal_ids),
    ),
}


@pytest.mark.parametrize("what", BREACHES)
def test_what_is_not_agreed_is_refused_and_its_entry_named(tmp_path: Path, what: str) -> None:
    """Who is refused, or audits a refusal, must find the sentence that it rests on."""
    breach = BREACHES[what]
    world = make_world(tmp_path, **breach.changes)
    _, outcome, network = lie(world, breach.sender, breach.kind, breach.change)
    # A wrong result is not refused: it ends the run for whoever knows better.
    told = network.problems.values() if breach.kind == "result" else outcome.refused
    named = f"The agreement's clause: {breach.clause}."
    assert any(named in text for text in told), [*told]
    assert network.erased == set(network.parties)  # nobody waits for ever, keys on disk


def test_a_query_of_other_directions_is_refused_by_name(tmp_path: Path) -> None:
    """Its hash is as published, so only its length tells."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()

    def longer(header: Any, recipient: str, data: bytes) -> list[bytes]:
        if header.sender != "student" or header.kind not in ("query-key", "query"):
            return [data]
        key = QueryKey(b"none", (), query_hash_of(LONG_QUERY))
        told = key if header.kind == "query-key" else Query(LONG_QUERY)
        del recipient
        return [network.forge("student", told, header.recipient, header.sequence)]

    network = Network(run, longer)
    outcome = network.execute()
    assert any("clause: saliency.directions." in text for text in outcome.refused)
    assert "Nothing was charged" in outcome.problem


OWN: dict[str, dict[str, Any]] = {
    "encoder.sha256": {"encoder": {"sha256": "0" * 64}},
    "encoder.dimension": {"encoder": {"dimension": 4}},
    "encoder.probes_sha256": {"encoder": {"probes_sha256": "0" * 64}},
    "privacy.clip_norm": {"privacy": {"clip_norm": 1.5}},
}


@pytest.mark.parametrize("clause", OWN)
def test_an_agreement_that_is_not_about_what_a_party_holds_is_refused_before_any_charge(
    tmp_path: Path, clause: str
) -> None:
    """The student too: it would else train on probes that nobody agreed on."""
    world = make_world(tmp_path, protection=PLAIN, **OWN[clause])
    run = world.local_run()
    with pytest.raises(RunAborted, match=rf"{clause}.*Nothing was charged"):
        run.execute()


def test_the_student_too_must_hold_the_agreed_encoder(tmp_path: Path) -> None:
    """It would else learn from the sum on other axes, with the charges spent."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()
    other = EncoderSpec(dimension=DIMENSION, units=17)
    run.sites["student"].encoder = PublicEncoder.fit(probes(), other)
    with pytest.raises(RunAborted, match=r"encoder\.sha256: student.*Nothing was charged"):
        run.execute()


@dataclass
class Gate:
    """A key holder's state at the moment before it opens its sum."""

    state: Any


@pytest.fixture
def at_the_gate(tmp_path: Path) -> Gate:
    """Run to the end with four members where three suffice: nothing is forbidden yet."""
    world = make_world(
        tmp_path, protection=PLAIN, selection={"minimum_cohort": 1, "max_colluding": 1}
    )
    network = Network(world.local_run())
    network.execute()
    state = network.parties["key-holder"].state
    gate(state)
    return Gate(state)


def test_the_gate_keeps_a_signal_out_of_a_second_sum(at_the_gate: Gate) -> None:
    """Two sums with one signal in both: their difference shows the others without it."""
    state = at_the_gate.state
    before = Opened("another run", frozenset("xyz"), frozenset([state.signal_ids["teacher-2"]]))
    with pytest.raises(ReleaseRefused, match="signal was in an opened sum"):
        gate(replace(state, opened_before=(before,)))
    twice = {**state.signal_ids, "teacher-1": state.signal_ids["teacher-2"]}
    with pytest.raises(ReleaseRefused, match="signal was in an opened sum"):
        gate(replace(state, signal_ids=twice))


@pytest.mark.parametrize(("cohort", "colluding"), [(5, 0), (1, 3)])
def test_the_gate_judges_the_smallest_sum_itself(
    at_the_gate: Gate, cohort: int, colluding: int
) -> None:
    """By both rules: one day a roster could come past the check at signing."""
    state = at_the_gate.state
    selection = replace(
        state.session.agreement.selection, minimum_cohort=cohort, max_colluding=colluding
    )
    agreement = replace(state.session.agreement, selection=selection)
    clause = "minimum_cohort" if cohort > colluding + 2 else "max_colluding"
    with pytest.raises(ReleaseRefused, match=rf"over 4 teachers stays closed.*{clause}"):
        gate(replace(state, session=replace(state.session, agreement=agreement)))


def test_the_gate_knows_a_data_set_under_another_name(at_the_gate: Gate) -> None:
    """A teacher that changes its name, or a data set with a new version, is still the same people.

    Compared by name and by data set, each alone.
    """
    state = at_the_gate.state
    assert conflict_of(state, ALL) is None
    data_sets = frozenset(state.data_sets[name] for name in ALL[:3])
    for members in (frozenset(ALL[:3]), data_sets):
        earlier = (Opened("another run", members),)
        conflict = conflict_of(replace(state, opened_before=earlier), ALL)
        assert conflict is not None
        assert "differs from it by 1" in conflict


def test_the_gate_asks_for_every_members_signature_upload_and_charge(at_the_gate: Gate) -> None:
    """One that is missing: the sum is over other members than those who agreed to it."""
    state = at_the_gate.state
    without = set(ALL) - {"teacher-4"}
    for changed in (
        replace(state, signatures=frozenset(without)),
        replace(state, uploads={name: state.uploads[name] for name in without}),
        replace(state, aggregate=replace(state.aggregate, members=tuple(sorted(without)))),
    ):
        with pytest.raises(ReleaseRefused, match="not complete"):
            gate(changed)
    with pytest.raises(ReleaseRefused, match="does not show the charge"):
        gate(replace(state, segments={name: state.segments[name] for name in without}))


def test_nothing_is_opened_before_the_log_has_it(at_the_gate: Gate) -> None:
    """A crash in between would let the same teachers be summed again in another company."""
    state = at_the_gate.state
    session = replace(
        state.session, once=state.session.once - {"log-release", "release"}, problem=""
    )
    state, effects = _release(replace(state, session=session, logged=False))
    (logging,) = effects
    assert isinstance(logging, Persist)
    assert isinstance(logging.record, LogRelease)
    state, effects = _release(state)
    assert effects == []
    state, effects = _release(replace(state, logged=True))
    (opening,) = effects
    assert isinstance(opening, Send)
    assert isinstance(opening.body, Release)
