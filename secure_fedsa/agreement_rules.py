"""The rules that an agreement must keep by itself, each named by its clause."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from secure_fedsa.agreement_tables import (
    MOST_STEPS,
    MOST_TRAININGS,
    NOISE_MULTIPLIERS,
    NOISY_RELEASE,
    PRIVATE_TRAINING,
    VALUES_OF_A_MAP,
    Answers,
    InstitutionPrivacy,
    Privacy,
    Promise,
    Retention,
    Stated,
    StudentPrivacy,
    Training,
)
from secure_fedsa.errors import AgreementError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, PARTY_NAME, STUDENT, TEACHER

if TYPE_CHECKING:
    from secure_fedsa.agreement import Agreement

VERSION = 1
_PARTY = re.compile(PARTY_NAME)
_HASH = re.compile(r"[0-9a-f]{64}")
MOST_PARTIES = 200
MOST_DAYS = 36_500
MOST_CLASSES = 10_000
"""Classes of the student whose labelled records are summed."""
_LEAST_SHARE, _LARGEST_NORM = 0.5, 2**30
_LEAST_OF_TRAINING, _MOST_OF_TRAINING = 1e-9, 1e12
_MOST_PROBES, _MOST_COLUMNS = 10**6, 4096
# The y-coordinates of Ed25519's points of small order, in all their spellings (the two beyond
# the field's size too): under such a key one signature verifies for many messages.
_SMALL_ORDER = frozenset(
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def has_small_order(key: str) -> bool:
    """Return whether an Ed25519 key (64 hexadecimal digits) is a point of small order.

    >>> has_small_order("01" + "00" * 31)
    True
    """
    last = int(key[62:], 16) & 0x7F  # without the sign of x
    return key[:62] + f"{last:02x}" in _SMALL_ORDER


def check_rules(agreement: Agreement) -> None:
    """Refuse an agreement that contradicts itself.

    Raises:
        AgreementError: Naming the clause and what to change.
    """
    if agreement.version != VERSION:
        raise AgreementError("version", f"is {agreement.version}; this software speaks {VERSION}.")
    _check_parties(agreement)
    _check_privacy(agreement)
    _check_signals(agreement)
    _check_selection(agreement)
    _check_publish(agreement)
    if agreement.retention is not None:
        _check_retention(agreement.retention)


def _check_parties(agreement: Agreement) -> None:
    for role in (AGGREGATOR, KEY_HOLDER, STUDENT):
        if len(agreement.names(role)) != 1:
            raise AgreementError("parties", f"there must be exactly one {role}.")
    if len(agreement.parties) > MOST_PARTIES:
        raise AgreementError("parties", f"there may be at most {MOST_PARTIES}.")
    keys: dict[str, str] = {}
    for name, party in agreement.parties.items():
        clause = f"parties.{name}"
        if not _PARTY.fullmatch(name):
            raise AgreementError(
                clause, "a name has 1 to 40 lower-case letters, digits and hyphens."
            )
        if not _HASH.fullmatch(party.key):
            raise AgreementError(f"{clause}.key", "must be 64 hexadecimal digits (Ed25519).")
        if has_small_order(party.key):
            raise AgreementError(
                f"{clause}.key",
                "is a point of small order.",
                why="One signature would verify for many messages.",
                do="Make a key with `secure-fedsa keys new`.",
            )
        if party.key in keys:
            raise AgreementError(
                f"{clause}.key",
                f"is also the key of {keys[party.key]}.",
                why="One identity may not speak for two parties.",
                do="Give every party its own key.",
            )
        keys[party.key] = name
        if (party.role == TEACHER) != bool(party.classes):
            raise AgreementError(
                f"{clause}.classes", "teachers name their public label set, others have none."
            )
        if len(set(party.classes)) != len(party.classes):
            raise AgreementError(f"{clause}.classes", "a label is named twice.")
        least = 2 if agreement.answers is None else 1  # a model may predict one value
        if party.role == TEACHER and len(party.classes) < least:
            raise AgreementError(f"{clause}.classes", "a task needs at least two classes.")


def _check_privacy(agreement: Agreement) -> None:
    protection, private = agreement.protection, agreement.privacy is not None
    if protection.dp != private:
        raise AgreementError(
            "protection.dp",
            f"is {str(protection.dp).lower()}, but the route {agreement.route} "
            + ("always has it." if private else "has NO DIFFERENTIAL PRIVACY."),
            do=f"Set it to {str(private).lower()}, or agree on another route.",
        )
    if protection.he != protection.masks:
        raise AgreementError("protection", "he and masks are switched together.")
    if not protection.dp and not protection.he:
        raise AgreementError(
            "protection.he",
            f"is false, and the route {agreement.route} has no differential privacy.",
            why="Nothing at all would protect the teachers' records.",
            do="Set he and masks to true, or agree on another route.",
        )
    if private:
        _check_promise(agreement.promise)
    if agreement.route == NOISY_RELEASE:
        _check_mechanism(agreement.mechanism)
    if agreement.training is not None:
        _check_training(agreement.promise, agreement.training)
    if agreement.answers is not None:
        _check_answers(agreement.answers, agreement.saliency.values)
    if agreement.student_privacy is not None:
        _check_student(agreement, agreement.student_privacy)
    if agreement.institution_privacy is not None:
        _check_institution(agreement, agreement.institution_privacy)
    _check_stated(agreement)


def _check_institution(agreement: Agreement, institution: InstitutionPrivacy) -> None:
    if agreement.route != NOISY_RELEASE:
        raise AgreementError(
            "institution_privacy", f"is for the route {NOISY_RELEASE}.", do="Remove it."
        )
    if not agreement.protection.he:
        raise AgreementError(
            "protection.he",
            "is false, and the sum is to hide single institutions.",
            why="Without masks everybody on the way sees each signal with its own share only.",
            do="Set he and masks to true, or remove institution_privacy.",
        )
    selection, teachers = agreement.selection, len(agreement.teachers)
    roster = "Else the roster, which is public, would depend on single signals."
    if selection.select != teachers:
        raise AgreementError(
            "selection.select",
            f"is {selection.select}, not the {teachers} teachers, and the sum is to hide single "
            "institutions.",
            why=roster,
            do="Select all teachers, or remove institution_privacy.",
        )
    if selection.threshold > 0 or agreement.publish.scores != "none":
        clause = "selection.threshold" if selection.threshold > 0 else "publish.scores"
        raise AgreementError(
            clause,
            "asks for scores, and the sum is to hide single institutions.",
            why=f"All scores are zero then. {roster}",
            do='Set selection.threshold to 0 and publish.scores to "none".',
        )
    for name in ("epsilon", "share_scale"):
        _positive(f"institution_privacy.{name}", getattr(institution, name))
    if institution.share_scale < _LEAST_SHARE:
        raise AgreementError(
            "institution_privacy.share_scale", f"must be at least {_LEAST_SHARE}: no bound below."
        )
    for name, most in (("norm_bound", _LARGEST_NORM), ("records", 10**12)):
        if not 1 <= getattr(institution, name) <= most:
            raise AgreementError(f"institution_privacy.{name}", f"must be from 1 to {most}.")


def _check_student(agreement: Agreement, student: StudentPrivacy) -> None:
    if agreement.route != NOISY_RELEASE or agreement.promise.unit != "record":
        raise AgreementError(
            "student_privacy",
            "is for the route noisy-release and the unit record.",
            why="The student's records are summed like a teacher's, and come without person ids.",
            do="Remove it, or change the other.",
        )
    for name in ("epsilon", "noise_multiplier", "budget"):
        _positive(f"student_privacy.{name}", getattr(student, name))
    if student.budget < student.epsilon:
        raise AgreementError(
            "student_privacy.budget",
            f"{student.budget:g} is below the epsilon {student.epsilon:g} of one summary.",
            do="Raise the budget or lower student_privacy.epsilon.",
        )
    if not 2 <= student.classes <= MOST_CLASSES:
        raise AgreementError("student_privacy.classes", f"must be from 2 to {MOST_CLASSES}.")
    if not 1 <= student.directions <= agreement.encoder.dimension:
        raise AgreementError("student_privacy.directions", "must be from 1 to encoder.dimension.")


def _check_promise(promise: Promise) -> None:
    _positive("privacy.epsilon", promise.epsilon)
    for name in ("agreement_budget", "data_set_budget"):
        _positive(f"privacy.{name}", getattr(promise, name))
        if getattr(promise, name) < promise.epsilon:
            raise AgreementError(
                f"privacy.{name}",
                f"{getattr(promise, name):g} is below one run's epsilon {promise.epsilon:g}.",
                do="Raise the budget or lower privacy.epsilon.",
            )
    _positive("privacy.delta", promise.delta)
    if promise.delta >= 1:
        raise AgreementError("privacy.delta", "must be below 1.")
    if promise.max_records < 1 or (promise.unit == "record" and promise.max_records > 1):
        raise AgreementError(
            "privacy.max_records", "is 1 for the unit record, and at least 1 for the unit person."
        )


def _check_mechanism(privacy: Privacy) -> None:
    for name in ("clip_norm", "count_weight", "count_floor", "noise_multiplier"):
        _positive(f"privacy.{name}", getattr(privacy, name))
    if not 2 <= privacy.grid <= 2**24:
        raise AgreementError("privacy.grid", "must be from 2 to 2^24.")


def _check_training(promise: Promise, training: Training) -> None:
    if promise.neighbours != "add-remove":
        raise AgreementError(
            "privacy.neighbours",
            "is not what a training by DP-SGD is accounted for.",
            do=f'Agree on "add-remove", or on the route {NOISY_RELEASE}.',
        )
    for name in ("clip_norm", "denominator", "learning_rate"):
        value = getattr(training, name)
        _positive(f"training.{name}", value)
        if not _LEAST_OF_TRAINING <= value <= _MOST_OF_TRAINING:
            raise AgreementError(
                f"training.{name}",
                f"is {value:g}.",
                do=f"Use a number from {_LEAST_OF_TRAINING:g} to {_MOST_OF_TRAINING:g}.",
            )
    _check_steps("training", training)
    if not 0 <= training.momentum < 1:
        raise AgreementError("training.momentum", "must be at least 0 and below 1.")
    if not 0 <= training.averaged <= 1:
        raise AgreementError("training.averaged", "must be from 0 to 1.")
    if training.seed < 0:
        raise AgreementError("training.seed", "must be at least 0.")


def _check_steps(clause: str, training: Training | Stated) -> None:
    """Refuse what makes no event: as the accountant's own ranges."""
    low, high = NOISE_MULTIPLIERS
    if not low <= training.noise_multiplier <= high:
        raise AgreementError(f"{clause}.noise_multiplier", f"must be from {low:g} to {high:g}.")
    if not 0 < training.sampling_rate <= 1:
        raise AgreementError(f"{clause}.sampling_rate", "must be above 0 and at most 1.")
    if not 1 <= training.steps <= MOST_STEPS:
        raise AgreementError(f"{clause}.steps", f"must be from 1 to {MOST_STEPS}.")


