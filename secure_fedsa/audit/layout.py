"""What a run folder holds: every name, and how large each file may be.

Sizes are judged before a file is opened, so that nobody can make a reader swallow a disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from secure_fedsa.audit.failures import require
from secure_fedsa.engines.run_folder import (
    AGREEMENT_FILE,
    MODEL_CARD_FILE,
    RELEASE_LOG_FILE,
    REPORT_FILE,
    SUMMARY_FILE,
)
from secure_fedsa.messages import MOST_FOLDER_BYTES, MOST_MESSAGES, PARTY_NAME, RULES
from secure_fedsa.report.receipt import FILE_NAME as RECEIPT_FILE

_MIB = 2**20

TRANSCRIPT = "transcript"
STUDENT = "student"
FOLDERS = (STUDENT, TRANSCRIPT)

ENCODER_FILE = "student/encoder.safetensors"
STUDENT_FILES = {
    "network": "student/network.safetensors",
    "architecture": "student/architecture.json",
    "head": "student/head.safetensors",
}
"""The files whose hashes the student's hash covers, by their names in it."""

LIMITS: dict[str, int] = {
    AGREEMENT_FILE: _MIB,
    RELEASE_LOG_FILE: _MIB,
    STUDENT_FILES["network"]: 256 * _MIB,
    STUDENT_FILES["architecture"]: _MIB,
    STUDENT_FILES["head"]: 256 * _MIB,
    ENCODER_FILE: 256 * _MIB,
    MODEL_CARD_FILE: _MIB,
    SUMMARY_FILE: 4 * _MIB,
    REPORT_FILE: 16 * _MIB,
    RECEIPT_FILE: 8 * _MIB,
}
"""The files that every run folder has, and their largest sizes in bytes."""

LEDGER_LIMIT = 4 * _MIB
_AROUND_A_BODY = 65_536  # header, signature and JSON marks of a transcript file

_LEDGER = re.compile(rf"ledger-{PARTY_NAME}\.jsonl")
_MESSAGE = re.compile(rf"transcript/({PARTY_NAME})-[0-9]{{3,16}}-([a-z-]+)\.json")


def ledger_file(teacher: str) -> str:
    """Return the name of a teacher's ledger segment."""
    return f"ledger-{teacher}.jsonl"


def message_file(sender: str, sequence: int, kind: str) -> str:
    """Return the name of a message in the transcript."""
    return f"{TRANSCRIPT}/{sender}-{sequence:03d}-{kind}.json"


def sender_and_kind(name: str) -> tuple[str, str] | None:
    """Return whose message of which kind a file would be, None if its name is none of a message.

    >>> sender_and_kind("transcript/key-holder-012-feature-key.json")
    ('key-holder', 'feature-key')
    """
    message = _MESSAGE.fullmatch(name)
    return None if message is None else (message[1], message[2])


def limit_of(name: str) -> int | None:
    """Return the largest size in bytes of a file of this name, None if it may not be there.

    >>> limit_of("summary.json"), limit_of("../summary.json")
    (4194304, None)
    """
    if name in LIMITS:
        return LIMITS[name]
    if _LEDGER.fullmatch(name):
        return LEDGER_LIMIT
    message = _MESSAGE.fullmatch(name)
    if message is None or message[2] not in RULES:
        return None
    # A sealed body and bytes inside a public one travel as base64.
    return RULES[message[2]].maximum_bytes * 4 // 3 + _AROUND_A_BODY


def check_layout(sizes: Mapping[str, int], *, receipt: bool = True) -> None:
    """Check names and sizes of a run folder's files, before any is opened.

    Args:
        sizes: Bytes by file name.
        receipt: Whether the receipt is among them; its signers check the others first.

    Raises:
        VerificationError: If a file may not be there, is too large or is missing.
    """
    for name in sorted(sizes):
        limit = limit_of(name) if receipt or name != RECEIPT_FILE else None
        require(limit is not None, name, "does not belong into a run folder.")
        assert limit is not None
        require(sizes[name] <= limit, name, f"has {sizes[name]:,} bytes; {limit:,} are allowed.")
    messages = [name for name in sizes if name.startswith(f"{TRANSCRIPT}/")]
    require(
        len(messages) <= MOST_MESSAGES,
        f"{TRANSCRIPT}/",
        f"holds {len(messages):,} messages; {MOST_MESSAGES:,} are allowed.",
    )
    total = sum(sizes.values())
    largest = max(sizes, key=lambda name: sizes[name], default="")
    require(
        total <= MOST_FOLDER_BYTES,
        largest,
        f"is the largest of files of {total:,} bytes; {MOST_FOLDER_BYTES:,} are allowed together.",
    )
    for name in LIMITS:
        required = receipt or name != RECEIPT_FILE
        require(name in sizes or not required, name, "is missing.")
