"""Reading ``.npz`` files that somebody else made.

Nothing in such a file is run (no pickle), and nothing is unpacked before its size and its
shape are known from the archive's directory and the array's header: a small file cannot
fill the memory.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

# What zipfile and numpy raise on archives and headers that are damaged or hostile.
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    NotImplementedError,
    OSError,
    # numpy parses a header as a Python literal.
    SyntaxError,
    TypeError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class _Header:
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    length: int


def read_npz(path: Path, allowed: Collection[str], limit_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an ``.npz`` file by name.

    Args:
        path: The file; a symbolic link is followed.
        allowed: Names that it may hold, so that a misspelt one is noticed.
        limit_bytes: Most bytes that all its arrays may take in memory.

    Raises:
        DataError: Not an archive, damaged, an array of another name, an array of Python
            objects, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_members(archive, path.name, allowed, limit_bytes)
    except _DAMAGE as error:
        raise DataError(
            f"{path.name} is not a usable .npz file.",
            why=f"{type(error).__name__}: {error}.",
            do="Write it with numpy.savez or numpy.savez_compressed.",
        ) from error


def _read_members(
    archive: zipfile.ZipFile, file_name: str, allowed: Collection[str], limit_bytes: int
) -> dict[str, npt.NDArray[Any]]:
    members = archive.infolist()
    total_bytes = sum(member.file_size for member in members)
    if total_bytes > limit_bytes:
        raise DataError(
            f"{file_name} would unpack to {total_bytes} bytes; at most {limit_bytes} are read.",
            do="Use fewer or smaller records.",
        )
    arrays: dict[str, npt.NDArray[Any]] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if name not in allowed or name == member.filename or name in arrays:
            raise DataError(
                f"{file_name}: {member.filename[:60]!r} is unexpected or there twice.",
                do=f"The arrays may be: {', '.join(sorted(allowed))}.",
            )
        # Encrypted, or compressed in a way that numpy never uses.
        if member.flag_bits & 1 or member.compress_type not in (
            zipfile.ZIP_STORED,
            zipfile.ZIP_DEFLATED,
        ):
            raise DataError(
                f"{file_name}: array {name!r} is stored in a way that numpy does not use.",
                do="Write the file with numpy.savez or numpy.savez_compressed.",
            )
        arrays[name] = _read_array(archive, member, f"{file_name}: array {name!r}")
    return arrays


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str) -> npt.NDArray[Any]:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise DataError(f"{what} has .npy format version {version}, expected 1.0 or 2.0.")
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, _, dtype = read_header(stream)
        header_bytes = stream.tell()
    if dtype.hasobject or dtype.names is not None:
        raise DataError(
            f"{what} has dtype {dtype}; Python objects and records are not read.",
            do="Use a plain dtype: numbers, or str_ for names.",
        )
    # numpy allocates what the header says: it must be what the archive holds.
    if header_bytes + math.prod(shape) * dtype.itemsize != member.file_size:
        raise DataError(f"{what} does not have the size that its header says.")
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return np.ascontiguousarray(array).reshape(shape)
