"""How long each party of a run computes, from the seconds of single operations.

Not in it: waiting for others and for the network, the student's own training, which
depends on its data, and the training and answers of models.
"""

from __future__ import annotations

from dataclasses import dataclass

from secure_fedsa.agreement import Agreement
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.planning.traffic import Load
from secure_fedsa.roles.noisy_release import noise_plan

_OWN_RECORDS = 12  # durable writes of one's own in a run: draws, acknowledgements, charges


@dataclass(frozen=True, slots=True)
class Units:
    """Seconds of single operations on this machine.

    Attributes:
        sent: Signing and storing a short message, and what a byte of a long one adds.
        taken: Checking and storing a short message, and what a byte of a long one adds.
        stored: One durable write.
        noise: One coordinate; None where teachers are models, whose training and answers are
            left out.
        record: Encoding and summing one record; None without the encoder's file, or for models.
        signal: Deriving both signals from the noisy summary; None for models.
        query_key: Making the query key and its proof.
        query: Encrypting the question.
        query_check: Checking modulus, proof and question.
        reply: One blinded answer.
        score: Opening one answer.
        feature_key: Making the feature key.
        feature_key_check: Checking its public part.
        mask: One partner's mask.
        encrypt: Encrypting a signal.
        upload_check: Checking one.
        add: Adding one.
        decrypt: Opening the sum.
    """

    sent: tuple[float, float]
    taken: tuple[float, float]
    stored: float
    noise: float | None
    record: float | None
    signal: float | None
    query_key: float
    query: float
    query_check: float
    reply: float
    score: float
    feature_key: float
    feature_key_check: float
    mask: float
    encrypt: float
    upload_check: float
    add: float
    decrypt: float


def seconds_by_party(
    agreement: Agreement, units: Units, loads: dict[str, Load], *, records: int
) -> dict[str, dict[str, float]]:
    """Return seconds by operation for every party, a teacher's as if it were selected.

    Args:
        agreement: The agreement.
        units: From :func:`measure`.
        loads: What each party sends and takes.
        records: Private records of a teacher.
    """
    return {name: _of_party(agreement, units, loads[name], name, records) for name in loads}


def _of_party(
    agreement: Agreement, units: Units, load: Load, name: str, records: int
) -> dict[str, float]:
    role, members = agreement.parties[name].role, agreement.selection.select
    teachers = len(agreement.teachers)
    found = {
        "messages": load.sent_messages * units.sent[0]
        + load.sent_bytes * units.sent[1]
        + load.received_messages * units.taken[0]
        + load.received_bytes * units.taken[1]
        + _OWN_RECORDS * units.stored,
        "feature_key": units.feature_key_check,
    }
    if role == TEACHER:
        if units.noise is not None:
            drawn = noise_plan(agreement, name).shape.noise_values
            if agreement.institution_privacy is not None:
                drawn += agreement.feature_values
            found["noise"] = units.noise * drawn
        if units.record is not None:
            found["records"] = units.record * records
        if units.signal is not None:
            found["signal"] = units.signal
        found["question"] = units.query_check + units.reply
        found["upload"] = (members - 1) * units.mask + units.encrypt
    if role == STUDENT:
        found["question"] = units.query_key + units.query
    if role == AGGREGATOR:
        found["scores"] = teachers * units.score
    if role in {AGGREGATOR, KEY_HOLDER}:
        found["sum"] = members * (units.upload_check + units.add)
    if name == agreement.custodian:
        found["feature_key"] += units.feature_key
        found["sum"] += units.decrypt
    return found
