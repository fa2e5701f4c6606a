"""The tables of the routes whose teachers are models: what they must say, and may not."""

from __future__ import annotations

import copy
import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from secure_fedsa import agreement as ag
from secure_fedsa.cli.agreement_text import to_text
from secure_fedsa.errors import AgreementError
from secure_fedsa.models.model_signals import ModelSignalSpec
from secure_fedsa.wire.agreement_signatures import agreement_hash, sign, verify_signatures
from tests.routes import ROUTES, encryption_only, private_training
from tests.support import toy_agreement
from tests.test_agreement import IDENTITIES, leaves, variations

PRIVATE = "private-training, one teacher's stated"
OPEN = "encryption-only, gram"
NOISY = "noisy-release"


def unsigned(route: str) -> ag.Agreement:
    """Return the toy agreement of a route."""
    agreement = toy_agreement({name: key.public.hex() for name, key in IDENTITIES.items()})
    return ROUTES[route](agreement) if route in ROUTES else agreement


def signed(route: str) -> ag.Agreement:
    """Return the toy agreement of a route, signed by all."""
    agreement = unsigned(route)
    for name, identity in IDENTITIES.items():
        agreement = sign(agreement, name, identity)
    return agreement


def changed(route: str, clause: str, value: Any) -> dict[str, Any]:
    """Return a route's tables with one entry set, or removed if value is ``...``."""
    tables = copy.deepcopy(unsigned(route).to_toml_dict())
    *path, last = clause.split(".")
    table = tables
    for name in path:
        table = table.setdefault(name, {})
    if value is ...:
        del table[last]
    else:
        table[last] = value
    return tables


# --- one text, one agreement ---------------------------------------------------------


@pytest.mark.parametrize("route", [NOISY, *ROUTES])
def test_text_and_agreement_are_one(route: str) -> None:
    """What is signed must be what is read back, from the plain file and from the commented one."""
    agreement = signed(route)
    agreement.check()
    for text in (tomli_w.dumps(agreement.to_toml_dict()), to_text(agreement, ["of a test"])):
        assert ag.parse(text) == agreement
        verify_signatures(ag.parse(text))
    read = ag.parse(to_text(agreement))
    assert agreement_hash(read) == agreement_hash(agreement)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("hospitals", "5ec6504ecb63499db75707b6ae0f3fc1235e045727cb7a074078f7dc708ebd35"),
        ("banks", "b51ae3e12db0f5f6532d8db7a4fd1d43e8d5a7179c13d61bce9417176c23eead"),
    ],
)
def test_what_was_signed_before_there_were_other_routes_is_still_signed(
    name: str, digest: str
) -> None:
    """If this fails, every signature under an older agreement of noisy-release is void."""
    agreement = ag.parse(Path(f"protocols/v1/examples/{name}.toml").read_text())
    assert agreement.route == NOISY
    assert agreement_hash(agreement) == digest


def test_a_signature_is_for_one_route() -> None:
    """If this fails, who signed for private training is held to giving models away."""
    hashes = {agreement_hash(unsigned(route)) for route in (NOISY, *ROUTES)}
    assert len(hashes) == 1 + len(ROUTES)


@pytest.mark.parametrize("route", ROUTES)
def test_every_clause_of_a_route_is_under_the_signature(route: str) -> None:
    """One clause outside of it could be changed after everybody signed."""
    agreement = unsigned(route)
    walked = dict(variations(agreement))
    met = {re.sub(r"(\[[0-9]+\])?[-+~/]?$", "", clause) for clause in walked}
    written = tomllib.loads(tomli_w.dumps(agreement.to_toml_dict()))
    del written["signatures"]
    assert leaves(written) <= met
    hashes = {agreement_hash(agreement), *(agreement_hash(one) for one in walked.values())}
    assert len(hashes) == len(walked) + 1


CLAUSES = [
    (route, clause)
    for route in (PRIVATE, OPEN)
    for clause in sorted(leaves(unsigned(route).content()))
    if not clause.endswith(".classes") or "teacher" in clause
]


@pytest.mark.parametrize(("route", "clause"), CLAUSES)
def test_no_clause_of_a_route_may_be_missing(route: str, clause: str) -> None:
    """A default would be a term that nobody read."""
    with pytest.raises(AgreementError) as error:
        ag.from_dict(changed(route, clause, ...))
    expected = clause
    if clause == "route":  # which is noisy-release then, and has no such tables
        expected = "answers"
    assert error.value.clause == expected


@pytest.mark.parametrize(
    ("route", "table"),
    [
        (PRIVATE, "privacy"),
        (PRIVATE, "training"),
        (PRIVATE, "answers"),
        (PRIVATE, "parties.teacher-1.stated"),
        (OPEN, "answers"),
        (OPEN, "protection"),
    ],
)
def test_nothing_stands_beside_a_routes_clauses(route: str, table: str) -> None:
    """What a reader does not know is not signed either, and could be taken for agreed."""
    with pytest.raises(AgreementError, match="not an entry") as error:
        ag.from_dict(changed(route, f"{table}.note", "x"))
    assert error.value.clause == f"{table}.note"