def _check_answers(answers: Answers, values: int) -> None:
    if not 2 <= answers.probes <= _MOST_PROBES:
        raise AgreementError("answers.probes", f"must be from 2 to {_MOST_PROBES}.")
    sketched = answers.form == "sketch"
    if not (1 <= answers.width <= _MOST_COLUMNS if sketched else answers.width == 0):
        raise AgreementError(
            "answers.width",
            f"must be from 1 to {_MOST_COLUMNS} for a sketch, and 0 for other forms.",
        )
    if answers.saliency != "alignment" and values < VALUES_OF_A_MAP:
        raise AgreementError(
            "saliency.directions",
            f"gives {values} values, and one attribution map has {VALUES_OF_A_MAP}.",
            do='Use at least 6 directions, or answers.saliency = "alignment".',
        )


def _check_stated(agreement: Agreement) -> None:
    for name, party in agreement.parties.items():
        if party.stated is None:
            continue
        clause = f"parties.{name}.stated"
        if agreement.route != PRIVATE_TRAINING or party.role != TEACHER:
            raise AgreementError(
                clause,
                "is for teachers of the route private-training.",
                why="Elsewhere no model needs to have been trained privately.",
                do="Remove it.",
            )
        if agreement.promise.unit == "person":
            raise AgreementError(
                clause,
                "is a training of before the run, and the agreed unit is a person.",
                why="Nothing here saw to it how many records of a person were in it.",
                do='Agree on the unit "record", or train in the run.',
            )
        _check_steps(clause, party.stated)
    stated = {party.stated for party in agreement.parties.values() if party.stated is not None}
    if len(stated) >= MOST_TRAININGS:
        raise AgreementError(
            "parties",
            f"state {len(stated)} different trainings.",
            why=f"With [training] there may be {MOST_TRAININGS}: each takes about a second to "
            "account, for everybody who checks it.",
            do="Agree on fewer.",
        )


