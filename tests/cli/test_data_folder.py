"""``--data DIR``: clear words for mistakes, and no word about private values."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.errors import DataError

CLASSES = np.array(["red", "green", "blue"])


def student(**changes: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {
        "probes": np.zeros((9, 5)),
        "x": np.zeros((4, 5)),
        "y": np.arange(4) % 2,
        "x_test": np.zeros((3, 5)),
        "y_test": np.arange(3) % 2,
    }
    return {name: array for name, array in {**arrays, **changes}.items() if array is not None}


def teacher(**changes: Any) -> dict[str, Any]:
    arrays = {"x": np.zeros((7, 5)), "y": np.arange(7) % 3, "classes": CLASSES, **changes}
    return {name: array for name, array in arrays.items() if array is not None}


def write(folder: Path, **files: dict[str, Any]) -> Path:
    for name, arrays in files.items():
        np.savez_compressed(folder / f"{name.replace('_', '-')}.npz", **arrays)
    return folder


def test_a_folder_becomes_a_student_and_its_teachers(tmp_path: Path) -> None:
    """People come to use their own data: that must be what the run sees."""
    values = np.arange(35.0).reshape(7, 5)
    write(
        tmp_path,
        student=student(classes=np.array(["no", "yes"])),
        teacher_b=teacher(x=np.asfortranarray(values), kind=np.array("noise")),
        teacher_a=teacher(persons=np.array(list("aabbc") + [""] * 2)),
    )
    (tmp_path / "notes.txt").write_text("ignored")
    data = load_folder(tmp_path)
    assert data.class_names == ("no", "yes")
    assert [t.id for t in data.teachers] == ["teacher-a", "teacher-b"]
    assert [t.kind for t in data.teachers] == [None, "noise"]
    owners = data.teachers[0].persons
    assert owners is not None
    assert owners.tolist() == ["a", "a", "b", "b", "c", "", ""]
    assert data.teachers[1].persons is None
    assert data.teachers[1].task == ("red", "green", "blue")
    assert data.teachers[1].labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert np.array_equal(data.teachers[1].images, values.astype(np.float32))


def test_images_stay_uint8(tmp_path: Path) -> None:
    """Pixels turned into floats would leave the encoder's range and count as zero."""
    images = np.zeros((4, 8, 8), dtype=np.uint8)
    write(
        tmp_path,
        student=student(probes=images, x=images, x_test=images[:3]),
        teacher_a=teacher(x=images, y=np.zeros(4, dtype=np.uint8)),
    )
    data = load_folder(tmp_path)
    assert data.probes.dtype == data.teachers[0].images.dtype == np.uint8
    assert data.teachers[0].labels.dtype == np.int64


