"""The folder itself: what may lie in it, how large, and what a reader never follows."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from secure_fedsa.audit.folder import Folder
from secure_fedsa.audit.layout import LIMITS, check_layout
from secure_fedsa.audit.verify import check_files, verify_folder
from secure_fedsa.errors import UsageError, VerificationError
from secure_fedsa.messages import MOST_MESSAGES, RULES
from secure_fedsa.report import receipt
from tests.audit.folders import honest, write
from tests.audit.forging import Forgery, verify

NONCE = "transcript/teacher-1-000-nonce.json"
Bend = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return honest("default").write(tmp_path / "run")


def refused(folder: Path, file: str, reason: str) -> None:
    began = time.monotonic()
    with pytest.raises(VerificationError, match=reason) as caught:
        verify_folder(folder)
    assert caught.value.file == file, str(caught.value)
    assert time.monotonic() - began < 20


def replaced(name: str, make: Bend) -> Bend:
    """Return a change that puts something else in a file's place."""

    def bend(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return bend


def sparse(name: str, size: int) -> Bend:
    def bend(folder: Path) -> None:
        with (folder / name).open("r+b") as file:
            file.truncate(size)

    return bend


def moved_out(folder: Path) -> None:
    """Let the transcript be a link to a folder outside."""
    (folder / "transcript").rename(folder.parent / "elsewhere")
    (folder / "transcript").symlink_to(folder.parent / "elsewhere")


def student_is_a_file(folder: Path) -> None:
    for path in (folder / "student").iterdir():
        path.unlink()
    (folder / "student").rmdir()
    (folder / "student").write_bytes(b"x")


def socket_at(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


BENDS: dict[str, tuple[Bend, str, str]] = {
    "a file less": (lambda f: (f / "summary.json").unlink(), "summary.json", "is missing"),
    "a student file less": (
        lambda f: (f / "student/head.safetensors").unlink(),
        "student/head.safetensors",
        "is missing",
    ),
    "a message less": (lambda f: (f / NONCE).unlink(), NONCE, "the receipt names it"),
    "a message more": (
        lambda f: (f / "transcript/student-010-nonce.json").write_bytes(b"{}"),
        "transcript/student-010-nonce.json",
        "it was added",
    ),
    "a ledger more": (
        lambda f: (f / "ledger-teacher-9.jsonl").write_bytes(b""),
        "ledger-teacher-9.jsonl",
        "it was added",
    ),
    "a file of another name": (
        lambda f: (f / "notes.txt").write_bytes(b"x"),
        "notes.txt",
        "does not belong",
    ),
    "a hidden file": (
        lambda f: (f / "transcript/.x").write_bytes(b""),
        "transcript/.x",
        "does not belong",
    ),
    "a message of an unknown kind": (
        lambda f: (f / "transcript/student-010-gossip.json").write_bytes(b"{}"),
        "transcript/student-010-gossip.json",
        "does not belong",
    ),
    "a name that is no text": (
        lambda f: Path(os.fsdecode(bytes(f) + b"/\xff\x1b[2J")).write_bytes(b""),
        "??[2J",
        "does not belong",
    ),
    "a folder more": (lambda f: (f / "more").mkdir(), "more", "is a folder"),
    "a folder for a file": (replaced("summary.json", Path.mkdir), "summary.json", "is a folder"),
    "a folder within": (lambda f: (f / "student/more").mkdir(), "student/more", "is a folder"),
    "a file for a folder": (student_is_a_file, "student", "does not belong"),
    "a link to a good file": (
        replaced(NONCE, lambda p: p.symlink_to("teacher-2-000-nonce.json")),
        NONCE,
        "is a link",
    ),
    "a link to nothing": (
        replaced("report.html", lambda p: p.symlink_to("nothing")),
        "report.html",
        "is a link",
    ),
    "a link to itself": (
        replaced("report.html", lambda p: p.symlink_to("report.html")),
        "report.html",
        "is a link",
    ),
    "a link that climbs out": (
        replaced("agreement.toml", lambda p: p.symlink_to("../../../../etc/passwd")),
        "agreement.toml",
        "is a link",
    ),
    "a link to a device": (replaced("summary.json", link_to_a_device), "summary.json", "is a link"),
    "a linked folder": (moved_out, "transcript", "is a link"),
    "a pipe that nobody writes": (replaced("summary.json", os.mkfifo), "summary.json", "is a pipe"),
    "a socket": (replaced("summary.json", socket_at), "summary.json", "is a socket"),
    "a huge agreement": (sparse("agreement.toml", 2**40), "agreement.toml", "are allowed"),
    "a huge message": (sparse(NONCE, 2**20), NONCE, "152,917 are allowed"),
    "a huge upload": (
        sparse("transcript/teacher-1-010-upload.json", 2**30),
        "transcript/teacher-1-010-upload.json",
        "are allowed",
    ),
    "a huge receipt": (sparse("receipt.dsse.json", 2**33), "receipt.dsse.json", "are allowed"),
    "a large student": (
        sparse("student/head.safetensors", 255 * 2**20),
        "student/head.safetensors",
        "was signed",
    ),
    "an empty file": (sparse("receipt.dsse.json", 0), "receipt.dsse.json", "not canonical"),
}


@pytest.mark.parametrize("name", BENDS)
def test_what_does_not_belong_into_a_run_folder_is_refused(folder: Path, name: str) -> None:
    """A folder from a stranger may hold anything; a reader must neither follow nor swallow it."""
    bend, file, reason = BENDS[name]
    bend(folder)
    refused(folder, file, reason)


def test_files_that_are_large_together_are_refused(folder: Path) -> None:
    """Each may be within its own limit and all together still fill the memory."""
    for number in range(14):
        path = folder / f"transcript/teacher-9-{number:03d}-upload.json"
        path.write_bytes(b"")
        os.truncate(path, 80 * 2**20)
    refused(folder, "transcript/teacher-9-000-upload.json", "are allowed together")


def test_very_many_files_are_refused_before_they_are_opened(folder: Path) -> None:
    """A million empty files must not take hours."""
    for number in range(MOST_MESSAGES + 100):
        (folder / f"transcript/teacher-9-{number:03d}-nonce.json").touch()
    refused(folder, "transcript/", "entries of a folder|20,000 are allowed")


def test_more_messages_than_allowed_are_refused() -> None:
    """The limit counts, whatever else the folder holds."""
    sizes = dict.fromkeys(LIMITS, 1)
    sizes |= {f"transcript/a-{number:03d}-nonce.json": 1 for number in range(MOST_MESSAGES)}
    check_layout(sizes)
    with pytest.raises(VerificationError, match="20,001 messages"):
        check_layout({**sizes, "transcript/b-000-nonce.json": 1})


def test_an_unreadable_file_is_named(folder: Path) -> None:
    """Not being able to read is not having found nothing wrong."""
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as open_to_all:
        copied = Path(shutil.copytree(folder, Path(open_to_all) / "run"))
        Path(open_to_all).chmod(0o755)
        (copied / "report.html").chmod(0)
        if user == 0:  # who reads everything: be somebody else for a while
            os.seteuid(65_534)
        try:
            refused(copied, "report.html", "cannot be read")
        finally:
            os.seteuid(user)


def test_a_file_that_changes_while_it_is_read_is_refused(folder: Path) -> None:
    """Whoever can write the folder could show one file to the hash and another to the rules."""
    with Folder(folder) as evidence:
        evidence.sha256(NONCE)
        data = bytearray((folder / NONCE).read_bytes())
        data[-3] ^= 1
        (folder / NONCE).write_bytes(data)
        with pytest.raises(VerificationError, match="changed while it was read"):
            evidence.read(NONCE)
        (folder / NONCE).write_bytes(b"longer" * 1000)
        with pytest.raises(VerificationError, match="changed while it was read"):
            evidence.read(NONCE)
        (folder / NONCE).unlink()
        (folder / NONCE).symlink_to("teacher-2-000-nonce.json")
        with pytest.raises(VerificationError, match="cannot be read"):
            evidence.read(NONCE)
        (folder / NONCE).unlink()
        os.mkfifo(folder / NONCE)
        with pytest.raises(VerificationError, match="changed while it was read"):
            evidence.read(NONCE)


def test_no_file_stays_open(folder: Path) -> None:
    """An audit of many folders must not run out of open files."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    verify_folder(folder)
    (folder / "notes.txt").touch()
    for _ in range(3):
        refused(folder, "notes.txt", "does not belong")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize("name", ["nothing", "file", "a\x00b", "pipe"])
def test_what_is_no_folder_cannot_be_used(tmp_path: Path, name: str) -> None:
    """A wrong path is the reader's mistake, not a failed check."""
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError):
        verify_folder(tmp_path / name)


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("agreement.toml", "release-log.jsonl")])
def test_a_folder_that_is_no_runs_cannot_be_used(tmp_path: Path, names: tuple[str, ...]) -> None:
    """The folder beside the run's is the reader's mistake; nobody is to be asked for a copy."""
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / "student").mkdir()  # as the folder of all parties' states has one
    with pytest.raises(UsageError, match="is no run folder"):
        verify_folder(tmp_path)


