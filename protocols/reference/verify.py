# ruff: noqa: D103, INP001, E401, E701, E702, I001, T201, TID251, BLE001, TRY301 -- all in 450 lines
"""Verifies run folders by protocols/v1 alone (its pages: enc, drv) without code of secure_fedsa."""
import base64, functools, hashlib, itertools, json, math, pathlib, re, resource, secrets, struct
import subprocess, sys, tomllib, types; from typing import Any
import gmpy2, jsonschema, referencing.jsonschema, rfc8785, tenseal as ts  # type: ignore[import-untyped]
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
NAME, FLAGS = "[a-z0-9][a-z0-9-]{0,39}", bytes.fromhex("100719000000000000F0BF")
canonical = rfc8785.dumps  # values are equal as the text compares them if these bytes are
V1 = pathlib.Path(__file__).parents[1] / "v1"; TABLES = json.loads((V1 / "tables.json").read_text())
KINDS, FILES = TABLES["kinds"], TABLES["files"]; _draft = jsonschema.Draft202012Validator
SECTIONS = "saliency encoder protection features encryption selection publish limits privacy"
STEPS, SHARED = ("noise_multiplier", "sampling_rate", "steps"), "institution_privacy"
NOISY, TRAINED, OPEN = "noisy-release", "private-training", "encryption-only"
TEXT = "".join((V1 / page).read_text() for page in ("verification.md", "agreement.md"))
_texts = [path.read_text().replace('$"', r'\\Z"') for path in V1.glob("schemas/*.json")]  # $: LF
_schemas = [json.loads(re.sub(r'"\$schema": "[^"]*",', "", text)) for text in _texts]  # or types go
REGISTRY = referencing.Registry().with_resources((schema["$id"],
    referencing.jsonschema.DRAFT202012.create_resource(schema)) for schema in _schemas)
_types = {"integer": lambda _, x: type(x) is int, "number": lambda _, x: type(x) in {int, float}}
DRAFT = jsonschema.validators.extend(_draft, type_checker=_draft.TYPE_CHECKER.redefine_many(_types))
class Refused(Exception): """A check that does not hold: the file and the reason."""
def check(**holds: object) -> None:  # by the numbers of checks
    for number in (number for number, right in holds.items() if not right): raise Refused(number)
def clause(number: str) -> str:  # with the words of the text
    words = re.search(rf"(?s)[*\n]{re.escape(number)}\.[*]* (.+?)(?=\n\n|\n\* \*\*)", TEXT)
    return f"{number}: {' '.join(words[1].split())}" if words else number
def sha256(data: bytes) -> str: return hashlib.sha256(data).hexdigest()
def digest(domain: str, value: Any) -> str:  # enc 4
    return sha256(f"secure-fedsa/v1/{domain}\n".encode() + canonical(value))
def formed(name: str, value: Any) -> Any:  # the value, if it has the form of that schema
    draft = DRAFT({"$ref": f"urn:secure-fedsa:v1:{name}"}, registry=REGISTRY)
    for e in draft.iter_errors(value): raise Refused(f"{name}: {e.json_path}: {e.message:.99}")
    return value
def parsed(data: bytes) -> Any:  # enc 2
    check(A5=sum(map(data.count, b"[{,\\")) <= 1_000_000); value = json.loads(data.decode())
    check(D1=canonical(value) == data); return value
def b64(text: str) -> bytes:  # enc 3
    data = base64.b64decode(text); check(D11=base64.b64encode(data).decode() == text); return data
def signed(key: str, signature: str, data: bytes, domain: str = "") -> None:  # enc 5
    n = f"secure-fedsa/v1/{domain}".encode(); prefix = len(n).to_bytes(2) + n if domain else b""
    public = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    public.verify(b64(signature), prefix + data)
def limit(path: str) -> int:  # A1
    kind = re.fullmatch(rf"transcript/{NAME}-[0-9]{{3,16}}-({'|'.join(KINDS)})\.json", path)
    check(A1=kind or path in FILES or re.fullmatch(rf"ledger-{NAME}\.jsonl", path))
    if kind: return KINDS[kind[1]]["limit"] * 4 // 3 + TABLES["envelope_allowance"]
    return FILES.get(path, TABLES["ledger_limit"])
def read(r: Any, path: str) -> Any:  # a file that `a_folder` has judged
    r.at, data = path, (r.folder / path).read_bytes()
    check(C7=r.hashes.setdefault(path, sha256(data)) == sha256(data)); return data
def of(r: Any, kind: str) -> Any:  # the messages of a kind, by sender and sequence
    for m in (m for m in r.messages if m.kind == kind): r.at = m.path; yield m
    r.at = "transcript/"
def one(r: Any, kind: str, number: str) -> Any:
    found = [*of(r, kind)]; check(**{number: len(found) == 1}); r.at = found[0].path
    return found[0]
