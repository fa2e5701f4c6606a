"""Lies about the folder, the agreement and the receipt's form: A to C."""

from __future__ import annotations

import json

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import RECEIPT, Run, encoded
from tests.protocols.cases.lies import Json, bad, pretty

AGREEMENT = "agreement.toml"


# --- A: the folder -------------------------------------------------------------------------------


@bad("A1", "plain", "Only the files that the protocol names belong into a run folder.")
def file_of_another_name(run: Run) -> str:
    run.files["notes.txt"] = b"The receipt names this file, too.\n"
    return "notes.txt"


@bad("A1", "plain", "There is no message of this kind.")
def message_file_of_unknown_kind(run: Run) -> str:
    run.files["transcript/teacher-1-099-gossip.json"] = b"{}"
    return "transcript/teacher-1-099-gossip.json"


@bad("A1", "plain", "A party's name has no capital letters.")
def ledger_file_of_no_party_name(run: Run) -> str:
    run.files["ledger-Teacher.jsonl"] = b"{}\n"
    return "ledger-Teacher.jsonl"


@bad("A1", "plain", "The folder has no folders but transcript and student.")
def folder_of_another_name(run: Run) -> str:
    run.files["student/more/head.safetensors"] = b""
    return "student/more"


@bad("A2", "plain", "A file is no link, also if it leads to the bytes that were signed.")
def link_in_the_place_of_a_file(run: Run) -> str:
    run.files["report.html"] = run.files["student/model-card.md"]
    run.links["report.html"] = "student/model-card.md"
    return "report.html"


@bad("A3", "plain", "A model card has at most 1 MiB.")
def model_card_beyond_its_limit(run: Run) -> str:
    run.files["student/model-card.md"] = b"# " + b"a" * 2**20 + b"\n"
    return "student/model-card.md"


