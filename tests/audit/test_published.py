"""What a folder shows is what its agreement publishes: no more, and no less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secure_fedsa.messages import RULES, STUDENT
from secure_fedsa.wire import canonical
from secure_fedsa.wire.envelope import parse
from tests.audit.checking import refused
from tests.audit.folders import VARIANTS, honest
from tests.audit.forging import Forgery, Value

CIPHERTEXTS = {"upload", "sum"}


def test_the_variants_publish_and_keep_everything() -> None:
    """The tests below mean nothing of a choice that no variant makes."""
    made = [VARIANTS[name].get("publish", {}) for name in VARIANTS]
    assert {publish.get("scores", "values") for publish in made} == {"values", "order", "none"}
    for name in ("ciphertexts", "sums", "feature_key"):
        assert {publish.get(name, True) for publish in made} == {True, False}


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_folder_shows_exactly_what_was_agreed(variant: str) -> None:
    """What stands in a folder is published for ever; what is missing nobody can recheck."""
    made = honest(variant)
    publish, he = made.agreement.publish, made.agreement.protection.he
    assert publish.feature_key <= he
    shown: dict[str, list[Any]] = {}
    for data in made.outcome.envelopes:
        kind, header = parse(data).header.kind, parse(data).header
        name = f"transcript/{header.sender}-{header.sequence:03d}-{kind}.json"
        public = RULES[kind].message_class == "public"
        whole = public and (kind not in CIPHERTEXTS or publish.ciphertexts)
        assert (made.files[name] == data) == whole
        message = canonical.decode(made.files[name])
        assert ("body" in message) == whole
        shown.setdefault(kind, []).append(message.get("body"))
    (release,) = shown["release"]
    assert bool(release["values"]) == publish.sums
    assert bool(release["secret_key"]) == publish.feature_key
    assert ("sealed-sum" in shown) != publish.sums
    (roster,) = shown["roster"]
    (sent,) = (d for d in made.outcome.envelopes if parse(d).header.kind == "roster")
    assert roster == parse(sent).body
    values = sorted(roster["scores"].values())
    match publish.scores:
        case "none":
            assert values == []
        case "order":
            assert values == [1, 2, 3, 4]
        case "values":
            assert len({*values} - {1, 2, 3, 4}) == 4
    listed = roster["scores"] if publish.scores == "values" else {}
    for teacher in made.summary["teachers"]:
        assert teacher["score"] == listed.get(teacher["id"])
    page = made.files["report.html"].decode()
    assert all(f"{score:.3f}" in page for score in listed.values())


Bend = tuple[str, Callable[[Forgery], str], str, str]
"""What is bent; bends it and returns the file that must be named; from where; the reason."""


def rescored(scores: dict[str, float]) -> Callable[[Forgery], str]:
    def bend(forgery: Forgery) -> str:
        forgery.roster["scores"] = scores
        return forgery.name(forgery.message("roster"))

    return bend


def other_bodies(kind: str) -> Callable[[Forgery], str]:
    """Return a change that shows what is withheld, or withholds what is shown."""

    def bend(forgery: Forgery) -> str:
        whole = {parse(data).hash: parse(data).body for data in forgery.original.outcome.envelopes}
        message = forgery.message(kind)
        if message.pop("body", None) is None:
            message["body"] = whole[forgery.hash(message)]
        return forgery.name(message)

    return bend


def released(entry: str, shown: str) -> Callable[[Forgery], str]:
    def bend(forgery: Forgery) -> str:
        release = forgery.body("release")
        release[entry] = "" if release[entry] else shown
        return forgery.name(forgery.message("release"))

    return bend


def sealed_sum(forgery: Forgery) -> str:
    found = forgery.all("sealed-sum")
    if found:
        forgery.remove(found[0])
    else:
        forgery.add("sealed-sum", forgery.agreement.custodian, None, STUDENT)
    return "transcript/"


def summary_score(forgery: Forgery) -> str:
    teacher: Value = forgery.summary["teachers"][0]
    teacher["score"] = 0.5 if teacher["score"] is None else None
    return "summary.json"


def bends(variant: str) -> list[Bend]:
    publish = VARIANTS[variant].get("publish", {})
    names = [f"teacher-{number}" for number in (1, 2, 3, 4)]
    ranks = {name: float(at) for at, name in enumerate(names, start=1)}
    scores = dict.fromkeys(names, 0.5)
    rosters: dict[str, list[tuple[dict[str, float], str]]] = {
        "none": [(ranks, "publish.scores"), (scores, "publish.scores")],
        "order": [({}, "selection.threshold"), (scores, "publish.scores")],
        "values": [({}, "selection.threshold"), ({"teacher-1": 0.5}, "selection.threshold")],
    }
    return [
        *(
            (f"scores {at}", rescored(given), "signatures", reason)
            for at, (given, reason) in enumerate(rosters[publish.get("scores", "values")])
        ),
        *(
            (
                f"body of {kind}",
                other_bodies(kind),
                "receipt",
                f"the body of {kind}.*publish.ciphertexts",
            )
            for kind in ("upload", "sum")
        ),
        ("values", released("values", canonical.to_base64(bytes(128))), "log", "publish.sums"),
        ("key", released("secret_key", "AAAA"), "log", "publish.feature_key"),
        ("sealed sum", sealed_sum, "receipt", "holds [01] sealed sums, not [01]"),
        ("summary", summary_score, "receipt", "teachers"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "bend"),
    [
        pytest.param(variant, bend, id=f"{variant}-{bend[0]}")
        for variant in VARIANTS
        for bend in bends(variant)
    ],
)
def test_more_and_less_than_agreed_are_refused(variant: str, bend: Bend) -> None:
    """Signers who show more than was agreed have published it; less, and nobody can recheck."""
    _, change, redo, reason = bend
    forgery = Forgery(variant)
    file = change(forgery)
    refused(forgery.build(redo), file, reason)
