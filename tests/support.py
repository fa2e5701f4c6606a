"""A small world: four to six institutions with tables of public toy data.

Everything in it is real (signatures, sealing, BFV, Paillier, ledgers on disk); only sizes
are small. Noise comes from the system unless a test asks for seeded noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa import agreement as ag
from secure_fedsa.encryption.parameters import BfvParameters
from secure_fedsa.engines.data_register import DataRegister
from secure_fedsa.engines.hashes import probes_hash
from secure_fedsa.engines.local import LocalRun
from secure_fedsa.engines.site import SecretNoise, load_identity
from secure_fedsa.entropy import public_generator
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.encoder import EncoderSpec, PublicEncoder
from secure_fedsa.models.saliency import SaliencyScale, public_query, student_query
from secure_fedsa.models.teachers import Brought, PrivateData
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.privacy.shared_noise import plan_shared_noise
from secure_fedsa.signals import FloatArray, ReleasedSum
from secure_fedsa.wire import canonical
from secure_fedsa.wire.agreement_signatures import sign

WIDTH = 6
DIMENSION = 5
CLASSES = ("red", "green", "blue")
DIRECTIONS = 2


def table(seed: int, size: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return toy records (size, 6) in three well separated classes, and their labels."""
    generator = public_generator(seed, "toy table")
    centres = public_generator(0, "toy centres").normal(0.0, 3.0, (len(CLASSES), WIDTH))
    labels = generator.integers(0, len(CLASSES), size)
    records = centres[labels] + generator.normal(0.0, 0.5, (size, WIDTH))
    return records.astype(np.float32), labels


@lru_cache(maxsize=1)
def probes() -> npt.NDArray[np.float32]:
    """Return the public records behind the toy encoder."""
    return table(1000, 400)[0]


@lru_cache(maxsize=1)
def encoder() -> PublicEncoder:
    """Return a small public encoder of the toy tables."""
    return PublicEncoder.fit(probes(), EncoderSpec(dimension=DIMENSION, units=16))


STUDENT_PROMISE = ag.StudentPrivacy(
    epsilon=2.0, noise_multiplier=calibrate(2.0, 1e-5), budget=5.0, classes=3, directions=2
)
"""About the labelled records of the toy student."""


def institution_promise(smallest: int, epsilon: float = 4.0) -> dict[str, Any]:
    """Return changes to a toy agreement whose sum protects institutions, one of them colluding."""
    event = plan_shared_noise(
        epsilon,
        1e-5,
        norm_bound=2**16,
        coordinates=DIMENSION * (DIMENSION + 1) // 2,
        members=smallest,
        max_colluding=1,
    )
    return {
        "institution_privacy": ag.InstitutionPrivacy(
            epsilon, event.neighbours, event.norm_bound, event.share_scale, records=200
        ),
        "selection": {"threshold": 0.0, "minimum_cohort": smallest},
        "publish": {"scores": "none"},
    }


@lru_cache(maxsize=1)
def asked_by_probes() -> Public:
    """Return what everybody holds where the student asks with its probes alone."""
    scale = SaliencyScale.of(encoder(), DIRECTIONS)
    return Public(encoder(), probes(), public_query(encoder().encode_clipped(probes())[0], scale))


@lru_cache(maxsize=1)
def query() -> FloatArray:
    """Return the student's saliency on the toy tables."""
    records, labels = table(2000, 30)
    scale = SaliencyScale.of(encoder(), DIRECTIONS)
    return student_query(encoder().encode_clipped(records)[0], labels, scale)


def teacher_names(count: int) -> tuple[str, ...]:
    """Return teacher-1 to teacher-<count>."""
    return tuple(f"teacher-{number}" for number in range(1, count + 1))


@dataclass(frozen=True)
class Public:
    """What everybody in a toy world holds.

    Attributes:
        encoder: The public encoder.
        probes: The records behind it.
        query: The student's question.
        directions: Of the saliency signal.
    """

    encoder: PublicEncoder
    probes: npt.NDArray[Any]
    query: FloatArray
    directions: int = DIRECTIONS


@lru_cache(maxsize=1)
def tables() -> Public:
    """Return what is public where records are toy tables."""
    return Public(encoder(), probes(), query())


