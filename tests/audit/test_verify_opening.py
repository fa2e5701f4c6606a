"""Agreement, nonces, keys, query and readiness: what must hold before any charge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit import agreed
from secure_fedsa.encryption.paillier import generate_paillier
from secure_fedsa.wire import canonical
from secure_fedsa.wire.keys import IdentityKey
from tests.audit.checking import Lie, check_lie, refused
from tests.audit.forging import Forgery, verify

AGREEMENT = "agreement.toml"


def terms(section: str, **entries: Any) -> Callable[[Forgery], None]:
    """Return a change of the agreement that every party signs."""

    def tell(forgery: Forgery) -> None:
        (forgery.terms[section] if section else forgery.terms).update(entries)

    return tell


def unsigned(party: str) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        del forgery.terms["signatures"][party]

    return tell


def signed_by_a_stranger(forgery: Forgery) -> None:
    forgery.terms["signatures"]["stranger"] = forgery.terms["signatures"]["student"]


def changed_after_signing(forgery: Forgery) -> None:
    forgery.terms["selection"]["threshold"] = 0.5


BAD_AGREEMENTS = {
    "a simulation": Lie(terms("", simulation=True), AGREEMENT, "simulation: is true", "agreement"),
    "too little noise": Lie(
        terms("privacy", epsilon=3.9), AGREEMENT, "noise_multiplier", "agreement"
    ),
    "no headroom": Lie(terms("features", bound=2**33), AGREEMENT, "could wrap", "agreement"),
    "rules that clash": Lie(terms("publish", sums=False), AGREEMENT, "publish.feature_key"),
    "an unsigned agreement": Lie(unsigned("teacher-2"), AGREEMENT, "signatures.teacher-2: is miss"),
    "a stranger's signature": Lie(signed_by_a_stranger, AGREEMENT, "signatures.stranger: is not"),
    "a change after signing": Lie(changed_after_signing, AGREEMENT, "does not verify"),
    "an unknown entry": Lie(terms("", note="x"), AGREEMENT, "note: is not an entry"),
    "another version": Lie(terms("", version=2), AGREEMENT, "version: is 2"),
}


@pytest.mark.parametrize("name", BAD_AGREEMENTS)
def test_an_agreement_that_cannot_hold_is_refused(name: str) -> None:
    """All other checks ask what was agreed; a bad agreement would let anything pass."""
    check_lie(BAD_AGREEMENTS[name])


BAD_TOML = {
    "not UTF-8": (b"title = '\xff'\n", "UTF-8"),
    "not TOML": (b"= 1\n", "not valid TOML"),
    "a key twice": (b"version = 1\nversion = 1\n", "not valid TOML"),
    # A reader's time grows with the square of a key's parts: this one would take hours.
    "a key of very many parts": (b"a." * 200_000 + b"a = 1\n", "more than 100 dots"),
    "the same inside an array": (b'x = ["""\n#""", {' + b"a." * 9999 + b"a = 1}]\n", "100 dots"),
    "deep nesting": (b"a = " + b"[" * 100_000 + b"\n", "not valid TOML"),
    "a huge number": (b"version = " + b"9" * 5000 + b"\n", "not valid TOML"),
    "nothing": (b"", "is missing"),
}


@pytest.mark.parametrize("name", BAD_TOML)
def test_a_file_that_is_no_agreement_is_refused_quickly(name: str) -> None:
    """Nor may a file of a megabyte keep its reader busy for hours."""
    data, reason = BAD_TOML[name]
    forgery = Forgery()
    refused(forgery.receipt({**forgery.build(), AGREEMENT: data}), AGREEMENT, reason)


def test_comments_are_for_people() -> None:
    """What an agreement's author writes for readers is no reason to refuse it."""
    forgery = Forgery()
    files = forgery.build()
    files[AGREEMENT] = b"  # " + b"." * 200 + b"\n" + files[AGREEMENT]
    verify(forgery.receipt(files))


