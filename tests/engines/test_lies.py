"""Parties that lie with their own signatures, one message at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.encryption.keys import generate_feature_key
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import RunAborted
from secure_fedsa.messages import (
    Blind,
    FeatureKey,
    LedgerSegment,
    MaskShare,
    QuerySecret,
    Release,
    Reply,
    Roster,
    RosterSignature,
    SealedSum,
    Sum,
    Upload,
)
from secure_fedsa.privacy.ledger_entries import make_entry
from secure_fedsa.signals import Masked, int_array
from secure_fedsa.wire.envelope import Header, parse
from tests.engines.network import Network, body_of, ledger_kinds, lie, muted, opened_sums
from tests.support import make_world

PLAIN = {"he": False, "masks": False}
BURNED = ["reserve", "commit", "burn", "erasure"]


@pytest.mark.slow
def test_a_sum_that_is_not_the_sum_of_the_uploads_stays_closed(tmp_path: Path) -> None:
    """The aggregator could have one teacher's upload opened in the name of all."""
    world = make_world(tmp_path, teachers=3)

    def one_upload_only(network: Network, body: Sum) -> Sum:
        state = network.parties["aggregator"].state
        return replace(body, ciphertext=state.uploads["teacher-1"].ciphertext)

    run, outcome, _ = lie(world, "aggregator", "sum", one_upload_only)
    assert any("not the sum of the signed uploads" in text for text in outcome.refused)
    assert "No sum of the signed uploads came" in outcome.problem
    assert opened_sums(run) == []
    assert world.released == []
    assert ledger_kinds(run, "teacher-1", outcome.run_id) == BURNED


def test_a_sum_over_some_of_the_roster_stays_closed(tmp_path: Path) -> None:
    """With four sums over three each, every single signal could be computed."""
    world = make_world(tmp_path, protection=PLAIN)

    def three_of_four(network: Network, body: Sum) -> Sum:
        state = network.parties["aggregator"].state
        some = {name: up for name, up in state.uploads.items() if name != "teacher-4"}
        total = suite_of(state.session.agreement).add(some)
        names = {name: body.uploads[name] for name in some}
        return replace(body, uploads=names, ciphertext=total.ciphertext)

    run, outcome, _ = lie(world, "aggregator", "sum", three_of_four)
    assert any("other uploads than the roster's" in text for text in outcome.refused)
    assert opened_sums(run) == []


def test_a_roster_below_the_cohort_gets_no_signature(tmp_path: Path) -> None:
    """A key holder that asks for a sum over two would see one signal with one accomplice."""
    world = make_world(tmp_path, protection=PLAIN)

    def two(_: Network, body: Roster) -> Roster:
        return replace(body, members=("teacher-1", "teacher-2"))

    _run, outcome, _network = lie(world, "key-holder", "roster", two)
    assert all(b"roster-signature" not in data for data in outcome.envelopes)
    assert any("signed a roster of 2 members" in text for text in outcome.refused)


EQUIVOCATIONS = {
    # told otherwise: who is left for a roster that all of its members hold
    ("teacher-1",): ("teacher-2", "teacher-3", "teacher-4"),
    ("teacher-1", "teacher-2"): (),
}


