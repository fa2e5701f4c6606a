"""Every way in which an agreement can be wrong, and that the error names the clause."""

from __future__ import annotations

import copy
import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from secure_fedsa import agreement as ag
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.errors import AgreementError
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import (
    DOMAIN,
    agreement_hash,
    sign,
    verify_signatures,
)
from secure_fedsa.wire.keys import IdentityKey
from tests.support import encoder, make_world, probes, query, toy_agreement

NAMES = ("teacher-1", "teacher-2", "teacher-3", "aggregator", "key-holder", "student")
IDENTITIES = {name: IdentityKey.from_bytes(bytes([n]) * 32) for n, name in enumerate(NAMES, 1)}


def signed() -> ag.Agreement:
    """Return a toy agreement that all six parties signed."""
    agreement = toy_agreement({name: key.public.hex() for name, key in IDENTITIES.items()})
    for name, identity in IDENTITIES.items():
        agreement = sign(agreement, name, identity)
    return agreement


def changed(clause: str, value: Any) -> dict[str, Any]:
    """Return the agreement's tables with one entry set, or removed if value is ``...``."""
    tables = copy.deepcopy(signed().to_toml_dict())
    *path, last = clause.split(".")
    table = tables
    for name in path:
        table = table[name]
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return tables


def test_text_and_agreement_are_one(tmp_path: Path) -> None:
    """What is signed must be what is read back from the file."""
    del tmp_path
    text = tomli_w.dumps(signed().to_toml_dict())
    assert ag.parse(text) == signed()
    verify_signatures(ag.parse(text))


BAD: list[tuple[str, Any]] = [
    ("version", 2),
    ("route", "other"),
    ("route", ["noisy-release"]),
    ("privacy.epsilon", 0),
    ("privacy.epsilon", float("nan")),
    ("privacy.epsilon", float("inf")),
    ("privacy.epsilon", -1.0),
    ("privacy.epsilon", "1"),
    ("privacy.epsilon", True),
    ("privacy.epsilon", 10**400),
    ("privacy.delta", 0),
    ("privacy.delta", 1),
    ("privacy.delta", float("nan")),
    ("privacy.noise_multiplier", 0),
    ("privacy.noise_multiplier", float("nan")),
    ("privacy.clip_norm", float("inf")),
    ("privacy.grid", 1),
    ("privacy.grid", 2.0),
    ("privacy.grid", 2**70),
    ("privacy.max_records", 0),
    ("privacy.max_records", 2),
    ("privacy.unit", "group"),
    ("privacy.unit", []),
    ("privacy.agreement_budget", 3.9),
    ("privacy.data_set_budget", 3.9),
    ("privacy.epsilon", ...),
    ("privacy.epsilom", 1.0),
    ("protection.dp", False),
    ("saliency.directions", 0),
    ("saliency.directions", 6),
    ("saliency.bits", 3),
    ("saliency.bits", 25),
    ("features.bound", 0),
    ("features.scale", float("nan")),
    ("encoder.sha256", "x"),
    ("encoder.dimension", 0),
    ("encryption.scheme", "ckks"),
    ("encryption.coeff_mod_bit_sizes", "54"),
    ("encryption.query_modulus_bits", 1024),
    ("encryption.query_modulus_bits", 2050),
    ("selection.select", 4),
    ("selection.select", 2),
    ("selection.threshold", float("nan")),
    ("selection.max_colluding", 0),
    ("selection.minimum_cohort", 0),
    ("limits.reply_seconds", 0),
    ("limits.max_burned", 0),
    ("publish.scores", "all"),
    ("publish.feature_key", 1),
    ("publish.feature_key", ...),
    ("publish.sums", "yes"),
    ("custody", "student"),
    ("simulation", 0),
    ("simulation", ...),
    ("parties.teacher-1.key", "00"),
    ("parties.teacher-1.key", "01" + "00" * 31),
    ("parties.teacher-1.key", "ee" + "ff" * 31),
    (
        "parties.teacher-1.key",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    ),
    ("parties.teacher-1.classes", []),
    ("parties.teacher-1.classes", ["a"]),
    ("parties.teacher-1.classes", ["a", "a"]),
    ("parties.teacher-1.role", "observer"),
    ("parties.student.classes", ["a", "b"]),
    ("parties", "nobody"),
    ("signatures", ["x"]),
]


@pytest.mark.parametrize(("clause", "value"), BAD)
def test_a_bad_entry_is_refused_by_name(clause: str, value: Any) -> None:
    """Who signs must be told which clause is wrong, before anything is charged."""
    with pytest.raises(AgreementError) as error:
        ag.from_dict(changed(clause, value))
    assert error.value.clause == clause


def test_more_parties_than_anybody_could_plan_for_are_refused() -> None:
    """Planning grows with the square of the parties: one file could keep a reader busy."""
    tables = changed("title", "Many")
    for number in range(200):
        key = f"{number + 2**200:064x}"
        tables["parties"][f"more-{number}"] = {"role": "teacher", "key": key, "classes": ["a", "b"]}
    with pytest.raises(AgreementError, match="at most 200"):
        ag.from_dict(tables)


