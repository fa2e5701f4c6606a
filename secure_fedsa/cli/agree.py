"""``secure-fedsa agree``: draft an agreement, sign it, see who signed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli import agree_check, agree_new
from secure_fedsa.cli.parsing import add_parser, printable

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

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
    agree_check.add(actions)


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


def _hash(agreement: Agreement) -> str:
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    return agreement_hash(agreement)
