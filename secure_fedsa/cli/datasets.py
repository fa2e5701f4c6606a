"""The demo's public data sets: Fashion-MNIST, and digits as another domain.

Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv 1708.07747) is looked for in this order,
and whatever is found must have the official content, byte for byte:

1. the folder that ``SECURE_FEDSA_DATA`` names, or a system folder, where Debian's
   package ``dataset-fashion-mnist`` puts it;
2. the user's cache folder;
3. Debian's package, downloaded and unpacked without root rights (:mod:`.fetching`);
4. the data set's official address.

What 3 or 4 brings is kept in the cache, so that every later run works offline. Several
processes may do so at once: each writes its own temporary files and renames them.

    python -m secure_fedsa.cli.datasets prefetch
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.cli import fetching
from secure_fedsa.cli.idx import (
    ByteArray,
    IdxFile,
    check_content,
    decompress,
    parse_idx,
    read_folder,
    write_files,
)
from secure_fedsa.errors import DataError, SecureFedsaError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IntArray = npt.NDArray[np.int64]

DATA_VARIABLE = "SECURE_FEDSA_DATA"
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte",
    (60_000, 28, 28),
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte",
    (60_000,),
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
)
TEST_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte",
    (10_000, 28, 28),
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
)
TEST_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte",
    (10_000,),
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True, slots=True, repr=False)
class LabelledImages:
    """A public data set of images in classes.

    Attributes:
        name: What people call it.
        images: uint8, shape (n, 28, 28).
        labels: int64, shape (n,), each in [0, len(class_names)).
        test_images: uint8, shape (m, 28, 28).
        test_labels: int64, shape (m,).
        class_names: One name a class.
    """

    name: str
    images: ByteArray
    labels: IntArray
    test_images: ByteArray
    test_labels: IntArray
    class_names: tuple[str, ...]


def to_stderr(line: str) -> None:
    """Show one line of progress without touching standard output."""
    print(line, file=sys.stderr, flush=True)


def cache_folder() -> Path:
    """Return where this user's copies are kept; ``XDG_CACHE_HOME`` is respected."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification says to ignore a relative path.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "secure-fedsa" / "fashion-mnist"


def load_fashion_mnist(progress: Callable[[str], None] = to_stderr) -> LabelledImages:
    """Return Fashion-MNIST, fetching it once if this machine does not have it.

    Args:
        progress: Called with one line before each step that takes time.

    Raises:
        DataError: No way worked; the message names each way and why it failed.
    """
    contents = _find_or_fetch(progress)
    arrays = {file: parse_idx(contents[file.name], file) for file in FILES}
    return LabelledImages(
        name="Fashion-MNIST",
        images=arrays[TRAIN_IMAGES],
        labels=arrays[TRAIN_LABELS].astype(np.int64),
        test_images=arrays[TEST_IMAGES],
        test_labels=arrays[TEST_LABELS].astype(np.int64),
        class_names=CLASS_NAMES,
    )


def _find_or_fetch(progress: Callable[[str], None]) -> dict[str, bytes]:
    named = os.environ.get(DATA_VARIABLE)
    if named:
        # Somebody chose this folder: using other data without a word would surprise them.
        try:
            return read_folder(Path(named).expanduser(), FILES)
        except DataError as error:
            raise DataError(
                f"{DATA_VARIABLE} is set, but its folder cannot be used: {error.what}",
                why=error.why,
                do=f"Put the four Fashion-MNIST files there, or unset {DATA_VARIABLE}.",
            ) from error
    cache = cache_folder()
    failures: list[str] = []
    for folder in (SYSTEM_FOLDER, cache):
        if folder.is_dir():
            try:
                return read_folder(folder, FILES)
            except DataError as error:
                failures.append(f"{folder}: {error}")
                progress(f"Fashion-MNIST in {folder} is not usable: {error}")
    for way, fetch in (
        ("Debian's package", _fetch_from_debian),
        ("the official address", _fetch_from_official_address),
    ):
        progress(f"Fashion-MNIST: fetching it once (30 MB) from {way}.")
        try:
            contents = fetch()
        except SecureFedsaError as error:
            failures.append(f"{way}: {error}")
            progress(f"Fashion-MNIST: {way} did not work: {error}")
            continue
        _keep(contents, cache, progress)
        return contents
    raise DataError(
        "Fashion-MNIST is not on this machine and cannot be fetched.",
        why=" | ".join(failures),
        do=(
            f"Do one of: (1) `apt-get install {fetching.DEBIAN_PACKAGE}`, which fills "
            f"{SYSTEM_FOLDER}; (2) copy the four files {', '.join(f.name + '.gz' for f in FILES)} "
            f"from a machine that has them, or from {fetching.OFFICIAL_ADDRESS}, to {cache} or to "
            f"a folder named by {DATA_VARIABLE}; (3) connect this machine to a Debian mirror or to "
            f"that address and run this again."
        ),
    )


def _keep(contents: dict[str, bytes], cache: Path, progress: Callable[[str], None]) -> None:
    try:
        write_files(contents, cache)
    except OSError as error:
        # The data is here and verified: a full or read-only disk only costs a second download.
        progress(f"Fashion-MNIST: not kept in {cache}: {error}")
    else:
        progress(f"Fashion-MNIST: verified and kept in {cache}.")


def _fetch_from_debian() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(prefix="secure-fedsa-") as scratch:
        unpacked = fetching.debian_package(Path(scratch))
        return read_folder(unpacked / SYSTEM_FOLDER.relative_to("/"), FILES)


def _fetch_from_official_address() -> dict[str, bytes]:
    return {
        file.name: check_content(
            decompress(fetching.download(f"{file.name}.gz", file.most_gzip_bytes), file), file
        )
        for file in FILES
    }


def load_digits() -> LabelledImages:
    """Return scikit-learn's 1,797 handwritten digits at 28 x 28, without a test part.

    The 8 x 8 originals (values 0 to 16) are enlarged bilinearly, half-pixel centres,
    in exact integer arithmetic: the same bytes on every machine.

    >>> digits = load_digits()
    >>> digits.images.shape, digits.images.dtype, int(digits.images.max())
    ((1797, 28, 28), dtype('uint8'), 255)
    """
    from sklearn.datasets import load_digits as load

    bunch = load()
    # Target pixel i lies at (4 i - 5) / 14 in source pixels; weights in fourteenths.
    position = np.clip(4 * np.arange(28) - 5, 0, 14 * 7)
    below = np.minimum(position // 14, 6)
    share = position - 14 * below
    weights = np.zeros((28, 8), dtype=np.int64)
    weights[np.arange(28), below] = 14 - share
    weights[np.arange(28), below + 1] = share
    enlarged = weights @ bunch.images.astype(np.int64) @ weights.T
    full = 14 * 14 * 16
    return LabelledImages(
        name="digits",
        images=((enlarged * 255 + full // 2) // full).astype(np.uint8),
        labels=bunch.target.astype(np.int64),
        test_images=np.zeros((0, 28, 28), dtype=np.uint8),
        test_labels=np.zeros(0, dtype=np.int64),
        class_names=tuple(f"digit {i}" for i in range(10)),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch the data sets ahead of time; see the module's documentation."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words != ["prefetch"]:
        to_stderr("usage: python -m secure_fedsa.cli.datasets prefetch")
        return 2
    try:
        load_fashion_mnist()
    except SecureFedsaError as error:
        to_stderr(f"error: {error}")
        return error.exit_code
    to_stderr("Fashion-MNIST: ready.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
