"""What a party agrees to, in a few lines."""

from __future__ import annotations

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import counted
from secure_fedsa.planning import Plan, unit_words
from secure_fedsa.privacy.shown import at_most
from secure_fedsa.report.notices import notices


def terms(agreement: Agreement, planned: Plan) -> list[str]:
    """Return in a few lines what a party agrees to."""
    selection, publish = agreement.selection, agreement.publish
    shown = [
        name
        for name, yes in (
            ("masked ciphertexts", publish.ciphertexts),
            ("the opened sum", publish.sums),
            ("the used feature key", publish.feature_key),
        )
        if yes
    ]
    lines = [
        f"  {len(agreement.teachers)} teachers, {len(agreement.parties)} parties in all",
        *promised(agreement, planned),
        *student_promised(agreement, planned),
        *institution_promised(agreement, planned),
        (
            f"  A sum is of {selection.smallest_sum} to {selection.select} teachers, of whom "
            f"{selection.max_colluding} may collude; its key is with {agreement.custodian}"
        ),
        f"  Published: scores {publish.scores}; {', '.join(shown) or 'nothing of the sum'}",
    ]
    lines += [f"  {text}" for text in kept(agreement)]
    lines += [f"  {text}" for text in notices(agreement)]
    if not agreement.protection.he:
        lines.append("  WARNING: ENCRYPTION AND MASKS ARE OFF. Single signals are open.")
    if agreement.simulation:
        lines.append("  WARNING: A SIMULATION. Noise may come from a seed and protect nobody.")
    return lines


def kept(agreement: Agreement) -> list[str]:
    """Return how long parties keep what runs leave; nothing where that is not agreed."""
    agreed = agreement.retention
    if agreed is None:
        return []
    lines = counted(agreed.local_log_days, "day") if agreed.local_log_days else "until a run's end"
    return [
        (
            f"Kept at most: lines of local logs {lines}; a run that was cut off "
            f"{counted(agreed.unfinished_days, 'day')}; ledgers and release logs for ever"
        )
    ]


def student_promised(agreement: Agreement, planned: Plan) -> list[str]:
    """Return what the student's labelled records lose; nothing where nothing is promised."""
    if planned.student is None:
        return []
    check, budget = planned.student, agreement.student_promise.budget
    spent = f"epsilon {at_most(check.epsilon)} at delta {check.delta:g}, once for all runs"
    return [f"  The student's labelled records lose {spent}; budget of all their uses: {budget:g}"]


def institution_promised(agreement: Agreement, planned: Plan) -> list[str]:
    """Return what a whole teacher loses by the sum, and what that costs; nothing if unpromised."""
    if not planned.institution:
        return []
    promise, selection = agreement.institution_promise, agreement.selection
    alone, colluding, all_others = planned.institution
    noise = promise.share_scale * selection.select**0.5 / (selection.select * promise.norm_bound)
    return [
        (
            f"  A whole teacher loses epsilon {at_most(colluding.epsilon)} at delta "
            f"{colluding.delta:g} ({promise.neighbours}) by a run's sum, told with "
            f"{selection.max_colluding} of its teachers; {at_most(alone.epsilon)} without them;"
        ),
        (
            f"  {at_most(all_others.epsilon)} against all others together, which is no promise. "
            f"Noise of the mean signal: {noise:.2g} of the norm bound a value. Measured: with "
            "fewer than 25 teachers at 8, or 50 at 4, a student did worse than with no teachers at "
            "all (docs/decisions/0019)"
        ),
    ]


def promised(agreement: Agreement, planned: Plan) -> list[str]:
    """Return what a run spends and what budgets hold, or that there is no such promise."""
    accounting, privacy = planned.accounting, agreement.privacy
    if accounting is None or privacy is None:
        return ["  Route encryption-only: no epsilon, no budget"]
    return [
        (
            f"  A run spends epsilon {at_most(accounting.epsilon)} at delta {privacy.delta:g} "
            f"{unit_words.per_unit(privacy)} at each teacher, by {agreement.route};"
        ),
        (
            f"  budgets: {privacy.agreement_budget:g} for this agreement (room for "
            f"{_room(planned)}), {privacy.data_set_budget:g} for a data set"
        ),
    ]


def _room(planned: Plan) -> str:
    return "nothing" if planned.runs_in_budget is None else counted(planned.runs_in_budget, "run")
