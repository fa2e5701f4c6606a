"""The student's labelled records on disk: one charge and one noisy summary an agreement.

In this order, each durable before the next: the charge of the student's own ledger, then the noise
is drawn, then the records are read, then the summary is stored. A crash before it is stored draws
again under the same charge, since nothing has left; after that the stored one serves every run
under the agreement, and noise is never drawn again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.engines.ledger_notes import charged_before, keep_agreement, note_day
from secure_fedsa.engines.own_files import note_head, open_ledger, tell_operator
from secure_fedsa.engines.promises import (
    promised_beside,
    promised_to_student,
    require_unit_of_all,
)
from secure_fedsa.engines.retention import stamp
from secure_fedsa.entropy import NoiseSource, PacedNoise
from secure_fedsa.errors import AgreementError, BudgetError, LedgerError, StorageError
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.private_labels import LabelSummary
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Limit, require_within
from secure_fedsa.privacy.ledger import FILE_NAME as LEDGER_FILE
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.privacy.ledger_charges import STUDENT_USE
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.roles.private_student import label_plan, read_labels, student_terms
from secure_fedsa.signals import FloatArray
from secure_fedsa.wire.agreement_signatures import agreement_hash


class StudentLabels:
    """What the student's labelled records may be used for, and were.

    Args:
        folder: The student's state folder; it holds the ledger of the labelled records.
        agreement: The agreement.
        noise: Source of noise; None for the system's.

    Raises:
        AgreementError: If the noise is seeded and the agreement is not for a simulation.
    """

    def __init__(
        self, folder: Path, agreement: Agreement, *, noise: NoiseSource | None = None
    ) -> None:
        self.folder = folder
        self.agreement = agreement
        self.noise = noise or PacedNoise()
        if self.noise.seeded and not agreement.simulation:
            raise AgreementError(
                "simulation",
                "is false, but the student's noise would come from a seed.",
                why="Anybody who knows the seed can subtract the noise.",
                do="Use the system's noise; only a test may agree to a simulation.",
            )
        self._hash = agreement_hash(agreement)
        self._use = f"{STUDENT_USE}{self._hash}"
        self._path = folder / f"labels-{self._hash}.safetensors"

    def check(self) -> None:
        """Refuse, before anybody is charged, a run that could not use the labelled records.

        Raises:
            AgreementError: If the records, or data that share persons with them, were charged for
                another unit or relation.
            BudgetError: If this agreement's budget or an earlier one's would be passed, or that of
                a linked data set; or if the agreement promises nothing and an earlier one promised
                a budget.
            LedgerError: If the ledger is damaged.
            StorageError: If it cannot be read or written.
        """
        if self.agreement.student_privacy is None:
            self._check_unpromised()
            return
        books = self._ledger().books()
        if self._use in books.charges:
            return
        terms, spent = student_terms(self.agreement), books.spent()
        asked = Amount.of([label_plan(self.agreement).event])
        promised = self._promised(books)
        whose = "the student's labelled records"
        limits = [Limit(f"{whose} (student_privacy.budget)", spent, terms.budget, terms.delta)]
        limits += [
            Limit(f"{whose}, by an earlier agreement,", spent, one.budget, one.delta, fixed=True)
            for one in promised
        ]
        require_within(self._use, asked, limits)
        books.require_affordable(
            self._use, self._hash, asked, terms, terms.budget, promised, promised_beside(books)
        )

    def _promised(self, books: Books) -> tuple[Terms, ...]:
        require_unit_of_all(books, charged_before(self.folder, books, self._hash), self.agreement)
        return promised_to_student(self.folder, books)

    def _check_unpromised(self) -> None:
        if (self.folder / LEDGER_FILE).exists() and self._ledger().books().is_promised():
            raise BudgetError(
                "This run would use the student's labelled records without differential privacy, "
                "and an earlier agreement promised a budget for them.",
                why="No epsilon bounds what it would tell: that promise would be broken.",
                do="Nothing was charged. Agree with [student_privacy], or use other labelled "
                "records and another state folder.",
            )

    def summary(
        self,
        records: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        *,
        encoder: PublicEncoder,
        centre: FloatArray,
        directions: FloatArray,
    ) -> LabelSummary:
        """Return the agreement's one noisy summary, made now or before.

        Args:
            records: The labelled records, shape (n, ...); read only after the charge.
            labels: shape (n,).
            encoder: The public encoder.
            centre: float64 (d,), the probes' mean encoding.
            directions: float64 (d, k), of the opened sum; a summary of an earlier run keeps its
                own.

        Raises:
            BudgetError: If a budget would be passed, this agreement's or an earlier one's; nothing
                is read.
            LedgerError: If the ledger and the stored summary do not fit.
            StorageError: If ledger or summary cannot be read or written.
        """
        ledger = self._ledger()
        if self._path.exists():
            return self._stored(ledger)
        plan, terms = label_plan(self.agreement), student_terms(self.agreement)
        self.check()
        keep_agreement(self.folder, self.agreement, self._hash)
        charge = ledger.reserve(
            self._use,
            self._hash,
            [plan.event],
            terms,
            terms.budget,
            promised=self._promised,
            beside=promised_beside,
        )
        note_head(self.folder, ledger)
        note_day(self.folder, charge.entry_hash)
        if charge.committed:
            raise LedgerError(
                "The noisy summary of the student's labelled records was made, and is gone.",
                why="Another one would draw noise twice for one charge.",
                do=f"Restore {self._path.name} in the student's state folder from a copy, or sign "
                "a new agreement.",
            )
        noise = draw_noise(self.noise, plan.shape, plan.event.noise_scale)
        made, notes = read_labels(
            records,
            labels,
            encoder=encoder,
            agreement=self.agreement,
            centre=centre,
            directions=directions,
            noise=noise,
        )
        tell_operator(
            self.folder,
            {
                **stamp(self.agreement.retention),
                "agreement": self._hash,
                "records": notes.records,
                "zeroed": notes.zeroed,
            },
        )
        self._store(made.to_bytes())
        return self._stored(ledger)

    def _ledger(self) -> Ledger:
        return open_ledger(self.folder, delta=self.agreement.promise.delta)

    def _store(self, data: bytes) -> None:
        """Store the summary durably; of two processes the first one's stays."""
        partial = self._path.with_suffix(f".{os.getpid()}.partial")
        try:
            with partial.open("wb") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if not self._path.exists():
                os.link(partial, self._path)
            partial.unlink()
            handle = os.open(self.folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except FileExistsError:
            partial.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"Cannot store the noisy summary in {self.folder}.", why=f"{error.strerror}."
            ) from error

    def _stored(self, ledger: Ledger) -> LabelSummary:
        """Return the stored summary, its charge committed."""
        charge = ledger.books().charges.get(self._use)
        if charge is None:
            raise LedgerError(
                "There is a noisy summary of the student's labelled records without its charge.",
                why="The ledger was replaced or set back.",
                do="Restore the ledger. Do not run with this one: spent privacy is gone.",
            )
        if not charge.committed:
            ledger.commit(self._use)
            note_head(self.folder, ledger)
        try:
            return LabelSummary.from_bytes(self._path.read_bytes())
        except OSError as error:
            raise StorageError(f"Cannot read {self._path}.", why=f"{error.strerror}.") from error
