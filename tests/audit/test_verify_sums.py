"""The sum and its opening, with and without encryption, shown and withheld."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from secure_fedsa.audit import he_check, he_child, he_request
from secure_fedsa.audit.he_check import check_ciphertexts
from secure_fedsa.audit.he_request import Claim
from secure_fedsa.encryption import ciphertexts, keys
from secure_fedsa.encryption.interface import bfv_parameters
from secure_fedsa.errors import DataError, VerificationError
from secure_fedsa.signals import Encrypted, Masked, from_int64_bytes, int_array
from secure_fedsa.wire import canonical
from tests.audit.checking import Lie, check_lie, refused
from tests.audit.forging import Forgery, verify

SUM = "transcript/aggregator-004-sum.json"
RELEASE = "transcript/key-holder-005-release.json"
UPLOAD = "transcript/teacher-1-010-upload.json"
PERMIT = "transcript/key-holder-004-permit.json"
TRANSCRIPT = "transcript/"

Tell = Callable[[Forgery], None]


def says(kind: str, **entries: Any) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.body(kind).update(entries)

    return tell


def two(kind: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.double(forgery.message(kind))

    return tell


def without(kind: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.remove(forgery.message(kind))

    return tell


def swapped_uploads(forgery: Forgery) -> None:
    uploads = forgery.body("sum")["uploads"]
    uploads["teacher-1"], uploads["teacher-2"] = uploads["teacher-2"], uploads["teacher-1"]


def an_upload_less(forgery: Forgery) -> None:
    del forgery.body("sum")["uploads"]["teacher-1"]


def value(at: int, number: int) -> Tell:
    """Return a change of one released value."""

    def tell(forgery: Forgery) -> None:
        body = forgery.body("release")
        values = np.array(from_int64_bytes(canonical.from_base64(body["values"])))
        values[at] = number
        body["values"] = canonical.to_base64(values.astype("<i8").tobytes())

    return tell


def fewer_values(forgery: Forgery) -> None:
    body = forgery.body("release")
    body["values"] = canonical.to_base64(canonical.from_base64(body["values"])[:-8])


def sealed_sum(sender: str) -> Tell:
    def tell(forgery: Forgery) -> None:
        forgery.add("sealed-sum", sender, None, "student")

    return tell


def permit(forgery: Forgery) -> None:
    release = forgery.body("release")
    names = ("roster_hash", "sum_hash", "signal_ids")
    forgery.add("permit", "key-holder", {name: release[name] for name in names})


def other_signals(forgery: Forgery) -> None:
    signals = forgery.body("release")["signal_ids"]
    signals["teacher-1"] = signals["teacher-2"]


def no_key(forgery: Forgery) -> None:
    forgery.body("release")["secret_key"] = ""


def some_key(forgery: Forgery) -> None:
    forgery.body("release")["secret_key"] = canonical.to_base64(b"key")


LIES = {
    "no sum": Lie(without("sum"), TRANSCRIPT, "no sum of aggregator"),
    "two sums": Lie(two("sum"), "transcript/aggregator-005-sum.json", "a second sum"),
    "two withheld sums": Lie(
        two("sum"),
        "transcript/aggregator-005-sum.json",
        "a second sum",
        "receipt",
        "no-ciphertexts",
    ),
    "a sum over another roster": Lie(
        says("sum", roster_hash="00" * 32), SUM, "over another roster", "release"
    ),
    "a sum of other uploads": Lie(swapped_uploads, SUM, "of other uploads", "release"),
    "a sum of fewer uploads": Lie(an_upload_less, SUM, "of other uploads", "release"),
    "a sum of another length": Lie(says("sum", values=15), SUM, "has 15 values", "release"),
    "no permit": Lie(without("permit"), TRANSCRIPT, "no permit", "receipt", "aggregator"),
    "two permits": Lie(
        two("permit"),
        "transcript/key-holder-005-permit.json",
        "a second permit",
        "receipt",
        "aggregator",
    ),
    "a permit for another sum": Lie(
        says("permit", sum_hash="00" * 32), PERMIT, "another sum", "receipt", "aggregator"
    ),
    "a permit for another roster": Lie(
        says("permit", roster_hash="00" * 32), PERMIT, "another sum", "receipt", "aggregator"
    ),
    "a permit for other signals": Lie(
        says("permit", signal_ids={}), PERMIT, "another sum", "receipt", "aggregator"
    ),
    "a permit that nobody needs": Lie(
        permit, "transcript/key-holder-006-permit.json", "open itself|opens itself"
    ),
    "no release": Lie(without("release"), TRANSCRIPT, "no release of key-holder"),
    "two releases": Lie(
        two("release"), "transcript/key-holder-006-release.json", "a second release"
    ),
    "a release over another roster": Lie(
        says("release", roster_hash="00" * 32), RELEASE, "over another roster", "log"
    ),
    "a release of another sum": Lie(
        says("release", sum_hash="00" * 32), RELEASE, "opens another sum", "log"
    ),
    "a release of other signals": Lie(other_signals, RELEASE, "names other signals", "log"),
    "fewer values": Lie(fewer_values, RELEASE, "bytes, not", "log"),
    "a value beyond all bounds": Lie(value(3, 2**40), RELEASE, "values beyond", "log"),
    "the least value of all": Lie(value(3, -(2**63)), RELEASE, "values beyond", "log"),
    "no values where agreed": Lie(says("release", values=""), RELEASE, "publish.sums", "log"),
    "values where sealed": Lie(
        says("release", values="AAAAAAAAAAA="),
        "transcript/key-holder-006-release.json",
        "publish.sums",
        "log",
        "no-sums",
    ),
    "no key where agreed": Lie(no_key, RELEASE, "publish.feature_key", "log"),
    "a key where kept": Lie(some_key, RELEASE, "publish.feature_key", "log", "no-key"),
    "a sealed sum as well": Lie(sealed_sum("key-holder"), TRANSCRIPT, "1 sealed sums, not 0"),
    "a sealed sum of another": Lie(
        sealed_sum("aggregator"), "transcript/aggregator-005-sealed-sum.json", "having custody"
    ),
    "no sealed sum": Lie(
        without("sealed-sum"), TRANSCRIPT, "0 sealed sums, not 1", "receipt", "no-sums"
    ),
    "two sealed sums": Lie(
        two("sealed-sum"), TRANSCRIPT, "2 sealed sums, not 1", "receipt", "no-sums"
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_lie_about_the_sum_is_found(name: str) -> None:
    """One sum is opened, of these uploads and no others, for all to see what was agreed."""
    check_lie(LIES[name])


# --- arithmetic, without encryption ---------------------------------------------------


def residue(kind: str, at: int, number: int) -> Tell:
    """Return a change of one residue of an upload or a sum."""

    def tell(forgery: Forgery) -> None:
        body = forgery.body(kind)
        values = np.array(from_int64_bytes(canonical.from_base64(body["ciphertext"])))
        values[at] = number
        body["ciphertext"] = canonical.to_base64(values.astype("<i8").tobytes())

    return tell


def both(*tells: Tell) -> Tell:
    def tell(forgery: Forgery) -> None:
        for each in tells:
            each(forgery)

    return tell


PLAIN = {
    "a wrong sum": Lie(residue("sum", 0, 1), SUM, "not the sum", "release", "plain"),
    "a wrong opening": Lie(
        value(0, 7), "transcript/key-holder-005-release.json", "values of the sum", "log", "plain"
    ),
    "no residue": Lie(residue("upload", 0, -1), UPLOAD, "no residue", "sum", "plain"),
    "a short upload": Lie(
        says("upload", ciphertext="AAAAAAAAAAA="), UPLOAD, "must have 16 values", "sum", "plain"
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_without_encryption_the_residues_add_up(name: str) -> None:
    """Without encryption a reader can add up himself, and so must the verifier."""
    check_lie(PLAIN[name])


# --- arithmetic, encrypted -----------------------------------------------------------


@cache
def honest_claim() -> Claim:
    """Return what the honest run claims about its ciphertexts."""
    forgery = Forgery()
    release = forgery.body("release")
    bytes_of = canonical.from_base64
    return Claim(
        parameters=bfv_parameters(forgery.agreement),
        values=16,
        public_key=bytes_of(forgery.body("feature-key")["public_key"]),
        uploads={
            m["header"]["sender"]: bytes_of(m["body"]["ciphertext"]) for m in forgery.all("upload")
        },
        total=bytes_of(forgery.body("sum")["ciphertext"]),
        secret_key=bytes_of(release["secret_key"]),
        released=bytes_of(release["values"]),
    )


FILES = {
    "feature-key": "KEY",
    "sum": "SUM",
    "release": "RELEASE",
    **{f"upload teacher-{number}": f"UPLOAD {number}" for number in range(1, 5)},
}


def judged(claim: Claim) -> str:
    """Return the refusal of a claim."""
    with pytest.raises(VerificationError) as caught:
        check_ciphertexts(claim, files=FILES)
    return str(caught.value)


def encrypted(key: keys.FeatureKey, number: int) -> Encrypted:
    """Return an upload of one number, sixteen times."""
    claim = honest_claim()
    residues = int_array(np.full(16, number))
    masked = Masked(residues, claim.parameters.plain_modulus)
    return ciphertexts.encrypt(claim.parameters, key.public, masked)


@cache
def other_key() -> keys.FeatureKey:
    return keys.generate_feature_key(honest_claim().parameters)


def test_a_sum_that_is_not_the_uploads_is_found() -> None:
    """The aggregator could replace the sum by anything else that decrypts."""
    claim = honest_claim()
    other = claim.uploads["teacher-1"]
    assert "SUM: is not the homomorphic sum" in judged(replace(claim, total=other))
    forgery = Forgery()
    forgery.body("sum")["ciphertext"] = canonical.to_base64(other)
    refused(forgery.build("release"), SUM, "is not the homomorphic sum")


def test_released_values_that_the_sum_does_not_hold_are_found() -> None:
    """The student would learn from numbers that nobody's data gave."""
    forgery = Forgery()
    value(0, 7)(forgery)
    refused(forgery.build("log"), RELEASE, "does not hold the values that the sum decrypts to")


