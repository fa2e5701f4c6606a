"""Where a page or an export goes: never into a run folder, never over somebody's file."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from secure_fedsa.errors import StorageError, UsageError

PAGE = b"<!DOCTYPE html>"
"""How a page begins that a command made."""


def page_beside(folder: Path, out: Path | None, ending: str) -> Path:
    """Return where a page about a run folder goes: ``out``, or beside the folder.

    Raises:
        UsageError: As :func:`require_ours`.
    """
    whole = folder.resolve()
    page = whole.with_name(f"{whole.name}-{ending}.html") if out is None else out
    require_ours(page, whole, PAGE)
    return page


def require_ours(path: Path, folder: Path | None, beginning: bytes) -> None:
    """Refuse a place that is in the run folder, or where something else lies.

    Args:
        path: Where a file is to be written.
        folder: The run folder, resolved; None if it is not about one.
        beginning: How a file begins that may be written over.

    Raises:
        UsageError: Saying which it is.
    """
    if folder is not None and path.resolve().is_relative_to(folder):
        raise UsageError(
            f"{path} lies in the run folder.",
            why="With a file more, or another report.html, it would no longer verify.",
            do="Name a file elsewhere with --out.",
        )
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", do="Name a file with --out.")
    if path.is_file() and not _begins(path, beginning):
        raise UsageError(
            f"{path} is there and was not made by this command.",
            do="Name another file with --out, or remove that one.",
        )


def _begins(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def write_whole(path: Path, content: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        StorageError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(
            f"Cannot write {path}.",
            why=f"{error.strerror}.",
            do="Name a file that you can write with --out.",
        ) from error


def write_private(path: Path, text: str) -> None:
    """Write a text whole or not at all, into a file that only its owner can read.

    What is no file, such as a pipe, is written to as it is.

    Raises:
        StorageError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(
            f"Cannot write {path}.", why=f"{error.strerror}.", do="Name another file."
        ) from error
