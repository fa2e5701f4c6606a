"""The JSON Schemas of protocols/v1 against real run folders and the code's own messages."""

from __future__ import annotations

import importlib
import json
import tomllib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from referencing import Registry, Resource

from secure_fedsa.messages import (
    RULES,
    BlindedScores,
    Body,
    MaskShare,
    Query,
    QuerySecret,
    SealedSum,
)
from secure_fedsa.report import receipt
from secure_fedsa.wire import bodies, canonical
from tests.audit import folders
from tests.protocols.bench.honest_runs import RUNS

# It has no type information.
jsonschema: Any = importlib.import_module("jsonschema")

SCHEMAS = Path(__file__).parents[2] / "protocols" / "v1" / "schemas"
BASE = "urn:secure-fedsa:v1:"
VARIANTS = ("default", "nothing")


def load() -> dict[str, Any]:
    """Return every schema by its short name."""
    return {
        path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf-8"))
        for path in sorted(SCHEMAS.glob("*.schema.json"))
    }


ALL = load()
REGISTRY: Any = Registry().with_resources(
    [(schema["$id"], Resource.from_contents(schema)) for schema in ALL.values()]
)


def errors(reference: str, value: Any) -> list[str]:
    """Return what a schema (``NAME`` or ``NAME#/$defs/PART``) finds wrong with a value."""
    validator = jsonschema.Draft202012Validator({"$ref": BASE + reference}, registry=REGISTRY)
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


def schema_of(path: str) -> str | None:
    """Return which schema a file's JSON, or each line of it, is of."""
    if path.startswith("transcript/"):
        return "envelope"
    if path.startswith("ledger-"):
        return "ledger"
    return {
        "release-log.jsonl": "release-log",
        "summary.json": "summary",
        "receipt.dsse.json": "receipt",
    }.get(path)


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_schema_is_one(name: str) -> None:
    """A validator ignores words that it does not know: a misspelt rule would check nothing."""
    jsonschema.Draft202012Validator.check_schema(ALL[name])
    assert ALL[name]["$id"] == BASE + name
    assert set(_words(ALL[name])) <= _KNOWN_WORDS


_KNOWN_WORDS = {
    *("$schema", "$id", "$ref", "$defs", "title", "description", "type", "enum", "const"),
    *("properties", "required", "additionalProperties", "propertyNames", "minProperties"),
    *("items", "minItems", "maxItems", "uniqueItems", "pattern", "minLength"),
    *(
        "minimum",
        "multipleOf",
        "maxProperties",
        "not",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
    ),
    *("anyOf", "oneOf", "allOf", "if", "then", "else"),
}


def _words(schema: Any) -> list[str]:
    if not isinstance(schema, dict):
        return []
    found = list(schema)
    for word, value in schema.items():
        if word in ("properties", "$defs"):
            found += [inner for part in value.values() for inner in _words(part)]
        elif word in ("allOf", "anyOf", "oneOf"):
            found += [inner for part in value for inner in _words(part)]
        elif word not in ("enum", "const"):
            found += _words(value)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_real_run_folders_fit(variant: str) -> None:
    """Who validates a folder with these schemas would refuse an honest run."""
    seen = set()
    for path, data in folders.honest(variant).files.items():
        schema = schema_of(path)
        if schema is None:
            continue
        seen.add(schema)
        lines = data.splitlines() if path.endswith(".jsonl") else [data]
        for line in lines:
            assert errors(schema, canonical.decode(line)) == [], path
    assert seen == {"envelope", "ledger", "release-log", "summary", "receipt"}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_agreement_and_statement_of_a_real_run_fit(variant: str) -> None:
    """They are not files of their own as JSON, but the first things that one reads."""
    files = folders.honest(variant).files
    assert errors("agreement", tomllib.loads(files["agreement.toml"].decode())) == []
    envelope = canonical.decode(files[receipt.FILE_NAME])
    payload = canonical.decode(canonical.from_base64(envelope["payload"]))
    assert errors("statement", payload) == []


@pytest.mark.slow
def test_whole_envelopes_fit_as_they_travel() -> None:
    """A run folder holds sealed messages without body; on the wire they have one."""
    outcome = folders.honest("nothing").outcome
    kinds = set()
    for data in outcome.envelopes:
        value = canonical.decode(data)
        assert errors("envelope", value) == []
        kinds.add(value["header"]["kind"])
    assert kinds == set(RULES) - {"abort"}


@pytest.mark.parametrize("kind", RULES)
def test_bodies_have_exactly_the_fields_of_the_code(kind: str) -> None:
    """A field that only one of the two knows would be refused or ignored by the other."""
    names = {entry.name for entry in fields(RULES[kind].body)}
    schema = ALL["bodies"]["$defs"][kind]
    assert set(schema["properties"]) == set(schema["required"]) == names
    assert schema["additionalProperties"] is False
    assert set(ALL["bodies"]["$defs"]) == set(RULES)


def test_sealed_bodies_fit() -> None:
    """Nobody can read them in a run folder, so nothing else would notice."""
    samples: dict[str, Body] = {
        "query": Query((b"\0" * 8,)),
        "query-secret": QuerySecret((b"p", b"q")),
        "blinded-scores": BlindedScores("0" * 64, {"teacher-1": b"12345"}),
        "mask-share": MaskShare("0" * 64, bytes(range(32))),
        "sealed-sum": SealedSum("0" * 64, bytes(16)),
    }
    for kind, body in samples.items():
        assert errors(f"bodies#/$defs/{kind}", bodies.to_json(body)) == []


