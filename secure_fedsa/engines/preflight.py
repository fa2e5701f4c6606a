"""What a party checks of its own before any charge: what it holds is what was agreed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import ENCRYPTION_ONLY, NOISY_RELEASE, PRIVATE_TRAINING, Agreement
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.errors import AgreementError, StorageError, UsageError, counted
from secure_fedsa.models.adapters import TeacherAdapter
from secure_fedsa.models.attribution import attribution_saliency
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.teachers import Brought, PrivateData, PrivateModel, TrainedModel
from secure_fedsa.models.trainable import (
    check_prepare,
    check_trainable,
    check_training,
    copied,
    initialise,
)
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import NEXT_RUN
from secure_fedsa.privacy.contributions import check_persons, persons_missing
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.roles.charges import data_set_budget, is_stated, planned_event, terms_of
from secure_fedsa.roles.model_teachers import adapter_of

_FREE_BYTES_NEEDED = 64 * 2**20


def check_disk(folder: Path, me: str) -> None:
    """Refuse a state folder that cannot be written to, or is nearly full.

    Raises:
        StorageError: Saying which.
    """
    try:
        probe = folder / ".write-check"
        probe.write_bytes(b"x")
        probe.unlink()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise StorageError(
            f"{me} cannot write to its state folder.", why=f"{error.strerror}."
        ) from error
    if free < _FREE_BYTES_NEEDED:
        raise StorageError(
            f"{me} has less than 64 MiB of free disk for its state folder.",
            do="Make room there, then run again.",
        )


def check_encoder(encoder: PublicEncoder, agreement: Agreement, me: str) -> None:
    """Refuse an encoder that is not the agreed one, or of which the agreement says otherwise.

    Raises:
        AgreementError: Naming the clause.
    """
    if encoder.sha256() != agreement.encoder.sha256:
        raise AgreementError("encoder.sha256", f"{me} holds another encoder.")
    # The hash fixes the file; these entries could still say something else about it.
    if encoder.dimension != agreement.encoder.dimension:
        raise AgreementError("encoder.dimension", f"is not the encoder's, {encoder.dimension}.")
    if agreement.route == NOISY_RELEASE and encoder.clip_norm != agreement.mechanism.clip_norm:
        raise AgreementError("privacy.clip_norm", f"is not the encoder's, at {me}.")


def check_probes(probes: npt.NDArray[Any] | None, agreement: Agreement, me: str) -> None:
    """Refuse probes that are not the agreed ones.

    Raises:
        AgreementError: Naming the clause.
    """
    if probes is None or probes_hash(probes) != agreement.encoder.probes_sha256:
        raise AgreementError(
            "encoder.probes_sha256",
            f"{me} holds other probes.",
            do="Use those that the encoder was fitted to.",
        )
    if agreement.answers is not None and len(probes) < agreement.answers.probes:
        raise AgreementError(
            "answers.probes",
            f"is {agreement.answers.probes}, and there are {len(probes)} probes.",
            do="Ask about at most as many as there are.",
        )


def check_records(
    records: npt.NDArray[Any], labels: npt.NDArray[Any], encoder: PublicEncoder, me: str
) -> None:
    """Refuse private data of another form than the encoder's; their values are not looked at.

    Raises:
        UsageError: If there is not one label for each record.
        DataError: If a record has another form.
    """
    encoder.schema.check(records)
    if np.shape(labels) != (len(records),):
        raise UsageError(f"{me} has not one label for each record.")


def check_brought(
    brought: Brought,
    agreement: Agreement,
    me: str,
    encoder: PublicEncoder,
    probes: npt.NDArray[Any] | None,
) -> None:
    """Refuse what does not fit the route, or what could only fail after the charge.

    A model is asked about two public probes, and its answers are thrown away.

    Raises:
        AgreementError: If the route takes something else, by the clause that says so.
        UsageError: If a module cannot be trained privately, or targets do not fit.
        DataError: If records or probes have a form that it does not take.
    """
    _check_route(brought, agreement, me)
    if isinstance(brought, PrivateData):
        check_records(brought.records, brought.labels, encoder, me)
        _check_persons(brought, agreement, me)
        if agreement.answers is not None and agreement.answers.saliency != "alignment":
            raise AgreementError(
                "answers.saliency",
                f"is {agreement.answers.saliency}, and {me}'s classifier takes encoded records.",
                do='Agree on "alignment", or bring a module that takes images.',
            )
        return
    assert probes is not None
    classes = len(agreement.parties[me].classes)
    if isinstance(brought, PrivateModel):
        _check_persons(brought, agreement, me)
        adapter = _check_module(brought, agreement, me, probes, classes)
    else:
        adapter = brought.adapter
    few = probes[:2]
    told = adapter.outputs(few).shape[1]
    binary = classes == 2 and told == 1  # the probability of one of the two
    if adapter.head == "classification" and told != classes and not binary:
        raise AgreementError(
            f"parties.{me}.classes", f"are {classes}; its model tells {told} apart."
        )
    adapter.features(few)
    kind = agreement.asked.saliency
    if kind != "alignment":
        attribution_saliency(adapter, few, kind, values=agreement.saliency.values)


def _check_persons(brought: PrivateData | PrivateModel, agreement: Agreement, me: str) -> None:
    if agreement.privacy is None or agreement.privacy.unit != "person":
        return
    if brought.persons is None:
        raise persons_missing(me)
    check_persons(brought.persons, len(brought.records), me)


def _check_module(
    brought: PrivateModel,
    agreement: Agreement,
    me: str,
    probes: npt.NDArray[Any],
    classes: int,
) -> TeacherAdapter:
    """Refuse what would stop a training, or void its bound; no private value is looked at."""
    assert agreement.training is not None
    if len(brought.targets) != len(brought.records):
        raise UsageError(f"{me} has not one target for each record.")
    if brought.records.shape[1:] != probes.shape[1:]:
        raise UsageError(
            f"{me}'s records have the shape {brought.records.shape[1:]}, the probes "
            f"{probes.shape[1:]}.",
            do="Bring records of the form of the agreed probes.",
        )
    check_trainable(brought.module)
    tried = replace(brought, module=copied(brought.module))
    initialise(tried.module, seed=agreement.training.seed)
    adapter = adapter_of(tried)
    check_prepare(adapter, probes)
    form = adapter.tensor(probes[:1])
    check_training(tried.module, form, brought.targets, head=brought.head, classes=classes)
    return adapter


def _check_route(brought: Brought, agreement: Agreement, me: str) -> None:
    route = agreement.route
    if route == NOISY_RELEASE and not isinstance(brought, PrivateData):
        raise AgreementError(
            "route",
            f"is {route}, and {me} brings a model.",
            do="Bring records, or agree on another route.",
        )
    if route == ENCRYPTION_ONLY and not isinstance(brought, TrainedModel):
        raise AgreementError(
            "route",
            f"is {route}, and {me} brings no trained model.",
            do="Bring a trained model in a TeacherAdapter, or agree on another route.",
        )
    stated = is_stated(agreement, me)
    if route == PRIVATE_TRAINING and stated != isinstance(brought, TrainedModel):
        raise AgreementError(
            f"parties.{me}.stated",
            "states a training of before the run, and there is no model that was trained so."
            if stated
            else "is missing, and the model was trained before the run.",
            why=""
            if stated
            else "A model that was trained without differential privacy cannot become private.",
            do="Bring records, or a module that is trained in the run; or a model whose private "
            "training its institution states in the agreement.",
        )


def check_budget(
    books: Books,
    agreement: Agreement,
    agreement_hash: str,
    me: str,
    promises: Sequence[Terms] = (),
    beside: Mapping[str, Sequence[Terms]] | None = None,
) -> None:
    """Refuse a run that a budget forbids, or after too many charges that bought nothing.

    Raises:
        UsageError: If ``limits.max_burned`` is reached.
        BudgetError: If a budget would be passed.
    """
    burned = sum(
        note["kind"] == "burn"
        and note["run_id"] in books.charges
        and books.charges[note["run_id"]].agreement == agreement_hash
        for note in books.notes
    )
    if burned >= agreement.limits.max_burned:
        raise UsageError(
            f"{me} lost {counted(burned, 'charge')} under this agreement to runs without a result.",
            why=f"The agreement allows {agreement.limits.max_burned} (limits.max_burned): "
            "somebody may be emptying the privacy budget.",
            do="Find out who stopped those runs, then sign a new agreement.",
        )
    books.require_affordable(
        NEXT_RUN,
        agreement_hash,
        Amount.of([planned_event(agreement, me)]),
        terms_of(agreement),
        data_set_budget(agreement),
        promises,
        beside,
    )
