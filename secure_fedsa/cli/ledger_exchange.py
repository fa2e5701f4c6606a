"""``ledger export`` and ``ledger import``: charges as dp_accounting's events."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from secure_fedsa.cli.ledger_show import note, open_ledger, write_text
from secure_fedsa.errors import LedgerError, StorageError, UsageError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend
from secure_fedsa.privacy.dp_events import (
    amount_of_dp,
    amount_to_dp,
    composed,
    event_to_dp,
    read_events,
)
from secure_fedsa.privacy.ledger_books import Books, Charge
from secure_fedsa.privacy.ledger_private import External, external_body
from secure_fedsa.report.ledger_view import accountants, spend_json

FORMAT = "secure-fedsa ledger export v1"
_MOST_BYTES = 8 * 2**20


def exported(books: Books) -> dict[str, Any]:
    """Return every charge of a data set, without linked ones, as JSON values.

    ``dp_event`` is one composed event of dp_accounting: inherited amounts first, then every charge
    in the order of the ledger. ``spent`` is what this ledger states of it.
    """
    inherited = [event for amount in books.inherited.values() for event in amount_to_dp(amount)]
    charges = [_charge_json(charge) for charge in books.in_order()]
    whole = [*inherited, *(event for charge in charges for event in charge["dp_events"])]
    amount = books.spent_alone()
    return {
        "format": FORMAT,
        "data_set": books.data_set,
        "parent": books.parent or None,
        "head": {"position": books.position, "hash": books.head},
        "spent": spend_json(Spend.of(amount, books.delta)),
        "accountants": [{"name": n, "version": v} for n, v in accountants(amount)],
        "inherited": inherited,
        "charges": charges,
        "dp_event": composed(whole),
    }


def _charge_json(charge: Charge | External) -> dict[str, Any]:
    if isinstance(charge, External):
        return {
            "name": charge.description,
            "agreement": None,
            "stated": True,
            "dp_events": [charge.events],
        }
    return {
        "name": charge.run_id,
        "agreement": charge.agreement,
        "stated": charge.stated,
        "dp_events": [event_to_dp(event) for event in charge.events],
    }


def export_charges(arguments: argparse.Namespace) -> int:
    """Write an export; the action of ``ledger export``."""
    text = json.dumps(exported(open_ledger(arguments.state).books_alone()), indent=2)
    if arguments.out is None:
        print(text)
        return 0
    write_text(arguments.out, text + "\n")
    print(json.dumps({"out": str(arguments.out)}) if arguments.json else f"Wrote {arguments.out}")
    return 0


def read_file(path: Path) -> str:
    """Return the text of a file of at most 8 MiB.

    Raises:
        StorageError: If it cannot be read, is larger, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise StorageError(f"{path} is larger than 8 MiB.", do="Name another file.")
        return data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"Cannot read {path}.",
            why=f"{getattr(error, 'strerror', None) or error}.",
            do="Name another file.",
        ) from error


def read_export(path: Path) -> tuple[str, Amount]:
    """Return the data set of an export and what it spent, worked out again from its events.

    Raises:
        LedgerError: If it is no export of a ledger.
        PrivacyParameterError: If an event is not known here.
        StorageError: If it cannot be read.
    """
    text = read_file(path)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise LedgerError(
            f"{path} is no export of a ledger.", do="Make one: secure-fedsa ledger export STATE"
        )
    data_set, events = value.get("data_set"), value.get("dp_event")
    if not isinstance(data_set, str) or not data_set:
        raise LedgerError(f"{path} names no data set.", do="Ask for another export.")
    empty = isinstance(events, dict) and events.get("events") == []
    return data_set, Amount() if empty else amount_of_dp(events)


def _events_in(text: str) -> str:
    """Return the text of a file's events; of a ledger's export, those within it."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    exported = isinstance(value, dict) and value.get("format") == FORMAT
    return json.dumps(value.get("dp_event")) if exported else text


def import_events(arguments: argparse.Namespace) -> int:
    """Charge a use outside; the action of ``ledger import``."""
    if not arguments.description.strip() or not arguments.description.isprintable():
        raise UsageError(
            "The use has no description.", do="Say in a few words what it was: --description TEXT."
        )
    events = read_events(_events_in(read_file(arguments.events)))
    body = external_body(arguments.description, events)
    ledger = open_ledger(arguments.state)
    before = ledger.books()
    note(ledger, "external", body)
    after, cost = ledger.books(), amount_of_dp(events)
    spends = {
        "charged": Spend.of(cost, after.delta),
        "before": Spend.of(before.spent(), before.delta),
        "after": Spend.of(after.spent(), after.delta),
    }
    if arguments.json:
        print(json.dumps({name: spend_json(spend) for name, spend in spends.items()}, indent=2))
        return 0
    print(f"Charged, and spent for ever: {spends['charged']} at delta {after.delta:g}")
    print(f"  total before: {spends['before']}\n  total now:    {spends['after']}")
    print(
        "  It is your word: nobody here saw that use. It counts for the runs' unit and neighbours."
    )
    return 0