@pytest.mark.parametrize("kept", ["receipt.dsse.json", "summary.json", "transcript"])
def test_a_run_that_lost_nearly_everything_is_a_run(folder: Path, kept: str) -> None:
    """Who empties a run folder must not make it look like a mistyped path."""
    for path in folder.iterdir():
        if path.name != kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    refused(folder, "agreement.toml", "is missing")


def test_a_link_to_nowhere_in_a_runs_place_is_a_failed_check(tmp_path: Path) -> None:
    """What marks a run folder is a name, whatever stands under it."""
    (tmp_path / "summary.json").symlink_to("nothing")
    refused(tmp_path, "summary.json", "is a link")


def test_a_link_to_a_run_folder_is_followed(tmp_path: Path, folder: Path) -> None:
    """The reader's own path may have links; what lies in the folder may not."""
    (tmp_path / "latest").symlink_to(folder)
    verify_folder(tmp_path / "latest")


def test_files_of_two_runs_of_one_agreement_do_not_mix(tmp_path: Path) -> None:
    """Two honest runs, the same parties and terms: still no file serves both."""
    first, second = honest("default"), honest("default", 1)
    assert set(first.files) == set(second.files)
    differing = [n for n in first.files if first.files[n] != second.files[n]]
    assert set(first.files) - set(differing) <= {
        "agreement.toml",
        "student/architecture.json",
        "student/encoder.safetensors",
    }
    folder = first.write(tmp_path / "run")
    for name in differing:
        (folder / name).write_bytes(second.files[name])
        # A receipt of another run names the first of its files that is another.
        file = differing_first(first.files, second.files) if "receipt" in name else name
        refused(folder, file, "not the file that was signed")
        (folder / name).write_bytes(first.files[name])
    verify_folder(folder)


