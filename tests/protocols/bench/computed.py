"""Values that an honest run computes from other parts of it, each in its one place."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import ILL_FORMED, Run, same

Json = Any
Place = tuple[Any, Any]  # a container, and the key or index of a value in it


def untouched(run: Run, origin: Run) -> dict[str, Place]:
    """Return the places that still hold what the run that was taken apart computed."""
    return {
        name: place
        for name, place in _places(run).items()
        if not {name, name.partition(":")[0]} & run.skipped and _is_honest(name, place, origin)
    }


def _is_honest(name: str, place: Place, origin: Run) -> bool:
    try:
        honest = origin.once(f"value {name}", lambda of: value(name, of))
        return alike(place[0][place[1]], honest)
    except ILL_FORMED:
        return False


def alike(one: Json, other: Json) -> bool:
    """Return whether two values are the same, up to the last digits of an epsilon."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(alike(one[name], other[name]) for name in one)
    if type(one) is type(other) and isinstance(one, str | bool | int):
        return bool(one == other)
    if type(one) is float and type(other) is float:
        return math.isclose(one, other, rel_tol=1e-12)
    return same(one, other)


def _places(run: Run) -> dict[str, Place]:
    """Return where computed values stand, by the step after which they follow."""
    found: dict[str, Place] = {}

    def add(step: str, find: Callable[[], Json], *keys: Json) -> None:
        with suppress(*ILL_FORMED):
            container = find()
            found.update({f"{step}:{key}": (container, key) for key in keys})

    for letter in run.of("ledger"):
        teacher = letter.header["sender"]
        charge = run.charge_of(letter)
        if isinstance(charge, dict) and "body" in charge:
            found |= {f"planned:{teacher}:{entry}": (charge["body"], entry) for entry in _CHARGED}
    for place, roster in enumerate(run.of("roster")):
        with suppress(*ILL_FORMED):
            heads = roster.body["ledger_heads"]
            found |= {f"ledgers:{place}:{teacher}": (heads, teacher) for teacher in heads}
    add("summed", lambda: run.one("sum").body, "ciphertext")
    add("summed", lambda: run.one("release").body, "values", "signal_ids")
    add("summed:permit", lambda: run.one("permit").body, "signal_ids")
    add("uploads", lambda: run.one("sum").body, "uploads")
    add("logged", lambda: run.log[0]["body"], "members", "data_sets", "signal_ids")
    add("ledger-files", lambda: run.ledgers, *run.ledgers)
    add("summary", lambda: run.summary, *_SUMMARY)
    add("claims", lambda: run.statement["predicate"], "recomputed", "attested", "notices")
    add("claims", lambda: vars(run), "signers")
    return found


def value(name: str, run: Run) -> Json:
    """Return what a place must hold."""
    step, *rest = name.split(":")
    if step == "planned":
        return _charge(run, rest[0])[rest[1]]
    if step == "ledgers":
        return run.one("ledger", rest[1]).body["head"]
    if step == "ledger-files":
        return ledger_lines(run, rest[0])
    if step == "summary":
        return _SUMMARY[rest[0]](run)
    return _VALUES[rest[-1]](run)


def _members(run: Run) -> list[str]:
    return list(run.roster["members"])


def _signal_ids(run: Run) -> Json:
    return {member: run.charges[member]["hash"] for member in _members(run)}


_VALUES: dict[str, Callable[[Run], Json]] = {
    "ciphertext": lambda run: formulas.b64(formulas.packed(_total(run))),
    "values": lambda run: formulas.b64(formulas.packed(_centred(run))),
    "uploads": lambda run: {
        member: formulas.digest("envelope", run.one("upload", member).header)
        for member in _members(run)
    },
    "signal_ids": _signal_ids,
    "members": _members,
    "data_sets": lambda run: {name: run.charges[name]["data_set"] for name in _members(run)},
    "recomputed": lambda run: formulas.recomputed(run.terms),
    "attested": lambda run: formulas.attested(run.terms, _members(run), run.charges),
    "signers": lambda run: formulas.signers(run.terms, _members(run)),
    "notices": lambda run: formulas.notices(run.terms),
}
_CHARGED = ("events", "rho", "agreement_rho", "stated", "agreement_trainings", "delta", "budget")


def ledger_lines(run: Run, file: str) -> list[Json]:
    """Return the lines of a ledger file."""
    sender = file.removeprefix("ledger-").removesuffix(".jsonl")
    head = run.roster["ledger_heads"].get(sender)
    by = formulas.names(run.terms, "key-holder")[0]
    return [*run.one("ledger", sender).body["entries"], {"countersigned_head": head, "by": by}]


