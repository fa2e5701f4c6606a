"""What a data set's ledger says, made ready to be shown: as JSON, as text, as a page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from secure_fedsa.agreement import Promise
from secure_fedsa.planning.unit_words import unit_and_neighbours
from secure_fedsa.privacy import accountant, selection_accountant, training_accountant
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend
from secure_fedsa.privacy.events import (
    DiscreteGaussianRelease,
    DpSgdTraining,
    Event,
    ExponentialMechanism,
    PermuteAndFlip,
    Unprotected,
)
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.report.ledger_seen import CLAIM, OVER_RUNS, SeenBy, TotalClaim

READING = (
    "What was spent is a reading: it bounds the loss by itself if the parameters of every run were "
    "fixed before the first result. A budget that was fixed before is a filter: it holds also if "
    "later runs were chosen by what earlier ones showed."
)
SAME_FOR_ALL = (
    "Every teacher adds all of its noise itself, and whatever leaves it is computed from what that "
    "noise protects: the bound is the same against everybody, alone or together."
)
SAME_FOR_ALL_OF_STUDENT = (
    "The student adds all of the noise to the one summary of its labelled records itself: the "
    "bound is the same against everybody but the student, alone or together."
)
TWICE = (
    "Trainings came first and mechanisms of another kind later: if those were chosen by looking at "
    "results, the budget is proved at twice its delta."
)


def accountants(amount: Amount) -> list[tuple[str, str]]:
    """Return name and version of whatever states the epsilon of an amount."""
    found: list[tuple[str, str]] = []
    if amount.unprotected:
        return found
    if amount.rho:
        found.append((accountant.NAME, accountant.VERSION))
    if amount.trainings:
        found.append((training_accountant.NAME, training_accountant.VERSION))
    if amount.selections:
        found.append((selection_accountant.NAME, selection_accountant.VERSION))
    return found


def described(event: Event) -> str:
    """Return one event in words.

    >>> described(DpSgdTraining(4.0, 0.1, 200))
    'DP-SGD: noise 4, rate 0.1, 200 steps'
    """
    if isinstance(event, DiscreteGaussianRelease):
        return f"discrete Gaussian: noise {event.noise_scale / event.sensitivity:.4g}"
    if isinstance(event, DpSgdTraining):
        return (
            f"DP-SGD: noise {event.noise_multiplier:.4g}, rate {event.sampling_rate:.4g}, "
            f"{event.steps} steps"
        )
    if isinstance(event, ExponentialMechanism | PermuteAndFlip):
        return f"{event.kind}: epsilon {event.epsilon:.4g}, {event.choices} choices"
    if isinstance(event, Unprotected):
        return "NO DIFFERENTIAL PRIVACY"
    return event.kind


@dataclass(frozen=True, slots=True)
class Protected:
    """Whom a charge's epsilon is for.

    Attributes:
        promise: Of its agreement; None if that is not known, or promises nothing.
        why_not: Why there is none; empty if there is one.
    """

    promise: Promise | None
    why_not: str

    def __str__(self) -> str:
        return "" if self.promise is None else unit_and_neighbours(self.promise)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; a unit that is not known is null, with the reason."""
        return {
            "unit": str(self) or None,
            "neighbours": None if self.promise is None else self.promise.neighbours,
            "unit_not_shown": self.why_not or None,
        }


@dataclass(frozen=True, slots=True)
class Row:
    """One charge in the order of the chain, and the data set's total after it.

    Attributes:
        name: The run's id, or what an import was described as.
        day: By this machine's clock; empty if it was not noted.
        agreement: Hash; empty for a use outside.
        what: The events in words.
        events: The same as JSON values; of dp_accounting for a use outside.
        cost: What it spends by itself.
        total: What the data set spent with it, what was inherited included and links not.
        stated: Whether it is somebody's word that this was all: not witnessed by this software.
        committed: Whether the noisy result was stored.
        erased: Whether the run's keys and signals were noted as erased; None where it has none,
            since the charge is for the student's own records.
        burnt: Why the charge bought nothing, if so.
        protected: Whom its epsilon is for.
        data_set: The version of the data set that was charged.
    """

    name: str
    day: str
    agreement: str
    what: str
    events: Any
    cost: Spend
    total: Spend
    stated: bool
    committed: bool
    erased: bool | None
    burnt: str
    protected: Protected
    data_set: str


@dataclass(frozen=True, slots=True)
class AgreementRow:
    """All runs under one agreement.

    Attributes:
        agreement: Hash.
        title: Of the agreement, if it was kept.
        protected: Whom its epsilon is for.
        runs: Number of runs in this version of the data set.
        inherited: Number of runs in the versions before; None if those were not kept.
        spent: At the agreement's delta; at the ledger's if that is not known.
        budget: Of all its runs; None without differential privacy or if not known.
        left: For one more release under it.
    """

    agreement: str
    title: str
    protected: Protected
    runs: int
    inherited: int | None
    spent: Spend
    budget: float | None
    left: Spend | None


