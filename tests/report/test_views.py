"""By view: the threat model's names, one bound, and which facts about an institution are seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Publish
from secure_fedsa.cli.agreement_file import read_agreement
from secure_fedsa.report.html import report_html
from secure_fedsa.report.summary import VIEWS
from secure_fedsa.report.views import ViewClaim, by_view
from tests.protocols import security_table
from tests.report import runs
from tests.report.runs import agreement

MODEL = security_table.load()
EXAMPLES = Path(__file__).parents[2] / "protocols" / "v1" / "examples"
SUM, SIGNAL = "the sum over", "noisy signals"


def seen(**changes: Any) -> dict[str, str]:
    return {
        view.id: " | ".join(view.institution_facts) for view in by_view(agreement(**changes)).views
    }


def by_kind(kind: str) -> dict[str, ViewClaim]:
    return {
        view.id.removeprefix("coalitions."): view
        for view in by_view(agreement()).views
        if view.kind == kind
    }


def test_views_and_coalitions_are_those_of_the_threat_model() -> None:
    """If this fails, somebody who could look is left out of what an auditor reads."""
    views, coalitions = by_kind("view"), by_kind("coalition")
    assert tuple(views) == VIEWS
    assert set(views) == set(MODEL["views"])
    assert {name: set(view.parties) for name, view in views.items()} == {
        name: set(view["parties"]) for name, view in MODEL["views"].items()
    }
    assert {name: (view.name, set(view.parties)) for name, view in coalitions.items()} == {
        name: (told["name"], set(told["parties"])) for name, told in MODEL["coalitions"].items()
    }


def test_one_bound_holds_against_every_view() -> None:
    """If this fails, a weaker view is told a smaller number that nothing proves."""
    found = by_view(agreement())
    *views, forger = found.views
    assert {view.epsilon for view in views} == {found.units[0].epsilon}
    assert {view.delta for view in views} == {1e-5}
    assert (forger.id, forger.epsilon, forger.delta) == ("coalitions.forger", None, None)


def test_what_is_published_is_seen_by_all() -> None:
    """If this fails, an institution does not learn that its share of a public sum is seen."""
    everything = seen()
    for name, facts in everything.items():
        if name != "coalitions.forger":
            assert "names of its classes" in facts
            assert "its score" in facts
            assert SUM in facts or SIGNAL in facts
    closed = Publish("none", ciphertexts=False, sums=False, feature_key=False)
    hidden = seen(publish=closed)
    for name in ("other-teachers", "auditor", "coalitions.more-teachers", "aggregator"):
        assert SUM not in hidden[name]
        assert "score" not in hidden[name]
    for name in ("student", "key-holder", "coalitions.aggregator-side"):
        assert SUM in hidden[name]
    assert "its score" in hidden["key-holder"]
    order = seen(publish=replace(closed, scores="order"))
    assert "order of scores" in order["auditor"]


def test_who_holds_the_key_sees_the_sum() -> None:
    """If this fails, custody looks like a formality."""
    closed = Publish("none", ciphertexts=False, sums=False, feature_key=False)
    held = seen(publish=closed, custody="aggregator")
    assert SUM in held["aggregator"]
    assert SUM not in held["key-holder"]


def test_single_signals_are_open_without_masks_or_against_everybody() -> None:
    """If this fails, an institution believes itself hidden where nothing hides it."""
    closed = Publish("none", ciphertexts=False, sums=False, feature_key=False)
    assert SIGNAL in seen(publish=closed)["all-others-together"]
    assert SIGNAL in seen()["coalitions.more-teachers"]
    assert SIGNAL not in seen()["coalitions.max-colluding"]
    bare = seen(he=False, publish=closed)
    assert SIGNAL in bare["aggregator"]
    assert SIGNAL in bare["key-holder"]
    assert SIGNAL not in bare["auditor"]
    assert SIGNAL in seen(he=False)["auditor"]


def test_who_has_reply_and_blind_is_said_to_learn_as_many_bits_as_a_plan_says() -> None:
    """If this fails, a coalition that can ask for bits of a saliency seems to get a score only."""
    bits = runs.planned(he=True).collusion_bits
    both = {"all-others-together"} | {
        f"coalitions.{name}"
        for name in ("aggregator-and-key-holder", "max-colluding", "all-others")
    }
    said = f"at most {bits} bits of its saliency a run"
    assert {name for name, facts in seen().items() if said in facts} == both
    assert {name for name, facts in seen().items() if "bits" in facts} == both
    closed = Publish("none", ciphertexts=False, sums=False, feature_key=False)
    assert said in seen(publish=closed)["coalitions.max-colluding"]
    assert not [facts for facts in seen(he=False).values() if "bits" in facts]


@pytest.mark.parametrize(
    ("noisy", "words"), [(True, "noisy saliency"), (False, "model's saliency")]
)
def test_a_score_is_of_the_saliency_that_the_route_has(noisy: bool, words: str) -> None:
    """If this fails, saliency without any noise is called noisy."""
    made = agreement()
    if not noisy:
        made = read_agreement(EXAMPLES / "suppliers.toml").agreement
        made = replace(made, publish=replace(made.publish, scores="values"))
    facts = " | ".join(fact for view in by_view(made).views for fact in view.institution_facts)
    assert f"its score: how well its {words} fits" in facts
    assert ("noisy" in facts) == noisy


def test_claims_are_json() -> None:
    """If this fails, machines cannot read what holds for whom."""
    told = by_view(agreement()).to_dict()
    assert [view["id"] for view in told["views"]][:6] == list(VIEWS)
    assert told["units"][0]["id"] == "agreed-unit"
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("view", by_view(agreement()).views, ids=lambda view: view.id)
def test_a_view_says_what_epsilon_does_not_hide(view: ViewClaim) -> None:
    """If this fails, a reader takes a view for blind that is not."""
    assert view.institution_facts
    assert all(view.institution_facts)


def test_the_report_tells_units_but_not_of_simulated_noise() -> None:
    """If this fails, a page hides that persons lose more, or promises what seeded noise breaks."""
    made = runs.facts()
    page = report_html(*runs.both(made))
    for claim in by_view(made.agreement).units:
        assert claim.unit in page
    simulated = report_html(*runs.both(runs.facts(simulated_noise=True)))
    assert "person with at most 5" in page
    assert "person with at most 5" not in simulated
