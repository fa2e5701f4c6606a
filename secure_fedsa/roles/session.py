"""What every role does before any charge: nonces, run id, per-run keys, readiness.

Each role keeps a :class:`Session` of the facts it has seen. :func:`absorb` adds one
event's fact or refuses it; :func:`progress` returns the effects that are now due, each
once. The run id is the hash of the agreement and one fresh signed nonce of every party,
so no party alone can bring back an earlier run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from secure_fedsa.agreement import Agreement
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.errors import ProtocolError, SecureFedsaError, SignatureError, resting_on
from secure_fedsa.messages import (
    KEY_HOLDER,
    STUDENT,
    Abort,
    Body,
    FeatureKey,
    Keys,
    Nonce,
    QueryKey,
    Ready,
    Release,
    Result,
)
from secure_fedsa.roles.custody import check_custody
from secure_fedsa.roles.effects import (
    Checked,
    DrawEntropy,
    Drawn,
    Effect,
    Erase,
    Event,
    Failed,
    FeatureKeyDraw,
    Finish,
    Preflight,
    RandomBytes,
    Received,
    SealingKeyDraw,
    Send,
    Started,
)
from secure_fedsa.roles.refusals import must_be, once_only, told_by
from secure_fedsa.wire import canonical
from secure_fedsa.wire.keys import check_sealing_public

NONCE_BYTES = 32
RUN_DOMAIN = "secure-fedsa/v1/run"
KEYS_DOMAIN = "secure-fedsa/v1/keys"
ROSTER_DOMAIN = "secure-fedsa/v1/roster"


@dataclass(frozen=True, slots=True, repr=False)
class Session:
    """The facts of the opening phases, as one party knows them.

    Attributes:
        me: This party.
        agreement: The agreement.
        agreement_hash: Its hash.
        run_id: Empty until every nonce is known.
        nonces: By party.
        sealing_private: This party's per-run private key.
        sealing_keys: Per-run public keys by party.
        feature_key: The public feature key.
        feature_secret: Its secret part, at the custodian.
        query_key: The student's query key message.
        ready: By party.
        release_hash: Names the first release that this party was told.
        problem: Why the run cannot go on; empty if nothing is wrong.
        unfit: Whether that is this party's own doing, so that the others must be told.
        over: Set once the run ended for this party.
        once: Names of effects that were already asked for.
    """

    me: str
    agreement: Agreement
    agreement_hash: str
    run_id: str = ""
    nonces: dict[str, bytes] = field(default_factory=dict)
    sealing_private: bytes = b""
    sealing_keys: dict[str, bytes] = field(default_factory=dict)
    feature_key: bytes = b""
    feature_secret: bytes = b""
    query_key: QueryKey | None = None
    ready: dict[str, Ready] = field(default_factory=dict)
    release_hash: str = ""
    checked: bool = False
    problem: str = ""
    unfit: bool = False
    over: bool = False
    once: frozenset[str] = frozenset()

    @property
    def role(self) -> str:
        """This party's role."""
        return self.agreement.parties[self.me].role

    @property
    def is_custodian(self) -> bool:
        """Whether this party holds the feature key."""
        return self.me == self.agreement.custodian

    @property
    def keys_complete(self) -> bool:
        """Whether every per-run key of the run is known."""
        return (
            set(self.sealing_keys) == set(self.agreement.parties)
            and bool(self.feature_key)
            and self.query_key is not None
        )

    @property
    def keys_hash(self) -> str:
        """Hash of every per-run key, which all parties compare before any charge."""
        assert self.query_key is not None
        return canonical.digest(
            KEYS_DOMAIN,
            {
                "run_id": self.run_id,
                "sealing": {k: canonical.sha256(v) for k, v in self.sealing_keys.items()},
                "feature": canonical.sha256(self.feature_key),
                "query": canonical.sha256(self.query_key.modulus),
                "query_hash": self.query_key.query_hash,
            },
        )

    @property
    def all_ready(self) -> bool:
        """Whether every party said that it is ready, over the same keys and query."""
        return set(self.ready) == set(self.agreement.parties)

    def done(self, name: str) -> bool:
        """Return whether effect ``name`` was already asked for."""
        return name in self.once

    def mark(self, *names: str) -> Session:
        """Return the session with effects ``names`` marked as asked for."""
        return replace(self, once=self.once | set(names))


