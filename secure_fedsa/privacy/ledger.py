"""The durable record of what a data set has spent.

One SQLite file in the teacher's state folder, write-ahead log, ``synchronous = FULL``: when
:meth:`Ledger.reserve` returns, the charge has reached the disk, and only then may noise be
drawn. Every operation reads and checks the whole chain again inside its own transaction, so
two processes cannot both pass a budget, and nothing is cached that another may change.

What the chain cannot show is that its newest entries were cut off, or the file replaced by
an older copy. Heads are countersigned for that: open with the newest known head.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import LedgerError, StorageError
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend, what_is_left
from secure_fedsa.privacy.events import Event, events_from_list, events_to_list
from secure_fedsa.privacy.ledger_books import (
    Books,
    Charge,
    Head,
    Terms,
    charge_of,
    replay,
    reserve_body,
    same_charge,
    verify_segment,
)
from secure_fedsa.privacy.ledger_entries import (
    FIRST_PREVIOUS,
    PRIVATE_FIELDS,
    Entry,
    check_name,
    check_note,
    make_entry,
)
from secure_fedsa.privacy.ledger_links import (
    FILE_NAME,
    add_linked,
    add_unreachable,
    linked_paths,
)
from secure_fedsa.privacy.ledger_store import insert_entry, make_file, read_entries, transaction
from secure_fedsa.privacy.parameters import positive, probability

__all__ = ["FILE_NAME", "Ledger"]


class Ledger:
    """A data set's privacy ledger. Use :meth:`create` or :meth:`open`.

    Attributes:
        path: The SQLite file.
        data_set: Random id of the data set, public.
        delta: The delta at which the data set's total epsilon is stated.
    """

    def __init__(self, path: Path, books: Books) -> None:
        self.path = path
        self.data_set = books.data_set
        self.delta = books.delta

    @classmethod
    def create(cls, folder: Path, *, delta: float, parent: Ledger | None = None) -> Ledger:
        """Start the ledger of a new data set, or of a new version of one.

        Args:
            folder: The teacher's state folder; made if it does not exist.
            delta: The delta at which the data set's total epsilon is stated.
            parent: Ledger of the version before. Its spend is inherited and it takes no
                further charge: both versions hold the same people. After a crash, calling
                this again with the same folder finishes the work.

        Raises:
            LedgerError: If the folder has a ledger, or ``parent`` has another new version.
            StorageError: If the folder cannot be written.
            PrivacyParameterError: If ``delta`` is out of range.
        """
        path = folder / FILE_NAME
        delta = probability(delta, "delta")
        make_file(path)
        with transaction(path, write=True) as connection:
            if read_entries(connection):
                raise LedgerError(f"{folder} already has a ledger.", do="Open it.")
            data_set, inherits = secret_bytes(16).hex(), None
            if parent is not None:
                data_set, inherits = parent.supersede(folder, data_set)
            body = {"delta": delta, "inherits": inherits}
            entry = make_entry(data_set, "genesis", "", body, position=0, previous=FIRST_PREVIOUS)
            insert_entry(connection, entry)
            ledger = cls(path, replay([entry]))
            for kind, kept in parent.books_alone().private_notes() if parent is not None else ():
                ledger._append(connection, ledger._books(connection), kind, "", kept)
        return ledger

    @classmethod
    def open(cls, folder: Path, *, known_head: str | None = None) -> Ledger:
        """Open a ledger and check its whole chain.

        Args:
            folder: The teacher's state folder.
            known_head: Hash of a head seen before, for instance a countersigned one; a
                ledger without it was cut back or replaced.

        Raises:
            LedgerError: Naming the first bad entry; or if there is no ledger, or it does not
                hold ``known_head``.
            StorageError: If the file cannot be read.
        """
        path = folder / FILE_NAME
        if not path.is_file():
            raise LedgerError(f"{folder} has no privacy ledger.", do="Create one.")
        with transaction(path, write=False) as connection:
            entries = read_entries(connection)
            books = replay(entries)
        if known_head is not None and all(entry["hash"] != known_head for entry in entries):
            raise LedgerError(
                "The ledger does not hold a head that was seen before.",
                why="Its newest entries were removed, or it is an older copy.",
                do="Restore the newest copy. Do not run with this one: spent privacy is gone.",
            )
        return cls(path, books)

    def reserve(
        self,
        run_id: str,
        agreement_hash: str,
        events: Sequence[Event],
        terms: Terms | None,
        data_set_budget: float | None,
        *,
        stated: bool = False,
        promised: Callable[[Books], Sequence[Terms]] = lambda _: (),
        beside: Callable[[Books], Mapping[str, Sequence[Terms]]] = lambda _: {},
    ) -> Charge:
        """Charge a run, durably; draw no noise before this returns.

        A reservation counts as spent for ever, whether or not the run goes on. The same
        run with the same events again (a resume) is not a second charge: look at
        ``committed`` of what is returned, and if it is True use the stored noisy summary,
        never fresh noise.

        Args:
            run_id: The run.
            agreement_hash: Its agreement; all charges under one agreement count together.
            events: What the run will release, all of one kind.
            terms: The agreement's budget for all its runs; None without differential privacy.
            data_set_budget: Epsilon for all runs on this data set, at the smaller one of the
                agreement's delta and the ledger's; None likewise.
            stated: Whether this is a training of before the run, stated by the institution.
            promised: Returns, of the books as they are under the lock, the budgets that earlier
                agreements promised of all runs on this data set; or refuses by an error.
            beside: Returns likewise what was promised of each linked data set, by its id.

        Raises:
            BudgetError: If a budget would be passed; nothing is charged.
            LedgerError: If the run was charged for something else, the agreement's budget
                changed, the data set has a new version, or the chain is damaged.
            StorageError: If it cannot be written; nothing is charged.
            PrivacyParameterError: If a value is NaN, infinite, zero, negative, out of range.
        """
        for name, text in (("run_id", run_id), ("agreement_hash", agreement_hash)):
            check_name(name, text)
        events = events_from_list(events_to_list(events))
        if terms is not None:
            budget = positive(terms.budget, "agreement budget")
            terms = Terms(budget, probability(terms.delta, "delta"))
            data_set_budget = positive(data_set_budget, "data set budget")
        asked = Amount.of(events)
        with self._writing() as (connection, books):
            if run_id in books.charges:
                return same_charge(
                    books.charges[run_id], agreement_hash, events, terms, stated=stated
                )
            promises = promised(books)
            books.require_affordable(
                run_id, agreement_hash, asked, terms, data_set_budget, promises, beside(books)
            )
            before = books.spent_under(agreement_hash)
            body = reserve_body(agreement_hash, events, before, terms, stated=stated)
            return charge_of(self._append(connection, books, "reserve", run_id, body))

    def commit(self, run_id: str) -> None:
        """Note that the run's noisy summary is stored; again is fine.

        Raises:
            LedgerError: If the run was never charged.
            StorageError: If it cannot be written.
        """
        with transaction(self.path, write=True) as connection:
            books = self._books(connection)
            if run_id not in books.charges:
                raise LedgerError(f"Run {run_id!r} has no charge to commit.")
            if not books.charges[run_id].committed:
                self._append(connection, books, "commit", run_id, {})

    def record(self, kind: str, run_id: str, body: Mapping[str, Any]) -> None:
        """Note an opened roster, an erasure, an abort or a burnt signal; again is fine.

        Notes become public with the run's segment: they hold names and hashes, nothing
        computed from records. See :data:`~.ledger_entries.NOTE_FIELDS`.

        Raises:
            LedgerError: If the kind or the content is not allowed.
            StorageError: If it cannot be written.
        """
        check_name("run_id", run_id)
        body = check_note(kind, body)
        with transaction(self.path, write=True) as connection:
            books = self._books(connection)
            known = ((note["kind"], note["run_id"], note["body"]) for note in books.notes)
            if (kind, run_id, body) not in known:
                self._append(connection, books, kind, run_id, body)

    def note(self, kind: str, body: Mapping[str, Any], *, again: bool = False) -> None:
        """Note something of no run, as :mod:`.ledger_private` lists; again is fine.

        But for a use outside: that is charged each time, so the same one again has to be meant.

        Args:
            kind: Of :data:`~.ledger_entries.PRIVATE_FIELDS`.
            body: Its content.
            again: Whether a use outside may be one that the ledger was charged for already.

        Raises:
            LedgerError: If it is not well-formed, if the data set has a new version, or if it is a
                use outside that was charged before, naming that entry.
            StorageError: If it cannot be written.
        """
        if kind not in PRIVATE_FIELDS:
            raise LedgerError(f"A ledger does not note {kind!r}.")
        with transaction(self.path, write=True) as connection:
            books = self._books(connection)
            if books.superseded is not None:
                raise LedgerError(
                    "This data set has a new version.", do="Use the ledger of the new version."
                )
            if kind == "external" and not again:
                books.require_first(body)
            if kind != "external" and (kind, body) in books.private_notes():
                return
            self._append(connection, books, kind, "", body)

    def opened_rosters(self) -> list[frozenset[str]]:
        """Return the rosters noted as opened, for :func:`~.rosters.roster_conflict`."""
        return self.books().opened_rosters()

    def books(self) -> Books:
        """Return the state that the chain adds up to, checked again, and what is linked to it."""
        books = self.books_alone()
        _read_linked(books)
        _read_beyond(books)
        return books

    def books_alone(self) -> Books:
        """Return the same without a look at the ledgers of linked data sets."""
        with transaction(self.path, write=False) as connection:
            return self._books(connection)

    @contextmanager
    def _writing(self) -> Iterator[tuple[sqlite3.Connection, Books]]:
        """Yield a connection and the books, linked ones included, that nobody changes meanwhile.

        Two data sets that share persons must not both pass what is left of one budget: the
        ledgers of all are locked, in one order everywhere. What those count besides is only read:
        whoever charges it locks the one between, as both note a link.
        """
        while True:
            linked = linked_paths(self.books_alone())
            with ExitStack() as stack:
                connections = {
                    path: stack.enter_context(transaction(path, write=True))
                    for path in sorted({self.path.resolve(), *linked})
                }
                books = self._books(connections[self.path.resolve()])
                if linked_paths(books) != linked:
                    continue  # linked since we looked
                for path in linked:
                    add_linked(books, path, read_entries(connections[path]))
                _read_beyond(books)
                yield connections[self.path.resolve()], books
                return

    def spent(self, agreement_hash: str | None = None, delta: float | None = None) -> Spend:
        """Return what the data set (or one agreement) spent; at the ledger's delta by default."""
        return Spend.of(self._amount(agreement_hash), self.delta if delta is None else delta)

    def left(
        self, budget: float, agreement_hash: str | None = None, delta: float | None = None
    ) -> Spend:
        """Return the largest further release within ``budget`` (epsilon at ``delta``)."""
        delta = self.delta if delta is None else delta
        return what_is_left(self._amount(agreement_hash), budget, delta)

    def _amount(self, agreement_hash: str | None) -> Amount:
        books = self.books()
        return books.spent() if agreement_hash is None else books.spent_under(agreement_hash)

    def segment(self, run_id: str) -> list[Entry]:
        """Return one run's entries, JSON-able, for the run folder.

        Raises:
            LedgerError: If the ledger has no entry of this run.
        """
        with transaction(self.path, write=False) as connection:
            entries = read_entries(connection)
            replay(entries)
        found = [entry for entry in entries if entry["run_id"] == run_id]
        if not run_id or not found:
            raise LedgerError(f"The ledger has no entry of run {run_id!r}.")
        return found

    def chain(self, until: str) -> list[Entry]:
        """Return the entries from the first one to the one with a hash; empty if it is not there.

        They hold what no segment does: links, statements, uses outside. For the owner's own disk.
        """
        with transaction(self.path, write=False) as connection:
            entries = read_entries(connection)
            replay(entries)
        last = [entry["position"] for entry in entries if entry["hash"] == until]
        return entries[: last[0] + 1] if last else []

    def head(self) -> Head:
        """Return the newest entry's position and hash."""
        books = self.books()
        return Head(books.data_set, books.position, books.head)

    def supersede(self, folder: Path, child: str) -> tuple[str, dict[str, Any]]:
        """Close this ledger in favour of a new version; :meth:`create` calls this.

        Returns:
            The new version's id (``child``, or the one noted before a crash) and what it
            inherits.

        Raises:
            LedgerError: If a new version exists in another folder.
        """
        resolved = str(folder.resolve())
        with transaction(self.path, write=True) as connection:
            books = self._books(connection)
            place = hashlib.sha256(f"{child}\n{resolved}".encode()).hexdigest()
            closing = books.superseded or self._append(
                connection, books, "superseded", "", {"child": child, "place": place}
            )
        body, head = closing["body"], closing["hash"]
        child = body["child"]
        if body["place"] != hashlib.sha256(f"{child}\n{resolved}".encode()).hexdigest():
            raise LedgerError(
                "This data set already has a new version, in another folder.",
                why=f"It is {books.superseded['body']['child'][:12]}."
                if books.superseded is not None
                else "",
                do="Begin the next version from that one's state folder.",
            )
        return child, {"data_set": self.data_set, "head": head, **books.bequest()}

    @staticmethod
    def verify_segment(entries: Sequence[Entry]) -> Charge:
        """Check one run's entries; see :func:`.ledger_entries.verify_segment`."""
        return verify_segment(entries)

    def _books(self, connection: sqlite3.Connection) -> Books:
        books = replay(read_entries(connection))
        if books.data_set != self.data_set:
            raise LedgerError("The ledger file was replaced by another data set's.")
        return books

    def _append(
        self,
        connection: sqlite3.Connection,
        books: Books,
        kind: str,
        run_id: str,
        body: Mapping[str, Any],
    ) -> Entry:
        entry = make_entry(
            self.data_set, kind, run_id, body, position=books.position + 1, previous=books.head
        )
        insert_entry(connection, entry)
        self._books(connection)
        return entry


def _read_linked(books: Books) -> None:
    """Read the ledgers of linked data sets; what cannot be read is noted in the books."""
    for path in linked_paths(books):
        try:
            with transaction(path, write=False) as connection:
                add_linked(books, path, read_entries(connection))
        except (LedgerError, StorageError):
            add_unreachable(books, path)


def _read_beyond(books: Books) -> None:
    """Read what linked data sets count besides this one, for the totals of each."""
    for other in books.beside.values():
        _read_linked(other)