@pytest.mark.parametrize("told", EQUIVOCATIONS)
def test_two_rosters_told_to_two_teachers_are_both_dead(
    tmp_path: Path, told: tuple[str, ...]
) -> None:
    """Equivocation: nobody uploads unless every member signed the very same roster."""
    world = make_world(tmp_path, protection=PLAIN)

    def another(_: Network, body: Roster) -> Roster:
        return replace(body, scores={name: score - 1 for name, score in body.scores.items()})

    run, outcome, network = lie(world, "key-holder", "roster", another, *told)
    sent: dict[str, list[tuple[str, Any]]] = {}
    for data in outcome.envelopes:
        header = parse(data).header
        if header.kind in ("roster-signature", "upload"):
            sent.setdefault(header.kind, []).append((header.sender, body_of(data)))
    first: dict[str, str] = {}
    for name, body in sent["roster-signature"]:
        first.setdefault(name, body.roster_hash)
    others = set(run.agreement.teachers) - set(told)
    assert set(first) == set(run.agreement.teachers)  # each signed the roster that it was told
    assert len({first[name] for name in told}) == len({first[name] for name in others}) == 1
    assert len(set(first.values())) == 2
    dead, left = set(first.values()), EQUIVOCATIONS[told]
    uploads = sent.get("upload", [])
    assert tuple(name for name, _ in uploads) == left
    assert not dead & {body.roster_hash for _, body in uploads}
    assert not dead & {opened["roster_hash"] for opened in opened_sums(run)}
    assert [released.members for released in world.released] == ([left] if left else [])
    assert not dead & {network.parties[name].state.bound for name in first}
    for name in first:
        assert ledger_kinds(run, name, outcome.run_id).count("reserve") == 1


ROSTER_LIES: dict[str, Callable[[Roster], Roster]] = {
    "countersigned another ledger head": lambda roster: replace(
        roster, ledger_heads={**roster.ledger_heads, "teacher-1": "0" * 64}
    ),
    "countersigns not every member's": lambda roster: replace(
        roster,
        ledger_heads={n: h for n, h in roster.ledger_heads.items() if n != "teacher-1"},
        scores={n: s for n, s in roster.scores.items() if n != "teacher-1"},
    ),
    "signed roster 2, not 1": lambda roster: replace(roster, number=2),
    "or a stranger's": lambda roster: replace(
        roster, ledger_heads={**roster.ledger_heads, "student": "0" * 64}
    ),
    "over other keys or another query": lambda roster: replace(roster, keys_hash="0" * 64),
    "unknown, repeated or unsorted": lambda roster: replace(
        roster, members=tuple(reversed(roster.members))
    ),
}


@pytest.mark.parametrize("reason", ROSTER_LIES)
def test_a_roster_that_does_not_hold_gets_no_upload(tmp_path: Path, reason: str) -> None:
    """Teachers judge by verify's rules: else charges are spent on a folder that fails."""
    world = make_world(tmp_path, protection=PLAIN)
    change = ROSTER_LIES[reason]
    _run, outcome, _ = lie(world, "key-holder", "roster", lambda _, body: change(body))
    assert any(reason in text and "teacher-1 refused roster" in text for text in outcome.refused)
    assert all(b'"kind":"upload"' not in data for data in outcome.envelopes)


SECOND_ROSTER_LIES: dict[str, Callable[[Roster], Roster]] = {
    "changed the scores between": lambda roster: replace(
        roster, scores={**roster.scores, "teacher-1": 7.0}
    ),
    "not the one before it without some": lambda roster: replace(
        roster, members=("teacher-1", "teacher-2", "teacher-3", "teacher-4")
    ),
    "signed roster 1, not 2": lambda roster: replace(roster, number=1),
}