_STUDENT = ("parties", "student")


def _drop(name: str) -> Callable[[Any], None]:
    return lambda value: value.pop(name)


def _set(value: Any, *path: str | int) -> Callable[[Any], None]:
    def change(target: Any) -> None:
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return change


BROKEN: dict[str, tuple[str, Callable[[Any], None]]] = {
    "an agreement without custody": ("agreement.toml", _drop("custody")),
    "an unknown clause": ("agreement.toml", _set(1, "privacy", "alpha")),
    "a teacher without classes": ("agreement.toml", _set([], "parties", "teacher-1", "classes")),
    "noise below zero": ("agreement.toml", _set(-1.0, "privacy", "noise_multiplier")),
    "a party's name that climbs": ("agreement.toml", _set({}, "parties", "..")),
    "a public kind to one party": ("roster", _set("teacher-1", "header", "recipient")),
    "a public kind without body": ("roster", _drop("body")),
    "a rosters' extra field": ("roster", _set(1, "body", "note")),
    "a short signature": ("roster", _set("AAAA", "signature")),
    "upper-case hashes": ("roster", _set("A" * 64, "header", "body_sha256")),
    "a member that is no name": ("roster", _set("T 1", "body", "members", 0)),
    "a sealed kind to everybody": ("reply", _set("*", "header", "recipient")),
    "an entry of an unknown kind": ("ledger-teacher-1.jsonl", _set("gift", "kind")),
    "a charge without events": ("ledger-teacher-1.jsonl", _set([], "body", "events")),
    "a second release": ("release-log.jsonl", _set([], "body", "more")),
    "a simulated run": ("summary.json", _set(True, "simulated")),
    "a view too many": ("summary.json", _set(1.0, "epsilon_by_view", "nobody")),
    "another payload": ("receipt.dsse.json", _set("text/plain", "payloadType")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BROKEN)
def test_broken_values_are_refused(name: str) -> None:
    """A schema that takes everything fits every file."""
    where, change = BROKEN[name]
    files = folders.honest("default").files
    if where == "agreement.toml":
        schema, value = "agreement", tomllib.loads(files[where].decode())
    else:
        path = next((p for p in files if p.endswith(f"-{where}.json")), where)
        schema, value = schema_of(path) or "", canonical.decode(files[path].splitlines()[0])
    assert errors(schema, value) == []
    change(value)
    assert errors(schema, value) != []


def _of_route(run: str, where: str) -> tuple[str, Any]:
    """Return a schema's name, and what an honest vector of a route has for it."""
    data = (RUNS / run / where).read_bytes()
    if where == "agreement.toml":
        return "agreement", tomllib.loads(data.decode())
    value = canonical.decode(data.splitlines()[0])
    if where != receipt.FILE_NAME:
        return schema_of(where) or "", value
    return "statement", canonical.decode(canonical.from_base64(value["payload"]))


CHARGE = "ledger-teacher-1.jsonl"
PROMISE = {"epsilon": 1.0, "delta": 1e-5}
BROKEN_OF_ROUTES: dict[str, tuple[str, str, Callable[[Any], None]]] = {
    "a training without answers": ("private-training", "agreement.toml", _drop("answers")),
    "a training of persons": (
        "private-training",
        "agreement.toml",
        _set("person", "privacy", "unit"),
    ),
    "a grid of no release": ("private-training", "agreement.toml", _set(64, "privacy", "grid")),
    "a student's training": (
        "private-training",
        "agreement.toml",
        _set({"sampling_rate": 0.5, "steps": 1, "noise_multiplier": 1.0}, *_STUDENT, "stated"),
    ),
    "a sketch without width": ("private-training", "agreement.toml", _set(0, "answers", "width")),
    "a promise of nobody": ("encryption-only", "agreement.toml", _set(PROMISE, "privacy")),
    "no protection": ("encryption-only", "agreement.toml", _set(False, "protection", "he")),
    "stated as text": ("private-training", CHARGE, _set("yes", "body", "stated")),
    "a total of nothing": ("private-training", CHARGE, _set([], "body", "agreement_trainings")),
    "a training's rho": ("private-training", CHARGE, _set(0.1, "body", "rho")),
    "a budget of nothing": ("encryption-only", CHARGE, _set(1.0, "body", "budget")),
    "an epsilon of nothing": ("encryption-only", "summary.json", _set(1.0, "epsilon")),
    "no epsilon": ("private-training", "summary.json", _set(None, "epsilon")),
    "an accounting of nothing": ("encryption-only", "summary.json", _set(PROMISE, "accounting")),
    "no notices": ("encryption-only", "summary.json", _drop("notices")),
    "notices of none": ("plain", "summary.json", _set(["a notice"], "notices")),
    "a notice that is no text": (
        "private-training",
        "receipt.dsse.json",
        _set(1, "predicate", "notices", 0),
    ),
    "a claim of nobody": (
        "encryption-only",
        "receipt.dsse.json",
        _set("epsilon", "predicate", "recomputed", 5),
    ),
}


@pytest.mark.parametrize("name", BROKEN_OF_ROUTES)
def test_broken_values_of_routes_are_refused(name: str) -> None:
    """What one route has, another must not have."""
    run, where, change = BROKEN_OF_ROUTES[name]
    schema, value = _of_route(run, where)
    assert errors(schema, value) == []
    change(value)
    assert errors(schema, value) != []
