"""Vectors of receipts.

Expected values come from :mod:`tests.protocols.bench.formulas`, which is written from the text;
bad cases are written by hand. Everything here is made of fixed inputs, so it repeats.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import b64, canonical, sha256
from tests.protocols.cases.given import AGREEMENT, RUN, File, Json


def receipts() -> File:
    """DSSE's encoding and a receipt's signatures."""
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "summary.json", "digest": {"sha256": sha256(b"{}")}}],
        "predicateType": "urn:secure-fedsa:receipt:v1",
        "predicate": {
            "version": 1,
            "agreement": AGREEMENT,
            "run_id": RUN,
            "transcript_root": sha256(b"root"),
            "recomputed": ["file-hashes"],
            "attested": [{"claim": "accuracy", "by": ["aggregator"]}],
        },
    }
    payload = canonical(statement)
    signers = sorted(
        (formulas.known_key(name) for name in ("aggregator", "key-holder")), key=formulas.public
    )
    signatures = [
        {"keyid": formulas.public(key), "sig": b64(key.sign(formulas.pae(payload)))}
        for key in signers
    ]
    envelope = {
        "payload": b64(payload),
        "payloadType": formulas.PAYLOAD_TYPE,
        "signatures": signatures,
    }
    case = {
        "name": "a receipt of two signers",
        "keys": {
            name: formulas.public(formulas.known_key(name)) for name in ("aggregator", "key-holder")
        },
        "pae": formulas.pae(payload).hex(),
        "receipt": canonical(envelope).hex(),
        "good": True,
    }

    def wrong(name: str, change: Callable[[Json], None]) -> Json:
        made = copy.deepcopy(envelope)
        change(made)
        return {**case, "name": name, "receipt": canonical(made).hex(), "good": False}

    def resigned(name: str, change: Callable[[Json], None]) -> Json:
        said = copy.deepcopy(statement)
        change(said)
        data = canonical(said)
        made = {
            **envelope,
            "payload": b64(data),
            "signatures": [
                {"keyid": formulas.public(key), "sig": b64(key.sign(formulas.pae(data)))}
                for key in signers
            ],
        }
        return {**case, "name": name, "receipt": canonical(made).hex(), "good": False}

    bad = [
        wrong("signatures in another order", lambda e: e["signatures"].reverse()),
        wrong("a signature twice", lambda e: e["signatures"].insert(0, e["signatures"][0])),
        wrong("no signature", lambda e: e["signatures"].clear()),
        wrong(
            "keyid in capitals",
            lambda e: e["signatures"][0].update(keyid=e["signatures"][0]["keyid"].upper()),
        ),
        wrong("keyid empty", lambda e: e["signatures"][0].update(keyid="")),
        wrong(
            "keyid of the other signer",
            lambda e: e["signatures"][0].update(keyid=e["signatures"][1]["keyid"]),
        ),
        wrong("signature of 63 bytes", lambda e: e["signatures"][0].update(sig=b64(bytes(63)))),
        wrong("signature of zeros", lambda e: e["signatures"][0].update(sig=b64(bytes(64)))),
        wrong("another payload type", lambda e: e.update(payloadType="application/json")),
        wrong("another member", lambda e: e.update(extra=None)),
        wrong("payload of another alphabet", lambda e: e.update(payload=e["payload"] + "-")),
        resigned(
            "another statement type", lambda s: s.update(_type="https://in-toto.io/Statement/v0.1")
        ),
        resigned(
            "another predicate type",
            lambda s: s.update(predicateType="urn:secure-fedsa:receipt:v2"),
        ),
        resigned("version as text", lambda s: s["predicate"].update(version="1")),
        resigned("version true", lambda s: s["predicate"].update(version=True)),
        resigned("a claim that is empty", lambda s: s["predicate"].update(recomputed=[""])),
        resigned("a claim that is a number", lambda s: s["predicate"].update(recomputed=[1])),
        resigned("claims as text", lambda s: s["predicate"].update(recomputed="file-hashes")),
        resigned("a file twice", lambda s: s["subject"].append(s["subject"][0])),
        resigned("a file without a name", lambda s: s["subject"][0].update(name="")),
        resigned(
            "a file without sha256", lambda s: s["subject"][0].update(digest={"sha512": "00" * 64})
        ),
        resigned("a file with a second hash", lambda s: s["subject"][0]["digest"].update(md5="")),
        resigned("a file with an annotation", lambda s: s["subject"][0].update(annotations={})),
        resigned("a hash of 63 digits", lambda s: s["predicate"].update(run_id=RUN[:63])),
    ]
    return {"source": "derivations.md, 10; DSSE v1.0; verification.md, C", "cases": [case, *bad]}
