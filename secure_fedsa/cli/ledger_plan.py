"""What ``ledger plan`` works out: further runs against the budgets of a data set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.ledger_show import known_agreements, open_ledger
from secure_fedsa.cli.ledger_text import wrapped
from secure_fedsa.cli.parsing import printable
from secure_fedsa.cli.progress import Progress
from secure_fedsa.engines.ledger_notes import charged_before
from secure_fedsa.engines.ledger_versions import earlier_versions
from secure_fedsa.engines.promises import (
    agreements_beside,
    limits_beside,
    promised_to_student,
    require_unit_of_all,
)
from secure_fedsa.errors import LedgerError, PrivacyParameterError, UsageError
from secure_fedsa.messages import STUDENT
from secure_fedsa.planning.unit_words import unit_and_neighbours
from secure_fedsa.privacy.accountant import rho_for_epsilon
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import (
    NEW_AGREEMENT,
    Nearest,
    Spend,
    fits,
    nearest_fit,
    what_is_left,
)
from secure_fedsa.privacy.earlier_promises import promised_terms
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.privacy.shown import at_least
from secure_fedsa.report.ledger_seen import UnitOfAll
from secure_fedsa.report.ledger_total import agreements_of, is_of_student, unit_of
from secure_fedsa.report.ledger_view import READING, accountants, spend_json
from secure_fedsa.report.markup import number
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.roles.private_student import label_plan, student_terms

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

MOST_COUNTED = 64
MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Further runs that somebody asks about.

    Attributes:
        cost: Of one charge.
        runs: How many runs.
        charges: How many charges they are: one a run; of the student's labelled records one at
            most, whose noisy summary serves all runs under an agreement.
        agreement: Hash of their agreement; empty for none.
        party: Whose ledger would be charged; empty without an agreement.
        agreement_budget: Epsilon at ``delta`` for all runs under it; None without one.
        delta: The agreement's.
        data_set_budget: Epsilon at the smaller one of both deltas; None if not known.
        promises: What earlier agreements promised of all charges.
        unit: Whom the figures are for.
        of_student: Whether the charges are for the student's own labelled records.
        charged: Whether the data set was charged under the agreement before: its budgets are then
            promised, and no later agreement raises them.
    """

    cost: Amount
    runs: int
    charges: int
    agreement: str
    party: str
    agreement_budget: float | None
    delta: float
    data_set_budget: float | None
    promises: tuple[Terms, ...]
    unit: UnitOfAll
    of_student: bool
    charged: bool


