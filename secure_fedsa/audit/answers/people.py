"""Whom people in the data must trust, and which of them fare worse."""

from __future__ import annotations

import math

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, Agreement
from secure_fedsa.audit.answers.model import Answer, Point, bound, figure, listed
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.mechanisms import count_unit
from secure_fedsa.report import wording
from secure_fedsa.report.notices import NO_DIFFERENTIAL_PRIVACY


def trust(source: Source) -> Answer:
    """Who must be trusted, and with what."""
    asked = "Whom must the people in the data trust, and with what?"
    topic = "trust models (who may see what before the noise)"
    agreement = source.agreement
    points = [*_against_whom(source), *_own_machines(source)]
    points.append(
        source.claim(
            "policy",
            f"By agreement no sum over fewer than {agreement.selection.smallest_sum} teachers is "
            "opened, and masks and encryption are on, against as many colluding teachers as "
            f"agreed. {_rests_on_masks(agreement)} That a teacher masked its signal before it "
            "encrypted it, the folder does not show.",
            figures=[
                figure("smallest sum that may be opened", agreement.selection.smallest_sum),
                figure("teachers that may collude", agreement.selection.max_colluding),
                figure("teachers in the sum", len(source.verdict.facts.members)),
            ],
            at=[
                *agreed("selection.minimum_cohort", "selection.max_colluding", "protection"),
                (source.roster_file, "/body/members"),
            ],
        )
        if agreement.protection.he
        else source.missing(wording.ENCRYPTION_OFF, at=agreed("protection.he", "protection.masks"))
    )
    points.append(_machines(source))
    if not source.private:
        text = (
            "Everybody who sees the sum, the scores or the student: no noise protects records "
            "from them."
        )
    else:
        text = (
            "By the protocol their own institution, its machine and software, and nobody else as "
            "far as epsilon at delta goes."
        )
        if agreement.institution_privacy is not None:
            text += (
                " Whoever wants a whole institution hidden must also trust masks, encryption and "
                "the other members' shares of noise."
            )
    if _in_one_process(source):
        text += " In this run one process drove all parties: whoever ran it, too."
    return Answer("trust", asked, topic, text, tuple(points))


def _rests_on_masks(agreement: Agreement) -> str:
    """Return which epsilon masks and encryption have to do with."""
    if agreement.institution_privacy is None:
        return "They make no epsilon and change none."
    return (
        "They make no epsilon for records and change none; that for a whole institution rests on "
        "them: with single signals open only the institution's own share of noise would be left."
    )


def _against_whom(source: Source) -> list[Point]:
    if not source.private:
        return [source.missing(NO_DIFFERENTIAL_PRIVACY)]
    return [
        source.claim(
            source.accounting_claim,
            f"The figures are recomputed from the noise that was charged. By the protocol: "
            f"{source.by_view.why_one_bound}",
            figures=[
                bound(f"epsilon against {name}", view.epsilon)
                for name, view in source.views.items()
                if view.epsilon is not None
            ],
            at=[*summed_up("/epsilon_by_view"), *agreed("protection.dp")],
        )
    ]


def _own_machines(source: Source) -> list[Point]:
    claims = {
        "private-summary": "That its own machine clipped, encoded and summed records as agreed.",
        "noise-was-drawn": "That its own machine drew and added the noise.",
        "private-training": "That its own machine trained the model as agreed, after the charge.",
        "stated-training": "That its model was trained before the run as the agreement states.",
        "own-model": "That what was sent is what its own model says about the agreed probes.",
        "data-was-real": "That the records were real, and of the data set that its ledger names.",
    }
    present = {entry["claim"] for entry in source.verdict.attested}
    return [
        source.claim(claim, text, at=source.word_in_receipt)
        for claim, text in claims.items()
        if claim in present
    ]


def _in_one_process(source: Source) -> bool:
    return str(source.summary["engine"]) == "in-process"


def _machines(source: Source) -> Point:
    engine = str(source.summary["engine"])
    at = summed_up("/engine")
    if _in_one_process(source):
        return source.missing(
            "That the parties ran apart: by the summary one process on one machine drove them "
            "all, and nobody was kept from another party's memory.",
            figures=[figure("engine", engine)],
            at=at,
        )
    return source.claim(
        "sizes-and-times",
        "That the parties ran on machines of their own.",
        figures=[figure("engine", engine)],
        at=at,
    )


