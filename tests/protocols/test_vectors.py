"""protocols/v1/vectors against the package: what the text says, byte for byte.

Bad cases are named by what is wrong with them; a test that accepts one fails by that name. The
reference verifier sees the same files in test_reference.py.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secure_fedsa import release_log
from secure_fedsa.agreement import parse
from secure_fedsa.audit.agreed import check_agreement
from secure_fedsa.audit.evidence import InMemory
from secure_fedsa.encryption import masks, paillier, scoring
from secure_fedsa.encryption.fixed_point import centre
from secure_fedsa.encryption.parameters import BfvParameters, proved_noise_budget_bits
from secure_fedsa.encryption.query_proof import (
    VerifiedModulus,
    challenges,
    verify_modulus,
    verify_query,
)
from secure_fedsa.errors import (
    AgreementError,
    PrivacyParameterError,
    SecureFedsaError,
    VerificationError,
)
from secure_fedsa.messages import Roster
from secure_fedsa.planning import plan
from secure_fedsa.privacy.accountant import epsilon_from_rho, rho_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import events_from_list, events_to_list
from secure_fedsa.privacy.ledger_books import replay, verify_segment
from secure_fedsa.privacy.mechanisms import count_unit, plan_release
from secure_fedsa.report.receipt import open_receipt, transcript_root
from secure_fedsa.roles.rosters import roster_hash_of
from secure_fedsa.roles.session import run_id_of
from secure_fedsa.selection import choose
from secure_fedsa.signals import SummaryShape
from secure_fedsa.wire import bodies, canonical, keys
from secure_fedsa.wire.agreement_signatures import verify_signatures
from secure_fedsa.wire.envelope import DOMAIN, Header
from tests.protocols import make_vectors
from tests.protocols.bench.honest_runs import VECTORS

Json = Any


def cases(name: str) -> list[Json]:
    """Return the cases of a file of derivations."""
    content = json.loads((VECTORS / "derivations" / f"{name}.json").read_text("utf-8"))
    assert content["source"]
    listed: list[Json] = content["cases"]
    assert len({case["name"] for case in listed}) == len(listed)
    return listed


def judged(case: Json, check: Callable[[], object]) -> None:
    """Expect a good case to pass, and a bad one to be refused in the package's own words."""
    if case["good"]:
        check()
        return
    try:
        check()
    except SecureFedsaError:
        return
    pytest.fail(f"accepted: {case['name']}")


def b64(text: str) -> bytes:
    """Return the bytes of base64."""
    return base64.b64decode(text, validate=True)


@pytest.mark.parametrize("part", ["derivations", "agreements"])
def test_vectors_are_those_that_the_generator_makes(part: str) -> None:
    """Vectors that were changed by hand, or a generator that changed, would say other things."""
    folder = VECTORS / part
    made = getattr(make_vectors, part)()
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == set(made)
    for name, text in made.items():
        assert (folder / name).read_bytes() == text.encode(), name


def test_canonical_json() -> None:
    """A reader that takes two spellings takes two files for one."""
    for case in cases("canonical-json"):
        data = bytes.fromhex(case["bytes"])
        judged(case, partial(canonical.decode, data))


def test_base64() -> None:
    """The same of bytes inside a message."""
    for case in cases("base64"):
        judged(case, partial(canonical.from_base64, case["text"]))
        if case["good"]:
            assert canonical.from_base64(case["text"]).hex() == case["bytes"]
            assert canonical.to_base64(bytes.fromhex(case["bytes"])) == case["text"]


def test_digests() -> None:
    """A hash under another domain would let one thing be taken for another."""
    for case in cases("digests"):
        assert canonical.digest(case["domain"], case["value"]) == case["hash"]
        assert canonical.sha256(bytes.fromhex(case["hashed"])) == case["hash"]


def test_envelopes() -> None:
    """Other signed bytes, and no two implementations could read each other's messages."""
    for case in cases("envelopes"):
        header = Header.from_json(case["header"])
        assert header.to_json() == case["header"]
        assert canonical.sha256(bytes.fromhex(case["body_bytes"])) == header.body_sha256
        data = canonical.encode(header.to_json())
        assert bytes.fromhex(case["signed"]).endswith(data)
        identity = keys.IdentityKey.from_bytes(bytes.fromhex(case["private_key"]))
        assert identity.public.hex() == case["public_key"]
        assert canonical.digest(DOMAIN, header.to_json()) == case["hash"]
        signature = b64(case["signature"])
        assert (identity.sign(DOMAIN, data) == signature) == case["good"]
        judged(case, partial(keys.verify, identity.public, signature, DOMAIN, data, party=""))


