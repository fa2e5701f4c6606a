"""What each party, and who reads the run folder or the disk, can see."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from secure_fedsa.encryption.ciphertexts import _load, _opener
from secure_fedsa.encryption.interface import bfv_parameters
from secure_fedsa.encryption.keys import secret_context
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.run_folder import transcript
from secure_fedsa.entropy import SeededNoise
from secure_fedsa.errors import AgreementError
from secure_fedsa.journal import Journal
from secure_fedsa.models.teachers import PrivateData
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.noisy_release import derive_signal
from secure_fedsa.signals import Aggregate
from secure_fedsa.wire import bodies, canonical
from tests.engines.network import Network, sizes_by_kind
from tests.support import CLASSES, WIDTH, World, make_world, table

PLAIN = {"he": False, "masks": False}


class Secrets:
    """Collects what a run must not show, from the parties' own states, as it goes on."""

    def __init__(self, world: World, **network: Any) -> None:
        self.world = world
        self.run = world.local_run()
        self.network = Network(self.run, watch=self._watch, **network)
        self.found: dict[str, bytes] = {}
        self.states: dict[str, Any] = {}
        self.aggregator_disk: list[bytes] = []
        self.outcome = self.network.execute()
        assert self.outcome.problem == ""

    def _watch(self, me: str, effect: fx.Effect) -> None:
        if not isinstance(effect, fx.Finish):
            return
        party = self.network.parties[me]
        state = self.states[me] = party.state
        self.found[f"{me} identity"] = party.identity.to_bytes()
        self.found[f"{me} sealing key"] = state.session.sealing_private
        if me.startswith("teacher"):
            self.found[f"{me} sums"] = state.summary.sums.astype("<i8").tobytes()
            self.found[f"{me} features"] = state.signal.features.astype("<i8").tobytes()
            self.found[f"{me} saliency"] = state.signal.saliency.astype("<i8").tobytes()
            for other, share in state.shares_out.items():
                self.found[f"{me} share for {other}"] = share
            for part, value in zip("vr", state.randomness, strict=True):
                self.found[f"{me} reply {part}"] = value
        elif me == "student":
            self.found |= {f"prime {n}": p for n, p in enumerate(state.primes)}
            self.found["query"] = np.array(state.saliency, "<i8").tobytes()
        elif me == "key-holder":
            self.found["feature secret"] = state.session.feature_secret
        else:
            folder = self.world.folder / me
            self.aggregator_disk = [p.read_bytes() for p in folder.rglob("*") if p.is_file()]
            for event in party.journal.events():
                if isinstance(event, fx.Received):
                    self.aggregator_disk.append(canonical.encode(bodies.to_json(event.body)))
                elif isinstance(event, fx.Drawn):
                    self.aggregator_disk.extend(event.value)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """One run with everything on, keys not published, watched from inside."""
    world = make_world(
        tmp_path_factory.mktemp("views"), publish={"feature_key": False, "scores": "none"}
    )
    return Secrets(world)


def spellings(secret: bytes) -> list[bytes]:
    """Return how bytes may stand in a file: raw, hexadecimal, base64 at any offset."""
    assert len(secret) >= 8
    whole = [secret, secret.hex().encode()]
    for shift in range(3):
        text = canonical.to_base64(secret[shift : len(secret) - (len(secret) - shift) % 3])
        whole.append(text.encode())
    return whole


def leaks(secrets: dict[str, bytes], *texts: bytes) -> set[str]:
    """Return the names of the secrets that stand in the texts."""
    blob = b"\n".join(texts)
    return {name for name, s in secrets.items() if any(part in blob for part in spellings(s))}


def test_the_search_finds_what_is_there() -> None:
    """The tests below mean nothing if the search is blind."""
    secret = bytes(range(40, 80))
    for text in (secret, secret.hex().encode(), canonical.to_base64(b"x" + secret).encode()):
        assert leaks({"s": secret}, b"ab" + text + b"cd") == {"s"}
    assert leaks({"s": secret}, secret[:-1]) == set()


def test_a_reader_of_the_transcript_sees_no_secret(secrets: Secrets) -> None:
    """The run folder is what one shows to others."""
    assert len(secrets.found) > 40
    shown = transcript(secrets.outcome.envelopes, secrets.run.agreement)
    texts = [*shown.files.values(), *secrets.outcome.envelopes]
    texts += [text.encode() for text in (*secrets.outcome.refused, secrets.outcome.problem)]
    assert leaks(secrets.found, *texts) == set()


