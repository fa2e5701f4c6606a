"""The receipt's two lists: what is recomputed, and whose word the rest is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from secure_fedsa.agreement import Agreement, Retention
from secure_fedsa.messages import STUDENT
from secure_fedsa.report import claims
from tests.report import runs
from tests.routes import encryption_only, private_training
from tests.support import STUDENT_PROMISE

OF_ROUTES: dict[str, tuple[set[str], set[str]]] = {
    "noisy-release": ({"accounting"}, {"private-summary", "noise-was-drawn"}),
    "private-training": (
        {"training-accounting"},
        {"private-training", "noise-was-drawn", "stated-training", "own-model"},
    ),
    "encryption-only": ({"no-differential-privacy"}, {"own-model"}),
}
"""What stands in the two lists of one route and not of every route."""
OF_ONE_ROUTE = set().union(*(one | other for one, other in OF_ROUTES.values()))


def of_route(made: Agreement, route: str) -> Agreement:
    """Return a report's agreement as one of another route; one teacher brings a stated model."""
    if route == "encryption-only":
        return encryption_only()(made)
    return private_training(stated=["teacher-2"])(made) if route == "private-training" else made


@pytest.mark.parametrize("route", OF_ROUTES)
@pytest.mark.parametrize("he", [True, False])
@pytest.mark.parametrize("ciphertexts", [True, False])
@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("feature_key", [True, False])
def test_every_claim_stands_in_exactly_one_list(
    he: bool, ciphertexts: bool, sums: bool, feature_key: bool, route: str
) -> None:
    """What nobody can recompute must be somebody's word, and never both or neither."""
    made = of_route(runs.agreement(he=he), route)
    publish = replace(made.publish, ciphertexts=ciphertexts, sums=sums, feature_key=feature_key)
    agreed = replace(made, publish=publish)
    found = claims.recomputed(agreed)
    attested = claims.attested(agreed, ["teacher-1", "teacher-2"], agreed.teachers)
    names = [entry["claim"] for entry in attested]
    computed, said = OF_ROUTES[route]
    assert len(set(found + names)) == len(found + names)
    once = {"student-summary", "retention", "institution-share"}
    everywhere = set(claims.WORDS) - OF_ONE_ROUTE - once
    assert set(found + names) == everywhere | computed | said
    assert computed <= set(found)
    assert said <= set(names)
    assert found == [claim for claim in claims.WORDS if claim in found]
    assert ("homomorphic-sum" in found) == ciphertexts
    assert ("decryption" in found) == (ciphertexts and sums and (feature_key or not he))
    for entry in attested:
        assert entry["by"] == sorted(set(entry["by"]))
        assert set(entry["by"]) <= set(agreed.parties)
        assert entry["by"]


def test_whose_word_each_claim_is() -> None:
    """Somebody who was not there would be blamed, and somebody who was would not."""
    agreed = replace(runs.agreement(), custody="aggregator")
    members, charged = ("teacher-1", "teacher-2"), ("teacher-1", "teacher-2", "teacher-3")
    entries = claims.attested(agreed, members, charged)
    by = {entry["claim"]: entry["by"] for entry in entries}
    signers = ["aggregator", "key-holder", *members]
    assert by == {
        "data-was-real": [*charged],
        "private-summary": [*charged],
        "noise-was-drawn": [*charged],
        "selection": ["aggregator", "key-holder"],
        "one-release": ["aggregator"],
        "erasure": signers,
        "student-training": ["student"],
        "accuracy": ["aggregator"],
        "sizes-and-times": ["aggregator"],
    }
    assert claims.signers(agreed, members) == tuple(signers)


def test_who_stands_for_a_model_that_was_trained_before_the_run() -> None:
    """A teacher's own word about its training would be taken for what the software did."""
    agreed = of_route(runs.agreement(), "private-training")
    charged = ("teacher-1", "teacher-2", "teacher-3")
    by = {e["claim"]: e["by"] for e in claims.attested(agreed, charged, charged)}
    assert by["stated-training"] == by["own-model"] == ["teacher-2"]
    assert by["private-training"] == by["noise-was-drawn"] == ["teacher-1", "teacher-3"]
    everybody = private_training(stated=charged)(runs.agreement())
    names = [e["claim"] for e in claims.attested(everybody, charged, charged)]
    assert not {"private-training", "noise-was-drawn"} & set(names)
    by = {
        e["claim"]: e["by"]
        for e in claims.attested(of_route(agreed, "encryption-only"), charged, charged)
    }
    assert by["own-model"] == [*charged]


def test_that_limits_were_kept_is_the_signers_word() -> None:
    """Without the table nobody may claim it; with it, whoever signs answers for its own folder."""
    made = runs.agreement(he=False)
    members = ["teacher-1", "teacher-2"]
    limited = replace(made, retention=Retention(local_log_days=30, unfinished_days=7))
    signers = list(claims.signers(made, members))
    for agreed, by in ((made, None), (limited, signers)):
        found = {e["claim"]: e["by"] for e in claims.attested(agreed, members, agreed.teachers)}
        assert found.get("retention") == by
        assert list(found) == [claim for claim in claims.WORDS if claim in found]


def test_how_the_students_records_were_used_is_the_students_word() -> None:
    """Without the promise nothing may be claimed of them; with it, somebody must answer for it."""
    made = runs.agreement(he=False)
    members = ["teacher-1", "teacher-2"]
    promised = replace(made, student_privacy=STUDENT_PROMISE)
    for agreed, by in ((made, None), (promised, [made.only(STUDENT)])):
        found = {e["claim"]: e["by"] for e in claims.attested(agreed, members, agreed.teachers)}
        assert found.get("student-summary") == by
        assert list(found) == [claim for claim in claims.WORDS if claim in found]