@pytest.mark.parametrize("reason", SECOND_ROSTER_LIES)
def test_a_second_roster_must_follow_from_the_first(tmp_path: Path, reason: str) -> None:
    """After a drop-out a key holder could else choose anew, by what it has learned."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()

    def hook(header: Header, _recipient: str, data: bytes) -> list[bytes]:
        if (header.sender, header.kind) == ("teacher-4", "roster-signature"):
            return []  # silent, so that a second roster is made
        if header.kind != "roster" or body_of(data).number == 1:
            return [data]
        told = SECOND_ROSTER_LIES[reason](body_of(data))
        return [network.forge("key-holder", told, "*", header.sequence)]

    network = Network(run, hook)
    outcome = network.execute()
    for who in ("teacher-1", "aggregator", "student"):
        assert any(reason in text and f"{who} refused roster" in text for text in outcome.refused)
    uploaded = [data for data in outcome.envelopes if b'"kind":"upload"' in data]
    assert all(b'"sender":"teacher-4"' in data for data in uploaded)  # it has all signatures
    assert opened_sums(run) == []


UPLOAD_LIES: dict[str, Callable[[Upload], Upload]] = {
    "encrypted under another key": lambda up: replace(up, key_id="0" * 64),
    "uploaded for another roster": lambda up: replace(up, roster_hash="0" * 64),
    "values, agreed were": lambda up: replace(up, values=up.values + 1),
    "ledger was not charged for": lambda up: replace(up, signal_id="0" * 64),
    "malformed ciphertext": lambda up: replace(up, ciphertext=up.ciphertext[:-8]),
}


@pytest.mark.parametrize("reason", UPLOAD_LIES)
def test_a_wrong_upload_is_refused_and_named(tmp_path: Path, reason: str) -> None:
    """One bad upload would turn the sum into something that nobody said."""
    world = make_world(tmp_path, teachers=3, protection=PLAIN)
    change = UPLOAD_LIES[reason]
    run, outcome, _ = lie(world, "teacher-2", "upload", lambda _, body: change(body))
    assert any(reason in t and "of teacher-2" in t for t in outcome.refused)
    assert opened_sums(run) == []
    assert world.released == []


@pytest.mark.slow
def test_an_upload_that_does_not_decrypt_ends_the_run_in_order(tmp_path: Path) -> None:
    """One hostile teacher could else crash the key holder for ever, secrets still on disk."""
    world = make_world(tmp_path, teachers=3)

    def foreign(network: Network, body: Upload) -> Upload:
        values = network.run.agreement.feature_values
        modulus = network.run.agreement.encryption.plain_modulus
        masked = Masked(int_array([0] * values), modulus)
        other = generate_feature_key(BfvParameters()).public
        data = suite_of(network.run.agreement).encrypt_features(other, masked)
        return replace(body, ciphertext=data)

    cached: list[Upload] = []

    def once(network: Network, body: Upload) -> Upload:
        if not cached:
            cached.append(foreign(network, body))
        return cached[0]

    run, outcome, network = lie(world, "teacher-3", "upload", once)
    assert "noise budget" in outcome.problem
    assert network.erased == set(run.agreement.parties)
    assert world.released == []


@pytest.mark.slow
@pytest.mark.parametrize("value", [bytes(32), b"short", b""])
def test_a_mask_value_that_no_honest_member_sends_is_refused_at_once(
    tmp_path: Path, value: bytes
) -> None:
    """It was once an error in the middle of the upload, which no restart could get past."""
    world = make_world(tmp_path, teachers=4)

    def bad(_: Network, __: None) -> MaskShare:
        # Sealed: the roster hash is read from the sender's own state.
        return MaskShare(_.parties["teacher-1"].state.roster_hash, value)

    _run, outcome, network = lie(world, "teacher-1", "mask-share", bad, "teacher-2")
    assert any("no honest member" in text for text in outcome.refused)
    assert network.erased == set(network.parties)


def test_a_malformed_feature_key_is_refused_before_any_charge(tmp_path: Path) -> None:
    """Teachers would else find out while they encrypt, their charge spent."""
    world = make_world(tmp_path, teachers=3)
    run, outcome, _ = lie(
        world, "key-holder", "feature-key", lambda _, b: FeatureKey(b.public_key[:-1])
    )
    assert any("feature-key of key-holder" in text for text in outcome.refused), outcome.refused
    assert all(site.ledger.books().charges == {} for site in run.sites.values() if site.ledger)


@pytest.mark.parametrize("primes", [(b"\xff" * 40_000, b"\x01"), (), (b"\x05" * 128,) * 3])
def test_foreign_query_primes_are_refused_quickly(
    tmp_path: Path, primes: tuple[bytes, ...]
) -> None:
    """A primality test of a huge number would stop the aggregator for hours."""
    world = make_world(tmp_path, teachers=3)
    run, outcome, _ = lie(world, "student", "query-secret", lambda *_: QuerySecret(primes))
    assert "Nothing was charged" in outcome.problem
    assert all(site.ledger.books().charges == {} for site in run.sites.values() if site.ledger)


@pytest.mark.slow
@pytest.mark.parametrize("what", ["reply", "blind"])
def test_a_malformed_reply_or_blind_is_only_not_selected(tmp_path: Path, what: str) -> None:
    """An abort would tell its sender's score range, and one teacher could stop every run."""
    world = make_world(tmp_path, teachers=4)

    def broken(network: Network, _: None) -> Reply | Blind:
        key = network.parties["teacher-2"].session.query_key
        assert key is not None
        return Reply(key.query_hash, b"\1") if what == "reply" else Blind(key.query_hash, b"")

    _run, outcome, _network = lie(world, "teacher-2", what, broken)
    assert outcome.problem == ""
    assert world.released[0].members == ("teacher-1", "teacher-3", "teacher-4")


