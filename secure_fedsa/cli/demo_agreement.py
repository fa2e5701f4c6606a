"""The agreement of the demo: defaults, and what follows from its public data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from secure_fedsa.agreement import (
    Agreement,
    Encoder,
    Encryption,
    Features,
    Limits,
    Party,
    Privacy,
    Protection,
    Publish,
    Saliency,
    Selection,
)
from secure_fedsa.cli.splits import DemoData
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.errors import UsageError
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.saliency import SaliencyScale
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.wire import canonical

DELTA = 1e-5
MAX_COLLUDING = 1
MINIMUM_COHORT = 3
THRESHOLD = 0.15
FEATURE_BOUND = 2**26
RUNS_IN_BUDGET = 10


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the demo's flags say.

    Attributes:
        seed: Of the split and of model training; noise and keys never depend on it.
        epsilon: Privacy loss bound a run, at delta 1e-5.
        labels: The student's labelled examples.
        select: Most teachers to select.
        records: Private records a teacher.
        encryption: False for the arm without encryption and masks.
        data: Folder of the user's own data, or empty for Fashion-MNIST.
    """

    seed: int = 0
    epsilon: float = 1.0
    labels: int = 100
    select: int = 6
    records: int = 4500
    encryption: bool = True
    data: str = ""


def probes_hash(data: DemoData) -> str:
    """Return the hash of the public probes: their shape, type and bytes."""
    probes = np.ascontiguousarray(data.probes)
    return canonical.digest(
        "secure-fedsa/v1/probes",
        {
            "shape": list(probes.shape),
            "dtype": probes.dtype.str,
            "sha256": canonical.sha256(probes.tobytes()),
        },
    )


def demo_agreement(
    options: DemoOptions, data: DemoData, encoder: PublicEncoder, keys: dict[str, str]
) -> Agreement:
    """Return the demo's agreement, not yet signed.

    Args:
        options: The demo's flags.
        data: Only its public parts are read.
        encoder: The public encoder.
        keys: Ed25519 public keys by party, hexadecimal.

    Raises:
        AgreementError: If it contradicts itself, for instance when fewer teachers are to
            be selected than a sum needs.
        UsageError: If there are too few teachers.
    """
    teachers = {teacher.id: teacher.task for teacher in data.teachers}
    smallest = max(MINIMUM_COHORT, MAX_COLLUDING + 2)
    if len(teachers) < smallest:
        raise UsageError(
            f"There are {len(teachers)} teachers; a sum needs {smallest}.",
            do="Add data of more teachers.",
        )
    parties = {name: Party(TEACHER, keys[name], task) for name, task in teachers.items()}
    parties |= {role: Party(role, keys[role]) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    scale = SaliencyScale.of(encoder)
    bfv = BfvParameters()
    budget = RUNS_IN_BUDGET * options.epsilon
    agreement = Agreement(
        version=1,
        title="Demo: " + data.source,
        route="noisy-release",
        custody="key-holder",
        parties=parties,
        encoder=Encoder(encoder.sha256(), encoder.dimension, probes_hash(data)),
        privacy=Privacy(
            unit="record",
            neighbours="add-remove",
            max_records=1,
            epsilon=options.epsilon,
            delta=DELTA,
            clip_norm=encoder.clip_norm,
            grid=2**16,
            count_weight=0.25,
            count_floor=20.0,
            noise_multiplier=calibrate(options.epsilon, DELTA),
            agreement_budget=budget,
            data_set_budget=max(budget, 20.0),
        ),
        protection=Protection(dp=True, he=options.encryption, masks=options.encryption),
        saliency=Saliency(
            directions=scale.directions,
            unit=scale.variance,
            teacher_bound=scale.signal_bound,
            query_bound=scale.query_bound,
            bits=16,
        ),
        # A scatter entry is at most the number of records, in squared clip norms; the scale
        # leaves room for four times the agreed number.
        features=Features(bound=FEATURE_BOUND, scale=FEATURE_BOUND / (4.0 * options.records)),
        encryption=Encryption(
            "bfv",
            bfv.poly_modulus_degree,
            bfv.coeff_mod_bit_sizes,
            bfv.plain_modulus,
            3072,
        ),
        selection=Selection(
            select=min(options.select, len(teachers)),
            threshold=THRESHOLD,
            minimum_cohort=MINIMUM_COHORT,
            max_colluding=MAX_COLLUDING,
        ),
        publish=Publish(scores="values", feature_key=options.encryption),
        limits=Limits(reply_seconds=30, silence_seconds=60, max_burned=2),
    )
    agreement.check()
    return agreement
