"""IDX files, the format of MNIST and its relatives, known by name, shape and hash."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class IdxFile:
    """One official file, known by its content.

    Attributes:
        name: File name without ``.gz``.
        shape: The dimensions that its IDX header must declare.
        sha256: Hash of the *decompressed* content: distributions compress it anew, so
            the hash of the ``.gz`` differs where the data does not.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def content_bytes(self) -> int:
        """Exact size of the decompressed file: IDX header and unsigned bytes."""
        return 4 + 4 * len(self.shape) + math.prod(self.shape)

    @property
    def most_gzip_bytes(self) -> int:
        """More than any gzip file of this content takes, even where nothing shrinks."""
        return self.content_bytes + self.content_bytes // 1000 + 4096


def parse_idx(content: bytes, file: IdxFile) -> ByteArray:
    """Return the array inside an IDX file of unsigned bytes.

    Raises:
        DataError: The header or the length is not exactly the one expected.

    >>> parse_idx(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9]), IdxFile("two", (2,), "")).tolist()
    [7, 9]
    """
    header = bytes([0, 0, 8, len(file.shape)]) + b"".join(n.to_bytes(4, "big") for n in file.shape)
    if content[: len(header)] != header or len(content) != file.content_bytes:
        raise DataError(
            f"{file.name} is not the IDX file that it should be.",
            why=f"Expected shape {file.shape}, {file.content_bytes} bytes with the header.",
        )
    return np.frombuffer(content, dtype=np.uint8, offset=len(header)).reshape(file.shape)


def decompress(compressed: bytes, file: IdxFile) -> bytes:
    """Return gunzipped content, never producing more than the file's known size.

    Raises:
        DataError: Not gzip, damaged, or larger than it should be.
    """
    # 16 + 15: a gzip header, the largest window.
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        content = decoder.decompress(compressed, file.content_bytes + 1)
    except zlib.error as error:
        raise DataError(f"{file.name}.gz is damaged.", why=f"{error}.") from error
    if len(content) > file.content_bytes or not decoder.eof:
        raise DataError(
            f"{file.name}.gz does not hold {file.content_bytes} bytes.",
            why="It is cut short, or it would decompress to more than that.",
        )
    return content


def check_content(content: bytes, file: IdxFile) -> bytes:
    """Return ``content`` if it is the official content.

    Raises:
        DataError: It is not.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise DataError(
            f"{file.name} is refused: it is not the official file.",
            why=f"SHA-256 of its content is {found}, expected {file.sha256}.",
        )
    return content


def read_folder(folder: Path, files: Sequence[IdxFile]) -> dict[str, bytes]:
    """Return the verified content of ``files`` in ``folder``, plain or gzipped.

    Raises:
        DataError: One is missing, cannot be read, or is not the official file.
    """
    return {file.name: _read_file(folder, file) for file in files}


def _read_file(folder: Path, file: IdxFile) -> bytes:
    plain = folder / file.name
    packed = folder / f"{file.name}.gz"
    try:
        if plain.is_file():
            with plain.open("rb") as stream:
                return check_content(stream.read(file.content_bytes + 1), file)
        if packed.is_file():
            with packed.open("rb") as stream:
                return check_content(decompress(stream.read(file.most_gzip_bytes), file), file)
    except OSError as error:
        raise DataError(f"{file.name} in {folder} cannot be read.", why=f"{error}.") from error
    raise DataError(f"{folder} has no {file.name}, plain or .gz.")


def write_files(contents: dict[str, bytes], folder: Path) -> None:
    """Put files into ``folder``, each complete or not there at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            Path(temporary).replace(folder / name)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
