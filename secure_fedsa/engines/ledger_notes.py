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
import shutil
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Agreement, from_dict
from secure_fedsa.errors import AgreementError, SecureFedsaError, StorageError
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import agreement_hash

DAYS_FILE = "ledger-days.jsonl"
AGREEMENTS_FOLDER = "agreements"

_HASH = re.compile(r"[0-9a-f]{64}")


def note_charge(folder: Path, entry_hash: str, agreement: Agreement, digest: str) -> None:
    """Keep the day of a charge and the agreement that it was made under.

    It is for people who read later: a disk that is full stops no run here.

    Args:
        folder: The teacher's state folder.
        entry_hash: Hash of the reserve entry.
        agreement: The agreement.
        digest: Its hash.
    """
    with suppress(OSError):
        path = folder / DAYS_FILE
        known = entry_hash in charge_days(folder)
        if not known:
            path.touch(mode=0o600)
            day = datetime.now(UTC).date().isoformat()
            with path.open("ab") as file:
                file.write(canonical.encode({"entry": entry_hash, "day": day}) + b"\n")
        kept = folder / AGREEMENTS_FOLDER / f"{digest}.json"
        if not kept.exists():
            kept.parent.mkdir(mode=0o700, exist_ok=True)
            partial = kept.with_suffix(".partial")
            partial.write_bytes(canonical.encode(agreement.content()))
            partial.rename(kept)


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
            shutil.copyfile(path, child / AGREEMENTS_FOLDER / path.name)
    except OSError as error:
        raise StorageError(f"Cannot write in {child}.", why=f"{error.strerror}.") from error


def _charged(folder: Path, books: Books, digest: str) -> list[Agreement]:
    """Return the other agreements that a data set was charged under, as far as they were kept."""
    used = {*books.inherited, *(charge.agreement for charge in books.charges.values())}
    kept = kept_agreements(folder)
    return [kept[name] for name in sorted(used & kept.keys() - {digest})]


def earlier_promises(folder: Path, books: Books, digest: str) -> tuple[Terms, ...]:
    """Return what earlier agreements promised of all runs on a data set.

    Each said that no run would take the data set past its ``data_set_budget``, whatever the
    agreement: a later one with a larger budget may not.

    Args:
        folder: The teacher's state folder.
        books: Of its ledger.
        digest: Hash of the agreement that is asked for now.
    """
    found = {
        Terms(one.privacy.data_set_budget, one.privacy.delta)
        for one in _charged(folder, books, digest)
        if one.privacy is not None
    }
    return tuple(sorted(found, key=lambda terms: (terms.budget, terms.delta)))


def check_unit(folder: Path, books: Books, agreement: Agreement, digest: str) -> None:
    """Refuse a run for another unit or relation than the data set was charged for before.

    A ledger adds up losses of one unit. What a run tells of one record says nothing of a person
    with many, so that a budget for persons would not hold; nor of a record that is replaced.

    Raises:
        AgreementError: If an earlier agreement that was kept has another.
    """
    if agreement.privacy is None:
        return
    for one in _charged(folder, books, digest):
        for clause in ("unit", "neighbours", "max_records"):
            if one.privacy is None:
                continue
            before, now = getattr(one.privacy, clause), getattr(agreement.privacy, clause)
            if before != now:
                raise AgreementError(
                    f"privacy.{clause}",
                    f"is {now}, and these data were charged before for {before}.",
                    why="A ledger cannot add up losses of different units or neighbours: neither "
                    "budget would be kept.",
                    do=f"Nothing was charged. Agree on {before} again, or use other data.",
                )
