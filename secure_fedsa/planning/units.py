"""Seconds of a run's single operations, by trying each on this machine.

Everything is done with the agreement's own parameters, once or a few times, with throw-away
keys and values. Scaled are: Paillier moduli above 3,072 bits (by the cube of their length, key
generation by the fourth power), long questions (by a line through two short ones), and signals
of more than four ciphertexts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.interface import QueryClaim
from secure_fedsa.encryption.masks import mask_stream
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.entropy import SystemNoise, public_generator
from secure_fedsa.inbox import Inbox
from secure_fedsa.journal import Journal, Outgoing
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER, Body, Ready, Sum
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning.seconds import Units
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.noisy_release import derive_signal, noise_plan, read_private
from secure_fedsa.signals import Encrypted, Masked, Noise, NoisySummary, Signal, int_array
from secure_fedsa.wire import keys
from secure_fedsa.wire.envelope import EVERYONE, Directory, open_envelope, pack, parse

_HASH = "0" * 64
_LONGEST_MODULUS = 3072
_FEW_DIRECTIONS, _MANY_DIRECTIONS = 3, 16
_MOST_CIPHERTEXTS = 4
_MOST_MASKED = 2**16
_COORDINATES = 300
_RECORDS = 256
_LONG_BODY = 2**19
_OWNER, _READER = "a", "b"


def measure(agreement: Agreement, encoder: PublicEncoder | None = None) -> Units:
    """Try every operation; takes one to three seconds.

    Args:
        agreement: Its arithmetic must hold.
        encoder: The public encoder; without it, records are left out.
    """
    models = agreement.answers is not None
    noise, signal = (None, None) if models else _draws(agreement)
    queries, features = _queries(agreement), _features(agreement)
    sent, taken, stored = _messages()
    return Units(
        sent=sent,
        taken=taken,
        stored=stored,
        record=None if encoder is None or models else _record(agreement, encoder),
        noise=noise,
        signal=signal,
        **queries,
        **features,
    )


def _best(action: Callable[[], object], repeats: int = 3) -> float:
    """Return the shortest of a few times: what it takes when nothing else is going on."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return min(times)


# --- messages ----------------------------------------------------------------------


def _messages() -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return what sending, taking and storing cost, on the disk of temporary files."""
    identity = keys.IdentityKey.generate()
    directory = Directory(
        _HASH,
        dict.fromkeys((_OWNER, _READER), identity.public),
        {_OWNER: AGGREGATOR, _READER: KEY_HOLDER},
    )
    short: Body = Ready(_HASH, _HASH)
    long: Body = Sum(_HASH, {}, 1, bytes(_LONG_BODY))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        inbox = Inbox(_READER, directory)
        sequence = iter(range(10**6))

        def send(body: Body) -> bytes:
            number = next(sequence)
            data = pack(
                body,
                identity=identity,
                directory=directory,
                run_id=_HASH,
                sender=_OWNER,
                recipient=EVERYONE,
                sequence=number,
            ).to_bytes()
            journal.post(Outgoing(number, "", data))
            journal.append(fx.Sent("ready"))
            return data

        def take(data: bytes) -> None:
            inbox.receive(data)
            inbox.clear()
            opened = open_envelope(
                parse(data), directory, run_id=_HASH, recipient=_READER, sealing_private=None
            )
            journal.append(fx.Received(opened.header, opened.body, opened.hash))

        sent = _best(lambda: send(short), 8), _best(lambda: send(long), 2)
        short_data, long_data = send(short), send(long)
        taken = _best(lambda: take(short_data), 8), _best(lambda: take(long_data), 2)
        stored = _best(lambda: journal.append(fx.Checked("")), 8)
        journal.close()
    extra = len(long_data) - len(short_data)
    slope = (sent[1] - sent[0]) / extra, (taken[1] - taken[0]) / extra
    return (sent[0], max(0.0, slope[0])), (taken[0], max(0.0, slope[1])), stored


# --- noise and records -------------------------------------------------------------


def _draws(agreement: Agreement) -> tuple[float, float]:
    """Return the seconds of one coordinate of noise, and of deriving a signal."""
    plan = noise_plan(agreement, agreement.teachers[0])
    source, shape = SystemNoise(), plan.shape
    source.discrete_gaussian(plan.event.noise_scale, 1)  # imports the library
    noise = _best(lambda: source.discrete_gaussian(plan.event.noise_scale, _COORDINATES), 2)
    summary = NoisySummary(
        int_array(np.zeros((shape.classes, shape.dimension), dtype=np.int64)),
        int_array(np.full(shape.classes, 100 * plan.count_unit)),
        plan.event.noise_scale,
        agreement.mechanism.grid,
        plan.count_unit,
    )
    share = None
    if agreement.institution_privacy is not None:
        share = Noise(int_array(np.zeros(agreement.feature_values, dtype=np.int64)), seeded=False)
    return noise / _COORDINATES, _best(lambda: derive_signal(summary, agreement, share), 2)


def _record(agreement: Agreement, encoder: PublicEncoder) -> float:
    """Return the seconds of one record, of random records of the encoder's kind."""
    generator, schema = public_generator(0, "plan: records"), encoder.schema
    size = (_RECORDS, *schema.shape)
    records = (
        generator.integers(256, size=size, dtype=np.uint8)
        if schema.kind == "image"
        else generator.normal(size=size).astype(np.float32)
    )
    teacher = agreement.teachers[0]
    shape = noise_plan(agreement, teacher).shape
    labels = generator.integers(shape.classes, size=_RECORDS)
    nothing = Noise(int_array(np.zeros(shape.noise_values, dtype=np.int64)), seeded=True)

    def read() -> None:
        read_private(
            records,
            labels,
            encoder=encoder,
            agreement=agreement,
            teacher=teacher,
            noise=nothing,
            persons=np.arange(_RECORDS),
        )

    return _best(read, 2) / _RECORDS