def run_id_of(agreement_hash: str, nonces: dict[str, bytes]) -> str:
    """Return the run id of an agreement and every party's nonce."""
    listed = {party: nonce.hex() for party, nonce in nonces.items()}
    return canonical.digest(RUN_DOMAIN, {"agreement": agreement_hash, "nonces": listed})


def query_hash_of(ciphertexts: tuple[bytes, ...]) -> str:
    """Return the hash that names a query."""
    return canonical.digest("secure-fedsa/v1/query", [canonical.sha256(c) for c in ciphertexts])


def expected(session: Session) -> frozenset[str]:
    """Return the kinds that the opening phases may take now.

    A message of a later phase waits with the engine until the role can judge it.
    """
    if session.over:
        return frozenset()
    kinds = {"nonce", "abort"}
    if session.run_id:
        kinds |= {"keys", "feature-key", "query-key"}
    if session.keys_complete:
        kinds.add("ready")
    return frozenset(kinds)


def absorb(session: Session, event: Event) -> Session:
    """Return the session with one event's fact added.

    Raises:
        ProtocolError: If a message contradicts what was said before or agreed.
    """
    match event:
        case Drawn(tag="nonce", value=(nonce,)):
            return _with_nonce(session, session.me, nonce)
        case Drawn(tag="sealing-key", value=(private, public)):
            keys = {**session.sealing_keys, session.me: public}
            return replace(session, sealing_private=private, sealing_keys=keys)
        case Drawn(tag="feature-key", value=(secret, public)):
            return replace(session, feature_secret=secret, feature_key=public)
        case Checked(problem=problem):
            return replace(session, checked=True, problem=problem, unfit=bool(problem))
        case Failed(problem=problem):
            return replace(session, problem=problem, unfit=True)
        case Received(header=header, body=body, hash=digest):
            check_custody(session.agreement, header.sender, body)
            if isinstance(body, Release):
                must_be(not session.release_hash, header.sender, "sent a second release.")
                return replace(session, release_hash=digest)
            if isinstance(body, Result):
                return _with_result(session, header.sender, body)
            return _absorb_message(session, header.sender, body)
        case _:
            return session


def _absorb_message(session: Session, sender: str, body: Body) -> Session:
    match body:
        case Nonce(nonce=nonce):
            once_only(session.nonces, sender, "nonce")
            if len(nonce) != NONCE_BYTES:
                raise ProtocolError(sender, f"sent a nonce of {len(nonce)} bytes.")
            return _with_nonce(session, sender, nonce)
        case Keys(sealing_key=key):
            once_only(session.sealing_keys, sender, "keys")
            check_sealing_public(key, party=sender)
            if key in session.sealing_keys.values():
                raise ProtocolError(sender, "registered another party's sealing key.")
            return replace(session, sealing_keys={**session.sealing_keys, sender: key})
        case FeatureKey(public_key=key):
            must_be(not session.feature_key, sender, "sent a second feature key.")
            _check_feature_key(session.agreement, sender, key)
            return replace(session, feature_key=key)
        case QueryKey():
            if session.query_key is not None:
                raise ProtocolError(sender, "sent a second query key.")
            return replace(session, query_key=body)
        case Ready():
            once_only(session.ready, sender, "ready")
            _same_view(session, sender, body)
            return replace(session, ready={**session.ready, sender: body})
        case Abort():
            if sender in session.ready and sender != session.agreement.only(KEY_HOLDER):
                # It promised to take part and others may have been charged for it: it counts
                # as silent, which only the key holder judges.
                return session
            return replace(session, problem=told_by(sender, body))
        case _:
            return session


def _with_result(session: Session, sender: str, result: Result) -> Session:
    """End the run if the student says it was built from another sum than the one released here.

    A refusal alone would leave this party waiting, with its keys on disk, for another result.
    """
    shown = session.agreement.publish.sums and session.release_hash
    if not shown or result.opened == shown:
        return session
    what = "its student came from another sum than the released one."
    return replace(session, problem=f"{sender}: {what} {resting_on('publish.sums')}")