def test_after_the_run_no_secret_is_left_on_any_disk(secrets: Secrets) -> None:
    """A laptop that is stolen later must not open this run."""
    kept = {n: s for n, s in secrets.found.items() if not n.endswith("identity")}
    gc.collect()
    for name in secrets.world.names:
        folder = secrets.world.folder / name
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        assert leaks(kept, *(path.read_bytes() for path in files)) == set(), name
        assert not list(folder.rglob("wrapping*"))
    ledger = secrets.run.sites["teacher-1"].ledger
    assert ledger is not None
    assert ledger.segment(secrets.outcome.run_id)[-1]["kind"] == "erasure"


def test_the_journal_holds_no_secret_in_the_open_while_the_run_is_on(tmp_path: Path) -> None:
    """Who copies the database without its key file has nothing."""
    journal = Journal(tmp_path)
    secret = bytes(range(100, 164))
    journal.append(fx.Drawn("nonce", (secret,)))
    stored = b"".join(p.read_bytes() for p in tmp_path.glob("journal.sqlite*"))
    assert stored
    assert leaks({"s": secret}, stored) == set()
    assert list(journal.events()) == [fx.Drawn("nonce", (secret,))]
    journal.close()


def test_the_aggregator_never_holds_the_feature_key(secrets: Secrets) -> None:
    """With it, it could open the masked sum before the key holder's gate agreed."""
    assert leaks(secrets.found, *secrets.aggregator_disk) >= {"prime 0", "prime 1"}
    others = {n: s for n, s in secrets.found.items() if not n.startswith(("prime", "aggregator"))}
    assert leaks(others, *secrets.aggregator_disk) == set()


def _open_single(secrets: Secrets, teacher: str) -> np.ndarray[Any, Any]:
    """Return what the secret feature key shows of one upload, with the key holder's own tools."""
    agreement = secrets.run.agreement
    parameters = bfv_parameters(agreement)
    state = secrets.states["key-holder"]
    context = secret_context(parameters, state.session.feature_secret)
    upload = state.uploads[teacher]
    vectors = _load(context, parameters, upload.ciphertext, upload.values, teacher)
    return np.concatenate([_opener(context, parameters, 2)(vector) for vector in vectors])


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Another run, for the statistical test."""
    return Secrets(make_world(tmp_path_factory.mktemp("wide")))


@pytest.mark.statistical
def test_single_uploads_are_uniform_to_the_key_holder_and_the_aggregator(
    secrets: Secrets, wide: Secrets
) -> None:
    """Together they hold every key of the run; only masks keep one teacher from them.

    Kolmogorov-Smirnov against the uniform distribution, 128 residues; fails by chance once
    in 10^6 runs. The same test on the unmasked residues fails, so it would notice.
    """
    modulus = secrets.run.agreement.encryption.plain_modulus
    seen, unmasked = [], []
    for world in (secrets, wide):
        suite = suite_of(world.run.agreement)
        for teacher in world.run.agreement.teachers:
            opened = np.mod(_open_single(world, teacher), modulus)
            signal = suite.encode(world.states[teacher].signal).residues
            assert not np.array_equal(opened, signal)
            seen.append(opened)
            unmasked.append(signal)
    p_value = stats.kstest(np.concatenate(seen) / modulus, "uniform").pvalue
    assert np.concatenate(seen).size == 128
    assert p_value > 1e-6
    assert stats.kstest(np.concatenate(unmasked) / modulus, "uniform").pvalue < 1e-20


def test_the_sum_of_the_uploads_is_all_that_opens(secrets: Secrets) -> None:
    """The masks must cancel in the whole roster's sum, and in no smaller one."""
    state = secrets.states["key-holder"]
    suite = suite_of(secrets.run.agreement)
    summaries = [secrets.states[t].summary for t in secrets.run.agreement.teachers]
    total = sum(derive_signal(s, secrets.run.agreement).features for s in summaries)
    opened = suite.decrypt(state.session.feature_secret, suite.add(state.uploads))
    assert np.array_equal(opened.values, total)
    some = {n: u for n, u in state.uploads.items() if n != "teacher-1"}
    part = suite.add(some)
    with pytest.raises(Exception, match="out of range"):
        suite.decrypt(state.session.feature_secret, part)
    one = state.uploads["teacher-1"]
    alone = Aggregate(one.ciphertext, one.values, ("teacher-1",))
    with pytest.raises(Exception, match="out of range"):
        suite.decrypt(state.session.feature_secret, alone)


