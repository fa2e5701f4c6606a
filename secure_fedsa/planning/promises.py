"""What a run will spend and send, worked out before it starts; refuses what cannot hold.

Nothing here reads private data or draws randomness: everybody who holds the agreement gets
the same plan.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.encryption.interface import bfv_parameters, score_bound
from secure_fedsa.encryption.parameters import Headroom, check_headroom
from secure_fedsa.encryption.scoring import score_modulus
from secure_fedsa.errors import AgreementError, PrivacyParameterError, SecureFedsaError
from secure_fedsa.planning.messages import query_body_bytes
from secure_fedsa.planning.sizes import reply_bytes
from secure_fedsa.planning.traffic import Traffic, check_length, traffic
from secure_fedsa.privacy.accountant import rho_for_epsilon
from secure_fedsa.privacy.cross_check import CrossCheck, cross_check
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.shared_noise import View, ViewFigure, figures, least_modulus
from secure_fedsa.privacy.shown import at_most
from secure_fedsa.privacy.training_accountant import runs_within, training_epsilon
from secure_fedsa.privacy.training_check import TrainingCheck, training_check
from secure_fedsa.roles.charges import is_stated, planned_event, tolerance
from secure_fedsa.roles.noisy_release import noise_plan, share_plan
from secure_fedsa.roles.private_student import label_plan

PLANNED: View = "sum-and-colluding"
"""The view that shares are planned for."""
WRAPS_AT_MOST = 1e-6
"""Probability that a value of the sum wraps around; it costs the result, not privacy."""
_LARGEST_EPSILON = 100.0
_LONGEST_SCORE = 63  # bits of the score modulus: scores are summed in 64-bit integers
_LEAST_FLOOR = 1.0  # records: means of fewer would be noise divided by next to nothing
_MOST_RUNS_COUNTED = 64
_LEAST, _MOST = 1e-9, 1e12  # of scales: beyond, products of floats could overflow


Accounting: TypeAlias = CrossCheck | TrainingCheck


class PlanError(AgreementError):
    """An agreement that can be read, but cannot keep what it promises."""

    exit_code = 1

    @classmethod
    def of(cls, error: AgreementError) -> PlanError:
        """Return an error about an agreement as one about its promises."""
        what = error.what.removeprefix(f"{error.clause}: ")
        return cls(error.clause, what, why=error.why, do=error.do)


@dataclass(frozen=True, slots=True)
class Promises:
    """What an agreement was found to be able to keep, by its own rules, L1 to L9, L11 and L12.

    Attributes:
        accounting: The headline epsilon and its cross-checks, for the worst teacher; None in a
            route without differential privacy.
        headroom: What the sum leaves unused, or None without encryption.
        collusion_bits: log2 of the score modulus: the most that key holder and aggregator
            together learn of a teacher's saliency in this run, or that key holder and one
            teacher learn of the query.
        upload_bytes: Most bytes of one teacher's encrypted features.
        query_bytes: Bytes of the encrypted query.
        smallest_sum: Fewest teachers whose sum may be opened.
        tolerated_losses: Teachers that may drop out after the roster is complete: none.
        student: Accounting of the student's labelled records; None where nothing is promised.
        institution: What the opened sum tells each view about one member's whole signal; empty
            where nothing is promised.
    """

    accounting: Accounting | None
    headroom: Headroom | None
    collusion_bits: int | None
    upload_bytes: int
    query_bytes: int
    smallest_sum: int
    tolerated_losses: int
    student: CrossCheck | None
    institution: tuple[ViewFigure, ...]


@dataclass(frozen=True, slots=True)
class Plan(Promises):
    """What was proved about a run before it starts: promises, and what they cost.

    Attributes:
        runs_in_budget: Runs of this size that the agreement's budget allows a teacher; None
            where there is no budget. Of trainings at most 64 are counted.
        traffic: Messages and bytes by party.
    """

    runs_in_budget: int | None
    traffic: Traffic

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return {
            "accounting": self.accounting and self.accounting.to_dict(),
            "runs_in_budget": self.runs_in_budget,
            "headroom": None if self.headroom is None else asdict(self.headroom),
            "collusion_bits": self.collusion_bits,
            "upload_bytes": self.upload_bytes,
            "query_bytes": self.query_bytes,
            "smallest_sum": self.smallest_sum,
            "tolerated_losses": self.tolerated_losses,
            **({"student": self.student.to_dict()} if self.student else {}),
            **(
                {"institution": [asdict(one) for one in self.institution]}
                if self.institution
                else {}
            ),
            "bytes": {
                "total": self.traffic.total_bytes,
                "by_kind": self.traffic.by_kind,
                "by_party": {name: asdict(load) for name, load in self.traffic.by_party.items()},
            },
        }


def plan(agreement: Agreement) -> Plan:
    """Return the plan of an agreement that can keep its promises; signatures do not matter.

    Raises:
        PlanError: Naming the clause: if the agreement contradicts itself, its noise does not
            give its epsilon, its sums or scores could wrap or lose their noise budget, or a
            message would be too long. Nothing has happened yet.
        CrossCheckError: If two accountants disagree.
    """
    kept = check_promises(agreement)
    try:
        sent = traffic(agreement)
    except AgreementError as error:
        raise PlanError.of(error) from error
    return Plan(
        **{entry.name: getattr(kept, entry.name) for entry in fields(kept)},
        runs_in_budget=_runs_in_budget(agreement, kept.accounting),
        traffic=sent,
    )


def check_promises(agreement: Agreement) -> Promises:
    """Return what whoever meets an agreement must judge of it, as :func:`plan` does first.

    The traffic is for those who will send it: of a run that is over, the messages show their
    lengths themselves.

    Raises:
        PlanError: As :func:`plan`; of messages, only the query is judged.
        CrossCheckError: If two accountants disagree.
    """
    try:
        agreement.check()
        return _promises(agreement)
    except AgreementError as error:
        raise PlanError.of(error) from error


def collusion_bits(agreement: Agreement) -> int | None:
    """Return log2 of the score modulus, None without encryption.

    Raises:
        HeadroomError: If the scores of the agreement fit no modulus.
    """
    if not agreement.protection.he:
        return None
    bits = agreement.encryption.query_modulus_bits
    return score_modulus(score_bound(agreement), bits).bit_length() - 1


def _promises(agreement: Agreement) -> Promises:
    accounting = _accounting(agreement)
    _check_scales(agreement)
    headroom = _arithmetic(agreement)
    encrypted, values = agreement.protection.he, agreement.saliency.values
    found = Promises(
        accounting=accounting,
        headroom=headroom if encrypted else None,
        collusion_bits=collusion_bits(agreement),
        upload_bytes=headroom.payload_bytes if encrypted else 8 * agreement.feature_values,
        query_bytes=values * reply_bytes(agreement),
        smallest_sum=agreement.selection.smallest_sum,
        tolerated_losses=0,
        student=_student(agreement),
        institution=_institution(agreement),
    )
    check_length(agreement, "query", query_body_bytes(agreement))
    return found


def _runs_in_budget(agreement: Agreement, accounting: Accounting | None) -> int | None:
    if accounting is None:
        return None
    budget, delta = agreement.promise.agreement_budget, agreement.promise.delta
    if isinstance(accounting, CrossCheck):
        return max(1, int(rho_for_epsilon(budget, delta) / accounting.rho))
    return runs_within(_worst_training(agreement), budget, delta, most=_MOST_RUNS_COUNTED)


def _check_budgets(agreement: Agreement, accounting: Accounting) -> None:
    promise = agreement.promise
    for name in ("agreement_budget", "data_set_budget"):
        if accounting.epsilon > getattr(promise, name):
            raise AgreementError(
                f"privacy.{name}",
                f"{getattr(promise, name):g} is below the {at_most(accounting.epsilon, 9)} of one "
                "run.",
                do="Raise the budget or the noise multiplier.",
            )
    try:
        rho_for_epsilon(promise.agreement_budget, promise.delta)
    except PrivacyParameterError as error:
        raise AgreementError(
            "privacy.agreement_budget", error.what, why=error.why, do=error.do
        ) from error


def _check_scales(agreement: Agreement) -> None:
    """Refuse scales under which a teacher's signals would fail after it was charged."""
    saliency, scales = agreement.saliency, []
    if agreement.route == NOISY_RELEASE:
        floor = agreement.mechanism.count_floor
        if floor < _LEAST_FLOOR:
            raise AgreementError(
                "privacy.count_floor", f"is {floor:g} records.", do="Use at least 1; 20 is usual."
            )
        scales = [("privacy.clip_norm", agreement.mechanism.clip_norm)]
        scales += [("privacy.count_floor", floor)]
    for clause, value in (
        *scales,
        ("saliency.unit", saliency.unit),
        ("saliency.teacher_bound", saliency.teacher_bound),
        ("saliency.query_bound", saliency.query_bound),
        ("features.scale", agreement.features.scale),
    ):
        if not _LEAST <= value <= _MOST:
            raise AgreementError(
                clause, f"is {value:g}.", do=f"Use a number from {_LEAST:g} to {_MOST:g}."
            )


