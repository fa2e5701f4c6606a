"""A forger's workshop: take an honest run folder apart, lie, and make the rest fit again.

The forger may have every party's signing key. It changes what it likes, then asks for the
files with everything from some step on derived anew from what stands before it (hashes,
ids, signatures, the receipt), so that one lie stands alone and only the check that is meant
for it can find it.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any

import tomli_w

from secure_fedsa import release_log
from secure_fedsa.agreement import Agreement, from_dict
from secure_fedsa.audit.evidence import InMemory
from secure_fedsa.audit.layout import check_layout, message_file
from secure_fedsa.audit.verify import Verdict, verify_evidence
from secure_fedsa.encryption.paillier import PaillierSecret, residue_to_bytes
from secure_fedsa.encryption.query_proof import prove_modulus
from secure_fedsa.encryption.suite import suite_of
from secure_fedsa.messages import RULES, QueryKey, Roster
from secure_fedsa.privacy.ledger_entries import entry_hash
from secure_fedsa.report import claims, receipt
from secure_fedsa.report.notices import notices
from secure_fedsa.report.receipt import Statement
from secure_fedsa.roles.rosters import roster_hash_of
from secure_fedsa.roles.session import Session, run_id_of
from secure_fedsa.signals import Encrypted
from secure_fedsa.wire import agreement_signatures, bodies, canonical
from secure_fedsa.wire import envelope as wire
from secure_fedsa.wire.keys import IdentityKey
from tests.audit.folders import Folder, honest

Value = dict[str, Any]

STEPS = (
    "agreement",
    "run",
    "keys",
    "ledgers",
    "rosters",
    "signatures",
    "uploads",
    "sum",
    "release",
    "log",
    "student",
    "summary",
    "ledger-files",
    "receipt",
)
"""What can be derived anew, in order; each rests on those before it."""


def verify(files: Mapping[str, bytes], trust: Mapping[str, str] | None = None) -> Verdict:
    """Verify files in memory exactly as a folder is, names and sizes included."""
    check_layout({name: len(data) for name, data in files.items()})
    return verify_evidence(InMemory(files), trust)


class Forgery:
    """An honest run taken apart.

    Attributes:
        identities: Signing keys; replace them to sign with others.
        terms: The agreement as its TOML says it.
        messages: {header, body, signature} by message; order and names follow the headers.
        files: All other files but the receipt.
        summary: What summary.json says.
        log: The release log's one entry.
        predicate: What the receipt states.
        signers: Who signs the receipt.
        primes: A query key that the forger has, to prove its modulus for another run id.
    """

    def __init__(
        self, variant: str = "default", number: int = 0, *, folder: Folder | None = None
    ) -> None:
        folder = folder or honest(variant, number)
        self.identities: dict[str, IdentityKey] = dict(folder.identities)
        self.terms: Value = tomllib.loads(folder.files["agreement.toml"].decode())
        self.messages: list[Value] = []
        self.files: dict[str, bytes] = {}
        for name, data in folder.proposal.items():
            if name.startswith("transcript/"):
                self.messages.append(json.loads(data))
            else:
                self.files[name] = data
        self.summary: Value = canonical.decode(self.files["summary.json"])
        self.log: Value = canonical.decode(self.files["release-log.jsonl"][:-1])
        opened = receipt.open_receipt(folder.files[receipt.FILE_NAME], folder.keys)
        self.predicate: Value = dict(opened.statement.predicate)
        del self.predicate["transcript_root"]  # made anew, unless a lie sets it
        self.signers: tuple[str, ...] = opened.signers
        self.primes: PaillierSecret | None = None
        self.original = folder

    # --- finding and changing -----------------------------------------------------

    def all(self, kind: str, sender: str = "", recipient: str = "") -> list[Value]:
        """Return messages of a kind."""
        return [
            message
            for message in self.messages
            if message["header"]["kind"] == kind
            and sender in ("", message["header"]["sender"])
            and recipient in ("", message["header"]["recipient"])
        ]

    def message(self, kind: str, sender: str = "", recipient: str = "") -> Value:
        """Return the first message of a kind."""
        return self.all(kind, sender, recipient)[0]

    def body(self, kind: str, sender: str = "") -> Value:
        """Return the body of the first message of a kind."""
        body: Value = self.message(kind, sender)["body"]
        return body

    def name(self, message: Value) -> str:
        """Return the file of a message."""
        header = message["header"]
        return message_file(header["sender"], header["sequence"], header["kind"])

    def remove(self, message: Value) -> None:
        """Leave a message out; its sender's later ones take lower numbers."""
        self.messages.remove(message)
        header = message["header"]
        for other in self.messages:
            at = other["header"]
            if at["sender"] == header["sender"] and at["sequence"] > header["sequence"]:
                at["sequence"] -= 1

    def add(self, kind: str, sender: str, body: Value | None, recipient: str = "*") -> Value:
        """Add a message at the end of its sender's; without a body a sealed or withheld one."""
        sent = [m for m in self.messages if m["header"]["sender"] == sender]
        header = {
            **self.message("ready")["header"],
            "sender": sender,
            "recipient": recipient,
            "sequence": len(sent),
            "kind": kind,
            "class": RULES[kind].message_class,
            "body_sha256": "00" * 32,
        }
        message: Value = {"header": header, "signature": ""}
        if body is not None:
            message["body"] = body
        self.messages.append(message)
        return message

    def double(self, message: Value) -> Value:
        """Send a message a second time, under its sender's next number."""
        header = message["header"]
        doubled = self.add(header["kind"], header["sender"], message.get("body"))
        doubled["header"] = {**header, "sequence": doubled["header"]["sequence"]}
        return doubled

    @property
    def agreement(self) -> Agreement:
        """The agreement as it stands."""
        return from_dict(self.terms)

    @property
    def run_id(self) -> str:
        """The run id as the messages have it."""
        run_id: str = self.message("keys")["header"]["run_id"]
        return run_id

    # --- making it fit again ------------------------------------------------------

    def build(self, redo: str = "receipt") -> dict[str, bytes]:
        """Return the folder's files, everything from step ``redo`` on derived anew.

        Messages are always signed anew, by whoever :attr:`identities` has for their sender.
        """
        for step in STEPS[STEPS.index(redo) : -1]:
            getattr(self, f"_redo_{step.replace('-', '_')}")()
        files = dict(self.files)
        files["agreement.toml"] = tomli_w.dumps(self.terms).encode()
        for message in self.messages:
            files[self.name(message)] = self._unchanged(message) or self.sign(message)
        files["summary.json"] = canonical.encode(self.summary)
        files["release-log.jsonl"] = canonical.encode(self.log) + b"\n"
        return self.receipt(files)

    def _unchanged(self, message: Value) -> bytes:
        """Return a message's honest bytes if it is still the same, else nothing."""
        sender = message["header"]["sender"]
        if self.identities.get(sender) is not self.original.identities.get(sender):
            return b""
        honest_bytes = self.original.files.get(self.name(message), b"")
        return honest_bytes if honest_bytes == canonical.encode(message) else b""

    def sign(self, message: Value) -> bytes:
        """Return a message's bytes, its body's hash and its signature made anew."""
        header = message["header"]
        if "body" in message and header.get("class") == "public":
            header["body_sha256"] = canonical.sha256(canonical.encode(message["body"]))
        identity = self.identities.get(header["sender"], next(iter(self.identities.values())))
        signature = identity.sign(wire.DOMAIN, canonical.encode(header))
        message["signature"] = canonical.to_base64(signature)
        return canonical.encode(message)

    def receipt(self, files: Mapping[str, bytes]) -> dict[str, bytes]:
        """Return files with a receipt over them that its signers really signed."""
        rest = {name: data for name, data in files.items() if name != receipt.FILE_NAME}
        root = receipt.transcript_root(self.hash(message) for message in self.messages)
        predicate = {"transcript_root": root, **self.predicate}
        subjects = {name: canonical.sha256(data) for name, data in rest.items()}
        payload = receipt.payload_of(Statement(subjects, predicate))
        endorsements = [receipt.sign(payload, self.identities[name]) for name in self.signers]
        return {**rest, receipt.FILE_NAME: receipt.assemble(payload, endorsements)}

    @staticmethod
    def hash(message: Value) -> str:
        """Return the envelope hash of a signed message."""
        return canonical.digest(wire.DOMAIN, message["header"])

    def _redo_agreement(self) -> None:
        """Every party signs the agreement as it stands, and each message names it."""
        for name in self.terms["parties"]:
            self.terms["parties"][name]["key"] = self.identities[name].public.hex()
        content = self.agreement.content()
        self.terms["signatures"] = {
            name: canonical.to_base64(
                self.identities[name].sign(agreement_signatures.DOMAIN, canonical.encode(content))
            )
            for name in self.terms["parties"]
        }
        named = agreement_signatures.agreement_hash(self.agreement)
        for message in self.messages:
            message["header"]["agreement"] = named

    def _redo_run(self) -> None:
        """The run id follows from the nonces; the query key is proved for it."""
        nonces = {
            message["header"]["sender"]: canonical.from_base64(message["body"]["nonce"])
            for message in self.all("nonce")
        }
        run_id = run_id_of(self.message("nonce")["header"]["agreement"], nonces)
        for message in self.messages:
            if message["header"]["kind"] != "nonce":
                message["header"]["run_id"] = run_id
        if self.primes is not None:
            modulus = self.primes.modulus
            roots = prove_modulus(self.primes, run_id=run_id, student="student")
            body = self.body("query-key")
            body["modulus"] = canonical.to_base64(residue_to_bytes(modulus, modulus + 1))
            body["proof"] = [canonical.to_base64(residue_to_bytes(r, modulus)) for r in roots]

    def session(self) -> Session:
        """Return the opening phases as the messages have them."""
        return Session(
            "",
            self.agreement,
            agreement_signatures.agreement_hash(self.agreement),
            run_id=self.run_id,
            sealing_keys={
                message["header"]["sender"]: canonical.from_base64(message["body"]["sealing_key"])
                for message in self.all("keys")
            },
            feature_key=canonical.from_base64(self.body("feature-key")["public_key"]),
            query_key=bodies.from_json(QueryKey, self.body("query-key")),
        )

    def _redo_keys(self) -> None:
        session = self.session()
        for message in self.all("ready"):
            message["body"]["keys_hash"] = session.keys_hash
            message["body"]["query_hash"] = self.body("query-key")["query_hash"]

    def _redo_ledgers(self) -> None:
        named = self.message("ledger")["header"]["agreement"]
        for message in self.all("ledger"):
            previous = ""
            for entry in message["body"]["entries"]:
                entry["run_id"] = self.run_id
                if entry["kind"] == "reserve":
                    entry["body"]["agreement"] = named
                if previous:
                    entry["previous"] = previous
                previous = entry["hash"] = entry_hash(entry)
            message["body"]["head"] = previous

    def _redo_rosters(self) -> None:
        ready = self.body("ready")
        heads = {m["header"]["sender"]: m["body"]["head"] for m in self.all("ledger")}
        for message in self.all("roster"):
            body = message["body"]
            body["keys_hash"], body["query_hash"] = ready["keys_hash"], ready["query_hash"]
            body["ledger_heads"] = {name: heads[name] for name in body["ledger_heads"]}

    @property
    def roster(self) -> Value:
        """The body of the last roster."""
        body: Value = self.all("roster")[-1]["body"]
        return body

    def roster_hash(self, body: Value | None = None) -> str:
        """Return the hash of a roster, the last one if none is given."""
        return roster_hash_of(bodies.from_json(Roster, body or self.roster), self.run_id)

    def _redo_signatures(self) -> None:
        for message in self.all("roster-signature"):
            message["body"]["roster_hash"] = self.roster_hash()

    @property
    def signal_ids(self) -> dict[str, str]:
        """The charges of the last roster's members."""
        return {
            m["header"]["sender"]: m["body"]["entries"][0]["hash"]
            for m in self.all("ledger")
            if m["header"]["sender"] in self.roster["members"]
        }

    def _redo_uploads(self) -> None:
        key = canonical.from_base64(self.body("feature-key")["public_key"])
        for message in self.all("upload"):
            if "body" in message and message["header"]["sender"] in self.roster["members"]:
                message["body"]["roster_hash"] = self.roster_hash()
                message["body"]["key_id"] = canonical.sha256(key)
                message["body"]["signal_id"] = self.signal_ids[message["header"]["sender"]]

    def _redo_sum(self) -> None:
        if "body" not in self.message("sum"):
            return
        for message in self.all("upload"):
            self.sign(message)
        body = self.body("sum")
        body["roster_hash"] = self.roster_hash()
        members = self.roster["members"]
        body["uploads"] = {name: self.hash(self.message("upload", name)) for name in members}

    def add_up(self) -> None:
        """Make the sum the members' sum, and let the release open it."""
        suite, body = suite_of(self.agreement), self.body("sum")
        uploads = {
            name: Encrypted(
                canonical.from_base64(self.body("upload", name)["ciphertext"]), body["values"]
            )
            for name in self.roster["members"]
        }
        total = suite.add(uploads)
        body["ciphertext"] = canonical.to_base64(total.ciphertext)
        release = self.body("release")
        opened = suite.decrypt(canonical.from_base64(release["secret_key"]), total)
        release["values"] = canonical.to_base64(opened.values.astype("<i8").tobytes())

    def _redo_release(self) -> None:
        for message in [*self.all("permit"), *self.all("release")]:
            message["body"]["roster_hash"] = self.roster_hash()
            message["body"]["signal_ids"] = self.signal_ids
            if "body" in self.message("sum"):
                total = canonical.from_base64(self.body("sum")["ciphertext"])
                message["body"]["sum_hash"] = canonical.sha256(total)

    def _redo_log(self) -> None:
        release = self.body("release")
        sets = {
            m["header"]["sender"]: m["body"]["entries"][0]["data_set"] for m in self.all("ledger")
        }
        members = self.roster["members"]
        self.log["body"] = {
            "run_id": self.run_id,
            "agreement": self.message("release")["header"]["agreement"],
            "roster_hash": release["roster_hash"],
            "members": members,
            "data_sets": {name: sets[name] for name in members},
            "sum_hash": release["sum_hash"],
            "signal_ids": release["signal_ids"],
        }
        self.rehash_log()

    def rehash_log(self) -> None:
        """Make the log entry's hash its content's."""
        content = {name: value for name, value in self.log.items() if name != "hash"}
        self.log["hash"] = canonical.digest(release_log.DOMAIN, content)

    def _redo_student(self) -> None:
        parts = {"network": "network.safetensors", "architecture": "architecture.json"}
        hashes = {
            part: canonical.sha256(self.files[f"student/{name}"])
            for part, name in {**parts, "head": "head.safetensors"}.items()
        }
        digest = canonical.digest("secure-fedsa/v1/student", hashes)
        self.body("result")["student_sha256"] = digest
        opened = self.message("release" if self.terms["publish"]["sums"] else "sealed-sum")
        self.sign(opened)
        self.body("result")["opened"] = self.hash(opened)

    def _redo_summary(self) -> None:
        self.summary["run_id"] = self.run_id
        scores = self.roster["scores"] if self.terms["publish"]["scores"] == "values" else {}
        for teacher in self.summary["teachers"]:
            teacher["selected"] = teacher["id"] in self.roster["members"]
            teacher["score"] = scores.get(teacher["id"])

    def _redo_ledger_files(self) -> None:
        for name in [name for name in self.files if name.startswith("ledger-")]:
            del self.files[name]
        for message in self.all("ledger"):
            sender = message["header"]["sender"]
            head = self.roster["ledger_heads"].get(sender)
            lines = [*message["body"]["entries"], {"countersigned_head": head, "by": "key-holder"}]
            data = b"".join(canonical.encode(line) + b"\n" for line in lines)
            self.files[f"ledger-{sender}.jsonl"] = data
        self._restate()

    def _restate(self) -> None:
        """State in the receipt what the folder now gives, and let the right parties sign."""
        agreement, members = self.agreement, self.roster["members"]
        charged = [message["header"]["sender"] for message in self.all("ledger")]
        self.predicate = {
            "version": 1,
            "agreement": agreement_signatures.agreement_hash(agreement),
            "run_id": self.run_id,
            "recomputed": claims.recomputed(agreement),
            "attested": claims.attested(agreement, members, charged),
        }
        if told := notices(agreement):
            self.predicate["notices"] = told
        self.signers = claims.signers(agreement, members)
