"""What is public of the data behind an agreement: probes, and the classes of teachers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.cli.data_folder import LIMIT_BYTES, load_folder
from secure_fedsa.cli.npz import read_npz
from secure_fedsa.errors import DataError, UsageError
from secure_fedsa.models.records import RecordSchema


@dataclass(frozen=True, slots=True)
class PublicPart:
    """What an agreement is drafted from.

    Attributes:
        source: Name of the file or folder.
        probes: Public examples, shape (n, ...).
        classes: Names of each known teacher's classes.
        student_classes: Number of the student's classes; 0 if nobody declared them.
    """

    source: str
    probes: npt.NDArray[Any]
    classes: dict[str, tuple[str, ...]]
    student_classes: int = 0


def public_part(folder: Path | None, probes: Path | None) -> PublicPart:
    """Return the public part of a data folder, or of a file of probes.

    Raises:
        DataError: If the folder or the file is not usable.
    """
    if folder is not None:
        data = load_folder(folder)
        classes = {t.id: t.task for t in data.teachers}
        own = len(data.class_names) if data.declared else 0  # else they are of its labels
        return PublicPart(data.source, data.probes, classes, own)
    assert probes is not None
    array = _read_probes(probes)
    try:
        RecordSchema.of(array)
    except DataError as error:
        raise DataError(f"{probes}: {error.what}", do=error.do) from error
    if array.dtype != np.uint8:
        with np.errstate(all="ignore"):
            array = array.astype(np.float32)  # as a data folder is read
    return PublicPart(probes.name, array, {})


def _read_probes(path: Path) -> npt.NDArray[Any]:
    if path.suffix == ".npz":
        arrays = read_npz(path, {"probes"}, LIMIT_BYTES)
        if "probes" not in arrays:
            raise DataError(f"{path} has no array 'probes'.", do="Save it as probes=...")
        return arrays["probes"]
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False, mmap_mode="r")
    except OSError as error:
        raise UsageError(
            f"Cannot read {path}.",
            why=f"{error.strerror or error}.",
            do="Name a .npy or .npz file.",
        ) from error
    except (ValueError, EOFError) as error:
        raise DataError(
            f"{path} is not a usable .npy file.", why=f"{error}.", do="Write it with numpy.save."
        ) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "uif":
        raise DataError(
            f"{path} does not hold one array of numbers.", do="Write it with numpy.save."
        )
    if array.nbytes > LIMIT_BYTES:
        raise DataError(
            f"{path} takes {array.nbytes} bytes; at most {LIMIT_BYTES} are read.",
            do="Use fewer probes.",
        )
    return np.array(array)