@dataclass(frozen=True, slots=True)
class Room:
    """What further runs do to one budget.

    Attributes:
        whose: Whose budget it is.
        budget: Epsilon.
        spent: Before.
        after: After all the runs that were asked about.
        left: For one more release after them; None if they do not fit.
        fits: Whether they fit.
        more: How many of them fit, at most :data:`MOST_COUNTED`.
        nearest: What fits instead, if they do not.
        own: Whether it is of one agreement's runs alone.
    """

    whose: str
    budget: float
    spent: Spend
    after: Spend
    left: Spend | None
    fits: bool
    more: int
    nearest: Nearest | None
    own: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the room as JSON values."""
        return {
            "whose": self.whose,
            "budget": self.budget,
            "spent": spend_json(self.spent),
            "after": spend_json(self.after),
            "left": self.left and spend_json(self.left),
            "fits": self.fits,
            "more": self.more,
            "most_counted": MOST_COUNTED,
            "nearest": self.nearest and asdict(self.nearest),
        }


def plan(arguments: argparse.Namespace) -> int:
    """Work out further runs; the action of ``ledger plan``."""
    books = open_ledger(arguments.state).books()
    if books.superseded is not None:
        raise LedgerError(
            "This data set has a new version; its ledger takes no further charge.",
            do="Plan with the state folder of the new version.",
        )
    asked = _asked(arguments, books)
    if books.unreachable:
        name, why = next(iter(books.unreachable.items()))
        Progress().say(f"WARNING: no run can be charged: linked data set {name[:12]}: {why}")
    rooms = _rooms(books, asked, Progress())
    if arguments.json:
        print(json.dumps(_json(asked, rooms), indent=2))
    else:
        print(printable("\n".join(_told(asked, rooms))))
    return 0 if all(room.fits for room in rooms) else 1


def room_for(
    whose: str, spent: Amount, cost: Amount, runs: int, budget: float, delta: float
) -> Room:
    """Return what ``runs`` of a cost do to a budget (epsilon at delta)."""

    def good(count: int) -> bool:
        try:
            return fits(Amount.sum([spent, *[cost] * count]), budget, delta)
        except PrivacyParameterError:
            return False  # more steps than anybody accounts

    low, high = 0, 1
    while high <= MOST_COUNTED and good(high):
        low, high = high, 2 * high
    high = min(high, MOST_COUNTED + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    after = Amount.sum([spent, *[cost] * runs])
    enough = runs <= low or (runs > MOST_COUNTED and good(runs))
    return Room(
        whose=whose,
        budget=budget,
        spent=Spend.of(spent, delta),
        after=Spend.of(after, delta),
        left=what_is_left(after, budget, delta) if enough else None,
        fits=enough,
        more=low,
        nearest=None if enough else nearest_fit(spent, cost, budget, delta, runs=runs),
    )


def _rooms(books: Books, asked: Asked, progress: Progress) -> list[Room]:
    cost, rooms = asked.cost, list[Room]()
    if cost.trainings:
        progress.say("Accounting trainings takes about a second for each number of runs tried")

    def add(whose: str, spent: Amount, budget: float, delta: float, *, fixed: bool) -> None:
        room = room_for(whose, spent, cost, asked.charges, budget, delta)
        if fixed and room.nearest is not None:  # no agreement raises it
            room = replace(room, nearest=replace(room.nearest, budget=None))
        rooms.append(room)

    if asked.agreement_budget is not None:
        spent = books.spent_under(asked.agreement) if asked.agreement else Amount()
        budget, delta = asked.agreement_budget, asked.delta
        add("this agreement", spent, budget, delta, fixed=asked.charged)
        rooms[-1] = replace(rooms[-1], own=True)
    everything, delta = books.spent(), min(books.delta, asked.delta)
    if asked.data_set_budget is not None:
        whose = "the student's labelled records" if asked.of_student else "this data set"
        add(whose, everything, asked.data_set_budget, delta, fixed=asked.charged)
    for one in asked.promises:
        whose = "this data set, by an earlier agreement"
        add(whose, everything, one.budget, min(books.delta, one.delta), fixed=True)
    if books.limit is not None:
        add("this data set's own limit", everything, books.limit, books.delta, fixed=True)
    for limit in limits_beside(books):
        add(limit.whose, limit.spent, limit.budget, limit.delta, fixed=True)
    return rooms


def _asked(arguments: argparse.Namespace, books: Books) -> Asked:
    if arguments.runs > MOST_RUNS:
        raise UsageError(f"At most {MOST_RUNS} runs are planned.", do="Plan for fewer runs.")
    numbers = arguments.epsilon is not None or arguments.delta is not None
    if arguments.agreement is not None:
        if numbers or arguments.budget is not None:
            raise UsageError(
                "An agreement says its own epsilon, delta and budgets.",
                do="Name FILE, or --epsilon, --delta and --budget.",
            )
        return _asked_by_agreement(arguments, books)
    if arguments.epsilon is None:
        raise UsageError(
            "There is nothing to plan.", do="Name an agreement, or --epsilon (and --delta)."
        )
    delta = books.delta if arguments.delta is None else arguments.delta
    known = known_agreements(arguments.state, [])
    of_student = is_of_student([*earlier_versions(arguments.state, books), books])
    budget = arguments.budget
    if budget is None and of_student:
        promised = promised_to_student(arguments.state, books)
        budget = min((one.budget for one in promised), default=None)
    elif budget is None:
        budgets = [a.privacy.data_set_budget for a in known.values() if a.privacy is not None]
        budget = min(budgets, default=None)
    if budget is None and books.limit is None:
        raise UsageError(
            "No budget of the data set is known.",
            do="Name one with --budget, or set a limit: secure-fedsa ledger limit.",
        )
    return Asked(
        cost=Amount(rho_for_epsilon(arguments.epsilon, delta)),
        runs=arguments.runs,
        charges=arguments.runs,
        agreement="",
        party="",
        agreement_budget=None,
        delta=delta,
        data_set_budget=budget,
        promises=(),
        unit=unit_of(books, {**agreements_beside(books), **known}),
        of_student=of_student,
        charged=False,
    )


def _asked_by_agreement(arguments: argparse.Namespace, books: Books) -> Asked:
    """Return what runs under an agreement would charge to a party's ledger.

    Raises:
        AgreementError: If the data set was charged for another unit or relation.
        UsageError: If it promises nothing for that party's records, or the party is not found.
    """
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.planning import plan as plan_of
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement = read_agreement(arguments.agreement).agreement
    plan_of(agreement)
    if agreement.privacy is None:
        raise UsageError(
            "This agreement has NO DIFFERENTIAL PRIVACY: there is no budget to plan for.",
            why="Its first run makes every epsilon of the data set infinite, for ever.",
        )
    party = arguments.teacher or _party_of(arguments.state, agreement)
    digest = agreement_hash(agreement)
    earlier = charged_before(arguments.state, books, digest)
    charged = digest in agreements_of(books)
    asked = Asked(
        cost=Amount(),
        runs=arguments.runs,
        charges=arguments.runs,
        agreement=digest,
        party=party,
        agreement_budget=agreement.privacy.agreement_budget,
        delta=agreement.privacy.delta,
        data_set_budget=agreement.privacy.data_set_budget,
        promises=promised_terms(earlier),
        unit=UnitOfAll(unit_and_neighbours(agreement.privacy), agreement.privacy.neighbours, ""),
        of_student=False,
        charged=charged,
    )
    require_unit_of_all(books, earlier, agreement)
    if party == agreement.only(STUDENT):
        return _of_student(asked, agreement, arguments.state, books)
    if party not in agreement.teachers:
        raise UsageError(
            f"{party} is no teacher of this agreement.",
            do=f"Its teachers: {', '.join(agreement.teachers)}.",
        )
    return replace(asked, cost=Amount.of([planned_event(agreement, party)]))


def _of_student(asked: Asked, agreement: Agreement, state: Path, books: Books) -> Asked:
    """Return what runs charge for the student's labelled records: one charge an agreement."""
    if agreement.student_privacy is None:
        raise UsageError(
            f"{asked.party} is the student, and this agreement promises nothing for its records.",
            why="Without [student_privacy] they are used without noise, and nothing is charged.",
            do="Name a teacher with --teacher, or an agreement with [student_privacy].",
        )
    terms = student_terms(agreement)
    made = f"{STUDENT_USE}{asked.agreement}" in books.charges
    promises = [one for one in promised_to_student(state, books) if one != terms]
    return replace(
        asked,
        cost=Amount.of([label_plan(agreement).event]),
        charges=0 if made else 1,
        agreement_budget=None,
        delta=terms.delta,
        data_set_budget=terms.budget,
        promises=tuple(promises),
        of_student=True,
    )


