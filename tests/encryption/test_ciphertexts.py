"""Encrypt, add, open: if these fail, sums are wrong or a single upload can be opened."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tenseal import sealapi

from secure_fedsa.encryption.ciphertexts import add, check_upload, decrypt, encrypt
from secure_fedsa.encryption.containers import (
    check_seal_object,
    read_fields,
    read_vector,
    write_fields,
    write_vector,
)
from secure_fedsa.encryption.keys import FeatureKey, generate_feature_key
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError
from secure_fedsa.signals import Aggregate, Encrypted, Masked

VALUES = 5000  # two ciphertexts, the second one partly filled
BOUND = 1 << 26


def draw_signals(members: int, values: int = VALUES) -> dict[str, Any]:
    generator = public_generator(0, "signals")
    return {f"t{i}": generator.integers(-BOUND, BOUND + 1, values) for i in range(members)}


@pytest.fixture(scope="module")
def signals() -> dict[str, Any]:
    return draw_signals(4)


@pytest.fixture(scope="module")
def uploads(upload: Any, signals: dict[str, Any], feature_key: FeatureKey) -> dict[str, Encrypted]:
    return dict(upload(signals, feature_key))


@pytest.fixture(scope="module")
def aggregate(parameters: BfvParameters, uploads: dict[str, Encrypted]) -> Aggregate:
    return add(parameters, uploads, values=VALUES)


def test_the_sum_is_exact(
    parameters: BfvParameters,
    feature_key: FeatureKey,
    signals: dict[str, Any],
    aggregate: Aggregate,
) -> None:
    """The student would learn from a wrong sum."""
    released = decrypt(parameters, feature_key.secret, aggregate)
    assert np.array_equal(released.values, sum(signals.values()))
    assert released.members == ("t0", "t1", "t2", "t3")


def test_everybody_computes_the_same_bytes(
    parameters: BfvParameters, uploads: dict[str, Encrypted], aggregate: Aggregate
) -> None:
    """The key holder could not recheck the aggregator's sum, nor an auditor both."""
    backwards = dict(reversed(uploads.items()))
    assert add(parameters, backwards, values=VALUES) == aggregate


def test_only_an_aggregate_can_be_opened(
    parameters: BfvParameters, feature_key: FeatureKey, uploads: dict[str, Encrypted]
) -> None:
    """One teacher's contribution could be decrypted by a slip of the caller."""
    with pytest.raises(TypeError):
        decrypt(parameters, feature_key.secret, uploads["t0"])  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        add(parameters, {"t0": uploads["t0"]}, values=VALUES)


def test_a_single_upload_shows_masked_values_even_to_the_key(
    parameters: BfvParameters,
    feature_key: FeatureKey,
    signals: dict[str, Any],
    uploads: dict[str, Encrypted],
) -> None:
    """A key holder that bypasses the gate would read the teacher's signal."""
    bypass = Aggregate(uploads["t0"].ciphertext, VALUES, ("t0",))
    seen = decrypt(parameters, feature_key.secret, bypass).values
    # 2^27 signal values among 2^34 residues: a match by chance has probability 2^-34 each.
    assert not np.any(seen == signals["t0"])
    assert np.abs(seen).mean() > parameters.plain_modulus / 5


def test_encryption_needs_the_public_key_only_and_is_fresh(
    parameters: BfvParameters, feature_key: FeatureKey
) -> None:
    """Equal signals would give equal uploads, or teachers would need the secret key."""
    masked = Masked(np.arange(10), parameters.plain_modulus)
    one, two = (encrypt(parameters, feature_key.public, masked) for _ in range(2))
    assert one.ciphertext != two.ciphertext
    first, second = (read_vector("", parameters, x.ciphertext, 10)[0] for x in (one, two))
    # No common stretch: neither polynomial repeats.
    assert not {first[i : i + 12] for i in range(100, 60_000)} & {
        second[i : i + 12] for i in range(100, 60_000)
    }
    with pytest.raises(ProtocolError):
        encrypt(parameters, feature_key.secret, masked)


def test_a_seeded_ciphertext_is_refused(parameters: BfvParameters, tmp_path: Path) -> None:
    """Such an upload was made with the secret key: the key holder played a teacher."""
    parms = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parms.set_poly_modulus_degree(4096)
    parms.set_coeff_modulus(sealapi.CoeffModulus.Create(4096, [54, 55]))
    parms.set_plain_modulus(parameters.plain_modulus)
    context = sealapi.SEALContext(parms, True, sealapi.SEC_LEVEL_TYPE.TC128)
    encryptor = sealapi.Encryptor(context, sealapi.KeyGenerator(context).secret_key())
    path = tmp_path / "seeded"
    encryptor.encrypt_symmetric(sealapi.Plaintext("1")).save(str(path))
    seeded = write_vector([10], [path.read_bytes()])
    with pytest.raises(ProtocolError, match="seeded"):
        check_upload(parameters, Encrypted(seeded, 10), values=10, party="t0")