def a_folder(r: Any) -> None:
    sizes = {}
    for path in itertools.islice(r.folder.rglob("*"), 50_000):
        r.at = path.relative_to(r.folder).as_posix(); top = r.at in {"transcript", "student"}
        check(A2=(path.is_dir() if top else limit(r.at) and path.is_file()) > path.is_symlink())
        if not top: sizes[r.at] = path.stat().st_size; check(A3=sizes[r.at] <= limit(r.at))
    r.transcript, total = sorted(n for n in sizes if n[:11] == "transcript/"), sum(sizes.values())
    check(A3=len(r.transcript) <= 20_000 and len(sizes) <= 45_000 and total <= 1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (most := (4 << 30) + 12 * total, most))
    resource.setrlimit(resource.RLIMIT_CPU, (most := 120 + (total >> 18), most))
    for r.at in sorted({*FILES, *sizes}): check(A4=r.at in sizes); read(r, r.at)
def b_agreement(r: Any) -> None:
    raw = read(r, "agreement.toml"); quoted = b'"""' in raw or b"'''" in raw
    check(B1=all(line.count(b".") <= 100 or (line.lstrip(b" \t")[:1] == b"#" and not quoted) for
        line in raw.split(b"\n"))); content = formed("agreement", tomllib.loads(raw.decode()))
    signatures, parties = content.pop("signatures"), content["parties"]
    for party in parties.values(): party.setdefault("classes", [])
    r.v = v = types.SimpleNamespace(**dict.fromkeys(["answers", "privacy", "neighbours", "delta",
        "student_privacy", "retention"]) | content, hash=digest("agreement", content), own={})
    for name in SECTIONS.split(): vars(v).update(content.get(name, {"unit": None}))
    v.keys, v.roles = ({n: p[member] for n, p in parties.items()} for member in ("key", "role"))
    v.the = {role: n for n, role in v.roles.items()}; v.shared = content.get(SHARED, {})
    v.smallest = max(v.minimum_cohort, v.max_colluding + 2)
    v.teachers = sorted(name for name, role in v.roles.items() if role == "teacher")
    v.stated = {name: parties[name]["stated"] for name in v.teachers if "stated" in parties[name]}
    check(R2=len(parties) - len(v.teachers) == len({*v.the} - {"teacher"}) == 3,
        R4=len({*v.keys.values()}) == len(parties), R6=not v.privacy or min(v.agreement_budget,
        v.data_set_budget) >= v.epsilon, R7=not v.privacy or v.max_records < 2 or v.unit ==
        "person", R8=v.he == v.masks, R16=not v.answers or v.answers["saliency"] == "alignment" or
        v.directions > 5, R17=len({*map(canonical, v.stated.values())}) <= 15 * (v.unit !=
        "person"), R18=not (o := v.student_privacy) or (o["epsilon"] <= o["budget"] and
        o["directions"] <= v.dimension), R9=v.directions <= v.dimension, R11=v.smallest <= v.select
        <= len(v.teachers), R13=not v.feature_key or (v.ciphertexts and v.sums and v.he), R14=v.he
        or v.sums or not v.ciphertexts, B5=signatures.keys() == parties.keys(), B6=not
        v.simulation); plan(v)
    for name, key in v.keys.items(): signed(key, signatures[name], canonical(content), "agreement")
def plan(v: Any) -> None:  # L1 to L9, L11 and L12, by drv 2, 4 and 6.2
    v.rho = v.run_epsilon = None; v.events = {}; v.near = 1e-9 if v.route == NOISY else 1e-6
    if v.route == NOISY: releases(v); v.run_epsilon = epsilon(v.rho, v.delta)
    if v.route == OPEN: v.events = {n: {"kind": "no-differential-privacy"} for n in v.teachers}
    if v.route == TRAINED:
        how = {name: v.stated.get(name, v.training) for name in v.teachers}
        v.events = {name: {"kind": "dp-sgd"} | {n: how[name][n] for n in STEPS} for name in how}
        v.run_epsilon = max(training(event, v.delta) for event in v.events.values())
    check(L2=v.run_epsilon is None or v.run_epsilon <= min(v.epsilon * (1 + v.near),
        v.agreement_budget, v.data_set_budget, 100)); signals(v)
