"""A party's own place: identity key, ledger, release log, private data, on local disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.engines import retention
from secure_fedsa.engines.ledger_notes import charged_before, keep_agreement, note_day
from secure_fedsa.engines.own_files import note_head, open_ledger, tell_operator
from secure_fedsa.engines.preflight import (
    check_brought,
    check_budget,
    check_disk,
    check_encoder,
    check_probes,
)
from secure_fedsa.engines.promises import promised_beside, require_unit_of_all
from secure_fedsa.engines.student_labels import StudentLabels
from secure_fedsa.entropy import (
    NoiseSource,
    PacedNoise,
    TrainingNoise,
    secret_bytes,
    secret_projection,
)
from secure_fedsa.errors import (
    AgreementError,
    DataError,
    LedgerError,
    SecureFedsaError,
    StorageError,
    UsageError,
)
from secure_fedsa.messages import KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.models.encoder import PublicEncoder
from secure_fedsa.models.teachers import Brought, PrivateData
from secure_fedsa.privacy.clipping import LocalNotes
from secure_fedsa.privacy.earlier_promises import promised_terms
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Books, Terms
from secure_fedsa.privacy.mechanisms import draw_noise
from secure_fedsa.privacy.shares import draw_share
from secure_fedsa.release_log import ReleaseLog
from secure_fedsa.roles import effects as fx
from secure_fedsa.roles.charges import data_set_budget, is_stated, planned_event, terms_of
from secure_fedsa.roles.model_teachers import AskedProbes, model_to_ask, signal_of_model
from secure_fedsa.roles.noisy_release import read_private
from secure_fedsa.roles.rosters import Opened
from secure_fedsa.signals import Noise, NoisySummary, ReleasedSum, Signal
from secure_fedsa.wire.keys import IdentityKey, new_sealing_key

_IDENTITY_FILE = "identity.key"
_DELTA_WITHOUT_PROMISE = 1e-5
"""Delta of a ledger whose first run has no differential privacy; its epsilon is infinite."""


class SecretNoise(NoiseSource, TrainingNoise, Protocol):
    """A source of noise for every route."""


def load_identity(folder: Path) -> IdentityKey:
    """Return the party's signing key, made on first use (file mode 600).

    Raises:
        StorageError: If it can be neither read nor made.
    """
    path = folder / _IDENTITY_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(IdentityKey.generate().to_bytes())
                file.flush()
                os.fsync(file.fileno())
            partial.rename(path)
        data = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"Cannot read or make the identity key in {folder}.",
            why=f"{error.strerror}.",
            do="Make it a folder that can be written, or name another.",
        ) from error
    if len(data) != 32:
        raise StorageError(f"{path} is not an identity key.", do="Restore it from a copy.")
    return IdentityKey.from_bytes(data)


class LocalSite:
    """What one party brings to a run (see :class:`secure_fedsa.run.Site`).

    Args:
        me: The party.
        folder: Its state folder.
        agreement: The agreement.
        agreement_hash: Its hash.
        encoder: The public encoder, for teachers and the student.
        private: What a teacher brings: records, a module to train on them, or a model.
        probes: The public records behind the encoder, shape (p, ...), for the student, and for
            teachers that are models.
        build: Builds the student from the released sum and returns its hash, for the
            student.
        noise: Source of noise; None for the system's.
        asked: Returns the probes that models are asked about, for parties of one process, which
            need not encode them once each; None encodes them here.

    Raises:
        AgreementError: If the noise is seeded and the agreement is not for a simulation.
    """

    def __init__(
        self,
        me: str,
        folder: Path,
        agreement: Agreement,
        agreement_hash: str,
        *,
        encoder: PublicEncoder | None = None,
        private: Brought | None = None,
        probes: npt.NDArray[Any] | None = None,
        build: Callable[[ReleasedSum], str] | None = None,
        noise: SecretNoise | None = None,
        asked: Callable[[], AskedProbes] | None = None,
    ) -> None:
        self.me = me
        self.folder = folder
        self.agreement = agreement
        self.agreement_hash = agreement_hash
        self.encoder = encoder
        self.private = private
        self.probes = probes
        self.noise = noise or PacedNoise()
        self._build = build
        self._asked = asked or self._encode_asked
        self._suite = suite_of(agreement)
        self.kept: tuple[retention.Kept, ...] | None = None
        if self.noise.seeded and not agreement.simulation:
            raise AgreementError(
                "simulation",
                "is false, but the noise would come from a seed.",
                why="Anybody who knows the seed can subtract the noise.",
                do="Use the system's noise; only a test may agree to a simulation.",
            )
        role = agreement.parties[me].role
        self.ledger = self._open_ledger() if role == TEACHER else None
        self.release_log = ReleaseLog(folder) if role == KEY_HOLDER else None

    def _open_ledger(self) -> Ledger:
        privacy = self.agreement.privacy
        delta = _DELTA_WITHOUT_PROMISE if privacy is None else privacy.delta
        return open_ledger(self.folder, delta=delta)

    @property
    def _books(self) -> Ledger:
        assert self.ledger is not None
        return self.ledger

    def opened(self) -> tuple[Opened, ...]:
        """Return the sums that this party's log remembers as opened."""
        if self.ledger is not None:
            books = self.ledger.books()
            inherited = tuple(Opened("", frozenset(roster)) for roster in books.inherited_rosters)
            return inherited + tuple(
                Opened(note["run_id"], frozenset(note["body"]["members"]))
                for note in books.notes
                if note["kind"] == "roster-opened"
            )
        if self.release_log is not None:
            return tuple(
                Opened(body["run_id"], members, frozenset(body["signal_ids"].values()))
                for body in (entry["body"] for entry in self.release_log.entries())
                for members in (frozenset(body["members"]), frozenset(body["data_sets"].values()))
            )
        return ()

    # --- what the run asks -------------------------------------------------------

    def preflight(self) -> str:
        """Return what is wrong before any charge, or an empty text."""
        party = self.agreement.parties[self.me]
        try:
            check_disk(self.folder, self.me)
            if party.role in (TEACHER, STUDENT):
                if self.encoder is None:
                    raise UsageError(f"{self.me} has no encoder.")
                check_encoder(self.encoder, self.agreement, self.me)
            if party.role == STUDENT or (party.role == TEACHER and self.agreement.answers):
                check_probes(self.probes, self.agreement, self.me)
            if party.role == TEACHER:
                self._check_teacher()
            if party.role == STUDENT:
                StudentLabels(self.folder, self.agreement).check()
        except SecureFedsaError as error:
            # The others read this text: where the folder lies is none of their business.
            return str(error).replace(str(self.folder), "its state folder")
        return ""

    def _check_teacher(self) -> None:
        if self.private is None:
            raise UsageError(f"{self.me} has no data.")
        assert self.encoder is not None
        check_brought(self.private, self.agreement, self.me, self.encoder, self.probes)
        books = self._books.books()
        promises = self._promised(books)
        beside = promised_beside(books)
        check_budget(books, self.agreement, self.agreement_hash, self.me, promises, beside)

    def _promised(self, books: Books) -> tuple[Terms, ...]:
        """Return what earlier agreements promised of these data; refuse one of another unit.

        Than these data were charged for, or data that share persons with them.
        """
        earlier = charged_before(self.folder, books, self.agreement_hash)
        require_unit_of_all(books, earlier, self.agreement)
        return promised_terms(earlier)

    def draw(self, request: fx.Draw) -> tuple[bytes, ...]:
        """Return fresh secret randomness, from the operating system or a library's use of it."""
        match request:
            case fx.RandomBytes(size=size):
                return (secret_bytes(size),)
            case fx.SealingKeyDraw():
                return new_sealing_key()
            case fx.FeatureKeyDraw():
                return self._suite.draw_feature_key()
            case fx.QueryKeyDraw():
                return self._suite.draw_query_key()
            case fx.ReplyDraw(modulus=modulus):
                return self._suite.draw_reply_randomness(modulus)
            case fx.QueryEncryption(primes=primes, values=values):
                return self._suite.encrypt_query(primes, values)
            case fx.FeatureEncryption(public_key=public, masked=masked):
                return (self._suite.encrypt_features(public, masked),)
            case fx.ShareDraw(event=event):
                return (draw_share(self.noise, event).values.astype("<i8").tobytes(),)
            case fx.NoiseDraw():
                raise UsageError("Noise is drawn apart: it never enters a journal.")

    def draw_noise(self, request: fx.NoiseDraw) -> Noise:
        """Return fresh noise for one summary, drawn in one batch."""
        return draw_noise(self.noise, request.shape, request.scale)

    def read_private(self, noise: Noise) -> NoisySummary:
        """Return the noisy summary; how many records were unusable stays here."""
        assert self.encoder is not None
        assert isinstance(self.private, PrivateData)
        noisy, notes = read_private(
            self.private.records,
            self.private.labels,
            encoder=self.encoder,
            agreement=self.agreement,
            teacher=self.me,
            noise=noise,
            persons=self.private.persons,
        )
        self._note_locally(notes)
        return noisy

    def ask_model(self) -> Signal:
        """Return the signals of this teacher's model, trained privately now if it is to be.

        Raises:
            DataError: If the model could not be asked; in words that say nothing of it.
        """
        assert self.encoder is not None
        assert self.private is not None
        assert self.probes is not None
        try:
            model, failure = model_to_ask(
                self.private,
                agreement=self.agreement,
                teacher=self.me,
                encoder=self.encoder,
                noise=self.noise,
                probes=self.probes,
            )
            if failure:
                self._tell_operator({"trained_on_nothing_after": failure})
            return signal_of_model(
                model, self._asked(), agreement=self.agreement, project=secret_projection
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, others may not see what
            self._tell_operator({"not_asked_after": type(error).__name__})
            raise DataError(
                f"{self.me}'s model could not be asked.", do="Its operator has a local log."
            ) from None

    def _encode_asked(self) -> AskedProbes:
        assert self.encoder is not None
        assert self.probes is not None
        return AskedProbes.of(self.agreement, self.probes, self.encoder)

    def _note_locally(self, notes: LocalNotes) -> None:
        self._tell_operator({"records": notes.records, "zeroed": notes.zeroed})

    def _tell_operator(self, notes: dict[str, Any]) -> None:
        """Tell this party's operator, and nobody else, what went on among its records.

        It depends on private records: it stays in the state folder, and that it could not be
        written is not shown to anybody either.
        """
        dated = retention.stamp(self.agreement.retention)
        tell_operator(self.folder, {**dated, "agreement": self.agreement_hash, **notes})

    def persist(self, record: fx.Record, run_id: str) -> Any:
        """Make a record durable; the same record again changes nothing."""
        agreement = self.agreement
        match record:
            case fx.ReserveCharge():
                keep_agreement(self.folder, agreement, self.agreement_hash)
                charge = self._books.reserve(
                    run_id,
                    self.agreement_hash,
                    [planned_event(agreement, self.me)],
                    terms_of(agreement),
                    data_set_budget(agreement),
                    stated=is_stated(agreement, self.me),
                    promised=self._promised,
                    beside=promised_beside,
                )
                note_head(self.folder, self._books)
                note_day(self.folder, charge.entry_hash)
                if charge.committed:
                    raise LedgerError(
                        "This run's noisy summary exists already, and its journal does not know.",
                        why="The journal was set back: noise would be drawn twice for one charge.",
                        do="Start a new run.",
                    )
                return None
            case fx.CommitCharge():
                self._books.commit(run_id)
                entries = self._books.segment(run_id)
                # The head just after this run's commit; other runs may have added entries.
                return {"entries": entries, "head": entries[-1]["hash"]}
            case fx.BindSignal():
                return None  # durable in the journal, which holds the state that it binds
            case fx.NoteOpened(roster_hash=roster_hash, members=members):
                body = {"roster": roster_hash, "members": list(members)}
                self._books.record("roster-opened", run_id, body)
                return None
            case fx.NoteBurned(roster_hash=roster_hash):
                what = f"the upload for roster {roster_hash}" if roster_hash else "its charge"
                reason = f"the run ended without a result after {what}"
                self._books.record("burn", run_id, {"reason": reason})
                return None
            case fx.LogRelease():
                assert self.release_log is not None
                return self.release_log.append(
                    {
                        "run_id": run_id,
                        "agreement": self.agreement_hash,
                        "roster_hash": record.roster_hash,
                        "members": list(record.members),
                        "data_sets": record.data_sets,
                        "sum_hash": record.sum_hash,
                        "signal_ids": record.signal_ids,
                    }
                )

    def build_student(self, released: ReleasedSum) -> str:
        """Fit the student on the released sum; return its hash."""
        assert self._build is not None
        return self._build(released)

    def note_erasure(self, run_id: str) -> None:
        """Log that the run's keys and signals are gone, and what ``[retention]`` has removed."""
        agreed, more = self.agreement.retention, []
        if agreed is not None:
            self.kept = retention.keep_log_short(self.folder, agreed, retention.now())
            more = retention.note_items([retention.log_item(agreed)], self.kept)
        if self.ledger is not None and run_id:
            made = "noisy summary" if self.agreement.answers is None else "model's signals"
            items = ["sealing key", "mask values", made, "reply randomness"]
            if self.agreement.institution_privacy is not None:
                items.append("share of the sum's noise")
            if run_id in self._books.books().charges:
                self._books.record("erasure", run_id, {"items": [*items, *more]})

    def keep_log_short(self) -> None:
        """Remove from the local log, before a run, what ``[retention]`` has come of age.

        Raises:
            StorageError: If it cannot be removed.
        """
        agreed = self.agreement.retention
        assert agreed is not None
        self._refuse(retention.keep_log_short(self.folder, agreed, retention.now()))

    def give_up(self) -> None:
        """Erase a run that was cut off longer ago than ``[retention]`` allows.

        Raises:
            LedgerError: If the ledger is damaged.
            StorageError: If it cannot be erased.
        """
        agreed = self.agreement.retention
        assert agreed is not None
        self._refuse(retention.give_up(self.folder, agreed, retention.now(), self.ledger))

    def _refuse(self, kept: tuple[retention.Kept, ...]) -> None:
        for entry in kept:
            raise StorageError(
                f"{self.me} keeps what the agreement's [retention] has it remove, and it could not "
                f"remove it: {entry.item}.",
                why=entry.why,
                do="Nothing was charged. Put that right, then run again.",
            )