def test_minimum_cohort_above_the_number_selected_is_refused() -> None:
    """Such a run would spend every teacher's privacy and could never open its sum."""
    with pytest.raises(AgreementError, match="can never be opened") as error:
        ag.from_dict(changed("selection.minimum_cohort", 4))
    assert error.value.clause == "selection.select"


@pytest.mark.parametrize("name", ["ciphertexts", "sums"])
def test_a_feature_key_that_checks_nothing_is_refused(name: str) -> None:
    """Publishing a key without what it opens gives something away for nothing."""
    with pytest.raises(AgreementError, match="nothing that it would let anybody check") as error:
        ag.from_dict(changed(f"publish.{name}", False))
    assert error.value.clause == "publish.feature_key"


def test_uploads_in_the_open_are_a_published_sum() -> None:
    """Without encryption, whoever sees the uploads adds them up."""
    tables = changed("protection", {"dp": True, "he": False, "masks": False})
    tables["publish"] |= {"feature_key": False, "sums": False}
    with pytest.raises(AgreementError, match="show their sum") as error:
        ag.from_dict(tables)
    assert error.value.clause == "publish.ciphertexts"


def test_he_without_masks_is_refused() -> None:
    """The key holder could open a single upload."""
    with pytest.raises(AgreementError, match="switched together"):
        ag.from_dict(changed("protection.masks", False))


@pytest.mark.parametrize("role", ["student", "key-holder", "aggregator"])
def test_each_single_role_is_there_exactly_once(role: str) -> None:
    """Two key holders would be two release logs."""
    tables = changed(f"parties.{role}", ...)
    with pytest.raises(AgreementError, match=f"exactly one {role}"):
        ag.from_dict(tables)
    tables = changed("parties.extra", {"role": role, "key": "0" * 64})
    with pytest.raises(AgreementError, match=f"exactly one {role}"):
        ag.from_dict(tables)


def test_one_key_for_two_parties_is_refused() -> None:
    """One institution could sit in a sum as two of its members."""
    key = IDENTITIES["teacher-2"].public.hex()
    with pytest.raises(AgreementError, match="also the key of") as error:
        ag.from_dict(changed("parties.teacher-1.key", key))
    assert error.value.clause.endswith(".key")


@pytest.mark.parametrize("name", ["Teacher", "a b", "a/../b", "", "x" * 41, "a\u0000", "-a"])
def test_names_that_could_be_paths_are_refused(name: str) -> None:
    """Party names become file names in run folders."""
    tables = changed("parties.teacher-3", ...)
    tables["parties"][name] = {"role": "teacher", "key": "9" * 64, "classes": ["a", "b"]}
    with pytest.raises(AgreementError, match="lower-case"):
        ag.from_dict(tables)


@pytest.mark.parametrize(
    "text",
    ["version = 1\nversion = 1", "[a]\n[a]", "x = ", "x = " + "1" * 5000, "x = " + "[" * 5000],
)
def test_a_text_that_is_not_toml_is_refused(text: str) -> None:
    """A key named twice means two things to two readers."""
    with pytest.raises(AgreementError, match="not valid TOML"):
        ag.parse(text)


def test_every_party_signs_and_nobody_else() -> None:
    """An unsigned clause binds nobody."""
    agreement = signed()
    verify_signatures(agreement)
    for name in NAMES:
        missing = ag.from_dict(changed(f"signatures.{name}", ...))
        with pytest.raises(AgreementError, match="is missing") as error:
            verify_signatures(missing)
        assert error.value.clause == f"signatures.{name}"
    extra = ag.from_dict(changed("signatures.somebody", agreement.signatures["student"]))
    with pytest.raises(AgreementError, match="not a party"):
        verify_signatures(extra)


@pytest.mark.parametrize("value", ["", "AAAA", "é", "A" * 200])
def test_wrong_signatures_are_refused(value: str) -> None:
    """A signature that nobody checks is decoration."""
    with pytest.raises(AgreementError, match="does not verify"):
        verify_signatures(ag.from_dict(changed("signatures.teacher-2", value)))
    swapped = changed("signatures.teacher-2", signed().signatures["teacher-1"])
    with pytest.raises(AgreementError, match="does not verify"):
        verify_signatures(ag.from_dict(swapped))


OTHER_CHOICES = {
    "route": "other",
    "custody": "aggregator",
    "scheme": "ckks",
    "unit": "person",
    "neighbours": "replace-one",
    "scores": "none",
    "role": "observer",
    "key": IdentityKey.from_bytes(bytes([99]) * 32).public.hex(),
}


def other(value: Any, clause: str) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return OTHER_CHOICES.get(clause.rpartition(".")[2], f"{value}0")


