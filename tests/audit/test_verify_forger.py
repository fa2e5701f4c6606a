"""A run that never happened, made by one forger who has all keys; and what gives it away."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.audit.verify import CHECKED, UNCHECKED, verify_folder
from secure_fedsa.cli.main import main
from secure_fedsa.encryption import ciphertexts, keys
from secure_fedsa.encryption.interface import bfv_parameters
from secure_fedsa.encryption.paillier import generate_paillier
from secure_fedsa.entropy import secret_bytes
from secure_fedsa.errors import VerificationError
from secure_fedsa.signals import Masked, int_array
from secure_fedsa.wire import canonical
from secure_fedsa.wire.keys import IdentityKey, new_sealing_key
from tests.audit.folders import honest, write
from tests.audit.forging import Forgery, verify

INVENTED = 4_242


@cache
def forged_run() -> dict[str, bytes]:
    """Return a folder in which every key, number and model is made up by one person.

    No party ran, no record was read, no noise was drawn, no student was trained.
    """
    forgery = Forgery()
    forgery.identities = {name: IdentityKey.generate() for name in forgery.identities}
    forgery.primes = generate_paillier(2048)
    forgery.terms["title"] = "A study of 40,000 patients"
    for message in forgery.all("nonce"):
        message["body"]["nonce"] = canonical.to_base64(secret_bytes(32))
    for message in forgery.all("keys"):
        message["body"]["sealing_key"] = canonical.to_base64(new_sealing_key()[1])
    for message in forgery.messages:
        if message["header"]["class"] == "sealed":
            message["header"]["body_sha256"] = canonical.sha256(secret_bytes(32))
    for message in forgery.all("ledger"):
        data_set = canonical.sha256(secret_bytes(32))[:32]
        for entry in message["body"]["entries"]:
            entry["data_set"] = data_set
        message["body"]["entries"][0]["previous"] = canonical.sha256(secret_bytes(32))
    for number, name in enumerate(forgery.roster["scores"]):
        forgery.roster["scores"][name] = 0.5 + number / 10
    invented_sum(forgery)
    for name in ("network.safetensors", "head.safetensors"):
        forgery.files[f"student/{name}"] = b"a model that somebody bought"
    forgery.summary["accuracy"]["student"] = 0.99
    return forgery.build("agreement")


def invented_sum(forgery: Forgery) -> None:
    """Encrypt numbers of the forger's choice under the forger's key, and open their sum."""
    parameters = bfv_parameters(forgery.agreement)
    key = keys.generate_feature_key(parameters)
    forgery.body("feature-key")["public_key"] = canonical.to_base64(key.public)
    masked = Masked(int_array(np.full(16, INVENTED)), parameters.plain_modulus)
    for message in forgery.all("upload"):
        upload = ciphertexts.encrypt(parameters, key.public, masked)
        message["body"]["ciphertext"] = canonical.to_base64(upload.ciphertext)
    forgery.body("release")["secret_key"] = canonical.to_base64(key.secret)
    forgery.add_up()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "run", forged_run())


@pytest.fixture
def trust(tmp_path: Path) -> Path:
    """A trust file with the real parties' keys."""
    return trust_file(tmp_path, honest("default").keys)


def trust_file(place: Path, names: dict[str, str]) -> Path:
    path = place / "keys.toml"
    path.write_text("[keys]\n" + "".join(f'{name} = "{key}"\n' for name, key in names.items()))
    return path