def test_run_keys_query_and_roster() -> None:
    """Parties that compute other ids refuse each other, and nobody knows why."""
    for case in cases("run-keys-query-roster"):
        run_id = run_id_of(case["agreement"], {n: b64(v) for n, v in case["nonces"].items()})
        assert run_id == case["run_id"]
        query = [canonical.sha256(b64(text)) for text in case["query"]]
        assert canonical.digest("secure-fedsa/v1/query", query) == case["query_hash"]
        roster = bodies.from_json(Roster, case["roster"])
        assert roster_hash_of(roster, run_id) == case["roster_hash"]
        assert roster.keys_hash == case["keys_hash"]


def test_noise() -> None:
    """A planned event that differs in the last bit is another charge, and refused."""
    for case in cases("noise"):
        privacy = case["privacy"]
        event = plan_release(
            SummaryShape(case["classes"], case["dimension"]),
            grid=privacy["grid"],
            count_unit=count_unit(privacy["grid"], float(privacy["count_weight"])),
            neighbours=privacy["neighbours"],
            noise_multiplier=privacy["noise_multiplier"],
            max_records=privacy["max_records"],
        )
        assert (event,) == events_from_list([case["event"]]), case["name"]
        assert rho_of([event]) == case["rho"]
        assert epsilon_from_rho(case["rho"], privacy["delta"]) == pytest.approx(
            case["epsilon"], rel=1e-9
        )


def test_scores() -> None:
    """A score modulus that is too small wraps scores; one that is too large shows more bits."""
    for case in cases("score-bounds"):
        assert case["bound"] == case["values"] * (2 ** (case["bits"] - 1) - 1) ** 2
        assert scoring.score_modulus(case["bound"], 3072) == case["modulus"]
    for case in cases("blinded-scores"):
        score = scoring.open_score(
            case["blinded"],
            case["blind"],
            score_bound=case["score_bound"],
            modulus_of_scores=case["score_modulus"],
        )
        assert score == case["score"], case["name"]


def test_selection() -> None:
    """Ties that are broken in another way are another roster."""
    for case in cases("selection"):
        chosen = choose(case["scores"], select=case["select"], threshold=case["threshold"])
        assert list(chosen) == case["members"], case["name"]


def test_masks() -> None:
    """Masks that differ in one value do not cancel, and the sum is noise."""
    for case in cases("masks"):
        context = masks.MaskContext(case["run_id"], "features", case["roster_hash"])
        first, second = bytes.fromhex(case["sent_by_first"]), bytes.fromhex(case["sent_by_second"])
        pair = {case["first"]: first, case["second"]: second}
        for own, peer in ((case["first"], case["second"]), (case["second"], case["first"])):
            seed = masks.pair_seed(
                context, own=own, own_value=pair[own], peer=peer, peer_value=pair[peer]
            )
            assert seed.hex() == case["seed"]
        expected = [int(text) for text in case["residues"]]
        stream = masks.mask_stream(seed, len(expected), case["plain_modulus"])
        assert stream.tolist() == expected, case["name"]


def test_mask_values() -> None:
    """A value of zeros or one's own would make a mask that others can guess."""
    context = masks.MaskContext("run", "features", "roster")
    for case in cases("mask-values"):
        own, received = bytes.fromhex(case["own"]), bytes.fromhex(case["received"])
        judged(
            case,
            partial(
                masks.pair_seed, context, own="a", own_value=own, peer="b", peer_value=received
            ),
        )


def test_residues() -> None:
    """A representative on the wrong side turns a small negative sum into a huge one."""
    for case in cases("residues"):
        found = centre(np.array([case["residue"]], dtype=np.int64), case["plain_modulus"])
        assert found.tolist() == [case["centred"]]
        assert found.astype("<i8").tobytes().hex() == case["bytes"]


def test_bfv() -> None:
    """Another chain of primes is another scheme."""
    for case in cases("bfv"):
        parameters = BfvParameters(
            case["poly_modulus_degree"], tuple(case["coeff_mod_bit_sizes"]), case["plain_modulus"]
        )
        assert [str(prime) for prime in parameters.coefficient_primes()] == case["primes"]
        for additions, bits in case["noise_budget_bits"].items():
            assert proved_noise_budget_bits(parameters, int(additions)) == pytest.approx(bits)
        bounds = case["bounds"]
        assert [*parameters.object_bounds(polynomials=2)] == bounds["ciphertext"]
        assert [*parameters.object_bounds(polynomials=2, key=True)] == bounds["public_key"]
        assert [*parameters.object_bounds(polynomials=1, key=True)] == bounds["secret_key"]


def test_release_log_student_and_transcript() -> None:
    """Hashes that nobody else gets fix nothing."""
    for case in cases("release-log"):
        content = {name: value for name, value in case["line"].items() if name != "hash"}
        assert canonical.digest(release_log.DOMAIN, content) == case["line"]["hash"]
    student, transcript = cases("student-and-transcript")
    files = {name: canonical.sha256(bytes.fromhex(data)) for name, data in student["files"].items()}
    parts = {Path(name).name.partition(".")[0]: digest for name, digest in files.items()}
    digest = canonical.digest("secure-fedsa/v1/student", parts)
    assert digest == student["student_sha256"]
    assert transcript_root(transcript["hashes"]) == transcript["transcript_root"]


