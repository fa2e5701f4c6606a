"""How the promise is kept: sensitivity, accountant, choices."""

from __future__ import annotations

from typing import Any

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, PRIVATE_TRAINING, Agreement
from secure_fedsa.audit.answers.model import Answer, Figure, Point, at_least, bound, figure
from secure_fedsa.audit.answers.promise import NONE_HERE, nothing_to_ask
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.privacy.cross_check import CrossCheck
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining
from secure_fedsa.privacy.mechanisms import count_unit
from secure_fedsa.report.notices import OWN_CODE

LIST_OF_CHOICES = "docs/data-dependent-choices.toml"
_CHOICES = (
    *("encoder", "privacy", "student_privacy", "institution_privacy", "training", "answers"),
    *("saliency", "features", "selection", "limits"),
)
"""Tables of an agreement whose parameters could tell of records; those that it has are listed."""


def sensitivity(source: Source) -> Answer:
    """How far one unit can move what is released."""
    asked = "How far can one unit move what is released, and who proves it?"
    topic = "sensitivity, and bounding what a unit contributes"
    if not source.private:
        return Answer("sensitivity", asked, topic, NONE_HERE, nothing_to_ask())
    if source.agreement.route == NOISY_RELEASE:
        return Answer("sensitivity", asked, topic, _SUMMARIES, _of_summaries(source))
    text = _GRADIENTS[source.agreement.promise.unit]
    return Answer("sensitivity", asked, topic, text, _of_gradients(source))


_SUMMARIES = (
    "The sensitivity follows from agreed numbers and is recomputed; that records were clipped so "
    "is each teacher's word."
)
_GRADIENTS = {
    "record": "One record moves a step of training by at most the clip norm; that gradients were "
    "clipped so is each teacher's word.",
    "person": "One person, with all its records, moves a step of training by at most the clip "
    "norm; that the mean of its gradients was clipped so is each teacher's word.",
}
_IN_A_STEP = {
    "record": "in each step a record takes part with the sampling rate, and moves the sum of "
    "gradients by at most the clip norm.",
    "person": "in each step a person takes part with the sampling rate, with all of its records "
    "that count, and moves the sum by at most the clip norm, to which the mean of its gradients is "
    "clipped. One of its records alone, in whose place another may count, can move that mean by "
    "twice as much.",
}
_CLIPPED = {
    "record": "That each record's gradient was clipped before it was added, and records were "
    "sampled as agreed.",
    "person": "That each person's mean gradient was clipped before it was added, and persons were "
    "sampled as agreed, each with all of its records that count or none.",
}
_WHAT_IS_CLIPPED = {"record": "a gradient", "person": "a person's mean gradient"}


def _of_summaries(source: Source) -> tuple[Point, ...]:
    mechanism, event = source.agreement.mechanism, source.worst_event
    assert isinstance(event, DiscreteGaussianRelease)
    unit = count_unit(mechanism.grid, mechanism.count_weight)
    return (
        source.claim(
            "ledger-segments",
            "Each ledger was charged for exactly the sensitivity and the noise that the agreed "
            "numbers give: a record adds a vector of length at most S to one class and W to its "
            "count, S the grid and W the unit of a count. The derivation is no part of the folder: "
            "protocols/v1/derivations.md of the software, section 2.",
            figures=[
                figure("S, grid units of one clip norm", mechanism.grid),
                figure("W, grid units of one record in a count", unit),
                figure("m, records of a unit", mechanism.max_records),
                figure("L2 sensitivity, grid units", event.sensitivity),
                figure("noise scale, grid units", event.noise_scale),
                figure("noise scale over sensitivity", event.noise_scale / event.sensitivity),
            ],
            at=[
                *agreed("privacy.grid", "privacy.count_weight", "privacy.noise_multiplier"),
                *(source.place_of(teacher, "/body/events/0") for teacher in source.charges),
            ],
        ),
        source.claim(
            "private-summary",
            "That each record was clipped to the agreed norm, in whole numbers, and counted once, "
            "and of a unit no more than m of them.",
            figures=[figure("clip norm", mechanism.clip_norm)],
            at=[*source.word_in_receipt, *agreed("privacy.clip_norm", "privacy.max_records")],
        ),
    )


