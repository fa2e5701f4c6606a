"""The report's sections on what protects the teachers: noise and encryption."""

from __future__ import annotations

from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.planning.unit_claim import NO_MU
from secure_fedsa.privacy.cross_check import CrossCheck
from secure_fedsa.privacy.shown import tenths_left
from secure_fedsa.privacy.training_check import TrainingCheck
from secure_fedsa.report import wording
from secure_fedsa.report.markup import (
    Child,
    Markup,
    bullets,
    element,
    number,
    section,
    size,
    table,
)
from secure_fedsa.report.notices import NO_DIFFERENTIAL_PRIVACY, notices
from secure_fedsa.report.summary import RunFacts
from secure_fedsa.report.views import ByView, by_view

_VIEW_NAMES = {
    "other-teachers": "all other teachers",
    "aggregator": "aggregator",
    "key-holder": "key holder",
    "student": "student",
    "auditor": "auditor, or any reader of the run folder",
    "all-others-together": "all other parties together",
}
_SHOWN = (1e-3, 1e-6, 1e-9)  # deltas
_OPEN = "every teacher's single noisy signal"
_OPEN_MODEL = "every teacher's single signal of its model"


def _views(agreement: Agreement) -> dict[str, str]:
    """Return what each view of the run holds, by what is published and who has the key."""
    publish, he = agreement.publish, agreement.protection.he
    single = _OPEN if agreement.answers is None else _OPEN_MODEL
    own_signals = "noisy signals" if agreement.answers is None else "signals"
    if not he and publish.ciphertexts:
        return dict.fromkeys(_VIEW_NAMES, f"{single}, which is public in this run")
    public = "public messages: " + ", ".join(_published(agreement))
    inside = [] if publish.ciphertexts else ["masked ciphertexts" if he else single]
    holder, opened = ["the feature key"] if he else [], [] if publish.sums else ["the opened sum"]
    zero = agreement.institution_privacy is not None
    scores = "scores that are all zero" if zero else "all scores"
    own = {
        "aggregator": ["scores under their blinds" if he else "all scores", *inside],
        "key-holder": [scores, *inside],
        "student": ["what it asked", *opened],
    }
    own[agreement.custody] += [*holder, *opened]
    together = (
        f"masks and encryption no longer help, so at most this teacher's {own_signals}"
        if he
        else f"so this teacher's {own_signals}"
    )
    return {
        **{view: "; ".join([public, *own.get(view, [])]) for view in _VIEW_NAMES},
        "all-others-together": f"everything that the others hold: {together}",
    }


def _published(agreement: Agreement) -> list[str]:
    publish = agreement.publish
    found = ["roster"]
    if agreement.protection.he:
        found.append("masked ciphertexts" if publish.ciphertexts else "hashes of ciphertexts")
    else:
        found.append("hashes of the uploads")
    found += ["opened sum"] if publish.sums else []
    return (
        found + {"none": [], "order": ["order of the scores"], "values": ["scores"]}[publish.scores]
    )


def privacy_sections(facts: RunFacts, summary: dict[str, Any]) -> tuple[Markup, Markup]:
    """Return the sections on differential privacy and on its accounting."""
    check = facts.plan.accounting
    if check is None:
        return _no_privacy(facts, summary), section(
            "accounting",
            "Accounting",
            element("p", "There is no differential privacy to account for."),
        )
    privacy = _privacy(facts, summary)
    return privacy, _accounting(check) if isinstance(check, CrossCheck) else _training(check)