def test_an_unrelated_key_is_found_before_it_opens_anything() -> None:
    """Any key of the same parameters opens a sum to something."""
    claim = replace(honest_claim(), secret_key=other_key().secret)
    assert judged(claim).startswith("RELEASE: key holder: The published secret key does not")
    forgery = Forgery()
    forgery.body("release")["secret_key"] = canonical.to_base64(other_key().secret)
    refused(forgery.build("log"), RELEASE, "does not belong to the public key")


def test_a_key_and_a_sum_that_fit_each_other_but_not_the_public_key_are_found() -> None:
    """A forger who opens invented uploads with a key of his own must not pass."""
    key, names = other_key(), [f"teacher-{number}" for number in range(1, 5)]
    uploads = {name: encrypted(key, 5) for name in names}
    total = ciphertexts.add(honest_claim().parameters, uploads, values=16)
    claim = replace(
        honest_claim(),
        uploads={name: upload.ciphertext for name, upload in uploads.items()},
        total=total.ciphertext,
        secret_key=key.secret,
        released=np.full(16, 20).astype("<i8").tobytes(),
    )
    assert "does not belong to the public key" in judged(claim)
    # With the public key replaced as well it is consistent: only uploads bind the key.
    check_ciphertexts(replace(claim, public_key=key.public), files=FILES)