def _of_gradients(source: Source) -> tuple[Point, ...]:
    training = source.agreement.training
    assert training is not None
    unit = source.agreement.promise.unit
    trained = [name for name, charge in source.charges.items() if not charge.stated]
    points = [
        source.claim(
            "ledger-segments",
            f"Each ledger was charged for the agreed training: {_IN_A_STEP[unit]}",
            figures=[
                figure(f"clip norm of {_WHAT_IS_CLIPPED[unit]}", training.clip_norm),
                *_of_event(source.worst_event),
            ],
            at=[
                *agreed("training.clip_norm", "training.noise_multiplier"),
                *(source.place_of(teacher, "/body/events/0") for teacher in source.charges),
            ],
        )
    ]
    if trained:
        points.append(
            source.claim(
                "private-training",
                _CLIPPED[unit],
                at=[*source.word_in_receipt, *agreed("training")],
            )
        )
    if len(trained) < len(source.charges):
        stated = sorted(set(source.charges) - set(trained))
        points.append(
            source.claim(
                "stated-training",
                "That the models that were trained before the run were trained so.",
                at=agreed(*(f"parties.{name}.stated" for name in stated)),
            )
        )
    points.append(source.missing(OWN_CODE))
    return tuple(points)


def _of_event(event: Any) -> list[Figure]:
    assert isinstance(event, DpSgdTraining)
    return [
        figure("noise of a step over the clip norm", event.noise_multiplier),
        figure("sampling rate", event.sampling_rate),
        figure("steps", event.steps),
    ]


def accountant(source: Source) -> Answer:
    """By which accountant the numbers come about."""
    asked = "Which accountant made the numbers, and do others agree?"
    topic = "variants of differential privacy, conversion and composition"
    check = source.plan.accounting
    if check is None:
        return Answer("accountant", asked, topic, NONE_HERE, nothing_to_ask())
    google = f"dp-accounting {check.dp_accounting_version}"
    figures = [
        bound("headline epsilon", check.epsilon),
        bound("delta", check.delta),
        figure("accountant", check.accountant),
        figure("version of the accountant", check.accountant_version),
    ]
    if isinstance(check, CrossCheck):
        figures += [
            bound("rho (zCDP)", check.rho),
            bound("simple zCDP bound, never below the headline", check.zcdp_epsilon),
            bound(f"RDP by {google}, continuous Gaussians", check.rdp_epsilon),
        ]
        if check.pld_epsilon is not None:
            figures.append(bound(f"PLD by {google}, continuous Gaussians", check.pld_epsilon))
        text = (
            "The headline is proved for vectors of discrete Gaussians. On this machine it was "
            "worked out again and compared with the others; had they disagreed by more than "
            "theory allows, the folder would not verify."
        )
    else:
        figures += [
            bound(f"Renyi divergences by {google}, for information", check.rdp_epsilon),
            at_least("least epsilon, which a test certainly reaches", check.least_epsilon),
        ]
        text = (
            f"The headline is by privacy loss distributions of {google}, for exact Gaussian "
            "noise, worked out again on this machine. Code that shares nothing with it worked out "
            "what a test of all steps certainly reaches: no smaller epsilon holds against those "
            "who see them, and had one of the other two been smaller, the folder would not verify."
        )
    points = (
        source.claim(
            source.accounting_claim,
            text,
            figures=figures,
            at=[
                *summed_up("/epsilon", "/accounting"),
                *(source.place_of(teacher, "/body/events") for teacher in source.charges),
            ],
        ),
        source.claim(
            "sizes-and-times",
            "Which versions of the software the run itself had, and the figures that its own "
            "accountants gave beside the headline.",
            figures=[
                figure(name, version)
                for name, version in sorted(source.summary["versions"].items())
            ],
            at=summed_up("/versions", "/accountant", "/accounting"),
        ),
    )
    return Answer("accountant", asked, topic, f"{check.accountant}.", points)


