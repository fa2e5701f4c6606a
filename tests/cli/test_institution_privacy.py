"""Command line, card and page say which it is: institutions hidden in the sum, or not."""

from __future__ import annotations

import html
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import Agreement, InstitutionPrivacy
from secure_fedsa.cli.closing_words import _institution
from secure_fedsa.cli.main import main
from secure_fedsa.planning import PlanError, plan
from secure_fedsa.planning.unit_claims import unit_claims
from secure_fedsa.privacy.shared_noise import figures
from secure_fedsa.privacy.shown import at_most
from secure_fedsa.report import wording
from secure_fedsa.report.html import report_html
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.summary import RunFacts
from secure_fedsa.report.views import by_view
from secure_fedsa.roles.noisy_release import share_plan
from tests.cli.agreements import new
from tests.report import runs

HIDDEN = "For one whole member the opened sum is differentially private"


def agreed(**changes: Any) -> Agreement:
    """Return a report's agreement of nine teachers, of whom any eight hide one another."""
    made = runs.agreement()
    promise = InstitutionPrivacy(8.0, "member-to-zero", 2**16, 16_000.0, records=4500)
    return replace(
        made,
        institution_privacy=replace(promise, **changes),
        selection=replace(made.selection, select=9, threshold=0.0, minimum_cohort=8),
        publish=replace(made.publish, scores="none"),
    )


def hiding(*, simulated: bool = False) -> RunFacts:
    """Return a run whose sum hides single institutions."""
    made, agreement = runs.facts(), agreed()
    roster = replace(made.roster, members=agreement.teachers, scores={})
    return replace(
        made,
        agreement=agreement,
        plan=plan(agreement),
        roster=roster,
        simulated_noise=simulated,
    )


def test_card_and_page_say_how_far_an_institution_is_hidden_and_what_that_rests_on() -> None:
    """Who decides whether its institution takes part would look for this sentence."""
    made, summary = runs.both(hiding())
    told = summary["institution_privacy"]
    assert list(told) == ["sum", "sum-and-colluding", "everybody-else", "delta"]
    assert told["sum"] < told["sum-and-colluding"] <= 8.0 < told["everybody-else"]
    for text in (model_card(made, summary), html.unescape(report_html(made, summary))):
        assert HIDDEN in text
        assert "with up to 1 other member; without them" in text
        assert "on 7 members that drew their shares of the noise, which is their word" in text
        assert "no promise worth the name" in text
        assert "no ledger adds it up over runs" in text
        assert "Not covered: that an institution takes part" in text
        assert "by the scores of their" not in text
        assert "had the best scores" not in text
    assert "under its teacher's share of noise" in model_card(made, summary)
    page = html.unescape(report_html(made, summary))
    assert wording.NO_SCORES in page
    assert "scores that are all zero" in page
    assert "A score says how far" not in page


def test_card_and_page_of_other_runs_promise_an_institution_nothing() -> None:
    """The record's epsilon stands on the first page, and is easily read as an institution's."""
    made, summary = runs.both(runs.facts())
    assert "institution_privacy" not in summary
    for text in (model_card(made, summary), html.unescape(report_html(made, summary))):
        assert HIDDEN not in text
        assert "are not hidden by differential privacy" in text


def test_simulated_noise_hides_no_institution() -> None:
    """The noise of a simulation can be subtracted by anybody."""
    made, summary = runs.both(hiding(simulated=True))
    for text in (model_card(made, summary), html.unescape(report_html(made, summary))):
        assert HIDDEN not in text
        assert "No differential privacy claim holds for whole institutions either" in text


def test_each_view_has_the_figure_of_the_shares_that_it_cannot_take_off() -> None:
    """If this fails, somebody is told that a coalition learns less than it does."""
    agreement = agreed()
    alone, colluding, all_others = figures([share_plan(agreement)], 1e-5)
    found = {view.id: view.institution for view in by_view(agreement).views}
    assert found.pop("coalitions.forger") is None
    for name in ("aggregator", "key-holder", "student", "auditor"):
        assert found.pop(name) == alone.epsilon
    for name in ("aggregator-side", "key-holder", "reader", "aggregator-and-key-holder"):
        assert found.pop(f"coalitions.{name}") == alone.epsilon
    # A teacher knows its own share.
    for name in ("other-teachers", "coalitions.other-teachers", "coalitions.max-colluding"):
        assert found.pop(name) == colluding.epsilon
    for name in ("aggregator-and-teachers", "key-holder-and-teachers"):
        assert found.pop(f"coalitions.{name}") == colluding.epsilon
    assert set(found.values()) == {all_others.epsilon}
    assert "coalitions.all-others" in found
    assert "all-others-together" in found
    facts = [fact for view in by_view(agreement).views for fact in view.institution_facts]
    assert not [fact for fact in facts if "score" in fact or "how many records" in fact]
    told = by_view(agreement).to_dict()
    assert "add up in the opened sum" in told["why_one_bound"]
    assert told["views"][1]["institution_epsilon"] == alone.epsilon
    assert told["views"][1]["institution_claim"] == "institution-in-the-sum"
    of = {unit["id"]: unit["epsilon"] for unit in told["units"]}
    *views, _ = told["views"]
    assert all(of[view["institution_claim"]] == view["institution_epsilon"] for view in views)
    plain = by_view(runs.agreement()).to_dict()
    assert all("institution_epsilon" not in view for view in plain["views"])


