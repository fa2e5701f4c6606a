"""Agreements on publishing something else, with a run that does so."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from tests.protocols.bench import formulas
from tests.protocols.bench.draws import Draw
from tests.protocols.bench.resigning import Run

Json = Any


def otherwise(run: Run, draw: Draw) -> str:
    """Change one clause of publishing or custody; one time in eight do not follow it."""
    change = draw.pick(list(CHANGES))
    follow = not draw.chance(12)
    CHANGES[change](run, follow)
    return f"{change}{'' if follow else ', agreed and not done'}"


def _scores(kind: str) -> Callable[[Run, bool], None]:
    def change(run: Run, follow: bool) -> None:
        run.terms["publish"]["scores"] = kind
        for place, roster in enumerate(run.of("roster") if follow else []):
            body = roster.body
            heads, members = sorted(body["ledger_heads"]), body["members"]
            ranked = [*members, *(name for name in heads if name not in members)]
            ranks = {name: rank for rank, name in enumerate(ranked, 1)}
            values = {name: 10.5 - rank for name, rank in ranks.items()}
            if place:
                values.pop(ranked[-1])
            body["scores"] = {"none": {}, "order": ranks, "values": values}[kind]

    return change


def _ciphertexts(run: Run, follow: bool) -> None:
    """Withhold uploads and sum, or show what was withheld: nobody has it."""
    publish = run.terms["publish"]
    publish["ciphertexts"] = not publish["ciphertexts"]
    if publish["ciphertexts"]:
        publish["sums"] = publish["sums"] or not run.terms["protection"]["he"]
        return
    publish["feature_key"] = False
    if follow:
        for letter in [*run.of("upload"), *run.of("sum")]:
            letter.value.pop("body", None)
        run.one("release").body["secret_key"] = ""


def _sums(run: Run, follow: bool) -> None:
    """Seal the sum to the student, or publish one."""
    publish = run.terms["publish"]
    publish["sums"] = not publish["sums"]
    release = run.one("release")
    if publish["sums"]:
        for letter in run.of("sealed-sum") if follow else []:
            run.remove(letter)
        values = [0] * formulas.feature_values(run.terms)
        release.body["values"] = formulas.b64(formulas.packed(values))
        return
    publish["feature_key"] = False
    if not run.terms["protection"]["he"] and publish["ciphertexts"]:
        _ciphertexts(run, follow)
    if follow:
        release.body["values"] = release.body["secret_key"] = ""
        sealed = run.one("blinded-scores")
        sender = release.header["sender"]
        run.add(sealed, sender=sender, recipient=_only(run, "student"), kind="sealed-sum")


def _feature_key(run: Run, follow: bool) -> None:
    """Withhold the feature key, or publish one."""
    publish = run.terms["publish"]
    publish["feature_key"] = not publish["feature_key"]
    if follow:
        run.one("release").body["secret_key"] = (
            formulas.b64(b"key") if publish["feature_key"] else ""
        )


def _custody(run: Run, follow: bool) -> None:
    """Give the one-use key to the other."""
    was = _only(run, run.terms["custody"])
    run.terms["custody"] = {"key-holder": "aggregator"}.get(run.terms["custody"], "key-holder")
    now = _only(run, run.terms["custody"])
    if not follow:
        return
    for kind in ("feature-key", "sealed-sum", "release"):
        for letter in run.of(kind, was):
            body = letter.value.get("body")
            run.remove(letter)
            made = run.add(letter, sender=now)
            made.was = letter.was
            if body is not None:
                made.value["body"] = body
    for letter in run.of("permit"):
        run.remove(letter)
    if run.terms["custody"] == "aggregator":
        permit = run.add(run.one("ready", _only(run, "key-holder")), kind="permit")
        release = run.one("release").body
        entries = ("roster_hash", "sum_hash", "signal_ids")
        permit.value["body"] = {name: release[name] for name in entries}


def _without_encryption(run: Run, follow: bool) -> None:
    """Agree on encryption in an open run, or on none in an encrypted one."""
    on = not run.terms["protection"]["he"]
    run.terms["protection"] |= {"he": on, "masks": on if follow else not on}
    run.terms["publish"]["feature_key"] = False


def _bounds(run: Run, follow: bool) -> None:
    """Upload more than the bound allows, or exactly as much; the sum follows."""
    letter = run.of("upload")[-1]
    bound, members = run.terms["features"]["bound"], len(run.roster["members"])
    values = formulas.residues(base64.b64decode(letter.body["ciphertext"]))
    others = [
        formulas.residues(base64.b64decode(one.body["ciphertext"]))[0]
        for one in run.of("upload")[:-1]
        if one.header["sender"] in run.roster["members"]
    ]
    values[0] = (bound * members + (not follow) - sum(others)) % _modulus(run)
    letter.body["ciphertext"] = formulas.b64(formulas.packed(values))


def _modulus(run: Run) -> int:
    modulus: int = run.terms["encryption"]["plain_modulus"]
    return modulus


def _only(run: Run, role: str) -> str:
    return formulas.names(run.terms, role)[0]


CHANGES: dict[str, Callable[[Run, bool], None]] = {
    "no scores": _scores("none"),
    "ranks": _scores("order"),
    "scores": _scores("values"),
    "ciphertexts": _ciphertexts,
    "sums": _sums,
    "feature key": _feature_key,
    "custody": _custody,
    "encryption": _without_encryption,
    "bounds": _bounds,
}


def rename(run: Run, old: str, new: str) -> None:
    """Give a party another name wherever it stands, as a value or as a key."""
    run.keys[new] = run.keys.pop(old)
    run.signers[:] = sorted(new if name == old else name for name in run.signers)
    run.ledgers = {
        name.replace(f"ledger-{old}.", f"ledger-{new}."): lines
        for name, lines in run.ledgers.items()
    }
    parts = [run.terms, run.ledgers, run.log, run.summary, run.statement["predicate"]]
    for part in [*parts, *(letter.value for letter in run.letters)]:
        _rename(part, old, new)
    for roster in run.of("roster"):
        roster.body["members"].sort()
    run.log[0]["body"]["members"].sort()
    run.summary["teachers"].sort(key=lambda teacher: str(teacher["id"]))


def _rename(value: Json, old: str, new: str) -> None:
    if isinstance(value, dict):
        for key in [*value]:
            item = value.pop(key)
            # Roles are words of the protocol, also where a party is called so.
            named = item == old and key not in ("role", "custody", "kind")
            value[new if key == old else key] = new if named else item
            _rename(item, old, new)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            if item == old:
                value[place] = new
            _rename(item, old, new)