def _party_of(state: Path, agreement: Agreement) -> str:
    from secure_fedsa.cli.keys import existing_identity

    key = existing_identity(state).public.hex()
    for name in (*agreement.teachers, agreement.only(STUDENT)):
        if agreement.parties[name].key == key:
            return name
    raise UsageError(
        f"The key in {state} is of no teacher of this agreement, nor of its student.",
        do="Name the teacher whose run it would be, or the student, with --teacher.",
    )


def _json(asked: Asked, rooms: list[Room]) -> dict[str, Any]:
    return {
        "runs": asked.runs,
        "charges": asked.charges,
        "agreement": asked.agreement or None,
        "party": asked.party or None,
        **asked.unit.to_dict(),
        "one_run": spend_json(Spend.of(asked.cost, asked.delta)),
        "accountants": [{"name": n, "version": v} for n, v in accountants(asked.cost)],
        "fits": all(room.fits for room in rooms),
        "budgets": [room.to_json() for room in rooms],
        "remarks": [READING],
    }


def _told(asked: Asked, rooms: list[Room]) -> list[str]:
    one = Spend.of(asked.cost, asked.delta)
    lines = [f"{_costs(asked)} epsilon {number(one.epsilon)} at delta {one.delta:g} by itself"]
    lines += [f"  for {asked.unit.unit or 'a unit that is not known here'}"]
    lines += [f"  by {name}, version {version}" for name, version in accountants(asked.cost)]
    what = "uses under other agreements" if asked.of_student else "runs"
    for room in rooms:
        more = f"{room.more} or more" if room.more == MOST_COUNTED else str(room.more)
        lines += [
            f"{room.whose.capitalize()}: budget {room.budget:g} at delta {room.spent.delta:g}",
            f"  spent before  epsilon {number(room.spent.epsilon)}",
            f"  spent after   epsilon {number(room.after.epsilon)}",
            f"  such {what} that fit: {more}",
        ]
        if room.left is not None:
            lines.append(
                f"  left after, for one more release: epsilon {at_least(room.left.epsilon)}"
            )
        else:
            lines.append("  THEY DO NOT FIT" if asked.charges > 1 else "  IT DOES NOT FIT")
        if room.nearest is not None and str(room.nearest):
            lines.append(f"  what fits: {room.nearest}")
    if asked.charged and any(room.own and not room.fits for room in rooms):
        lines += wrapped(NEW_AGREEMENT, "")
    return lines


def _costs(asked: Asked) -> str:
    if asked.of_student and asked.agreement:
        if asked.charges == 0:
            return (
                "Runs under this agreement cost nothing more: the one use of the student's "
                "labelled records was charged,"
            )
        return "The one use of the student's labelled records, for all runs, costs"
    return "One run costs" if asked.runs == 1 else f"Each of {asked.runs} runs costs"
