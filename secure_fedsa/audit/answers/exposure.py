"""What stays uncovered and who sees it; who held keys and records."""

from __future__ import annotations

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.audit.answers.model import Answer, Figure, Point, figure, listed
from secure_fedsa.audit.answers.promise import NO_BOUND
from secure_fedsa.audit.answers.source import Source, agreed, summed_up
from secure_fedsa.engines.run_folder import RELEASE_LOG_FILE
from secure_fedsa.report import wording
from secure_fedsa.signals import from_int64_bytes


def not_covered(source: Source) -> Answer:
    """What differential privacy does not cover, and who can see it."""
    asked = "What is not covered, and who can see it?"
    topic = "what differential privacy does not promise"
    points = [
        _visible(source),
        _by_view(source),
        *(
            source.missing(f"Not covered: {text}")
            for text in wording.not_covered(source.facts, source.summary)
            if text not in (wording.SELECTION_ATTESTED, wording.NOBODY_LEFT_OUT)  # among choices
        ),
    ]
    text = "Facts about institutions as a whole."
    if source.agreement.student_privacy is None:
        text = "The student's own records, and facts about institutions as a whole."
    if not source.private:
        text = f"Everything. {NO_BOUND}"
    return Answer("not-covered", asked, topic, text, tuple(points))


def _visible(source: Source) -> Point:
    agreement = source.agreement
    figures = [
        figure("teachers", len(agreement.teachers)),
        *(figure(f"classes of {name}", _classes(agreement, name)) for name in agreement.teachers),
        figure("teachers in the sum", ", ".join(source.verdict.facts.members)),
        figure("scores", agreement.publish.scores),
        figure("single uploads, masked and encrypted", agreement.publish.ciphertexts)
        if agreement.protection.he
        else figure("single signals, open", agreement.publish.ciphertexts),
        *(
            [figure("the key that decrypts uploads and sum", agreement.publish.feature_key)]
            if agreement.protection.he
            else []
        ),
        figure("the opened sum", agreement.publish.sums),
        *_count_in_the_sum(source),
    ]
    return source.claim(
        "policy",
        "Facts about institutions that every reader of this folder sees. They are public by "
        "agreement, and no noise is meant to hide what is in the agreement itself.",
        figures=figures,
        at=[
            *agreed("publish", *(f"parties.{name}.classes" for name in agreement.teachers)),
            (source.roster_file, "/body"),
        ],
    )


def _by_view(source: Source) -> Point:
    views = source.views
    seen: dict[str, list[str]] = {}
    for name, view in views.items():
        for fact in view.institution_facts:
            seen.setdefault(fact, []).append(name)
    return source.claim(
        "policy",
        "What is seen of one institution as a whole, and by whom: it follows from what the "
        "agreement publishes and who holds the key. No noise for records hides any of it.",
        figures=[
            figure(fact, "everybody" if len(names) == len(views) else "; ".join(names))
            for fact, names in seen.items()
        ],
        at=agreed("publish", "custody", "protection", "selection.max_colluding"),
    )


def _classes(agreement: Agreement, name: str) -> str:
    return listed(agreement.parties[name].classes)


def _count_in_the_sum(source: Source) -> list[Figure]:
    """Return the noisy number of records that a published sum speaks for, if one was sent."""
    agreement = source.agreement
    if agreement.route != NOISY_RELEASE or not agreement.publish.sums:
        return []
    if agreement.institution_privacy is not None:
        return []  # in that place of the sum stands noise alone
    values = from_int64_bytes(source.release.values)
    return [figure("noisy number of records behind the sum", int(values[-1]))]


def custody(source: Source) -> Answer:
    """Who held keys and records, and what became of them."""
    asked = "Who holds records and keys, who could open what, and what was erased?"
    topic = "data security, access control and exposure of collected data"
    agreement = source.agreement
    points = [
        source.missing(
            "How each institution keeps its records: who may read them, where copies are, how long "
            "they are kept. They did not leave it in this run by the protocol, and the folder does "
            "not show what else happens to them.",
            how="Ask each institution.",
        ),
        source.claim(
            "policy",
            f"By agreement {agreement.custodian} holds the one-use feature key, and it signed the "
            "release of the sum."
            if agreement.protection.he
            else "There was no key: the teachers' signals were summed in the open, and "
            f"{agreement.custodian} stated the sum.",
            figures=[figure("custody", agreement.custody)],
            at=[
                *agreed("custody", "protection.he"),
                *summed_up("/custody"),
                (source.release_file, "/header/sender"),
            ],
        ),
        source.claim(
            "one-release",
            "That no other sum of this run was opened.",
            figures=[figure("earlier lines of the key holder's log", source.log_position)],
            at=[(RELEASE_LOG_FILE, "/0/body")],
        ),
        source.claim(
            "erasure",
            "That secret keys, masks and signals of the run were erased at its end.",
            at=[*source.word_in_receipt, *agreed("publish.feature_key")],
        ),
        *_kept(source),
        *_published_key(source),
        source.missing(
            "Erasure by the student and by teachers outside the sum; copies below a file system.",
        ),
        *(source.missing(text, at=agreed("publish")) for text in wording.withheld(agreement)),
    ]
    text = (
        f"By the protocol records stay where they are; {agreement.custodian} had the sum's key. "
        "Erasure is attested."
    )
    if not agreement.protection.he:
        text = "By the protocol records stay where they are; single signals were open on their way."
    return Answer("custody", asked, topic, text, tuple(points))


def _kept(source: Source) -> list[Point]:
    """Return how long what a run leaves may be kept."""
    limits = source.agreement.retention
    if limits is None:
        return [
            source.missing(
                "A limit of how long operators keep their local logs, and runs that were cut off: "
                "the agreement has none.",
                how="Agree on one (`secure-fedsa agree new --log-days`).",
            )
        ]
    return [
        source.claim(
            "retention",
            "How long what the agreement limits was kept. Ledgers and release logs are kept for "
            "ever; copies are beyond it.",
            figures=[
                figure("days of a local log, at most", limits.local_log_days),
                figure("days of a run that was cut off, at most", limits.unfinished_days),
            ],
            at=[*source.word_in_receipt, *agreed("retention")],
        )
    ]


def _published_key(source: Source) -> list[Point]:
    """Return what a key in the folder opens: it is there so that anybody can decrypt again."""
    publish = source.agreement.publish
    if not (source.agreement.protection.he and publish.feature_key):
        return []
    uploads = (
        "every upload too: there the masks alone hide a single teacher's signal"
        if publish.ciphertexts
        else "any upload that somebody kept: the folder has none"
    )
    return [
        source.claim(
            "policy",
            "By agreement the one-use key is in the folder, so that anybody can decrypt the sum "
            f"again. It opens {uploads}.",
            figures=[figure("feature key published", publish.feature_key)],
            at=agreed("publish.feature_key"),
        )
    ]
