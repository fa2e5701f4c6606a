"""Vectors of ids, noise, scores and records.

Expected values come from :mod:`tests.protocols.bench.formulas`, which is written from the text;
bad cases are written by hand. Everything here is made of fixed inputs, so it repeats.
"""

from __future__ import annotations

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import b64, digest, sha256
from tests.protocols.cases.given import AGREEMENT, RUN, File, Json, named


def opening() -> File:
    """Run id, hash of all keys, query hash and roster hash."""
    names = ["aggregator", "key-holder", "student", "teacher-1", "teacher-2", "teacher-3"]
    nonces = {name: named(f"nonce of {name}") for name in names}
    sealing = {name: named(f"sealing key of {name}") * 38 for name in names}
    feature, modulus = b"none", b"none"
    ciphertexts = [number.to_bytes(8, "big", signed=True) for number in (5, -7, 0)]
    query = digest("query", [sha256(data) for data in ciphertexts])
    run = formulas.run_id(AGREEMENT, nonces)
    keys = formulas.keys_hash(run, sealing, feature, modulus, query)
    roster = {
        "number": 1,
        "members": names[3:],
        "keys_hash": keys,
        "query_hash": query,
        "ledger_heads": {name: sha256(name.encode()) for name in names[3:]},
        "scores": {"teacher-1": 0.25, "teacher-2": -3, "teacher-3": 1e-7},
    }
    return {
        "source": "derivations.md, 1",
        "cases": [
            {
                "name": "six parties without encryption",
                "agreement": AGREEMENT,
                "nonces": {name: b64(data) for name, data in nonces.items()},
                "run_id": run,
                "sealing_keys": {name: b64(data) for name, data in sealing.items()},
                "feature_key": b64(feature),
                "modulus": b64(modulus),
                "query": [b64(data) for data in ciphertexts],
                "query_hash": query,
                "keys_hash": keys,
                "roster": roster,
                "roster_hash": formulas.roster_hash(run, roster),
            }
        ],
    }


def noise() -> File:
    """Planned events, rho and epsilon."""
    cases: list[Json] = []
    variants: dict[str, dict[str, Json]] = {
        "the text's example": {},
        "replace-one": {"neighbours": "replace-one"},
        "replace-one, where one vector moves more than two": {
            "neighbours": "replace-one",
            "count_weight": 2.0,
        },
        "persons of eight records": {"max_records": 8},
        "persons of eight records, replaced": {"max_records": 8, "neighbours": "replace-one"},
        "count unit rounded to even": {"grid": 2, "count_weight": 1.25},
        "count unit at least 1": {"grid": 2, "count_weight": 0.01},
        "largest grid": {"grid": 2**24, "count_weight": 0.3},
        "little noise": {"noise_multiplier": 0.5},
        "much noise": {"noise_multiplier": 300.0, "delta": 1e-9},
        "more classes than moved": {"classes": 12, "neighbours": "replace-one"},
    }
    for name, changes in variants.items():
        privacy: Json = {
            "neighbours": "add-remove",
            "max_records": 1,
            "grid": 65_536,
            "count_weight": 0.25,
            "noise_multiplier": 4.05,
            "delta": 1e-5,
        } | {entry: value for entry, value in changes.items() if entry != "classes"}
        classes = changes.get("classes", 3)
        terms = {
            "privacy": privacy,
            "encoder": {"dimension": 5},
            "parties": {"t": {"classes": [str(number) for number in range(classes)]}},
        }
        event = formulas.planned_event(terms, "t")
        cost = formulas.rho([event])
        cases.append(
            {
                "name": name,
                "privacy": privacy,
                "classes": classes,
                "dimension": 5,
                "event": event,
                "rho": cost,
                "epsilon": formulas.epsilon(cost, privacy["delta"]),
            }
        )
    one = cases[0]
    assert (one["event"]["sensitivity"], one["event"]["noise_scale"], one["rho"]) == (
        67552.96257011975,
        273589.49840898503,
        0.030483158055174507,
    )
    return {"source": "derivations.md, 2; events exactly, epsilon to 1e-9", "cases": cases}