def test_masked_values_are_checked_before_encryption(
    parameters: BfvParameters, feature_key: FeatureKey
) -> None:
    """TenSEAL truncates floats and wraps wide values without a word."""
    modulus = parameters.plain_modulus
    for masked in (
        Masked(np.array([modulus]), modulus),
        Masked(np.array([-1]), modulus),
        Masked(np.array([], dtype=np.int64), modulus),
        Masked(np.array([[1]]), modulus),
        Masked(np.array([1.5]), modulus),
        Masked(np.array([1]), 8589852673),
    ):
        with pytest.raises(HeadroomError):
            encrypt(parameters, feature_key.public, masked)


def test_uploads_of_a_wrong_form_are_refused_and_name_their_sender(
    parameters: BfvParameters, uploads: dict[str, Encrypted], other_key: FeatureKey
) -> None:
    """One bad upload would shorten, shift or spoil the sum, and nobody knew whose it was."""
    good = uploads["t1"].ciphertext
    blobs = read_vector("", parameters, good, VALUES)
    sizes = parameters.chunk_sizes(VALUES)
    small = BfvParameters(plain_modulus=8589852673)
    foreign = encrypt(
        small, generate_feature_key(small).public, Masked(np.arange(VALUES), small.plain_modulus)
    ).ciphertext
    huge = bytearray(blobs[0])
    huge[8:16] = (2**63).to_bytes(8, "little")
    bad = {
        "empty": b"",
        "truncated": good[:-1],
        "longer": good + b"\0",
        "one ciphertext": write_vector(sizes[:1], blobs[:1]),
        "three ciphertexts": write_vector([*sizes, 1], [*blobs, blobs[0]]),
        "shorter sizes": write_vector([sizes[0], sizes[1] - 1], blobs),
        "wide sizes": write_vector([2**32 - 1, sizes[1]], blobs),
        "no sizes": write_fields([(2, 2, blob) for blob in blobs]),
        "unknown field": good + write_fields([(9, 0, 1)]),
        "unknown kind": good + b"\x0b",
        "endless number": good + b"\xff" * 12,
        "empty ciphertext": write_vector(sizes, [blobs[0], b""]),
        "zeros": write_vector(sizes, [blobs[0], bytes(len(blobs[1]))]),
        "size in the header": write_vector(sizes, [bytes(huge), blobs[1]]),
        "other plain modulus": foreign,
        "key for a ciphertext": other_key.public,
        "too long": bytes(10_000_000),
    }
    for data in bad.values():
        with pytest.raises(ProtocolError, match="t1:"):
            add(parameters, {**uploads, "t1": Encrypted(data, VALUES)}, values=VALUES)
    with pytest.raises(ProtocolError, match="t1:"):
        add(parameters, {**uploads, "t1": Encrypted(good, VALUES - 1)}, values=VALUES)


def test_a_second_encoding_of_a_ciphertext_is_refused(
    parameters: BfvParameters, uploads: dict[str, Encrypted]
) -> None:
    """One ciphertext with two encodings: equal uploads with different hashes."""
    first, second = read_vector("", parameters, uploads["t1"].ciphertext, VALUES)
    # A zstd frame may be followed by a skippable one, which decompressors pass over.
    longer = bytearray(first + b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"note")
    longer[8:16] = len(longer).to_bytes(8, "little")
    older = bytearray(first)
    older[4] = 0  # SEAL 4.0
    for changed in (longer, older):
        data = write_vector(parameters.chunk_sizes(VALUES), [bytes(changed), second])
        with pytest.raises(ProtocolError, match="t1:"):
            check_upload(parameters, Encrypted(data, VALUES), values=VALUES, party="t1")


def test_headers_are_checked_before_the_library_sees_them(
    parameters: BfvParameters, uploads: dict[str, Encrypted]
) -> None:
    """The library would be the first to read a stranger's sizes."""
    blob = read_vector("", parameters, uploads["t1"].ciphertext, VALUES)[0]
    bounds = (100, 100_000)
    check_seal_object("t1", blob, bounds)
    for position in (0, 1, 2, 3, 5, 6, 7, 8, 15):
        changed = bytearray(blob)
        changed[position] ^= 1
        with pytest.raises(ProtocolError, match="header"):
            check_seal_object("t1", bytes(changed), bounds)
    for wrong in ((len(blob) + 1, 100_000), (100, len(blob) - 1)):
        with pytest.raises(ProtocolError, match="bytes"):
            check_seal_object("t1", blob, wrong)


