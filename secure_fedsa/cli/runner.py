"""A whole run of all parties on this machine, from a signed agreement to its run folder.

``demo`` and ``run`` differ in where agreement, data and encoder come from, in what they may
show, and in their words. What lies between is here.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from secure_fedsa.agreement import ENCRYPTION_ONLY, Agreement
from secure_fedsa.audit.closing import final_roster, run_files
from secure_fedsa.cli.baselines import Baselines, Exam, compare
from secure_fedsa.cli.progress import Progress
from secure_fedsa.cli.splits import DemoData, TeacherData
from secure_fedsa.cli.state_folders import StateFolders
from secure_fedsa.engines import run_folder
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.student import (
    ARCHITECTURE_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    NETWORK_FILE,
    StudentTask,
    StudentWorkshop,
)
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.errors import DataError, UsageError
from secure_fedsa.messages import STUDENT
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.plain_network import train_plain
from secure_fedsa.models.teachers import Brought, PrivateData, TrainedModel
from secure_fedsa.privacy.shown import at_least, at_most
from secure_fedsa.report.summary import RunFacts

_PACKAGES = (
    "secure-fedsa",
    "torch",
    "opendp",
    "tenseal",
    "cryptography",
    "phe",
    "numpy",
    "dp-accounting",
    "securesystemslib",
    "in-toto-attestation",
)


@dataclass(frozen=True, slots=True, repr=False)
class Job:
    """What is to be run.

    Attributes:
        agreement: Signed by every party.
        agreement_file: The bytes of its file.
        data: The student's and the teachers' records.
        encoder: The public encoder.
        seed: Public seed of model training.
        demo: Whether it may be shown what each teacher was made for.
    """

    agreement: Agreement
    agreement_file: bytes
    data: DemoData
    encoder: PublicEncoder
    seed: int
    demo: bool


@dataclass(frozen=True, slots=True, repr=False)
class Finished:
    """A run whose folder is written.

    Attributes:
        out: The run folder.
        agreement: The agreement of the run.
        summary: What summary.json says.
        members: The teachers whose sum was opened.
        workshop: The student's.
        exam: The test records.
        signing_seconds: Wall seconds of checking, signing and writing the run folder, which
            come after its summary.
    """

    out: Path
    agreement: Agreement
    summary: dict[str, Any]
    members: tuple[str, ...]
    workshop: StudentWorkshop
    exam: Exam
    signing_seconds: float


class Runner:
    """Runs all parties in one place on disk; its clock starts when it is made.

    Args:
        out: The run folder.
        states: The parties' state folders.
        progress: Where progress goes.
        private: What must not lie in the run folder, nor the run folder in it.

    Raises:
        StorageError: If no run folder can be written there.
        UsageError: If ``out`` is no place for one, or the states hold ledgers of other data.
    """

    def __init__(
        self, out: Path, states: StateFolders, progress: Progress, *, private: Iterable[Path] = ()
    ) -> None:
        self._began = time.monotonic()
        torch.set_num_threads(1)  # two are slower: docs/decisions/0007
        run_folder.check_out(out, private=private)
        states.check_data()
        self.out = out
        self.states = states
        self.progress = progress

    def run(self, job: Job, *, after: Callable[[Finished], None] | None = None) -> Finished:
        """Run to the end, or take up the run that was cut off, and write the run folder.

        Args:
            job: What is to be run.
            after: Called when the folder is written, before the journals go: until it has
                returned, the same command ends this run instead of charging for another.

        Raises:
            KeyboardInterrupt: With what was spent until then.
            RunAborted: If the run ended without a release.
        """
        agreement = job.agreement
        workshop = self._workshop(job)
        self.states.remember_data()
        self.states.take_agreement(agreement, job.agreement_file)
        run = LocalRun(
            agreement,
            states={name: self.states.of(name) for name in agreement.parties},
            teachers={t.id: self._brought(job, t) for t in job.data.teachers},
            encoder=job.encoder,
            probes=job.data.probes,
            query=workshop.question(agreement),
            build=lambda released: workshop.build(released, agreement),
        )
        prepared = self._seconds()
        resumed = run.unfinished
        if run.given_up:
            self.progress.say(
                "A run that was cut off was given up, by the agreement's [retention]: its keys and "
                "signals are erased. What it charged stays spent."
            )
        self._announce(run)
        # One thread an operation, for torch and numpy: the second core trains baselines.
        with threadpool_limits(1):
            protected = agreement.student_privacy is not None
            baselines = None if protected else Baselines(job.data, workshop)
            try:
                outcome = run.execute(observe=self.progress.effect)
                self._tell_kept(run)
                also = "" if baselines is None else ", and baselines without teachers"
                self.progress.say(f"Tests{also}")
                facts, exam = self._facts(
                    job, run, outcome, workshop, baselines, prepared=prepared, resumed=resumed
                )
                files, summary = self._files(job, run, outcome, facts, workshop)
                self._write(files)
                signing = self._seconds() - facts.total_seconds
                finished = Finished(
                    self.out,
                    job.agreement,
                    summary,
                    facts.roster.members,
                    workshop,
                    exam,
                    signing,
                )
                if after is not None:
                    after(finished)
            except KeyboardInterrupt as error:
                spent = run.spent_text(run.open_run_id())
                raise KeyboardInterrupt(
                    f"{spent} The same command again takes this run up, without a new charge."
                ) from error
        run.discard()
        return finished

    def _seconds(self) -> float:
        return time.monotonic() - self._began

    # --- before ------------------------------------------------------------------

    def _workshop(self, job: Job) -> StudentWorkshop:
        data, folder = job.data, self.states.of(job.agreement.only(STUDENT))
        protected = job.agreement.student_privacy is not None
        if protected and not data.declared:
            raise DataError(
                "The student's classes are not declared, and the agreement protects its records.",
                why="Derived from its labels, their number would tell of single records.",
                do="Add `classes`, their names, to student.npz (docs/data.md).",
            )
        return StudentWorkshop(
            StudentTask(data.class_names, data.images, data.labels, data.probes),
            job.encoder,
            folder / "built",
            seed=job.seed,
            labels=StudentLabels(folder, job.agreement) if protected else None,
        )

    def _brought(self, job: Job, teacher: TeacherData) -> Brought:
        """Return what a teacher of a data folder brings: its records, or a network of them.

        Raises:
            UsageError: If the agreement states a training that was done before the run.
        """
        agreement = job.agreement
        if agreement.parties[teacher.id].stated is not None:
            raise UsageError(
                f"{teacher.id} brings a model, by the agreement, and the data folder has none.",
                why="This command knows records only.",
                do="Run from Python with sf.LocalRun and sf.TrainedModel, or agree without "
                f"parties.{teacher.id}.stated.",
            )
        if agreement.route != ENCRYPTION_ONLY:
            return PrivateData(teacher.images, teacher.labels, teacher.persons)
        self.progress.say(f"  {teacher.id} trains its network, WITHOUT differential privacy")
        network = train_plain(
            teacher.images,
            teacher.labels,
            len(teacher.task),
            schema=job.encoder.schema,
            seed=job.seed,
            purpose=f"network of {teacher.id}",
        )
        return TrainedModel(network)

    def _announce(self, run: LocalRun) -> None:
        accounting = run.plan.accounting
        spends = (
            "has NO DIFFERENTIAL PRIVACY"
            if accounting is None
            else f"spends epsilon {at_most(accounting.epsilon)} at delta {accounting.delta:g} a "
            "teacher"
        )
        self.progress.say(
            f"Agreement {run.hash[:12]} signed by {len(run.agreement.parties)} parties; a run "
            + spends
        )
        if not run.agreement.protection.he:
            self.progress.say("WARNING: encryption and masks are OFF: single signals are open")
        if run.unfinished:
            run_id = run.open_run_id()
            self.progress.say(
                f"Taking up run {run_id[:12] or '(no id yet)'}, which was cut off. "
                f"{run.spent_text(run_id)} Nothing is charged twice."
            )
        else:
            self._announce_earlier(run)

    def _tell_kept(self, run: LocalRun) -> None:
        for name, site in run.sites.items():
            for entry in site.kept or ():
                self.progress.say(f"WARNING: {name} could not remove its {entry.item}. {entry.why}")

    def _announce_earlier(self, run: LocalRun) -> None:
        first, privacy = run.agreement.teachers[0], run.agreement.privacy
        ledger = run.sites[first].ledger
        assert ledger is not None
        spent = ledger.spent()
        if spent.epsilon == 0:
            return
        told = f"Earlier runs spent epsilon {at_most(spent.epsilon)} of these data sets"
        if privacy is not None:
            books = ledger.books()
            limits = [privacy.data_set_budget, books.limit or privacy.data_set_budget]
            lefts = [ledger.left(limit).epsilon for limit in limits]
            own = ledger.left(privacy.agreement_budget, run.hash, privacy.delta).epsilon
            left = at_least(min(own, *lefts))
            told += f"; this run adds to it. Left before it: epsilon {left}"
        self.progress.say(told)

    # --- after -------------------------------------------------------------------

    def _facts(
        self,
        job: Job,
        run: LocalRun,
        outcome: Outcome,
        workshop: StudentWorkshop,
        baselines: Baselines | None,
        *,
        prepared: float,
        resumed: bool,
    ) -> tuple[RunFacts, Exam]:
        started = time.monotonic()
        exam = Exam(job.data, workshop.encoder)
        accuracies = compare(workshop, exam, baselines)
        compared = time.monotonic() - started
        facts = RunFacts(
            agreement=run.agreement,
            plan=run.plan,
            run_id=outcome.run_id,
            seed=job.seed,
            simulated_noise=run.simulated_noise,
            demo=job.demo,
            roster=final_roster(outcome.envelopes),
            kinds={teacher.id: teacher.kind for teacher in job.data.teachers} if job.demo else {},
            accuracy=dict(accuracies),
            seconds={"preparation": prepared, **run.clock.seconds, "baselines": compared},
            versions={"python": platform.python_version()}
            | {name: version(name) for name in _PACKAGES},
            class_names=job.data.class_names,
            resumed=resumed,
            total_seconds=self._seconds(),
        )
        return facts, exam

    def _files(
        self,
        job: Job,
        run: LocalRun,
        outcome: Outcome,
        facts: RunFacts,
        workshop: StudentWorkshop,
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """Return the run folder's files, signed by all who check them first, and the summary."""
        names = (NETWORK_FILE, ARCHITECTURE_FILE, HEAD_FILE, ENCODER_FILE)
        return run_files(
            run,
            outcome,
            facts,
            {name: (workshop.folder / name).read_bytes() for name in names},
            agreement_file=job.agreement_file,
            signing=lambda signers: self.progress.say(
                f"{len(signers)} parties check the run against their own records and sign its "
                "receipt"
            ),
        )

    def _write(self, files: dict[str, bytes]) -> None:
        kept = run_folder.write(self.out, files)
        if kept is not None:
            self.progress.say(f"The earlier run folder is now {kept}")
