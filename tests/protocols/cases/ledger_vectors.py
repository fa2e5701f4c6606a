"""Vectors of ledger segments, sound and not."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import sha256
from tests.protocols.cases.amount_vectors import training
from tests.protocols.cases.given import AGREEMENT, RUN, File, Json

# --- ledgers -------------------------------------------------------------------------------------


def _entry(**changes: Json) -> Json:
    entry = {"version": 1, "data_set": sha256(b"data set")[:32], "run_id": RUN, **changes}
    return {**entry, "hash": formulas.entry_hash(entry)}


def _charge() -> Json:
    event = {
        "kind": "discrete-gaussian",
        "sensitivity": 4222.060155424985,
        "noise_scale": 4887.3,
        "coordinates": 18,
    }
    cost = formulas.rho([event])
    return {
        "agreement": AGREEMENT,
        "events": [event],
        "rho": cost,
        "agreement_rho": cost,
        "delta": 1e-5,
        "budget": 20,
    }


Chain = list[tuple[str, Json, Json]]  # kind, body, changes to the entry


def _chained_entries(chain: Chain, start: int = 1) -> list[Json]:
    """Return entries one behind the other; changes are made before the hash."""
    entries: list[Json] = []
    previous = "0" * 64 if start == 0 else sha256(b"the entry before")
    for place, (kind, body, changes) in enumerate(chain):
        place_in_chain = {"position": start + place, "previous": previous}
        entries.append(_entry(**{"kind": kind, "body": body, **place_in_chain, **changes}))
        previous = entries[-1]["hash"]
    return entries


def ledger_segments() -> File:
    """Segments of one run, sound and not."""
    reserve: tuple[str, Json, Json] = ("reserve", _charge(), {})
    commit: tuple[str, Json, Json] = ("commit", {}, {})
    burn: tuple[str, Json, Json] = ("burn", {"reason": "lost"}, {})
    cases: list[Json] = []

    def add(name: str, good: bool, *chain: tuple[str, Json, Json], start: int = 1) -> None:
        cases.append({"name": name, "entries": _chained_entries(list(chain), start), "good": good})

    add("charged and committed", True, reserve, commit)
    add("charged, not committed", True, reserve)
    add("from the first place", True, reserve, commit, start=0)
    notes: list[tuple[str, Json, Json]] = [
        ("abort", {"reason": "", "missing": ["a", "a"]}, {}),
        ("erasure", {"items": []}, {}),
        ("roster-opened", {"roster": "any text", "members": []}, {}),
    ]
    add(
        "notes before, between and behind",
        True,
        notes[0],
        reserve,
        notes[1],
        commit,
        notes[2],
        burn,
    )
    add("a gap, behind which previous is not known", True, reserve, ("commit", {}, {"position": 9}))
    add("no entries", False)
    add("no charge", False, commit)
    add("two charges", False, reserve, commit, reserve)
    add("commit before the charge", False, commit, reserve)
    add("two commits", False, reserve, commit, commit)
    add(
        "a first entry of the ledger",
        False,
        ("genesis", {"delta": 1e-5, "inherits": ""}, {}),
        reserve,
    )
    add(
        "a last entry of the ledger",
        False,
        reserve,
        commit,
        ("superseded", {"child": "", "place": ""}, {}),
    )
    add("unknown kind", False, reserve, ("refund", {}, {}))
    add("commit with a body", False, reserve, ("commit", {"note": ""}, {}))
    add("burn without its reason", False, reserve, commit, ("burn", {}, {}))
    add("reason that is no text", False, reserve, commit, ("burn", {"reason": None}, {}))
    add(
        "members that are no list",
        False,
        reserve,
        commit,
        ("roster-opened", {"roster": "", "members": "a"}, {}),
    )
    add("items that are no texts", False, reserve, commit, ("erasure", {"items": [1]}, {}))
    add("two data sets", False, reserve, ("commit", {}, {"data_set": "another"}))
    add("two runs", False, reserve, ("commit", {}, {"run_id": AGREEMENT}))
    add("version 2", False, reserve, ("commit", {}, {"version": 2}))
    add("version true", False, reserve, ("commit", {}, {"version": True}))
    add("position as text", False, reserve, ("commit", {}, {"position": "2"}))
    add("position twice", False, reserve, ("commit", {}, {"position": 1}))
    add("position that falls", False, reserve, ("commit", {}, {"position": 0}))
    add("neighbour with another previous", False, reserve, ("commit", {}, {"previous": "0" * 64}))
    add("another member", False, reserve, ("commit", {}, {"time": 0}))
    add("run id that is no text", False, ("reserve", _charge(), {"run_id": None}))
    cases.append(
        {"name": "another hash", "good": False, "entries": _chained_entries([reserve, commit])}
    )
    cases[-1]["entries"][1]["hash"] = "0" * 64
    cases.append(
        {"name": "hash in capitals", "good": False, "entries": _chained_entries([reserve])}
    )
    cases[-1]["entries"][0]["hash"] = cases[-1]["entries"][0]["hash"].upper()
    for honest, changes in (
        (_charge(), _charges()),
        (_training_charge(), _training_charges()),
        (_open_charge(), _open_charges()),
    ):
        for name, good, change in changes:
            body = copy.deepcopy(honest)
            change(body)
            add(name, good, ("reserve", body, {}), commit)
    return {"source": "derivations.md, 3: whether a segment is sound", "cases": cases}


def _charges() -> list[tuple[str, bool, Callable[[Json], None]]]:
    """Return changes of a charge, and whether it is sound with them."""
    return [
        ("two equal events", True, _twice),
        ("numbers that are whole", True, lambda body: body.update(budget=20, agreement_rho=5)),
        ("no events", False, lambda body: body.update(events=[], rho=0, agreement_rho=0)),
        ("events that are no list", False, lambda body: body.update(events={})),
        ("event of another kind", False, lambda body: body["events"][0].update(kind="gaussian")),
        ("event with another member", False, lambda body: body["events"][0].update(note="")),
        ("sensitivity zero", False, lambda body: body["events"][0].update(sensitivity=0)),
        ("sensitivity beyond 2^52", False, lambda body: _event(body, sensitivity=2**52 + 1)),
        ("sensitivity true", False, lambda body: _event(body, sensitivity=True)),
        ("noise scale below zero", False, lambda body: body["events"][0].update(noise_scale=-1.5)),
        ("noise scale as text", False, lambda body: body["events"][0].update(noise_scale="1")),
        ("no coordinates", False, lambda body: body["events"][0].update(coordinates=0)),
        ("coordinates beyond 2^31", False, lambda body: _event(body, coordinates=2**31 + 1)),
        ("coordinates with a fraction", False, lambda body: _event(body, coordinates=1.5)),
        ("rho below that of its events", False, lambda body: body.update(rho=body["rho"] / 2)),
        ("rho above that of its events", False, _above),
        ("rho as text", False, lambda body: body.update(rho=str(body["rho"]))),
        ("total below the charge", False, lambda body: body.update(agreement_rho=body["rho"] / 2)),
        ("total true", False, lambda body: body.update(agreement_rho=True)),
        ("delta zero", False, lambda body: body.update(delta=0)),
        ("delta one", False, lambda body: body.update(delta=1)),
        ("delta as text", False, lambda body: body.update(delta="0.00001")),
        ("budget zero", False, lambda body: body.update(budget=0)),
        ("budget null", False, lambda body: body.update(budget=None)),
        ("agreement null", False, lambda body: body.update(agreement=None)),
        ("another entry in the charge", False, lambda body: body.update(note="")),
    ]


def _training_charge() -> Json:
    event = training(4.0, 0.1, 200)
    return {
        "agreement": AGREEMENT,
        "events": [event],
        "stated": False,
        "agreement_trainings": [event],
        "delta": 1e-5,
        "budget": 20,
    }


def _training_charges() -> list[tuple[str, bool, Callable[[Json], None]]]:
    """Return changes of a training's charge, and whether it is sound with them."""
    more, other = training(4.0, 0.1, 500), training(3.0, 0.1, 1)

    def total(*events: Json) -> Callable[[Json], None]:
        return lambda body: body.update(agreement_trainings=list(events))

    def event(**changes: Json) -> Callable[[Json], None]:
        return lambda body: body["events"][0].update(changes)

    return [
        ("a training", True, lambda _body: None),
        ("a stated training", True, lambda body: body.update(stated=True)),
        ("a training after others", True, total(more)),
        ("a training after others of another kind", True, total(other, more)),
        ("two trainings that merge", True, _two_trainings),
        ("trainings, total below them", False, total(training(4.0, 0.1, 199))),
        ("trainings, total without them", False, total(other)),
        ("trainings, total of none", False, total()),
        ("trainings, total out of order", False, total(more, other)),
        ("trainings, total not merged", False, total(more, more)),
        ("trainings, total with a release", False, total(more, _charge()["events"][0])),
        (
            "trainings, total that is no list",
            False,
            lambda body: body.update(agreement_trainings={}),
        ),
        ("a training and its rho", False, lambda body: body.update(rho=0.1)),
        ("a training without stated", False, lambda body: body.pop("stated")),
        ("a training stated as text", False, lambda body: body.update(stated="no")),
        ("a training stated null", False, lambda body: body.update(stated=None)),
        ("a training and a release", False, _with_a_release),
        ("a training without noise", False, event(noise_multiplier=0)),
        ("a training of little noise", False, event(noise_multiplier=0.04)),
        ("a training of too much noise", False, event(noise_multiplier=100_001)),
        ("a training of no records", False, event(sampling_rate=0)),
        ("a training of more than all records", False, event(sampling_rate=1.5)),
        ("a training of no steps", False, event(steps=0)),
        ("a training of half steps", False, event(steps=1.5)),
        ("a training of too many steps", False, event(steps=10**6 + 1)),
        ("a training with another member", False, event(seed=0)),
        ("trainings of too many steps together", False, _too_long),
        ("a training under no budget", False, lambda body: body.pop("budget")),
    ]


