"""Two ways to fetch the demo's data set; neither needs root rights.

Nothing here is trusted: :mod:`.datasets` checks the content of each file afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

from secure_fedsa.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEBIAN_PACKAGE = "dataset-fashion-mnist"
OFFICIAL_ADDRESS = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"

COMMAND_SECONDS = 180
SOCKET_SECONDS = 30

# Patience is ours to set: apt's own retries can add up to minutes behind a firewall.
_APT = ("apt-get", "-q", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")


def debian_package(scratch: Path) -> Path:
    """Download Debian's package into ``scratch`` and return the folder it unpacks to.

    If apt's package lists are missing or stale, lists are updated inside ``scratch``,
    with the machine's sources and keys: the machine's own lists stay as they are.

    Raises:
        DataError: There is no apt here, or the package could not be had.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise DataError(f"This machine has no {tool}.")
    try:
        package = _apt_download(scratch, ())
    except DataError:
        options = _private_lists(scratch)
        try:
            _run([*_APT, *options, "update"], scratch)
        except DataError as update_error:
            # One broken third-party source fails the update as a whole, while the list
            # with the package may have arrived: only the next step tells.
            try:
                package = _apt_download(scratch, options)
            except DataError:
                raise update_error from None
        else:
            package = _apt_download(scratch, options)
    unpacked = scratch / "unpacked"
    _run(["dpkg-deb", "-x", str(package), str(unpacked)], scratch)
    return unpacked


def _apt_download(scratch: Path, options: Sequence[str]) -> Path:
    _run([*_APT, *options, "download", DEBIAN_PACKAGE], scratch)
    packages = sorted(scratch.glob(f"{DEBIAN_PACKAGE}_*.deb"))
    if not packages:
        raise DataError(f"apt-get left no {DEBIAN_PACKAGE} package behind.")
    return packages[0]


def _private_lists(scratch: Path) -> list[str]:
    state, cache = scratch / "apt-state", scratch / "apt-cache"
    (state / "lists" / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    return [
        "-o",
        f"Dir::State={state}",
        "-o",
        f"Dir::State::Lists={state / 'lists'}",
        "-o",
        f"Dir::Cache={cache}",
    ]


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words and paths of our own making
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"`{command[0]}` could not finish.", why=f"{error}.") from error
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = said or done.stderr.splitlines()[-1:] or ["no message"]
        raise DataError(
            f"`{command[0]}` failed (exit code {done.returncode}).", why=" ".join(reason[:2])
        )


def download(name: str, limit_bytes: int) -> bytes:
    """Return one file from the data set's official address.

    Args:
        name: File name at that address.
        limit_bytes: Refuse anything longer.

    Raises:
        DataError: The address cannot be reached, or answers with something else.
    """
    address = OFFICIAL_ADDRESS + name
    try:
        # Plain HTTP is what its authors offer: the hash of the content is what counts.
        with urllib.request.urlopen(address, timeout=SOCKET_SECONDS) as answer:  # noqa: S310
            body: bytes = answer.read(limit_bytes + 1)
    except (OSError, HTTPException, urllib.error.URLError) as error:
        raise DataError(f"{address} could not be fetched.", why=f"{error}.") from error
    if len(body) > limit_bytes:
        raise DataError(f"{address} is longer than {limit_bytes} bytes.")
    return body