# --- question and answers ----------------------------------------------------------


def _queries(agreement: Agreement) -> dict[str, float]:
    bits, values = agreement.encryption.query_modulus_bits, agreement.saliency.values
    longer = max(1.0, bits / _LONGEST_MODULUS)
    encryption = replace(agreement.encryption, query_modulus_bits=min(bits, _LONGEST_MODULUS))
    tried = replace(agreement, encryption=encryption)
    began = time.perf_counter()
    primes = suite_of(tried).draw_query_key()
    made = time.perf_counter() - began
    few = _answer(tried, primes, _FEW_DIRECTIONS)
    many = _answer(tried, primes, _MANY_DIRECTIONS)
    reply, check = (
        small + max(0.0, large - small) * (values - few.values) / max(1, many.values - few.values)
        for small, large in ((few.reply, many.reply), (few.check, many.check))
    )
    return {
        "query_key": made * longer**4 + few.proof * longer**3,
        "query": few.encryption * values * longer**3,
        "query_check": check * longer**3,
        "reply": reply * longer**3,
        "score": few.opening * longer**3,
    }


@dataclass(frozen=True, slots=True)
class _Answer:
    """Seconds of one question of ``values`` values and its answer; encryption is of a value."""

    values: int
    proof: float
    encryption: float
    check: float
    reply: float
    opening: float


def _answer(agreement: Agreement, primes: tuple[bytes, ...], directions: int) -> _Answer:
    directions = min(agreement.saliency.directions, directions)
    tried = replace(agreement, saliency=replace(agreement.saliency, directions=directions))
    suite, values = suite_of(tried), tried.saliency.values
    began = time.perf_counter()
    modulus, proof = suite.prove_query_key(primes, _HASH, STUDENT)
    proved = time.perf_counter() - began
    few = min(values, 6)
    began = time.perf_counter()
    encrypted = suite.encrypt_query(primes, (1,) * few)
    encryption = (time.perf_counter() - began) / few
    claim = QueryClaim(modulus, proof, (encrypted * values)[:values], _HASH, STUDENT)
    check = _best(lambda: suite.check_query(claim), 1)
    signal = Signal(int_array([1] * values), int_array([0]))
    randomness = suite.draw_reply_randomness(modulus)
    reply = suite.reply(claim, signal, randomness)
    return _Answer(
        values,
        proved,
        encryption,
        check,
        _best(lambda: suite.reply(claim, signal, randomness), 2),
        _best(lambda: suite.open_replies(primes, {TEACHER: reply}), 2),
    )


# --- the sum -----------------------------------------------------------------------


def _smaller(agreement: Agreement, most: int) -> Agreement:
    """Return the agreement with signals of at most ``most`` values, or nearly."""
    while agreement.feature_values > most:
        share = (most / agreement.feature_values) ** 0.5 * 0.99
        if agreement.answers is not None and agreement.answers.form != "scatter":
            share = share**2 if agreement.answers.form == "sketch" else share
            probes = max(1, int(agreement.answers.probes * share))
            agreement = replace(agreement, answers=replace(agreement.answers, probes=probes))
        else:
            dimension = max(1, int(agreement.encoder.dimension * share))
            agreement = replace(agreement, encoder=replace(agreement.encoder, dimension=dimension))
    return agreement


def _features(agreement: Agreement) -> dict[str, float]:
    most = _MOST_CIPHERTEXTS * agreement.encryption.poly_modulus_degree
    tried = _smaller(agreement, most)
    suite, values = suite_of(tried), tried.feature_values
    more = agreement.feature_values / values
    secret, public = suite.draw_feature_key()
    made = _best(suite.draw_feature_key, 2)
    masked = Masked(int_array(np.zeros(values, dtype=np.int64)), agreement.encryption.plain_modulus)
    upload = Encrypted(suite.encrypt_features(public, masked), values)
    uploads = dict.fromkeys((_OWNER, _READER), upload)
    checked = _best(lambda: suite.check_upload(upload, _OWNER), 2)
    aggregate = suite.add(uploads)
    residues = min(agreement.feature_values, _MOST_MASKED)
    modulus, seed = agreement.encryption.plain_modulus, b"\1" * 32
    masking = _best(lambda: mask_stream(seed, residues, modulus), 2)
    return {
        "feature_key": made,
        "feature_key_check": _best(lambda: suite.check_feature_key(public, KEY_HOLDER), 2),
        "mask": masking * agreement.feature_values / residues if agreement.protection.masks else 0,
        "encrypt": _best(lambda: suite.encrypt_features(public, masked), 2) * more,
        "upload_check": checked * more,
        "add": _best(lambda: suite.add(uploads), 2) * more / 2,
        "decrypt": _best(lambda: suite.decrypt(secret, aggregate), 2) * more,
    }