def test_a_second_different_reply_is_refused(tmp_path: Path) -> None:
    """Two replies to one query would tell twice what one blind may hide once."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()

    def twice(header: Header, _recipient: str, data: bytes) -> list[bytes]:
        if (header.sender, header.kind) != ("teacher-1", "reply"):
            return [data]
        key = network.parties["teacher-1"].session.query_key
        assert key is not None
        second = Reply(key.query_hash, bytes(8))
        same = network.forge("teacher-1", second, "aggregator", header.sequence)
        later = network.forge("teacher-1", second, "aggregator", 77)
        return [data, same, later]

    network = Network(run, twice)
    outcome = network.execute()
    assert outcome.problem == ""
    assert any("two messages under one number" in text for text in outcome.refused)
    assert any("sent reply twice" in text for text in outcome.refused)


@pytest.mark.slow
def test_messages_of_another_run_and_reflected_ones_change_nothing(tmp_path: Path) -> None:
    """A network that records and replays must not bring back an earlier run."""
    world = make_world(tmp_path, protection=PLAIN)
    first = world.local_run()
    old = first.execute().envelopes
    first.discard()
    run = world.local_run()
    reached: set[str] = set()

    def replay(header: Header, recipient: str, data: bytes) -> list[bytes]:
        extra: list[bytes] = []
        if recipient not in reached and header.kind == "ready":
            reached.add(recipient)
            extra = list(old)
        if header.kind == "roster-signature":
            party = network.parties[header.sender]
            party.receive(data)  # reflected to its sender
        return [data, data, *extra]

    network = Network(run, replay)
    outcome = network.execute()
    assert outcome.problem == ""
    assert len(world.released) == 2
    refused_nonces = [t for t in outcome.refused if "refused nonce" in t]
    assert refused_nonces
    assert all("under one number" in t or "twice" in t for t in refused_nonces)
    rest = [t for t in outcome.refused if "refused nonce" not in t]
    assert rest
    assert all("belongs to another run" in text for text in rest)


def test_a_roster_cannot_be_swapped_after_binding(tmp_path: Path) -> None:
    """The same signal under two rosters: the difference of two sums is one teacher."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()
    asked: list[str] = []

    def swap(header: Header, recipient: str, data: bytes) -> list[bytes]:
        teacher = network.parties["teacher-1"]
        if recipient != "teacher-1" or header.kind != "release" or asked:
            return [data]
        asked.append(teacher.state.bound)
        smaller = replace(
            teacher.state.roster, number=2, members=("teacher-1", "teacher-2", "teacher-3")
        )
        signed = RosterSignature("0" * 64)
        return [
            network.forge("key-holder", smaller, "*", 70),
            network.forge("teacher-2", signed, "*", 71),
            data,
        ]

    network = Network(run, swap)
    outcome = network.execute()
    assert asked[0]
    assert any("after the signal was bound" in text for text in outcome.refused)
    assert sum(b'"kind":"upload"' in d for d in outcome.envelopes) == 4