def test_receipts() -> None:
    """A receipt that can be read in two ways says two things."""
    for case in cases("receipts"):
        data = bytes.fromhex(case["receipt"])
        judged(case, partial(open_receipt, data, case["keys"]))


def test_query_moduli() -> None:
    """Under a malformed modulus one reply shows a teacher's whole signal."""
    *listed, first = cases("query-moduli")
    for case in listed:
        modulus = int.from_bytes(b64(case["modulus"]), "big")

        def check(case: Json = case, modulus: int = modulus) -> None:
            bits = case["query_modulus_bits"]
            if len(b64(case["modulus"])) != bits // 8:
                raise VerificationError("query-key", "wrong length")  # as the verifier does
            roots = [paillier.residue_from_bytes(b64(text), modulus) for text in case["proof"]]
            verify_modulus(
                modulus, roots, run_id=case["run_id"], student=case["student"], bits=bits
            )

        judged(case, check)
    modulus = int.from_bytes(b64(listed[0]["modulus"]), "big")
    found = challenges(modulus, run_id=listed[0]["run_id"], student=listed[0]["student"])
    assert [base64.b64encode(each.to_bytes(256, "big")).decode() for each in found] == first[
        "challenges"
    ]


def test_query_ciphertexts() -> None:
    """Numbers that are no units give replies that are not uniform."""
    content = json.loads((VECTORS / "derivations" / "query-ciphertexts.json").read_text("utf-8"))
    modulus = VerifiedModulus(int.from_bytes(b64(content["modulus"]), "big"))
    for case in content["cases"]:
        number = int.from_bytes(b64(case["ciphertext"]), "big")
        judged(case, partial(verify_query, modulus, [number], values=1, student="student"))


def test_ledger_segments() -> None:
    """A segment that is taken for sound hides a charge."""
    for case in cases("ledger-segments"):
        judged(case, partial(verify_segment, case["entries"]))


def test_trainings() -> None:
    """Who composes them in another way refuses honest runs, or takes dear ones for cheap."""
    for case in cases("trainings"):
        amount = Amount.of(events_from_list(case["events"]))
        assert events_to_list(amount.trainings) == case["merged"], case["name"]
        if case["epsilon"] is None:
            with pytest.raises(PrivacyParameterError):
                amount.epsilon(case["delta"])
        else:
            found = amount.epsilon(case["delta"])
            assert found == pytest.approx(case["epsilon"], rel=1e-6), case["name"]


def test_amounts() -> None:
    """What a new version of a data set inherits decides whether it may be used again."""
    for case in cases("amounts"):
        judged(case, partial(Amount.from_json, case["amount"]))
        if case["good"]:
            amount = Amount.from_json(case["amount"])
            assert amount.to_json() == case["amount"]
            _spent(amount, case, case["delta"])


def test_inheritance() -> None:
    """People who are in both versions of a data set spend once for both."""
    for case in cases("inheritance"):
        judged(case, partial(replay, [case["entry"]]))
        if case["good"]:
            _spent(replay([case["entry"]]).spent(), case, case["entry"]["body"]["delta"])


def _spent(amount: Amount, case: Json, delta: float) -> None:
    expected = math.inf if case["epsilon"] is None else case["epsilon"]
    if expected:  # an amount of nothing has no epsilon to state
        assert amount.epsilon(delta) == pytest.approx(expected, rel=1e-6), case["name"]
    else:
        assert amount == Amount(), case["name"]


AGREEMENTS = json.loads((VECTORS / "agreements" / "cases.json").read_text("utf-8"))["cases"]


@pytest.mark.parametrize("case", AGREEMENTS, ids=lambda case: case["file"])
def test_agreements(case: Json) -> None:
    """Who signs an agreement relies on every clause being kept, and refused by its name."""
    text = (VECTORS / "agreements" / case["file"]).read_bytes()
    if case["good"]:
        agreement = parse(text.decode())
        plan(agreement)
        verify_signatures(agreement)
        if agreement.simulation:
            with pytest.raises(VerificationError, match="simulation"):
                check_agreement(InMemory({"agreement.toml": text}))
        else:
            check_agreement(InMemory({"agreement.toml": text}))
        return
    with pytest.raises(VerificationError) as refused:
        check_agreement(InMemory({"agreement.toml": text}))
    assert refused.value.file == "agreement.toml"
    if case["rule"] != "B1":  # what is no TOML has no clauses
        with pytest.raises(AgreementError) as unkept:
            plan(parse(text.decode()))
        named, clause = unkept.value.clause, case["clause"]
        assert clause in ("", named) or clause.startswith(f"{named}."), str(unkept.value)
