"""What the options of ``agree new`` choose, and what of it is refused before anything is fitted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

from secure_fedsa.agreement import NOISY_RELEASE, Party, Publish
from secure_fedsa.cli.drafting import SELECT, SKETCH_WIDTH, Choices, asked, draft, usual_form
from secure_fedsa.cli.public_part import PublicPart
from secure_fedsa.errors import AgreementError, UsageError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning.promises import check_promises

_LARGEST_SHARE = 0.1  # of one record, that delta may give away without a warning
_LARGEST_USUAL = 10.0
_OPTIONS = {
    "privacy.agreement_budget": "--budget, --epsilon",
    "privacy.data_set_budget": "--data-set-budget, --epsilon",
    "privacy.delta": "--delta",
    "institution_privacy.norm_bound": "--institution-epsilon, --delta",
    "privacy.max_records": "--max-records, --unit, --route",
    "privacy.neighbours": "--neighbours, --route",
    "protection.he": "--encryption",
    "publish.ciphertexts": "--publish-ciphertexts, --publish-sums",
    "publish.feature_key": "--publish-feature-key",
    "publish.scores": "--publish-scores, --institution-epsilon",
    "retention.local_log_days": "--log-days",
    "retention.unfinished_days": "--unfinished-days",
    "saliency.directions": "--saliency",
    "answers.probes": "--asked",
    "answers.width": "--width",
    "institution_privacy": "--institution-epsilon, --route",
    "selection.select": "--select, --minimum-cohort, --max-colluding",
    "selection.threshold": "--threshold, --institution-epsilon",
    "student_privacy.budget": "--student-budget, --student-epsilon",
    "student_privacy.classes": "--student-classes",
}
"""By clause, the options that its value comes from."""


def check_options(arguments: argparse.Namespace) -> None:
    """Refuse options that contradict one another, before any file is read.

    Raises:
        UsageError: Naming the options.
    """
    if arguments.unit == "record" and arguments.max_records > 1:
        raise UsageError(
            f"--unit record and --max-records {arguments.max_records} contradict each other.",
            why="The records that count are those of one person.",
            do="Take --unit person, or leave --max-records out.",
        )
    if arguments.route == NOISY_RELEASE:
        for option in ("form", "asked", "width", "saliency"):
            if getattr(arguments, option) is not None:
                raise UsageError(
                    f"--{option} does nothing with --route {NOISY_RELEASE}.",
                    why="Its teachers send sums of their records; no model is asked anything.",
                    do="Leave it out, or take another route.",
                )
    if arguments.student_epsilon is None:
        for option in ("student_budget", "student_classes"):
            if getattr(arguments, option) is not None:
                raise UsageError(
                    f"--{option.replace('_', '-')} does nothing without --student-epsilon.",
                    why="Without it nothing is promised about the student's labelled records.",
                    do="Give --student-epsilon too, or neither.",
                )
        return
    clash = None
    if arguments.unit == "person":
        clash = "--unit person"
    elif arguments.max_records > 1:
        clash = f"--max-records {arguments.max_records}, whose unit is a person"
    elif arguments.route != NOISY_RELEASE:
        clash = f"--route {arguments.route}"
    if clash is not None:
        raise UsageError(
            f"--student-epsilon does not go with {clash}.",
            why="The student's records are summed like a teacher's of the route noisy-release, and "
            "have no person ids: their unit is one record.",
            do="Leave --student-epsilon out (the student's records are then NOT protected), or "
            f"take --route {NOISY_RELEASE} and the unit record.",
        )


class _Unfitted(PublicEncoder):
    """What an encoder will be as far as the rules ask: its width. Nothing can be encoded by it."""

    def __init__(self, dimension: int) -> None:
        self._width = dimension
        self.clip_norm = 1.0
        self.probe_variances = np.ones(dimension)

    @property
    def dimension(self) -> int:
        return self._width

    def sha256(self) -> str:
        return "0" * 64


def check_before(
    chosen: Choices, parties: Mapping[str, Party], dimension: int, probes_sha256: str
) -> None:
    """Refuse choices that no agreement can hold, before the encoder is fitted.

    Args:
        chosen: What people chose.
        parties: By name.
        dimension: Width that the encoder is to have.
        probes_sha256: Hash of the probes.

    Raises:
        AgreementError: Naming the clause, and the options behind it.
    """
    try:
        check_promises(draft(chosen, parties, _Unfitted(dimension), probes_sha256))
    except AgreementError as error:
        what, options = error.what.removeprefix(f"{error.clause}: "), _OPTIONS.get(error.clause)
        where = f"The options behind it: {options}." if options else ""
        raise AgreementError(
            error.clause, what, why=error.why, do=" ".join(filter(None, (error.do, where)))
        ) from error


def odd(choices: Choices) -> list[str]:
    """Return what is allowed and hardly meant, in words."""
    found: list[str] = []
    if choices.route == "encryption-only":
        return found
    if choices.delta * choices.records >= _LARGEST_SHARE:
        found.append(
            f"with delta {choices.delta:g} a mechanism may give away one of some "
            f"{choices.records} records whole. Take a delta well below one over the number of "
            "records (--delta)."
        )
    if choices.epsilon > _LARGEST_USUAL:
        found.append(
            f"epsilon {choices.epsilon:g} promises little: whoever sees the result may become "
            "nearly certain of a record."
        )
    return found


def choices(arguments: argparse.Namespace, public: PublicPart, teachers: int) -> Choices:
    """Return what the options choose, for so many teachers.

    Raises:
        UsageError: If something that a promise needs was not said.
    """
    encrypted = arguments.encryption == "on"
    # Without differential privacy nothing else stands between the sum and whoever reads it.
    usual = "no" if arguments.route == "encryption-only" else "yes"
    sums = (arguments.publish_sums or usual) == "yes"
    # Uploads that are not encrypted would show a sum that stays sealed.
    ciphertexts = arguments.publish_ciphertexts or ("yes" if encrypted or sums else "no")
    serves = encrypted and sums and ciphertexts == "yes"
    answers = None
    if arguments.route != "noisy-release":
        answers = asked(
            len(public.probes),
            arguments.form or usual_form(arguments.route),
            most=arguments.asked,
            width=arguments.width or SKETCH_WIDTH,
            saliency=arguments.saliency or "alignment",
        )
    shared = arguments.institution_epsilon is not None
    feature_key = arguments.publish_feature_key or ("yes" if serves else "no")
    return Choices(
        title=arguments.title or f"Knowledge amalgamation over {public.source}",
        epsilon=arguments.epsilon,
        delta=arguments.delta,
        neighbours=arguments.neighbours,
        max_records=arguments.max_records,
        unit=arguments.unit,
        agreement_budget=arguments.budget,
        data_set_budget=arguments.data_set_budget,
        records=arguments.records,
        select=arguments.select or (teachers if shared else min(SELECT, teachers)),
        threshold=arguments.threshold,
        minimum_cohort=arguments.minimum_cohort or (teachers if shared else 3),
        max_colluding=arguments.max_colluding,
        custody=arguments.custody,
        log_days=arguments.log_days,
        unfinished_days=arguments.unfinished_days,
        encryption=encrypted,
        publish=Publish(
            arguments.publish_scores,
            ciphertexts=ciphertexts == "yes",
            sums=sums,
            feature_key=feature_key == "yes",
        ),
        route=arguments.route,
        answers=answers,
        student_epsilon=arguments.student_epsilon,
        student_budget=arguments.student_budget,
        student_classes=_student_classes(arguments, public),
        institution_epsilon=arguments.institution_epsilon,
        institution_neighbours=arguments.institution_neighbours,
    )


def _student_classes(arguments: argparse.Namespace, public: PublicPart) -> int:
    """Return the number of the student's classes, where something is promised about its records.

    Raises:
        UsageError: If nobody says it.
    """
    count: int = arguments.student_classes or public.student_classes
    if arguments.student_epsilon is not None and not count:
        raise UsageError(
            "--student-epsilon needs the number of the student's classes.",
            do="Give it with --student-classes, or declare `classes` in student.npz.",
        )
    return count
