"""A forger's bench: take a run folder apart, change something, and sign everything anew.

The forger has every party's key. What it changes stays as it made it; everything that an honest
run would derive from what was changed follows (hashes, ids, signatures, sums, the summary, the
receipt), unless it was changed itself or its step is skipped. So one lie stands alone, and a
verifier that finds it has found that lie and no broken signature.
"""

from __future__ import annotations

import base64
import copy
import json
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import rfc8785
import tomli_w
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.protocols.bench import formulas

Json = Any
Place = tuple[Any, Any]  # a container, and the key or index in it

RECEIPT = "receipt.dsse.json"
LOG = "release-log.jsonl"
# What arithmetic on values of any type may raise; whatever cannot be derived stays as it is.
ILL_FORMED = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    IndexError,
    ArithmeticError,
    rfc8785.CanonicalizationError,
)


@dataclass(eq=False)
class Letter:
    """A message.

    Attributes:
        value: header, signature and, where the folder shows it, body.
        was: The same in the run that was taken apart; None for a message that was not there.
        file: Its file, where another than the header says.
    """

    value: Json
    was: Json = None
    file: str = ""

    @property
    def header(self) -> Json:
        """The header."""
        return self.value["header"]

    @property
    def body(self) -> Json:
        """The body."""
        return self.value["body"]

    def path(self) -> str:
        """Return the file's name."""
        if self.file:
            return self.file
        for value in (self.value, self.was):
            try:
                header = value["header"]
                return (
                    f"transcript/{header['sender']}-{header['sequence']:03d}-{header['kind']}.json"
                )
            except ILL_FORMED:
                continue
        return "transcript/nobody-000-nonce.json"


def encoded(value: Json) -> bytes:
    """Return canonical JSON, or other JSON of what has none."""
    try:
        return formulas.canonical(value)
    except ILL_FORMED:
        return json.dumps(_with_text_keys(value), sort_keys=True, separators=(",", ":")).encode()


