"""Every way in which an agreement can be wrong, and that the error names the clause."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from secure_fedsa import agreement as ag
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.errors import AgreementError
from secure_fedsa.wire.agreement_signatures import agreement_hash, sign, verify_signatures
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
    ("route", "private-training"),
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


def test_every_clause_is_under_the_signature() -> None:
    """One clause outside of it could be changed after everybody signed."""
    original = signed()
    seen = {agreement_hash(original)}
    for clause, value in (
        ("title", "Another"),
        ("privacy.epsilon", 4.5),
        ("privacy.count_floor", 6.0),
        ("selection.threshold", -99.0),
        ("publish.scores", "none"),
        ("publish.feature_key", False),
        ("custody", "aggregator"),
        ("simulation", True),
        ("limits.max_burned", 3),
        ("encoder.probes_sha256", "1" * 64),
        ("parties.teacher-1.classes", ["red", "green"]),
        ("features.scale", 1.0),
    ):
        altered = ag.from_dict(changed(clause, value))
        assert agreement_hash(altered) not in seen
        seen.add(agreement_hash(altered))
        with pytest.raises(AgreementError, match="does not verify"):
            verify_signatures(altered)


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
