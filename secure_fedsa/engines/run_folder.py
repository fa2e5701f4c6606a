"""The run folder: what one shows to others. Nothing in it is secret.

Written in a fixed order into a folder beside its final place, which then takes its name, so
that a run folder is whole or absent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import SecureFedsaError, StorageError, UsageError
from secure_fedsa.messages import RULES, Body
from secure_fedsa.wire import bodies, canonical
from secure_fedsa.wire.envelope import Envelope, parse

SUMMARY_FILE = "summary.json"
AGREEMENT_FILE = "agreement.toml"
RELEASE_LOG_FILE = "release-log.jsonl"
REPORT_FILE = "report.html"
MODEL_CARD_FILE = "student/model-card.md"
CIPHERTEXT_KINDS = ("upload", "sum")


@dataclass(frozen=True, slots=True)
class Transcript:
    """Every envelope of a run as others may see it.

    Attributes:
        files: Canonical bytes by file name. What :func:`is_withheld` has header and
            signature only.
        hashes: The envelopes' hashes, ascending; the same whatever is withheld.
        payload_bytes: Bytes that travelled, bodies included, all recipients counted once.
        bytes_by_kind: The same by message kind.
    """

    files: dict[str, bytes]
    hashes: tuple[str, ...]
    payload_bytes: int
    bytes_by_kind: dict[str, int]


def is_withheld(kind: str, agreement: Agreement) -> bool:
    """Return whether the run folder has a message kind without its body."""
    if RULES[kind].message_class == "sealed":
        return True
    return kind in CIPHERTEXT_KINDS and not agreement.publish.ciphertexts


def transcript(envelopes: Iterable[bytes], agreement: Agreement) -> Transcript:
    """Return the transcript of envelopes, each checked to be canonical."""
    files: dict[str, bytes] = {}
    by_kind: dict[str, int] = {}
    hashes = []
    for data in envelopes:
        envelope = parse(data)
        header = envelope.header
        name = f"{header.sender}-{header.sequence:03d}-{header.kind}.json"
        files[name] = _without_body(envelope) if is_withheld(header.kind, agreement) else data
        by_kind[header.kind] = by_kind.get(header.kind, 0) + len(data)
        hashes.append(envelope.hash)
    ordered = {kind: by_kind[kind] for kind in RULES if kind in by_kind}
    return Transcript(files, tuple(sorted(hashes)), sum(by_kind.values()), ordered)


def public_bodies(envelopes: Iterable[bytes]) -> list[tuple[str, Body]]:
    """Return sender and body of every public message, in order."""
    found = []
    for data in envelopes:
        envelope = parse(data)
        header = envelope.header
        if header.message_class == "public":
            kind = RULES[header.kind].body
            found.append((header.sender, bodies.from_json(kind, envelope.body)))
    return found


def _without_body(envelope: Envelope) -> bytes:
    """Return a message without its body; its signature still verifies."""
    return canonical.encode(
        {
            "header": envelope.header.to_json(),
            "signature": canonical.to_base64(envelope.signature),
        }
    )


def agreement_toml(agreement: Agreement) -> bytes:
    """Return the agreement's file."""
    return tomli_w.dumps(agreement.to_toml_dict()).encode()


def json_lines(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """Return canonical JSON lines."""
    return b"".join(canonical.encode(dict(entry)) + b"\n" for entry in entries)


def check_out(out: Path, *, private: Iterable[Path] = ()) -> None:
    """Refuse a place where no run folder can be written, before anything is charged.

    Args:
        out: Where the run folder is to be; an earlier one there is kept under another name.
        private: Files and folders that hold what nobody else may see.

    Raises:
        StorageError: If the parent cannot be written.
        UsageError: If ``out`` is a file, holds anything but a run folder, or is not apart from
            ``private`` and the folder that the command runs in.
    """
    whole, another = out.resolve(), "Nothing was charged. Name another folder with --out."
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file.", do=another)
    if Path.cwd().is_relative_to(whole):
        raise UsageError(f"{out} is the folder that you are in, or holds it.", do=another)
    for place in (path.resolve() for path in private):
        if place.is_relative_to(whole) or whole.is_relative_to(place):
            raise UsageError(
                f"{out} is not apart from {place}.",
                why="A run folder is for others to see; that is not.",
                do=another,
            )
    found = {path.name for path in out.iterdir()} if out.exists() else set()
    if found and not {AGREEMENT_FILE, SUMMARY_FILE} <= found:
        raise UsageError(f"{out} is there and is not a run folder.", do=another)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.parent / f".{out.name}.write-check"
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise StorageError(
            f"Cannot write beside {out}.",
            why=f"{error.strerror}.",
            do="Nothing was charged. Name a folder that you can write with --out.",
        ) from error


def write(out: Path, files: Mapping[str, bytes]) -> Path | None:
    """Write a run folder whole; return where an earlier one of that name was moved.

    Args:
        out: The run folder.
        files: Bytes by relative path, in the order in which they are written.

    Raises:
        StorageError: If it cannot be written; an earlier folder is left as it was.
    """
    staged = out.parent / f".{out.name}.partial"
    try:
        shutil.rmtree(staged, ignore_errors=True)
        for name, data in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        kept = None
        if out.exists():
            kept = _free_name(out)
            out.rename(kept)
        staged.rename(out)
    except OSError as error:
        raise StorageError(
            f"Cannot write the run folder {out}.",
            why=f"{error.strerror}.",
            do="The run is complete and its charge is spent. Make room or pick another disk, "
            "then run the same command: it writes the folder without a new charge.",
        ) from error
    return kept


def _free_name(out: Path) -> Path:
    """Return a free name for an earlier run folder: its run id's first digits if it has one."""
    try:
        run_id = str(canonical.decode((out / SUMMARY_FILE).read_bytes())["run_id"])[:8]
    except (OSError, SecureFedsaError, KeyError, TypeError):
        run_id = "earlier"
    candidate, number = out.with_name(f"{out.name}.{run_id}"), 1
    while candidate.exists():
        number += 1
        candidate = out.with_name(f"{out.name}.{run_id}-{number}")
    return candidate
