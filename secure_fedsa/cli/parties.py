"""Who takes part in a new agreement: from options, a file, the data and state folders."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from secure_fedsa.agreement import Party, Stated
from secure_fedsa.cli.agreement_file import HEX_KEY, read_text
from secure_fedsa.cli.keys import KEY_FILE, existing_identity
from secure_fedsa.cli.parsing import check_party_name
from secure_fedsa.cli.places import why_not_there
from secure_fedsa.errors import UsageError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER, Role
from secure_fedsa.toml_text import read_toml

_FORM = "`secure-fedsa agree new --help` shows such a table."
_SINGLE: tuple[Role, ...] = (AGGREGATOR, KEY_HOLDER, STUDENT)


@dataclass(slots=True)
class _Draft:
    """A party as far as it is known."""

    role: Role
    key: str = ""
    classes: tuple[str, ...] = ()
    stated: Stated | None = None


def gather(
    arguments: argparse.Namespace, classes: Mapping[str, tuple[str, ...]]
) -> dict[str, Party]:
    """Return the parties of a new agreement: teachers by name, then the others.

    Args:
        arguments: ``parties``, ``teacher``, ``aggregator``, ``key_holder``, ``student`` and
            ``states`` of ``agree new``.
        classes: The classes that a data folder declares, by teacher.

    Raises:
        UsageError: If a party, a key or a teacher's classes are missing, malformed, or
            said twice.
    """
    found: dict[str, _Draft] = {}
    for name, task in classes.items():
        found[name] = _Draft(TEACHER, classes=task)
    if arguments.parties:
        for name, party in _file(arguments.parties).items():
            _add(found, name, party)
    for text in arguments.teacher:
        _add(found, *_teacher(text))
    for role in _SINGLE:
        text = getattr(arguments, role.replace("-", "_"))
        if text:
            name, _, key = text.rpartition("=")
            _add(found, name or role, _Draft(role, _key(key, f"--{role}")))
    for role in _SINGLE:
        if not any(party.role == role for party in found.values()):
            found[role] = _Draft(role)
    if arguments.states:
        _from_states(found, arguments.states)
    _require_all(found)
    order = sorted(found, key=lambda name: (found[name].role != TEACHER, found[name].role, name))
    return {
        name: Party(found[name].role, found[name].key, found[name].classes, found[name].stated)
        for name in order
    }


def _add(found: dict[str, _Draft], name: str, new: _Draft) -> None:
    """Add what one source says of a party to what others said."""
    check_party_name(name)
    old = found.setdefault(name, _Draft(new.role))
    if old.role != new.role:
        raise UsageError(
            f"{name} is named as {old.role} and as {new.role}.",
            do="Give each party one role, and each role its own name.",
        )
    if old.key and new.key and old.key != new.key:
        raise UsageError(
            f"Two keys were given for {name}.", do=f"Ask {name} which is its own; give that one."
        )
    if old.classes and new.classes and old.classes != new.classes:
        raise UsageError(
            f"Two lists of classes were given for {name}.",
            why=f"{', '.join(old.classes)}; and {', '.join(new.classes)}.",
            do="With --data they stand in the teacher's file.",
        )
    old.key, old.classes = old.key or new.key, old.classes or new.classes
    old.stated = old.stated or new.stated


def _teacher(text: str) -> tuple[str, _Draft]:
    name, equals, rest = text.partition("=")
    key, _, listed = rest.partition(":")
    if not equals:
        raise UsageError(
            f"--teacher {text[:60]!r} does not say NAME=KEY:CLASS,CLASS.", do="Add the key."
        )
    classes = tuple(item.strip() for item in listed.split(",")) if listed else ()
    if "" in classes:
        raise UsageError(
            f"--teacher {name}: a class has no name.",
            do="Name each class between its commas: NAME=KEY:CLASS,CLASS.",
        )
    return name, _Draft(TEACHER, _key(key, f"--teacher {name}"), classes)


def _key(text: str, where: str) -> str:
    if not HEX_KEY.fullmatch(text):
        raise UsageError(
            f"{where}: {text[:70]!r} is not a public key.",
            do="It is the 64 hexadecimal digits that `secure-fedsa keys new` prints.",
        )
    return text


def _file(path: Path) -> dict[str, _Draft]:
    _, text = read_text(path, "a TOML file of parties")
    try:
        tables = read_toml(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not valid TOML.", why=f"{error}.", do=_FORM) from error
    parties = tables.get("parties")
    if set(tables) != {"parties"} or not isinstance(parties, dict):
        raise UsageError(f"{path} must hold tables [parties.NAME] and nothing else.", do=_FORM)
    return {name: _entry(value, f"{path}: parties.{name}") for name, value in parties.items()}


def _entry(value: Any, where: str) -> _Draft:
    known = {"role", "key", "classes", "stated"}
    if not isinstance(value, dict) or not set(value) <= known or "role" not in value:
        raise UsageError(f"{where} must have a role, a key and, of a teacher, classes.", do=_FORM)
    if value["role"] not in get_args(Role):
        raise UsageError(f"{where}.role is not one of {', '.join(get_args(Role))}.", do=_FORM)
    classes = value.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(item, str) for item in classes):
        raise UsageError(f"{where}.classes must be a list of names.", do=_FORM)
    key = _key(str(value["key"]), f"{where}.key") if "key" in value else ""
    stated = _stated(value["stated"], f"{where}.stated") if "stated" in value else None
    return _Draft(value["role"], key, tuple(classes), stated)


def _stated(value: Any, where: str) -> Stated:
    """Return how a model was trained; its ranges are the agreement's to judge."""
    if not isinstance(value, dict) or set(value) != {entry.name for entry in fields(Stated)}:
        raise UsageError(
            f"{where} must have sampling_rate, steps and noise_multiplier, and nothing else.",
            do=_FORM,
        )
    numbers = [value["sampling_rate"], value["noise_multiplier"]]
    if any(type(n) not in (int, float) for n in numbers) or type(value["steps"]) is not int:
        raise UsageError(f"{where}: steps is a whole number, the others are numbers.", do=_FORM)
    return Stated(float(numbers[0]), value["steps"], float(numbers[1]))


def _from_states(found: dict[str, _Draft], states: Path) -> None:
    if not states.exists():
        raise UsageError(
            f"{states} does not exist.",
            why=why_not_there(states),
            do="Name the folder of the parties' state folders with --states, or give every key.",
        )
    for name, party in found.items():
        if not party.key and (states / name / KEY_FILE).exists():
            party.key = existing_identity(states / name).public.hex()


def _require_all(found: Mapping[str, _Draft]) -> None:
    """Refuse a draft with holes: a key that comes later voids what was signed before."""
    if not any(party.role == TEACHER for party in found.values()):
        raise UsageError(
            "No teacher was named.", do="Name them with --teacher, --parties or --data."
        )
    for name, party in found.items():
        if party.role == TEACHER and not party.classes:
            raise UsageError(
                f"The classes of {name} are missing.", do=f"--teacher {name}=KEY:CLASS,CLASS,..."
            )
    missing = sorted(name for name, party in found.items() if not party.key)
    if missing:
        raise UsageError(
            f"The public key of {', '.join(missing)} is missing.",
            why="A key that is put in later would void every signature made before.",
            do="Each party makes its key with `secure-fedsa keys new STATE` and tells you what "
            "that prints; for parties on this machine, name the folder of their state folders "
            "with --states.",
        )
