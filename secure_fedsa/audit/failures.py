"""How a check fails: with the file of the run folder where it shows, and a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from secure_fedsa.errors import SecureFedsaError, VerificationError
from secure_fedsa.roles.refusals import shown


def require(condition: object, file: str, what: str, *, why: str = "", do: str = "") -> None:
    """Raise a :class:`VerificationError` about ``file`` unless ``condition`` holds.

    ``what`` and ``why`` may quote the file: they are cut short and made printable, since
    whoever made the folder chose what they say.
    """
    if not condition:
        raise VerificationError(shown(file), shown(what), why=shown(why), do=do)


@contextmanager
def blaming(file: str) -> Iterator[None]:
    """Turn every error that the block raises on purpose into a failed check of ``file``.

    Lower floors name parties, clauses and entries; a reader of a folder needs the file too.

    Raises:
        VerificationError: If the block raised any error of this package.

    >>> from secure_fedsa.errors import LedgerError
    >>> with blaming("ledger-a.jsonl"):
    ...     raise LedgerError("Entry 0 is damaged.")
    Traceback (most recent call last):
    secure_fedsa.errors.VerificationError: ledger-a.jsonl: Entry 0 is damaged.
    """
    try:
        yield
    except VerificationError:
        raise
    except SecureFedsaError as error:
        raise VerificationError(shown(file), shown(error.what), why=shown(error.why)) from error