def scores() -> File:
    """Score bound and modulus, blinded scores, selection."""
    moduli = []
    for values, bits in ((136, 16), (3, 12), (1, 4), (528, 16), (136, 24)):
        bound = values * (2 ** (bits - 1) - 1) ** 2
        moduli.append(
            {
                "name": f"{values} values of {bits} bits",
                "values": values,
                "bits": bits,
                "bound": bound,
                "modulus": 2 ** (4 * bound).bit_length(),
            }
        )
    return {"source": "derivations.md, 4", "cases": moduli}


def blinded_scores() -> File:
    """What the key holder reads of a blinded score."""
    modulus, bound = 2**40, 136 * 32767**2
    cases = []
    for name, score, blind in (
        ("positive", 12_345, 7),
        ("negative", -12_345, 7),
        ("blind above the score", 5, modulus - 1),
        ("at the bound", bound, 99),
        ("at minus the bound", -bound, 99),
        ("beyond the bound", bound + 1, 99),
        ("far beyond", modulus // 2 - 1, 0),
        ("half the modulus is negative", modulus // 2, 0),
    ):
        inside = abs(score) <= bound
        cases.append(
            {
                "name": name,
                "score_modulus": modulus,
                "score_bound": bound,
                "blinded": (score + blind) % modulus,
                "blind": blind,
                "score": score if inside else None,
            }
        )
    return {"source": "derivations.md, 4.1", "cases": cases}


def selection() -> File:
    """Who is selected."""

    def best(shown: dict[str, float], select: int, threshold: float) -> list[str]:
        above = [name for name in shown if shown[name] >= threshold]
        return sorted(sorted(above, key=lambda name: (-shown[name], name))[:select])

    cases = [
        {
            "name": name,
            "scores": shown,
            "select": select,
            "threshold": threshold,
            "members": best(shown, select, threshold),
        }
        for name, shown, select, threshold in (
            ("the best", {"a": 0.9, "b": 0.1, "c": 0.7, "d": 0.8}, 3, -1.0),
            ("ties by name", {"d": 0.5, "c": 0.5, "b": 0.5, "a": 0.1}, 2, 0.0),
            ("at the threshold", {"a": 0.25, "b": 0.2499999, "c": 1.0}, 3, 0.25),
            ("fewer than asked", {"a": -5.0, "b": 2.0}, 2, 0.0),
            ("nobody", {"a": -5.0}, 1, 0.0),
            ("no scores", {}, 3, 0.0),
            ("names as text", {"t-10": 1.0, "t-2": 1.0, "t-1": 1.0}, 2, 0.0),
        )
    ]
    return {"source": "derivations.md, 5", "cases": cases}


def release_log() -> File:
    """Lines of a release log."""
    body = {
        "run_id": RUN,
        "agreement": AGREEMENT,
        "roster_hash": sha256(b"roster"),
        "members": ["a", "b", "c"],
        "data_sets": {name: sha256(name.encode())[:32] for name in "abc"},
        "sum_hash": sha256(b"sum"),
        "signal_ids": {name: sha256(name.encode()) for name in "abc"},
    }
    first = {"position": 0, "previous": "0" * 64, "body": body}
    later = {"position": 3, "previous": sha256(b"line 2"), "body": body}
    return {
        "source": "derivations.md, 8",
        "cases": [
            {"name": name, "line": {**line, "hash": formulas.log_hash(line)}}
            for name, line in (("the first line", first), ("a later line", later))
        ],
    }


def student_and_transcript() -> File:
    """The student's hash, and the root of a transcript."""
    files = {
        f"student/{name}": name.encode()
        for name in ("network.safetensors", "architecture.json", "head.safetensors")
    }
    hashes = [sha256(f"message {number}".encode()) for number in range(5)]
    return {
        "source": "derivations.md, 9 and 10",
        "cases": [
            {
                "name": "a student of three small files",
                "files": {name: data.hex() for name, data in files.items()},
                "student_sha256": formulas.student_hash(files),
            },
            {
                "name": "five messages in no order",
                "hashes": hashes,
                "transcript_root": digest("transcript", sorted(hashes)),
            },
        ],
    }
