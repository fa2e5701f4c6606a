"""What ``ledger plan`` works out: further runs against the budgets of a data set."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secure_fedsa.cli.ledger_show import known_agreements, open_ledger
from secure_fedsa.cli.parsing import printable
from secure_fedsa.cli.progress import Progress
from secure_fedsa.errors import LedgerError, PrivacyParameterError, UsageError
from secure_fedsa.privacy.accountant import rho_for_epsilon
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import (
    Nearest,
    Spend,
    fits,
    nearest_fit,
    rounded_down,
    what_is_left,
)
from secure_fedsa.privacy.ledger_books import Books
from secure_fedsa.report.ledger_view import READING, accountants, spend_json
from secure_fedsa.report.markup import number

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

MOST_COUNTED = 64
MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """Further runs that somebody asks about.

    Attributes:
        cost: Of one run.
        runs: How many.
        agreement: Hash of their agreement; empty for none.
        agreement_budget: Epsilon at ``delta`` for all runs under it; None without one.
        delta: The agreement's.
        data_set_budget: Epsilon at the smaller one of both deltas; None if not known.
    """

    cost: Amount
    runs: int
    agreement: str
    agreement_budget: float | None
    delta: float
    data_set_budget: float | None


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
    """

    whose: str
    budget: float
    spent: Spend
    after: Spend
    left: Spend | None
    fits: bool
    more: int
    nearest: Nearest | None

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
    cost = asked.cost
    if cost.trainings:
        progress.say("Accounting trainings takes about a second for each number of runs tried")
    rooms: list[Room] = []
    if asked.agreement_budget is not None:
        spent = books.spent_under(asked.agreement) if asked.agreement else Amount()
        budget, delta = asked.agreement_budget, asked.delta
        rooms.append(room_for("this agreement", spent, cost, asked.runs, budget, delta))
    everything, delta = books.spent(), min(books.delta, asked.delta)
    if asked.data_set_budget is not None:
        budget = asked.data_set_budget
        rooms.append(room_for("this data set", everything, cost, asked.runs, budget, delta))
    if books.limit is not None:
        whose = "this data set's own limit"
        room = room_for(whose, everything, cost, asked.runs, books.limit, books.delta)
        if room.nearest is not None:  # a limit cannot be raised
            room = replace(room, nearest=replace(room.nearest, budget=None))
        rooms.append(room)
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
        return _asked_by_agreement(arguments)
    if arguments.epsilon is None:
        raise UsageError(
            "There is nothing to plan.", do="Name an agreement, or --epsilon (and --delta)."
        )
    delta = books.delta if arguments.delta is None else arguments.delta
    budget = arguments.budget
    if budget is None:
        known = known_agreements(arguments.state, []).values()
        budgets = [a.privacy.data_set_budget for a in known if a.privacy is not None]
        budget = min(budgets, default=None)
    if budget is None and books.limit is None:
        raise UsageError(
            "No budget of the data set is known.",
            do="Name one with --budget, or set a limit: secure-fedsa ledger limit.",
        )
    cost = Amount(rho_for_epsilon(arguments.epsilon, delta))
    return Asked(cost, arguments.runs, "", None, delta, budget)


def _asked_by_agreement(arguments: argparse.Namespace) -> Asked:
    from secure_fedsa.cli.agreement_file import read_agreement
    from secure_fedsa.planning import plan as plan_of
    from secure_fedsa.roles.charges import planned_event
    from secure_fedsa.wire.agreement_signatures import agreement_hash

    agreement = read_agreement(arguments.agreement).agreement
    plan_of(agreement)
    if agreement.privacy is None:
        raise UsageError(
            "This agreement has NO DIFFERENTIAL PRIVACY: there is no budget to plan for.",
            why="Its first run makes every epsilon of the data set infinite, for ever.",
        )
    teacher = arguments.teacher or _teacher_of(arguments.state, agreement)
    if teacher not in agreement.teachers:
        raise UsageError(
            f"{teacher} is no teacher of this agreement.",
            do=f"Its teachers: {', '.join(agreement.teachers)}.",
        )
    return Asked(
        cost=Amount.of([planned_event(agreement, teacher)]),
        runs=arguments.runs,
        agreement=agreement_hash(agreement),
        agreement_budget=agreement.privacy.agreement_budget,
        delta=agreement.privacy.delta,
        data_set_budget=agreement.privacy.data_set_budget,
    )


def _teacher_of(state: Path, agreement: Agreement) -> str:
    from secure_fedsa.cli.keys import existing_identity

    key = existing_identity(state).public.hex()
    for name in agreement.teachers:
        if agreement.parties[name].key == key:
            return name
    raise UsageError(
        f"The key in {state} is of no teacher of this agreement.",
        do="Name the teacher whose run it would be with --teacher.",
    )


def _json(asked: Asked, rooms: list[Room]) -> dict[str, Any]:
    return {
        "runs": asked.runs,
        "agreement": asked.agreement or None,
        "one_run": spend_json(Spend.of(asked.cost, asked.delta)),
        "accountants": [{"name": n, "version": v} for n, v in accountants(asked.cost)],
        "fits": all(room.fits for room in rooms),
        "budgets": [room.to_json() for room in rooms],
        "remarks": [READING],
    }


def _told(asked: Asked, rooms: list[Room]) -> list[str]:
    one = Spend.of(asked.cost, asked.delta)
    count = "One run costs" if asked.runs == 1 else f"Each of {asked.runs} runs costs"
    lines = [f"{count} epsilon {number(one.epsilon)} at delta {one.delta:g} by itself"]
    for room in rooms:
        more = f"{room.more} or more" if room.more == MOST_COUNTED else str(room.more)
        lines += [
            f"{room.whose.capitalize()}: budget {room.budget:g} at delta {room.spent.delta:g}",
            f"  spent before  epsilon {number(room.spent.epsilon)}",
            f"  spent after   epsilon {number(room.after.epsilon)}",
            f"  such runs that fit: {more}",
        ]
        if room.left is not None:
            lines.append(
                f"  left after, for one more release: epsilon {rounded_down(room.left.epsilon):g}"
            )
        else:
            lines.append("  THEY DO NOT FIT" if asked.runs > 1 else "  IT DOES NOT FIT")
        if room.nearest is not None and str(room.nearest):
            lines.append(f"  what fits: {room.nearest}")
    return lines