@pytest.mark.parametrize("size", [0, 1, 40_000, 10_000_000])
def test_bytes_that_are_no_ciphertext_are_refused_by_name(size: int) -> None:
    """The library takes nearly anything; a reader must hear whose bytes were wrong."""
    claim = honest_claim()
    uploads = {**claim.uploads, "teacher-3": b"\x00" * size}
    assert judged(replace(claim, uploads=uploads)).startswith("UPLOAD 3: ")


def test_flipped_ciphertexts_never_crash_the_verifier() -> None:
    """Native code reads these bytes: whatever it does, a reason comes out."""
    claim = honest_claim()
    for place in (20, 100, 3000, 30_000):
        data = bytearray(claim.uploads["teacher-2"])
        data[place] ^= 0x10
        said = judged(replace(claim, uploads={**claim.uploads, "teacher-2": bytes(data)}))
        assert said.startswith(("UPLOAD 2: ", "SUM: ")), said


def test_keys_that_are_none_are_refused() -> None:
    """A malformed key would make every upload unreadable, or readable to others."""
    claim = honest_claim()
    for data in (b"", b"\x00", claim.public_key[:-1], claim.secret_key):
        assert judged(replace(claim, public_key=data)).startswith("KEY: ")
    for data in (b"\x00", claim.secret_key[:-1], claim.public_key):
        assert judged(replace(claim, secret_key=data)).startswith("RELEASE: ")


