"""The student's workshop: query, amalgamation, distillation, and the files of the result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.fixed_point import check_released
from secure_fedsa.engines.hashes import student_hash
from secure_fedsa.engines.preflight import check_records
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.errors import AgreementError, StorageError
from secure_fedsa.models.amalgamation import (
    AmalgamatedModel,
    Release,
    StudentData,
    amalgamate,
    amalgamate_named,
    naming_directions,
)
from secure_fedsa.models.attribution import attribution_saliency
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.model_signals import release_of
from secure_fedsa.models.plain_network import train_plain
from secure_fedsa.models.private_labels import LabelSummary
from secure_fedsa.models.saliency import SaliencyScale, public_query, student_query
from secure_fedsa.models.scatter import from_upper_triangle
from secure_fedsa.models.students import distil
from secure_fedsa.models.training import Student
from secure_fedsa.roles.model_teachers import answer_form
from secure_fedsa.roles.noisy_release import noise_plan
from secure_fedsa.roles.scores import saliency_scale
from secure_fedsa.signals import FloatArray, ReleasedSum
from secure_fedsa.wire import canonical

NETWORK_FILE = "network.safetensors"
ARCHITECTURE_FILE = "architecture.json"
HEAD_FILE = "head.safetensors"
ENCODER_FILE = "encoder.safetensors"


@dataclass(frozen=True, slots=True, repr=False)
class StudentTask:
    """What the student brings to a run.

    Attributes:
        class_names: Its classes, in the order of its labels.
        records: Its few labelled records, shape (n, ...).
        labels: int64, shape (n,).
        probes: Unlabelled public records, shape (p, ...).
    """

    class_names: tuple[str, ...]
    records: npt.NDArray[Any]
    labels: npt.NDArray[np.int64]
    probes: npt.NDArray[Any]


class StudentWorkshop:
    """Asks with the student's labels and builds the student from a released sum.

    Args:
        task: What the student brings.
        encoder: The public encoder.
        folder: Where the built student is kept until the run folder is written.
        seed: Public seed of the network's training.
        labels: The ledger of the labelled records, where the agreement has
            ``student_privacy``; the records are then read through it alone. None elsewhere.

    Raises:
        DataError: A wrong shape, invalid probes; labelled records that are invalid, where nothing
            is promised about them.
        UsageError: If there is not one label for each record.
        AgreementError: If the task has another number of classes than agreed.
    """

    def __init__(
        self,
        task: StudentTask,
        encoder: PublicEncoder,
        folder: Path,
        *,
        seed: int,
        labels: StudentLabels | None = None,
    ) -> None:
        self.task = task
        self.encoder = encoder
        self.folder = folder
        self.seed = seed
        self.labels = labels
        classes = len(task.class_names)
        if labels is None:
            self.data = StudentData.encode(
                encoder, task.records, task.labels, task.probes, classes=classes
            )
            return
        check_records(task.records, task.labels, encoder, "The student")
        agreed = labels.agreement.student_promise.classes
        if classes != agreed:
            raise AgreementError(
                "student_privacy.classes", f"is {agreed}, and the student's task has {classes}."
            )
        self.data = StudentData.of_probes(encoder, task.probes, classes=classes)

    def query(self, scale: SaliencyScale) -> FloatArray:
        """Return the student's saliency, float64 (m,), before quantisation."""
        return student_query(self.data.labelled, self.data.labels, scale)

    def question(self, agreement: Agreement) -> FloatArray:
        """Return what the agreement has the student ask, float64 (m,), before quantisation.

        Its saliency; or, where teachers compare attribution maps, those of a network of its own
        that is trained on its labels. Where its labelled records are protected, what the probes
        differ in.
        """
        if self._private(agreement) is not None:
            return public_query(self.data.probes, saliency_scale(agreement))
        answers = agreement.answers
        if answers is None or answers.saliency == "alignment":
            return self.query(saliency_scale(agreement))
        own = train_plain(
            self.task.records,
            self.task.labels,
            len(self.task.class_names),
            schema=self.encoder.schema,
            seed=self.seed,
            purpose="the student's question",
        )
        values = agreement.saliency.values
        return attribution_saliency(own, self.task.probes, answers.saliency, values=values)

    def amalgamate(
        self,
        scatter: FloatArray,
        total: float,
        teachers: int,
        sigma: float,
        *,
        data: StudentData | None = None,
    ) -> AmalgamatedModel:
        """Return the classifier of a sum of scatters (upper triangle), of the student's data."""
        matrix = from_upper_triangle(scatter, self.encoder.dimension)
        return amalgamate(Release(matrix, total, teachers, sigma), self.encoder, data or self.data)

    def build(self, released: ReleasedSum, agreement: Agreement) -> str:
        """Build and store the student; return its hash.

        The hash covers the network's weights and architecture, and the classifier.

        Raises:
            ProtocolError: If the sum is out of the agreed range.
            StorageError: If the student cannot be stored.
        """
        limit = agreement.largest_opened(len(released.members))
        check_released(released, limit=limit, values=agreement.feature_values)
        private = self._private(agreement)
        release = self.release(released, agreement)
        if private is None:
            model = amalgamate(release, self.encoder, self.data)
        else:
            model = amalgamate_named(
                release, self.encoder, self.data, self._summary(release, private)
            )
        own = self.task.records, self.task.labels
        if private is not None:  # not even their type: it would decide how probes are computed with
            own = self.task.probes[:0], np.zeros(0, dtype=np.int64)
        network = distil(model, self.task.probes, self.data.probes, *own, seed=self.seed)
        weights, head = network.to_bytes(), model.to_bytes()
        architecture = canonical.encode(network.architecture.describe())
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / NETWORK_FILE).write_bytes(weights)
            (self.folder / ARCHITECTURE_FILE).write_bytes(architecture)
            (self.folder / HEAD_FILE).write_bytes(head)
            (self.folder / ENCODER_FILE).write_bytes(self.encoder.to_bytes())
        except OSError as error:
            raise StorageError(
                f"Cannot store the student in {self.folder}.", why=f"{error.strerror}."
            ) from error
        parts = {"network": weights, "architecture": architecture, "head": head}
        return student_hash({name: canonical.sha256(data) for name, data in parts.items()})

    def _private(self, agreement: Agreement) -> StudentLabels | None:
        """Return the ledger of the labelled records if the agreement protects them.

        Raises:
            AgreementError: If the workshop was made for another agreement.
        """
        known = None if self.labels is None else self.labels.agreement.content()
        if (agreement.student_privacy is not None or known is not None) and (
            known != agreement.content()
        ):
            raise AgreementError(
                "student_privacy",
                "is not what this student's workshop was made for.",
                do="Give StudentWorkshop the labels of this agreement (sf.StudentLabels).",
            )
        return self.labels

    def _summary(self, release: Release, private: StudentLabels) -> LabelSummary:
        wanted = private.agreement.student_promise.directions
        centre, directions = naming_directions(release, self.data, wanted)
        return private.summary(
            self.task.records,
            self.task.labels,
            encoder=self.encoder,
            centre=centre,
            directions=directions,
        )

    def release(self, released: ReleasedSum, agreement: Agreement) -> Release:
        """Return an opened sum as amalgamation takes it: of records, or of what models said."""
        values = released.values.astype(np.float64)
        teachers = len(released.members)
        if agreement.answers is not None:
            form = answer_form(agreement)
            encoded = self.data.probes[: form.probes]
            return release_of(form, values / agreement.features.scale, encoded, teachers)
        plan = noise_plan(agreement, released.members[0])
        sigma = plan.event.noise_scale / agreement.mechanism.grid
        if agreement.institution_privacy is not None:
            # No count was sent; only the ridge needs one, and an order of magnitude does.
            values = np.append(values, agreement.institution_promise.records * teachers)
        scatter = values[:-1] / agreement.features.scale
        matrix = from_upper_triangle(scatter, self.encoder.dimension)
        return Release(matrix, float(values[-1]), teachers, sigma)

    def load(self) -> tuple[AmalgamatedModel, Student]:
        """Return the stored classifier and network."""
        architecture = canonical.decode((self.folder / ARCHITECTURE_FILE).read_bytes())
        weights = (self.folder / NETWORK_FILE).read_bytes()
        model = AmalgamatedModel.from_bytes((self.folder / HEAD_FILE).read_bytes(), self.encoder)
        return model, Student.from_bytes(architecture, weights)
