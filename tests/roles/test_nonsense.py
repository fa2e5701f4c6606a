"""Well-typed nonsense, properly signed: what a hostile party can say at any moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.errors import SecureFedsaError
from secure_fedsa.roles import effects as fx
from secure_fedsa.run import PartyRun
from tests.support import make_world


def variants(value: Any) -> Iterator[Any]:
    """Yield other values of the same type."""
    match value:
        case str():
            yield from ("", "\x00", "teacher-1", "nobody", "0" * 64, "é" * 300)
        case bytes():
            yield from (b"", b"\0", b"\xff" * 9, value[:-1], value + b"\0", bytes(len(value)))
            yield bytes([*value[:-1], (value[-1] if value else 0) ^ 1])
            yield b"\x00" * 7 + b"\x80" + value[8:]  # the least int64 of a release
        case int() | float():
            yield from (type(value)(other) for other in (0, -1, 7, 2**52))
        case tuple():
            yield from ((), value[:-1], value + value[:1], value[::-1])
            yield from ((other, *value[1:]) for item in value[:1] for other in variants(item))
        case dict():
            yield {}
            for key, item in list(value.items())[:1]:
                rest = {name: kept for name, kept in value.items() if name != key}
                yield rest
                yield rest | {"nobody": item}
                yield from (rest | {key: other} for other in variants(item))
            if len(value) > 3:  # a ledger entry, for instance: every field of it
                for key, item in list(value.items())[1:]:
                    yield from (value | {key: other} for other in [*variants(item), None, 7, []])


class Attacked:
    """A role that is told nonsense of every kind just before the real message."""

    def __init__(self, machine: Any, seen: set[tuple[str, str]]) -> None:
        self.machine = machine
        self.seen = seen
        self.tried = 0
        self.taken: set[tuple[str, str]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.machine, name)

    def step(self, state: Any, event: fx.Event) -> Any:
        """Attack once a kind, then go on as if nothing had been said: steps are pure."""
        if isinstance(event, fx.Received):
            place = (state.session.role, event.header.kind)
            if place not in self.seen:
                self.seen.add(place)
                self._attack_all(state, event)
        return self.machine.step(state, event)

    def _attack_all(self, state: Any, event: fx.Received) -> None:
        for field in fields(event.body):
            for other in variants(getattr(event.body, field.name)):
                body = replace(event.body, **{field.name: other})
                if body != event.body:
                    self._attack(state, replace(event, body=body))

    def _attack(self, state: Any, event: fx.Received) -> None:
        self.tried += 1
        try:
            after, _ = self.machine.step(state, event)
        except SecureFedsaError:
            return
        self.taken.add((state.session.role, event.header.kind))
        with suppress(SecureFedsaError):
            self.machine.step(after, fx.Deadline())


@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True])
def test_nonsense_is_refused_with_an_error_of_ours_or_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encrypted: bool
) -> None:
    """Any other exception would end the process of who receives it: one message stops all."""
    original = PartyRun.__init__
    attacked: list[Attacked] = []
    seen: set[tuple[str, str]] = set()

    def wrapped(self: PartyRun, **arguments: Any) -> None:
        original(self, **arguments)
        self.machine = Attacked(self.machine, seen)
        attacked.append(self.machine)

    monkeypatch.setattr(PartyRun, "__init__", wrapped)
    arm = {"he": encrypted, "masks": encrypted}
    outcome = make_world(tmp_path, teachers=3, protection=arm).local_run().execute()
    assert (outcome.problem, outcome.refused) == ("", ())
    assert sum(one.tried for one in attacked) > 500
    assert len(seen) > 30
    # What a receiver cannot judge by itself is taken: a score, a blind, a signature of
    # another roster. What fixes the query and the sum is not.
    taken = {place for one in attacked for place in one.taken}
    assert not taken & {("key-holder", "sum"), ("teacher", "feature-key")}
    assert not encrypted or ("teacher", "query") not in taken