def _open_charge() -> Json:
    return {"agreement": AGREEMENT, "events": [{"kind": "no-differential-privacy"}]}


def _open_charges() -> list[tuple[str, bool, Callable[[Json], None]]]:
    """Return changes of a charge without differential privacy, and whether it is sound."""
    return [
        ("a use without differential privacy", True, lambda _body: None),
        ("two such uses", True, lambda body: body.update(events=body["events"] * 2)),
        ("such a use with a budget", False, lambda body: body.update(budget=20, delta=1e-5)),
        ("such a use with a total", False, lambda body: body.update(agreement_trainings=[])),
        ("such a use with a member", False, lambda body: body["events"][0].update(epsilon=1)),
        ("such a use and a release", False, _with_a_release),
        ("no use", False, lambda body: body.update(events=[])),
        ("such a use of no agreement", False, lambda body: body.update(agreement=None)),
    ]


def _two_trainings(body: Any) -> None:
    body["events"] *= 2
    body["agreement_trainings"] = [training(4.0, 0.1, 400)]


def _too_long(body: Any) -> None:
    body["events"] = [training(4.0, 0.1, 10**6), training(4.0, 0.1, 1)]
    body["agreement_trainings"] = [training(4.0, 0.1, 10**6)]


def _with_a_release(body: Any) -> None:
    body["events"] += _charge()["events"]


def _twice(body: Any) -> None:
    body["events"] *= 2
    body["rho"] = body["agreement_rho"] = formulas.rho(body["events"])


def _above(body: Any) -> None:
    body["rho"] = body["agreement_rho"] = math.nextafter(body["rho"], math.inf)


def _event(body: Any, **changes: Json) -> None:
    body["events"][0].update(changes)
    body["rho"] = body["agreement_rho"] = formulas.rho(body["events"])
