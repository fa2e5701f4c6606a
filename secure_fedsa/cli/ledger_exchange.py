"""``ledger export`` and ``ledger import``: charges as dp_accounting's events."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.ledger_show import known_agreements, note, open_ledger
from secure_fedsa.cli.page_file import require_ours, write_private
from secure_fedsa.cli.parsing import printable
from secure_fedsa.engines.ledger_notes import note_day
from secure_fedsa.engines.ledger_versions import earlier_versions
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
from secure_fedsa.report.ledger_total import OF_OUTSIDE, protected_by, unit_of
from secure_fedsa.report.ledger_view import Protected, accountants_json, spend_json

FORMAT = "secure-fedsa ledger export v1"
_BEGINS = f'{{\n  "format": "{FORMAT}"'.encode()
_MOST_BYTES = 8 * 2**20


def exported(books: Books, agreements: Mapping[str, Agreement]) -> dict[str, Any]:
    """Return every charge of a data set, without linked ones, as JSON values.

    ``dp_event`` is one composed event of dp_accounting: inherited amounts first, then every charge
    in the order of the ledger. ``spent`` is what this ledger states of it.

    Args:
        books: Of the ledger.
        agreements: The agreements that are known, by hash: they say unit and neighbours.
    """
    inherited = [event for amount in books.inherited.values() for event in amount_to_dp(amount)]
    charges = [_charge_json(charge, agreements) for charge in books.in_order()]
    whole = [*inherited, *(event for charge in charges for event in charge["dp_events"])]
    amount = books.spent_alone()
    return {
        "format": FORMAT,
        "data_set": books.data_set,
        "parent": books.parent or None,
        "head": {"position": books.position, "hash": books.head},
        **unit_of(books, agreements, alone=True).to_dict(),
        "spent": spend_json(Spend.of(amount, books.delta)),
        "accountants": accountants_json(amount),
        "inherited": inherited,
        "charges": charges,
        "dp_event": composed(whole),
    }


def _charge_json(charge: Charge | External, agreements: Mapping[str, Agreement]) -> dict[str, Any]:
    if isinstance(charge, External):
        return {
            "name": charge.description,
            "agreement": None,
            "stated": True,
            **Protected(None, OF_OUTSIDE).to_dict(),
            "accountants": accountants_json(charge.cost),
            "dp_events": [charge.events],
        }
    return {
        "name": charge.run_id,
        "agreement": charge.agreement,
        "stated": charge.stated,
        **protected_by(charge.agreement, agreements).to_dict(),
        "accountants": accountants_json(charge.cost),
        "dp_events": [event_to_dp(event) for event in charge.events],
    }


def export_charges(arguments: argparse.Namespace) -> int:
    """Write an export; the action of ``ledger export``."""
    out: Path | None = arguments.out
    if out is not None:
        _require_free(out, arguments.state, force=arguments.force)
    known = known_agreements(arguments.state, arguments.agreement)
    text = json.dumps(exported(open_ledger(arguments.state).books_alone(), known), indent=2)
    if out is None:
        print(text)
        return 0
    write_private(out, text + "\n")
    print(json.dumps({"out": str(out)}) if arguments.json else f"Wrote {printable(str(out))}")
    return 0


def _require_free(out: Path, state: Path, *, force: bool) -> None:
    """Refuse a place where a file is; with ``force``, one of the state folder's own all the same.

    Raises:
        UsageError: Saying which it is.
    """
    if out.is_file() and not force:
        raise UsageError(
            f"{out} is there already.",
            do="Name another file with --out, or write over it with --force.",
        )
    # Never over a ledger or a key, whatever was meant; over an earlier export it may go.
    inside = out.resolve().is_relative_to(state.resolve())
    require_ours(out, None, _BEGINS if inside else b"")


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


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export says of another data set.

    Attributes:
        data_set: Its id.
        amount: What it spent, worked out again from its events.
        unit: With neighbours, in words; empty if it does not say it.
        not_shown: Of what part of it the unit is not known; empty if of none.
    """

    data_set: str
    amount: Amount
    unit: str
    not_shown: str


def read_export(path: Path) -> Exported:
    """Return what an export says.

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
    unit, not_shown = (str(value.get(name) or "") for name in ("unit", "unit_not_shown"))
    return Exported(data_set, Amount() if empty else amount_of_dp(events), unit, not_shown)


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
    if not arguments.again:
        for one in earlier_versions(arguments.state, before):
            one.require_first(body)
    note(ledger, "external", body, again=arguments.again)
    after, cost = ledger.books(), amount_of_dp(events)
    note_day(arguments.state, after.external[-1].entry_hash)
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