def differing_first(mine: dict[str, bytes], theirs: dict[str, bytes]) -> str:
    return min(n for n in mine if mine[n] != theirs[n] and n != "receipt.dsse.json")


def test_signers_see_what_readers_will_see() -> None:
    """A proposal with a file too many would be endorsed by everybody who does not look."""
    files = honest("default").proposal
    assert check_files(files).members
    with pytest.raises(VerificationError, match=r"notes\.txt: does not belong"):
        check_files({**files, "notes.txt": b""})
    with pytest.raises(VerificationError, match=r"receipt\.dsse\.json: does not belong"):
        check_files(honest("default").files)
    with pytest.raises(VerificationError, match=r"report\.html: is missing"):
        check_files({name: data for name, data in files.items() if name != "report.html"})


def test_no_file_may_be_missing() -> None:
    """What is left out is what somebody would rather not show."""
    files = honest("default").files
    assert len(files) > 60
    for name in files:
        left = {other: data for other, data in files.items() if other != name}
        with pytest.raises(VerificationError, match="is missing") as caught:
            verify(left)
        assert caught.value.file == name


def test_no_file_may_be_added() -> None:
    """A file that nobody signed would be shown with the signers' names on the folder."""
    files = honest("default").files
    ledgers = [f"ledger-{name}.jsonl" for name in ("teacher-9", "student")]
    messages = [
        f"transcript/student-{number}-{kind}.json" for number in ("009", "099") for kind in RULES
    ]
    added = [name for name in (*ledgers, *messages) if name not in files]
    assert len(added) > 2 * len(RULES)
    for name in added:
        for data in (b"", files["agreement.toml"], files["transcript/student-000-nonce.json"]):
            with pytest.raises(VerificationError, match="it was added") as caught:
                verify({**files, name: data})
            assert caught.value.file == name


def test_no_file_may_stand_for_another() -> None:
    """Every file was really signed, but under another name."""
    files = honest("default").files
    names = list(files)
    for first, second in pairwise(names):
        if receipt.FILE_NAME in (first, second) or files[first] == files[second]:
            continue
        with pytest.raises(VerificationError) as caught:
            verify({**files, first: files[second], second: files[first]})
        assert caught.value.file in (first, second)


def test_files_on_disk_and_in_memory_are_judged_alike(tmp_path: Path) -> None:
    """What a signer endorsed in memory must hold in the folder."""
    forgery = Forgery()
    forgery.summary["epsilon"] = 1.0
    files = forgery.build()
    refused(write(tmp_path / "run", files), "summary.json", "epsilon")