# --- tables of another route -----------------------------------------------------------


MISPLACED: list[tuple[str, str, Any, str]] = [
    (NOISY, "training", {"steps": 3}, "training"),
    (NOISY, "answers", {"form": "gram"}, "answers"),
    (NOISY, "privacy", ..., "privacy"),
    (OPEN, "training", {"steps": 3}, "training"),
    (OPEN, "privacy", {"epsilon": 1.0}, "privacy"),
    (OPEN, "answers", ..., "answers"),
    (PRIVATE, "privacy", ..., "privacy"),
    (PRIVATE, "training", ..., "training"),
    (PRIVATE, "answers", ..., "answers"),
    # The mechanism of noisy-release is no part of the promise.
    (PRIVATE, "privacy.clip_norm", 1.0, "privacy.clip_norm"),
    (PRIVATE, "privacy.noise_multiplier", 4.0, "privacy.noise_multiplier"),
    (PRIVATE, "privacy", "no", "privacy"),
    (OPEN, "answers", [], "answers"),
    # A route alone makes no other agreement.
    (NOISY, "route", "private-training", "answers"),
    (NOISY, "route", "encryption-only", "privacy"),
    (PRIVATE, "route", "noisy-release", "answers"),
    (PRIVATE, "route", "encryption-only", "privacy"),
    (OPEN, "route", "private-training", "privacy"),
    (OPEN, "route", "plaintext", "route"),
]


@pytest.mark.parametrize(("route", "clause", "value", "refused"), MISPLACED)
def test_a_table_of_another_route_is_refused(
    route: str, clause: str, value: Any, refused: str
) -> None:
    """If this fails, an agreement shows a budget or a training that its run never keeps."""
    with pytest.raises(AgreementError) as error:
        ag.from_dict(changed(route, clause, value))
    assert error.value.clause == refused


# --- rules ----------------------------------------------------------------------------


NUMBERS = (0, -1.0, float("nan"), float("inf"), True, "1")
BAD: list[tuple[str, str, Any]] = [
    *(
        (PRIVATE, f"training.{name}", value)
        for name in ("clip_norm", "denominator", "learning_rate")
        for value in (*NUMBERS, 1e-10, 1e13)
    ),
    *((PRIVATE, "training.noise_multiplier", value) for value in (*NUMBERS, 0.049, 100001.0)),
    *((PRIVATE, "training.sampling_rate", value) for value in (*NUMBERS, 1.001)),
    *((PRIVATE, "training.steps", value) for value in (0, -1, 2.0, True, 10**6 + 1)),
    *((PRIVATE, "training.momentum", value) for value in (-0.1, 1.0, float("nan"))),
    *((PRIVATE, "training.averaged", value) for value in (-0.1, 1.1, float("nan"))),
    (PRIVATE, "training.optimiser", "lbfgs"),
    (PRIVATE, "training.seed", -1),
    (PRIVATE, "training.seed", 0.5),
    (PRIVATE, "privacy.epsilon", 0),
    (PRIVATE, "privacy.delta", 1.0),
    (PRIVATE, "privacy.agreement_budget", 1.0),
    (PRIVATE, "privacy.data_set_budget", 1.0),
    (PRIVATE, "privacy.max_records", 2),
    (PRIVATE, "privacy.neighbours", "replace-one"),
    *(
        (PRIVATE, f"parties.teacher-1.stated.{name}", value)
        for name, values in (
            ("noise_multiplier", (0, 0.049, 100001.0, float("nan"))),
            ("sampling_rate", (0, 1.001, float("nan"))),
            ("steps", (0, 10**6 + 1, 1.5)),
        )
        for value in values
    ),
    (PRIVATE, "protection.dp", False),
    (OPEN, "protection.dp", True),
    *((OPEN, "answers.probes", value) for value in (0, 1, 10**6 + 1, 2.0)),
    *((OPEN, "answers.width", value) for value in (1, -1, 0.0)),
    ("encryption-only, sketch", "answers.width", 0),
    ("encryption-only, sketch", "answers.width", 4097),
    (OPEN, "answers.form", "kernel"),
    (OPEN, "answers.saliency", "attention"),
    (OPEN, "parties.teacher-1.classes", []),
]


@pytest.mark.parametrize(("route", "clause", "value"), BAD)
def test_a_bad_entry_of_a_route_is_refused_by_name(route: str, clause: str, value: Any) -> None:
    """Who signs must be told which clause is wrong, before anything is charged."""
    with pytest.raises(AgreementError) as error:
        ag.from_dict(changed(route, clause, value))
    assert error.value.clause == clause