def _with_text_keys(value: Json) -> Json:
    if isinstance(value, dict):
        return {str(name): _with_text_keys(item) for name, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def lines(entries: Iterable[Json]) -> bytes:
    """Return JSON lines."""
    return b"".join(encoded(entry) + b"\n" for entry in entries)


def copied(value: Json) -> Json:
    """Return a copy of a JSON value."""
    if isinstance(value, dict):
        return {name: copied(item) for name, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def _without_nulls(value: Json) -> Json:
    """Return a value that TOML can hold: it has no null."""
    if isinstance(value, dict):
        return {str(name): _without_nulls(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return "" if value is None else value


def same(one: Json, other: Json) -> bool:
    """Return whether two values are spelled alike."""
    return encoded(one) == encoded(other)


def _as_it_is(value: Any) -> Any:
    return value


def _nothing(_files: dict[str, bytes]) -> None:
    pass


@dataclass(eq=False)
class Run:
    """A run folder taken apart.

    Attributes:
        terms: The agreement's TOML.
        letters: The messages.
        ledgers: Lines of the ledger files, by file.
        log: Lines of the release log.
        summary: summary.json.
        statement: The receipt's payload.
        signers: Who signs the receipt.
        files: All other files.
        keys: Signing keys by party.
        primes: A query key that the forger has, for runs of another id.
        origin: The run that was taken apart, untouched.
        memo: What was computed of it already; only of runs that nobody changes.
        skipped: Steps that do not follow.
        links: Links in the place of files, to where.
        edits: What becomes of a file's bytes before the receipt is made, by file.
        edit_payload: What becomes of the receipt's payload before it is signed.
        edit_receipt: What becomes of the receipt's envelope.
        after: What becomes of all files in the end, unsigned.
    """

    terms: Json
    letters: list[Letter]
    ledgers: dict[str, list[Json]]
    log: list[Json]
    summary: Json
    statement: Json
    signers: list[str]
    files: dict[str, bytes]
    keys: dict[str, Ed25519PrivateKey]
    primes: tuple[int, int]
    origin: Run | None = None
    memo: dict[str, Any] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    edits: dict[str, Callable[[bytes], bytes]] = field(default_factory=dict)
    edit_payload: Callable[[bytes], bytes] = _as_it_is
    edit_receipt: Callable[[Json], Json] = _as_it_is
    after: Callable[[dict[str, bytes]], None] = _nothing

    @classmethod
    def of_files(cls, files: Mapping[str, bytes], keys: dict[str, Ed25519PrivateKey]) -> Run:
        """Return an honest run's folder taken apart."""
        payload = base64.b64decode(json.loads(files[RECEIPT])["payload"])
        parts: dict[str, list[Any]] = {"transcript/": [], "ledger-": []}
        rest = {}
        for name, data in files.items():
            part = next((part for part in parts if name.startswith(part)), None)
            if part:
                parts[part].append((name, [json.loads(line) for line in data.splitlines()]))
            elif name not in (RECEIPT, LOG, "summary.json", "agreement.toml"):
                rest[name] = data
        by_key = {formulas.public(key): party for party, key in keys.items()}
        signatures = json.loads(files[RECEIPT])["signatures"]
        return cls(
            terms=tomllib.loads(files["agreement.toml"].decode()),
            letters=[Letter(value, copied(value)) for _, (value,) in parts["transcript/"]],
            ledgers=dict(parts["ledger-"]),
            log=[json.loads(line) for line in files[LOG].splitlines()],
            summary=json.loads(files["summary.json"]),
            statement=json.loads(payload),
            signers=sorted(by_key[signature["keyid"]] for signature in signatures),
            files=rest,
            keys=dict(keys),
            primes=formulas.known_primes(),
        )

    def copy(self) -> Run:
        """Return a copy to change; it remembers this run."""
        made = copy.copy(self)
        for name in ("terms", "ledgers", "log", "summary", "statement"):
            setattr(made, name, copied(getattr(self, name)))
        made.letters = [Letter(copied(one.value), one.was, one.file) for one in self.letters]
        made.signers, made.files, made.keys = [*self.signers], {**self.files}, {**self.keys}
        made.skipped, made.edits, made.origin = set(self.skipped), {**self.edits}, self
        made.links, made.memo = {**self.links}, {}
        return made

    # --- finding and changing -------------------------------------------------------

    def of(self, kind: str, sender: str = "", recipient: str = "") -> list[Letter]:
        """Return the messages of a kind, in the order of their numbers."""
        found = [
            letter
            for letter in self.letters
            if isinstance(header := letter.value.get("header"), dict)
            and header.get("kind") == kind
            and (not sender or header.get("sender") == sender)
            and (not recipient or header.get("recipient") == recipient)
        ]
        return sorted(found, key=lambda letter: str(letter.header.get("sequence")).zfill(4))

    def one(self, kind: str, sender: str = "", recipient: str = "") -> Letter:
        """Return the first message of a kind."""
        return self.of(kind, sender, recipient)[0]

    def remove(self, letter: Letter) -> None:
        """Leave a message out; later ones of its sender take lower numbers."""
        self.letters.remove(letter)
        for other in self.letters:
            later = other.header["sequence"] > letter.header["sequence"]
            if other.header["sender"] == letter.header["sender"] and later:
                other.header["sequence"] -= 1

    def add(self, model: Letter, **header: Json) -> Letter:
        """Add a message made after another, under its sender's next number."""
        value = copied(model.value)
        value["header"] |= header
        sender = value["header"]["sender"]
        value["header"]["sequence"] = sum(one.header["sender"] == sender for one in self.letters)
        letter = Letter(value)
        self.letters.append(letter)
        return letter

    @property
    def roster(self) -> Json:
        """The body of the final roster."""
        return self.of("roster")[-1].body

    @property
    def run_id(self) -> Json:
        """The run id as the key holder's keys message has it."""
        return self.one("keys").header["run_id"]

    @staticmethod
    def charge_of(letter: Letter) -> Json:
        """Return the entry that charges this run, None where there is none."""
        try:
            entries = letter.body["entries"]
            return next((entry for entry in entries if entry["kind"] == "reserve"), None)
        except ILL_FORMED:
            return None

    @property
    def charges(self) -> dict[str, Json]:
        """By teacher, the entry that charges this run."""
        found = {one.header["sender"]: self.charge_of(one) for one in self.of("ledger")}
        return {teacher: charge for teacher, charge in found.items() if charge is not None}

    def once(self, name: str, compute: Callable[[Run], Any]) -> Any:
        """Return what is computed of this run, which nobody changes, the first time only."""
        if name not in self.memo:
            self.memo[name] = compute(self)
        return self.memo[name]

    # --- putting together -------------------------------------------------------------

    def replace(self, changed: Mapping[str, str]) -> None:
        """Put other texts in the place of texts, wherever they stand as a whole value."""
        mapping = {old: new for old, new in changed.items() if old != new}
        if mapping:
            for part in (self.ledgers, self.log, self.summary, self.statement):
                _replace(part, mapping)
            for letter in self.letters:
                _replace(letter.value, mapping)

    def rendered(self) -> dict[str, bytes]:
        """Return the folder's files as they stand, with a receipt that was really signed."""
        made = {**self.files}
        made["agreement.toml"] = tomli_w.dumps(_without_nulls(self.terms)).encode()
        made |= {letter.path(): encoded(letter.value) for letter in self.letters}
        made |= {name: lines(entries) for name, entries in self.ledgers.items()}
        made[LOG] = lines(self.log)
        made["summary.json"] = encoded(self.summary)
        for name, edit in self.edits.items():
            made[name] = edit(made[name])
        if "subject" not in self.skipped:
            self.statement["subject"] = [
                {"name": name, "digest": {"sha256": formulas.sha256(made[name])}}
                for name in sorted(made)
            ]
        payload = self.edit_payload(encoded(self.statement))
        signatures = [
            {
                "keyid": formulas.public(self.keys[name]),
                "sig": formulas.b64(self.keys[name].sign(formulas.pae(payload))),
            }
            for name in self.signers
            if name in self.keys
        ]
        envelope = {
            "payload": formulas.b64(payload),
            "payloadType": formulas.PAYLOAD_TYPE,
            "signatures": sorted(signatures, key=lambda signature: signature["keyid"]),
        }
        edited = self.edit_receipt(envelope)
        made[RECEIPT] = edited if isinstance(edited, bytes) else encoded(edited)
        return made


def _replace(value: Json, mapping: Mapping[str, str]) -> None:
    items: Iterable[tuple[Any, Json]]
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return
    for key, item in items:
        if isinstance(item, str):
            if item in mapping:
                value[key] = mapping[item]
        else:
            _replace(item, mapping)
