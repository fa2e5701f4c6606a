"""The audit of an agreement: canaries planted at each teacher, and one verdict over all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, Agreement
from secure_fedsa.audit.canaries.estimators import ERROR
from secure_fedsa.audit.canaries.release import release_scores
from secure_fedsa.audit.canaries.scores import secret_coins
from secure_fedsa.audit.canaries.verdict import FAMILY, Finding, judge
from secure_fedsa.entropy import NoiseSource, PacedNoise, TrainingNoise
from secure_fedsa.errors import AgreementError, UsageError
from secure_fedsa.planning import check_promises
from secure_fedsa.privacy.accountant import NAME, epsilon_of
from secure_fedsa.privacy.events import DpSgdTraining
from secure_fedsa.privacy.training_accountant import NAME as TRAINING_NAME
from secure_fedsa.privacy.training_accountant import training_epsilon
from secure_fedsa.roles.charges import is_stated, planned_event

if TYPE_CHECKING:
    from secure_fedsa.audit.canaries.scores import BoolArray, Scores

LEAST, MOST, MOST_RUNS = 2, 2**20, 64

SHOWS = (
    "The code that clips, sums and adds noise, or that trains, ran on planted records, with the "
    "agreement's own parameters and fresh noise. Each figure is a lower bound on the epsilon of "
    "that release; an alarm says that the release is not the one that was accounted."
)
SHOWS_NOT = (
    "A lower bound cannot prove privacy: no alarm says only that these attacks found nothing. It "
    "says nothing of what a site really runs, of how the encoder treats a record (each alone: "
    "tested with the encoder), of encryption, masks and keys (tested with them), of the quality of "
    "the generator, of the student's own labelled records (protected or not), or of faults that "
    "touch few records or few coordinates."
)


class SecretNoise(NoiseSource, TrainingNoise, Protocol):
    """What both routes draw from."""


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit found.

    Attributes:
        route: Of the agreement.
        neighbours: The relation whose two sides canaries stand for.
        unit: record or person.
        delta: Probability at which every epsilon here is stated.
        runs: Releases of the same canaries that were audited together.
        accountant: Behind the claim.
        canaries: Planted at each teacher.
        findings: One a teacher.
    """

    route: str
    neighbours: str
    unit: str
    delta: float
    runs: int
    accountant: str
    canaries: int
    findings: tuple[Finding, ...]

    @property
    def alarms(self) -> tuple[str, ...]:
        """All alarms, with the teacher's name."""
        return tuple(f"{one.teacher}: {alarm}" for one in self.findings for alarm in one.alarms)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values (docs/audit.md says what each is)."""
        return {
            "verdict": "fail" if self.alarms else "pass",
            "alarms": list(self.alarms),
            "route": self.route,
            "neighbours": self.neighbours,
            "unit": self.unit,
            "delta": self.delta,
            "runs": self.runs,
            "canaries": self.canaries,
            "accountant": self.accountant,
            "confidence": 1 - ERROR,
            "false_alarms_at_most": FAMILY,
            "teachers": [finding.to_dict() for finding in self.findings],
            "shows": SHOWS,
            "shows_not": SHOWS_NOT,
        }


def audit_agreement(
    agreement: Agreement,
    *,
    canaries: int,
    teachers: Sequence[str] | None = None,
    runs: int = 1,
    noise: Callable[[str], SecretNoise] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> AuditResult:
    """Return what canaries say about the releases that an agreement describes.

    Args:
        agreement: One that keeps its promises; signatures do not matter.
        canaries: M, planted at each teacher.
        teachers: Whose releases; None for all that the run itself makes private.
        runs: Releases of the same canaries, audited together against the composed claim.
        noise: Gives a teacher's source of noise; None for the operating system's.
        progress: Called with (teacher, done, of how many) now and then.

    Raises:
        PlanError: If the agreement does not keep its promises by itself.
        AgreementError: If its route promises no epsilon.
        UsageError: A number out of range, an unknown teacher, or one whose model the run does not
            train.
    """
    chosen = audited_teachers(agreement, teachers)
    if not LEAST <= canaries <= MOST or not 1 <= runs <= MOST_RUNS:
        raise UsageError(
            f"{canaries} canaries in {runs} runs cannot be audited.",
            do=f"Use {LEAST} to {MOST} canaries and 1 to {MOST_RUNS} runs.",
        )
    check_promises(agreement)
    source = noise or (lambda _: PacedNoise())
    delta, findings = agreement.promise.delta, []
    for teacher in chosen:

        def told(done: int, total: int, teacher: str = teacher) -> None:
            if progress:
                progress(teacher, done, total)

        coins = secret_coins(canaries)
        scores = _scores(agreement, teacher, coins, noise=source(teacher), runs=runs, told=told)
        findings.append(
            judge(
                scores,
                teacher=teacher,
                claim=claimed_epsilon(agreement, teacher, runs=runs),
                delta=delta,
                classes=len(agreement.parties[teacher].classes),
                audited=len(chosen),
            )
        )
    return AuditResult(
        route=agreement.route,
        neighbours=agreement.promise.neighbours,
        unit=agreement.promise.unit,
        delta=delta,
        runs=runs,
        accountant=NAME if agreement.route == NOISY_RELEASE else TRAINING_NAME,
        canaries=canaries,
        findings=tuple(findings),
    )


def claimed_epsilon(agreement: Agreement, teacher: str, *, runs: int = 1) -> float:
    """Return the epsilon that a run's receipt claims of a teacher's release, composed over runs."""
    events = [planned_event(agreement, teacher)] * runs
    if agreement.route == NOISY_RELEASE:
        return epsilon_of(events, agreement.promise.delta)
    trainings = [event for event in events if isinstance(event, DpSgdTraining)]
    return training_epsilon(trainings, agreement.promise.delta)


def audited_teachers(agreement: Agreement, teachers: Sequence[str] | None) -> tuple[str, ...]:
    """Return whose releases are audited: those asked for, or all that the run makes private.

    Raises:
        AgreementError: If the route promises no epsilon.
        UsageError: An unknown teacher, or one whose model the run does not train.
    """
    if agreement.route == ENCRYPTION_ONLY:
        raise AgreementError(
            "route",
            "is encryption-only: there is nothing to audit.",
            why="It has NO DIFFERENTIAL PRIVACY, so there is no epsilon to compare with.",
            do="Audit an agreement of the route noisy-release or private-training.",
        )
    own = tuple(name for name in agreement.teachers if not is_stated(agreement, name))
    for name in teachers or ():
        if name not in agreement.teachers:
            raise UsageError(
                f"{name!r} is no teacher of this agreement.",
                do=f"Teachers: {', '.join(agreement.teachers)}.",
            )
        if name not in own:
            raise UsageError(
                f"{name} brings a model that was trained before: no code of the run makes it "
                "private, so there is nothing to audit.",
                do="Audit another teacher.",
            )
    chosen = tuple(dict.fromkeys(teachers)) if teachers else own
    if not chosen:
        raise UsageError(
            "Every teacher of this agreement brings a model that was trained before.",
            why="How it was trained is its institution's word.",
            do="Audit an agreement whose models are trained in the run.",
        )
    return chosen


def _scores(
    agreement: Agreement,
    teacher: str,
    coins: BoolArray,
    *,
    noise: SecretNoise,
    runs: int,
    told: Callable[[int, int], None],
) -> Scores:
    if agreement.route == NOISY_RELEASE:
        return release_scores(agreement, teacher, coins, noise=noise, runs=runs, progress=told)
    from secure_fedsa.audit.canaries.training import training_scores  # torch takes seconds

    return training_scores(agreement, coins, noise=noise, runs=runs, progress=told)
