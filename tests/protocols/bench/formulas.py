"""Values of protocols/v1/derivations.md, written down once more from the text.

Vectors are made with these, and forged runs are made to fit again with them. They take JSON
values as they stand in files, malformed ones included, so that a lie in one place does not stop
everything else from following it. Nothing here comes from the package's own formulas.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import gmpy2
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PREFIX = "secure-fedsa/v1/"
LEDGER_DOMAIN = "secure-fedsa privacy ledger entry v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
VIEWS = ("other-teachers", "aggregator", "key-holder", "student", "auditor", "all-others-together")
KEY_TEXT = "secure-fedsa test vector key, known to everybody: "
"""Before a party's name: what the published test keys are the SHA-256 of."""
NOISY, TRAINED, OPEN = "noisy-release", "private-training", "encryption-only"
NOTICES: dict[str, str] = json.loads(
    (Path(__file__).resolve().parents[3] / "protocols" / "v1" / "tables.json").read_text("utf-8")
)["notices"]

Json = Any


def canonical(value: Json) -> bytes:
    """Return the canonical JSON (RFC 8785).

    Without fractions and beyond-ASCII keys, JSON with sorted keys is canonical; that is faster.
    """
    if _simple(value):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    return rfc8785.dumps(value)


def _simple(value: Json) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and key.isascii() for key in value) and all(
            map(_simple, value.values())
        )
    if kind is list:
        return all(map(_simple, value))
    return kind is str or value is None or kind is bool or (kind is int and abs(value) < 2**53)


def sha256(data: bytes) -> str:
    """Return a SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest(domain: str, value: Json) -> str:
    """Return the hash of a value under one of our domains (encoding.md, 4)."""
    return sha256((PREFIX + domain).encode() + b"\n" + canonical(value))


def b64(data: bytes) -> str:
    """Return base64."""
    return base64.b64encode(data).decode()


def framed(*parts: bytes) -> bytes:
    """Return every part behind its length, u32."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def known_key(party: str) -> Ed25519PrivateKey:
    """Return a party's published test key."""
    return Ed25519PrivateKey.from_private_bytes(
        hashlib.sha256((KEY_TEXT + party).encode()).digest()
    )


