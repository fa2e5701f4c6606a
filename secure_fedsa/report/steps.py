"""The run as a list of steps: who sends what to whom, in order, and how it is protected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from secure_fedsa.agreement import NOISY_RELEASE, PRIVATE_TRAINING, Agreement
from secure_fedsa.messages import (
    AGGREGATOR,
    EVERYONE,
    KEY_HOLDER,
    RULES,
    STUDENT,
    TEACHER,
    Role,
)
from secure_fedsa.report.summary import RunFacts

Cover = Literal["public", "sealed", "hidden", "open"]
Act = Literal["act", "noise", "fake"]


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the drawing.

    Attributes:
        kind: Its name on the wire.
        sender: Who sends it; None for every party.
        recipients: Who gets it.
        cover: public (signed, everybody may read it), sealed (to one recipient), hidden
            (public, but what is inside is encrypted and masked) or open (a single
            teacher's signal that anybody may read).
        text: What it is, in words.
    """

    kind: str
    sender: Role | None
    recipients: tuple[Role, ...]
    cover: Cover
    text: str
    published: bool = True


@dataclass(frozen=True, slots=True)
class Local:
    """Something that a party does by itself: ``noise`` where noise is added."""

    role: Role
    act: Act
    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """A heading of the drawing."""

    text: str


Step = Message | Local | Phase


def steps(facts: RunFacts) -> list[Step]:
    """Return the steps of a run in order."""
    he, custodian = facts.agreement.protection.he, facts.agreement.custody
    chosen, everyone = len(facts.roster.members), len(facts.agreement.teachers)
    return [
        Phase("1 Readiness: no private data yet"),
        _to_all("nonce", "fresh numbers, which make the run id"),
        _to_all("keys", "sealing keys of this run"),
        _said("feature-key", custodian, "one-use public key for features" if he else "no key"),
        _said("query-key", STUDENT, "query key, with its proof" if he else "no query key"),
        _said("query-secret", STUDENT, "how to open replies" if he else "empty: nothing to open"),
        _said(
            "query", STUDENT, "the student's saliency, " + ("encrypted" if he else "NOT ENCRYPTED")
        ),
        _to_all("ready", "all saw the same keys and query"),
        *_private(facts),
        _said("ledger", TEACHER, "what was charged"),
        Phase("3 Saliency and selection"),
        _said("reply", TEACHER, "encrypted score, blinded" if he else "score, NOT ENCRYPTED"),
        _said("blind", TEACHER, "the blind of that score" if he else "empty: nothing is blinded"),
        _said(
            "blinded-scores", AGGREGATOR, "opened, still blinded" if he else "the scores, readable"
        ),
        Local(KEY_HOLDER, "act", f"select {chosen} of {everyone}"),
        _said("roster", KEY_HOLDER, f"the {chosen} selected teachers"),
        Phase(f"4 Features, from the {chosen} selected teachers"),
        _said("mask-share", TEACHER, "pairwise masks" if he else "exchanged, but NOT USED"),
        _said("roster-signature", TEACHER, "we take part in this roster"),
        _upload(facts.agreement),
        Phase("5 Release of one sum"),
        _sum(facts.agreement),
        *_release(facts.agreement),
        Phase("6 The student learns"),
        Local(STUDENT, "act", "build the student"),
        _said("result", STUDENT, "the student's hash"),
    ]


def _private(facts: RunFacts) -> list[Step]:
    """Return how a teacher's signals come about, by route."""
    route = facts.agreement.route
    charge = Local(TEACHER, "act", "charge the privacy ledger")
    fake = Local(TEACHER, "fake", "SIMULATED noise: not private")
    if route == NOISY_RELEASE:
        noise = Local(TEACHER, "noise", "draw discrete Gaussian NOISE")
        return [
            Phase("2 Private summary: charge, noise, then one access to records"),
            charge,
            fake if facts.simulated_noise else noise,
            Local(TEACHER, "act", "read records once: noisy summary"),
        ]
    asked = Local(TEACHER, "act", "ask its model about public probes")
    if route == PRIVATE_TRAINING:
        noise = Local(TEACHER, "noise", "train by DP-SGD, with NOISE at each step")
        return [
            Phase("2 Private training: charge, then train, then ask"),
            charge,
            fake if facts.simulated_noise else noise,
            asked,
        ]
    return [
        Phase("2 Teachers' models: NO DIFFERENTIAL PRIVACY"),
        Local(TEACHER, "act", "note in the ledger: not private"),
        asked,
    ]


def _upload(agreement: Agreement) -> Message:
    he = agreement.protection.he
    signal = "noisy signal" if agreement.answers is None else "signal of its model"
    return Message(
        "upload",
        TEACHER,
        RULES["upload"].recipients,
        "hidden" if he else "open",
        f"{signal}, masked and encrypted" if he else f"{signal} IN THE OPEN",
        published=agreement.publish.ciphertexts,
    )


def _sum(agreement: Agreement) -> Message:
    he = agreement.protection.he
    return Message(
        "sum",
        AGGREGATOR,
        RULES["sum"].recipients,
        "hidden" if he else "public",
        "the sum, still encrypted" if he else "the sum",
        published=agreement.publish.ciphertexts,
    )


def _release(agreement: Agreement) -> list[Step]:
    """Return how the sum is opened, by who holds the feature key and who may read the sum."""
    he, custodian = agreement.protection.he, agreement.custody
    sealed = [_said("sealed-sum", custodian, "the sum, for the student alone")]
    words = "the sum, for all to read" if agreement.publish.sums else "one sum was opened"
    end: list[Step] = [
        *([] if agreement.publish.sums else sealed),
        _said("release", custodian, words),
    ]
    if custodian == KEY_HOLDER:
        return [Local(KEY_HOLDER, "act", "add again, log, open" if he else "add again, log"), *end]
    return [
        Local(KEY_HOLDER, "act", "add again, log"),
        _said("permit", KEY_HOLDER, "may open this one sum"),
        Local(AGGREGATOR, "act", "open with its key" if he else "pass the sum on"),
        *end,
    ]


def _to_all(kind: str, text: str) -> Message:
    return Message(kind, None, EVERYONE, "public", text)


def _said(kind: str, sender: Role, text: str) -> Message:
    rule = RULES[kind]
    return Message(kind, sender, rule.recipients, rule.message_class, text)


def in_words(step: Message) -> str:
    """Return a message of the drawing as a sentence, for those who do not see it."""
    sender = "every party" if step.sender is None else step.sender
    named = (
        "all parties"
        if set(step.recipients) == set(EVERYONE)
        else " and ".join("each teacher" if role == TEACHER else role for role in step.recipients)
    )
    cover = {
        "public": "signed, for all to read" if step.published else "signed",
        "sealed": "sealed to its recipient",
        "hidden": "signed; content encrypted",
        "open": f"signed; READABLE BY {'ALL' if step.published else 'ITS RECIPIENTS'}",
    }[step.cover]
    if not step.published:
        cover += "; the run folder has its hash only"
    return f"{sender} to {named}: {step.kind}: {step.text} ({cover})"
