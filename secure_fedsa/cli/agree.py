"""``secure-fedsa agree``: draft an agreement, sign it, see who signed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli import agree_new
from secure_fedsa.cli.parsing import add_parser, printable
from secure_fedsa.cli.refusals import described, tell

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement
    from secure_fedsa.errors import AgreementError

EXAMPLE = """\
examples:
  secure-fedsa agree new --parties parties.toml --probes probes.npy
  secure-fedsa agree sign agreement.toml --state north-state
  secure-fedsa agree check agreement.toml --trust keys.toml
"""


def add(commands: Any) -> None:
    """Register the commands."""
    agree = add_parser(
        commands,
        "agree",
        help="draft an agreement, sign it, see who signed",
        description="An agreement is one TOML file that every party signs before anything runs.",
        epilog=EXAMPLE,
    )
    actions = agree.add_subparsers(dest="agree_command", metavar="ACTION", required=True)
    agree_new.add(actions)
    sign = add_parser(
        actions,
        "sign",
        help="add the signature of the party whose key is in --state",
        description="Checks everything first, shows what is signed, and adds one line.\n"
        "Everything else in the file stays as it is, comments included.",
        epilog=EXAMPLE,
    )
    sign.add_argument("agreement", metavar="FILE", type=Path, help="the agreement's file")
    sign.add_argument(
        "--state", metavar="STATE", type=Path, required=True, help="the party's state folder"
    )
    sign.add_argument(
        "--name", metavar="NAME", default="", help="the party, if it must be this one"
    )
    sign.add_argument("--json", action="store_true", help="print who signed what as JSON")
    sign.set_defaults(action=_sign)
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


def _sign(arguments: argparse.Namespace) -> int:
    from secure_fedsa.cli import agreement_file as files
    from secure_fedsa.cli.encoder_file import encoder_near
    from secure_fedsa.cli.keys import existing_identity
    from secure_fedsa.cli.terms import terms
    from secure_fedsa.planning import plan
    from secure_fedsa.wire.agreement_signatures import sign

    file = files.read_agreement(arguments.agreement)
    agreement = file.agreement
    planned = plan(agreement)
    encoder_near(file.path, agreement)
    identity = existing_identity(arguments.state)
    party = _party_of(agreement, identity.public.hex(), arguments)
    states = files.signature_states(agreement)
    files.check_signatures(
        {name: state for name, state in states.items() if name != party and state != "missing"}
    )
    already = states[party] == "signed"
    if not arguments.json:  # before the signature: what is signed is shown
        print(f"Agreement {_hash(agreement)}: {printable(agreement.title)}")
        print("\n".join(terms(agreement, planned)))
    if not already:
        signature = sign(agreement, party, identity).signatures[party]
        files.replace_file(file, files.with_signature(file, party, signature))
        states[party] = "signed"
    missing = [name for name, state in states.items() if state != "signed"]
    if arguments.json:
        values = {
            "agreement": _hash(agreement),
            "title": agreement.title,
            "party": party,
            "signed_before": already,
            "to_sign": missing,
        }
        print(json.dumps(values, indent=2))
        return 0
    if already:
        print(f"{party} has signed this already; {arguments.agreement} is as it was.")
    else:
        print(f"Signed by {party}.")
    print(f"Still to sign: {', '.join(missing)}." if missing else "Everybody has signed.")
    return 0


def _party_of(agreement: Agreement, key: str, arguments: argparse.Namespace) -> str:
    """Return the party that a key belongs to, which must be ``--name`` if that was given."""
    from secure_fedsa.errors import AgreementError

    named = {party.key: name for name, party in agreement.parties.items()}
    found, wanted = named.get(key), arguments.name
    if wanted and wanted not in agreement.parties:
        raise AgreementError(
            f"parties.{wanted}",
            "is not a party of this agreement.",
            do=f"Its parties: {', '.join(sorted(agreement.parties))}.",
        )
    if found is None or (wanted and found != wanted):
        clause = f"parties.{wanted}.key" if wanted else "parties"
        whose = f"that of {found}" if found else "no party's"
        raise AgreementError(
            clause,
            f"the key in {arguments.state} is {whose}.",
            why=f"Its public part is {key}.",
            do="Name the state folder of the party that signs, or have its key put into the "
            "agreement.",
        )
    return found


def _check(arguments: argparse.Namespace) -> int:
    from secure_fedsa.audit.trust import read_trust
    from secure_fedsa.cli import agreement_file as files
    from secure_fedsa.cli.encoder_file import encoder_near
    from secure_fedsa.cli.terms import terms
    from secure_fedsa.errors import AgreementError
    from secure_fedsa.planning import plan

    agreement = files.read_agreement(arguments.agreement).agreement
    trust = read_trust(arguments.trust) if arguments.trust else None
    problems: list[AgreementError] = []
    planned, states = None, {}
    try:
        found = plan(agreement)
        encoder_near(arguments.agreement, agreement)
        planned = found
        states = files.signature_states(agreement)
        problems = _of_signatures(states)
    except AgreementError as error:
        problems = [error]
    if trust is not None:
        problems += _of_identities(agreement, trust, arguments.trust)
    verdict = "complete" if not problems else "incomplete" if planned else "cannot hold"
    if arguments.json:
        values = {
            "agreement": _hash(agreement) if planned else None,
            "title": agreement.title,
            "verdict": verdict,
            "signatures": states,
            "identities_checked": trust is not None,
            "problems": [described(problem) for problem in problems],
        }
        print(json.dumps(values, indent=2))
    elif planned:
        print(f"Agreement {_hash(agreement)}: {printable(agreement.title)}")
        print("\n".join(terms(agreement, planned)))
        print("\n".join(f"  {state:<11} {printable(name)}" for name, state in states.items()))
        whom = "not checked" if trust is None else f"checked against {arguments.trust}"
        print(f"Verdict: {verdict}, identities {whom}.")
    for problem in problems:
        tell(problem)
    return 1 if problems else 0


def _of_signatures(states: dict[str, Any]) -> list[AgreementError]:
    from secure_fedsa.cli.agreement_file import SignedTextError

    words = {
        "missing": ("is missing.", "Have {} sign."),
        "wrong": (
            "does not verify: the text was changed after it, or another key signed.",
            "Have {} read the agreement and sign it again.",
        ),
        "not a party": ("is not a party of this agreement.", "Take the line of {} out."),
    }
    return [
        SignedTextError(f"signatures.{name}", words[state][0], do=words[state][1].format(name))
        for name, state in states.items()
        if state in words
    ]


def _of_identities(agreement: Agreement, trust: dict[str, str], path: Path) -> list[AgreementError]:
    from secure_fedsa.cli.agreement_file import SignedTextError

    found: list[AgreementError] = []
    for name, party in agreement.parties.items():
        if trust.get(name) != party.key:
            what = f"is not in {path}." if name not in trust else f"is another in {path}."
            found.append(
                SignedTextError(
                    f"parties.{name}.key",
                    what,
                    do=f"Ask {name}, by another way than this file, which key is its own.",
                )
            )
    return found


def _hash(agreement: Agreement) -> str:
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    return agreement_hash(agreement)
