"""The demo's public data: the official bytes, from whichever place, or a clear refusal."""

from __future__ import annotations

import gzip
import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.cli import datasets, fetching, idx
from secure_fedsa.cli.idx import IdxFile
from secure_fedsa.errors import DataError


def small_file(name: str, values: bytes) -> tuple[IdxFile, bytes]:
    content = bytes([0, 0, 8, 1]) + len(values).to_bytes(4, "big") + values
    return IdxFile(name, (len(values),), hashlib.sha256(content).hexdigest()), content


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the data, whose every way to fetch it fails; returns its cache."""
    monkeypatch.delenv(datasets.DATA_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "SYSTEM_FOLDER", tmp_path / "system")
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr(fetching, "OFFICIAL_ADDRESS", "http://127.0.0.1:9/")
    return datasets.cache_folder()


def test_fashion_mnist_is_the_official_one() -> None:
    """Accuracies could not be compared with anybody's if the data differed."""
    data = datasets.load_fashion_mnist()
    assert data.images.shape == (60_000, 28, 28)
    assert data.test_images.shape == (10_000, 28, 28)
    assert data.images.dtype == data.test_images.dtype == np.uint8
    assert np.bincount(data.labels).tolist() == [6_000] * 10
    assert np.bincount(data.test_labels).tolist() == [1_000] * 10
    assert len(data.class_names) == 10


def test_warm_cache_needs_no_network(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo on stage or in a closed ward must work offline after the first time."""
    wanted = [small_file(file.name, bytes([i])) for i, file in enumerate(datasets.FILES)]
    monkeypatch.setattr(datasets, "FILES", tuple(file for file, _ in wanted))
    idx.write_files({file.name: content for file, content in wanted}, nowhere)
    said: list[str] = []
    assert datasets._find_or_fetch(said.append) == {file.name: content for file, content in wanted}
    assert said == []


def test_failure_names_every_way_and_its_reason(nowhere: Path) -> None:
    """Somebody behind a firewall must be able to help themselves from the message alone."""
    idx.write_files({"train-labels-idx1-ubyte": b"not it"}, nowhere)
    with pytest.raises(DataError) as caught:
        datasets.load_fashion_mnist(lambda _: None)
    message = str(caught.value)
    for part in (
        str(nowhere),
        "has no apt-get",
        "http://127.0.0.1:9/train-images-idx3-ubyte.gz could not be fetched",
        "apt-get install dataset-fashion-mnist",
        datasets.DATA_VARIABLE,
    ):
        assert part in message


def test_a_folder_named_by_the_user_is_used_or_refused(
    nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silently taking other data than the folder one named would fake an experiment."""
    monkeypatch.setenv(datasets.DATA_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match=f"{datasets.DATA_VARIABLE} is set.*has no train-images"):
        datasets.load_fashion_mnist(lambda _: None)
    assert not nowhere.exists()


def test_damaged_cache_is_fetched_again(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error must not end in training on garbage, nor need a hand to repair."""
    wanted = [small_file(file.name, bytes([i])) for i, file in enumerate(datasets.FILES)]
    monkeypatch.setattr(datasets, "FILES", tuple(file for file, _ in wanted))
    idx.write_files({file.name: content[:-1] + b"?" for file, content in wanted}, nowhere)
    official = {f"{file.name}.gz": gzip.compress(content) for file, content in wanted}
    monkeypatch.setattr(fetching, "download", lambda name, _limit: official[name])
    said: list[str] = []
    found = datasets._find_or_fetch(said.append)
    assert found == {file.name: content for file, content in wanted}
    assert any("not the official file" in line for line in said)
    assert idx.read_folder(nowhere, [file for file, _ in wanted]) == found


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_wrong_content_is_refused(tmp_path: Path, suffix: str) -> None:
    """A poisoned mirror could otherwise choose what everybody trains on."""
    file, content = small_file("labels", b"\x01\x02")
    wrong = content[:-1] + b"\x03"
    (tmp_path / f"labels{suffix}").write_bytes(gzip.compress(wrong) if suffix else wrong)
    with pytest.raises(DataError, match="labels is refused: it is not the official file"):
        idx.read_folder(tmp_path, [file])


def test_decompression_is_bounded() -> None:
    """A small download must not fill the memory."""
    file, content = small_file("labels", bytes(10))
    with pytest.raises(DataError, match="does not hold 18 bytes"):
        idx.decompress(gzip.compress(bytes(10**7)), file)
    with pytest.raises(DataError, match="does not hold 18 bytes"):
        idx.decompress(gzip.compress(content)[:-4], file)
    with pytest.raises(DataError, match="damaged"):
        idx.decompress(b"<html>Not found</html>", file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes([0, 0, 8, 1, 0, 0, 0, 2, 7]),
        bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 7, 7]),
        bytes([0, 0, 9, 1, 0, 0, 0, 2, 7, 7]),
        bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 7]),
    ],
)
def test_idx_of_another_shape_is_refused(content: bytes) -> None:
    """A shifted array would pair images with the labels of others."""
    with pytest.raises(DataError, match="not the IDX file"):
        idx.parse_idx(content, IdxFile("two", (2,), ""))


def _write_again_and_again(folder: Path, value: int) -> None:
    for _ in range(20):
        idx.write_files({"file": bytes([value]) * 1_000_000}, folder)


def test_two_processes_may_fill_the_cache_at_once(tmp_path: Path) -> None:
    """Parallel jobs on a new machine must never read half a file."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_again_and_again, args=(tmp_path, i)) for i in (1, 2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "file").exists():
            content = (tmp_path / "file").read_bytes()
            assert content in (b"\x01" * 1_000_000, b"\x02" * 1_000_000)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_digits_are_enlarged_not_changed() -> None:
    """The other domain must be real digits, or the demo's selection proves nothing."""
    import torch
    from sklearn.datasets import load_digits

    digits = datasets.load_digits()
    original = torch.from_numpy(load_digits().images)[:, None] * (255 / 16)
    enlarged = torch.nn.functional.interpolate(original, size=(28, 28), mode="bilinear")
    assert np.abs(digits.images - enlarged[:, 0].numpy()).max() < 0.51
    assert np.bincount(digits.labels).min() > 170


def test_prefetch_explains_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo must not look like success in a set-up script."""
    assert datasets.main(["prefecth"]) == 2
    assert "usage:" in capsys.readouterr().err
