"""What a receipt claims: one list that anybody recomputes, one list of somebody's word.

Which claims stand in which list follows from the agreement alone: what it publishes decides
what can be recomputed. A claim that nobody can recompute is never called verified; it is
attested by the parties that are named with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from secure_fedsa.agreement import (
    ENCRYPTION_ONLY,
    NOISY_RELEASE,
    PRIVATE_TRAINING,
    Agreement,
)
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT

_SUM = "homomorphic-sum"
_DECRYPTION = "decryption"
_ACCOUNTING = {
    NOISY_RELEASE: "accounting",
    PRIVATE_TRAINING: "training-accounting",
    ENCRYPTION_ONLY: "no-differential-privacy",
}

WORDS: dict[str, str] = {
    "file-hashes": "Every file of the run folder has the SHA-256 that the receipt names, and "
    "none is missing or added.",
    "signatures": "Every party signed the agreement, every message carries the signature of "
    "the party that it names, and the receipt's signatures verify.",
    "run-id": "The run id follows from the agreement and one number that each party signed.",
    "keys": "The keys of the run are well formed and distinct, and every party signed that it "
    "saw the same keys and the same query.",
    "ledger-segments": "Each teacher's ledger entries of this run are unbroken and charge what "
    "was agreed; for every member, the key holder countersigned the head that they end in.",
    "accounting": "Epsilon, rho and delta follow from the noise that was charged.",
    "training-accounting": "Epsilon and delta are those of the costliest training that was agreed, "
    "and every ledger was charged its own; they hold for exact Gaussian noise, and the trainings' "
    "is floating-point.",
    "no-differential-privacy": "The agreement has NO DIFFERENTIAL PRIVACY, and every ledger notes "
    "a use of its data without it.",
    "policy": "The messages keep the agreement: who sent what, how many teachers a sum needs, "
    "and what is published.",
    "roster": "Every member signed the roster, and the released sum names the signal that each "
    "member's ledger was charged for.",
    _SUM: "The sum, before it was opened, is the sum of exactly the members' uploads.",
    _DECRYPTION: "The released values are what that sum holds; with encryption, under the key "
    "that belongs to the public key that the members encrypted to.",
    "student-hash": "The student in this folder is the one whose hash the student signed.",
    "data-was-real": "The records were real, and those of the data set that the ledger names.",
    "private-summary": "The records were clipped, encoded and summed as agreed.",
    "private-training": "The model was trained on them as agreed, by DP-SGD from a public start, "
    "and what was sent is what that model says about the agreed probes.",
    "noise-was-drawn": "Fresh noise of the agreed strength was drawn and added before anything "
    "was sent.",
    "stated-training": "The model was trained before the run with the differential privacy that "
    "the agreement states for it: stated, not witnessed.",
    "own-model": "What was sent is what the teacher's own model says about the agreed probes.",
    "selection": "The scores are those of the teachers' signals, and the best ones above the "
    "threshold were selected.",
    "one-release": "No other sum of this run was opened.",
    "erasure": "Each signer of the receipt erased its own secret keys, masks and signals of the "
    "run at its end, but for a feature key that the agreement publishes.",
    "institution-share": "The signal was scaled down to the agreed norm and carried a fresh share "
    "of noise of the agreed strength, which it told nobody; no score says anything of it.",
    "student-summary": "The student's labelled records were charged to its own ledger and used "
    "through one noisy summary of the agreed strength alone; the query comes from public probes.",
    "student-training": "The student was built from the released sum as agreed.",
    "accuracy": "The accuracies were measured as stated, on records that served nothing else.",
    "sizes-and-times": "Sizes, times, versions and settings of the software in summary, report "
    "and model card are as observed.",
    "retention": "At the end of the run each signer of the receipt removed from its state folder "
    "what the agreement's retention table limits, as far as it had come of age.",
}
"""Claim id to one sentence; in the order of the lists."""


def recomputed(agreement: Agreement) -> list[str]:
    """Return the claims that anybody can recompute from a run folder, in order."""
    claims = [
        "file-hashes",
        "signatures",
        "run-id",
        "keys",
        "ledger-segments",
        _ACCOUNTING[agreement.route],
        "policy",
        "roster",
    ]
    if _sum_is_public(agreement):
        claims.append(_SUM)
    if _opening_is_public(agreement):
        claims.append(_DECRYPTION)
    return [*claims, "student-hash"]


def attested(
    agreement: Agreement, members: Iterable[str], charged: Iterable[str]
) -> list[dict[str, Any]]:
    """Return the claims that are somebody's word, in order, and whose.

    Args:
        agreement: The agreement.
        members: The teachers of the roster whose sum was opened.
        charged: The teachers that published a ledger segment.
    """
    both = {agreement.only(AGGREGATOR), agreement.only(KEY_HOLDER)}
    signers, teachers = both | set(members), set(charged)
    student = {agreement.only(STUDENT)}
    claims = [
        ("data-was-real", teachers),
        *_of_the_route(agreement, teachers),
        ("selection", both),  # nobody else sees the scores
    ]
    if not _sum_is_public(agreement):
        claims.append((_SUM, both))
    if not _opening_is_public(agreement):
        claims.append((_DECRYPTION, both))
    claims += [
        ("one-release", {agreement.custodian}),
        ("erasure", signers),
        *([("institution-share", teachers)] if agreement.institution_privacy is not None else []),
        *([("student-summary", student)] if agreement.student_privacy is not None else []),
        ("student-training", student),
        ("accuracy", {agreement.only(AGGREGATOR)}),
        ("sizes-and-times", {agreement.only(AGGREGATOR)}),
        *([("retention", signers)] if agreement.retention is not None else []),
    ]
    return [{"claim": claim, "by": sorted(names)} for claim, names in claims]


def _of_the_route(agreement: Agreement, teachers: set[str]) -> list[tuple[str, set[str]]]:
    """Return what teachers attest about their signals."""
    if agreement.route == NOISY_RELEASE:
        return [("private-summary", teachers), ("noise-was-drawn", teachers)]
    if agreement.route == ENCRYPTION_ONLY:
        return [("own-model", teachers)]
    stated = {name for name in teachers if agreement.parties[name].stated is not None}
    trained = teachers - stated
    found = [("private-training", trained), ("noise-was-drawn", trained)] if trained else []
    if stated:
        found += [("stated-training", stated), ("own-model", stated)]
    return found


def signers(agreement: Agreement, members: Iterable[str]) -> tuple[str, ...]:
    """Return who signs the receipt: aggregator, key holder and every member, sorted."""
    return tuple(sorted({agreement.only(AGGREGATOR), agreement.only(KEY_HOLDER), *members}))


def _sum_is_public(agreement: Agreement) -> bool:
    return agreement.publish.ciphertexts


def _opening_is_public(agreement: Agreement) -> bool:
    """Whether the folder holds the summed ciphertext, the values and what links them."""
    publish = agreement.publish
    linked = publish.feature_key or not agreement.protection.he
    return publish.ciphertexts and publish.sums and linked