@cache
def known_primes(bits: int = 1024, purpose: str = "query") -> tuple[int, int]:
    """Return two published test primes of a length."""
    found = []
    for name in ("p", "q"):
        seed = f"secure-fedsa test prime, known to everybody: {purpose} {name}"
        start = int.from_bytes(hashlib.shake_256(seed.encode()).digest(bits // 8), "big")
        found.append(int(gmpy2.next_prime(start | 3 << bits - 2)))
    return found[0], found[1]


def public(key: Ed25519PrivateKey) -> str:
    """Return the public key as an agreement names it."""
    return key.public_key().public_bytes_raw().hex()


def signed_bytes(domain: str, value: Json) -> bytes:
    """Return what is signed (encoding.md, 5)."""
    name = (PREFIX + domain).encode()
    return len(name).to_bytes(2, "big") + name + canonical(value)


def sign(key: Ed25519PrivateKey, domain: str, value: Json) -> str:
    """Return a signature as it stands in files."""
    return b64(key.sign(signed_bytes(domain, value)))


def pae(payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding of a receipt's payload."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


# --- the agreement -----------------------------------------------------------------


def content(terms: Json) -> Json:
    """Return an agreement's content from its TOML."""
    kept = {name: value for name, value in terms.items() if name != "signatures"}
    parties = {name: {"classes": [], **party} for name, party in kept["parties"].items()}
    return {**kept, "parties": parties}


def names(terms: Json, role: str) -> list[str]:
    """Return the parties of a role."""
    return sorted(name for name, party in terms["parties"].items() if party["role"] == role)


def feature_values(terms: Json) -> int:
    """Return V."""
    width: int = terms["encoder"]["dimension"]
    answers = terms.get("answers")
    if answers is None:
        return width * (width + 1) // 2 + ("institution_privacy" not in terms)
    count: int = answers["probes"]
    if answers["form"] == "sketch":
        return count * int(answers["width"])
    side = count if answers["form"] == "gram" else width
    return side * (side + 1) // 2


def planned_event(terms: Json, teacher: str) -> dict[str, Any]:
    """Return a teacher's planned event (derivations.md, 2 and 2.1)."""
    route = terms.get("route", NOISY)
    if route == OPEN:
        return {"kind": "no-differential-privacy"}
    if route == TRAINED:
        how = terms["parties"][teacher].get("stated", terms["training"])
        entries = ("noise_multiplier", "sampling_rate", "steps")
        return {"kind": "dp-sgd", **{entry: how[entry] for entry in entries}}
    classes = len(terms["parties"][teacher]["classes"])
    noise = terms["privacy"]["noise_multiplier"]
    return _release(terms["privacy"], noise, classes, terms["encoder"]["dimension"])


def student_event(terms: Json) -> dict[str, Any]:
    """Return the planned event of the student (derivations.md, 2)."""
    own = terms["student_privacy"]
    return _release(terms["privacy"], own["noise_multiplier"], own["classes"], own["directions"])


def shared_rho(terms: Json) -> dict[str, float]:
    """Return the rho of the opened sum for each view of it (derivations.md, 2.5)."""
    own, selection = terms["institution_privacy"], terms["selection"]
    colluding = selection["max_colluding"]
    smallest = max(selection["minimum_cohort"], colluding + 2)
    reach = own["norm_bound"] * (2 if own["neighbours"] == "member-to-any" else 1)
    variance, values = own["share_scale"] ** 2, feature_values(terms)
    found = {}
    for view, shares in (
        ("sum", smallest),
        ("sum-and-colluding", smallest - colluding),
        ("everybody-else", 1),
    ):
        tau = 10 * math.fsum(
            math.exp(-2 * math.pi**2 * variance * i / (i + 1)) for i in range(1, shares)
        )
        found[view] = reach**2 / (2 * shares * variance) + values * tau
    return found


def _release(privacy: Json, noise: Json, classes: int, width: int) -> dict[str, Any]:
    grid, most = privacy["grid"], privacy["max_records"]
    unit = max(1, round(float(privacy["count_weight"]) * grid))
    one = grid**2 + unit**2
    added = privacy["neighbours"] == "add-remove"
    squared = most**2 * (one if added else max(4 * grid**2, 2 * one))
    sensitivity = math.sqrt(float(squared))
    while Fraction(sensitivity) ** 2 < squared:
        sensitivity = math.nextafter(sensitivity, math.inf)
    scale = math.nextafter(float(noise) * sensitivity, math.inf)
    blocks = min((1 if added else 2) * most, classes)
    return {
        "kind": "discrete-gaussian",
        "sensitivity": sensitivity,
        "noise_scale": scale,
        "coordinates": blocks * (width + 1),
    }


def rounded_up(value: Fraction) -> float:
    """Return the least double that is not below a rational number."""
    number = float(value)
    return number if Fraction(number) >= value else math.nextafter(number, math.inf)


def rho(events: Iterable[Json]) -> float:
    """Return the rho of events."""
    each = (Fraction(event["sensitivity"]) / Fraction(event["noise_scale"]) for event in events)
    return rounded_up(sum((Fraction(rounded_up(ratio**2 / 2)) for ratio in each), Fraction(0)))


@cache
def epsilon(cost: float, delta: float) -> float:
    """Return the epsilon of a rho, by ternary search over log(alpha - 1)."""

    def at(u: float) -> float:
        alpha = 1 + math.exp(u)
        return cost * alpha + math.log1p(-1 / alpha) - math.log(delta * alpha) / (alpha - 1)

    low, high = (
        math.log(-math.log(delta) / cost) / 2 - 12,
        math.log(-math.log(delta) / cost) / 2 + 12,
    )
    for _ in range(300):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if at(left) < at(right) else (left, high)
    return max(0.0, at(low))


def merged(trainings: Iterable[Json]) -> list[Json]:
    """Return trainings merged, in order (derivations.md, 2.1)."""
    steps: dict[tuple[float, float], int] = {}
    for event in trainings:
        kind = event["noise_multiplier"], event["sampling_rate"]
        steps[kind] = steps.get(kind, 0) + event["steps"]
    return [
        {"kind": "dp-sgd", "noise_multiplier": noise, "sampling_rate": rate, "steps": count}
        for (noise, rate), count in sorted(steps.items())
    ]


def trained_epsilon(trainings: Iterable[Json], delta: float) -> float:
    """Return the epsilon of trainings."""
    listed = [
        (event["noise_multiplier"], event["sampling_rate"], event["steps"])
        for event in merged(trainings)
    ]
    return _trained_epsilon(tuple(listed), delta)


@cache
def _trained_epsilon(trainings: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from dp_accounting import GaussianDpEvent, NeighboringRelation, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant

    accountant = PLDAccountant(
        NeighboringRelation.ADD_OR_REMOVE_ONE,
        value_discretization_interval=min(1e-3, 0.02 / min(noise for noise, _, _ in trainings)),
    )
    for noise, rate, steps in trainings:
        accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(noise)), steps)
    return float(accountant.get_epsilon(delta - 1e-15 * sum(steps for _, _, steps in trainings)))


def amount_epsilon(amount: Json, delta: float) -> float:
    """Return the epsilon of an amount (derivations.md, 2.2)."""
    if not isinstance(amount, dict):
        return epsilon(amount, delta)
    if amount["unprotected"]:
        return math.inf
    if amount["rho"] == 0:
        return trained_epsilon(amount["trainings"], delta)
    half = delta / 2
    return epsilon(amount["rho"], half) + trained_epsilon(amount["trainings"], half)


# --- the run -----------------------------------------------------------------------


def run_id(agreement: str, nonces: Mapping[str, bytes]) -> str:
    """Return the run id of the parties' nonces."""
    hexed = {party: nonce.hex() for party, nonce in nonces.items()}
    return digest("run", {"agreement": agreement, "nonces": hexed})


def keys_hash(
    run: str, sealing: Mapping[str, bytes], feature: bytes, modulus: bytes, query_hash: Json
) -> str:
    """Return the hash of all keys of a run."""
    return digest(
        "keys",
        {
            "run_id": run,
            "sealing": {party: sha256(key) for party, key in sealing.items()},
            "feature": sha256(feature),
            "query": sha256(modulus),
            "query_hash": query_hash,
        },
    )


def roster_hash(run: Json, body: Json) -> str:
    """Return the hash of a roster's body."""
    return digest("roster", {"run_id": run, "roster": body})


def entry_hash(entry: Mapping[str, Json]) -> str:
    """Return the hash of a ledger entry."""
    rest = {name: value for name, value in entry.items() if name != "hash"}
    return sha256(LEDGER_DOMAIN.encode() + b"\n" + canonical(rest))


def log_hash(line: Mapping[str, Json]) -> str:
    """Return the hash of a release log's line."""
    return digest("release-log", {name: line[name] for name in line if name != "hash"})


def student_hash(files: Mapping[str, bytes]) -> str:
    """Return the student's hash of a run folder's files."""
    parts = {"network": "network.safetensors", "architecture": "architecture.json"}
    parts["head"] = "head.safetensors"
    return digest(
        "student", {part: sha256(files[f"student/{name}"]) for part, name in parts.items()}
    )


def challenges(modulus: int, run: str, student: str) -> list[int]:
    """Return the eight challenges of the proof of a query modulus (derivations.md, 4.2)."""
    bits = modulus.bit_length()
    size, length = -(-bits // 8), -(-(bits + 128) // 8)
    domain = f"{PREFIX}paillier-modulus-proof".encode()
    message = framed(modulus.to_bytes(size, "big"), run.encode(), student.encode())
    message += (8 * length).to_bytes(2, "big") + domain + bytes([len(domain)])
    stream = hashlib.shake_256(message).digest(8 * length)
    return [
        int.from_bytes(stream[start : start + length], "big") % modulus
        for start in range(0, 8 * length, length)
    ]


def prove(p: int, q: int, run: str, student: str) -> list[bytes]:
    """Return the proof of a modulus p q, as bytes; q may be p."""
    modulus, order = p * q, (p - 1) * (q - 1 if q != p else p)
    size = -(-modulus.bit_length() // 8)
    root = int(gmpy2.invert(modulus, order)) if math.gcd(modulus, order) == 1 else 1
    found = [int(gmpy2.powmod(each, root, modulus)) for each in challenges(modulus, run, student)]
    return [each.to_bytes(size, "big") for each in found]


# --- sums --------------------------------------------------------------------------


def mask_seed(run: str, roster: str, first: str, second: str, a: bytes, e: bytes) -> bytes:
    """Return the seed of a pair of members, by HKDF-SHA256 (derivations.md, 6.1)."""
    texts = (f"{PREFIX}pairwise-mask", run, "features", roster, first, second, "first-adds")
    info = framed(*(text.encode() for text in texts))
    key = hmac.digest(bytes(32), a + e, "sha256")
    return hmac.digest(key, info + b"\x01", "sha256")


def mask_words(seed: bytes, count: int) -> list[int]:
    """Return the first words of a mask's stream, before rejection."""
    stream = (
        Cipher(algorithms.AES256(seed), modes.CTR(bytes(16))).encryptor().update(bytes(8 * count))
    )
    return [int.from_bytes(stream[at : at + 8], "little") for at in range(0, 8 * count, 8)]


def residues(data: bytes) -> list[int]:
    """Return values of 8 bytes, little-endian, two's complement."""
    return [
        int.from_bytes(data[at : at + 8], "little", signed=True) for at in range(0, len(data), 8)
    ]


def packed(values: Iterable[int]) -> bytes:
    """Return values as 8 bytes each, little-endian, two's complement."""
    return b"".join(value.to_bytes(8, "little", signed=True) for value in values)


def centred(value: int, modulus: int) -> int:
    """Return the representative in (-t/2, t/2)."""
    value %= modulus
    return value - modulus if value > modulus // 2 else value


# --- what follows at the end ---------------------------------------------------------


def signers(terms: Json, members: Iterable[str]) -> list[str]:
    """Return who signs the receipt."""
    return sorted({*names(terms, "aggregator"), *names(terms, "key-holder"), *members})


def recomputed(terms: Json) -> list[str]:
    """Return the claims that anybody can recompute (derivations.md, 10)."""
    publish = terms["publish"]
    opened = publish["feature_key"] or not terms["protection"]["he"]
    spent = {NOISY: "accounting", TRAINED: "training-accounting", OPEN: "no-differential-privacy"}
    claims = ["file-hashes", "signatures", "run-id", "keys", "ledger-segments"]
    claims += [spent[terms["route"]], "policy", "roster"]
    claims += ["homomorphic-sum"] * bool(publish["ciphertexts"])
    claims += ["decryption"] * bool(publish["ciphertexts"] and publish["sums"] and opened)
    return [*claims, "student-hash"]


def attested(terms: Json, members: Iterable[str], charged: Iterable[str]) -> list[dict[str, Any]]:
    """Return the claims that are somebody's word (derivations.md, 10)."""
    both = names(terms, "aggregator") + names(terms, "key-holder")
    everybody, shown = signers(terms, members), recomputed(terms)
    senders, route = sorted(charged), terms["route"]
    stating = [name for name in senders if "stated" in terms["parties"][name]]
    training = [name for name in senders if name not in stating]
    by = {"data-was-real": senders}
    if route == NOISY:
        by |= {"private-summary": senders, "noise-was-drawn": senders}
    if route == TRAINED:
        by |= {"private-training": training, "noise-was-drawn": training} if training else {}
        by |= {"stated-training": stating, "own-model": stating} if stating else {}
    if route == OPEN:
        by["own-model"] = senders
    by["selection"] = both
    by |= {claim: both for claim in ("homomorphic-sum", "decryption") if claim not in shown}
    by["one-release"] = names(terms, terms["custody"])
    by["erasure"] = everybody
    if "institution_privacy" in terms:
        by["institution-share"] = senders
    if "student_privacy" in terms:
        by["student-summary"] = names(terms, "student")
    by["student-training"] = names(terms, "student")
    by |= dict.fromkeys(("accuracy", "sizes-and-times"), names(terms, "aggregator"))
    if "retention" in terms:
        by["retention"] = everybody
    return [{"claim": claim, "by": sorted(who)} for claim, who in by.items()]


def notices(terms: Json) -> list[str]:
    """Return what summary and receipt say in words (derivations.md, 10)."""
    if terms["route"] == OPEN:
        return [NOTICES[OPEN]]
    if terms["route"] == NOISY:
        return []
    stated = [name for name in names(terms, "teacher") if "stated" in terms["parties"][name]]
    words = [NOTICES["stated"].replace("{names}", ", ".join(stated))] if stated else []
    return [NOTICES["floating-point"], NOTICES["own-code"], *words]
