"""Opening the one sum of a run, by whoever has custody of the feature key."""

from __future__ import annotations

from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.messages import STUDENT, Permit, Release, SealedSum
from secure_fedsa.roles.effects import Effect, Send
from secure_fedsa.roles.session import Session
from secure_fedsa.signals import Aggregate


def open_sum(session: Session, permit: Permit, aggregate: Aggregate) -> list[Effect]:
    """Return the messages that tell of an opened sum, as the agreement publishes it.

    Args:
        session: The custodian's.
        permit: What may be opened: roster, sum and signals.
        aggregate: The sum over that roster.

    Raises:
        ProtocolError: If the sum does not belong to the feature key, or is out of range.
    """
    publish = session.agreement.publish
    opened = suite_of(session.agreement).decrypt(session.feature_secret, aggregate)
    values = opened.values.astype("<i8").tobytes()
    release = Release(
        permit.roster_hash,
        permit.sum_hash,
        permit.signal_ids,
        values if publish.sums else b"",
        session.feature_secret if publish.feature_key else b"",
    )
    if publish.sums:
        return [Send(release)]
    student = session.agreement.only(STUDENT)
    return [Send(SealedSum(permit.roster_hash, values), student), Send(release)]
