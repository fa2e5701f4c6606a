"""Report and model card of each route: what it promises, and what nobody may read into it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest

from secure_fedsa.planning import Plan, plan
from secure_fedsa.report import claims, wording
from secure_fedsa.report.html import report_html
from secure_fedsa.report.markup import number
from secure_fedsa.report.model_card import model_card
from secure_fedsa.report.notices import FLOATING_POINT, NO_DIFFERENTIAL_PRIVACY, notices
from secure_fedsa.report.summary import RunFacts, summary_json
from tests.report import runs
from tests.report.test_html import Page
from tests.routes import ROUTES

OPEN = [route for route in ROUTES if route.startswith("encryption-only")]
PRIVATE = [route for route in ROUTES if route.startswith("private-training")]


@cache
def _planned(route: str) -> Plan:
    return plan(ROUTES[route](runs.agreement()))


def facts(route: str, **changes: object) -> RunFacts:
    """Return a made-up run of a route."""
    made = runs.facts()
    agreed = ROUTES[route](made.agreement)
    return replace(made, agreement=agreed, plan=_planned(route), **changes)  # type: ignore[arg-type]


def page(made: RunFacts) -> Page:
    """Return the page of a run."""
    return Page(report_html(*runs.both(made)))


def card(made: RunFacts) -> str:
    """Return the card of a run on one line, without what Markdown needs."""
    text = model_card(*runs.both(made))
    return " ".join(text.replace("\\", "").split())


@pytest.mark.parametrize("route", ROUTES)
def test_page_and_card_say_every_notice_of_the_route(route: str) -> None:
    """Whoever gets one of the two would take the run for a better protected one."""
    made = facts(route)
    told = notices(made.agreement)
    assert told
    shown = page(made)
    for notice in told:
        assert notice in shown.text
        assert notice in card(made)
    for claim in claims.recomputed(made.agreement):
        assert claims.WORDS[claim] in shown.text
    assert wording.what_was_summed(made.agreement) in card(made)


@pytest.mark.parametrize("route", OPEN)
def test_nothing_reads_like_a_bound_where_there_is_none(route: str) -> None:
    """An epsilon, a delta or a unit on the page would be taken for a promise."""
    made = facts(route)
    shown = page(made)
    assert "Differential privacy: none" in shown.text
    assert shown.text.count("NO DIFFERENTIAL PRIVACY") >= 2
    for text in (shown.text, card(made)):
        assert "No differential privacy claim holds" in text
        for words in ("is differentially private with", "exp(epsilon)", "at delta", "one record"):
            assert words not in text, words
        assert NO_DIFFERENTIAL_PRIVACY in text
    assert summary_json(made)["epsilon"] is None
    assert NO_DIFFERENTIAL_PRIVACY in wording.warnings(summary_json(made))


@pytest.mark.parametrize("route", PRIVATE)
def test_a_trainings_bound_is_shown_with_what_it_rests_on(route: str) -> None:
    """A figure for exact noise would pass for one of the noise that was drawn."""
    made = facts(route)
    summary = summary_json(made)
    shown = page(made)
    for text in (shown.text, card(made)):
        assert f"epsilon {number(summary['epsilon'])} at delta 1e-5" in text
        assert "if the noise were exact" in text
        assert FLOATING_POINT in text
        assert "NO DIFFERENTIAL PRIVACY" not in text
        assert "Renyi" in shown.text
    assert wording.warnings(summary) == []
    stated = "STATED, NOT WITNESSED" in shown.text
    assert stated == ("stated" in route)
    assert stated == (claims.WORDS["stated-training"] in shown.text)


@pytest.mark.parametrize("route", PRIVATE)
def test_a_simulated_training_claims_nothing(route: str) -> None:
    """A test's seeded noise protects nobody, whichever route it is drawn for."""
    made = facts(route, simulated_noise=True)
    for text in (page(made).text, card(made)):
        assert "SIMULATED NOISE: protects nobody." in text.replace("Protects", "protects")
        assert "is differentially private with" not in text


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("encryption-only, sketch", "secret random sketches"),
        ("encryption-only, gram", "Gram matrices"),
        ("encryption-only, scatter", "scatter matrices, in a public feature space, of"),
    ],
)
def test_what_was_summed_is_named_by_its_form(route: str, words: str) -> None:
    """Readers judge by it what the sum may tell of a teacher."""
    assert words in card(facts(route))
    assert words not in card(runs.facts())


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_is_said_to_have_sent_a_noisy_sum(route: str) -> None:
    """Words of another route would promise a noise that nobody added."""
    shown = page(facts(route)).text
    assert "noisy saliency" not in shown
    assert "single noisy signal" not in shown
    assert "noisy signals" not in shown or "noisy signals of the run at its end" in shown
