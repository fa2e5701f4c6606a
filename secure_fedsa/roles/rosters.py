"""What every role checks about a roster and an upload, in one place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from secure_fedsa.agreement import Agreement, Selection
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, SecureFedsaError, counted
from secure_fedsa.messages import KEY_HOLDER, Roster, Upload
from secure_fedsa.privacy.rosters import roster_conflict
from secure_fedsa.roles.refusals import must_be
from secure_fedsa.roles.session import ROSTER_DOMAIN, Session, teachers_of
from secure_fedsa.selection import choose
from secure_fedsa.signals import Encrypted
from secure_fedsa.wire import bodies, canonical

CONFLICT_CLAUSE = "selection.max_colluding"


def roster_hash_of(roster: Roster, run_id: str) -> str:
    """Return the hash that members sign: the run and the whole roster."""
    value = {"run_id": run_id, "roster": bodies.to_json(roster)}
    return canonical.digest(ROSTER_DOMAIN, value)


def check_roster(
    roster: Roster, session: Session, sender: str, *, before: Roster | None = None
) -> None:
    """Refuse a roster that breaks the agreement or does not follow from the one before it.

    Args:
        roster: What was signed.
        session: Of the party that judges it.
        sender: Who signed it.
        before: The roster that was in force until now.

    Raises:
        ProtocolError: Naming the agreement's clause, where one forbids it.
    """
    agreement = session.agreement
    members = set(roster.members)
    must_be(
        sender == agreement.only(KEY_HOLDER), sender, "may not sign a roster.", clause="parties"
    )
    number = before.number + 1 if before else 1
    must_be(roster.number == number, sender, f"signed roster {roster.number}, not {number}.")
    must_be(
        roster.members == tuple(sorted(members)) and members <= teachers_of(agreement),
        sender,
        "signed a roster with unknown, repeated or unsorted members.",
        clause="parties",
    )
    _check_size(len(members), agreement.selection, sender)
    must_be(
        before is None or members < set(before.members),
        sender,
        "signed a roster that is not the one before it without some members.",
    )
    must_be(
        members <= set(roster.ledger_heads) <= teachers_of(agreement),
        sender,
        "signed a roster that countersigns not every member's ledger head, or a stranger's.",
    )
    must_be(
        _scores_allowed(roster, agreement),
        sender,
        "signed a roster that shows scores in another way than agreed.",
        why=f"{agreement.publish.scores!r} is agreed.",
        clause="publish.scores",
    )
    if before is None:
        _check_choice(roster, agreement, sender)
    else:
        must_be(
            roster.scores == before.scores,
            sender,
            "changed the scores between two rosters.",
            clause="publish.scores",
        )
    assert session.query_key is not None
    must_be(
        roster.keys_hash == session.keys_hash and roster.query_hash == session.query_key.query_hash,
        sender,
        "signed a roster over other keys or another query.",
    )


def _check_size(members: int, selection: Selection, sender: str) -> None:
    must_be(
        members >= selection.smallest_sum,
        sender,
        f"signed a roster of {counted(members, 'member')}.",
        why=f"A sum needs {selection.smallest_sum}.",
        clause=selection.binding,
    )
    must_be(
        members <= selection.select,
        sender,
        f"signed a roster of {members} members.",
        why=f"At most {selection.select} may be selected.",
        clause="selection.select",
    )


def _scores_allowed(roster: Roster, agreement: Agreement) -> bool:
    if not set(roster.scores) <= set(roster.ledger_heads) & teachers_of(agreement):
        return False
    match agreement.publish.scores:
        case "none":
            return not roster.scores
        case "order":
            ranks = [float(place) for place in range(1, len(roster.scores) + 1)]
            return sorted(roster.scores.values()) == ranks
        case "values":
            return all(math.isfinite(score) for score in roster.scores.values())


def _check_choice(roster: Roster, agreement: Agreement, sender: str) -> None:
    """Refuse a first roster whose members do not follow from the scores or ranks it shows."""
    selection, scores, shown = agreement.selection, roster.scores, agreement.publish.scores
    least = selection.threshold if shown == "values" else 1.0  # ranks begin at 1
    for name in roster.members:
        must_be(
            shown == "none" or scores.get(name, -math.inf) >= least,
            sender,
            f"selected {name}, whose score is not there or below the threshold.",
            clause="selection.threshold",
        )
    match shown:
        case "values":
            chosen = choose(scores, select=selection.select, threshold=selection.threshold)
        case "order":
            first = sorted(scores, key=lambda name: scores[name])
            chosen = tuple(sorted(first[: len(roster.members)]))
        case "none":
            return
    must_be(
        chosen == roster.members,
        sender,
        "selected other teachers than the scores that it shows.",
        clause="selection.select",
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """A sum that was opened, as a log remembers it.

    Attributes:
        run_id: The run that opened it.
        members: Its members' party names; in the key holder's log, their data set ids too,
            each kind as an entry of its own.
        signals: The signals in it, where the log knows them.
    """

    run_id: str
    members: frozenset[str]
    signals: frozenset[str] = frozenset()


def opened_conflict(
    log: tuple[Opened, ...], members: frozenset[str], *, run_id: str, agreement: Agreement
) -> str | None:
    """Return why a sum opened in an earlier run forbids this roster, or None."""
    earlier = [opened.members for opened in log if opened.run_id != run_id]
    conflict = roster_conflict(earlier, members, agreement.selection.max_colluding)
    if conflict is None:
        return None
    return (
        "An earlier sum over the same data sets differs from it by "
        f"{counted(len(conflict), 'teacher')}; the difference of the two sums would show too few "
        "of them."
    )


def check_upload(
    upload: Upload, sender: str, roster: Roster, roster_hash: str, session: Session
) -> Encrypted:
    """Return an upload's ciphertext after everything about it was checked.

    Raises:
        ProtocolError: If the sender is no member, or the upload is for another roster or
            key, has another length, or is not a well-formed ciphertext.
    """
    must_be(sender in roster.members, sender, "uploaded without being on the roster.")
    must_be(upload.roster_hash == roster_hash, sender, "uploaded for another roster.")
    must_be(
        upload.key_id == canonical.sha256(session.feature_key),
        sender,
        "encrypted under another key.",
        clause="encryption",
    )
    must_be(
        upload.values == session.agreement.feature_values,
        sender,
        f"uploaded {upload.values} values, agreed were {session.agreement.feature_values}.",
        clause="encoder.dimension",
    )
    encrypted = Encrypted(upload.ciphertext, upload.values)
    try:
        suite_of(session.agreement).check_upload(encrypted, sender)
    except SecureFedsaError as error:
        raise ProtocolError(
            sender, "uploaded a malformed ciphertext.", why=str(error), clause="encryption"
        ) from error
    return encrypted
