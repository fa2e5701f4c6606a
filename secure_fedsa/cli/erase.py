"""``secure-fedsa erase``: between runs, what an agreement's ``[retention]`` has a party remove."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import add_parser, printable
from secure_fedsa.errors import AgreementError

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement, Retention
    from secure_fedsa.engines.retention import Kept
    from secure_fedsa.privacy.ledger import Ledger

EXAMPLE = """\
example:
  secure-fedsa erase north-state --agreement agreement.toml
"""
STAYS = (
    "identity key, ledger and release log (the record of what was spent and\nopened), a protected "
    "student's one noisy summary, the student that was built"
)
MEANING = (
    "Removed is what is no longer in the folder; only keys are overwritten before. Copies "
    "elsewhere, in\nbackups, in snapshots and below the file system (flash memory) are beyond this."
)


def add(commands: Any) -> None:
    """Register the command."""
    parser = add_parser(
        commands,
        "erase",
        help="remove from a state folder what is kept longer than agreed",
        description="Applies [retention] of an agreement that this party signed to its state "
        "folder, without\na run: lines of the local log, and a run that was cut off. The same is "
        "done when a run\nbegins and ends. Exit code 0 if nothing that came of age is left in the "
        "folder, 1 if\nsomething could not be removed.\n\n"
        f"Never touched: {STAYS}.\n"
        f"{MEANING}",
        epilog=EXAMPLE,
    )
    parser.add_argument("state", metavar="STATE", type=Path, help="the party's state folder")
    parser.add_argument(
        "--agreement",
        metavar="FILE",
        type=Path,
        required=True,
        help="the agreement, signed by this party",
    )
    parser.add_argument("--json", action="store_true", help="print what was removed as JSON")
    parser.set_defaults(action=_erase)


def _erase(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.engines import retention
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement, state = read_agreement(arguments.agreement).agreement, arguments.state
    agreement.check()
    agreed, party = _agreed(agreement), _signer(agreement, state)
    now, digest = retention.now(), agreement_hash(agreement)
    items, kept = [retention.log_item(agreed)], retention.keep_log_short(state, agreed, now)
    given_up = _is_over(state, agreed)
    if given_up:
        items.append(retention.run_item(agreed))
        ledger = _ledger(agreement, party, state)
        kept += retention.give_up(state, agreed, now, ledger)
    removed = [item for item in items if item not in {entry.item for entry in kept}]
    if arguments.json:
        values = {
            "agreement": digest,
            "party": party,
            "day": now.date().isoformat(),
            "removed": removed,
            "not_removed": [{"item": entry.item, "why": entry.why} for entry in kept],
        }
        print(json.dumps(values, indent=2))
    else:
        _tell(party, now.date().isoformat(), removed, kept)
    return 1 if kept else 0


def _tell(party: str, day: str, removed: list[str], kept: tuple[Kept, ...]) -> None:
    for item in removed:
        print(f"{party}, {day}: no longer in the state folder: {_read(item)}")
    for entry in kept:
        print(printable(f"{party}, {day}: NOT removed: {_read(entry.item)}. {entry.why}"))
    print(f"Never touched: {STAYS}.")
    print(MEANING)


def _read(item: str) -> str:
    """Return an item as people read it; in ledgers and JSON its spelling stays."""
    return item.replace(" 1 days", " 1 day")


def _agreed(agreement: Agreement) -> Retention:
    if agreement.retention is None:
        raise AgreementError(
            "retention",
            "is not in this agreement.",
            why="Its parties agreed on no limit for what runs leave.",
            do="Nothing was removed. Name an agreement that has the table.",
        )
    return agreement.retention


def _signer(agreement: Agreement, state: Path) -> str:
    """Return the party whose key is in a state folder, if it signed the agreement as it stands.

    Raises:
        AgreementError: If it is no party, or did not sign: a stranger's text removes nothing.
        UsageError: If the folder has no key.
    """
    from secure_fedsa.cli.agreement_file import check_signatures, signature_states
    from secure_fedsa.cli.keys import existing_identity

    key = existing_identity(state).public.hex()
    party = next((name for name, party in agreement.parties.items() if party.key == key), None)
    if party is None:
        raise AgreementError(
            "parties",
            f"the key in {state} is no party's.",
            do="Nothing was removed. Name the state folder of a party that signed.",
        )
    check_signatures({party: signature_states(agreement)[party]})
    return party


def _is_over(state: Path, agreed: Retention) -> bool:
    """Return whether the folder has a run to give up; also one that cannot be told to be none."""
    from secure_fedsa.engines import retention
    from secure_fedsa.errors import StorageError

    if retention.leftover(state):
        return True
    try:
        moved = retention.last_moved(state, retention.now())
    except (OSError, StorageError):
        return True  # giving it up finds out why it cannot be, and says so
    return moved is not None and retention.is_of_age(moved, agreed, retention.now())


def _ledger(agreement: Agreement, party: str, state: Path) -> Ledger | None:
    """Return a teacher's ledger, where there is one."""
    from secure_fedsa.engines.own_files import open_ledger
    from secure_fedsa.messages import TEACHER
    from secure_fedsa.privacy.ledger import FILE_NAME

    if agreement.parties[party].role != TEACHER or not (state / FILE_NAME).exists():
        return None
    return open_ledger(state, delta=1e-5)