def releases(v: Any) -> None:
    add, unit = v.neighbours == "add-remove", max(1, round(v.count_weight * v.grid))
    n = v.grid**2 + unit**2; squared = v.max_records**2 * (n if add else max(4 * v.grid**2, 2 * n))
    sensitivity = math.sqrt(squared)
    while gmpy2.mpq(sensitivity) ** 2 < squared: sensitivity = math.nextafter(sensitivity, math.inf)
    asked = {n: (v.noise_multiplier, len(v.parties[n]["classes"]), v.dimension) for n in v.teachers}
    if o := v.student_privacy: asked[""] = o["noise_multiplier"], o["classes"], o["directions"]
    for name, (noise, classes, width) in asked.items():
        scale = math.nextafter(noise * sensitivity, math.inf)
        count = min((2 - add) * v.max_records, classes) * (width + 1)
        check(L1=v.count_weight * v.grid <= 2**30 and scale <= 2**40 and count <= 2**31)
        v.events[name] = {"kind": "discrete-gaussian", "sensitivity": sensitivity,
                          "noise_scale": scale, "coordinates": count}
        exact = (gmpy2.mpq(sensitivity) / gmpy2.mpq(scale)) ** 2 / 2; rho = float(exact)
        if gmpy2.mpq(rho) < exact: rho = math.nextafter(rho, math.inf)
        check(L2=1e-150 < rho < 1e150); v.rho = v.rho or rho  # the teachers', who come first
    own = {"rho": rho, "delta": v.delta, "epsilon": epsilon(rho, v.delta)}
    if o: v.own["student_privacy"] = own | {"budget": o["budget"]}
    if o: check(L11=own["epsilon"] <= min(o["epsilon"] * (1 + 1e-9), o["budget"], 100))
def shares(v: Any) -> None:  # L12, drv 2.5
    o, s, n, own = v.shared, v.shared["share_scale"], v.smallest, {"delta": v.delta}
    far = o["norm_bound"] * (1 + (o["neighbours"] == "member-to-any"))
    for view, j in ("sum", n), ("sum-and-colluding", n - v.max_colluding), ("everybody-else", 1):
        tau = sum(10 * math.exp(-2 * (math.pi * s) ** 2 * i / (i + 1)) for i in range(1, j))
        own[view] = epsilon((far / s) ** 2 / (2 * j) + v.values * tau, v.delta)
    tail = math.ceil(s * math.sqrt(2 * v.select * math.log(2e6 * v.values))); v.own[SHARED] = own
    check(L12=own["sum-and-colluding"] <= min(o["epsilon"] * (1 + 1e-9), 100) and
        2 * (v.select * o["norm_bound"] + tail) < v.plain_modulus, R19=v.select == len(v.teachers))
def training(event: Any, delta: float) -> float: return trained(*map(event.get, STEPS), delta)
@functools.cache
def trained(noise: float, rate: float, steps: int, delta: float) -> float:  # drv 2.1
    import dp_accounting as dp; from dp_accounting import pld, rdp  # slow to load
    step = dp.PoissonSampledDpEvent(rate, dp.GaussianDpEvent(noise))
    rough = rdp.RdpAccountant([2, 3, 4, 6, 8, 12, 16, 32, 64]).compose(step, steps)
    if delta < 1e-13 + 1e-15 * steps or rough.get_epsilon(delta) >= 200: return math.inf
    interval = {"value_discretization_interval": min(1e-3, 0.02 / noise)}
    exact: Any = pld.PLDAccountant(dp.NeighboringRelation.ADD_OR_REMOVE_ONE, **interval)
    return float(exact.compose(step, steps).get_epsilon(delta - 1e-15 * steps))
