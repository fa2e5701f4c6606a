"""A data set's ledger on one page that needs nothing but itself: no script, no request."""

from __future__ import annotations

import math

from secure_fedsa.planning.unit_claim import NO_MU
from secure_fedsa.privacy import shown
from secure_fedsa.privacy.budgets import Spend
from secure_fedsa.report.ledger_drawing import DRAWING_STYLE, spend_over_time
from secure_fedsa.report.ledger_seen import (
    AT_MOST,
    NO_RHO,
    institution_told,
    numbered,
    of_events,
    upward,
)
from secure_fedsa.report.ledger_view import READING, LedgerView, Row, runs_told
from secure_fedsa.report.markup import (
    Child,
    Markup,
    bullets,
    element,
    number,
    paragraphs,
    section,
    table,
    users,
)
from secure_fedsa.report.page import alarm, whole_page


def ledger_html(view: LedgerView) -> str:
    """Return a ledger as one HTML document."""
    title = f"Data set {view.books.data_set[:12]}"
    return whole_page(
        f"{title}: secure-fedsa ledger",
        element(
            "header",
            element("p", "secure-fedsa privacy ledger", class_="eyebrow"),
            element("h1", title),
            *(alarm(remark) for remark in view.remarks if remark.startswith("NO ")),
            element("p", _lead(view), class_="lead"),
        ),
        element(
            "main",
            _figures(view),
            section(
                "time",
                "Over time",
                spend_over_time(view),
                element("p", "Linked data sets are not drawn; they count in the figures above.")
                if view.books.links
                else None,
                element("p", READING, class_="note"),
            ),
            _runs(view),
            _agreements(view),
            _views(view),
            _relations(view),
            _remarks(view),
        ),
        element(
            "footer",
            f"Drawn by secure-fedsa from a ledger whose newest entry is {view.books.position}, "
            f"hash {view.books.head}. Private: it names runs that others may not know of.",
        ),
        style=DRAWING_STYLE,
    )


def _lead(view: LedgerView) -> str:
    if not math.isfinite(view.total.epsilon):
        return "No epsilon bounds what was told about the people in this data set."
    return (
        f"Over all its runs, this data set has spent epsilon {number(view.total.epsilon)} at delta "
        f"{number(view.total.delta)}{view.per_unit}."
    )


def _figures(view: LedgerView) -> Markup:
    left = "no budget known" if view.left is None else shown.at_least(view.left.epsilon)
    within = "" if view.budget is None else f"within {number(view.budget)} ({view.budget_from})"
    figures = [
        ("Spent", _epsilon(view.total), f"epsilon at delta {number(view.total.delta)}"),
        ("Left for one more release", left, within),
        ("Charges", str(len(view.rows)), _charges(view)),
    ]
    return element(
        "dl",
        *(
            element(
                "div",
                element("dt", name),
                element("dd", value, class_="big"),
                element("dd", small, class_="small"),
            )
            for name, value, small in figures
        ),
        class_="figures",
    )


def _charges(view: LedgerView) -> str:
    before = f"; {len(view.earlier)} more in the versions before" if view.earlier else ""
    return f"{view.stated} of them stated, not witnessed{before}"


def _epsilon(spend: Spend) -> str:
    return number(spend.epsilon) if math.isfinite(spend.epsilon) else "unbounded"


def _runs(view: LedgerView) -> Markup:
    return section(
        "runs",
        "By run",
        table(
            "Every charge in the order of the ledger. Days are by this machine's clock.",
            ("Run", "Day", "Agreement", "For", "Epsilon alone", "Total", "What", "Notes"),
            [
                *(_run(row, "in a version before") for row in view.earlier),
                *_inherited(view),
                *(_run(row) for row in view.rows),
            ],
            class_="stack",
        )
        if view.rows or view.earlier or view.before.epsilon > 0
        else element("p", "Nothing was charged yet."),
    )


def _inherited(view: LedgerView) -> list[list[Child]]:
    if view.before.epsilon == 0:
        return []
    total = _epsilon(view.before)
    return [["inherited", "", "", "", "", total, "of the versions before this one", ""]]


