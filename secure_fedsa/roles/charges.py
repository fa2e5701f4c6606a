"""What a run charges each teacher's ledger, by route, and how others check that it did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, Agreement
from secure_fedsa.errors import LedgerError, PrivacyParameterError, ProtocolError
from secure_fedsa.messages import LedgerSegment
from secure_fedsa.privacy.accountant import EPSILON_TOLERANCE
from secure_fedsa.privacy.events import DpSgdTraining, Event, Unprotected
from secure_fedsa.privacy.ledger_books import Charge, Terms, verify_segment
from secure_fedsa.privacy.training_accountant import PLD_TOLERANCE
from secure_fedsa.roles.noisy_release import noise_plan

if TYPE_CHECKING:
    from secure_fedsa.roles.session import Session


def planned_event(agreement: Agreement, teacher: str) -> Event:
    """Return the one event that a run charges a teacher's data set with.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    if agreement.route == NOISY_RELEASE:
        return noise_plan(agreement, teacher).event
    if agreement.route == ENCRYPTION_ONLY:
        return Unprotected()
    assert agreement.training is not None
    how = agreement.parties[teacher].stated or agreement.training
    return DpSgdTraining(how.noise_multiplier, how.sampling_rate, how.steps)


def is_stated(agreement: Agreement, teacher: str) -> bool:
    """Return whether a teacher brings a model whose private training is its own word."""
    return agreement.parties[teacher].stated is not None


def terms_of(agreement: Agreement) -> Terms | None:
    """Return the budget of all runs under an agreement; None without differential privacy."""
    if agreement.privacy is None:
        return None
    return Terms(agreement.promise.agreement_budget, agreement.promise.delta)


def data_set_budget(agreement: Agreement) -> float | None:
    """Return the epsilon of all runs on a data set; None without differential privacy."""
    return None if agreement.privacy is None else agreement.promise.data_set_budget


def tolerance(agreement: Agreement) -> float:
    """Return by how much two machines' epsilons of the same events may differ, relatively."""
    return EPSILON_TOLERANCE if agreement.route == NOISY_RELEASE else PLD_TOLERANCE


def check_segment(segment: LedgerSegment, session: Session, sender: str) -> Charge:
    """Return the charge that a teacher's ledger segment shows.

    Raises:
        ProtocolError: If the segment is damaged, or does not show the agreed charge of this
            run, reserved and committed.
    """
    agreement = session.agreement
    try:
        charge = verify_segment(segment.entries)
    except LedgerError as error:
        raise ProtocolError(sender, "sent a damaged ledger segment.", why=str(error)) from error
    if (
        charge.run_id != session.run_id
        or charge.agreement != session.agreement_hash
        or charge.events != (planned_event(agreement, sender),)
        or charge.terms != terms_of(agreement)
        or charge.stated != is_stated(agreement, sender)
        or not _of_one_kind(charge)
        or not charge.committed
        or segment.head != segment.entries[-1]["hash"]
    ):
        raise ProtocolError(
            sender,
            "sent a ledger segment without the agreed charge of this run.",
            clause="privacy" if agreement.privacy is not None else "route",
        )
    if not _within_budget(charge, tolerance(agreement)):
        raise ProtocolError(
            sender,
            "sent a ledger segment whose total is past the agreed budget.",
            clause="privacy.agreement_budget",
        )
    return charge


def _of_one_kind(charge: Charge) -> bool:
    """Return whether all trainings under the agreement are of the charged kind.

    An agreement gives a teacher one training. To account hundreds of kinds would take hours.
    """
    kinds = {(event.noise_multiplier, event.sampling_rate) for event in charge.cost.trainings}
    total = charge.agreement_total.trainings
    return {(event.noise_multiplier, event.sampling_rate) for event in total} == kinds


def _within_budget(charge: Charge, slack: float) -> bool:
    """Return whether all charges under the agreement, this one included, are within its budget."""
    if charge.terms is None:
        return True
    try:
        total = charge.agreement_total.epsilon(charge.terms.delta)
    except PrivacyParameterError:
        return False  # a total beyond any claim
    return total <= charge.terms.budget * (1 + slack)