def variations(value: Any, clause: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every way to change, add or remove one leaf below a value, with its clause.

    It walks the dataclasses, not :meth:`Agreement.content`, which could leave something out.
    """
    if is_dataclass(value):
        for entry in fields(value):
            inner = f"{clause}.{entry.name}".lstrip(".")
            if inner != "signatures":
                for at, changed_entry in variations(getattr(value, entry.name), inner):
                    yield at, replace(value, **{entry.name: changed_entry})  # type: ignore[type-var]
    elif isinstance(value, dict):
        for name, item in value.items():
            yield f"{clause}.{name}-", {key: value[key] for key in value if key != name}
            yield f"{clause}.{name}+", {**value, f"{name}-again": item}
            yield (
                f"{clause}.{name}/",
                {(name if key != name else f"{name}-again"): value[key] for key in value},
            )
            for at, changed_item in variations(item, f"{clause}.{name}"):
                yield at, {**value, name: changed_item}
    elif isinstance(value, tuple):
        yield f"{clause}+", (*value, value[0] if value else "x")
        for place, item in enumerate(value):
            yield f"{clause}[{place}]-", value[:place] + value[place + 1 :]
            yield f"{clause}[{place}]", (*value[:place], other(item, clause), *value[place + 1 :])
        if len(set(value)) > 1:
            yield f"{clause}~", value[::-1]
    else:
        yield clause, other(value, clause)


def leaves(tables: Any, clause: str = "") -> set[str]:
    """Return the clause of every leaf of TOML tables."""
    if isinstance(tables, dict):
        return {
            leaf
            for name, item in tables.items()
            for leaf in leaves(item, f"{clause}.{name}".lstrip("."))
        }
    return {clause}


SIGNED = signed()
VARIATIONS = dict(variations(SIGNED))


def test_the_walk_over_the_agreement_meets_every_leaf() -> None:
    """The tests below mean nothing of a clause that the walk leaves out."""
    written = tomllib.loads(tomli_w.dumps(signed().to_toml_dict()))
    del written["signatures"]
    met = {re.sub(r"(\[[0-9]+\])?[-+~/]?$", "", clause) for clause in VARIATIONS}
    assert leaves(written) <= met
    assert {"selection.max_colluding", "publish.scores", "parties.student.classes"} <= met


def test_every_clause_is_under_the_signature() -> None:
    """One clause outside of it could be changed after everybody signed."""
    hashes = {clause: agreement_hash(altered) for clause, altered in VARIATIONS.items()}
    assert len({agreement_hash(signed()), *hashes.values()}) == len(hashes) + 1


@pytest.mark.parametrize("late", NAMES)
def test_every_clause_is_under_every_partys_signature(late: str) -> None:
    """Whoever's signature did not cover a clause would be held to terms that it never saw."""
    for clause, altered in VARIATIONS.items():
        who = {name: name.removesuffix("-again") for name in altered.parties}
        if late not in who.values():
            continue  # its signature would be one too many
        content = canonical.encode(altered.content())
        signatures = {
            name: SIGNED.signatures[late]
            if origin == late
            else canonical.to_base64(IDENTITIES[origin].sign(DOMAIN, content))
            for name, origin in who.items()
        }
        with pytest.raises(AgreementError, match="does not verify") as error:
            verify_signatures(replace(altered, signatures=signatures))
        refused = error.value.clause.removeprefix("signatures.")
        assert who[refused] == late or clause == f"parties.{refused}.key", clause


# A name more below parties is a party more.
TABLES = sorted({clause.rpartition(".")[0] for clause in VARIATIONS} - {"parties"})
# Only teachers have classes; elsewhere an empty list may be left out.
NEEDED = sorted(
    clause
    for clause in leaves(SIGNED.content())
    if not clause.endswith(".classes") or "teacher" in clause
)


@pytest.mark.parametrize("table", TABLES)
def test_nothing_stands_beside_the_clauses(table: str) -> None:
    """What a reader does not know is not signed either, and could be taken for agreed."""
    clause = f"{table}.note".lstrip(".")
    with pytest.raises(AgreementError, match="not an entry") as error:
        ag.from_dict(changed(clause, "x"))
    assert error.value.clause == clause


@pytest.mark.parametrize("clause", NEEDED)
def test_no_clause_may_be_missing(clause: str) -> None:
    """A default would be a term that nobody read."""
    with pytest.raises(AgreementError) as error:
        ag.from_dict(changed(clause, ...))
    assert error.value.clause == clause


def test_only_the_named_key_signs() -> None:
    """Nobody can sign in the name of another."""
    with pytest.raises(AgreementError, match="another key"):
        sign(signed(), "teacher-1", IDENTITIES["teacher-2"])
    with pytest.raises(AgreementError, match="another key"):
        sign(signed(), "nobody", IDENTITIES["teacher-2"])


def test_an_unsigned_agreement_runs_nowhere(tmp_path: Path) -> None:
    """The check must be where the run starts, not beside it."""
    world = make_world(tmp_path)
    agreement = world.agreement()
    unsigned = ag.from_dict(agreement.to_toml_dict() | {"signatures": {}})
    with pytest.raises(AgreementError, match="is missing"):
        LocalRun(
            unsigned,
            states={name: tmp_path / name for name in world.names},
            teachers=world.data,
            encoder=encoder(),
            probes=probes(),
            query=query(),
            build=lambda _: "",
        )