def _check_signals(agreement: Agreement) -> None:
    for clause, value in (
        ("saliency.unit", agreement.saliency.unit),
        ("saliency.teacher_bound", agreement.saliency.teacher_bound),
        ("saliency.query_bound", agreement.saliency.query_bound),
        ("features.scale", agreement.features.scale),
    ):
        _positive(clause, value)
    if not 1 <= agreement.encoder.dimension <= 2048:
        raise AgreementError("encoder.dimension", "must be from 1 to 2048.")
    if not 1 <= agreement.saliency.directions <= agreement.encoder.dimension:
        raise AgreementError("saliency.directions", "must be from 1 to encoder.dimension.")
    if not 4 <= agreement.saliency.bits <= 24:
        raise AgreementError("saliency.bits", "must be from 4 to 24.")
    if agreement.features.bound < 1:
        raise AgreementError("features.bound", "must be at least 1.")
    for clause, digest in (
        ("encoder.sha256", agreement.encoder.sha256),
        ("encoder.probes_sha256", agreement.encoder.probes_sha256),
    ):
        if not _HASH.fullmatch(digest):
            raise AgreementError(clause, "must be 64 hexadecimal digits.")
    bits = agreement.encryption.query_modulus_bits
    if not 2048 <= bits <= 8192 or bits % 16:
        # Two primes of whole bytes.
        raise AgreementError(
            "encryption.query_modulus_bits", "must be a multiple of 16 from 2048 to 8192."
        )


