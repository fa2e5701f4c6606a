"""Before any charge: nonces, run id, keys, the query, and that all saw the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.audit.layout import TRANSCRIPT
from secure_fedsa.audit.transcript import Transcript
from secure_fedsa.encryption import paillier
from secure_fedsa.encryption.interface import NO_KEY
from secure_fedsa.encryption.query_proof import verify_modulus
from secure_fedsa.errors import DataError
from secure_fedsa.messages import AGGREGATOR, STUDENT, FeatureKey, Keys, Nonce, QueryKey, Ready
from secure_fedsa.roles.session import NONCE_BYTES, Session, run_id_of
from secure_fedsa.wire.keys import check_sealing_public


@dataclass(frozen=True, slots=True)
class Opening:
    """A transcript whose opening phases hold.

    Attributes:
        transcript: All messages, all of one run.
        session: The facts of the opening phases, as every party knows them.
        feature_key_file: Where the feature key stands.
    """

    transcript: Transcript
    session: Session
    feature_key_file: str

    @property
    def agreement(self) -> Agreement:
        """The agreement."""
        return self.session.agreement

    @property
    def run_id(self) -> str:
        """The run."""
        return self.session.run_id


def check_opening(transcript: Transcript) -> Opening:
    """Return the opening phases of a run.

    Raises:
        VerificationError: If a nonce, key, query or readiness message is missing, doubled or
            malformed, the run id is another than they give, or parties saw different keys.
    """
    agreement = transcript.agreement
    nonces = _nonces(transcript)
    sealing = _sealing_keys(transcript)
    feature = transcript.one("feature-key", agreement.custodian)
    feature_key = feature.says(FeatureKey).public_key
    plain = feature_key == NO_KEY
    require(
        bool(feature_key) and plain != agreement.protection.he,
        feature.file,
        "is no feature key of a run with encryption."
        if agreement.protection.he
        else "is a feature key in a run without encryption.",
    )
    query_key = transcript.one("query-key", agreement.only(STUDENT))
    run_id = run_id_of(transcript.agreed.hash, nonces)
    for message in transcript.messages:
        expected = "" if message.header.kind == "nonce" else run_id
        require(message.header.run_id == expected, message.file, "belongs to another run.")
    with blaming(query_key.file):
        _check_query_key(query_key.says(QueryKey), agreement, run_id)
    session = Session(
        "",
        agreement,
        transcript.agreed.hash,
        run_id=run_id,
        sealing_keys=sealing,
        feature_key=feature_key,
        query_key=query_key.says(QueryKey),
    )
    _check_queries(transcript)
    _check_ready(transcript, session)
    return Opening(transcript, session, feature.file)


def _nonces(transcript: Transcript) -> dict[str, bytes]:
    nonces = {}
    for party, message in transcript.one_each("nonce", transcript.agreement.parties).items():
        nonce = message.says(Nonce).nonce
        size = len(nonce)
        require(size == NONCE_BYTES, message.file, f"is a nonce of {size} bytes.")
        require(message.header.sequence == 0, message.file, "is not the first message.")
        nonces[party] = nonce
    return nonces


def _sealing_keys(transcript: Transcript) -> dict[str, bytes]:
    found: dict[bytes, str] = {}
    for party, message in transcript.one_each("keys", transcript.agreement.parties).items():
        key = message.says(Keys).sealing_key
        with blaming(message.file):
            check_sealing_public(key, party=party)
        require(key not in found, message.file, f"is also the sealing key of {found.get(key)}.")
        found[key] = party
    return {party: key for key, party in found.items()}


def _check_query_key(key: QueryKey, agreement: Agreement, run_id: str) -> None:
    student, bits = agreement.only(STUDENT), agreement.encryption.query_modulus_bits
    if agreement.protection.he:
        _check_proof(key.modulus, key.proof, run_id, student, bits)
    elif key.modulus != NO_KEY or key.proof:
        raise DataError("is a query key in a run without encryption.")


@lru_cache(maxsize=16)  # every signer of a run asks about the same
def _check_proof(
    modulus: bytes, proof: tuple[bytes, ...], run_id: str, student: str, bits: int
) -> None:
    if len(modulus) != bits // 8:
        raise DataError("has a query modulus of the wrong length.")
    number = int.from_bytes(modulus, "big")
    roots = [paillier.residue_from_bytes(root, number, student) for root in proof]
    verify_modulus(number, roots, run_id=run_id, student=student, bits=bits)


def _check_queries(transcript: Transcript) -> None:
    asked: set[str] = set()
    for message in transcript.of("query"):
        teacher = message.header.recipient
        require(teacher not in asked, message.file, f"is a second query to {teacher}.")
        asked.add(teacher)
    for teacher in transcript.agreement.teachers:
        require(teacher in asked, f"{TRANSCRIPT}/", f"holds no query to {teacher}.")
    secret = transcript.one("query-secret", transcript.agreement.only(STUDENT))
    assert secret.header.recipient == transcript.agreement.only(AGGREGATOR)


def _check_ready(transcript: Transcript, session: Session) -> None:
    assert session.query_key is not None
    same = Ready(session.keys_hash, session.query_key.query_hash)
    for party, message in transcript.one_each("ready", transcript.agreement.parties).items():
        seen = message.says(Ready)
        require(seen.keys_hash == same.keys_hash, message.file, f"{party} saw other keys.")
        require(seen.query_hash == same.query_hash, message.file, f"{party} saw another query.")
