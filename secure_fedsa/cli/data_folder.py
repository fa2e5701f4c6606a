"""``--data DIR``: people's own records in a folder, as docs/data.md describes.

What is checked here is public: file names, array names, shapes, types, declared classes.
The *values* inside a teacher's records and labels are private. A NaN or a label outside
the task is no error here, because whether the run goes on would then depend on a record;
the teacher's own code counts such a record as zero.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from secure_fedsa.cli.npz import read_npz
from secure_fedsa.cli.splits import DemoData, TeacherData, TeacherKind
from secure_fedsa.errors import DataError
from secure_fedsa.models.records import RecordSchema
from secure_fedsa.privacy.contributions import check_persons

if TYPE_CHECKING:
    from pathlib import Path

IntArray = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]

STUDENT_FILE = "student.npz"
TEACHER_NAME = re.compile(r"teacher-[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
KINDS: tuple[TeacherKind, ...] = get_args(TeacherKind)

STUDENT_ARRAYS = frozenset({"probes", "x", "y", "x_test", "y_test", "classes"})
TEACHER_ARRAYS = frozenset({"x", "y", "classes", "kind", "persons"})

LIMIT_BYTES = 4 * 2**30
MOST_TEACHERS = 256
MOST_CLASSES = 1_000
MOST_CHARACTERS = 100


def load_folder(path: Path, *, limit_bytes: int = LIMIT_BYTES) -> DemoData:
    """Read a student and its teachers from a folder.

    Args:
        path: Folder with ``student.npz`` and one ``teacher-<name>.npz`` a teacher.
        limit_bytes: Most bytes that all arrays together may take in memory.

    Returns:
        uint8 images as they are, everything else as float32; teachers sorted by id.

    Raises:
        DataError: The message names the file, the array, what was found and what is
            expected.
    """
    teacher_files = _list_folder(path)
    student = read_npz(path / STUDENT_FILE, STUDENT_ARRAYS, limit_bytes)
    _require(student, STUDENT_FILE, STUDENT_ARRAYS - {"classes"})
    probes = student["probes"]
    try:
        schema = RecordSchema.of(probes)
    except DataError as error:
        raise DataError(f"{STUDENT_FILE}: array 'probes': {error.what}", do=error.do) from error
    if math.prod(schema.shape) == 0:
        raise DataError(f"{STUDENT_FILE}: array 'probes' has records without a single value.")
    for name in ("probes", "x", "x_test"):
        _check_records(student[name], f"{STUDENT_FILE}: array {name!r}", schema, probes.dtype)
        if len(student[name]) == 0:
            raise DataError(f"{STUDENT_FILE}: array {name!r} has no records, expected at least 1.")
        if not np.isfinite(student[name]).all():
            raise DataError(
                f"{STUDENT_FILE}: array {name!r} has values that are NaN or infinite.",
                do="Fill or drop them first.",
            )
    labels = _labels(student, "x", "y", STUDENT_FILE)
    test_labels = _labels(student, "x_test", "y_test", STUDENT_FILE)
    names = _student_classes(student, labels, test_labels)
    used_bytes = sum(array.nbytes for array in student.values())
    teachers = []
    for file in teacher_files:
        arrays = read_npz(file, TEACHER_ARRAYS, limit_bytes - used_bytes)
        used_bytes += sum(array.nbytes for array in arrays.values())
        teachers.append(_teacher(file, arrays, schema, probes.dtype))
    return DemoData(
        source=path.resolve().name,
        class_names=names,
        probes=_settle(probes),
        images=_settle(student["x"]),
        labels=labels,
        test_images=_settle(student["x_test"]),
        test_labels=test_labels,
        teachers=tuple(teachers),
        declared="classes" in student,
    )


def _list_folder(path: Path) -> list[Path]:
    layout = f"Put {STUDENT_FILE} and teacher-<name>.npz files in it; docs/data.md shows how."
    if not path.is_dir():
        raise DataError(f"{path} is not a folder.", do="Name a folder that exists. " + layout)
    try:
        files = sorted(file for file in path.iterdir() if file.suffix == ".npz")
    except OSError as error:
        raise DataError(f"{path} cannot be read.", why=f"{error}.") from error
    if not any(file.name == STUDENT_FILE for file in files):
        raise DataError(f"{path} has no {STUDENT_FILE}.", do=layout)
    teachers = [file for file in files if file.name != STUDENT_FILE]
    for file in teachers:
        if not TEACHER_NAME.fullmatch(file.stem):
            raise DataError(
                f"{file.name} is not the name of a teacher's file.",
                why="The name becomes the teacher's public id.",
                do="Use teacher-<name>.npz, <name> of 1 to 40 characters a-z, 0-9 and inner -.",
            )
    if not 1 <= len(teachers) <= MOST_TEACHERS:
        raise DataError(
            f"{path} has {len(teachers)} teacher files, expected 1 to {MOST_TEACHERS}.", do=layout
        )
    return teachers


def _require(arrays: Arrays, file: str, names: frozenset[str]) -> None:
    missing = sorted(names - arrays.keys())
    if missing:
        raise DataError(
            f"{file} lacks {', '.join(missing)}.", do=f"It needs {', '.join(sorted(names))}."
        )


def _check_records(
    array: npt.NDArray[Any], what: str, schema: RecordSchema, like: np.dtype[Any]
) -> None:
    """Check shape and type; the student's probes say what they must be."""
    expected = f"expected (n, {', '.join(map(str, schema.shape))}) of type {like}, as in 'probes'"
    # uint8 pixels and floats are on different scales: a mixture is a mistake.
    if array.dtype.kind not in "uif" or (array.dtype == np.uint8) != (like == np.uint8):
        raise DataError(f"{what} has type {array.dtype}, {expected}.")
    if array.dtype.kind in "ui" and array.dtype != np.uint8 and schema.kind == "image":
        raise DataError(f"{what} has type {array.dtype}, expected uint8 or float images.")
    if array.ndim == 0 or array.shape[1:] != schema.shape:
        raise DataError(f"{what} has shape {array.shape}, {expected}.")