def test_the_same_claim_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight signers in one process ask about the same ciphertexts; a failure is never kept."""
    check_ciphertexts(honest_claim(), files=FILES)
    wrong = replace(honest_claim(), released=b"\x00" * 128)
    assert judged(wrong) == judged(wrong)
    monkeypatch.setattr(he_check, "_ask", None)
    check_ciphertexts(honest_claim(), files=FILES)


def child_that(program: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the refusal when the child does something else than it should."""
    run = subprocess.run

    def other(_command: list[str], **settings: Any) -> Any:
        return run([sys.executable, "-c", program], **settings)

    monkeypatch.setattr(subprocess, "run", other)
    return judged(replace(honest_claim(), released=b"\x01" * 128))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 11)", "died of SIGSEGV"),
        ("import os; print('key'); raise MemoryError", "ran out of memory or met an error"),
        ("", "gave no answer"),
        ("print('held')", "gave no answer"),
        ("print('key'); print('held')", "gave no answer"),
        ("print('refused'); print('refused {}')", "no clear answer"),
        ("import sys; sys.stdout.buffer.write(bytes(range(256)) * 4000)", "gave no answer"),
    ],
)
def test_a_child_that_dies_or_babbles_is_a_failed_check(
    program: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can crash the library must not be able to pass, nor to take the verifier along."""
    assert reason in child_that(program, monkeypatch)


def test_a_child_that_hangs_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor may anybody keep the verifier waiting."""
    monkeypatch.setattr(he_child, "seconds_for", lambda _size: 1)
    assert "stopped after 2 seconds" in child_that("import time; time.sleep(60)", monkeypatch)


def test_the_child_cannot_take_memory_or_time_without_end() -> None:
    """Its limits are the process's own, set before it reads anything."""
    program = (
        "import resource, secure_fedsa.audit.he_child as c; c._limit(1000);"
        "print(resource.getrlimit(resource.RLIMIT_AS), resource.getrlimit(resource.RLIMIT_CPU));"
        "bytearray(4 * 2**30)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "MemoryError" in done.stderr
    assert done.stdout.startswith("(2147487648, 2147487648) (60, 60)")


def test_the_child_loads_no_more_than_encryption_needs() -> None:
    """Every module is code that hostile bytes may reach; training needs none of it."""
    program = (
        "import secure_fedsa.audit.he_child, secure_fedsa.audit.he_stages, sys;"
        "print([n for n in ('torch', 'opacus', 'opendp', 'sklearn') if n in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.strip() == "[]"


def test_a_request_is_read_as_it_was_written() -> None:
    """The child must judge the claim that the verifier holds, to the byte."""
    claim = honest_claim()
    data = b"".join(he_request.to_parts(claim))
    assert he_request.from_file(BytesIO(data)) == claim
    for bad in (data[:-1], data + b"x", data[1:], b"", data[:40]):
        with pytest.raises(DataError):
            he_request.from_file(BytesIO(bad))


def test_what_is_withheld_is_not_asked_for() -> None:
    """With nothing published there is nothing to decrypt, and the receipt says whose word it is."""
    verdict = verify(Forgery("nothing").build())
    assert "homomorphic-sum" not in verdict.recomputed
    assert {"claim": "decryption", "by": ["aggregator", "key-holder"]} in verdict.attested