@dataclass(frozen=True, slots=True)
class LedgerView:
    """A whole ledger, to be shown.

    Attributes:
        books: The books, with linked data sets.
        rows: Every charge.
        earlier: The charges of the versions before, as far as those were kept.
        agreements: By agreement.
        total: With links: the most that a person can have lost.
        alone: Without links.
        before: What was inherited: the total before the first row.
        start: The total before the first row of ``earlier``, or of ``rows`` if there is none.
        budget: For all runs on the data set; None if no budget is known.
        budget_from: Who set it.
        left: For one more release.
        claim: What holds for all of it; its unit is for instance "record (add-remove)", several
            if agreements differ, empty if unknown.
        seen: Every view and coalition of the threat model.
        not_shown: What is not known of what they saw.
        of_student: Whether all charges are for a student's own labelled records.
        remarks: What has to be said besides.
    """

    books: Books
    rows: tuple[Row, ...]
    earlier: tuple[Row, ...]
    agreements: tuple[AgreementRow, ...]
    total: Spend
    alone: Spend
    before: Spend
    start: Spend
    budget: float | None
    budget_from: str
    left: Spend | None
    claim: TotalClaim
    seen: tuple[SeenBy, ...]
    not_shown: tuple[str, ...]
    of_student: bool
    remarks: tuple[str, ...] = field(default=())

    @property
    def unit(self) -> str:
        """Privacy unit and neighbours in words; empty if unknown."""
        return self.claim.unit.unit

    @property
    def per_unit(self) -> str:
        """Unit and neighbours for a sentence on the total; empty if unknown."""
        if not self.unit:
            return ""
        partly = " (of part of it that is not known)" if self.claim.unit.not_shown else ""
        return f" per {self.unit}{partly}"

    @property
    def stated(self) -> int:
        """Number of charges that nobody here witnessed."""
        return sum(row.stated for row in self.rows)

    @property
    def over_runs(self) -> str:
        """What several runs show together; empty if there were not several, or no sums of ours."""
        runs = [row for row in (*self.earlier, *self.rows) if row.agreement]
        several = len(runs) > 1 or self.start.epsilon > 0
        return OVER_RUNS if several and not self.of_student else ""

    def to_json(self) -> dict[str, Any]:
        """Return the view as JSON values; an epsilon that no bound holds for is null."""
        books = self.books
        return {
            "data_set": books.data_set,
            "delta": books.delta,
            "head": {"position": books.position, "hash": books.head},
            "unit": self.unit,
            "neighbours": self.claim.unit.neighbours or None,
            "unit_not_shown": self.claim.unit.not_shown or None,
            "spent": spend_json(self.total),
            "spent_alone": spend_json(self.alone),
            "unprotected_uses": books.spent().unprotected,
            "accountants": accountants_json(books.spent()),
            "budget": self.budget,
            "budget_from": self.budget_from,
            "left": self.left and spend_json(self.left),
            "limit": books.limit,
            "by_run": [row_json(row) for row in self.rows],
            "inherited_runs": [row_json(row) for row in self.earlier],
            "by_agreement": [
                {
                    "agreement": row.agreement,
                    "title": row.title,
                    **row.protected.to_dict(),
                    "runs": row.runs,
                    "inherited_runs": row.inherited,
                    "spent": spend_json(row.spent),
                    "accountants": accountants_json(books.spent_under(row.agreement)),
                    "budget": row.budget,
                    "left": row.left and spend_json(row.left),
                }
                for row in self.agreements
            ],
            "by_view": {one.id: one.to_dict(self.claim, self.not_shown) for one in self.seen},
            "institution_facts_over_runs": self.over_runs or None,
            "claims": {CLAIM: self.claim.to_dict()},
            "reading": READING,
            "inherited": {name: amount.to_json() for name, amount in books.inherited.items()},
            "linked": [
                {
                    "data_set": name,
                    "spent": spend_json(Spend.of(books.linked.get(name, link.amount), books.delta)),
                    "known": how_known(books, name),
                }
                for name, link in books.links.items()
            ],
            "disjoint": sorted(books.disjoint),
            "superseded": books.superseded is not None,
            "remarks": list(self.remarks),
        }


def runs_told(row: AgreementRow) -> str:
    """Return the number of runs under an agreement, with those of the versions before."""
    if row.inherited is None:
        return f"{row.runs}, and in a version before a number that was not kept"
    return f"{row.runs}, and {row.inherited} before" if row.inherited else str(row.runs)


def spend_json(spend: Spend) -> dict[str, float | None]:
    """Return a spend as JSON values."""
    epsilon = spend.epsilon if math.isfinite(spend.epsilon) else None
    return {"epsilon": epsilon, "delta": spend.delta, "rho": spend.zcdp}


def accountants_json(amount: Amount) -> list[dict[str, str]]:
    """Return :func:`accountants` as JSON values."""
    return [{"name": name, "version": version} for name, version in accountants(amount)]


def row_json(row: Row) -> dict[str, Any]:
    """Return one charge as JSON values."""
    return {
        "name": row.name,
        "day": row.day or None,
        "agreement": row.agreement or None,
        "what": row.what,
        "events": row.events,
        "spent": spend_json(row.cost),
        "total": spend_json(row.total),
        "stated": row.stated,
        "committed": row.committed,
        "erasure_noted": row.erased,
        "burnt": row.burnt or None,
        **row.protected.to_dict(),
        "data_set": row.data_set,
    }


def how_known(books: Books, name: str) -> str:
    """Return how the spend of a linked data set is known."""
    if name in books.unreachable:
        return f"as it was when it was linked. {books.unreachable[name]}"
    return "by its own ledger" if name in books.linked else "as its export stated it"