VARIANTS: dict[str, PrivateData] = {
    "normal": PrivateData(*table(3, 200)),
    "all NaN": PrivateData(np.full((200, WIDTH), np.nan, np.float32), table(3, 200)[1]),
    "huge": PrivateData(np.full((200, WIDTH), 1e38, np.float32), table(3, 200)[1]),
    "infinite": PrivateData(np.full((200, WIDTH), np.inf, np.float32), table(3, 200)[1]),
    "labels out of the task": PrivateData(table(3, 200)[0], np.full(200, 99)),
    "labels not numbers": PrivateData(table(3, 200)[0], np.full(200, np.nan)),
    "negative labels": PrivateData(table(3, 200)[0], np.full(200, -1)),
    "one class empty": PrivateData(table(3, 200)[0], np.minimum(table(3, 200)[1], 1)),
    "no record": PrivateData(table(3, 200)[0][:0], table(3, 200)[1][:0]),
    "one record": PrivateData(table(3, 200)[0][:1], table(3, 200)[1][:1]),
}
Shown = tuple[list[tuple[str, str, int]], list[str]]


def shown_of(folder: Path, private: PrivateData) -> tuple[Shown, Outcome]:
    """Return what teacher-2 sends and does with some records: kinds, recipients, sizes, order."""
    world = make_world(folder, protection=PLAIN)
    world.data["teacher-2"] = private
    order: list[str] = []

    def watch(party: str, effect: fx.Effect) -> None:
        if party == "teacher-2":
            order.append(type(effect).__name__)

    outcome = Network(world.local_run(), watch=watch).execute()
    return (sizes_by_kind(outcome.envelopes, "teacher-2"), order), outcome


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """What a teacher with ordinary records shows."""
    shown, outcome = shown_of(tmp_path_factory.mktemp("usual"), VARIANTS["normal"])
    assert outcome.problem == ""
    assert len(shown[0]) > 10
    assert {"DrawEntropy", "ReadPrivate", "Send"} <= set(shown[1])
    return shown


@pytest.mark.parametrize("name", VARIANTS)
def test_nothing_a_teacher_does_depends_on_its_records(
    tmp_path: Path,
    name: str,
    usual: Shown,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """An error, a length or a log line about one record tells that it is there."""
    assert len(CLASSES) == 3
    capfd.readouterr()
    shown, outcome = shown_of(tmp_path, VARIANTS[name])
    assert (outcome.problem, outcome.refused) == ("", ())
    assert caplog.text == ""
    assert capfd.readouterr() == ("", "")
    assert all(b"zeroed" not in data for data in outcome.envelopes)
    assert shown == usual


def test_sealed_and_encrypted_messages_have_one_length(secrets: Secrets, wide: Secrets) -> None:
    """A length that varies with a score or a signal is that score, in part.

    Uploads are left out: SEAL compresses uniform coefficients, whose size varies by chance.
    """
    sizes: dict[str, set[int]] = {}
    for world in (secrets, wide):
        for name in world.run.agreement.teachers:
            for kind, _recipient, size in sizes_by_kind(world.outcome.envelopes, name):
                sizes.setdefault(kind, set()).add(size)
    for kind in ("reply", "blind", "mask-share", "roster-signature", "ready", "ledger"):
        assert len(sizes[kind]) == 1, (kind, sizes[kind])


def test_seeded_noise_says_so(tmp_path: Path) -> None:
    """Noise that somebody can repeat is no noise: such a run must be agreed and marked."""
    world = make_world(tmp_path, protection=PLAIN)
    world.noise = SeededNoise(5)
    with pytest.raises(AgreementError, match="simulation"):
        world.local_run()
    world.changes["simulation"] = True
    run = world.local_run()
    marks = []
    for name in run.agreement.teachers:
        site = run.sites[name]
        original = site.draw_noise

        def draw(request: fx.NoiseDraw, original: Any = original) -> Any:
            noise = original(request)
            marks.append(noise.seeded)
            return noise

        site.draw_noise = draw  # type: ignore[method-assign]
    outcome = run.execute()
    assert outcome.problem == ""
    assert marks == [True] * 4
    assert all(run.sites[name].noise.seeded for name in run.agreement.teachers)