def _charge(run: Run, teacher: str) -> dict[str, Json]:
    events = [formulas.planned_event(run.terms, teacher)]
    route, privacy = run.terms["route"], run.terms.get("privacy")
    if route == formulas.OPEN:
        return {"events": events}
    terms = {"delta": privacy["delta"], "budget": privacy["agreement_budget"]}
    if route == formulas.TRAINED:
        stated = "stated" in run.terms["parties"][teacher]
        return {"events": events, "stated": stated, "agreement_trainings": events, **terms}
    cost = formulas.rho(events)
    return {"events": events, "rho": cost, "agreement_rho": cost, **terms}


def _total(run: Run) -> list[int]:
    """Return the sum of uploads that are not encrypted."""
    if run.terms["protection"]["he"]:
        raise ValueError("A forger cannot add what it cannot open.")
    modulus = run.terms["encryption"]["plain_modulus"]
    uploads = [
        formulas.residues(base64.b64decode(run.one("upload", member).body["ciphertext"]))
        for member in _members(run)
    ]
    return [sum(values) % modulus for values in zip(*uploads, strict=True)]


def _centred(run: Run) -> list[int]:
    modulus = run.terms["encryption"]["plain_modulus"]
    return [formulas.centred(each, modulus) for each in _total(run)]


def _spent(run: Run) -> dict[str, float] | None:
    """Return what stands under accounting."""
    if run.terms["route"] == formulas.OPEN:
        return None
    if run.terms["route"] == formulas.TRAINED:
        delta = run.terms["privacy"]["delta"]
        events = [
            formulas.planned_event(run.terms, name) for name in formulas.names(run.terms, "teacher")
        ]
        worst = max(formulas.trained_epsilon([event], delta) for event in events)
        return {"epsilon": worst, "delta": delta}
    cost = max(formulas.rho(charge["body"]["events"]) for charge in run.charges.values())
    delta = run.terms["privacy"]["delta"]
    return {"epsilon": formulas.epsilon(cost, delta), "rho": cost, "delta": delta}


def _epsilon(run: Run) -> float | None:
    spent = _spent(run)
    return None if spent is None else spent["epsilon"]


def _student(run: Run) -> dict[str, float] | None:
    """Return what stands under student_privacy."""
    if "student_privacy" not in run.terms:
        return None
    cost = formulas.rho([formulas.student_event(run.terms)])
    delta, budget = run.terms["privacy"]["delta"], run.terms["student_privacy"]["budget"]
    spent = formulas.epsilon(cost, delta)
    return {"epsilon": spent, "delta": delta, "rho": cost, "budget": budget}


def _institution(run: Run) -> dict[str, float] | None:
    """Return what stands under institution_privacy."""
    if "institution_privacy" not in run.terms:
        return None
    delta = run.terms["privacy"]["delta"]
    spent = formulas.shared_rho(run.terms)
    told = {view: formulas.epsilon(cost, delta) for view, cost in spent.items()}
    return {**told, "delta": delta}


def _promised(run: Run, entry: str) -> Json:
    """Return an entry of the promise; null without one."""
    return None if run.terms["route"] == formulas.OPEN else run.terms["privacy"][entry]


def _teachers(run: Run) -> Json:
    scores = run.roster["scores"] if run.terms["publish"]["scores"] == "values" else {}
    return [
        {
            "id": name,
            "task": run.terms["parties"][name].get("classes", []),
            "selected": name in _members(run),
            "score": scores.get(name),
            "kind": None,
        }
        for name in formulas.names(run.terms, "teacher")
    ]


_SUMMARY: dict[str, Callable[[Run], Json]] = {
    "route": lambda run: run.terms["route"],
    "custody": lambda run: run.terms["custody"],
    "protection": lambda run: run.terms["protection"],
    "delta": lambda run: _promised(run, "delta"),
    "privacy_unit": lambda run: _promised(run, "unit"),
    "neighbours": lambda run: _promised(run, "neighbours"),
    "values_per_teacher": lambda run: formulas.feature_values(run.terms),
    "teachers": _teachers,
    "epsilon": _epsilon,
    "student_privacy": _student,
    "institution_privacy": _institution,
    "epsilon_by_view": lambda run: dict.fromkeys(formulas.VIEWS, _epsilon(run)),
    "accounting": lambda run: (spent := _spent(run)) and {**run.summary["accounting"], **spent},
    "notices": lambda run: formulas.notices(run.terms),
}
