"""What follows from what in a run folder, so that a forger's one lie stands alone.

Two ways. A hash is a text that stands in many places: when what it names changes, every place
that has the old text gets the new one. A value that is computed (:mod:`.computed`) stands in one
place: it is computed anew if the forger left it alone.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.protocols.bench import computed, formulas
from tests.protocols.bench.resigning import ILL_FORMED, Letter, Run, encoded, same

Json = Any
Step = Callable[[Run, Run], None]


def rebuilt(run: Run) -> dict[str, bytes]:
    """Return the files of a run, with all that follows from what was changed in it."""
    settle(run)
    files = run.rendered()
    run.after(files)
    return files


def settle(run: Run) -> None:
    """Derive anew what follows from what was changed; steps in ``run.skipped`` do not."""
    origin = run.origin
    assert origin is not None
    alone = computed.untouched(run, origin)
    for name, step in STEPS.items():
        if name not in run.skipped and step is not None:
            with suppress(*ILL_FORMED):
                step(run, origin)
        for place in [one for one in alone if one.startswith(f"{name}:")]:
            with suppress(*ILL_FORMED):
                container, key = alone[place]
                value = computed.value(place, run)
                if not computed.alike(container[key], value):
                    container[key] = value


def _encoder(run: Run, origin: Run) -> None:
    file = "student/encoder.safetensors"
    encoder = run.terms["encoder"]
    if encoder["sha256"] == formulas.sha256(origin.files[file]):
        encoder["sha256"] = formulas.sha256(run.files[file])


def _keys(run: Run, origin: Run) -> None:
    for name, party in run.terms["parties"].items():
        if name in origin.keys and party["key"] == formulas.public(origin.keys[name]):
            party["key"] = formulas.public(run.keys[name])


def _agreement(run: Run, origin: Run) -> None:
    now = formulas.content(run.terms)
    signatures, honest = run.terms["signatures"], origin.terms["signatures"]
    for name in run.terms["parties"]:
        renamed = name not in honest and signatures.get(name) in honest.values()
        if renamed or signatures.get(name) == honest.get(name):
            signatures[name] = formulas.sign(run.keys[name], "agreement", now)
    before = origin.once("agreement", lambda of: formulas.content(of.terms))
    run.replace({formulas.digest("agreement", before): formulas.digest("agreement", now)})


def _run_id(run: Run, origin: Run) -> None:
    def found(of: Run) -> str:
        agreement = formulas.digest("agreement", formulas.content(of.terms))
        nonces = {
            letter.header["sender"]: base64.b64decode(letter.body["nonce"])
            for letter in of.of("nonce")
        }
        return formulas.run_id(agreement, nonces)

    run.replace({origin.once(found.__qualname__, found): found(run)})


def _proof(run: Run, origin: Run) -> None:
    """Nobody can prove the honest modulus for another run: a forger takes its own."""
    body, before = run.one("query-key").body, origin.one("query-key").body
    if before["proof"] and run.run_id != origin.run_id and same(body, before):
        p, q = run.primes
        student = run.one("query-key").header["sender"]
        body["modulus"] = formulas.b64((p * q).to_bytes(-(-(p * q).bit_length() // 8), "big"))
        body["proof"] = [formulas.b64(each) for each in formulas.prove(p, q, run.run_id, student)]


def _keys_hash(run: Run, origin: Run) -> None:
    def found(of: Run) -> str:
        sealing = {
            letter.header["sender"]: base64.b64decode(letter.body["sealing_key"])
            for letter in of.of("keys")
        }
        query = of.one("query-key").body
        feature = base64.b64decode(of.one("feature-key").body["public_key"])
        modulus = base64.b64decode(query["modulus"])
        return formulas.keys_hash(of.run_id, sealing, feature, modulus, query["query_hash"])

    def key_id(of: Run) -> str:
        return formulas.sha256(base64.b64decode(of.one("feature-key").body["public_key"]))

    run.replace({origin.once(found.__qualname__, found): found(run)})
    run.replace({origin.once("key_id", key_id): key_id(run)})


def _ledgers(run: Run, origin: Run) -> None:
    """Entries get their hashes, one after the other; new ones stand for theirs with an @."""
    known = {entry["hash"] for letter in origin.of("ledger") for entry in letter.body["entries"]}
    for letter in run.of("ledger"):
        for entry in letter.body["entries"]:
            with suppress(*ILL_FORMED):
                stated, true = entry["hash"], formulas.entry_hash(entry)
                if stated in known or stated.startswith("@"):
                    run.replace({stated: true})


def _rosters(run: Run, origin: Run) -> None:
    for letter in run.of("roster"):
        if letter.was is not None:
            old = formulas.roster_hash(origin.run_id, letter.was["body"])
            run.replace({old: formulas.roster_hash(run.run_id, letter.body)})


def _sum_hash(run: Run, origin: Run) -> None:
    def found(of: Run) -> str:
        return formulas.sha256(base64.b64decode(of.one("sum").body["ciphertext"]))

    run.replace({origin.once(found.__qualname__, found): found(run)})


def _student(run: Run, origin: Run) -> None:
    before = origin.once("student", lambda of: formulas.student_hash(of.files))
    run.replace({before: formulas.student_hash(run.files)})


def _uploads(run: Run, origin: Run) -> None:
    """Sign the uploads, whose hashes the sum names."""
    assert origin is not run
    _sign_named(run, run.of("upload"))


def _opened(run: Run, origin: Run) -> None:
    """Sign what brought the student its values, whose hash the result names."""
    assert origin is not run
    _sign_named(run, [*run.of("release"), *run.of("sealed-sum")])


def _sign_named(run: Run, letters: list[Letter]) -> None:
    """Sign messages and replace their hashes wherever they are named."""
    _sign(run, letters)
    run.replace(
        {
            formulas.digest("envelope", letter.was["header"]): formulas.digest(
                "envelope", letter.header
            )
            for letter in letters
            if letter.was is not None
        }
    )


def _signatures(run: Run, origin: Run) -> None:
    assert origin is not run
    _sign(run, run.letters)


def _sign(run: Run, letters: list[Letter]) -> None:
    for letter in letters:
        with suppress(*ILL_FORMED):
            _sign_one(run, letter)


def _sign_one(run: Run, letter: Letter) -> None:
    header, was = letter.header, letter.was
    shown = "body" in letter.value and header.get("class") != "sealed"
    if shown and (was is None or header["body_sha256"] == was["header"]["body_sha256"]):
        header["body_sha256"] = formulas.sha256(encoded(letter.body))
    if was is None or letter.value.get("signature") == was["signature"]:
        key = run.keys.get(header.get("sender"), next(iter(run.keys.values())))
        letter.value["signature"] = formulas.sign(key, "envelope", header)


def _log(run: Run, origin: Run) -> None:
    for line, before in zip(run.log, origin.log, strict=False):
        if line["hash"] == before["hash"]:
            line["hash"] = formulas.log_hash(line)


def _ledger_files(run: Run, origin: Run) -> None:
    """Files of messages that came follow, and files of messages that went go."""
    sent = {f"ledger-{letter.header['sender']}.jsonl" for letter in run.of("ledger")}
    for file in set(origin.ledgers) - sent:
        run.ledgers.pop(file, None)
    for file in sent - set(origin.ledgers) - set(run.ledgers):
        run.ledgers[file] = computed.ledger_lines(run, file)


def _root(run: Run, origin: Run) -> None:
    def found(of: Run) -> str:
        hashes = [formulas.digest("envelope", letter.header) for letter in of.letters]
        return formulas.digest("transcript", sorted(hashes))

    run.replace({origin.once(found.__qualname__, found): found(run)})


STEPS: dict[str, Step | None] = {
    "encoder": _encoder,
    "keys": _keys,
    "agreement": _agreement,
    "planned": None,
    "run-id": _run_id,
    "proof": _proof,
    "keys-hash": _keys_hash,
    "ledgers": _ledgers,
    "rosters": _rosters,
    "summed": None,
    "sum-hash": _sum_hash,
    "student": _student,
    "uploads": _uploads,
    "opened": _opened,
    "signatures": _signatures,
    "logged": None,
    "log": _log,
    "ledger-files": _ledger_files,
    "summary": None,
    "root": _root,
    "claims": None,
}
"""In order. After each, the computed values whose place is named ``step:…`` follow."""