def signals(v: Any) -> None:
    degree, sizes, t, primes = v.poly_modulus_degree, v.coeff_mod_bit_sizes, v.plain_modulus, {}
    check(L3=sum(sizes) <= {4096: 109, 8192: 218, 16384: 438}[degree])
    for size in sizes:
        numbers = range(2**size - 2 * degree + 1, 2 ** (size - 1), -2 * degree)
        primes[size] = sorted(itertools.islice(filter(gmpy2.is_prime, numbers), sizes.count(size)))
    check(L3=sum(map(len, primes.values())) == len(sizes))
    *chain, last = chosen = [primes[size].pop(0) for size in sizes]
    noise = math.log2(21 * (2 * degree + 1) / last + degree / 2 + 1)
    v.budget = math.log2(math.prod(chain)) - 1 - math.log2(t) - noise  # of one addition
    pairs, number = v.directions * (v.directions + 1) // 2, v.query_modulus_bits // 4 if v.he else 8
    bound, asked = pairs * (2 ** (v.bits - 1) - 1) ** 2, v.answers or {"form": "scatter"}
    side = asked["probes"] if asked["form"] == "gram" else v.dimension
    v.values = side * (side + 1) // 2 + (v.route == NOISY and not v.shared)
    if asked["form"] == "sketch": v.values = asked["probes"] * asked["width"]
    check(L4=t % (2 * degree) == 1 and gmpy2.is_prime(t) and t not in chosen, L5=2 * v.select *
        v.bound < t, L6=v.budget - math.log2(v.select) >= 1, L7=(4 * bound).bit_length() <= 62 and
        bound.bit_length() + 128 < v.query_modulus_bits, L9=17 + pairs * (4 * -(-number // 3) + 3)
        <= 2**26); v.shared and shares(v)
def epsilon(rho: float, delta: float) -> float:  # drv 2
    u = math.log(-math.log(delta) / rho) / 2
    for step in (1 / 4, 1e-2, 1e-4, 1e-6):  # a grid that becomes finer
        least, u = min((rho + rho * x - math.log1p(1 / x) - (math.log(delta) + math.log1p(x)) / x,
            math.log(x)) for x in [math.exp(u + j * step) for j in range(-60, 61)])
    return max(0.0, least)
def c_receipt_form(r: Any) -> None:
    receipt = formed("receipt", parsed(read(r, "receipt.dsse.json")))
    payload, keys = b64(receipt["payload"]), [seal["keyid"] for seal in receipt["signatures"]]
    owners, r.statement = {k: n for n, k in r.v.keys.items()}, formed("statement", parsed(payload))
    check(C4=keys == sorted({*keys})); r.signers = sorted(owners[key] for key in keys)
    data = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
    for seal in receipt["signatures"]: signed(seal["keyid"], seal["sig"], data)
    check(C7=r.statement["subject"] == [{"name": name, "digest": {"sha256": value}}
          for name, value in sorted(r.hashes.items()) if name != r.at])
def d_messages(r: Any) -> None:
    for path in r.transcript:
        data = read(r, path); r.all += sum(map(data.count, b"[{,\\")); check(A5=r.all <= 2_000_000)
        r.messages.append(message(r.v, path, parsed(data)))
    r.messages.sort(key=lambda m: (m.sender, m.sequence)); r.at = "transcript/"
    for name in r.v.keys:
        own = [m.sequence for m in r.messages if m.sender == name]
        check(D13=own == [*range(len(own))])
def message(v: Any, path: str, envelope: Any) -> Any:  # the members of header and body by name
    header = formed("envelope", envelope)["header"]; text = canonical(header)
    h = types.SimpleNamespace(**header, path=path, body={}, digest=digest("envelope", header))
    kind, role = KINDS[h.kind], v.roles.get(h.sender); public = kind["class"] == "public"
    custodian = h.sender == v.the[v.custody] and "custodian" in kind["from"]
    check(D3=len(text) <= 4096, D4=path == f"transcript/{h.sender}-{h.sequence:03}-{h.kind}.json",
          D5=h.agreement == v.hash, D6=h.sender in v.roles and kind["class"] == header["class"],
          D7=role in kind["from"] or custodian, D8=h.recipient == "*" if public else
          h.recipient != h.sender and v.roles.get(h.recipient) in kind["to"])
    signed(v.keys[h.sender], envelope["signature"], text, "envelope")
    bare = not public or (h.kind in {"upload", "sum"} and not v.ciphertexts)
    check(D2=[*envelope] == ["body"] * (not bare) + ["header", "signature"])
    if bare: return h
    h.body, body = envelope["body"], canonical(envelope["body"])
    check(D10=len(body) <= kind["limit"] and sha256(body) == h.body_sha256)
    binary = {name: b64(h.body[name]) for name in h.body if kind["fields"][name] == "bytes"}
    vars(h).update(h.body | binary); return h
def e_opening(r: Any) -> None:
    v, own = r.v, x25519.X25519PrivateKey.generate(); sealing: dict[str, str] = {}
    for number, kind in ("E1", "nonce"), ("E3", "keys"), ("E6", "ready"):
        check(**{number: [m.sender for m in of(r, kind)] == sorted(v.keys)})
    for m in of(r, "nonce"): check(E1=m.sequence == 0 and len(m.nonce) == 32)
    nonces = {m.sender: m.nonce.hex() for m in of(r, "nonce")}
    r.run = digest("run", {"agreement": v.hash, "nonces": nonces})
    for m in r.messages: r.at = m.path; check(D12=m.run_id == ("" if m.kind == "nonce" else r.run))
    for m in of(r, "keys"):
        mlkem.MLKEM768PublicKey.from_public_bytes(m.sealing_key[:1184])
        own.exchange(x25519.X25519PublicKey.from_public_bytes(m.sealing_key[1184:]))
        key = sha256(m.sealing_key); check(E3=key not in sealing.values()); sealing[m.sender] = key
    r.public = one(r, "feature-key", "E4").public_key
    check_public_key(r) if v.he else check(E4=r.public == b"none")
    query = one(r, "query-key", "E5"); one(r, "query-secret", "E8")
    check(E5=v.he or (query.modulus == b"none" and query.proof == []))
    if v.he: check_modulus(v, query.modulus, [*map(b64, query.proof)], r.run)
    keys = {"run_id": r.run, "sealing": sealing, "feature": sha256(r.public),
            "query": sha256(query.modulus), "query_hash": query.query_hash}
    r.opening = {"keys_hash": digest("keys", keys), "query_hash": query.query_hash}
    for m in of(r, "ready"): check(E6=m.body == r.opening)
    check(E7=sorted(m.recipient for m in of(r, "query")) == v.teachers)
def check_public_key(r: Any) -> None:  # drv 6.2 to 6.4
    v, bits = r.v, r.v.coeff_mod_bit_sizes; r.context = ts.context(ts.SCHEME_TYPE.BFV,
        v.poly_modulus_degree, v.plain_modulus, bits, ts.ENCRYPTION_TYPE.ASYMMETRIC, n_threads=1)
    r.head = r.context.serialize(*[False] * 4).removesuffix(wire(18, FLAGS))  # without any keys
    keys = objects(r.v, r.public[len(r.head) :], 2, bits)
    check(E4=[r.head + wire(18, wire(10, key) + FLAGS) for key in keys] == [r.public])
    r.sealer = ts.context_from(r.public, n_threads=1)
def check_modulus(v: Any, modulus: bytes, proof: list[bytes], run: str) -> None:  # drv 4.2
    n, size, length = int.from_bytes(modulus), len(modulus), v.query_modulus_bits // 8 + 16
    domain = b"secure-fedsa/v1/paillier-modulus-proof"
    parts = modulus, run.encode(), v.the["student"].encode()
    data = b"".join(len(part).to_bytes(4) + part for part in parts) + (8 * length).to_bytes(2)
    stream = hashlib.shake_256(data + domain + bytes([len(domain)])).digest(8 * length)
    check(E5=n.bit_length() == v.query_modulus_bits == 8 * size and [*map(len, proof)] == [size] * 8
          and gmpy2.gcd(n, gmpy2.primorial(65536)) == 1)
    for i, root in enumerate(map(int.from_bytes, proof)):
        target = int.from_bytes(stream[i * length : (i + 1) * length]) % n
        check(E5=0 < root < n and gmpy2.gcd(target, n) == 1 and gmpy2.powmod(root, n, n) == target)
def f_ledgers(r: Any) -> None:
    r.rosters, r.data_sets, r.signals = [*of(r, "roster")], {}, {}; check(G1=r.rosters)
    for m in of(r, "ledger"):
        charge, head = segment(r, m), r.rosters[-1].ledger_heads.get(m.sender)
        check(F1=m.sender not in r.signals, F5=charge["data_set"] not in r.data_sets.values())
        r.data_sets[m.sender], r.signals[m.sender] = charge["data_set"], charge["hash"]
        lines = [*m.entries, {"by": r.v.the["key-holder"], "countersigned_head": head}]
        text, path = b"".join(canonical(x) + b"\n" for x in lines), f"ledger-{m.sender}.jsonl"
        check(F2=path in r.hashes and read(r, path) == text)
    check(F2={path[7:-6] for path in r.hashes if path[:7] == "ledger-"} == r.signals.keys())
def segment(r: Any, m: Any) -> Any:  # drv 3: the reserve entry of the agreed charge
    v, kinds = r.v, [entry["kind"] for entry in m.entries]; fixed = m.entries[0]["data_set"], r.run
    for e in m.entries:
        bare = canonical({key: value for key, value in e.items() if key != "hash"})
        right = sha256(b"secure-fedsa privacy ledger entry v1\n" + bare), *fixed
        check(F3=(e["hash"], e["data_set"], e["run_id"]) == right)
    check(F3=all(b["position"] > a["position"] + (b["previous"] != a["hash"]) for a, b in
        itertools.pairwise(m.entries)) and not {"genesis", "superseded"} & {*kinds} and
        kinds.count("reserve") == 1 and kinds.count("commit") <= 1, F4="commit" in kinds)
    reserve = m.entries[kinds.index("reserve")]; charge, event = reserve["body"], v.events[m.sender]
    agreed = {"agreement": v.hash, "events": [event]}
    if v.privacy: agreed |= {"delta": v.delta, "budget": v.agreement_budget}
    agreed |= {NOISY: {"rho": v.rho}, TRAINED: {"stated": m.sender in v.stated}}.get(v.route, {})
    check(F4=canonical(charge | agreed) == canonical(charge), F6=m.head == m.entries[-1]["hash"],
        F3=kinds.index("reserve") < kinds.index("commit")); most = 0.0
    if v.route == NOISY:
        total = charge["agreement_rho"]; check(F3=total >= v.rho); most = epsilon(total, v.delta)
    if v.route == TRAINED:
        total, *more = charge["agreement_trainings"]; check(F3=total["steps"] >= event["steps"],
            F4=not more and canonical(total | {"steps": event["steps"]}) == canonical(event))
        most = training(total, v.delta)
    check(F4=not v.privacy or most <= v.agreement_budget * (1 + v.near)); return reserve
def g_rosters(r: Any) -> None:
    heads = {m.sender: m.head for m in of(r, "ledger")}
    v, order, above = r.v, r.v.scores == "order", {*r.v.teachers, ""}
    for number, m in enumerate(of(r, "roster"), 1):
        m.hash = digest("roster", {"run_id": r.run, "roster": m.body})
        members, scores, named = {*m.members}, m.scores, m.ledger_heads.keys()
        sign, least, most = (1, 1, len(members)) if order else (-1, v.threshold, v.select)
        good = sorted((sign * score, name) for name, score in scores.items() if score >= least)
        check(G1=m.number == number, G3=m.body | r.opening == m.body, G2=v.smallest <= len(members)
            <= v.select and m.members == sorted(members & {*v.teachers}))
        check(G4=heads | m.ledger_heads == heads and members <= named, G5=scores.keys() <= named
            and scores == r.rosters[0].scores and (v.scores != "none" or not scores) and (not order
            or sorted(scores.values()) == [*range(1, len(scores) + 1)]), G6=number > 1 or v.scores
            == "none" or members == {name for _, name in good[:most]}, G7=members < above)
        above, r.final, r.members = members, m, m.members
def h_members(r: Any) -> None:
    members, final = {*r.members}, r.final.hash
    check(H1=members <= {m.sender for m in of(r, "roster-signature") if m.roster_hash == final})
    for number, kind in ("H2", "upload"), ("H3", "reply"), ("H3", "blind"):
        senders = [m.sender for m in of(r, kind)]
        check(**{number: members <= {*senders} and len({*senders}) == len(senders)})
    own = {"roster_hash": final, "key_id": sha256(r.public), "values": r.v.values}
    for m in of(r, "upload"):
        homes = {roster.hash for roster in r.rosters if m.sender in roster.members}
        right = own | {"signal_id": r.signals[m.sender]} if m.sender in members else {}
        check(H2=homes and (not m.body or (m.roster_hash in homes and m.body | right == m.body)))
    one(r, "blinded-scores", "H4"); pairs = {(m.sender, m.recipient) for m in of(r, "mask-share")}
    check(H5={*itertools.permutations(members, 2)} <= pairs <= {
        *itertools.permutations(r.rosters[0].members, 2)})
def i_sum(r: Any) -> None:
    v, rows, uploads = r.v, [], [m for m in of(r, "upload") if m.sender in r.members]
    for m in uploads * v.ciphertexts:
        r.at = m.path; rows.append((vector if v.he else residues)(r, m.ciphertext))
    r.sum = one(r, "sum", "I1")
    if not v.ciphertexts: return
    right = {"roster_hash": r.final.hash, "uploads": {m.sender: m.digest for m in uploads}}
    check(I2=r.sum.body | right | {"values": v.values} == r.sum.body)
    if v.he: check(I2=added(rows).serialize() == r.sum.ciphertext); return
    total = [sum(column) % v.plain_modulus for column in zip(*rows, strict=True)]
    check(I2=residues(r, r.sum.ciphertext) == total)
def residues(r: Any, data: bytes) -> list[int]:
    values = [*struct.unpack(f"<{r.v.values}q", data)]
    check(I2=min(values) >= 0 and max(values) < r.v.plain_modulus); return values
def vint(x: int) -> bytes: return bytes([x]) if x < 128 else bytes([x % 128 + 128]) + vint(x >> 7)
def wire(tag: int, data: bytes) -> bytes: return bytes([tag]) + vint(len(data)) + data
def added(column: Any) -> Any: return functools.reduce(lambda total, x: total.add_(x), column)
def objects(v: Any, data: bytes, polynomials: int, bits: list[int]) -> list[bytes]:  # drv 6.3
    weight, at, found = polynomials * v.poly_modulus_degree, 0, []
    raw, least = weight * 8 * len(bits), 9 * (weight * sum(bits) // 8) // 10
    while (at := data.find(b"\x5e\xa1\x10\x04", at)) >= 0:
        length = int.from_bytes(data[at + 8 : at + 16], "little"); blob = data[at : at + length]
        right = blob[5:8] == b"\2\0\0" and least <= len(blob) == length
        if not right or length > raw + raw // 128 + 1024: return []
        found.append(blob); at += length
    return found
def vector(r: Any, data: bytes) -> Any:  # drv 6.3: well formed, loaded as a whole
    v, degree = r.v, r.v.poly_modulus_degree; sizes = [min(degree, v.values - at) for at in
        range(0, v.values, degree)]; start = wire(10, b"".join(map(vint, sizes)))
    blobs = objects(v, data[len(start) :], 2, v.coeff_mod_bit_sizes[:-1])
    check(I2=data == start + b"".join(wire(18, x) for x in blobs) and len(blobs) == len(sizes))
    x = ts.bfv_vector_from(r.context, data); shapes = {(ct.size(), ct.poly_modulus_degree(),
        ct.coeff_modulus_size(), ct.is_ntt_form(), ct.is_transparent()) for ct in x.ciphertext()}
    check(I2=shapes == {(2, degree, len(v.coeff_mod_bit_sizes) - 1, False, False)} and
        x.size() == v.values and x.serialize() == data); return x
def j_permit(r: Any) -> None:
    m, found = one(r, "release", "K1"), [m.body for m in of(r, "permit")]
    r.released = {name: m.body[name] for name in ("roster_hash", "sum_hash", "signal_ids")}
    check(J1=r.v.custody == "aggregator" or not found, J2=found in ([], [r.released])
          and len(found) == (r.v.custody == "aggregator"))
def k_release(r: Any) -> None:
    v, t, k, m = r.v, r.v.plain_modulus, len(r.members), one(r, "release", "K1")
    ids, sealed = {name: r.signals[name] for name in r.members}, len([*of(r, "sealed-sum")])
    opened = struct.unpack(f"<{len(m.values) // 8}q", m.values)
    check(K1=m.roster_hash == r.final.hash, K3=m.signal_ids == ids, K2=not v.ciphertexts or
        m.sum_hash == sha256(r.sum.ciphertext), K5=(m.secret_key != b"") == v.feature_key,
        K4=len(opened) == v.values * v.sums and sealed == 1 - v.sums and all(abs(value) <=
        (t // 2 if v.shared else k * v.bound) for value in opened))
    if v.feature_key:
        start = r.head + wire(18, FLAGS)
        keys = objects(v, m.secret_key[len(start) :], 1, v.coeff_mod_bit_sizes)
        check(K6=[start + wire(26, wire(10, key)) for key in keys] == [m.secret_key])
        r.opener = ts.context_from(m.secret_key, n_threads=1)
        rows = [[secrets.randbelow(t) for _ in range(v.poly_modulus_degree)] for _ in range(k)]
        texts = [ts.bfv_vector(r.sealer, row).serialize() for row in rows]
        total = added([ts.bfv_vector_from(r.context, text) for text in texts]).serialize()
        rows.append([sum(column) % t for column in zip(*rows, strict=True)])
        check(K6=[decrypted(r, text) for text in [*texts, total]] == rows,
              K7=decrypted(r, r.sum.ciphertext) == [x % t for x in opened])
    elif v.ciphertexts and not v.he:
        check(K7=residues(r, r.sum.ciphertext) == [x % t for x in opened])
def decrypted(r: Any, data: bytes) -> list[int]:  # drv 6.5
    x, least = ts.bfv_vector_from(r.opener, data), r.v.budget - math.log2(len(r.members))
    left = map(r.opener.data.decryptor().invariant_noise_budget, x.ciphertext())
    check(K7=min(left) >= max(1, math.floor(least)))
    return [value % r.v.plain_modulus for value in x.decrypt()]
def l_release_log(r: Any) -> None:
    line = read(r, "release-log.jsonl"); check(L1=line[-1:] == b"\n")
    log, by = formed("release-log", parsed(line[:-1])), {n: r.data_sets[n] for n in r.members}
    x = r.released | {"run_id": r.run, "agreement": r.v.hash, "members": r.members, "data_sets": by}
    check(L2=log.pop("hash") == digest("release-log", log)
          and (log["position"] == 0) == (log["previous"] == "0" * 64), L3=log["body"] == x)
def m_student(r: Any) -> None:
    parts = {name: r.hashes[f"student/{name}.safetensors"] for name in ("network", "head")}
    parts["architecture"] = r.hashes["student/architecture.json"]
    (opened,), m = [*of(r, "release" if r.v.sums else "sealed-sum")], one(r, "result", "M1")
    check(M1=m.student_sha256 == digest("student", parts) and m.opened == opened.digest)
    r.at = "student/encoder.safetensors"; check(M2=r.hashes[r.at] == r.v.encoder["sha256"])
def n_summary(r: Any) -> None:
    v, summary, rows = r.v, formed("summary", parsed(read(r, "summary.json"))), []
    for name, told in zip(v.teachers, summary["teachers"], strict=True):
        score = r.final.scores.get(name) if v.scores == "values" else None
        rows.append({"id": name, "task": v.parties[name]["classes"], "kind": told["kind"],
                     "selected": name in r.members, "score": score})
    right = {n: vars(v)[n] for n in ("route", "custody", "protection", "neighbours", "delta")}
    right |= {"run_id": r.run, "simulated": False, "privacy_unit": v.unit, "teachers": rows,
        "values_per_teacher": v.values} | notices(v)
    told, views, near = summary["accounting"], summary["epsilon_by_view"].values(), []
    if v.privacy:
        near = [(value, v.run_epsilon) for value in [*views, summary["epsilon"], told["epsilon"]]]
        near += [(told[name], vars(v)[name]) for name in ("delta", *["rho"] * (v.route == NOISY))]
    check(N3=summary.keys() & {"student_privacy", SHARED} == v.own.keys())
    near += [(summary[name][n], x) for name, own in v.own.items() for n, x in own.items()]
    check(N2=canonical(summary | right) == canonical(summary) and all(math.isclose(value, fact,
        rel_tol=v.near) for value, fact in near))
def notices(v: Any) -> dict[str, list[str]]:  # drv 10
    names = ", ".join(sorted(v.stated))
    keys = {OPEN: [OPEN], TRAINED: ["floating-point", "own-code", *["stated"] * bool(names)]}
    told = [TABLES["notices"][key].replace("{names}", names) for key in keys.get(v.route, [])]
    return {"notices": told} if told else {}
def o_receipt(r: Any) -> None:
    r.at, v, the, both = "receipt.dsse.json", r.v, r.v.the, ("aggregator", "key-holder")
    route, sent = v.route, {*r.signals}; told = sent & {*v.stated}  # told: who stated a training
    opened = v.ciphertexts and v.sums and (v.feature_key or not v.he)
    when = {"always": True, "ciphertexts": v.ciphertexts, "opened": opened, route: True}
    claims = [claim for claim, case in TABLES["recomputed"].items() if when.get(case)]
    by = dict.fromkeys(["summing", "asking", "training"], ()) | {k: {n} for k, n in the.items()}
    by |= {"custodian": {the[v.custody]}, "ledger-senders": sent, "signers": r.signers, "stating":
        told, "limited": r.signers * bool(v.retention), "promised": {the["student"]} if
        v.student_privacy else (), "sharing": v.shared and sent,
        {NOISY: "summing", OPEN: "asking"}.get(route, "training"): sent - told}
    attested = [{"claim": claim, "by": sorted(who)} for claim, groups in TABLES["attested"].items()
        if claim not in claims and (who := set().union(*map(by.get, groups.split("-and-"))))]
    ids = {"version": 1, "agreement": v.hash, "run_id": r.run, "transcript_root":
        digest("transcript", sorted(m.digest for m in r.messages))}
    right = ids | {"recomputed": claims, "attested": attested} | notices(v)
    said = r.statement["predicate"]; check(O1=said | ids == said, O3=r.signers ==
        sorted([*map(the.get, both), *r.members]), O2=canonical(said) == canonical(right))
def p_rest(r: Any) -> None:
    for m in of(r, "abort"): check(P1=m.sender in {*r.v.teachers} - {*r.members})
    r.at = "agreement.toml"; check(P2=r.trust is None or r.v.keys.items() <= r.trust.items())
def child(folder: str) -> int:  # prints the file and the reason of the first check that fails
    r = types.SimpleNamespace(folder=pathlib.Path(folder), at="folder", hashes={}, messages=[])
    r.trust, r.all, answer = json.load(sys.stdin), 0, ["", ""]
    try:
        for name in sorted(n for n in globals() if n[1:2] == "_" != n[0]): globals()[name](r)
    except Exception as error:  # by the text, also what libraries raise is a refusal
        reason = clause(str(error)) if isinstance(error, Refused) else repr(error)
        answer = [r.at, f"{name[0].upper()}: " * (not reason[1:2].isdigit()) + reason]
    return print(json.dumps(answer)) or 0
def verify(folder: pathlib.Path, trust: dict[str, str] | None = None) -> str:
    """Give the verdict on a run folder, with trusted keys or without; or raise Refused."""
    command = [sys.executable, "-I", __file__, str(folder.absolute()), "--child"]
    run: Any = subprocess.run; ask = {"input": json.dumps(trust).encode(), "capture_output": True}
    try: file, reason = json.loads(run(command, check=True, timeout=9000, **ask).stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise Refused("folder", f"the child process: {error}") from None
    if reason: raise Refused(file, reason)
    return "consistent, identities " + ("not checked" if trust is None else "checked")
def main(folder: str, option: str = "", keys: str = "") -> int:
    if option == "--child": return child(folder)
    try:
        names = {path.name for path in pathlib.Path(folder).iterdir()}; bad = ""; trust: Any = None
        if not names & {"receipt.dsse.json", "summary.json", "transcript"}: raise ValueError(
            "it is no run folder")
        if keys: bad = "long" * (pathlib.Path(keys).stat().st_size > 1 << 20)
        if keys: table = tomllib.loads(pathlib.Path(keys).read_text()); trust = table.pop("keys")
        if keys: bad += "".join([*table, *(re.sub("^[0-9a-f]{64}", "", x) for x in trust.values())])
        if bad or trust == {}: raise ValueError("not a table [keys] of names and keys")
        words, code = verify(pathlib.Path(folder), trust) + f" against {keys}" * bool(keys), 0
    except Refused as refusal: words, code = "failed: {}: {}".format(*refusal.args), 1
    except Exception as error: words, code = f"cannot be used: {error}", 2
    return print(ascii(words)[1:-1]) or code
if __name__ == "__main__": sys.exit(main(*sys.argv[1:]))
