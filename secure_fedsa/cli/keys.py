"""``secure-fedsa keys``: a party's identity key."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.parsing import add_parser, check_party_name
from secure_fedsa.cli.places import why_not_there
from secure_fedsa.errors import UsageError

if TYPE_CHECKING:
    from secure_fedsa.wire.keys import IdentityKey

EXAMPLE = """\
examples:
  secure-fedsa keys new north-state
  secure-fedsa keys show north-state --name teacher-north

keys.toml is a line [keys] and, below it, what `keys show` printed for each party.
"""
KEY_FILE = "identity.key"


def add(commands: Any) -> None:
    """Register the commands."""
    keys = add_parser(
        commands,
        "keys",
        help="make and show a party's identity key",
        description="A party signs agreements, messages and receipts with its identity key\n"
        "(Ed25519). The private part stays in its state folder and is never printed.",
        epilog=EXAMPLE,
    )
    actions = keys.add_subparsers(dest="keys_command", metavar="ACTION", required=True)
    new = add_parser(
        actions,
        "new",
        help="make a key in a state folder; an existing one is never replaced",
        description="Makes an identity key and prints its public part.",
        epilog=EXAMPLE,
    )
    new.add_argument(
        "state",
        metavar="STATE",
        type=Path,
        help="the party's state folder; made if it is not there",
    )
    new.add_argument("--json", action="store_true", help="print the public key as JSON")
    new.set_defaults(action=_new)
    show = add_parser(
        actions,
        "show",
        help="print a line for keys.toml with the public part",
        description='Prints NAME = "public key", a line for the [keys] table of keys.toml.',
        epilog=EXAMPLE,
    )
    show.add_argument("state", metavar="STATE", type=Path, help="the party's state folder")
    show.add_argument(
        "--name", metavar="NAME", default="", help="the party's name (default: the folder's)"
    )
    show.add_argument("--json", action="store_true", help="print name and public key as JSON")
    show.set_defaults(action=_show)


def existing_identity(state: Path) -> IdentityKey:
    """Return the identity key of a state folder; none is made.

    Raises:
        UsageError: If there is no such folder, or it has none.
        StorageError: If it cannot be read.
    """
    from secure_fedsa.engines.site import load_identity

    if not state.exists():
        raise UsageError(
            f"{state} does not exist, so there is no identity key.",
            why=why_not_there(state),
            do="Name the party's own state folder. Only a party that has no key yet makes one "
            f"there: secure-fedsa keys new {state}",
        )
    if not (state / KEY_FILE).exists():
        raise UsageError(
            f"{state} holds no identity key.",
            do="Name the party's own state folder: an agreement that it signed needs the key that "
            f"signed. Before that, make one: secure-fedsa keys new {state}",
        )
    return load_identity(state)


def _new(arguments: argparse.Namespace) -> int:
    from secure_fedsa.engines.site import load_identity

    if (arguments.state / KEY_FILE).exists():
        raise UsageError(
            f"{arguments.state} has an identity key already.",
            why="Whoever knows the old key would not know the party under a new one.",
            do=f"Use it (secure-fedsa keys show {arguments.state}), or name another folder.",
        )
    key = load_identity(arguments.state).public.hex()
    print(json.dumps({"state": str(arguments.state), "key": key}) if arguments.json else key)
    return 0


def _show(arguments: argparse.Namespace) -> int:
    name = check_party_name(arguments.name or arguments.state.resolve().name)
    key = existing_identity(arguments.state).public.hex()
    print(json.dumps({"name": name, "key": key}) if arguments.json else f'{name} = "{key}"')
    return 0
