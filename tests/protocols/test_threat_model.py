"""threat-model.toml is complete, names what exists, and says what code and SECURITY.md say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.messages import RULES
from secure_fedsa.report.claims import WORDS
from secure_fedsa.report.summary import VIEWS
from tests.protocols import security_table

MODEL = security_table.load()
PROPERTIES: dict[str, Any] = MODEL["properties"]
LISTS = {"recomputed", "attested", "either"}


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of a test file's tests, as pytest collects them."""
    path = security_table.ROOT / file
    if not path.is_file():
        return frozenset()
    return frozenset(_names(ast.parse(path.read_text("utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name.startswith("test_"):
                yield prefix + node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _names(node.body, f"{prefix}{node.name}::")


def test_the_search_for_tests_is_not_blind() -> None:
    """The tests below mean nothing if it finds everything, or nothing."""
    here = "tests/protocols/test_threat_model.py"
    assert "test_the_search_for_tests_is_not_blind" in names_in(here)
    assert "names_in" not in names_in(here)
    assert names_in("tests/protocols/no_such_file.py") == frozenset()


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_has_tests_that_exist(name: str) -> None:
    """A promise without a test is a hope; a test that was renamed is no test."""
    tests = PROPERTIES[name]["tests"]
    assert tests, f"{name} has no test"
    assert len(set(tests)) == len(tests)
    for test in tests:
        file, _, inner = test.partition("::")
        assert inner in names_in(file), f"{name} names {test}, which does not exist"


@pytest.mark.parametrize("name", PROPERTIES)
def test_every_property_says_what_against_whom_and_on_what_it_rests(name: str) -> None:
    """A claim without an opponent or an assumption cannot be judged."""
    entry = PROPERTIES[name]
    assert set(entry) == {"statement", "against", "assumptions", "limits", "tests"}
    assert entry["statement"].endswith(".")
    assert entry["against"]
    assert set(entry["against"]) <= set(MODEL["coalitions"])


def test_nothing_is_named_that_is_not_defined() -> None:
    """A coalition of somebody unknown, or a step that no run has, is an error of the table."""
    parties, steps = set(MODEL["parties"]), {step["id"] for step in MODEL["steps"]}
    for party in MODEL["parties"].values():
        assert set(party["sees"]) <= steps
        assert party["holds"]
    for view in MODEL["views"].values():
        assert set(view["parties"]) <= parties
    for coalition in MODEL["coalitions"].values():
        assert set(coalition["parties"]) <= parties
        assert set(coalition["properties"]) <= set(PROPERTIES)
        assert coalition["properties"]


def test_every_coalition_is_met_and_every_property_is_for_somebody() -> None:
    """A coalition that no property holds against is not defended, whatever the table says."""
    met = {name for entry in PROPERTIES.values() for name in entry["against"]}
    assert met == set(MODEL["coalitions"])
    for name, coalition in MODEL["coalitions"].items():
        for inner in coalition["properties"]:
            assert name in PROPERTIES[inner]["against"], (name, inner)


def test_what_rests_on_encryption_says_so() -> None:
    """A run without encryption would be taken to have what only encryption gives."""
    shown = [
        name
        for name, entry in PROPERTIES.items()
        if any(test.startswith("tests/encryption/") for test in entry["tests"])
    ]
    assert len(shown) >= 8
    for name in shown:
        entry = PROPERTIES[name]
        assert any("protection.he" in text for text in entry["assumptions"] + entry["limits"]), name


def test_what_rests_on_differential_privacy_says_so() -> None:
    """A run of the route encryption-only would be taken to have an epsilon."""
    rows = [entry for entry in MODEL["coalitions"].values() if "epsilon" in entry["not"]]
    assert len(rows) == 4
    for row in rows:
        assert "with protection.dp, " in row["not"]
        assert "without it: nothing is claimed" in row["not"]
    assert "protection.dp" in PROPERTIES["record-privacy"]["statement"]
    shown = [
        name
        for name, entry in PROPERTIES.items()
        if any("only epsilon holds" in limit for limit in entry["limits"])
    ]
    assert len(shown) >= 2
    for name in shown:
        for limit in PROPERTIES[name]["limits"]:
            assert "only epsilon holds" not in limit or "protection.dp" in limit, name


def test_beyond_max_colluding_only_noise_is_claimed() -> None:
    """Whoever counts on masks must see with how many traitors they stop to help."""
    within = {"single-signals-hidden", "small-sums-closed", "scores-hidden"}
    rows = {
        frozenset(entry["parties"]): entry
        for entry in MODEL["coalitions"].values()
        if "more than max_colluding" in entry["name"]
    }
    assert set(rows) == {
        frozenset({"teacher"}),
        frozenset({"teacher", "aggregator", "student"}),
        frozenset({"teacher", "key-holder"}),
    }
    for row in rows.values():
        assert "record-privacy" in row["properties"]
        assert not within & set(row["properties"])
        assert "its feature signal" in row["learns"]
    for name in within:
        assert any("more" in limit and "signal" in limit for limit in PROPERTIES[name]["limits"])


def test_every_role_of_the_protocol_is_a_party() -> None:
    """Somebody who takes part and is in no table could see anything."""
    roles = {role for rule in RULES.values() for role in (*rule.senders, *rule.recipients)}
    assert roles <= {party["role"] for party in MODEL["parties"].values()}


def test_views_are_those_of_the_summary() -> None:
    """summary.json states an epsilon for each view: each must be explained."""
    assert tuple(MODEL["views"]) == VIEWS


def test_claims_are_those_of_the_receipt() -> None:
    """A receipt that says more than the threat model promises what nobody thought through."""
    assert {claim["id"]: claim["words"] for claim in MODEL["claims"]} == WORDS
    assert [claim["id"] for claim in MODEL["claims"]] == list(WORDS)
    assert {claim["list"] for claim in MODEL["claims"]} == LISTS


@pytest.mark.parametrize("file", security_table.FILES, ids=lambda file: file.name)
def test_every_text_has_the_tables_that_the_model_gives(file: Path) -> None:
    """Two tables that differ are two promises."""
    text = file.read_text("utf-8")
    assert security_table.filled(text, MODEL, security_table.FILES[file]) == text, (
        "run: python tests/protocols/security_table.py"
    )


def test_a_missing_marker_is_an_error() -> None:
    """Otherwise a table that was dropped from SECURITY.md would stay dropped."""
    with pytest.raises(ValueError, match="coalitions"):
        security_table.filled("no markers", MODEL, ["coalitions"])