def _arithmetic(agreement: Agreement) -> Headroom:
    """Return headroom, scores checked too; without encryption sums and scores wrap as well."""
    bits = agreement.encryption.query_modulus_bits
    clause = "encryption"
    try:
        parameters = bfv_parameters(agreement)
        if 2 * agreement.selection.select * agreement.features.bound >= parameters.plain_modulus:
            clause = "features.bound"  # check_headroom says what could happen
        headroom = check_headroom(
            parameters,
            parties=agreement.selection.select,
            feature_bound=agreement.features.bound,
            values=agreement.feature_values,
        )
        clause = "saliency"
        modulus = score_modulus(score_bound(agreement), bits)
    except SecureFedsaError as error:
        raise AgreementError(clause, error.what, why=error.why, do=error.do) from error
    if modulus.bit_length() > _LONGEST_SCORE:
        raise AgreementError(
            "saliency",
            "scores of this many values and bits pass 61 bits.",
            do="Use fewer directions or bits.",
        )
    return headroom


def _accounting(agreement: Agreement) -> Accounting | None:
    if agreement.privacy is None:
        return None
    promise = agreement.promise
    try:
        if agreement.route == NOISY_RELEASE:
            events = [noise_plan(agreement, teacher).event for teacher in agreement.teachers]
            # One sensitivity and scale for all; what grows with the coordinates is the transfer.
            largest = max(events, key=lambda event: event.coordinates)
            worst: Accounting = cross_check([largest], promise.delta)
        else:
            worst = training_check(_worst_training(agreement), promise.delta)
    except PrivacyParameterError as error:
        raise AgreementError("privacy", error.what, why=error.why, do=error.do) from error
    if worst.epsilon > promise.epsilon * (1 + tolerance(agreement)):
        raise AgreementError(
            *_too_little_noise(agreement, worst.epsilon),
            do="Raise the noise multiplier or the epsilon.",
        )
    _check_budgets(agreement, worst)
    return worst