def choices(source: Source) -> Answer:
    """Whether a choice that was made can depend on private records."""
    asked = "Can any choice that was made tell of private records?"
    topic = "parameters and tuning that depend on data"
    agreement = source.agreement
    content = agreement.content()
    listed = [
        figure(f"{table}.{name}", _plain(value))
        for table in _CHOICES
        if table in content
        for name, value in content[table].items()
    ]
    points = [
        source.claim(
            "run-id",
            "Every parameter below stands in the agreement that all parties signed. The run id "
            "and every message name that agreement by its hash: nothing in it was chosen or "
            "changed in the run.",
            figures=[
                *listed,
                figure("classes that teachers name", _number_of_classes(agreement)),
            ],
            at=agreed(
                *(table for table in _CHOICES if table in content),
                *(f"parties.{teacher}.classes" for teacher in agreement.teachers),
            ),
        ),
        source.missing(
            "How these values came about before the agreement was signed: whether somebody looked "
            "at private records for them, or tried others before. By the protocol they come from "
            "public data.",
            how="Ask those who signed. `secure-fedsa agree new` takes them from public probes.",
            at=agreed("encoder.probes_sha256"),
        ),
        _selection(source),
        source.claim(
            "roster",
            "How many rosters the run had: each later one leaves members out, and its members "
            "signed it. By the protocol a run that is tried again has an id and a charge of its "
            "own.",
            figures=[figure("rosters", source.facts.roster.number)],
            at=[(source.roster_file, "/body/number")],
        ),
        _question(source),
        source.missing(
            "That the parties ran code in which no other choice can depend on private records.",
            how=f"`{LIST_OF_CHOICES}` of the software lists every parameter that could, and what "
            "stands in the way; a test holds it against the code. It documents the code, is no "
            "file of this run, and does not show what the parties ran.",
        ),
    ]
    if any(charge.stated for charge in source.charges.values()):
        points.append(
            source.claim(
                "stated-training",
                "That the stated steps include all tuning on the same records.",
                at=agreed(*(f"parties.{t}.stated" for t, c in source.charges.items() if c.stated)),
            )
        )
    text = (
        "Parameters were fixed by the agreement before the run; how their values were found is not "
        "shown."
    )
    if agreement.route == ENCRYPTION_ONLY:
        text = "Yes: who is selected depends on the models themselves, and no noise covers that."
    return Answer("choices", asked, topic, text, tuple(points))


def _question(source: Source) -> Point:
    if source.agreement.student_privacy is None:
        return source.missing(
            "Protection of the student's choices: its question to the teachers comes from its own "
            "labelled records, without noise.",
        )
    return source.claim(
        "student-summary",
        "The student's question to the teachers comes from public probes, and none of its choices "
        "looks at its labelled records but through their one noisy summary.",
        at=agreed("student_privacy"),
    )


def _selection(source: Source) -> Point:
    how = {
        NOISY_RELEASE: "of their noisy summaries: the choice costs nothing more",
        PRIVATE_TRAINING: "of their privately trained models: the choice costs nothing more",
        ENCRYPTION_ONLY: "of their models, and nothing bounds what the choice tells of records",
    }[source.agreement.route]
    selection = source.agreement.selection
    chosen = f"That the teachers were selected by the scores {how}."
    if source.agreement.institution_privacy is not None:
        chosen = "That every teacher that was ready is in the sum: no score says anything."
    return source.claim(
        "selection",
        chosen,
        figures=[
            figure("selected", len(source.verdict.facts.members)),
            figure("teachers", len(source.agreement.teachers)),
            figure("agreed threshold", selection.threshold),
        ],
        at=[(source.roster_file, "/body/members"), *agreed("selection")],
    )


def _number_of_classes(agreement: Agreement) -> int:
    return len({name for t in agreement.teachers for name in agreement.parties[t].classes})


def _plain(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
