"""What a teacher's state folder keeps beside its ledger, for whoever reads the ledger later.

The chain has no dates and no agreements' texts: neither may change, and a date of a public entry
could say when somebody was treated. Here, on the teacher's own disk, are the day of each charge by
this machine's clock, and the content of each agreement that was charged under. Agreements are named
by their hash and are checked when they are read; days are this machine's word, and no part of the
chain.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Agreement, from_dict
from secure_fedsa.errors import SecureFedsaError, StorageError
from secure_fedsa.journal import sync_folder, write_durably
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import agreement_hash

DAYS_FILE = "ledger-days.jsonl"
AGREEMENTS_FOLDER = "agreements"

_HASH = re.compile(r"[0-9a-f]{64}")


def keep_agreement(folder: Path, agreement: Agreement, digest: str) -> None:
    """Keep the text of an agreement, durably: before its first charge, as later runs owe it.

    Args:
        folder: The state folder.
        agreement: The agreement.
        digest: Its hash.

    Raises:
        StorageError: If it cannot be written; nothing may be charged then.
    """
    kept = folder / AGREEMENTS_FOLDER / f"{digest}.json"
    if kept.exists():
        return
    try:
        kept.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(kept, canonical.encode(agreement.content()))
        sync_folder(kept.parent)
    except OSError as error:
        raise StorageError(f"Cannot write in {folder}.", why=f"{error.strerror}.") from error


def note_day(folder: Path, entry_hash: str) -> None:
    """Note the day of a charge.

    It is for people who read later: a disk that is full stops no run here.

    Args:
        folder: The state folder.
        entry_hash: Hash of the reserve entry.
    """
    with suppress(OSError):
        if entry_hash in charge_days(folder):
            return
        path = folder / DAYS_FILE
        path.touch(mode=0o600)
        day = datetime.now(UTC).date().isoformat()
        with path.open("ab") as file:
            file.write(canonical.encode({"entry": entry_hash, "day": day}) + b"\n")


def charge_days(folder: Path) -> dict[str, str]:
    """Return the day of each charge (ISO 8601, UTC) by the hash of its entry, as far as noted."""
    found: dict[str, str] = {}
    with suppress(OSError, UnicodeDecodeError):
        for line in (folder / DAYS_FILE).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, TypeError, KeyError):
                value = json.loads(line)
                day = date.fromisoformat(value["day"]).isoformat()
                if isinstance(value["entry"], str) and _HASH.fullmatch(value["entry"]):
                    found.setdefault(value["entry"], day)
    return found


def keep_days(parent: Path, child: Path) -> None:
    """Give a data set's new version the days of the earlier one's charges, as far as noted.

    They are for people who read later, as in :func:`note_day`: a disk that is full stops nothing.
    """
    with suppress(OSError):
        noted = (parent / DAYS_FILE).read_bytes()
        path = child / DAYS_FILE
        path.touch(mode=0o600)
        with path.open("ab") as file:
            file.write(noted)


def kept_agreements(folder: Path) -> dict[str, Agreement]:
    """Return the agreements that were kept, by hash; one that does not fit its hash is left out."""
    found: dict[str, Agreement] = {}
    for path in sorted((folder / AGREEMENTS_FOLDER).glob("*.json")):
        with suppress(OSError, ValueError, SecureFedsaError):
            content: dict[str, Any] = json.loads(path.read_bytes())
            agreement = from_dict({**content, "signatures": {}})
            if agreement_hash(agreement) == path.stem:
                found[path.stem] = agreement
    return found


def keep_agreements(parent: Path, child: Path) -> None:
    """Give a data set's new version the agreements that the earlier one was charged under.

    Raises:
        StorageError: If they cannot be copied.
    """
    try:
        for path in sorted((parent / AGREEMENTS_FOLDER).glob("*.json")):
            (child / AGREEMENTS_FOLDER).mkdir(mode=0o700, exist_ok=True)
            write_durably(child / AGREEMENTS_FOLDER / path.name, path.read_bytes())
        if (child / AGREEMENTS_FOLDER).exists():
            sync_folder(child / AGREEMENTS_FOLDER)
    except OSError as error:
        raise StorageError(f"Cannot write in {child}.", why=f"{error.strerror}.") from error


def charged_before(folder: Path, books: Books, digest: str) -> list[Agreement]:
    """Return the other agreements that a data set was charged under, as far as they were kept.

    Args:
        folder: The teacher's state folder.
        books: Of its ledger.
        digest: Hash of the agreement that is asked for now.
    """
    used = {*books.inherited, *(charge.agreement for charge in books.charges.values())}
    kept = kept_agreements(folder)
    return [kept[name] for name in sorted(used & kept.keys() - {digest})]
