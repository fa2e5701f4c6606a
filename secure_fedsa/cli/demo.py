"""The demo: the whole main job on public data, or on a folder of one's own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from secure_fedsa.agreement import Agreement, parse
from secure_fedsa.audit.closing import final_roster, run_files
from secure_fedsa.cli.baselines import (
    Baselines,
    Exam,
    RememberingEncoder,
    compare,
    simulate_without_noise,
)
from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.cli.datasets import load_fashion_mnist
from secure_fedsa.cli.demo_agreement import DemoOptions, demo_agreement
from secure_fedsa.cli.demo_files import trust_file, versions, write_simulation
from secure_fedsa.cli.progress import Progress
from secure_fedsa.cli.splits import DemoData, demo_split
from secure_fedsa.engines import run_folder
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.engines.in_process import Outcome
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.site import PrivateData, load_identity
from secure_fedsa.engines.student import (
    ARCHITECTURE_FILE,
    ENCODER_FILE,
    HEAD_FILE,
    NETWORK_FILE,
    StudentTask,
    StudentWorkshop,
)
from secure_fedsa.errors import StorageError, UsageError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.report.summary import RunFacts
from secure_fedsa.roles.noisy_release import saliency_scale
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import sign

_OPTIONS_FILE = "options.json"
TRUST_FILE = "keys.toml"


@dataclass(slots=True)
class DemoResult:
    """What the demo leaves.

    Attributes:
        out: The run folder.
        summary: What summary.json says.
        trust: The file of the parties' keys.
        simulation: Where simulation.json is; None for a user's own data.
    """

    out: Path
    summary: dict[str, Any]
    trust: Path
    simulation: Path | None


class Demo:
    """One demo in one place on disk.

    Args:
        out: The run folder. State folders lie beside it, in ``<out>-state``.
        options: The flags.
        progress: Where progress goes.
    """

    def __init__(self, out: Path, options: DemoOptions, progress: Progress) -> None:
        self.out = out
        self.states = out.with_name(out.name + "-state")
        self.options = options
        self.progress = progress
        self._resumed = False

    def run(self) -> DemoResult:
        """Run everything, and write the run folder."""
        torch.set_num_threads(1)  # two are slower: docs/decisions/0007
        run_folder.check_out(self.out)
        self._same_options()
        began = time.monotonic()
        data = self._data()
        self.progress.say(f"Data: {data.source}")
        encoder = self._encoder(data)
        workshop = StudentWorkshop(
            StudentTask(data.class_names, data.images, data.labels, data.probes),
            encoder,
            self.states / STUDENT / "built",
            seed=self.options.seed,
        )
        run = self._prepare(data, encoder, workshop)
        prepared = time.monotonic() - began
        self._announce(run)
        self._resumed = run.unfinished
        # One thread an operation, for torch and numpy: the second core trains baselines.
        with threadpool_limits(1):
            baselines = Baselines(data, workshop)
            try:
                outcome = run.execute(observe=self.progress.effect)
                self.progress.say("Tests, and baselines without teachers")
                return self._conclude(data, workshop, run, outcome, baselines, began, prepared)
            except KeyboardInterrupt as error:
                spent = run.spent_text(run.open_run_id())
                raise KeyboardInterrupt(
                    f"{spent} The same command again takes this run up, without a new charge."
                ) from error

    # --- before ------------------------------------------------------------------

    def _same_options(self) -> None:
        """Refuse other options on ledgers that belong to other data."""
        path = self.states / _OPTIONS_FILE
        if not path.exists():
            return
        mine = self._data_options()
        theirs = canonical.decode(path.read_bytes())
        if theirs != mine:
            names = sorted({*mine, *theirs})
            changed = ", ".join(f"--{n}" for n in names if mine.get(n) != theirs.get(n))
            raise UsageError(
                f"{self.states} holds the ledgers of other demo data.",
                why=f"It was made with another {changed}. A ledger is of one data set.",
                do="Name another folder with --out for other data. (The same data under another "
                "--out start with an empty ledger: their spends must then be added by hand.)",
            )

    def _data_options(self) -> dict[str, Any]:
        """Return the options that decide which records the teachers hold."""
        options = self.options
        if options.data:
            return {"data": options.data}
        return {"seed": options.seed, "records": options.records, "labels": options.labels}

    def _remember_options(self) -> None:
        self._keep(_OPTIONS_FILE, canonical.encode(self._data_options()))

    def _keep(self, name: str, data: bytes) -> None:
        """Keep a file beside the parties' states, whole or not at all."""
        partial = self.states / f"{name}.partial"
        try:
            self.states.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(data)
            partial.rename(self.states / name)
        except OSError as error:
            raise StorageError(
                f"Cannot write {self.states}.",
                why=f"{error.strerror}.",
                do="Nothing was charged. Name a folder that you can write with --out.",
            ) from error

    def _data(self) -> DemoData:
        if self.options.data:
            return load_folder(Path(self.options.data))
        return demo_split(
            load_fashion_mnist(self.progress.say),
            seed=self.options.seed,
            labels=self.options.labels,
            records=self.options.records,
        )

    def _encoder(self, data: DemoData) -> PublicEncoder:
        """Fit the public encoder, once for the same probes.

        Another fit could differ in a last bit, and a run that was cut off goes on only under
        the agreement that names its encoder's hash.
        """
        path = self.states / f"encoder-{probes_hash(data.probes)[:16]}.safetensors"
        if path.exists():
            self.progress.say("Public encoder of an earlier run of these parties")
            return RememberingEncoder.from_bytes(path.read_bytes())
        encoder = RememberingEncoder.fit(data.probes)
        self._keep(path.name, encoder.to_bytes())
        self.progress.say(f"Public encoder fitted to {len(data.probes)} probes")
        return encoder

    def _prepare(
        self, data: DemoData, encoder: PublicEncoder, workshop: StudentWorkshop
    ) -> LocalRun:
        names = [*(teacher.id for teacher in data.teachers), AGGREGATOR, KEY_HOLDER, STUDENT]
        self._remember_options()
        states = {name: self.states / name for name in names}
        identities = {name: load_identity(state) for name, state in states.items()}
        keys = {name: identity.public.hex() for name, identity in identities.items()}
        agreement = demo_agreement(self.options, data, encoder, keys)
        for name in names:
            agreement = sign(agreement, name, identities[name])
        self._check_resume(agreement)
        private = {t.id: PrivateData(t.images, t.labels) for t in data.teachers}
        return LocalRun(
            agreement,
            states=states,
            teachers=private,
            encoder=encoder,
            probes=data.probes,
            query=workshop.query(saliency_scale(agreement)),
            build=lambda released: workshop.build(released, agreement),
        )

    def _check_resume(self, agreement: Agreement) -> None:
        """Keep the agreement beside the ledgers; a cut-off run resumes under its own."""
        path = self.states / run_folder.AGREEMENT_FILE
        unfinished = any((self.states / name / "run").exists() for name in agreement.parties)
        if unfinished and path.exists():
            earlier = parse(path.read_text())
            if earlier.content() != agreement.content():
                raise UsageError(
                    f"A run in {self.states} was cut off, under another agreement.",
                    do="Use the options of that run to finish it, or another --out.",
                )
        path.write_bytes(run_folder.agreement_toml(agreement))
        (self.states / TRUST_FILE).write_bytes(trust_file(agreement))

    def _announce(self, run: LocalRun) -> None:
        accounting = run.plan.accounting
        self.progress.say(
            f"Agreement {run.hash[:12]} signed by {len(run.agreement.parties)} parties; a run "
            f"spends epsilon {accounting.epsilon:.4g} at delta {accounting.delta:g} a teacher"
        )
        if not self.options.encryption:
            self.progress.say("WARNING: encryption and masks are OFF: single signals are open")
        if run.unfinished:
            run_id = run.open_run_id()
            self.progress.say(
                f"Taking up run {run_id[:12] or '(no id yet)'}, which was cut off. "
                f"{run.spent_text(run_id)} Nothing is charged twice."
            )
        else:
            self._announce_earlier(run)

    def _announce_earlier(self, run: LocalRun) -> None:
        first = run.agreement.teachers[0]
        ledger = run.sites[first].ledger
        assert ledger is not None
        spent = ledger.spent()
        if spent.rho > 0:
            left = ledger.left(run.agreement.privacy.data_set_budget)
            self.progress.say(
                f"Earlier runs spent epsilon {spent.epsilon:.4g} of these data sets; this run "
                f"adds to it. Left before it: epsilon {left.epsilon:.4g}"
            )

    def _announce_signing(self, signers: tuple[str, ...]) -> None:
        self.progress.say(
            f"{len(signers)} parties check the run against their own records and sign its receipt"
        )

    # --- after -------------------------------------------------------------------

    def _conclude(
        self,
        data: DemoData,
        workshop: StudentWorkshop,
        run: LocalRun,
        outcome: Outcome,
        baselines: Baselines,
        began: float,
        prepared: float,
    ) -> DemoResult:
        started = time.monotonic()
        exam = Exam(data, workshop.encoder)
        accuracies = compare(workshop, exam, baselines)
        compared = time.monotonic() - started
        seconds = {"preparation": prepared, **run.clock.seconds, "baselines": compared}
        facts = RunFacts(
            agreement=run.agreement,
            plan=run.plan,
            run_id=outcome.run_id,
            seed=self.options.seed,
            simulated_noise=run.simulated_noise,
            demo=True,
            roster=final_roster(outcome.envelopes),
            kinds={teacher.id: teacher.kind for teacher in data.teachers},
            accuracy=dict(accuracies),
            seconds=seconds,
            versions=versions(),
            class_names=data.class_names,
            resumed=self._resumed,
            total_seconds=time.monotonic() - began,
        )
        names = (NETWORK_FILE, ARCHITECTURE_FILE, HEAD_FILE, ENCODER_FILE)
        student = {name: (workshop.folder / name).read_bytes() for name in names}
        files, summary = run_files(run, outcome, facts, student, signing=self._announce_signing)
        kept = run_folder.write(self.out, files)
        if kept is not None:
            self.progress.say(f"The earlier run folder is now {kept}")
        simulation = None
        if not self.options.data:  # a user's own records are nobody's to simulate with
            values = simulate_without_noise(
                data, workshop, run.agreement, facts.roster.members, exam
            )
            values |= {"run_id": outcome.run_id, "seed": self.options.seed}
            simulation = write_simulation(self.out.with_name("simulation.json"), values)
        run.discard()
        return DemoResult(self.out, summary, self.states / TRUST_FILE, simulation)
