"""A run folder on disk, read with suspicion.

Whoever made the folder may have put links, devices, pipes and huge files into it, and may
change it while it is read. So: every name is looked up below one open folder, links are
never followed, only plain files are opened (never waiting for a pipe's other end), sizes
are judged before opening, and a file that is read twice must hash to the same.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from secure_fedsa.audit.failures import require
from secure_fedsa.audit.layout import FOLDERS, LIMITS, TRANSCRIPT, check_layout
from secure_fedsa.engines.run_folder import SUMMARY_FILE
from secure_fedsa.errors import UsageError, VerificationError
from secure_fedsa.messages import MOST_MESSAGES
from secure_fedsa.report.receipt import FILE_NAME as RECEIPT_FILE
from secure_fedsa.roles.refusals import shown

_CHUNK = 2**20
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_RUN_MARKS = (RECEIPT_FILE, SUMMARY_FILE, TRANSCRIPT)
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Ledgers are one a teacher, and a teacher sends several messages.
_MOST_ENTRIES = MOST_MESSAGES + len(LIMITS) + len(FOLDERS)


class Folder:
    """The files of a run folder; use it as a context.

    Raises:
        UsageError: If ``path`` is no folder that can be read, or has none of what marks a run's.
        VerificationError: If it holds anything that a run folder does not hold.
    """

    def __init__(self, path: Path) -> None:
        self._open: dict[str, int] = {}
        self._sizes: dict[str, int] = {}
        self._hashes: dict[str, str] = {}
        try:
            self._open[""] = os.open(path, _FOLDER_FLAGS)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise UsageError(
                f"{path} is not a folder that can be read.",
                why=f"{why}.",
                do="Name a run folder.",
            ) from error
        try:
            self._check_marks(path)
            self._scan()
            check_layout(self._sizes)
            self._names = tuple(sorted(self._sizes))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the folder; its files cannot be read any more."""
        while self._open:
            os.close(self._open.popitem()[1])

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return self._names

    def size(self, name: str) -> int:
        """Return a file's size as it was judged."""
        return self._sizes[name]

    def read(self, name: str) -> bytes:
        """Return a file's bytes, at most the size that was judged."""
        data = b"".join(self._chunks(name))
        self._remember(name, hashlib.sha256(data).hexdigest())
        return data

    def sha256(self, name: str) -> str:
        """Return a file's SHA-256, hexadecimal, chunk by chunk."""
        digest = hashlib.sha256()
        for chunk in self._chunks(name):
            digest.update(chunk)
        self._remember(name, digest.hexdigest())
        return digest.hexdigest()

    def _remember(self, name: str, digest: str) -> None:
        require(self._hashes.setdefault(name, digest) == digest, name, _CHANGED)

    def _check_marks(self, path: Path) -> None:
        """Refuse a folder that is no run's: a mistyped path is not a run that lost its files."""
        for name in _RUN_MARKS:
            try:
                os.stat(name, dir_fd=self._open[""], follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unreadable(name, error) from error
            return  # whatever it is, the layout judges it
        raise UsageError(
            f"{path} is no run folder.",
            why=f"None of {', '.join(_RUN_MARKS)} is in it.",
            do="Name the folder that `secure-fedsa run` or `demo` wrote with --out.",
        )

    def _scan(self) -> None:
        """List the folder and its two folders; nothing is opened but those."""
        for name, info in self._list(""):
            if name in FOLDERS and stat.S_ISDIR(info.st_mode):
                self._open[name] = self._open_folder(name)
                for inner, inner_info in self._list(name):
                    self._add(f"{name}/{inner}", inner_info)
            else:
                self._add(name, info)

    def _open_folder(self, name: str) -> int:
        try:
            return os.open(name, _FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=self._open[""])
        except OSError as error:
            raise _unreadable(f"{name}/", error) from error

    def _list(self, folder: str) -> list[tuple[str, os.stat_result]]:
        where = self._open[folder]
        names: list[str] = []
        try:
            with os.scandir(where) as listing:
                for entry in listing:
                    names.append(entry.name)
                    require(
                        len(names) <= _MOST_ENTRIES,
                        f"{folder}/" if folder else entry.name,
                        f"is one of more than {_MOST_ENTRIES:,} entries of a folder.",
                    )
            # A name that is no text is in no list of allowed names; it is only shown.
            return [
                (name, os.stat(name, dir_fd=where, follow_symlinks=False)) for name in sorted(names)
            ]
        except OSError as error:
            raise _unreadable(f"{folder}/", error) from error

    def _add(self, name: str, info: os.stat_result) -> None:
        require(
            stat.S_ISREG(info.st_mode),
            name,
            f"is {_nature(info.st_mode)}, not a plain file.",
        )
        self._sizes[name] = info.st_size

    def _chunks(self, name: str) -> Iterator[bytes]:
        folder, _, base = name.rpartition("/")
        size = self._sizes[name]
        try:
            file = os.open(base, _FILE_FLAGS, dir_fd=self._open[folder])
            try:
                info = os.fstat(file)
                same = stat.S_ISREG(info.st_mode) and info.st_size == size
                require(same, name, _CHANGED)
                left = size
                while left:
                    chunk = os.read(file, min(left, _CHUNK))
                    require(chunk, name, _CHANGED)
                    left -= len(chunk)
                    yield chunk
            finally:
                os.close(file)
        except OSError as error:
            raise _unreadable(name, error) from error


_CHANGED = "changed while it was read."


def _nature(mode: int) -> str:
    kinds = {
        stat.S_IFLNK: "a link",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "a device")


def _unreadable(name: str, error: OSError) -> VerificationError:
    return VerificationError(shown(name), "cannot be read.", why=f"{error.strerror}.")
