"""The public encoder: one record's encoding is nobody else's business."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load, save

from secure_fedsa.entropy import public_generator
from secure_fedsa.errors import DataError
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder, useful_dimension
from secure_fedsa.models.exact import FLOAT32_INTEGERS, require_exact
from secure_fedsa.models.filters import BankSpec

BANKS = (BankSpec(6, 12, 2, 4, 0.5), BankSpec(10, 12, 2, 3, 0.5))
SPEC = EncoderSpec(dimension=24, banks=BANKS, units=32)


def images(count: int, shape: tuple[int, ...] = (28, 28), seed: int = 0) -> np.ndarray:
    generator = public_generator(seed, "test images")
    smooth = generator.normal(size=(count, *shape)).cumsum(axis=1).cumsum(axis=2)
    return np.asarray(np.clip(128 + 8 * smooth, 0, 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def image_encoder() -> PublicEncoder:
    return PublicEncoder.fit(images(120), SPEC)


@pytest.fixture(scope="module")
def table_encoder() -> PublicEncoder:
    return PublicEncoder.fit(public_generator(1, "table").normal(size=(200, 9)), SPEC)


@pytest.fixture(params=["image", "table"])
def case(
    request: pytest.FixtureRequest, image_encoder: PublicEncoder, table_encoder: PublicEncoder
) -> tuple[PublicEncoder, np.ndarray]:
    if request.param == "image":
        return image_encoder, images(600, seed=2)
    return table_encoder, public_generator(2, "table").normal(size=(600, 9)) * 3


def test_permutation_leaves_each_record_alone(case: tuple[PublicEncoder, np.ndarray]) -> None:
    """If this fails, moving one patient's row changes another's: sensitivity is unproved."""
    encoder, records = case
    order = public_generator(3, "order").permutation(len(records))
    whole = encoder.encode(records).values
    assert np.array_equal(encoder.encode(records[order]).values, whole[order])


def test_removal_leaves_the_others_alone(case: tuple[PublicEncoder, np.ndarray]) -> None:
    """If this fails, adding or removing a record moves the sums by more than the clip norm."""
    encoder, records = case
    whole = encoder.encode(records).values
    for gone in (0, 255, 256, 599):
        rest = np.delete(records, gone, axis=0)
        assert np.array_equal(encoder.encode(rest).values, np.delete(whole, gone, axis=0))


def test_a_record_alone_is_the_same(case: tuple[PublicEncoder, np.ndarray]) -> None:
    """If this fails, matrix products of one row round otherwise than those of many."""
    encoder, records = case
    whole = encoder.encode(records).values
    for index in (0, 7, 300):
        assert np.array_equal(encoder.encode(records[index : index + 1]).values[0], whole[index])


def test_threads_do_not_matter(case: tuple[PublicEncoder, np.ndarray]) -> None:
    """If this fails, two parties with other machines disagree about the same record."""
    encoder, records = case
    assert np.array_equal(
        encoder.encode(records, threads=1).values, encoder.encode(records, threads=2).values
    )


def test_bad_neighbour_does_not_matter(table_encoder: PublicEncoder) -> None:
    """If this fails, one NaN in a table spoils, or reveals itself in, other records."""
    records = public_generator(4, "table").normal(size=(50, 9))
    spoiled = records.copy()
    spoiled[3, 2] = np.nan
    spoiled[9, 0] = np.inf
    clean, dirty = table_encoder.encode(records), table_encoder.encode(spoiled)
    assert list(np.flatnonzero(~dirty.valid)) == [3, 9]
    assert not dirty.values[[3, 9]].any()
    assert np.array_equal(np.delete(dirty.values, [3, 9], 0), np.delete(clean.values, [3, 9], 0))


def test_float_images_agree_with_bytes_and_bad_ones_are_flagged(
    image_encoder: PublicEncoder,
) -> None:
    """If this fails, a site that stores floats sends another signal, or crashes on one NaN."""
    records = images(10, seed=5)
    floats = records / 255.0
    assert np.array_equal(image_encoder.encode(floats).values, image_encoder.encode(records).values)
    floats[4, 0, 0] = np.nan
    floats[6, 1, 1] = 1.5
    encoding = image_encoder.encode(floats)
    assert list(np.flatnonzero(~encoding.valid)) == [4, 6]
    assert not encoding.values[[4, 6]].any()


def test_bytes_round_trip_and_repeat(case: tuple[PublicEncoder, np.ndarray]) -> None:
    """If this fails, the hash in the agreement does not identify the encoder."""
    encoder, records = case
    data = encoder.to_bytes()
    again = PublicEncoder.from_bytes(data)
    assert data == encoder.to_bytes() == again.to_bytes()
    assert encoder.sha256() == again.sha256()
    assert np.array_equal(again.encode(records[:20]).values, encoder.encode(records[:20]).values)
    assert again.clip_norm == encoder.clip_norm


def test_fit_repeats(image_encoder: PublicEncoder) -> None:
    """If this fails, nobody can rebuild the encoder from the public probes."""
    assert PublicEncoder.fit(images(120), SPEC).sha256() == image_encoder.sha256()


def test_garbage_bytes_are_refused(image_encoder: PublicEncoder) -> None:
    """If this fails, a damaged encoder crashes or, worse, encodes."""
    for data in (b"", b"not an encoder", image_encoder.to_bytes()[:-9]):
        with pytest.raises(DataError, match="not a public encoder"):
            PublicEncoder.from_bytes(data)


def test_fractional_weights_are_refused(image_encoder: PublicEncoder) -> None:
    """If this fails, a forged encoder file makes sums that depend on their order."""
    tensors = load(image_encoder.to_bytes())
    data = image_encoder.to_bytes()
    size = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    for name in ("projection", "features.bank0"):
        forged = {**tensors, name: tensors[name] * tensors[name].dtype.type(0.7)}
        with pytest.raises(DataError, match="integers"):
            PublicEncoder.from_bytes(save(forged, metadata=metadata))


def test_inexact_sums_are_refused() -> None:
    """If this fails, an encoder whose rounding depends on the batch passes for a sound one."""
    with pytest.raises(DataError, match="exact integers"):
        require_exact(float(FLOAT32_INTEGERS), FLOAT32_INTEGERS, "a filter")
    with pytest.raises(DataError):
        require_exact(float("nan"), FLOAT32_INTEGERS, "a filter")


@pytest.mark.parametrize(
    "records", [np.zeros((3, 27, 28), np.uint8), np.zeros((3, 784)), np.array(["a", "b"])]
)
def test_wrong_shapes_are_refused(image_encoder: PublicEncoder, records: np.ndarray) -> None:
    """If this fails, a person with the wrong file gets a numpy trace instead of advice."""
    with pytest.raises(DataError) as caught:
        image_encoder.encode(records)
    assert caught.value.do


def test_colour_small_and_large_images_work() -> None:
    """If this fails, `--data` takes nothing but 28x28 grey images."""
    for shape in ((8, 8), (32, 32, 3), (64, 60)):
        encoder = PublicEncoder.fit(images(60, shape), SPEC)
        assert encoder.encode(images(3, shape, seed=9)).values.shape == (3, encoder.dimension)


def test_no_records_is_not_an_error(image_encoder: PublicEncoder) -> None:
    """If this fails, an empty class makes a teacher's silence tell that it is empty."""
    assert image_encoder.encode(images(0)).values.shape == (0, 24)


def test_clipped_encodings_keep_the_norm(image_encoder: PublicEncoder) -> None:
    """If this fails, the student's and the teachers' units differ."""
    values, valid = image_encoder.encode_clipped(images(50, seed=6))
    assert valid.all()
    assert np.linalg.norm(values, axis=1).max() <= 1 + 1e-12


def test_width_follows_the_noise() -> None:
    """If this fails, noise drowns the directions that matter, or good directions are left out."""
    widths = [useful_dimension(4500, noise, 5000) for noise in (0.0, 0.66, 4.17, 7.9, 30.0)]
    assert widths == sorted(widths, reverse=True)
    assert useful_dimension(1000, 4.17, 5000) < useful_dimension(4500, 4.17, 5000)
    assert useful_dimension(4500, 0.66, 100) == EncoderSpec().dimension  # few probes
    assert useful_dimension(1, 1e6, 5000) >= 48  # room for the saliency's size