def test_a_verifier_counts_no_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run would send is for those who will send it: a reader would only wait."""

    def counted(_agreement: Agreement) -> None:
        raise AssertionError

    monkeypatch.setattr("secure_fedsa.planning.promises.traffic", counted)
    agreed._judged.cache_clear()
    verify(Forgery().build())


def test_an_older_agreement_of_the_same_parties_is_another_agreement() -> None:
    """Parties who signed stricter terms must not be shown under laxer ones."""
    older = Forgery()
    older.terms["privacy"]["agreement_budget"] = 19.0
    files = older.build("agreement")
    newer = Forgery()
    mixed = {**newer.build(), AGREEMENT: files[AGREEMENT]}
    refused(mixed, AGREEMENT, "not the file that was signed")
    refused(
        newer.receipt(mixed), "transcript/aggregator-000-nonce.json", "belongs to another agreement"
    )


# --- opening -----------------------------------------------------------------------


def nonce_of(size: int) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.primes = None
        forgery.body("nonce", "teacher-1")["nonce"] = canonical.to_base64(bytes(size))

    return tell


def two(kind: str, sender: str) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.double(forgery.message(kind, sender))

    return tell


def without(kind: str, sender: str, recipient: str = "") -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.remove(forgery.message(kind, sender, recipient))

    return tell


def late_nonce(forgery: Forgery) -> None:
    """Give teacher-1's nonce its second number, and its key the first."""
    for kind, number in (("nonce", 1), ("keys", 0)):
        forgery.message(kind, "teacher-1")["header"]["sequence"] = number


def sealing_key(change: Callable[[bytes], bytes]) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        body = forgery.body("keys", "teacher-1")
        body["sealing_key"] = canonical.to_base64(
            change(canonical.from_base64(body["sealing_key"]))
        )

    return tell


def shared_key(forgery: Forgery) -> None:
    forgery.body("keys", "teacher-2").update(forgery.body("keys", "teacher-1"))


def feature_key(data: bytes) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.body("feature-key")["public_key"] = canonical.to_base64(data)

    return tell


def query_key(**entries: Any) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.body("query-key").update(entries)

    return tell


def another_runs_proof(forgery: Forgery) -> None:
    """Prove a good modulus, but for another run id."""
    forgery.primes = generate_paillier(2048)
    forgery.message("keys")["header"]["run_id"] = "00" * 32
    forgery.build("run")
    proof = forgery.body("query-key")["proof"]
    forgery.body("nonce", "teacher-1")["nonce"] = canonical.to_base64(b"n" * 32)
    forgery.build("run")
    forgery.body("query-key")["proof"] = proof
    forgery.primes = None


def ready(**entries: Any) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.body("ready", "teacher-2").update(entries)

    return tell


def header_of(kind: str, **entries: Any) -> Callable[[Forgery], None]:
    def tell(forgery: Forgery) -> None:
        forgery.message(kind, "teacher-2" if kind == "ledger" else "")["header"].update(entries)

    return tell


def another_modulus(forgery: Forgery) -> None:
    """Take a modulus of the right length that nobody proved."""
    modulus = canonical.from_base64(forgery.body("query-key")["modulus"])
    other = (int.from_bytes(modulus, "big") + 2).to_bytes(len(modulus), "big")
    forgery.body("query-key")["modulus"] = canonical.to_base64(other)


T1 = "transcript/teacher-1"
QUERY_KEY = "transcript/student-002-query-key.json"
FEATURE_KEY = "transcript/key-holder-002-feature-key.json"
TRANSCRIPT = "transcript/"

