"""``secure-fedsa agree check``: who signed an agreement, and whether all of it holds."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import add_parser, printable
from secure_fedsa.cli.refusals import described, tell

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.errors import AgreementError

EXAMPLE = """\
examples:
  secure-fedsa agree check agreement.toml
  secure-fedsa agree check agreement.toml --trust keys.toml

verdicts: complete; incomplete (signatures are missing, those that are there hold);
signatures do not hold; somebody who is no party signed; cannot hold (a promise of the text).
With --trust also: identities do not match; identities not all known.
"""

# By what is wrong: the clause, what is said of one party, of several, why, and what to do.
_WORDS = {
    "wrong": (
        "signatures",
        "does not verify",
        "do not verify",
        "The text was changed after it was signed, or another key signed.",
        "Have {} read the agreement and sign it again.",
    ),
    "not a party": (
        "signatures",
        "is not a party of this agreement",
        "no parties of this agreement",
        "",
        "Take the line of {} out.",
    ),
    "missing": (
        "signatures",
        "is missing",
        "missing",
        "",
        "Have {} sign: secure-fedsa agree sign FILE --state STATE",
    ),
    "another key": (
        "parties",
        "is another in {trust}",
        "other keys in {trust}",
        "",
        "Ask {}, by another way than this file, which key is its own.",
    ),
    "unknown key": (
        "parties",
        "is not in {trust}",
        "no keys in {trust}",
        "",
        "Ask {}, by another way than this file, which key is its own.",
    ),
}
_VERDICTS = {
    "wrong": "signatures do not hold",
    "not a party": "somebody who is no party signed",
    "missing": "incomplete",
    "another key": "identities do not match",
    "unknown key": "identities not all known",
}
_OF_KEYS = ("another key", "unknown key")

Found = list[tuple[str, str]]
"""What is wrong, and with which party."""


def add(actions: Any) -> None:
    """Register the command."""
    check = add_parser(
        actions,
        "check",
        help="say who signed, and whether all of it holds",
        description="Exit code 0 if every party signed and all promises hold, 1 if not, 2 if\n"
        "the file cannot be read as an agreement.",
        epilog=EXAMPLE,
    )
    check.add_argument("agreement", metavar="FILE", type=Path, help="the agreement's file")
    check.add_argument(
        "--trust", metavar="keys.toml", type=Path, help="keys.toml: keys that came by another way"
    )
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(action=_check)


def _check(arguments: argparse.Namespace) -> int:
    from secure_fedsa.audit.trust import read_trust
    from secure_fedsa.cli import agreement_file as files
    from secure_fedsa.cli.encoder_file import encoder_near
    from secure_fedsa.cli.terms import terms
    from secure_fedsa.errors import AgreementError
    from secure_fedsa.planning import plan
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement = files.read_agreement(arguments.agreement).agreement
    trust = read_trust(arguments.trust) if arguments.trust else None
    broken: AgreementError | None = None
    planned, states = None, {}
    try:
        found = plan(agreement)
        encoder_near(arguments.agreement, agreement)
        planned = found
        states = files.signature_states(agreement)
    except AgreementError as refusal:
        broken = refusal
    wrong = _of_signatures(states) + ([] if trust is None else _of_identities(agreement, trust))
    verdict = _verdict(broken, wrong)
    digest = agreement_hash(agreement) if planned else None
    first = [] if broken is None else [broken]
    if arguments.json:
        each = [_error(kind, [name], arguments.trust) for kind, name in wrong]
        values = {
            "agreement": digest,
            "title": agreement.title,
            "verdict": verdict,
            "signatures": states,
            "identities_checked": trust is not None,
            "problems": [described(error) for error in first + each],
        }
        print(json.dumps(values, indent=2))
    else:
        if planned:
            print(f"Agreement {digest}: {printable(agreement.title)}")
            print("\n".join(terms(agreement, planned)))
            print("\n".join(f"  {state:<11} {printable(name)}" for name, state in states.items()))
        print(f"Verdict: {verdict}{_of_keys(wrong, arguments.trust)}.")
    for error in first + _together(wrong, arguments.trust):
        tell(error)
    return 1 if broken or wrong else 0


def _of_signatures(states: dict[str, Any]) -> Found:
    return [(state, name) for name, state in states.items() if state in _WORDS]


def _of_identities(agreement: Agreement, trust: dict[str, str]) -> Found:
    return [
        ("another key" if name in trust else "unknown key", name)
        for name, party in agreement.parties.items()
        if trust.get(name) != party.key
    ]


def _verdict(broken: AgreementError | None, wrong: Found) -> str:
    """Return what is wrong: with the text, the signatures, the keys."""
    kinds = {kind for kind, _ in wrong}
    said = ["cannot hold"] if broken else []
    said += [words for kind, words in _VERDICTS.items() if kind in kinds]
    return ", ".join(dict.fromkeys(said)) or "complete"


def _of_keys(wrong: Found, trust: Path | None) -> str:
    """Return what the verdict's line says of identities, where the verdict says nothing."""
    if trust is None:
        return ", identities not checked"
    if any(kind in _OF_KEYS for kind, _ in wrong):
        return f" (compared with {trust})"
    return f", identities checked against {trust}"


def _together(wrong: Found, trust: Path | None) -> list[AgreementError]:
    """Return one error for all parties with the same thing wrong."""
    by_kind = {kind: [name for found, name in wrong if found == kind] for kind in _WORDS}
    return [_error(kind, names, trust) for kind, names in by_kind.items() if names]


def _error(kind: str, names: list[str], trust: Path | None) -> AgreementError:
    from secure_fedsa.cli.agreement_file import SignedTextError

    clause, of_one, of_several, why, do = _WORDS[kind]
    end, listed = ".key" if kind in _OF_KEYS else "", ", ".join(names)
    whom = "each of them"
    if len(names) == 1:
        whom = listed
        clause, what = f"{clause}.{listed}{end}", f"{of_one.format(trust=trust)}."
    else:
        what = f"{of_several.format(trust=trust)}: {listed}."
    return SignedTextError(clause, what, why=why, do=do.format(whom))
