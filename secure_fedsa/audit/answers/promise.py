"""What is promised to whom: unit, neighbours, parameters, and the total over time."""

from __future__ import annotations

import math
from collections.abc import Iterable

from secure_fedsa.agreement import PRIVATE_TRAINING
from secure_fedsa.audit.answers.model import Answer, Figure, Point, bound, figure
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.planning.unit_claim import UnitClaim
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.report import wording
from secure_fedsa.report.notices import FLOATING_POINT, NO_DIFFERENTIAL_PRIVACY

_FALSE_ALARMS = 0.05
_LARGE_DELTAS = (0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
"""No promise by themselves, but each of them limits what tests can do."""
NONE_HERE = "NO DIFFERENTIAL PRIVACY: the agreement has none, so this question has no answer."
NO_BOUND = "NO DIFFERENTIAL PRIVACY: nothing bounds what the run tells of a record."


def nothing_to_ask() -> tuple[Point, ...]:
    """Return the points of a question that only differential privacy gives a meaning."""
    return (Point("not applicable", NONE_HERE),)


def unit(source: Source) -> Answer:
    """Whose data one unit of the promise covers."""
    asked = "Whose data does the promise cover: one record, one person, or more?"
    topic = "unit of privacy"
    if not source.private:
        return Answer("unit", asked, topic, NONE_HERE, nothing_to_ask())
    promise = source.agreement.promise
    words = wording.unit(source.facts)
    points = [
        source.claim(
            "signatures",
            f"By the agreement that every party signed, the unit is {words}.",
            figures=[
                figure("unit", promise.unit),
                figure("records of a unit", promise.max_records),
            ],
            at=[
                *agreed("privacy.unit", "privacy.max_records"),
                *summed_up("/privacy_unit"),
            ],
        ),
        _other_units(source),
        *_institution(source),
        *_student(source),
    ]
    if promise.unit == "person":
        trained = source.agreement.route == PRIVATE_TRAINING
        most = f"{promise.max_records:,} record{'' if promise.max_records == 1 else 's'}"
        points.append(
            source.claim(
                "private-training" if trained else "private-summary",
                f"That of each person at most {most} added anything, by the ids of persons in the "
                "institution's own data, and a record without an id nothing. Somebody under two "
                "ids counts as two persons.",
                at=[*source.word_in_receipt, *agreed("privacy.max_records")],
            )
        )
    return Answer("unit", asked, topic, f"The unit is {words}, at one teacher.", tuple(points))


def _other_units(source: Source) -> Point:
    """Return what the same noise promises to larger units."""
    figures = _bounds(unit for unit in source.by_view.units if _is_of_records(unit))
    exact = ""
    if source.agreement.route == PRIVATE_TRAINING:
        exact = ", if it were exact: that of a training is floating-point"
    return source.claim(
        source.accounting_claim,
        f"What the noise that was charged promises to which unit, at the agreed delta{exact}. A "
        "person with more records than a line says, or at more teachers, loses more."
        f"{_not_stated(source)}{_nothing_for(source)}",
        figures=figures,
        at=[source.place_of(teacher, "/body/events") for teacher in source.charges],
    )


def _is_of_records(claim: UnitClaim) -> bool:
    return claim.id != "student-record" and not claim.id.startswith("institution")


def _not_stated(source: Source) -> str:
    """Return for which units of records no figure is stated, and why, as sentences after others."""
    found = (c for c in source.by_view.units if _is_of_records(c) and c.epsilon is None)
    return "".join(f" No figure for {claim.unit}: {claim.why}" for claim in found)


def _nothing_for(source: Source) -> str:
    """Return whom the agreement promises nothing, as a sentence after others; empty for nobody."""
    agreement = source.agreement
    nobody = [
        *(["an institution as a whole"] if agreement.institution_privacy is None else []),
        *(["the student's own records"] if agreement.student_privacy is None else []),
    ]
    return f" Nothing is promised to {' or to '.join(nobody)}." if nobody else ""


def _institution(source: Source) -> list[Point]:
    """Return what a whole institution is promised."""
    if source.agreement.institution_privacy is None:
        return []
    known = [claim for claim in source.by_view.units if claim.id.startswith("institution")]
    return [
        source.claim(
            "institution-share",
            "One institution's whole signal in the opened sum, against whoever sees the sum, alone "
            f"or with members of it. {known[0].why}",
            figures=_bounds(known),
            at=[*summed_up("/institution_privacy"), *agreed("institution_privacy")],
        )
    ]


def _bounds(claims: Iterable[UnitClaim]) -> list[Figure]:
    return [
        bound(f"epsilon for {claim.unit}", claim.epsilon)
        for claim in claims
        if claim.epsilon is not None
    ]


def _student(source: Source) -> list[Point]:
    """Return what the student's own labelled records are promised."""
    if source.agreement.student_privacy is None:
        return []
    (known,) = (claim for claim in source.by_view.units if claim.id == "student-record")
    return [
        source.claim(
            "student-summary",
            f"One labelled record of the student. {known.why}",
            figures=_bounds([known]),
            at=[*summed_up("/student_privacy"), *agreed("student_privacy")],
        )
    ]


_MEANS = {
    ("record", "add-remove"): (
        "A record whose content changes is one removal and one addition: its bound is the one of "
        "two such steps, not the one stated. One record more or less is covered; about how many "
        "there are is not."
    ),
    ("record", "replace-one"): (
        "A changed record or label is one step. Whether somebody's records are there at all, and "
        "how many records a teacher has, is not covered: the relation compares data sets of one "
        "size."
    ),
    ("person", "add-remove"): (
        "All of a person's records come or go together. One of them alone can cost less than is "
        "stated, or more, as another may count in its place: see the claims by unit. A person "
        "whose records change is one removal and one addition: its bound is the one of two such "
        "steps, not the one stated. One person more or less is covered; about how many there are "
        "is not."
    ),
    ("person", "replace-one"): (
        "All of a person's records are replaced together, in one step; one of them alone: see the "
        "claims by unit. Whether somebody is there at all, and how many persons a teacher has, is "
        "not covered: the relation compares data sets of as many persons."
    ),
}
"""What it means that data sets are neighbours, by unit and relation."""


def neighbours(source: Source) -> Answer:
    """Which two data sets are compared."""
    asked = "Which two data sets must give nearly the same outcome?"
    topic = "neighbouring data sets (bounded or unbounded)"
    if not source.private:
        return Answer("neighbours", asked, topic, NONE_HERE, nothing_to_ask())
    promise = source.agreement.promise
    relation = promise.neighbours
    words = wording.neighbours(source.facts)
    point = source.claim(
        "signatures",
        f"By the agreement, these are {words}, at one teacher. {_MEANS[promise.unit, relation]}",
        figures=[figure("relation", relation)],
        at=[*agreed("privacy.neighbours"), *summed_up("/neighbours")],
    )
    return Answer("neighbours", asked, topic, f"{words[:1].upper()}{words[1:]}.", (point,))


def parameters(source: Source) -> Answer:
    """How much a unit loses in this run, at most."""
    asked = "How much can a unit of the data lose in this run, at most?"
    topic = "privacy parameters, and what they mean"
    if not source.private:
        return Answer("parameters", asked, topic, NO_BOUND, _no_parameters(source))
    agreement, summary = source.agreement, source.summary
    epsilon, delta = float(summary["epsilon"]), agreement.promise.delta
    rho = summary["accounting"].get("rho")
    figures = [
        bound("epsilon", epsilon),
        bound("delta", delta),
        *([bound("rho (zCDP)", float(rho))] if rho is not None else []),
        bound("epsilon that the agreement allows a run", agreement.promise.epsilon),
        bound("factor by which the odds of a conclusion change, but for delta", math.exp(epsilon)),
        bound(
            f"share of hits of any test for one unit's records with {_FALSE_ALARMS:.0%} false "
            "alarms",
            _best_test(source),
        ),
    ]
    claimed = source.claim(
        source.accounting_claim,
        "Recomputed from the noise that the ledgers were charged for, for the teacher that loses "
        "most. Whoever tests whether one unit's records were there, with whatever they know "
        "beside, hits at most as often as shown, by the bounds at all deltas together.",
        figures=figures,
        at=[
            *summed_up("/epsilon", "/delta"),
            *agreed("privacy.epsilon", "privacy.delta"),
            *(source.place_of(teacher, "/body/events") for teacher in source.charges),
        ],
    )
    points = [claimed, _curve(source), *noise_was_drawn(source, _RESTS), *_of_trainings(source)]
    text = f"Epsilon {bound('', epsilon).text} at delta {bound('', delta).text}, for each teacher"
    if agreement.route == PRIVATE_TRAINING:
        text += ", if the noise were exact: that of a training is floating-point"
    text += "; recomputed from the noise that was charged. That it was drawn is each teacher's word"
    return Answer("parameters", asked, topic, f"{text}.", tuple(points))


_RESTS = "That the noise that was charged was drawn: without it none of these figures holds."


def noise_was_drawn(source: Source, text: str) -> list[Point]:
    """Return the word of those who drew noise in the run; nothing if nobody did."""
    if all(charge.stated for charge in source.charges.values()):
        return []
    return [source.claim("noise-was-drawn", text, at=source.word_in_receipt)]


def _curve(source: Source) -> Point:
    """Return the bound at other deltas, which say more than one pair."""
    agreed_unit = source.by_view.units[0]
    return source.claim(
        source.accounting_claim,
        "The same noise at other deltas: each pair holds.",
        figures=[
            bound(f"epsilon at delta {bound('', delta).text}", epsilon)
            for delta, epsilon in agreed_unit.curve
            if epsilon is not None
        ],
        at=[source.place_of(teacher, "/body/events") for teacher in source.charges],
    )


def _best_test(source: Source) -> float:
    """Return the most that a test hits at any teacher: every pair that holds bounds it."""
    deltas = (*_LARGE_DELTAS, source.agreement.promise.delta)
    costs: set[Amount] = {charge.cost for charge in source.charges.values()}
    return max(
        min(hits(cost.epsilon(delta), delta, _FALSE_ALARMS) for delta in deltas) for cost in costs
    )


def hits(epsilon: float, delta: float, false_alarms: float) -> float:
    """Return the largest power of a test at a false-alarm rate under (epsilon, delta).

    The trade-off of Kairouz, Oh and Viswanath (2015).

    >>> round(hits(1.0, 0.0, 0.05), 3), hits(50.0, 0.0, 0.05)
    (0.136, 1.0)
    """
    direct = math.exp(min(epsilon, 700.0)) * false_alarms + delta
    other = 1.0 - math.exp(-epsilon) * (1.0 - delta - false_alarms)
    return min(direct, other, 1.0)


def _no_parameters(source: Source) -> tuple[Point, ...]:
    ledgers = [source.place_of(teacher, "/body/events") for teacher in source.charges]
    return (
        source.missing(
            NO_DIFFERENTIAL_PRIVACY,
        ),
        source.claim(
            source.accounting_claim,
            "The agreement has no differential privacy, and each ledger notes a use without it.",
            figures=[figure("charged ledgers", len(source.charges))],
            at=[*agreed("route", "protection.dp"), *summed_up("/epsilon", "/notices"), *ledgers],
        ),
    )


def _of_trainings(source: Source) -> list[Point]:
    """Return what the number of a private training leaves open."""
    if source.agreement.route != PRIVATE_TRAINING:
        return []
    found = [source.missing(FLOATING_POINT)]
    stated = [name for name, charge in source.charges.items() if charge.stated]
    if stated:
        found.append(
            source.claim(
                "stated-training",
                "These teachers brought models that were trained before the run; that the "
                "training was the private one that the agreement states, nobody else saw.",
                figures=[figure("teachers", ", ".join(stated))],
                at=agreed(*(f"parties.{name}.stated" for name in stated)),
            )
        )
    return found


def over_time(source: Source) -> Answer:
    """What all runs together spent."""
    asked = "How much did all runs together spend, and what is left?"
    topic = "total privacy loss over many releases; mixing with other releases"
    points = (
        *_charged(source),
        *_without_a_segment(source),
        source.missing(
            "The total of each data set over all its agreements, and what its budget leaves: the "
            "folder holds this run's entries of each ledger, and how many each ledger says it had "
            "before. Every ledger begins with an entry that opens it; a run leaves several.",
            how="Ask each teacher for what `secure-fedsa ledger show STATE` prints of its own "
            "state folder: this run's id has to be among its runs. That is again its own word.",
            figures=[
                *_data_set_budget(source),
                *(
                    _entries_before(teacher, position)
                    for teacher, position in source.positions.items()
                ),
            ],
            at=[source.place_of(teacher, "/position") for teacher in source.charges],
        ),
        source.missing(
            "Releases from the same data by other software, or of other copies of the data: no "
            "ledger counts what it was not told of.",
            how="Ask the institutions what else they released.",
        ),
    )
    if source.private:
        text = (
            "Stated by each teacher for this agreement; not shown for its data set over all "
            "agreements."
        )
    else:
        text = "NO DIFFERENTIAL PRIVACY: from now on no total over these data sets has a bound."
    return Answer("over-time", asked, topic, text, points)


def _entries_before(teacher: str, position: int) -> Figure:
    """Return how many entries a ledger had; the first one opens it, and is of no run."""
    text = f"{position:,}"
    if position == 1:
        text = "1 (it opens the ledger: no earlier run)"
    elif position > 1:
        text = f"{position:,} (1 opens the ledger, {position - 1:,} of earlier runs and notes)"
    return Figure(f"entries before this run's, {teacher}", position, text)


def _without_a_segment(source: Source) -> list[Point]:
    """Return whose charge the folder does not have: they fell silent before they showed it."""
    silent = [name for name in source.agreement.teachers if name not in source.charges]
    if not silent:
        return []
    return [
        source.missing(
            "What the ledgers of these teachers were charged for this run: they published no "
            "entry of it. None of them is in the sum.",
            how="Ask them: a charge that bought nothing stays a charge.",
            figures=[figure("teachers without an entry", ", ".join(silent))],
        )
    ]


def _data_set_budget(source: Source) -> list[Figure]:
    if not source.private:
        return []
    budget = source.agreement.promise.data_set_budget
    return [bound("epsilon that the agreement allows all runs on a data set", budget)]


def _charged(source: Source) -> tuple[Point, ...]:
    """Return what this run charged, and what the ledgers say of all runs under the agreement."""
    events = [source.place_of(teacher, "/body/events") for teacher in source.charges]
    if not source.private:
        return (
            source.claim(
                source.accounting_claim,
                "Each charged ledger notes a use without differential privacy. This software "
                "charges no later run with an epsilon to such a data set.",
                figures=[figure("charged ledgers", len(source.charges))],
                at=events,
            ),
        )
    delta, budget = source.agreement.promise.delta, source.agreement.promise.agreement_budget
    return (
        source.claim(
            "ledger-segments",
            "What this run charged each teacher's ledger.",
            figures=[
                *(
                    bound(f"epsilon of this run, {teacher}", charge.cost.epsilon(delta))
                    for teacher, charge in source.charges.items()
                ),
                bound("delta", delta),
            ],
            at=events,
        ),
        source.word(
            source.charges,
            "What all runs under this agreement charged so far, this one included, as each "
            "teacher's signed ledger entries state it. The check finds a total below this run's "
            "charge, or past the agreed budget; earlier runs themselves are not in the folder.",
            figures=[
                *(
                    bound(f"epsilon so far, {teacher}", charge.agreement_total.epsilon(delta))
                    for teacher, charge in source.charges.items()
                ),
                bound("epsilon that the agreement allows all its runs", budget),
            ],
            at=[
                *agreed("privacy.agreement_budget"),
                *(source.place_of(teacher, "/body") for teacher in source.charges),
            ],
        ),
    )
