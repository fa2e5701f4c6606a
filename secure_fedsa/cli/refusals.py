"""What a command prints when it refuses: what happened, why, what to do; as text or as JSON."""

from __future__ import annotations

import json
import sys

from secure_fedsa import errors
from secure_fedsa.cli.parsing import printable
from secure_fedsa.errors import SecureFedsaError

NOT_THE_RESULT = (
    "Do not use the result. Ask those who signed the run for its folder again, and check that one."
)
# For errors of lower floors, which know what is wrong and not who asked.
_DO: dict[type[SecureFedsaError], str] = {
    errors.UsageError: "Try the same command with --help.",
    errors.DataError: "Mend or replace the data: docs/data.md says what is read, and from where.",
    errors.AgreementError: "Have that entry changed; every party then signs the agreement again.",
    errors.PrivacyParameterError: "Choose another value.",
    errors.BudgetError: "Nothing was charged. `secure-fedsa ledger show` says what is left.",
    errors.LedgerError: "Restore the party's state folder from a copy. Never begin a new ledger "
    "for the same data: what they have spent would be forgotten.",
    errors.CrossCheckError: "Do not run with these parameters, and report them as a fault.",
    errors.HeadroomError: "Draft the agreement again: `secure-fedsa agree new` picks parameters "
    "that hold.",
    errors.ProtocolError: "Ask that party, and use nothing that it sent.",
    errors.VerificationError: NOT_THE_RESULT,
    errors.ReleaseRefused: "The sum stays closed. Mend what is named, and begin another run.",
    errors.RunAborted: "Mend what is named and run the same command again.",
    errors.StorageError: "Mend that and run the same command again: a run that was cut off is "
    "taken up, and nothing is charged twice.",
    SecureFedsaError: "Try the same command with --help.",
}


def advice(error: SecureFedsaError) -> str:
    """Return what the reader of an error can do; never empty."""
    return error.do or next(_DO[kind] for kind in type(error).__mro__ if kind in _DO)


def described(error: SecureFedsaError) -> dict[str, str]:
    """Return an error as JSON values: the entry, file or party at fault, what, why and do.

    >>> described(errors.AgreementError("privacy.epsilon", "is not finite.", do="Say 1."))
    {'clause': 'privacy.epsilon', 'what': 'is not finite.', 'why': '', 'do': 'Say 1.'}
    """
    places = {name: getattr(error, name, None) for name in ("clause", "file", "party")}
    named = {name: place for name, place in places.items() if place is not None}
    what = error.what
    for place in named.values():
        what = what.removeprefix(f"{place}: ")
    return {**named, "what": what, "why": error.why, "do": advice(error)}


def tell(error: SecureFedsaError, *, do: str = "") -> None:
    """Print an error for people, on standard error; ``do`` replaces what it says to do."""
    print(f"error: {printable(error.what)}", file=sys.stderr)
    for part in (error.why, do or advice(error)):
        if part:
            print(f"  {printable(part)}", file=sys.stderr)


def refuse(error: SecureFedsaError, *, as_json: bool) -> None:
    """Print a refusal: for people, and for a program that reads standard output."""
    if as_json:
        print(json.dumps({"error": described(error)}, indent=2))
    tell(error)