def _no_privacy(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    views = _views(facts.agreement)
    return section(
        "privacy",
        "Differential privacy: none",
        element("p", element("strong", NO_DIFFERENTIAL_PRIVACY)),
        element("p", wording.privacy_statement(facts, summary)),
        table(
            "What each view holds",
            ["Who looks", "Epsilon", "At what, by agreement"],
            [[words, "none", views[view]] for view, words in _VIEW_NAMES.items()],
            class_="stack nums",
        ),
        element("h3", "What holds nothing back"),
        bullets(wording.not_covered(facts, summary)),
    )


def _privacy(facts: RunFacts, summary: dict[str, Any]) -> Markup:
    simulated, views = summary["simulated"], _views(facts.agreement)
    bounds = {view: number(summary["epsilon_by_view"][view]) for view in _VIEW_NAMES}
    rows = [
        [words, f"none (would be {bounds[view]})" if simulated else bounds[view], views[view]]
        for view, words in _VIEW_NAMES.items()
    ]
    privacy = facts.agreement.promise
    meaning = (
        f"The claim compares {wording.neighbours(facts)}. Whatever somebody concludes "
        "from what they see, the odds of that conclusion change by a factor of at most "
        f"exp(epsilon), but for the probability delta = {number(privacy.delta)}, whether or not "
        f"{wording.unit(facts)} was there."
    )
    return section(
        "privacy",
        "Differential privacy, by who looks",
        element("p", wording.privacy_statement(facts, summary) if simulated else meaning),
        *(element("p", element("strong", text)) for text in notices(facts.agreement)),
        table(
            f"Bound on one teacher's records against each view, delta {number(privacy.delta)}",
            ["Who looks", "Epsilon", "At what, by agreement"],
            rows,
            class_="stack nums",
        ),
        *([] if simulated else _units(by_view(facts.agreement))),
        *(
            [element("p", wording.student_statement(facts, summary))]
            if facts.plan.student is not None
            else []
        ),
        *(
            [element("p", wording.institution_statement(facts, summary))]
            if facts.plan.institution
            else []
        ),
        element("h3", "What this does not cover"),
        bullets(wording.not_covered(facts, summary)),
    )


def _units(claims: ByView) -> list[Child]:
    """Return the table of what the same noise promises to whom, at several deltas."""
    rows: list[list[Child]] = []
    for claim in claims.units:
        curve = dict(claim.curve)
        rows.append(
            [
                claim.unit,
                "none" if claim.epsilon is None else number(claim.epsilon),
                *("-" if (at := curve.get(delta)) is None else number(at) for delta in _SHOWN),
                claim.why,
            ]
        )
    accountants = dict.fromkeys(
        f"{claim.accountant}, version {claim.accountant_version}"
        for claim in claims.units
        if claim.accountant
    )
    return [
        element("h3", "The same noise, for other units"),
        element("p", f"{claims.why_one_bound} {NO_MU}"),
        table(
            "Epsilon by unit, of the worst teacher, at the agreed delta and at others",
            ["Unit", "Epsilon", *(f"at {number(delta)}" for delta in _SHOWN), "Why"],
            rows,
            class_="stack",
        ),
        element(
            "p",
            f"Accounted by {'; by '.join(accountants)}. Events, accountant and the whole curve of "
            "each figure: secure-fedsa plan agreement.toml --json.",
            class_="note",
        ),
    ]


def _accounting(check: CrossCheck) -> Markup:
    version = f"version {check.accountant_version}"
    google = f"dp-accounting {check.dp_accounting_version}"
    rows: list[list[Child]] = [
        [
            "Headline",
            number(check.epsilon),
            f"{check.accountant}; {version}; proved for discrete Gaussians",
        ],
        [
            "RDP",
            number(check.rdp_epsilon),
            f"{google}, continuous Gaussians; within 1% of the headline",
        ],
        [
            "PLD",
            number(check.pld_epsilon),
            f"{google}, continuous Gaussians; must not exceed the headline",
        ],
        [
            "PLD, transferred",
            number(check.pld_transferred),
            (
                "PLD's bound carried over to the discrete noise by the terms below; "
                "reported, never the headline"
            ),
        ],
        [
            "Simple zCDP bound",
            number(check.zcdp_epsilon),
            "rho + 2 sqrt(rho log(1/delta)); the headline must not exceed it",
        ],
        ["rho", number(check.rho), "zCDP parameter of the run, for the worst teacher"],
        ["eta", number(check.eta), "transfer: log-ratio of discrete and rounded continuous noise"],
        ["tau", number(check.tau), "transfer: probability of the tail"],
    ]
    return section(
        "accounting",
        "Accounting, checked against other accountants",
        element(
            "p",
            "Before the run, the plan accounted the agreed noise in several ways and would have "
            "refused to start had they disagreed. All epsilons are at delta "
            f"{number(check.delta)}; shown digits are rounded up.",
        ),
        element(
            "p",
            "Of these the receipt covers the headline and rho: its claim on accounting is about "
            "epsilon, rho and delta alone. The figures of other accountants, eta and tau are for "
            "information: they stand in neither of the receipt's lists, and a check of the folder "
            "does not recompute them.",
            class_="note",
        ),
        table(
            "Accounting cross-checks", ["Number", "Value", "What it is"], rows, class_="stack nums"
        ),
    )


def _training(check: TrainingCheck) -> Markup:
    google = f"dp-accounting {check.dp_accounting_version}"
    rows: list[list[Child]] = [
        [
            "Headline",
            number(check.epsilon),
            f"{check.accountant}; version {check.accountant_version}; {google}",
        ],
        [
            "Renyi divergences",
            number(check.rdp_epsilon),
            (
                f"{google}; for information: mostly larger; where one step tells less than the "
                "headline resolves, the headline is larger and errs on the safe side"
            ),
        ],
    ]
    return section(
        "accounting",
        "Accounting, in two ways",
        element(
            "p",
            "Before the run, the plan accounted the agreed training of the worst teacher in two "
            f"ways. Both are at delta {number(check.delta)} and for exact Gaussian noise; shown "
            "digits are rounded up. Both are bounds from above, so a headline that were too small "
            "would not show here: for that, "
            "tests compare it with known values. The receipt covers the headline alone.",
        ),
        table(
            "Accounting cross-check", ["Number", "Value", "What it is"], rows, class_="stack nums"
        ),
    )


def encryption_section(facts: RunFacts) -> Markup:
    """Return the section on what encryption leaves unused, or that there is none."""
    headroom, plan = facts.plan.headroom, facts.plan
    selection = facts.agreement.selection
    if headroom is None or plan.collusion_bits is None:
        return section(
            "encryption",
            "Encryption",
            element("p", element("strong", wording.ENCRYPTION_OFF)),
        )
    rows: list[list[Child]] = [
        [
            "Noise budget left",
            f"{tenths_left(headroom.noise_budget_bits)} bits",
            "proved, worst case, after adding the largest roster; below 0 a sum could be wrong",
        ],
        [
            "Value room left",
            f"{tenths_left(headroom.value_bits)} bits",
            "the largest possible sum stays this far below half the plain modulus",
        ],
        [
            "Collusion bits, log2 M",
            f"{plan.collusion_bits} bits",
            (
                "the most that key holder and aggregator together learn of one teacher's "
                "saliency through its reply and its blind, or key holder and one teacher of the "
                "student's query through that teacher's reply; the opened sum and the roster tell "
                "what they tell beside it"
            ),
        ],
        [
            "Smallest sum",
            f"{plan.smallest_sum} teachers",
            f"beside {selection.max_colluding} colluding, at least two others are in every sum",
        ],
        [
            "Ciphertexts a teacher",
            f"{headroom.ciphertexts}",
            (
                f"at most {size(headroom.payload_bytes)} an upload, "
                f"{facts.agreement.feature_values:,} values"
            ),
        ],
        [
            "Losses tolerated",
            f"{plan.tolerated_losses}",
            "teachers that may drop out after the roster is complete",
        ],
    ]
    return section(
        "encryption",
        "Encryption headroom",
        element(
            "p",
            "Encrypted sums fail silently when values or noise outgrow their parameters. What was "
            "proved before the run, for any data:",
        ),
        table("Proved before the run", ["Quantity", "Value", "Meaning"], rows, class_="stack nums"),
    )