def test_a_release_before_the_upload_is_not_believed(tmp_path: Path) -> None:
    """A teacher that believes it would never note that its charge was burned."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()
    agreed = run.agreement.feature_values

    def early(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if header.kind == "upload" and header.sender == "teacher-3":
            return []
        if header.kind != "roster" or recipient != "teacher-1":
            return [data]
        told = Release("0" * 64, "0" * 64, {}, bytes(8 * agreed), b"")
        return [data, network.forge("key-holder", told, "*", 60)]

    network = Network(run, early)
    outcome = network.execute()
    assert outcome.problem
    assert ledger_kinds(run, "teacher-1", outcome.run_id) == BURNED


@pytest.mark.slow
def test_rosters_that_differ_by_one_are_refused_by_the_teachers_alone(tmp_path: Path) -> None:
    """Two sums that differ by one teacher show that teacher, even if the key holder helps."""
    world = make_world(tmp_path, protection=PLAIN)
    first = world.local_run()
    first.execute()
    first.discard()
    (tmp_path / "key-holder" / "release-log.jsonl").unlink()
    (tmp_path / "key-holder" / "release-log-head").unlink()
    world.changes["selection"] = {"select": 3}
    with pytest.raises(RunAborted, match="asked for a sum that must stay closed"):
        world.local_run().execute()


@pytest.mark.slow
def test_rosters_that_differ_by_one_are_refused_by_the_key_holder_alone(tmp_path: Path) -> None:
    """The same with teachers that lost their memory, data set ids included."""
    world = make_world(tmp_path, protection=PLAIN)
    first = world.local_run()
    first.execute()
    first.discard()
    for name in first.agreement.teachers:
        for path in (tmp_path / name).glob("ledger*"):
            path.unlink()
    world.changes["selection"] = {"select": 3}
    with pytest.raises(RunAborted, match=r"The sum would stay closed.*differs from it by 1"):
        world.local_run().execute()


def test_one_data_set_cannot_stand_for_two_members(tmp_path: Path) -> None:
    """The smallest sum counts data sets: an accomplice could else make up the number."""
    world = make_world(tmp_path, protection=PLAIN)

    def anothers(network: Network, _: LedgerSegment) -> LedgerSegment:
        segment: LedgerSegment = network.parties["teacher-1"].state.segment
        return segment

    _run, outcome, _network = lie(world, "teacher-2", "ledger", anothers)
    assert any("named another teacher's data set" in text for text in outcome.refused)
    assert world.released[0].members == ("teacher-1", "teacher-3", "teacher-4")


@pytest.mark.parametrize("value", [-(2**63), 2**63 - 1, 3 * 2**24 + 1])
def test_a_student_learns_nothing_from_values_out_of_range(tmp_path: Path, value: int) -> None:
    """The least int64 has no absolute value: a check by size alone lets it pass."""
    world = make_world(tmp_path, teachers=3, protection=PLAIN)

    def out(_: Network, body: Release) -> Release:
        return replace(body, values=value.to_bytes(8, "little", signed=True) + body.values[8:])

    _run, outcome, _network = lie(world, "key-holder", "release", out, "student")
    assert any("beyond the agreed range" in text for text in outcome.refused)
    assert world.released == []


@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_a_release_of_other_signals_is_refused_and_a_second_one_too(
    tmp_path: Path, custody: str
) -> None:
    """Verify would refuse the folder that says so: the others must notice before."""
    world = make_world(tmp_path, protection=PLAIN, custody=custody)
    run = world.local_run()

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if header.kind != "release":
            return [data]
        other = replace(body_of(data), signal_ids={"teacher-1": "0" * 64})
        if recipient in ("aggregator", "key-holder"):
            return [network.forge(custody, other, "*", header.sequence), data]
        return [data, network.forge(custody, other, "*", 90)]

    network = Network(run, hook)
    outcome = network.execute()
    told = "key-holder" if custody == "aggregator" else "aggregator"
    assert any(f"{told} refused release" in t and "another sum" in t for t in outcome.refused)
    assert any("teacher-1 refused release" in t and "second" in t for t in outcome.refused)
    assert network.erased == set(network.parties)
    assert len(world.released) == 1


@pytest.mark.parametrize("member", [True, False], ids=["a member", "one left out"])
def test_two_ledger_heads_cost_others_nothing_unless_a_member_tells_them(
    tmp_path: Path, *, member: bool
) -> None:
    """The aggregator hears another segment than the key holder, as sound as the first."""
    world = make_world(tmp_path, protection=PLAIN)
    run = world.local_run()

    def moved(body: LedgerSegment) -> LedgerSegment:
        entries: list[Any] = []
        for entry in body.entries:
            previous = entries[-1]["hash"] if entries else "1" * 64
            kept = {name: entry[name] for name in ("data_set", "kind", "run_id", "body")}
            entries.append(make_entry(**kept, position=entry["position"] + 5, previous=previous))
        return LedgerSegment(tuple(entries), entries[-1]["hash"])

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if header.sender != "teacher-4":
            return [data]
        if header.kind == "blind" and not member:
            return []  # without it there is no score, and it is not selected
        if (header.kind, recipient) == ("ledger", "aggregator"):
            return [network.forge("teacher-4", moved(body_of(data)), "*", header.sequence)]
        return [data]

    network = Network(run, hook)
    outcome = network.execute()
    assert ("teacher-4" in network.parties["key-holder"].state.roster.members) == member
    assert any("told another ledger head" in text for text in outcome.refused) == member
    assert bool(opened_sums(run)) != member
    assert network.erased == set(network.parties)


def test_the_aggregator_adds_nothing_without_a_sound_ledger_of_every_member(
    tmp_path: Path,
) -> None:
    """The key holder alone could else let a sum pass whose charge nobody else has seen."""
    world = make_world(tmp_path / "lost", protection=PLAIN)
    run = world.local_run()
    outcome = Network(run, muted("teacher-1", "ledger", towards="aggregator")).execute()
    assert "No sum of the signed uploads came" in outcome.problem
    assert opened_sums(run) == []

    def uncommitted(_: Network, body: LedgerSegment) -> LedgerSegment:
        return LedgerSegment(body.entries[:1], body.entries[0]["hash"])

    world = make_world(tmp_path / "other", protection=PLAIN)
    run, outcome, _ = lie(world, "teacher-1", "ledger", uncommitted, "aggregator")
    assert any("aggregator refused ledger" in text for text in outcome.refused)
    assert opened_sums(run) == []


def test_a_student_does_not_mix_two_rosters(tmp_path: Path) -> None:
    """What came for a roster that was given up is no part of the next one's sum."""
    withheld = {"sums": False, "ciphertexts": False}
    world = make_world(tmp_path, protection=PLAIN, publish=withheld)
    run = world.local_run()
    made_up = bytes(8 * run.agreement.feature_values)

    def hook(header: Header, recipient: str, data: bytes) -> list[bytes]:
        if (header.sender, header.kind) == ("teacher-4", "roster-signature"):
            return []
        if (header.kind, recipient) != ("roster", "student") or body_of(data).number != 1:
            return [data]
        told = SealedSum(network.parties["key-holder"].state.roster_hash, made_up)
        return [data, network.forge("key-holder", told, "student", 95)]

    network = Network(run, hook)
    # Teacher 4 has every signature: only it could upload for the first roster.
    assert network.execute().problem == ""
    (released,) = world.released
    assert released.members == ("teacher-1", "teacher-2", "teacher-3")
    assert released.values.any()