def _run(row: Row, version: str = "") -> list[Child]:
    notes = [version] if version else []
    notes += ["stated, not witnessed"] if row.stated else []
    notes += [] if row.committed else ["no result was stored"]
    notes += [f"lost: {row.burnt}"] if row.burnt else []
    if row.agreement and row.erased is not None:
        notes.append("keys and signals erased" if row.erased else "no erasure noted")
    return [
        users(row.name[:12] if row.agreement else row.name),
        row.day or "not noted",
        element("code", row.agreement[:12]) if row.agreement else "none",
        str(row.protected) or f"not known: {row.protected.why_not}",
        _epsilon(row.cost),
        _epsilon(row.total),
        row.what,
        "; ".join(notes),
    ]


def _agreements(view: LedgerView) -> Markup | None:
    if not view.agreements:
        return None
    rows: list[list[Child]] = [
        [
            users(row.title) if row.title else element("code", row.agreement[:12]),
            runs_told(row),
            _epsilon(row.spent),
            "none" if row.budget is None else number(row.budget),
            "none" if row.left is None else shown.at_least(row.left.epsilon),
        ]
        for row in view.agreements
    ]
    return section(
        "agreements",
        "By agreement",
        table(
            "What all runs under one agreement spent together, at its own delta.",
            ("Agreement", "Runs", "Spent", "Budget", "Left"),
            rows,
            class_="stack",
        ),
    )


def _views(view: LedgerView) -> Markup:
    facts, numbers = numbered(view.seen)
    several = len({name for _, names in facts for name in names}) > 1
    return section(
        "views",
        "By view",
        *_claim(view),
        table(
            "Every view and coalition of the threat model, over all runs.",
            ("Who looks", "View", "Epsilon", "What it saw of the institution"),
            [
                [
                    one.name,
                    element("code", one.id),
                    _epsilon(view.total) if one.bounded else f"none. {one.apart}".rstrip(". "),
                    ", ".join(map(str, numbers[one.id]))
                    or ("nothing" if one.apart else "nothing that is known here"),
                ]
                for one in view.seen
            ],
            class_="stack",
        ),
        element("p", AT_MOST) if facts or view.not_shown else None,
        element(
            "ol",
            *(
                element("li", fact, f" ({', '.join(n[:12] for n in names)})" if several else "")
                for fact, names in facts
            ),
        ),
        element("p", view.over_runs) if view.over_runs else None,
        bullets(view.not_shown) if view.not_shown else None,
        bullets(institution) if (institution := institution_told(view.seen)) else None,
    )


def _claim(view: LedgerView) -> list[Child]:
    """Return what holds against all of the views, over several deltas."""
    claim = view.claim
    rho = NO_RHO if claim.rho is None else f"rho (zCDP) {number(claim.rho)}."
    said: list[Child] = [f"From {of_events(claim.sources)}.", rho, NO_MU]
    said += [f"Stated by {name}, version {version}." for name, version in claim.accountants]
    if claim.unit.not_shown:
        said.append(f"Unit and neighbours are not shown: {claim.unit.not_shown}.")
    return [
        element("p", claim.why),
        table(
            f"The whole curve, for {claim.unit.unit or 'a unit that is not known here'}.",
            ("Delta", "Epsilon"),
            [[number(at), upward(epsilon)] for at, epsilon in claim.curve],
            class_="nums",
        ),
        bullets(said),
    ]


def _relations(view: LedgerView) -> Markup | None:
    books = view.books
    if not (books.links or books.disjoint or books.inherited or books.limit is not None):
        return None
    said: list[Child] = []
    if books.inherited:
        said.append("It is a new version of a data set and inherits what that one spent.")
    if books.limit is not None:
        said.append(f"Its limit is epsilon {number(books.limit)}, whatever an agreement allows.")
    for name, link in books.links.items():
        amount = Spend.of(books.linked.get(name, link.amount), books.delta)
        said.append(
            f"Data set {name[:12]} has some of the same persons; its epsilon {_epsilon(amount)} "
            "counts here."
        )
    said += [
        f"Signed by the owner: no person has a record both here and in data set {name[:12]}."
        for name in books.disjoint
    ]
    return section("relations", "Other data sets", bullets(said))


def _remarks(view: LedgerView) -> Markup | None:
    if not view.remarks:
        return None
    return section("remarks", "What else has to be said", paragraphs(*view.remarks))