def test_a_wholly_forged_run_is_consistent_and_nothing_more(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reader who takes "consistent" for "true" would believe a run that never happened."""
    assert verify_folder(folder).words() == UNCHECKED == "consistent, identities not checked"
    assert main(["verify", str(folder)]) == 0
    text = capsys.readouterr().out
    assert "\n  consistent, identities not checked\n" in text
    assert "anybody can make up all keys and all data" in text
    assert "verified" not in text.lower()
    assert main(["verify", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == "consistent, identities not checked"
    assert said["identities_checked"] is False
    assert "verified" not in json.dumps(said).lower()
    attested = {claim["claim"] for claim in said["attested"]}
    assert {"data-was-real", "noise-was-drawn", "selection", "accuracy"} <= attested
    assert not attested & set(said["recomputed"])


def test_the_real_keys_give_a_forgery_away(
    folder: Path, trust: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Keys that a reader knows from elsewhere are all that names an institution."""
    assert main(["verify", str(folder), "--trust", str(trust)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "agreement.toml: parties.aggregator.key: is not the key" in said.err
    assert main(["verify", str(folder), "--trust", str(trust), "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["verdict"] == "failed"
    assert json.loads(said.out)["file"] == "agreement.toml"


def test_every_party_must_be_known(folder: Path) -> None:
    """One unknown party is enough to invent: a sum needs only that the others look real."""
    real = honest("default")
    known = real.keys
    assert verify(real.files, {**known, "somebody-else": "00" * 32}).identities_checked
    for name in known:
        with pytest.raises(VerificationError, match=f"parties.{name}: is not in the trust file"):
            verify(real.files, {other: key for other, key in known.items() if other != name})
        with pytest.raises(VerificationError, match=f"parties.{name}.key: is not the key"):
            verify(real.files, {**known, name: "00" * 32})
    with pytest.raises(VerificationError, match="is not in the trust file"):
        verify_folder(folder, {})


def test_checked_identities_are_said_with_their_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which keys were trusted is part of the verdict."""
    real = honest("default")
    folder, trust = real.write(tmp_path / "run"), trust_file(tmp_path, real.keys)
    assert main(["verify", str(folder), "--trust", str(trust)]) == 0
    assert f"\n  {CHECKED} {trust}\n" in capsys.readouterr().out
    assert main(["verify", str(folder), "--trust", str(trust), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["verdict"] == f"consistent, identities checked against {trust}"
    assert said["identities_checked"] is True


# --- all keys but one ------------------------------------------------------------------

PARTIES = ("aggregator", "key-holder", "student", "teacher-1")


def without_key(party: str) -> Forgery:
    """Return an honest run in the hands of everybody but one party."""
    forgery = Forgery()
    forgery.identities[party] = IdentityKey.generate()
    return forgery


def with_own_messages(forgery: Forgery, party: str) -> dict[str, bytes]:
    """Return the forged files, with that party's messages as it really signed them."""
    files = forgery.build("summary")
    for message in forgery.messages:
        if message["header"]["sender"] == party:
            files[forgery.name(message)] = honest("default").files[forgery.name(message)]
    return forgery.receipt(files)


@pytest.mark.parametrize("honest_party", PARTIES)
def test_one_honest_party_is_enough_against_a_new_run(honest_party: str) -> None:
    """The others can neither sign its messages for another run id, nor leave them out."""
    forgery = without_key(honest_party)
    forgery.primes = generate_paillier(2048)
    other = "aggregator" if honest_party == "teacher-1" else "teacher-1"
    forgery.body("nonce", other)["nonce"] = canonical.to_base64(secret_bytes(32))
    files = forgery.build("run")
    with pytest.raises(VerificationError, match=r"does not verify|of no party"):
        verify(files, honest("default").keys)
    for name, data in honest("default").files.items():
        if name.startswith(f"transcript/{honest_party}-"):
            files[name] = data
    forgery.signers = tuple(name for name in forgery.signers if name != honest_party)
    with pytest.raises(VerificationError, match=r"another run|does not verify"):
        verify(forgery.receipt(files), honest("default").keys)


@pytest.mark.parametrize("honest_party", ["aggregator", "key-holder", "teacher-1"])
def test_each_signer_has_a_veto(honest_party: str) -> None:
    """Even a made-up accuracy needs every signer, and each checked before it signed."""
    forgery = without_key(honest_party)
    forgery.summary["accuracy"]["student"] = 0.99
    signers = forgery.signers
    files = with_own_messages(forgery, honest_party)
    with pytest.raises(VerificationError, match="of no party"):
        verify(files)
    forgery.signers = tuple(name for name in signers if name != honest_party)
    with pytest.raises(VerificationError, match=f"{honest_party} did not sign it"):
        verify(forgery.receipt(files))


def test_an_honest_student_pins_the_sum_and_the_student() -> None:
    """Its result names the release: all others together cannot show another beside it.

    That the student was built from that sum stays the student's word.
    """
    forgery = without_key("student")
    parameters = bfv_parameters(forgery.agreement)
    public = canonical.from_base64(forgery.body("feature-key")["public_key"])
    masked = Masked(int_array(np.full(16, INVENTED)), parameters.plain_modulus)
    for message in forgery.all("upload"):
        upload = ciphertexts.encrypt(parameters, public, masked)
        message["body"]["ciphertext"] = canonical.to_base64(upload.ciphertext)
    forgery.add_up()
    forgery.build("sum")
    files = with_own_messages(forgery, "student")
    with pytest.raises(VerificationError, match="another sum than that of"):
        verify(files, honest("default").keys)
    honest_files = dict(honest("default").files)
    assert {"claim": "student-training", "by": ["student"]} in verify(honest_files).attested
    honest_files["student/head.safetensors"] = b"another model"
    with pytest.raises(VerificationError, match="signs another student"):
        verify(Forgery().receipt(honest_files))


def test_a_teacher_outside_the_roster_can_be_cut_short_but_not_made_to_speak() -> None:
    """Known limit: who does not sign the receipt cannot keep its later messages in the folder.

    The others can hide that teacher-4 was charged: its own ledger has the charge, the folder
    does not. They cannot let it say anything, nor leave out that it was ready.
    """
    forgery = without_key("teacher-4")
    later = ("ledger", "reply", "blind", "mask-share", "roster-signature", "upload")
    for kind in later:
        for message in [*forgery.all(kind, "teacher-4"), *forgery.all(kind, "", "teacher-4")]:
            forgery.remove(message)
    roster = forgery.roster
    roster["members"] = ["teacher-1", "teacher-2", "teacher-3"]
    del roster["ledger_heads"]["teacher-4"], roster["scores"]["teacher-4"]
    public = canonical.from_base64(forgery.body("feature-key")["public_key"])
    parameters = bfv_parameters(forgery.agreement)
    masked = Masked(int_array(np.full(16, INVENTED)), parameters.plain_modulus)
    for message in forgery.all("upload"):
        upload = ciphertexts.encrypt(parameters, public, masked)
        message["body"]["ciphertext"] = canonical.to_base64(upload.ciphertext)
    forgery.add_up()
    forgery.build("signatures")
    verdict = verify(with_own_messages(forgery, "teacher-4"), honest("default").keys)
    assert "teacher-4" not in [signer.party for signer in verdict.signers]
    assert "teacher-4" not in verdict.facts.charged
    forgery.remove(forgery.message("ready", "teacher-4"))
    with pytest.raises(VerificationError, match="no ready of teacher-4"):
        verify(with_own_messages(forgery, "teacher-4"))
