"""The files that are checked, wherever they are: in memory, or in a folder on disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.wire import canonical

MOST_VALUES = 1_000_000


class Evidence(Protocol):
    """Files by name; the same bytes however often one asks."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        ...

    def size(self, name: str) -> int:
        """Return how many bytes a file has, without reading it."""
        ...

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            VerificationError: If it cannot be read, or changed since it was first read.
        """
        ...

    def sha256(self, name: str) -> str:
        """Return a file's SHA-256, hexadecimal, without holding the file in memory.

        Raises:
            VerificationError: As :meth:`read`.
        """
        ...


class InMemory:
    """Files that somebody proposes, not yet on any disk."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(files)
        self._names = tuple(sorted(self._files))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return self._names

    def size(self, name: str) -> int:
        """Return how many bytes a file has."""
        return len(self._files[name])

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return self._files[name]

    def sha256(self, name: str) -> str:
        """Return a file's SHA-256, hexadecimal."""
        return canonical.sha256(self._files[name])


def values_in(data: bytes) -> int:
    """Return a bound on how many values and escapes a JSON reader would make of ``data``.

    Reading JSON costs memory by value and time by escape, not by byte.
    """
    return sum(data.count(mark) for mark in (b"[", b"{", b",", b"\\"))


def decode(data: bytes, name: str) -> Any:
    """Return the value of a file's canonical JSON.

    Raises:
        VerificationError: If it holds too many values, which are then not read, or is not
            canonical.
    """
    require(
        values_in(data) <= MOST_VALUES,
        name,
        f"holds more than {MOST_VALUES:,} JSON values; it was not read.",
    )
    with blaming(name):
        return canonical.decode(data)