def small_groups(source: Source) -> Answer:
    """How classes of few records fare, and how few teachers a sum may have."""
    asked = "What happens to small groups: rare classes, and sums over few institutions?"
    topic = "bias and utility for small groups"
    agreement = source.agreement
    points = [
        *_rare_classes(source),
        _lone_classes(source),
        source.missing(
            "Accuracy by class, or by any group of people: the summary has one accuracy a model.",
            how="Test the student in the folder on records of the groups that matter.",
            at=summed_up("/accuracy"),
        ),
        source.claim(
            "policy",
            "The fewest teachers whose sum may be opened, and how many were in the one that was.",
            figures=[
                figure("minimum cohort", agreement.selection.minimum_cohort),
                figure("smallest sum", agreement.selection.smallest_sum),
                figure("teachers in the sum", len(source.verdict.facts.members)),
            ],
            at=[*agreed("selection"), (source.roster_file, "/body/members")],
        ),
    ]
    text = {
        NOISY_RELEASE: "Rare classes are noisier; how much follows from agreed numbers. Accuracy "
        "by group is not shown.",
        ENCRYPTION_ONLY: "Nothing protects rare records. Accuracy by group is not shown.",
    }.get(
        agreement.route,
        "Clipping and noise cost rare classes most; how much, the folder does not show.",
    )
    return Answer("small-groups", asked, topic, text, tuple(points))


def _rare_classes(source: Source) -> list[Point]:
    if source.agreement.route == ENCRYPTION_ONLY:
        return [
            source.missing(
                "Protection of rare classes and of sums over few models: those of few teachers "
                "with few classes can nearly be taken apart."
            )
        ]
    if source.agreement.route != NOISY_RELEASE:
        return [
            source.missing(
                "What clipped gradients and noise cost classes of few records. In private training "
                "they are learnt worse than others (Bagdasaryan, Poursaeed, Shmatikov 2019).",
                at=agreed("training.clip_norm", "training.noise_multiplier"),
            )
        ]
    return [_noise_of_a_class(source)]


def _lone_classes(source: Source) -> Point:
    """Return which classes one institution of the sum has alone: the sum tells of it there."""
    agreement, members = source.agreement, source.verdict.facts.members
    holders: dict[str, list[str]] = {}
    for member in members:
        for name in agreement.parties[member].classes:
            holders.setdefault(name, []).append(member)
    alone = [f"{name} ({who[0]})" for name, who in holders.items() if len(who) == 1]
    return source.claim(
        "signatures",
        "Which institution has which classes is public. What the sum tells of a class that one "
        "institution alone has, it tells of that institution.",
        figures=[
            figure("classes in the sum", len(holders)),
            figure("of one institution alone", len(alone)),
            *([figure("namely", listed(alone))] if alone else []),
        ],
        at=[
            *agreed(*(f"parties.{name}.classes" for name in members)),
            (source.roster_file, "/body/members"),
        ],
    )


def _noise_of_a_class(source: Source) -> Point:
    mechanism, event = source.agreement.mechanism, source.worst_event
    assert isinstance(event, DiscreteGaussianRelease)
    unit = count_unit(mechanism.grid, mechanism.count_weight)
    length = math.sqrt(source.agreement.encoder.dimension) * event.noise_scale / mechanism.grid
    return source.claim(
        "ledger-segments",
        "Noise is of one strength for every class, so a class of few records is drowned in it. "
        "Its noisy count is off by about the first figure; with fewer records than the second, the "
        "noise of its mean is about as long as a record can be, or longer. A noisy count below the "
        "floor is taken for the floor, which makes such a class count for less than it is.",
        figures=[
            figure("standard deviation of a class count, records", event.noise_scale / unit),
            figure("records of a class whose mean has noise of one clip norm", length),
            figure("count floor, records", mechanism.count_floor),
        ],
        at=[
            *agreed("privacy.count_floor", "privacy.count_weight", "encoder.dimension"),
            *(source.place_of(teacher, "/body/events/0") for teacher in source.charges),
        ],
    )