def _labels(arrays: Arrays, records: str, name: str, file: str) -> IntArray:
    array, count = arrays[name], len(arrays[records])
    if array.dtype.kind not in "ui" or array.shape != (count,):
        raise DataError(
            f"{file}: array {name!r} has type {array.dtype} and shape {array.shape}, "
            f"expected integers of shape ({count},), one label a record of {records!r}."
        )
    # Beyond int64 a label wraps to a negative one: outside every task, as it was before.
    return array.astype(np.int64)


def _settle(records: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return records as uint8 or float32, without a word about their values."""
    if records.dtype == np.uint8:
        return records
    with np.errstate(all="ignore"):
        return records.astype(np.float32)


def _class_names(arrays: Arrays, file: str) -> tuple[str, ...]:
    array = arrays["classes"]
    if array.dtype.kind != "U" or array.ndim != 1 or not 2 <= len(array) <= MOST_CLASSES:
        raise DataError(
            f"{file}: array 'classes' has type {array.dtype} and shape {array.shape}, "
            f"expected 2 to {MOST_CLASSES} names as strings."
        )
    names = tuple(str(name) for name in array)
    if len(set(names)) != len(names):
        raise DataError(f"{file}: array 'classes' has a name twice, expected different names.")
    for name in names:
        if not (0 < len(name) <= MOST_CHARACTERS and name.isprintable() and name == name.strip()):
            raise DataError(
                f"{file}: array 'classes' has the name {name[:60]!r}, expected 1 to "
                f"{MOST_CHARACTERS} printable characters without spaces around them."
            )
    return names


def _student_classes(student: Arrays, labels: IntArray, test_labels: IntArray) -> tuple[str, ...]:
    every = np.concatenate([labels, test_labels])
    if "classes" in student:
        names = _class_names(student, STUDENT_FILE)
    else:
        count = max(2, int(every.max()) + 1)
        if count > MOST_CLASSES:
            raise DataError(
                f"{STUDENT_FILE}: labels go up to {count - 1}, expected at most "
                f"{MOST_CLASSES} classes, numbered from 0."
            )
        names = tuple(f"class {i}" for i in range(count))
    if int(every.min()) < 0 or int(every.max()) >= len(names):
        raise DataError(
            f"{STUDENT_FILE}: labels go from {every.min()} to {every.max()}, "
            f"expected 0 to {len(names) - 1}."
        )
    return names


def _teacher(file: Path, arrays: Arrays, schema: RecordSchema, like: np.dtype[Any]) -> TeacherData:
    _require(arrays, file.name, frozenset({"x", "y"}))
    if "classes" not in arrays:
        raise DataError(
            f"{file.name} lacks 'classes'.",
            why="The names of a teacher's classes are public and must be declared: derived "
            "from its labels, they would tell which labels occur in its private records.",
            do="Add classes=np.array(['first name', 'second name']) in the order of the labels.",
        )
    _check_records(arrays["x"], f"{file.name}: array 'x'", schema, like)
    task = _class_names(arrays, file.name)
    if "persons" in arrays:
        check_persons(arrays["persons"], len(arrays["x"]), file.name)
    return TeacherData(
        id=file.stem,
        task=task,
        classes=tuple(range(len(task))),
        images=_settle(arrays["x"]),
        labels=_labels(arrays, "x", "y", file.name),
        kind=_kind(arrays, file.name),
        persons=arrays.get("persons"),
    )


def _kind(arrays: Arrays, file: str) -> TeacherKind | None:
    if "kind" not in arrays:
        return None
    array = arrays["kind"]
    found = str(array) if array.dtype.kind == "U" and array.ndim == 0 else array.dtype
    for kind in KINDS:
        if found == kind:
            return kind
    raise DataError(
        f"{file}: array 'kind' is {str(found)[:60]!r}, expected one of {', '.join(KINDS)}."
    )