@bad("A3", "plain", "A message has at most the size of its kind, by the file's size.")
def message_beyond_the_limit_of_its_kind(run: Run) -> str:
    file = run.one("result").path()
    run.edits[file] = lambda _data: b" " * (65_536 * 4 // 3 + 65_537)
    return file


@bad("A5", "plain", "Reading JSON costs memory by value, not by byte.")
def summary_of_a_million_values(run: Run) -> str:
    run.summary["class_names"] = [""] * 1_000_001
    return "summary.json"


@bad("A4", "plain", "The model card is one of the ten files that are always there.")
def model_card_missing(run: Run) -> str:
    del run.files["student/model-card.md"]
    return "student/model-card.md"


# --- B: the agreement ----------------------------------------------------------------------------


@bad("B1", "plain", "TOML allows no key twice.")
def agreement_names_a_key_twice(run: Run) -> str:
    run.edits[AGREEMENT] = lambda data: b"version = 1\n" + data
    return AGREEMENT


@bad("B1", "plain", "No byte order mark.")
def agreement_with_byte_order_mark(run: Run) -> str:
    run.edits[AGREEMENT] = lambda data: b"\xef\xbb\xbf" + data
    return AGREEMENT


@bad("B1", "plain", "Where a text may go over several lines, a comment may be none.")
def agreement_with_a_comment_of_many_dots_and_three_quotes(run: Run) -> str:
    run.edits[AGREEMENT] = lambda data: b'# """' + b"." * 101 + b"\n" + data
    return AGREEMENT


@bad("B2", "plain", "An int is not spelled with a point.")
def agreement_with_a_float_for_an_integer(run: Run) -> str:
    run.terms["limits"]["max_burned"] = 2.0
    return AGREEMENT


@bad("B3", "plain", "R11: a sum of two teachers may never be opened.")
def agreement_selects_fewer_than_the_smallest_sum(run: Run) -> str:
    run.terms["selection"]["select"] = 2
    return AGREEMENT


@bad("B4", "plain", "L2: this noise does not give the promised epsilon.")
def agreement_promises_a_smaller_epsilon_than_its_noise_gives(run: Run) -> str:
    run.terms["privacy"]["epsilon"] = 3.9
    return AGREEMENT


@bad("B5", "plain", "Every party signs.")
def agreement_that_a_teacher_did_not_sign(run: Run) -> str:
    run.skipped.add("agreement")
    del run.terms["signatures"]["teacher-1"]
    return AGREEMENT


@bad("B5", "plain", "Nobody else signs.")
def agreement_signed_by_nobody_known(run: Run) -> str:
    run.terms["signatures"]["teacher-9"] = run.terms["signatures"]["teacher-1"]
    return AGREEMENT


@bad("B5", "plain", "Each party signs with its own key.")
def agreement_signed_for_one_party_by_another(run: Run) -> str:
    key = run.keys["teacher-2"]
    text = formulas.sign(key, "agreement", formulas.content(run.terms))
    run.terms["signatures"]["teacher-1"] = text
    return AGREEMENT


@bad("B6", "plain", "Noise of a simulation protects nobody.")
def agreement_that_allows_simulated_noise(run: Run) -> str:
    run.terms["simulation"] = True
    return AGREEMENT


# --- C: the receipt's form -----------------------------------------------------------------------


@bad("C1", "plain", "The receipt is canonical JSON.")
def receipt_with_white_space(run: Run) -> str:
    run.edit_receipt = lambda envelope: pretty(encoded(envelope))
    return RECEIPT


@bad("C2", "plain", "The receipt has exactly its members.")
def receipt_with_another_member(run: Run) -> str:
    run.edit_receipt = lambda envelope: {**envelope, "comment": ""}
    return RECEIPT


def _signature(run: Run, index: int, **changes: Json) -> str:
    def edit(envelope: Json) -> Json:
        envelope["signatures"][index] |= changes
        return envelope

    run.edit_receipt = edit
    return RECEIPT


@bad("C3", "plain", "The payload's type is fixed, also when it was signed.")
def receipt_of_another_payload_type(run: Run) -> str:
    kind = "application/json"

    def edit(envelope: Json) -> Json:
        payload = formulas.canonical(run.statement)
        data = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
        by_key = {formulas.public(key): key for key in run.keys.values()}
        for signature in envelope["signatures"]:
            signature["sig"] = formulas.b64(by_key[signature["keyid"]].sign(data))
        return {**envelope, "payloadType": kind}

    run.edit_receipt = edit
    return RECEIPT


@bad("C3", "plain", "Every letter of the payload's type counts, also when another was signed.")
def receipt_of_a_payload_type_with_another_letter(run: Run) -> str:
    run.edit_receipt = lambda envelope: {**envelope, "payloadType": "application/vndxin-toto+json"}
    return RECEIPT


@bad("C4", "plain", "Signatures are in ascending order of their keys.")
def receipt_with_signatures_in_another_order(run: Run) -> str:
    run.edit_receipt = lambda envelope: {
        **envelope,
        "signatures": envelope["signatures"][::-1],
    }
    return RECEIPT


@bad("C4", "plain", "Every key is a party's.")
def receipt_signed_by_a_key_of_nobody(run: Run) -> str:
    run.keys["somebody"] = formulas.known_key("somebody")
    run.signers = [*run.signers, "somebody"]
    run.skipped.add("claims")
    return RECEIPT


@bad("C5", "plain", "The signature is of another key.")
def receipt_signed_for_one_party_by_another(run: Run) -> str:
    def edit(envelope: Json) -> Json:
        one, other = envelope["signatures"][:2]
        one["sig"] = other["sig"]
        return envelope

    run.edit_receipt = edit
    return RECEIPT


@bad("C5", "plain", "What is signed is DSSE's encoding with the type, not the bare payload.")
def receipt_whose_signatures_are_of_the_bare_payload(run: Run) -> str:
    def edit(envelope: Json) -> Json:
        by_key = {formulas.public(key): key for key in run.keys.values()}
        for signature in envelope["signatures"]:
            bare = by_key[signature["keyid"]].sign(formulas.canonical(run.statement))
            signature["sig"] = formulas.b64(bare)
        return envelope

    run.edit_receipt = edit
    return RECEIPT


@bad("C6", "plain", "What is signed is canonical JSON, too.")
def statement_with_white_space(run: Run) -> str:
    run.edit_payload = pretty
    return RECEIPT


@bad("C6", "plain", "The statement has exactly its members.")
def statement_with_another_member(run: Run) -> str:
    run.statement["predicate"]["verified"] = True
    return RECEIPT


def _subjects(run: Run, edit: Json) -> str:
    def changed(payload: bytes) -> bytes:
        value = json.loads(payload)
        value["subject"] = edit(value["subject"])
        return encoded(value)

    run.edit_payload = changed
    return RECEIPT


@bad("C6", "plain", "Files are in ascending order of their names.")
def statement_with_files_in_another_order(run: Run) -> str:
    return _subjects(run, lambda subjects: subjects[::-1])


@bad("C7", "plain", "A file that the receipt does not name was added.")
def report_that_the_receipt_does_not_name(run: Run) -> str:
    _subjects(run, lambda subjects: [s for s in subjects if s["name"] != "report.html"])
    return "report.html"


@bad("C7", "plain", "A file that the receipt names is missing.")
def ledger_that_the_receipt_names_missing(run: Run) -> str:
    def edit(files: dict[str, bytes]) -> None:
        del files["ledger-teacher-2.jsonl"]

    run.after = edit
    return "ledger-teacher-2.jsonl"


@bad("C7", "plain", "The file is another than the one that was signed.")
def report_changed_after_it_was_signed(run: Run) -> str:
    def edit(files: dict[str, bytes]) -> None:
        files["report.html"] = files["report.html"].replace(b"left", b"Left")

    run.after = edit
    return "report.html"


@bad("C7", "plain", "Paths lead nowhere outside.")
def statement_with_a_path_that_climbs_out(run: Run) -> str:
    name = "../report.html"
    entry = {"name": name, "digest": {"sha256": "00" * 32}}
    _subjects(run, lambda subjects: [entry, *subjects])
    return name
