"""What roles ask of the engine (effects) and what they are told (events)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from secure_fedsa.messages import Body
from secure_fedsa.privacy.shared_noise import SharedNoiseRelease
from secure_fedsa.signals import Masked, NoisySummary, ReleasedSum, Signal, SummaryShape
from secure_fedsa.wire.envelope import Header

# --- requests for randomness -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RandomBytes:
    """Secret uniform bytes."""

    size: int


@dataclass(frozen=True, slots=True)
class ReplyDraw:
    """Uniform blind and unit for one reply under a query modulus: (v, r), big-endian."""

    modulus: bytes


@dataclass(frozen=True, slots=True)
class NoiseDraw:
    """Discrete Gaussian noise for one summary; the engine keeps it in memory only."""

    shape: SummaryShape
    scale: float


@dataclass(frozen=True, slots=True)
class ShareDraw:
    """A member's share of the noise that hides it in the sum: (int64 values, little-endian)."""

    event: SharedNoiseRelease


@dataclass(frozen=True, slots=True)
class SealingKeyDraw:
    """A sealing key pair: (private, public)."""


@dataclass(frozen=True, slots=True)
class FeatureKeyDraw:
    """A feature key pair: (secret, public)."""


@dataclass(frozen=True, slots=True)
class QueryKeyDraw:
    """A query key pair: (p, q), big-endian."""


@dataclass(frozen=True, slots=True, repr=False)
class QueryEncryption:
    """Encryptions of the student's saliency: one answer a value."""

    primes: tuple[bytes, ...]
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, repr=False)
class FeatureEncryption:
    """Public-key encryption of a masked signal: (ciphertext,)."""

    public_key: bytes
    masked: Masked


Draw = (
    RandomBytes
    | ReplyDraw
    | NoiseDraw
    | ShareDraw
    | SealingKeyDraw
    | FeatureKeyDraw
    | QueryKeyDraw
    | QueryEncryption
    | FeatureEncryption
)

# --- records that must be durable --------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReserveCharge:
    """Charge the ledger; from here the budget counts as spent."""


@dataclass(frozen=True, slots=True)
class CommitCharge:
    """The noisy summary exists; answered with this run's ledger segment and head."""


@dataclass(frozen=True, slots=True)
class BindSignal:
    """This signal goes into the sum of this roster and never into another."""

    roster_hash: str
    members: tuple[str, ...]
    signal_id: str


@dataclass(frozen=True, slots=True)
class NoteOpened:
    """The sum over this roster was opened."""

    roster_hash: str
    members: tuple[str, ...]
    signal_id: str


@dataclass(frozen=True, slots=True)
class NoteBurned:
    """The run ended without this party's sum: charge and signal are lost.

    ``roster_hash`` is the roster that the signal was uploaded for, or empty if it never was.
    """

    roster_hash: str
    signal_id: str


@dataclass(frozen=True, slots=True)
class LogRelease:
    """The key holder is about to open this sum."""

    roster_hash: str
    members: tuple[str, ...]
    data_sets: dict[str, str]
    sum_hash: str
    signal_ids: dict[str, str]


Record = ReserveCharge | CommitCharge | BindSignal | NoteOpened | NoteBurned | LogRelease

# --- effects -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DrawEntropy:
    """Draw randomness; answered by :class:`Drawn` with the same tag."""

    tag: str
    draw: Draw


@dataclass(frozen=True, slots=True)
class Preflight:
    """Check all that can fail without private data; answered by :class:`Checked`."""


@dataclass(frozen=True, slots=True)
class Persist:
    """Make a record durable; answered by :class:`Persisted`."""

    record: Record


@dataclass(frozen=True, slots=True)
class ReadPrivate:
    """The one access to private records, with the noise drawn just before.

    Answered by :class:`SummaryRead`, which holds the noisy summary only. ``noise`` says how
    to draw again if a crash lost what was drawn.
    """

    noise: NoiseDraw


@dataclass(frozen=True, slots=True)
class AskModel:
    """Ask the teacher's model about the agreed probes, once; train it first, if it is to be.

    The one access to private records in the routes whose teachers are models. Answered by
    :class:`ModelAsked`. A crash before that answer trains and asks anew, under the same
    charge: nothing that held the first model had left.
    """


@dataclass(frozen=True, slots=True)
class Send:
    """Sign, seal if need be, store and send a message.

    Attributes:
        body: What to say.
        recipient: A party's name, or ``*``.
        slot: Empty, or the name of a deadline at which the message leaves, so that its
            time does not depend on what was computed.
    """

    body: Body
    recipient: str = "*"
    slot: str = ""


@dataclass(frozen=True, slots=True)
class BuildStudent:
    """Fit the student on the released sum; answered by :class:`StudentBuilt`."""

    released: ReleasedSum


@dataclass(frozen=True, slots=True)
class Erase:
    """Destroy the key that wraps this run's secrets on disk."""


@dataclass(frozen=True, slots=True)
class Finish:
    """The party's part is over; ``problem`` is empty when all went well."""

    problem: str = ""


Effect = (
    DrawEntropy
    | Preflight
    | Persist
    | ReadPrivate
    | AskModel
    | Send
    | BuildStudent
    | Erase
    | Finish
)

# --- events ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins."""


@dataclass(frozen=True, slots=True)
class Received:
    """A verified message arrived.

    Attributes:
        header: Who, what, when.
        body: Its parsed body.
        hash: Names the message.
    """

    header: Header
    body: Body
    hash: str


@dataclass(frozen=True, slots=True, repr=False)
class Drawn:
    """Randomness arrived; empty for noise, which stays with the engine."""

    tag: str
    value: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """Preflight's answer; ``problem`` is empty when all is well."""

    problem: str


@dataclass(frozen=True, slots=True)
class Persisted:
    """A record is durable; ``value`` is what the store answers."""

    record: Record
    value: Any = None


@dataclass(frozen=True, slots=True)
class SummaryRead:
    """The noisy summary of the private records."""

    summary: NoisySummary


@dataclass(frozen=True, slots=True)
class ModelAsked:
    """A model's two signals."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class Sent:
    """A message left."""

    kind: str


@dataclass(frozen=True, slots=True)
class StudentBuilt:
    """The student's hash."""

    sha256: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The party's part is noted as over."""


@dataclass(frozen=True, slots=True)
class Erased:
    """The run's secrets are gone."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An effect, or what should follow it, is impossible; answers the effect.

    Whatever else was asked for is dropped. Never depends on private records.
    """

    problem: str


@dataclass(frozen=True, slots=True)
class Deadline:
    """Nothing came for the agreed time: go on without whoever is silent, or stop."""


Event = (
    Started
    | Received
    | Drawn
    | Checked
    | Persisted
    | SummaryRead
    | ModelAsked
    | Sent
    | StudentBuilt
    | Finished
    | Erased
    | Failed
    | Deadline
)