def _check_feature_key(agreement: Agreement, sender: str, key: bytes) -> None:
    try:
        suite_of(agreement).check_feature_key(key, sender)
    except SecureFedsaError as error:
        clause = "encryption" if agreement.protection.he else "protection.he"
        raise ProtocolError(
            sender, "sent a malformed feature key.", why=str(error), clause=clause
        ) from error


def _same_view(session: Session, sender: str, ready: Ready) -> None:
    assert session.query_key is not None
    if ready.keys_hash != session.keys_hash or ready.query_hash != session.query_key.query_hash:
        raise SignatureError(
            sender,
            "saw other keys or another query than this party.",
            why="Somebody told two parties different things.",
            do="Start a new run; nothing was charged.",
        )


def _with_nonce(session: Session, party: str, nonce: bytes) -> Session:
    nonces = {**session.nonces, party: nonce}
    complete = set(nonces) == set(session.agreement.parties)
    run_id = run_id_of(session.agreement_hash, nonces) if complete else ""
    return replace(session, nonces=nonces, run_id=run_id)


def start(session: Session, event: Event) -> tuple[Session, list[Effect]]:
    """Return the first draws, on :class:`Started` only."""
    if not isinstance(event, Started):
        return session, []
    effects: list[Effect] = [
        DrawEntropy("nonce", RandomBytes(NONCE_BYTES)),
        DrawEntropy("sealing-key", SealingKeyDraw()),
    ]
    if session.is_custodian:
        effects.append(DrawEntropy("feature-key", FeatureKeyDraw()))
    return session, effects


def progress(session: Session) -> tuple[Session, list[Effect]]:
    """Return the effects of the opening phases that are due now, each once."""
    effects: list[Effect] = []
    me = session.me
    if me in session.nonces and not session.done("nonce"):
        effects.append(Send(Nonce(session.nonces[me])))
        session = session.mark("nonce")
    if session.run_id and me in session.sealing_keys and not session.done("keys"):
        effects.append(Send(Keys(session.sealing_keys[me])))
        session = session.mark("keys")
    own_key = session.is_custodian and session.feature_key
    if session.run_id and own_key and not session.done("feature-key"):
        effects.append(Send(FeatureKey(session.feature_key)))
        session = session.mark("feature-key")
    return session, effects


def make_ready(session: Session, *, complete: bool) -> tuple[Session, list[Effect]]:
    """Return the preflight and the readiness message once ``complete`` holds."""
    if not (complete and session.keys_complete):
        return session, []
    if not session.done("preflight"):
        return session.mark("preflight"), [Preflight()]
    if session.checked and not session.done("ready"):
        assert session.query_key is not None
        mine = Ready(session.keys_hash, session.query_key.query_hash)
        session = replace(session, ready={**session.ready, session.me: mine})
        return session.mark("ready"), [Send(mine)]
    return session, []


def stop(session: Session, *, tell: Abort | None = None) -> tuple[Session, list[Effect]]:
    """Return the end of a run for this party: tell the others, erase, finish."""
    effects: list[Effect] = [Send(tell)] if tell else []
    effects += [Finish(session.problem), Erase()]
    return replace(session, over=True), effects


def end(session: Session) -> tuple[Session, list[Effect]]:
    """Return the end of a run that cannot go on, telling the others if it is our doing."""
    phase = "after-charge" if session.all_ready else "readiness"
    return stop(session, tell=Abort(phase, session.problem, ()) if session.unfit else None)


def silent(session: Session) -> tuple[str, tuple[str, ...]]:
    """Return which opening phase is incomplete and who is awaited."""
    everybody = set(session.agreement.parties)
    if not session.run_id:
        return "nonces", tuple(sorted(everybody - set(session.nonces)))
    if not session.keys_complete:
        missing = everybody - set(session.sealing_keys)
        if not session.feature_key:
            missing.add(session.agreement.custodian)
        if session.query_key is None:
            missing.add(session.agreement.only(STUDENT))
        return "keys", tuple(sorted(missing))
    # The key holder, who asks, says that it is ready last of all.
    return "readiness", tuple(sorted(everybody - set(session.ready) - {session.me}))


def teachers_of(agreement: Agreement) -> frozenset[str]:
    """Return the names of all teachers."""
    return frozenset(agreement.teachers)