def test_sums_of_foreign_or_incomplete_uploads_do_not_pass(
    parameters: BfvParameters,
    feature_key: FeatureKey,
    other_key: FeatureKey,
    upload: Any,
    signals: dict[str, Any],
    uploads: dict[str, Encrypted],
    aggregate: Aggregate,
) -> None:
    """TenSEAL adds ciphertexts of different keys and decrypts the garbage without an error."""
    stranger = upload(signals, other_key)["t2"]
    mixed = add(parameters, {**uploads, "t2": stranger}, values=VALUES)
    with pytest.raises(ProtocolError, match="noise budget"):
        decrypt(parameters, feature_key.secret, mixed)
    with pytest.raises(ProtocolError, match="noise budget"):
        decrypt(parameters, other_key.secret, aggregate)


def test_a_transparent_ciphertext_is_refused(
    parameters: BfvParameters, uploads: dict[str, Encrypted]
) -> None:
    """An "encryption" that anybody can read would be accepted as one."""
    fields = read_fields(uploads["t0"].ciphertext)
    assert [number for number, _, _ in fields] == [1, 2, 2]
    from secure_fedsa.encryption.keys import keyless_context, tenseal

    vector = tenseal.bfv_vector_from(keyless_context(parameters), uploads["t0"].ciphertext)
    same = tenseal.bfv_vector_from(keyless_context(parameters), uploads["t0"].ciphertext)
    with pytest.raises(RuntimeError, match="transparent"):
        vector.sub_(same)  # SEAL itself refuses to make one
    zero = Encrypted(vector.serialize(), VALUES)
    with pytest.raises(ProtocolError):
        check_upload(parameters, zero, values=VALUES, party="t0")


def test_mutated_uploads_never_crash_and_never_shorten_the_sum(
    parameters: BfvParameters,
    feature_key: FeatureKey,
    signals: dict[str, Any],
    uploads: dict[str, Encrypted],
) -> None:
    """200 mutations: nearly all are refused at once, or open to noise that is refused.

    What passes changed one coefficient, by a multiple of q / t plus noise: BFV cannot tell
    it from another upload, so uploads are signed. One in 32 such changes passes; more than
    20 of 200 would be a broken check.
    """
    generator = public_generator(0, "mutated uploads")
    good = uploads["t3"].ciphertext
    outcomes: Counter[str] = Counter()
    for index in range(200):
        data = bytearray(good)
        # Half of them near the containers' and ciphertexts' own headers.
        span = 120 if index % 2 else len(data)
        for position in generator.integers(0, span, 1 + index % 3):
            data[position] ^= int(generator.integers(1, 256))
        if index % 10 == 0:
            data = data[: int(generator.integers(0, len(data)))]
        mutated = {**uploads, "t3": Encrypted(bytes(data), VALUES)}
        try:
            total = add(parameters, mutated, values=VALUES)
        except ProtocolError:
            outcomes["refused at once"] += 1
            continue
        assert total.values == VALUES
        try:
            released = decrypt(parameters, feature_key.secret, total)
        except ProtocolError:
            outcomes["refused at the release"] += 1
            continue
        assert released.values.shape == (VALUES,)
        exact = np.array_equal(released.values, sum(signals.values()))
        outcomes["harmless" if exact else "passed"] += 1
    assert outcomes.total() == 200
    assert outcomes["refused at once"] > 50
    assert outcomes["passed"] <= 20, outcomes


@pytest.mark.slow
def test_cost_of_a_real_signal(
    parameters: BfvParameters, feature_key: FeatureKey, upload: Any
) -> None:
    """The demo would not keep its time, or plan's figure for bytes would be wrong."""
    values = 32_897
    signals = draw_signals(3, values)
    start = time.process_time()
    uploads = upload(signals, feature_key)
    aggregate = add(parameters, uploads, values=values)
    released = decrypt(parameters, feature_key.secret, aggregate)
    assert time.process_time() - start < 5
    assert np.array_equal(released.values, sum(signals.values()))
    size = len(uploads["t0"].ciphertext)
    assert size <= parameters.maximum_payload_bytes(values)
    assert 13.5 < size / values < 18
