"""A run of all parties on this machine, under an agreement that they signed before.

Nothing is chosen here: the agreement stands, and keys, data and encoder must fit it.
"""

from __future__ import annotations

from pathlib import Path

from secure_fedsa.agreement import Agreement
from secure_fedsa.cli.agreement_file import AgreementFile, check_signatures, signature_states
from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.cli.encoder_file import read_encoder
from secure_fedsa.cli.keys import existing_identity
from secure_fedsa.cli.places import why_not_there
from secure_fedsa.cli.progress import Progress
from secure_fedsa.cli.runner import Finished, Job, Runner
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.cli.state_folders import StateFolders
from secure_fedsa.engines.data_register import DataRegister, check_ledgers
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.errors import AgreementError, UsageError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.planning import PlanError, plan
from secure_fedsa.privacy.contributions import persons_missing


def run_agreed(
    out: Path,
    file: AgreementFile,
    *,
    data: Path,
    states: Path,
    encoder: Path,
    seed: int,
    progress: Progress,
) -> Finished:
    """Run under an agreement, and write the run folder.

    Args:
        out: The run folder.
        file: The agreement, in the right form; judged here.
        data: Folder of the student's and the teachers' records.
        states: Holds one state folder a party.
        encoder: File of the public encoder.
        seed: Public seed of model training.
        progress: Where progress goes.

    Raises:
        AgreementError: Naming the clause that cannot hold, that not everybody signed, or that
            keys, data or encoder do not fit; nothing is charged then.
    """
    agreement = file.agreement
    check_signed(agreement)
    check_keys(agreement, states)
    if not data.is_dir():
        raise UsageError(
            f"{data} is not a folder.",
            why=why_not_there(data),
            do="Name the folder of the data with --data.",
        )
    kept = StateFolders(states, "--states", {"data": str(data)})
    parties = (kept.of(name) for name in agreement.parties)
    runner = Runner(out, kept, progress, private=(data, *parties))
    held = load_folder(data)
    progress.say(f"Data: {held.source}")
    check_fit(agreement, held)
    public = read_encoder(encoder, agreement, PublicEncoder)
    progress.say("Public encoder read; it is the agreement's")
    register = DataRegister()
    records = {teacher.id: teacher.images for teacher in held.teachers}
    folders = {teacher: states / teacher for teacher in agreement.teachers}
    sketches = check_ledgers(register, agreement, records, folders)
    try:
        return runner.run(Job(agreement, file.data, held, public, seed, demo=False))
    finally:  # by now the ledgers exist and have their names
        for state, sketch in sketches.items():
            register.remember(state, sketch)


def check_signed(agreement: Agreement) -> None:
    """Refuse an agreement that cannot hold, or that not every party signed as it stands.

    Raises:
        PlanError: Naming the clause that cannot hold.
        SignedTextError: Naming every signature that is missing or wrong.
    """
    plan(agreement)
    if agreement.simulation:
        raise PlanError(
            "simulation",
            "is true.",
            why="Nobody could verify the run.",
            do="Agree on simulation = false, and have everybody sign again.",
        )
    check_signatures(signature_states(agreement))


def check_keys(agreement: Agreement, states: Path) -> None:
    """Refuse state folders whose keys are not those that signed.

    Raises:
        AgreementError: Naming the party.
        UsageError: If a party has no key.
    """
    for name, party in agreement.parties.items():
        if existing_identity(states / name).public.hex() != party.key:
            raise AgreementError(
                f"parties.{name}.key",
                f"is not that of the key in {states / name}.",
                do="Name the folder whose state folders hold the keys that signed.",
            )


def check_fit(agreement: Agreement, data: DemoData) -> None:
    """Refuse data that are not the agreement's; only what is public of them is looked at.

    Raises:
        AgreementError: Naming the clause.
        DataError: If the promise is to persons and a teacher's records have no ids.
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
                do="Name the data that were agreed on, or declare the agreed classes in them.",
            )
    if agreement.privacy is not None and agreement.privacy.unit == "person":
        for teacher in data.teachers:
            if teacher.persons is None:
                raise persons_missing(teacher.id)
    if probes_hash(data.probes) != agreement.encoder.probes_sha256:
        raise AgreementError(
            "encoder.probes_sha256",
            "is not that of the student's probes.",
            do="Use the probes that the encoder was fitted to.",
        )
