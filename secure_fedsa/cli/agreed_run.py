"""A run of all parties on this machine, under an agreement that they signed before."""

from __future__ import annotations

from pathlib import Path

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.agreement_file import SignedTextError, signature_states
from secure_fedsa.cli.baselines import RememberingEncoder
from secure_fedsa.cli.demo import Demo
from secure_fedsa.cli.demo_agreement import DemoOptions
from secure_fedsa.cli.encoder_file import read_encoder
from secure_fedsa.cli.keys import existing_identity
from secure_fedsa.cli.progress import Progress
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.site import PrivateData
from secure_fedsa.engines.student import StudentWorkshop
from secure_fedsa.errors import AgreementError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning import PlanError, plan
from secure_fedsa.roles.noisy_release import saliency_scale


class AgreedRun(Demo):
    """As the demo, but nothing is chosen here: the agreement stands, and the data must fit it.

    Args:
        out: The run folder.
        agreement: In the right form; judged here.
        data: Folder of the student's and the teachers' records.
        states: Holds one state folder a party.
        encoder: File of the public encoder.
        seed: Public seed of model training.
        progress: Where progress goes.
    """

    def __init__(
        self,
        out: Path,
        agreement: Agreement,
        *,
        data: Path,
        states: Path,
        encoder: Path,
        seed: int,
        progress: Progress,
    ) -> None:
        options = DemoOptions(seed=seed, encryption=agreement.protection.he, data=str(data))
        super().__init__(out, options, progress)
        self.states = states
        self.agreement = agreement
        self._encoder_file = encoder
        check_signed(agreement)
        for name, party in agreement.parties.items():
            if existing_identity(states / name).public.hex() != party.key:
                raise AgreementError(
                    f"parties.{name}.key",
                    f"is not that of the key in {states / name}.",
                    do="Name the folder whose state folders hold the keys that signed.",
                )

    def _encoder(self, data: DemoData) -> PublicEncoder:
        del data
        encoder = read_encoder(self._encoder_file, self.agreement, RememberingEncoder)
        self.progress.say("Public encoder read; it is the agreement's")
        return encoder

    def _prepare(
        self, data: DemoData, encoder: PublicEncoder, workshop: StudentWorkshop
    ) -> LocalRun:
        agreement = self.agreement
        check_fit(agreement, data)
        self._remember_options()
        self._check_resume(agreement)
        return LocalRun(
            agreement,
            states={name: self.states / name for name in agreement.parties},
            teachers={t.id: PrivateData(t.images, t.labels) for t in data.teachers},
            encoder=encoder,
            probes=data.probes,
            query=workshop.query(saliency_scale(agreement)),
            build=lambda released: workshop.build(released, agreement),
        )


def check_signed(agreement: Agreement) -> None:
    """Refuse an agreement that cannot hold, or that not every party signed as it stands.

    Raises:
        PlanError: Naming the clause that cannot hold.
        SignedTextError: Naming the signature that is missing or wrong.
    """
    plan(agreement)
    if agreement.simulation:
        raise PlanError("simulation", "is true.", why="Nobody could verify the run.")
    for name, state in signature_states(agreement).items():
        if state != "signed":
            raise SignedTextError(
                f"signatures.{name}", f"is {state}.", do="See: secure-fedsa agree check."
            )


def check_fit(agreement: Agreement, data: DemoData) -> None:
    """Refuse data that are not the agreement's; only what is public of them is looked at.

    Raises:
        AgreementError: Naming the clause.
    """
    held, agreed = {teacher.id: teacher.task for teacher in data.teachers}, agreement.teachers
    strangers = sorted(set(held) ^ set(agreed))
    if strangers:
        name = strangers[0]
        what = "has no file in the data." if name in agreed else "has data and is no teacher of it."
        raise AgreementError(f"parties.{name}", what, do="Name the data that were agreed on.")
    for name in agreed:
        if held[name] != agreement.parties[name].classes:
            raise AgreementError(
                f"parties.{name}.classes",
                "are not those of its data.",
                why=f"The data declare {', '.join(held[name])}.",
            )
    if probes_hash(data.probes) != agreement.encoder.probes_sha256:
        raise AgreementError(
            "encoder.probes_sha256",
            "is not that of the student's probes.",
            do="Use the probes that the encoder was fitted to.",
        )
