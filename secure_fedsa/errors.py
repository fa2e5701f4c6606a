"""Errors that say what happened, why, and what to do.

Every error a person can meet derives from :class:`SecureFedsaError`. Its message has
up to three parts, kept apart so that programs can show them apart: what happened,
why, and what to do next. No part may hold a secret or a value computed from private
records.
"""

from __future__ import annotations


class SecureFedsaError(Exception):
    """Base of all errors that this package raises on purpose.

    Args:
        what: What happened, one sentence.
        why: The reason, if it adds something.
        do: What the reader can do about it.

    >>> print(DataError("The folder is empty.", do="Put at least one .npz file in it."))
    The folder is empty. Put at least one .npz file in it.
    """

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", do: str = "") -> None:
        self.what = what
        self.why = why
        self.do = do
        super().__init__(" ".join(part for part in (what, why, do) if part))


class UsageError(SecureFedsaError):
    """A command, a parameter or a path that cannot work as given."""

    exit_code = 2


class DataError(SecureFedsaError):
    """Input data of a wrong shape, type, value or hash."""

    exit_code = 2


class AgreementError(SecureFedsaError):
    """An agreement that is malformed, wrongly signed or not allowed to run.

    ``clause`` names the entry of the agreement that is at fault, for instance
    ``privacy.epsilon``.
    """

    exit_code = 2

    def __init__(self, clause: str, what: str, *, why: str = "", do: str = "") -> None:
        self.clause = clause
        super().__init__(f"{clause}: {what}" if clause else what, why=why, do=do)


class PrivacyParameterError(SecureFedsaError):
    """A privacy parameter that is not finite, not positive or out of range."""

    exit_code = 2


class BudgetError(SecureFedsaError):
    """A charge that would pass a privacy budget. Nothing was spent."""

    exit_code = 1


class LedgerError(SecureFedsaError):
    """A privacy ledger that is damaged, of another data set, or misused."""

    exit_code = 1


class CrossCheckError(SecureFedsaError):
    """Two accountants disagree beyond what theory allows."""

    exit_code = 1


class HeadroomError(SecureFedsaError):
    """Encryption parameters under which some sum could wrap or lose its noise budget."""

    exit_code = 2


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, which has an s (or is ``plural``) unless there is one of it.

    >>> counted(1, "run"), counted(0, "run"), counted(1200, "noisy run")
    ('1 run', '0 runs', '1,200 noisy runs')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def resting_on(clause: str) -> str:
    """Return the sentence that names the entry of the agreement behind a refusal.

    >>> resting_on("selection.select")
    "The agreement's clause: selection.select."
    """
    return f"The agreement's clause: {clause}." if clause else ""


class ProtocolError(SecureFedsaError):
    """A message that the protocol does not allow here; ``party`` sent it.

    ``clause`` names the entry of the agreement that the refusal rests on, if it is one.
    """

    exit_code = 1

    def __init__(
        self, party: str, what: str, *, why: str = "", do: str = "", clause: str = ""
    ) -> None:
        self.party = party
        self.clause = clause
        super().__init__(
            f"{party}: {what}" if party else what,
            why=" ".join(part for part in (why, resting_on(clause)) if part),
            do=do,
        )


class SignatureError(ProtocolError):
    """A signature, seal or hash that does not verify."""


class VerificationError(SecureFedsaError):
    """A run folder that does not hold what it claims; ``file`` is where it shows."""

    exit_code = 1

    def __init__(self, file: str, what: str, *, why: str = "", do: str = "") -> None:
        self.file = file
        super().__init__(f"{file}: {what}" if file else what, why=why, do=do)


class ReleaseRefused(SecureFedsaError):
    """The release gate kept the sum closed; ``clause`` is the agreement's entry that says so."""

    exit_code = 1

    def __init__(self, what: str, *, why: str = "", do: str = "", clause: str = "") -> None:
        self.clause = clause
        super().__init__(
            what, why=" ".join(part for part in (why, resting_on(clause)) if part), do=do
        )


class RunAborted(SecureFedsaError):
    """The run ended without a result; the message says what was spent."""

    exit_code = 1


class StorageError(SecureFedsaError):
    """A file or folder that cannot be read or written."""

    exit_code = 2
