"""Pairwise masks: if these fail, one teacher's signal shows, or no sum comes out."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from secure_fedsa.encryption.masks import (
    VALUE_BYTES,
    MaskContext,
    mask,
    mask_stream,
    pair_seed,
)
from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import HeadroomError, ProtocolError, UsageError
from secure_fedsa.signals import Encoded, int_array

MODULUS = 17179754497
CONTEXT = MaskContext("run-1", "features", "roster-1")
A_VALUE, B_VALUE = bytes(range(32)), bytes(range(32, 64))

# 255 degrees of freedom, exceeded with probability 1e-9.
CHI_SQUARE_255 = 414.6


def seed_of_a_and_b(context: MaskContext = CONTEXT) -> bytes:
    return pair_seed(context, own="a", own_value=A_VALUE, peer="b", peer_value=B_VALUE)


def hkdf_sha256(secret: bytes, info: bytes) -> bytes:
    """RFC 5869 with the standard library; one block of output, empty salt."""
    key = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    return hmac.new(key, info + b"\x01", hashlib.sha256).digest()


def block_by_block(seed: bytes, size: int, modulus: int) -> list[int]:
    """The mask stream as the specification words it, one AES block at a time."""
    encryptor = Cipher(algorithms.AES256(seed), modes.ECB()).encryptor()  # noqa: S305
    limit = 2**64 // modulus * modulus
    found: list[int] = []
    counter = 0
    while len(found) < size:
        block = encryptor.update(counter.to_bytes(16, "big"))
        counter += 1
        words = [int.from_bytes(block[:8], "little"), int.from_bytes(block[8:], "little")]
        found += [word % modulus for word in words if word < limit]
    return found[:size]


def test_seed_vector() -> None:
    """Two implementations would derive different masks, and no sum would ever open."""
    fields = [
        b"secure-fedsa/v1/pairwise-mask",
        b"run-1",
        b"features",
        b"roster-1",
        b"a",
        b"b",
        b"first-adds",
    ]
    info = b"".join(len(part).to_bytes(4, "big") + part for part in fields)
    assert seed_of_a_and_b() == hkdf_sha256(A_VALUE + B_VALUE, info)
    assert (
        seed_of_a_and_b().hex()
        == "4493e8fa58123ed2545c0e8738dc8d10f931fae6c9a4a8d192d9f653a5acebc8"
    )


def test_stream_vector() -> None:
    """The same for the bytes of the stream."""
    expected = [15144071501, 9129965700, 7353649926, 16649944881]
    assert mask_stream(seed_of_a_and_b(), 4, MODULUS).tolist() == expected


@settings(deadline=None, max_examples=50)
@given(
    st.binary(min_size=32, max_size=32).filter(any),
    st.integers(0, 40),
    st.sampled_from([2, 3, 2**32, MODULUS, 2**61 + 1, 2**62 - 1, 3 * 2**60 + 7]),
)
def test_stream_is_what_the_specification_says(seed: bytes, size: int, modulus: int) -> None:
    """Rejection across chunks would skip or repeat a word; here up to 1 in 5 is rejected."""
    assert mask_stream(seed, size, modulus).tolist() == block_by_block(seed, size, modulus)


def test_both_partners_derive_one_seed() -> None:
    """Masks would not cancel."""
    other_side = pair_seed(CONTEXT, own="b", own_value=B_VALUE, peer="a", peer_value=A_VALUE)
    assert seed_of_a_and_b() == other_side


def test_seed_depends_on_everything() -> None:
    """One stream would mask two vectors, and their difference would show."""
    seeds = [
        seed_of_a_and_b(),
        *(seed_of_a_and_b(replace(CONTEXT, run_id=run)) for run in ("run-2", "run")),
        seed_of_a_and_b(replace(CONTEXT, phase="other")),
        seed_of_a_and_b(replace(CONTEXT, roster_hash="roster-2")),
        # Text that runs together the same way must not.
        seed_of_a_and_b(MaskContext("run-1f", "eatures", "roster-1")),
        pair_seed(CONTEXT, own="a", own_value=B_VALUE, peer="b", peer_value=A_VALUE),
        pair_seed(CONTEXT, own="a", own_value=A_VALUE, peer="c", peer_value=B_VALUE),
        pair_seed(CONTEXT, own="ab", own_value=A_VALUE, peer="b", peer_value=B_VALUE),
        # Of both values, so that neither partner alone chooses it.
        pair_seed(CONTEXT, own="a", own_value=A_VALUE, peer="b", peer_value=bytes([9]) * 32),
        pair_seed(CONTEXT, own="a", own_value=bytes([9]) * 32, peer="b", peer_value=B_VALUE),
    ]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(
    ("own", "own_value", "peer", "peer_value", "error"),
    [
        ("a", A_VALUE, "a", B_VALUE, ProtocolError),
        ("a", A_VALUE, "b", A_VALUE, ProtocolError),
        ("a", A_VALUE, "b", bytes(32), ProtocolError),
        ("a", bytes(32), "b", B_VALUE, ProtocolError),
        ("a", A_VALUE, "b", B_VALUE[:31], ProtocolError),
        ("a", A_VALUE, "b", B_VALUE + b"\0", ProtocolError),
        ("a", A_VALUE, "b", b"", ProtocolError),
        ("", A_VALUE, "b", B_VALUE, UsageError),
    ],
)
def test_bad_exchanges_are_refused(
    own: str, own_value: bytes, peer: str, peer_value: bytes, error: type[Exception]
) -> None:
    """A partner that sends nothing random, or plays itself, would go unnoticed."""
    with pytest.raises(error):
        pair_seed(CONTEXT, own=own, own_value=own_value, peer=peer, peer_value=peer_value)
    with pytest.raises(UsageError):
        seed_of_a_and_b(replace(CONTEXT, roster_hash=""))


def masked_roster(rows: list[list[int]], modulus: int) -> list[list[int]]:
    members = [f"t{index}" for index in range(len(rows))]
    values = {(a, b): secret_bytes(VALUE_BYTES) for a in members for b in members if a != b}
    result = []
    for own, row in zip(members, rows, strict=True):
        seeds = {
            peer: pair_seed(
                CONTEXT,
                own=own,
                own_value=values[own, peer],
                peer=peer,
                peer_value=values[peer, own],
            )
            for peer in members
            if peer != own
        }
        encoded = Encoded(int_array(row), modulus)
        result.append(mask(encoded, own=own, members=members, seeds=seeds).residues.tolist())
    return result


@settings(deadline=None, max_examples=30)
@given(
    st.integers(2, 12).flatmap(
        lambda k: st.lists(
            st.lists(st.integers(0, MODULUS - 1), min_size=5, max_size=5), min_size=k, max_size=k
        )
    )
)
def test_masks_cancel_over_the_whole_roster_only(rows: list[list[int]]) -> None:
    """The sum would be noise; or a sum over part of the roster would open."""
    masked = masked_roster(rows, MODULUS)
    total = np.mod(np.sum(masked, axis=0), MODULUS)
    assert total.tolist() == np.mod(np.sum(rows, axis=0), MODULUS).tolist()
    part = np.mod(np.sum(masked[1:], axis=0), MODULUS)
    # Equal in all five slots by chance: 1e-51.
    assert part.tolist() != np.mod(np.sum(rows[1:], axis=0), MODULUS).tolist()


@pytest.mark.statistical
def test_one_masked_signal_is_uniform() -> None:
    """The key holder, who can open a single upload, would see the signal's shape.

    256 equal buckets; false alarm 1e-9 a run.
    """
    masked = masked_roster([[7] * 40_000, [9] * 40_000], MODULUS)
    for vector in masked:
        counts = np.bincount(np.array(vector) * 256 // MODULUS, minlength=256)
        expected = len(vector) / 256
        assert ((counts - expected) ** 2 / expected).sum() < CHI_SQUARE_255


def test_two_honest_members_hide_each_other_exactly() -> None:
    """All others together would learn more than the sum of the last two (modulus 5)."""
    modulus = 5

    def views(first: int, second: int) -> Counter[tuple[int, int]]:
        return Counter(((first + m) % modulus, (second - m) % modulus) for m in range(modulus))

    for first in range(modulus):
        for second in range(modulus):
            same_sum = views((first + 2) % modulus, (second - 2) % modulus)
            assert views(first, second) == same_sum


def test_incomplete_or_repeated_seeds_are_refused() -> None:
    """A signal would leave with a mask missing, or with none at all."""
    encoded = Encoded(int_array([1, 2]), MODULUS)
    one, two = secret_bytes(VALUE_BYTES), secret_bytes(VALUE_BYTES)
    good = {"b": one, "c": two}
    members = ["a", "b", "c"]
    mask(encoded, own="a", members=members, seeds=good)
    for own, roster, seeds in (
        ("a", ["a"], {}),
        ("a", members, {"b": one}),
        ("a", members, {**good, "d": two}),
        ("a", members, {"b": one, "c": one}),
        ("d", members, good),
        ("a", ["a", "b", "b", "c"], good),
    ):
        with pytest.raises(ProtocolError):
            mask(encoded, own=own, members=roster, seeds=seeds)
    for seed in (b"", bytes(32), bytes(31)):
        with pytest.raises(UsageError):
            mask_stream(seed, 3, MODULUS)
    for residues in ([-1, 0], [MODULUS, 0], []):
        with pytest.raises(HeadroomError):
            mask(Encoded(int_array(residues), MODULUS), own="a", members=members, seeds=good)
    for modulus in (1, 1 << 62):
        with pytest.raises(HeadroomError):
            mask_stream(one, 3, modulus)