def test_the_edges_of_what_is_allowed_are_allowed() -> None:
    """If this fails, the tests above refuse for another reason than the one they mean."""
    for clause, value in (
        ("training.noise_multiplier", 0.05),
        ("training.noise_multiplier", 100000.0),
        ("training.sampling_rate", 1),
        ("training.steps", 10**6),
        ("training.steps", 1),
        ("training.momentum", 0),
        ("training.averaged", 0),
        ("training.averaged", 1),
        ("training.optimiser", "adam"),
        ("parties.teacher-1.classes", ["one value"]),
        ("answers.probes", 2),
    ):
        ag.from_dict(changed(PRIVATE, clause, value))
    ag.from_dict(changed("encryption-only, sketch", "answers.width", 4096))


def test_a_training_that_was_stated_promises_persons_nothing() -> None:
    """If this fails, nobody bounded what a person is promised to have in it."""
    tables = changed(PRIVATE, "privacy.unit", "person")
    tables["privacy"]["max_records"] = 2
    tables["parties"]["teacher-1"].pop("stated", None)
    ag.from_dict(tables)
    tables["parties"]["teacher-1"]["stated"] = {
        "sampling_rate": 0.1,
        "steps": 1,
        "noise_multiplier": 1e5,
    }
    with pytest.raises(AgreementError, match="Nothing here saw to it") as error:
        ag.from_dict(tables)
    assert error.value.clause == "parties.teacher-1.stated"
    del tables["parties"]["teacher-1"]["stated"]
    assert ag.from_dict(tables).promise.unit == "person"


def test_without_differential_privacy_encryption_stays_on() -> None:
    """Nothing at all would protect the teachers' records."""
    tables = changed(OPEN, "protection", {"dp": False, "he": False, "masks": False})
    tables["publish"]["feature_key"] = False
    with pytest.raises(AgreementError, match="Nothing at all would protect") as error:
        ag.from_dict(tables)
    assert error.value.clause == "protection.he"
    with pytest.raises(AgreementError, match="NO DIFFERENTIAL PRIVACY"):
        ag.from_dict(changed(OPEN, "protection.dp", True))


@pytest.mark.parametrize("kind", ["grad-cam", "input-x-gradient"])
def test_a_saliency_signal_that_holds_no_map_is_refused(kind: str) -> None:
    """Every teacher would be charged before its first map fails."""
    tables = changed(OPEN, "answers.saliency", kind)
    with pytest.raises(AgreementError, match="one attribution map has 16") as error:
        ag.from_dict(tables)
    assert error.value.clause == "saliency.directions"
    tables["encoder"]["dimension"], tables["saliency"]["directions"] = 6, 6
    ag.from_dict(tables)


@pytest.mark.parametrize(
    ("route", "party"),
    [(NOISY, "teacher-1"), (OPEN, "teacher-1"), (PRIVATE, "student"), (PRIVATE, "aggregator")],
)
def test_only_teachers_of_private_training_state_a_training(route: str, party: str) -> None:
    """If this fails, an agreement speaks of a privacy that nobody is charged for."""
    how = {"sampling_rate": 0.5, "steps": 10, "noise_multiplier": 2.0}
    with pytest.raises(AgreementError, match="teachers of the route private-training") as error:
        ag.from_dict(changed(route, f"parties.{party}.stated", how))
    assert error.value.clause == f"parties.{party}.stated"


def test_an_agreement_of_too_many_trainings_is_refused() -> None:
    """Each takes a second to account: one file could keep every reader busy."""
    keys = {f"teacher-{number}": f"{number + 2**200:064x}" for number in range(1, 18)}
    keys |= {name: key.public.hex() for name, key in IDENTITIES.items() if "teacher" not in name}
    agreement = private_training()(toy_agreement(keys))

    def with_stated(count: int) -> dict[str, Any]:
        parties = {
            name: replace(party, stated=ag.Stated(0.5, 10 + int(name[8:]), 2.5))
            if name.startswith("teacher-") and int(name[8:]) <= count
            else party
            for name, party in agreement.parties.items()
        }
        return replace(agreement, parties=parties).to_toml_dict()

    ag.from_dict(with_stated(15))
    with pytest.raises(AgreementError, match="16 different trainings") as error:
        ag.from_dict(with_stated(16))
    assert error.value.clause == "parties"


def test_records_alone_make_no_task_of_one_class() -> None:
    """Sums of one class differ by nothing; a model may predict one value."""
    with pytest.raises(AgreementError, match="at least two classes"):
        ag.from_dict(changed(NOISY, "parties.teacher-1.classes", ["one value"]))


def test_the_length_of_a_signal_follows_from_the_agreement() -> None:
    """If this fails, parties of one run wait for uploads of different lengths."""
    for form in ("sketch", "gram", "scatter"):
        agreement = encryption_only(form)(unsigned(NOISY))
        answers = agreement.asked
        spec = ModelSignalSpec(form, answers.probes, agreement.encoder.dimension, answers.width)
        assert agreement.feature_values == spec.values
    assert unsigned(NOISY).feature_values == 5 * 6 // 2 + 1
