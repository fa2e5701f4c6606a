"""What the owner of a data set notes in its ledger besides runs; no run's segment holds it.

* ``external``: the same records were used outside secure-fedsa. It counts in every total; nobody
  here saw it happen.
* ``link``: another data set has some of the same persons. Each of the two counts the other's spend.
* ``disjoint``: the owner's signed word that another data set has none of the same persons.
* ``limit``: the most that all runs may spend, whatever an agreement allows. It can be lowered only:
  a budget that is raised after results were seen is no filter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from secure_fedsa.errors import PrivacyParameterError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.dp_events import DpJson, amount_of_dp
from secure_fedsa.privacy.ledger_entries import Entry, bad_entry, check_name
from secure_fedsa.privacy.parameters import positive

OUTSIDE = "outside secure-fedsa"
"""Under this name a new version inherits what was imported; no agreement's hash looks so."""

DISJOINT_DOMAIN = "secure-fedsa/disjoint-data-sets/v1"
STATEMENT = "No person has a record in both data sets."


@dataclass(frozen=True, slots=True)
class External:
    """A use of the same records outside secure-fedsa: stated, not witnessed.

    Attributes:
        description: What it was, in the owner's words.
        events: As dp_accounting's events.
        cost: What they spend.
        entry_hash: Hash of the entry.
    """

    description: str
    events: DpJson
    cost: Amount
    entry_hash: str

    def is_of(self, body: Mapping[str, Any]) -> bool:
        """Return whether an entry's body says the same: spaces and capitals do not count."""
        words = str(body.get("description")).casefold().split()
        return words == self.description.casefold().split() and body.get("events") == self.events


@dataclass(frozen=True, slots=True)
class Link:
    """Another data set with some of the same persons.

    Attributes:
        data_set: Its id.
        folder: Where its ledger lies on this machine; empty if it is known by an export alone.
        amount: What it had spent when this was noted.
    """

    data_set: str
    folder: str
    amount: Amount

    def body(self, replaces: str = "") -> dict[str, Any]:
        """Return the body of its entry; ``replaces`` is an earlier version that it stands for."""
        return {
            "data_set": self.data_set,
            "folder": self.folder,
            "amount": amount_json(self.amount),
            "replaces": replaces,
        }


@dataclass(frozen=True, slots=True)
class Disjoint:
    """A signed statement that another data set has none of the same persons.

    Attributes:
        data_set: The other data set.
        statement: What was signed, with both ids.
        key: Ed25519 public key, hexadecimal.
        signature: Ed25519 signature, hexadecimal; :mod:`secure_fedsa.cli.ledger_links` checks it.
    """

    data_set: str
    statement: str
    key: str
    signature: str

    def body(self) -> dict[str, Any]:
        """Return the body of its entry."""
        return asdict(self)


def amount_json(amount: Amount) -> Any:
    """Return an amount as JSON, None for nothing."""
    return None if amount == Amount() else amount.to_json()


def read_amount(value: Any) -> Amount:
    """Read :func:`amount_json` back.

    Raises:
        PrivacyParameterError: If it is no amount.
    """
    return Amount() if value is None else Amount.from_json(value)


def external_body(description: str, events: DpJson) -> dict[str, Any]:
    """Return the body of an external charge.

    Raises:
        LedgerError: If the description is not 1 to 200 printable characters.
        PrivacyParameterError: If the events are not of known kinds, or out of range.
    """
    check_name("description", description)
    amount = amount_of_dp(events)
    return {"description": description, "events": events, "amount": amount.to_json()}


def external_of(entry: Entry) -> External:
    """Return the external charge of an entry, its amount worked out again.

    Raises:
        LedgerError: If it is not well-formed, or counts another amount than its events'.
    """
    body = entry["body"]
    try:
        cost = amount_of_dp(body["events"])
        sound = cost.to_json() == body["amount"] and isinstance(body["description"], str)
    except (PrivacyParameterError, TypeError) as error:
        bad_entry(entry["position"], str(error))
    if not sound:
        bad_entry(entry["position"], "an external charge is not what its events cost")
    return External(body["description"], body["events"], cost, entry["hash"])


def link_of(entry: Entry) -> Link:
    """Return the link of an entry.

    Raises:
        LedgerError: If it is not well-formed, or links a data set to itself.
    """
    body = entry["body"]
    try:
        amount = read_amount(body["amount"])
    except (PrivacyParameterError, TypeError) as error:
        bad_entry(entry["position"], str(error))
    texts = (body["data_set"], body["folder"], body["replaces"])
    if not all(isinstance(text, str) for text in texts) or body["data_set"] in (
        "",
        entry["data_set"],
    ):
        bad_entry(entry["position"], "its link is to no other data set")
    return Link(body["data_set"], body["folder"], amount)


def disjoint_of(entry: Entry) -> Disjoint:
    """Return the statement of an entry; its signature is for others to check.

    Raises:
        LedgerError: If it is not well-formed.
    """
    body = entry["body"]
    found = Disjoint(body["data_set"], body["statement"], body["key"], body["signature"])
    texts = (found.data_set, found.statement, found.key, found.signature)
    if not all(isinstance(text, str) and text for text in texts):
        bad_entry(entry["position"], "its statement is not text")
    return found


def limit_of(entry: Entry, before: float | None) -> float:
    """Return the limit of an entry.

    Raises:
        LedgerError: If it is no number above zero, or above the limit before it.
    """
    try:
        limit = positive(entry["body"]["epsilon"], "limit")
    except PrivacyParameterError as error:
        bad_entry(entry["position"], str(error))
    if before is not None and limit > before:
        bad_entry(entry["position"], "it raises the data set's limit")
    return limit