def test_an_institutions_claims_have_figures_events_and_accountant() -> None:
    """A figure without the event it came from cannot be worked out again."""
    found = {claim.id: claim for claim in unit_claims(agreed()) if "institution" in claim.id}
    event = share_plan(agreed())
    assert len(found) == 3
    for claim, shares in zip(found.values(), (7, 8, 1), strict=True):
        assert claim.to_dict()["events"] == {"sum": [event.to_dict()]}
        assert claim.why.startswith(f"{shares} share{'s' * (shares > 1)} of")
        assert "signal becomes zero" in claim.neighbours
        assert "sum of discrete Gaussians" in claim.accountant
        assert dict(claim.curve)[claim.delta or 0.0] == claim.epsilon
        assert "names of its classes" in claim.why
    assert (
        "any other within the norm"
        in unit_claims(agreed(neighbours="member-to-any", share_scale=32_000.0))[-2].neighbours
    )


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"share_scale": 15_000.0}, "institution_privacy.share_scale"),
        ({"neighbours": "member-to-any"}, "institution_privacy.share_scale"),
        ({"norm_bound": 2**30, "share_scale": 16_000.0 * 2**14}, "institution_privacy.norm_bound"),
    ],
)
def test_too_little_noise_and_sums_that_wrap_are_refused(
    changes: dict[str, Any], clause: str
) -> None:
    """A promise that the shares do not keep would stand in every report."""
    plan(agreed())
    with pytest.raises(PlanError) as refused:
        plan(agreed(**changes))
    assert refused.value.clause == clause


def test_the_limits_of_a_verdict_name_the_institutions_epsilon() -> None:
    """Else a reader of ``verify`` takes the records' epsilon for an institution's."""
    bare = wording.limits(identities_checked=True)
    more = wording.limits(identities_checked=True, institutions_protected=True)
    assert more[: len(bare)] == bare
    assert "adds up over runs in no ledger" in more[-1]


def test_plan_and_draft_show_the_promise_and_its_price(
    drafted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A party signs what it was shown."""
    assert new(drafted, "--institution-epsilon", "8", out="own/agreement.toml") == 0
    assert "A whole teacher loses epsilon 8 at delta 1e-05" in capsys.readouterr().out
    file = str(drafted / "own" / "agreement.toml")
    assert main(["plan", file, "--no-time"]) == 0
    text = capsys.readouterr().out
    assert "A whole teacher loses epsilon 8 at delta 1e-05" in text
    assert "against all others together, which is no promise" in text
    assert "did worse than with no teachers at all" in text
    assert "no epsilon for one labelled record of the student" in text
    assert main(["plan", file, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["view"] for one in told["institution"]] == [
        "sum",
        "sum-and-colluding",
        "everybody-else",
    ]
    assert told["institution"][1]["shares"] == 3
    assert told["institution"][1]["epsilon"] == pytest.approx(8, rel=1e-6)
    assert main(["plan", str(drafted / "agreement.toml"), "--no-time", "--json"]) == 0
    assert "institution" not in json.loads(capsys.readouterr().out)


def test_a_draft_that_hides_institutions_and_selects_some_is_refused(
    drafted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who is left out by a score would be told apart by the roster."""
    some = ("--select", "3", "--minimum-cohort", "3")
    assert new(drafted, "--institution-epsilon", "8", *some, out="own/a.toml") == 2
    said = capsys.readouterr().err
    assert "selection.select: is 3, not the 4 teachers" in said
    assert "would depend on single signals" in said


def test_the_closing_words_of_a_run_name_an_institutions_epsilon() -> None:
    """Who ran it sees on the screen what a whole institution lost, and nothing where it is open."""
    _, summary = runs.both(hiding())
    (line,) = _institution(summary)
    assert f"epsilon {at_most(summary['institution_privacy']['sum-and-colluding'])}," in line
    assert _institution(runs.both(runs.facts())[1]) == []


def test_an_audit_says_that_it_is_about_records(
    drafted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Canaries are records: who reads PASS would take an institution's promise for measured."""
    assert new(drafted, "--institution-epsilon", "8", out="own/agreement.toml") == 0
    file = str(drafted / "own" / "agreement.toml")
    code = main(["audit", file, "--canaries", "300", "--teacher", "teacher-site-0"])
    assert code in (0, 1)  # an alarm by chance changes the verdict, and nothing else here
    text = " ".join(capsys.readouterr().out.split())
    assert "per record (add-remove)" in text
    assert "shares of noise that hide institutions in the sum are not audited" in text