def _check_selection(agreement: Agreement) -> None:
    selection = agreement.selection
    if not math.isfinite(selection.threshold):
        raise AgreementError("selection.threshold", "must be finite.")
    if selection.max_colluding < 1:
        raise AgreementError("selection.max_colluding", "must be at least 1.")
    if selection.minimum_cohort < 1:
        raise AgreementError("selection.minimum_cohort", "must be at least 1.")
    if selection.select > len(agreement.teachers):
        raise AgreementError(
            "selection.select",
            f"{selection.select} is more than the {len(agreement.teachers)} teachers.",
            do="Select fewer, or have more teachers.",
        )
    if selection.smallest_sum > selection.select:
        raise AgreementError(
            "selection.select",
            f"{selection.select} can never be opened.",
            why=f"The minimum cohort is {selection.minimum_cohort} and max_colluding + 2 is "
            f"{selection.max_colluding + 2}.",
            do=f"Select at least {selection.smallest_sum} of as many teachers, or lower the two.",
        )
    for name in ("reply_seconds", "silence_seconds", "max_burned"):
        if getattr(agreement.limits, name) < 1:
            raise AgreementError(f"limits.{name}", "must be at least 1.")


def _check_retention(retention: Retention) -> None:
    for name, least in (("local_log_days", 0), ("unfinished_days", 1)):
        if not least <= getattr(retention, name) <= MOST_DAYS:
            raise AgreementError(
                f"retention.{name}", f"must be whole days from {least} to {MOST_DAYS}."
            )


def _check_publish(agreement: Agreement) -> None:
    publish, encrypted = agreement.publish, agreement.protection.he
    if publish.feature_key and not (publish.ciphertexts and publish.sums and encrypted):
        raise AgreementError(
            "publish.feature_key",
            "is true, but there is nothing that it would let anybody check.",
            why="It serves to decrypt the published sum of published ciphertexts again.",
            do="Set it to false, or publish ciphertexts and sums of an encrypted run.",
        )
    if publish.ciphertexts and not publish.sums and not encrypted:
        raise AgreementError(
            "publish.ciphertexts",
            "is true in a run without encryption whose sums are not published.",
            why="Uploads that are not encrypted show their sum.",
            do="Set it to false, or set publish.sums to true.",
        )


def _positive(clause: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise AgreementError(clause, f"is {value!r}.", do="Use a finite number above zero.")
