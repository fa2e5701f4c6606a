"""Signed statements that two data sets share no person: somebody's word, kept in a ledger."""

from __future__ import annotations

from secure_fedsa.errors import SignatureError
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.privacy.ledger_private import DISJOINT_DOMAIN, STATEMENT
from secure_fedsa.wire import canonical, keys


def signed_bytes(data_set: str, other: str) -> bytes:
    """Return what a statement of disjointness signs: both ids, sorted, and the words."""
    return canonical.encode({"data_sets": sorted([data_set, other]), "statement": STATEMENT})


def is_signed(books: Books, other: str, key: str) -> bool:
    """Return whether a ledger holds a statement about another data set that this key signed."""
    statement = books.disjoint.get(other)
    if statement is None or statement.key != key or statement.statement != STATEMENT:
        return False
    try:
        keys.verify(
            bytes.fromhex(statement.key),
            bytes.fromhex(statement.signature),
            DISJOINT_DOMAIN,
            signed_bytes(books.data_set, other),
            party="owner",
        )
    except (SignatureError, ValueError):
        return False
    return True