def _student(agreement: Agreement) -> CrossCheck | None:
    """Return the accounting of the one summary of the student's labelled records."""
    if agreement.student_privacy is None:
        return None
    promise, delta = agreement.student_promise, agreement.promise.delta
    try:
        check = cross_check([label_plan(agreement).event], delta)
        rho_for_epsilon(promise.budget, delta)
    except PrivacyParameterError as error:
        raise AgreementError("student_privacy", error.what, why=error.why, do=error.do) from error
    for name, limit in (
        ("noise_multiplier", promise.epsilon * (1 + tolerance(agreement))),
        ("budget", promise.budget),
    ):
        if check.epsilon > limit:
            raise AgreementError(
                f"student_privacy.{name}",
                f"{getattr(promise, name):g} does not go with the epsilon "
                f"{at_most(check.epsilon, 9)} that the noise gives at delta {delta:g}; "
                f"{promise.epsilon:g} is promised.",
                do="Raise the noise multiplier, or the epsilon and the budget.",
            )
    return check


def _institution(agreement: Agreement) -> tuple[ViewFigure, ...]:
    """Return what the sum tells each view about one member: the smallest sum that may be opened."""
    if agreement.institution_privacy is None:
        return ()
    promise, clause = agreement.institution_promise, "institution_privacy"
    try:
        event = share_plan(agreement)
        found = figures([event], agreement.promise.delta)
        modulus = least_modulus(
            event, largest_roster=agreement.selection.select, failure=WRAPS_AT_MOST
        )
    except PrivacyParameterError as error:
        raise AgreementError(clause, error.what, why=error.why, do=error.do) from error
    planned = next(figure for figure in found if figure.view == PLANNED)
    if planned.epsilon > min(promise.epsilon * (1 + tolerance(agreement)), _LARGEST_EPSILON):
        raise AgreementError(
            f"{clause}.share_scale",
            f"{promise.share_scale:g} gives epsilon {at_most(planned.epsilon, 6)} from "
            f"{planned.shares} shares, not {promise.epsilon:g}, at delta "
            f"{agreement.promise.delta:g}.",
            do="Raise the share's scale, the minimum cohort or the epsilon.",
        )
    if modulus > agreement.encryption.plain_modulus:
        raise AgreementError(
            f"{clause}.norm_bound",
            f"and the noise need a plain modulus of {modulus} at least.",
            why=f"Else a value of the sum wraps with probability above {WRAPS_AT_MOST:g}.",
            do="Lower norm bound and share scale together: a coarser grid costs nothing here.",
        )
    return found


def _worst_training(agreement: Agreement) -> DpSgdTraining:
    """Return the training that costs most, the agreed one or one that a teacher stated."""
    delta = agreement.promise.delta
    events = {planned_event(agreement, teacher) for teacher in agreement.teachers}
    trainings = [event for event in events if isinstance(event, DpSgdTraining)]
    return max(trainings, key=lambda event: training_epsilon([event], delta))


def _too_little_noise(agreement: Agreement, epsilon: float) -> tuple[str, str]:
    """Return the clause and the words of noise that does not keep the promise."""
    promise = agreement.promise
    gives = (
        f"gives epsilon {at_most(epsilon, 6)}, not {promise.epsilon:g}, at delta {promise.delta:g}."
    )
    if agreement.route == NOISY_RELEASE:
        return "privacy.noise_multiplier", f"{agreement.mechanism.noise_multiplier:g} {gives}"
    worst = _worst_training(agreement)
    for teacher in agreement.teachers:
        if is_stated(agreement, teacher) and planned_event(agreement, teacher) == worst:
            return f"parties.{teacher}.stated", gives
    return "training.noise_multiplier", f"{worst.noise_multiplier:g} {gives}"