def toy_agreement(
    keys: Mapping[str, str], public: Public | None = None, **changes: Any
) -> ag.Agreement:
    """Return an unsigned agreement of the toy world.

    ``changes`` replace whole sections, or entries of one: ``selection={"select": 3}``.
    """
    public = public or tables()
    teachers = [name for name in keys if name.startswith("teacher-")]
    scale = SaliencyScale.of(public.encoder, public.directions)
    bfv = BfvParameters()
    parties = {name: ag.Party(TEACHER, keys[name], CLASSES) for name in teachers}
    parties |= {role: ag.Party(role, keys[role]) for role in (AGGREGATOR, KEY_HOLDER, STUDENT)}
    agreement = ag.Agreement(
        version=1,
        title="Toy world",
        route="noisy-release",
        simulation=False,
        custody="key-holder",
        parties=parties,
        encoder=ag.Encoder(
            public.encoder.sha256(), public.encoder.dimension, probes_hash(public.probes)
        ),
        privacy=ag.Privacy(
            unit="record",
            neighbours="add-remove",
            max_records=1,
            epsilon=4.0,
            delta=1e-5,
            clip_norm=public.encoder.clip_norm,
            grid=2**12,
            count_weight=0.25,
            count_floor=5.0,
            noise_multiplier=calibrate(4.0, 1e-5),
            agreement_budget=20.0,
            data_set_budget=20.0,
        ),
        protection=ag.Protection(dp=True, he=True, masks=True),
        saliency=ag.Saliency(
            directions=scale.directions,
            unit=scale.variance,
            teacher_bound=scale.signal_bound,
            query_bound=scale.query_bound,
            bits=12,
        ),
        features=ag.Features(bound=2**24, scale=2**24 / 4000.0),
        encryption=ag.Encryption(
            "bfv", bfv.poly_modulus_degree, bfv.coeff_mod_bit_sizes, bfv.plain_modulus, 2048
        ),
        selection=ag.Selection(
            select=len(teachers), threshold=-100.0, minimum_cohort=3, max_colluding=1
        ),
        publish=ag.Publish(scores="values", ciphertexts=True, sums=True, feature_key=True),
        limits=ag.Limits(reply_seconds=5, silence_seconds=5, max_burned=2),
    )
    if not changes.get("protection", {}).get("he", True):
        # Without encryption there is no feature key to publish.
        changes["publish"] = {"feature_key": False, **changes.get("publish", {})}
    for name, change in changes.items():
        value = replace(getattr(agreement, name), **change) if isinstance(change, dict) else change
        agreement = replace(agreement, **{name: value})
    return agreement


@dataclass
class World:
    """Institutions on disk, ready to run.

    Attributes:
        folder: Holds one state folder a party.
        data: Private data by teacher.
        changes: Changes to the toy agreement.
        noise: Source of noise; None for the system's.
        released: Sums that the student received, in order.
        brought: What teachers bring that is not records, by name; instead of ``data``.
        shape: What makes of the toy agreement one of another route.
        public: Encoder, probes and question; None for those of the toy tables.
    """

    folder: Path
    data: dict[str, PrivateData]
    changes: dict[str, Any] = field(default_factory=dict)
    noise: SecretNoise | None = None
    released: list[ReleasedSum] = field(default_factory=list)
    brought: dict[str, Brought] = field(default_factory=dict)
    shape: Callable[[ag.Agreement], ag.Agreement] | None = None
    public: Public | None = None

    @property
    def teachers(self) -> dict[str, Brought]:
        """What every teacher brings."""
        return {**self.data, **self.brought}

    @property
    def names(self) -> tuple[str, ...]:
        """All parties."""
        return (*self.teachers, AGGREGATOR, KEY_HOLDER, STUDENT)

    def agreement(self) -> ag.Agreement:
        """Return the agreement, signed by all."""
        identities = {name: load_identity(self.folder / name) for name in self.names}
        keys = {name: identity.public.hex() for name, identity in identities.items()}
        agreement = toy_agreement(keys, self.public, **self.changes)
        if self.shape is not None:
            agreement = self.shape(agreement)
        for name, identity in identities.items():
            agreement = sign(agreement, name, identity)
        return agreement

    def local_run(
        self,
        build: Callable[[ReleasedSum], str] | None = None,
        register: DataRegister | None = None,
    ) -> LocalRun:
        """Return a run of the agreement."""

        def keep(released: ReleasedSum) -> str:
            self.released.append(released)
            return canonical.sha256(released.values.tobytes())

        public = self.public or tables()
        return LocalRun(
            self.agreement(),
            states={name: self.folder / name for name in self.names},
            teachers=self.teachers,
            encoder=public.encoder,
            probes=public.probes,
            query=public.query,
            build=build or keep,
            noise=self.noise,
            register=register,
        )


def make_world(folder: Path, teachers: int = 4, **changes: Any) -> World:
    """Return a world of ``teachers`` institutions with 200 records each."""
    data = {
        name: PrivateData(*table(number, 200))
        for number, name in enumerate(teacher_names(teachers))
    }
    return World(folder, data, changes)
