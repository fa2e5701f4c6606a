"""The feature key: if these fail, the published key could open single uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tenseal

from secure_fedsa.encryption import ciphertexts, keys
from secure_fedsa.encryption.ciphertexts import add, check_published_key, decrypt, encrypt
from secure_fedsa.encryption.containers import BYTES, VARINT, read_fields, write_fields
from secure_fedsa.encryption.keys import FeatureKey, generate_feature_key, public_context
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import ProtocolError
from secure_fedsa.signals import Masked


def test_public_bytes_hold_one_public_key_and_nothing_else(feature_key: FeatureKey) -> None:
    """Whoever reads the transcript could decrypt, multiply or rotate."""
    fields = read_fields(feature_key.public)
    assert [number for number, _, _ in fields] == [1, 2]
    inner = [number for number, _, _ in read_fields(bytes(fields[1][2]))]
    assert inner == [1, 2, 3]  # public key, flags, scale; 4 and 5 would be evaluation keys
    secret = keys._take_key(3, feature_key.secret)
    assert len(secret) > 50_000
    # No stretch of the secret key's compressed bytes occurs in the public bytes.
    stretches = {secret[start : start + 16] for start in range(64, len(secret) - 16)}
    public = feature_key.public
    assert not any(public[start : start + 16] in stretches for start in range(len(public) - 16))
    context = tenseal.context_from(feature_key.public, n_threads=1)
    assert context.is_public()
    assert not context.has_relin_keys()
    assert not context.has_galois_keys()
    vector = tenseal.bfv_vector(context, [1, 2, 3])
    with pytest.raises(ValueError, match="secret"):
        vector.decrypt()
    with pytest.raises(ValueError, match="support"):
        context.data.decryptor()


def test_tenseals_own_public_context_would_not_do(parameters: BfvParameters) -> None:
    """This is why the container is rebuilt: TenSEAL adds relinearisation keys."""
    context = keys._fresh_context(parameters)
    context.make_context_public()
    data = context.serialize()
    assert tenseal.context_from(data, n_threads=1).has_relin_keys()
    with pytest.raises(ProtocolError):
        public_context(parameters, data)


def test_repr_hides_the_secret(feature_key: FeatureKey) -> None:
    """A log line would publish the key."""
    assert repr(keys._take_key(3, feature_key.secret)[100:120])[2:-1] not in repr(feature_key)
    assert "secret" not in repr(feature_key)


def test_keys_are_fresh_and_named_by_their_hash(
    feature_key: FeatureKey, other_key: FeatureKey
) -> None:
    """Two runs would share a key, or envelopes could not tell keys apart."""
    assert feature_key.key_id != other_key.key_id
    assert feature_key.key_id == keys.key_id(feature_key.public)
    assert len(feature_key.key_id) == 64


def test_strange_public_keys_are_refused(
    parameters: BfvParameters, feature_key: FeatureKey
) -> None:
    """A teacher would encrypt under other parameters, or with a context that holds secrets."""
    (_, _, encryption_parameters), (_, _, public_part) = read_fields(feature_key.public)
    (_, _, private_part) = read_fields(feature_key.secret)[2]
    larger = generate_feature_key(BfvParameters(8192, (54, 54, 55, 55)))
    other_modulus = generate_feature_key(BfvParameters(plain_modulus=8589852673))
    symmetric = tenseal.context(
        tenseal.SCHEME_TYPE.BFV,
        4096,
        plain_modulus=parameters.plain_modulus,
        coeff_mod_bit_sizes=[54, 55],
        encryption_type=tenseal.ENCRYPTION_TYPE.SYMMETRIC,
        n_threads=1,
    )
    bad = {
        "empty": b"",
        "zeros": bytes(1000),
        "truncated": feature_key.public[:-1],
        "longer": feature_key.public + b"\0",
        "with a secret key": write_fields(
            [(1, BYTES, encryption_parameters), (2, BYTES, public_part), (3, BYTES, private_part)]
        ),
        "symmetric": symmetric.serialize(save_secret_key=True),
        "symmetric flag": feature_key.public + write_fields([(4, VARINT, 1)]),
        "no key": keys._compose(parameters),
        "secret only": feature_key.secret,
        "other degree": larger.public,
        "other plain modulus": other_modulus.public,
    }
    for data in bad.values():
        with pytest.raises(ProtocolError):
            public_context(parameters, data, "key holder")
    with pytest.raises(ProtocolError):
        keys.secret_context(parameters, feature_key.public)
    with pytest.raises(ProtocolError):
        keys.secret_context(parameters, larger.secret)
    both = keys._compose(
        parameters,
        public=keys._take_key(2, feature_key.public),
        secret=keys._take_key(3, feature_key.secret),
    )
    for data in (both, feature_key.secret + b"\0", feature_key.secret[:-1]):
        with pytest.raises(ProtocolError):
            keys.secret_context(parameters, data)


def test_mutated_public_keys_never_crash(
    parameters: BfvParameters, feature_key: FeatureKey
) -> None:
    """One flipped byte in a signed-by-a-cheat key would kill the teacher's process."""
    generator = public_generator(0, "mutated keys")
    for _ in range(60):
        data = bytearray(feature_key.public)
        for position in generator.integers(0, len(data), 3):
            data[position] ^= int(generator.integers(1, 256))
        try:
            public_context(parameters, bytes(data))
        except ProtocolError:
            continue


def test_published_key_must_open_what_teachers_encrypt(
    parameters: BfvParameters,
    feature_key: FeatureKey,
    other_key: FeatureKey,
) -> None:
    """A key holder could publish any key, and "verify" would confirm an invented sum."""
    check_published_key(parameters, feature_key.public, feature_key.secret, parties=5)
    with pytest.raises(ProtocolError, match="does not belong"):
        check_published_key(parameters, feature_key.public, other_key.secret, parties=5)
    with pytest.raises(ProtocolError):
        check_published_key(parameters, feature_key.public, b"", parties=5)


def test_a_published_key_that_opens_to_other_values_is_refused(
    parameters: BfvParameters, feature_key: FeatureKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key under which only the values, not the noise, are wrong would pass."""
    honest = ciphertexts._opener

    def crooked(context: Any, parameters: BfvParameters, parties: int) -> Callable[[Any], Any]:
        opener = honest(context, parameters, parties)
        return lambda vector: opener(vector) + 1

    monkeypatch.setattr(ciphertexts, "_opener", crooked)
    with pytest.raises(ProtocolError, match="does not belong"):
        check_published_key(parameters, feature_key.public, feature_key.secret, parties=2)


def test_a_key_and_a_sum_that_match_each_other_only_are_refused(
    parameters: BfvParameters, feature_key: FeatureKey, other_key: FeatureKey
) -> None:
    """The second bad vector of the release gate: sum and key forged together."""
    modulus = parameters.plain_modulus
    parts = {
        name: encrypt(parameters, other_key.public, Masked(np.array([value]), modulus))
        for name, value in (("a", 1), ("b", 2))
    }
    forged = add(parameters, parts, values=1)
    assert decrypt(parameters, other_key.secret, forged).values.tolist() == [3]
    with pytest.raises(ProtocolError, match="does not belong"):
        check_published_key(parameters, feature_key.public, other_key.secret, parties=2)