LIES = {
    "no nonce": Lie(without("nonce", "teacher-1"), TRANSCRIPT, "no nonce of teacher-1"),
    "two nonces": Lie(two("nonce", "teacher-1"), f"{T1}-011-nonce.json", "a second nonce", "run"),
    "a short nonce": Lie(nonce_of(31), f"{T1}-000-nonce.json", "nonce of 31 bytes"),
    "a late nonce": Lie(late_nonce, f"{T1}-001-nonce.json", "not the first message"),
    "another nonce": Lie(nonce_of(32), "transcript/aggregator-001-keys.json", "another run"),
    "no keys": Lie(without("keys", "teacher-1"), TRANSCRIPT, "no keys of teacher-1"),
    "two keys": Lie(two("keys", "teacher-1"), f"{T1}-011-keys.json", "a second keys"),
    "a short key": Lie(
        sealing_key(lambda key: key[:-1]), f"{T1}-001-keys.json", "malformed", "keys"
    ),
    "a low-order key": Lie(
        sealing_key(lambda key: key[:1184] + bytes(32)), f"{T1}-001-keys.json", "low order", "keys"
    ),
    "a shared key": Lie(shared_key, "transcript/teacher-2-001-keys.json", "is also", "keys"),
    "no feature key": Lie(
        without("feature-key", "key-holder"), TRANSCRIPT, "no feature-key of key-holder"
    ),
    "two feature keys": Lie(
        two("feature-key", "key-holder"),
        "transcript/key-holder-006-feature-key.json",
        "a second feature-key",
    ),
    "an empty feature key": Lie(feature_key(b""), FEATURE_KEY, "no feature key", "keys"),
    "no encryption after all": Lie(feature_key(b"none"), FEATURE_KEY, "no feature key", "keys"),
    "encryption after all": Lie(
        feature_key(b"some"), FEATURE_KEY, "without encryption", "keys", "plain"
    ),
    "no query key": Lie(without("query-key", "student"), TRANSCRIPT, "no query-key of student"),
    "two query keys": Lie(
        two("query-key", "student"), "transcript/student-010-query-key.json", "a second query-key"
    ),
    "a modulus too short": Lie(
        query_key(modulus=canonical.to_base64(b"\xff" * 255)), QUERY_KEY, "wrong length", "keys"
    ),
    "a modulus of zero": Lie(
        query_key(modulus=canonical.to_base64(bytes(256))), QUERY_KEY, "out of range", "keys"
    ),
    "an unproved modulus": Lie(another_modulus, QUERY_KEY, "proof|prime factor", "keys"),
    "no proof": Lie(query_key(proof=[]), QUERY_KEY, "needs 8 roots", "keys"),
    "a proof for another run": Lie(another_runs_proof, QUERY_KEY, "proof .* is wrong", "keys"),
    "a query key without encryption": Lie(
        query_key(proof=["AA=="]), QUERY_KEY, "without encryption", "keys", "plain"
    ),
    "a message of another run": Lie(
        header_of("ledger", run_id="00" * 32), "transcript/teacher-2-003-ledger.json", "another run"
    ),
    "no query to a teacher": Lie(
        without("query", "student", "teacher-3"), TRANSCRIPT, "no query to teacher-3"
    ),
    "two queries to a teacher": Lie(
        two("query", "student"), "transcript/student-010-query.json", "a second query to teacher-1"
    ),
    "no query secret": Lie(
        without("query-secret", "student"), TRANSCRIPT, "no query-secret of student"
    ),
    "two query secrets": Lie(
        two("query-secret", "student"),
        "transcript/student-010-query-secret.json",
        "a second query-secret",
    ),
    "a party that was not ready": Lie(
        without("ready", "teacher-2"), TRANSCRIPT, "no ready of teacher-2"
    ),
    "a party that was ready twice": Lie(
        two("ready", "teacher-2"), "transcript/teacher-2-011-ready.json", "a second ready"
    ),
    "a party that saw other keys": Lie(
        ready(keys_hash="00" * 32), "transcript/teacher-2-002-ready.json", "saw other keys"
    ),
    "a party that saw another query": Lie(
        ready(query_hash="00" * 32), "transcript/teacher-2-002-ready.json", "saw another query"
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_the_opening_is_found(name: str) -> None:
    """Before the charge nothing was at stake; after it, every one of these costs a teacher."""
    check_lie(LIES[name])


def test_the_runs_keys_are_of_this_run() -> None:
    """The workshop's own query key and nonces pass: only the lies above do not."""
    forgery = Forgery()
    forgery.primes = generate_paillier(2048)
    forgery.body("nonce", "teacher-1")["nonce"] = canonical.to_base64(b"n" * 32)
    assert verify(forgery.build("agreement")).facts.run_id == forgery.run_id


def test_identity_keys_may_be_any_as_long_as_nobody_asks() -> None:
    """New keys for everybody: consistent, and that is all that can be said."""
    forgery = Forgery()
    forgery.primes = generate_paillier(2048)
    forgery.identities = {name: IdentityKey.generate() for name in forgery.identities}
    assert verify(forgery.build("agreement")).words() == "consistent, identities not checked"