@pytest.mark.parametrize(
    "changes",
    [
        {"x": np.full((7, 5), np.nan)},
        {"x": np.full((7, 5), 1e300)},
        {"x": np.full((7, 5), -np.inf, dtype=np.float16)},
        {"y": np.full(7, -1)},
        {"y": np.full(7, 2**64 - 1, dtype=np.uint64)},
        {"x": np.zeros((0, 5)), "y": np.zeros(0, dtype=np.int64)},
    ],
)
def test_private_values_never_decide_whether_a_run_starts(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """An error about a NaN would tell the others something about one record."""
    write(tmp_path, student=student(), teacher_a=teacher(**changes))
    (loaded,) = load_folder(tmp_path).teachers
    assert len(loaded.images) == len(changes.get("x", np.zeros(7)))
    assert set(loaded.labels.tolist()) <= {-1, 0, 1, 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": None}, "teacher-a.npz lacks 'classes'. The names of a teacher's classes"),
        ({"y": None}, "teacher-a.npz lacks y. It needs x, y"),
        ({"labels": np.zeros(7)}, "teacher-a.npz: 'labels.npy' is unexpected"),
        ({"x": np.zeros((7, 6))}, r"array 'x' has shape (7, 6), expected (n, 5) of type float64"),
        ({"x": np.zeros(7)}, "array 'x' has shape (7,), expected (n, 5)"),
        ({"x": np.array(1.0)}, "array 'x' has shape (), expected (n, 5)"),
        ({"x": np.zeros((7, 5), np.uint8)}, "array 'x' has type uint8, expected (n, 5)"),
        ({"x": np.zeros((7, 5), np.complex128)}, "array 'x' has type complex128"),
        ({"x": np.full((7, 5), "a")}, "array 'x' has type <U1"),
        ({"x": np.full((7, 5), None)}, "array 'x' has dtype object; Python objects"),
        ({"y": np.zeros(7)}, "array 'y' has type float64 and shape (7,), expected integers"),
        ({"y": np.zeros(6, int)}, "expected integers of shape (7,)"),
        ({"classes": np.array(["one"])}, "expected 2 to 1000 names"),
        ({"classes": np.array([1, 2])}, "'classes' has type int64"),
        ({"classes": np.array(["a", "a"])}, "'classes' has a name twice"),
        ({"classes": np.array(["a", "b\x1b[2J"])}, "'classes' has the name 'b\\x1b[2J'"),
        ({"classes": np.array(["a", "b" * 101])}, "1 to 100 printable characters"),
        ({"persons": np.zeros(7)}, "The person ids of teacher-a.npz are not one for each record"),
        ({"persons": np.zeros(6, int)}, "Expected integers or texts of shape (7,)"),
        ({"kind": np.array("good")}, "array 'kind' is 'good', expected one of relevant"),
    ],
)
def test_mistakes_in_a_teacher_file_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """A person with a wrong file needs its name, the array, what was found and expected."""
    write(tmp_path, student=student(), teacher_a=teacher(**changes))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load_folder(tmp_path)
    assert "teacher-a.npz" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probes": None}, "student.npz lacks probes"),
        ({"probes": np.zeros(9)}, "student.npz: array 'probes': Records of shape (9,)"),
        ({"probes": np.zeros((9, 0))}, "'probes' has records without a single value"),
        ({"x": np.zeros((0, 5)), "y": np.zeros(0, int)}, "array 'x' has no records"),
        ({"x": np.full((4, 5), np.nan)}, "array 'x' has values that are NaN"),
        ({"y": np.array([0, 1, -1, 0])}, "labels go from -1 to 1, expected 0 to 1"),
        ({"y": np.array([0, 1, 10**9, 0])}, "labels go up to 1000000000, expected at most 1000"),
        ({"classes": np.array(["a", "b"]), "y_test": np.array([0, 2, 0])}, "labels go from 0 to 2"),
    ],
)
def test_mistakes_in_the_student_file_are_named(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """As above; the student's own values may be named, they are nobody else's."""
    write(tmp_path, student=student(**changes), teacher_a=teacher())
    with pytest.raises(DataError, match=re.escape(message)):
        load_folder(tmp_path)


def test_folders_that_hold_no_run_are_refused(tmp_path: Path) -> None:
    """A wrong path is the commonest mistake of all."""
    with pytest.raises(DataError, match="is not a folder"):
        load_folder(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"has no student\.npz"):
        load_folder(tmp_path)
    write(tmp_path, student=student())
    with pytest.raises(DataError, match="has 0 teacher files"):
        load_folder(tmp_path)
    write(tmp_path, Teacher_A=teacher())
    with pytest.raises(DataError, match=r"Teacher-A\.npz is not the name of a teacher's file"):
        load_folder(tmp_path)


def test_links_are_followed(tmp_path: Path) -> None:
    """Data are seldom kept where a run is started."""
    real = tmp_path / "real"
    real.mkdir()
    write(real, student=student(), teacher_a=teacher())
    linked = tmp_path / "linked"
    linked.symlink_to(real)
    assert len(load_folder(linked).teachers) == 1


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """A file of kilobytes must not take a hospital's server down."""
    write(tmp_path, student=student(), teacher_a=teacher(x=np.zeros((10**6, 5))))
    assert (tmp_path / "teacher-a.npz").stat().st_size < 10**5
    with pytest.raises(DataError, match="would unpack to 40000"):
        load_folder(tmp_path, limit_bytes=10**6)


def test_a_header_that_lies_is_refused(tmp_path: Path) -> None:
    """Memory would be taken for what the header says, not for what is there."""
    write(tmp_path, student=student())
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 5)}
    )
    with zipfile.ZipFile(tmp_path / "teacher-a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(DataError, match="does not have the size that its header says"):
        load_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06", b"\x93NUMPY\x01\x00" + bytes(100)])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    """A broken copy should be named, not end in a traceback."""
    write(tmp_path, student=student())
    (tmp_path / "teacher-a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"teacher-a\.npz"):
        load_folder(tmp_path)
    write(tmp_path, teacher_a=teacher())
    whole = (tmp_path / "teacher-a.npz").read_bytes()
    (tmp_path / "teacher-a.npz").write_bytes(whole[:80] + bytes(20) + whole[100:])
    with pytest.raises(DataError, match=r"teacher-a\.npz"):
        load_folder(tmp_path)


def test_the_example_in_the_documentation_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a newcomer pastes first must work."""
    guide = Path(__file__).parents[2] / "docs" / "data.md"
    (code,) = re.findall(r"```python\n(.*?)```", guide.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(guide), "exec"), {})  # noqa: S102 - our own documentation
    assert len(load_folder(tmp_path / "my-data").teachers) == 4
