"""Lies about single messages: D."""

from __future__ import annotations

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import Run, encoded
from tests.protocols.cases.lies import abort, bad, double, pretty

# --- D: single messages --------------------------------------------------------------------------


@bad("D1", "plain", "A message is canonical JSON, whatever the receipt says of its bytes.")
def message_with_white_space(run: Run) -> str:
    file = run.one("result").path()
    run.edits[file] = pretty
    return file


@bad("D1", "plain", "No key stands twice.")
def message_with_a_key_twice(run: Run) -> str:
    file = run.one("result").path()
    run.edits[file] = lambda data: data.replace(b'{"body"', b'{"body":{},"body"', 1)
    return file


@bad("D2", "plain", "A sealed body is nobody's to show.")
def sealed_body_shown(run: Run) -> str:
    letter = run.one("reply")
    letter.value["body"] = ""
    return letter.path()


@bad("D2", "plain", "A public body is shown.")
def public_body_withheld(run: Run) -> str:
    letter = run.one("result")
    del letter.value["body"]
    return letter.path()


@bad("D2", "sealed", "Ciphertexts that are not published are not there.")
def upload_shown_though_ciphertexts_are_not_published(run: Run) -> str:
    letter = run.one("upload")
    letter.value["body"] = {"ciphertext": ""}
    letter.header["body_sha256"] = formulas.sha256(encoded(letter.body))
    return letter.path()


@bad("D3", "plain", "A header has exactly its members.")
def header_with_another_member(run: Run) -> str:
    letter = run.one("result")
    letter.header["time"] = "noon"
    return letter.path()


@bad("D3", "plain", "A sequence number is an integer.")
def sequence_as_text(run: Run) -> str:
    letter = run.one("nonce")
    letter.header["sequence"] = "0"
    return letter.path()


@bad("D3", "plain", "A hash is written in small letters.")
def body_hash_in_capitals(run: Run) -> str:
    letter = run.one("reply")
    letter.header["body_sha256"] = letter.header["body_sha256"].upper()
    return letter.path()


@bad("D4", "plain", "A file's name is made from the header, with three digits.")
def message_under_another_number(run: Run) -> str:
    letter = run.one("result")
    letter.file = letter.path().replace("-0", "-00")
    return letter.file


@bad("D5", "plain", "There is only version 1.")
def message_of_version_2(run: Run) -> str:
    letter = run.one("nonce", "student")
    letter.header["version"] = 2
    return letter.path()


@bad("D5", "plain", "All messages are of this agreement: an older one does not count.")
def older_agreement(run: Run) -> str:
    run.terms["title"] += ", with a new title"
    run.skipped |= {"agreement"}
    content = formulas.content(run.terms)
    run.terms["signatures"] = {
        name: formulas.sign(key, "agreement", content) for name, key in run.keys.items()
    }
    run.statement["predicate"]["agreement"] = formulas.digest("agreement", content)
    return "transcript/aggregator-000-nonce.json"


@bad("D6", "plain", "Nobody outside the agreement has a say.")
def message_of_nobody_known(run: Run) -> str:
    letter = run.add(run.one("abort") if run.of("abort") else run.one("ready"), sender="teacher-9")
    letter.header["sequence"] = 0
    return letter.path()


@bad("D6", "plain", "A score's blind is always sealed.")
def sealed_kind_sent_as_public(run: Run) -> str:
    letter = run.one("blind")
    letter.header["class"] = "public"
    return letter.path()


@bad("D7", "plain", "Only the key holder signs rosters.")
def roster_of_a_teacher(run: Run) -> str:
    return run.add(run.one("roster"), sender="teacher-1").path()


@bad("D7", "plain", "The custodian makes the feature key; here that is the key holder.")
def feature_key_of_the_aggregator(run: Run) -> str:
    return run.add(run.one("feature-key"), sender="aggregator").path()


@bad("D7", "sealed", "The custodian releases; here that is the aggregator.")
def release_of_the_key_holder(run: Run) -> str:
    return run.add(run.one("release"), sender="key-holder").path()


@bad("D8", "plain", "What is public is for everybody.")
def public_message_for_one_party(run: Run) -> str:
    letter = run.one("result")
    letter.header["recipient"] = "aggregator"
    return letter.path()


@bad("D8", "plain", "A blind is for the key holder: with the reply it is the score.")
def blind_for_the_aggregator(run: Run) -> str:
    letter = run.one("blind", "teacher-2")
    letter.header["recipient"] = "aggregator"
    return letter.path()


@bad("D8", "plain", "Nobody writes to itself.")
def mask_value_for_oneself(run: Run) -> str:
    letter = run.one("mask-share", "teacher-2")
    return run.add(letter, recipient="teacher-2").path()


@bad("D9", "plain", "The signature is of another party.")
def message_signed_by_another_party(run: Run) -> str:
    letter = run.one("result")
    letter.value["signature"] = formulas.sign(run.keys["aggregator"], "envelope", letter.header)
    return letter.path()


@bad("D10", "plain", "The header fixes the body.")
def body_that_was_not_signed(run: Run) -> str:
    letter = run.one("roster-signature", "teacher-1")
    letter.header["body_sha256"] = "00" * 32
    return letter.path()


@bad("D10", "two-rosters", "The body of an abort has at most 64 KiB.")
def body_beyond_its_limit(run: Run) -> str:
    return abort(run, "x" * 65_536).path()


@bad("D11", "plain", "A body has exactly its fields.")
def body_with_another_field(run: Run) -> str:
    letter = run.one("result")
    letter.body["note"] = ""
    return letter.path()


@bad("D11", "plain", "A number is no text.")
def body_with_text_for_an_integer(run: Run) -> str:
    letter = run.one("upload", "teacher-1")
    letter.body["values"] = str(letter.body["values"])
    return letter.path()


@bad("D11", "two-rosters", "true is not a number.")
def rank_true(run: Run) -> str:
    letter = run.of("roster")[0]
    best = min(letter.body["scores"], key=lambda name: letter.body["scores"][name])
    letter.body["scores"][best] = True
    return letter.path()


@bad("D11", "two-rosters", "A list of text holds text.")
def body_with_a_number_in_a_list_of_names(run: Run) -> str:
    letter = abort(run, "none")
    letter.body["missing"] = [1]
    return letter.path()


@bad("D11", "plain", "Bits behind the last byte of base64 are zero.")
def body_with_base64_that_is_not_canonical(run: Run) -> str:
    letter = run.one("release")
    text, last = letter.body["values"][:-2], letter.body["values"][-2]
    letter.body["values"] = f"{text}{chr(ord(last) + 1)}="  # the next character of the alphabet
    return letter.path()


@bad("D12", "plain", "Every message but a nonce is of this run.")
def message_of_another_run(run: Run) -> str:
    letter = run.one("reply", "teacher-2")
    letter.header["run_id"] = "00" * 32
    return letter.path()


@bad("D12", "plain", "A nonce is sent before there is a run id.")
def nonce_that_names_the_run(run: Run) -> str:
    letter = run.one("nonce", "student")
    letter.header["run_id"] = "00" * 32
    return letter.path()


@bad("D13", "two-rosters", "A sender's numbers have no gaps: something was left out.")
def gap_in_a_senders_numbers(run: Run) -> str:
    letter = run.of("mask-share", "teacher-1")[0]
    run.letters.remove(letter)
    number = letter.header["sequence"] + 1
    return next(
        one.path()
        for one in run.letters
        if (one.header["sender"], one.header["sequence"]) == ("teacher-1", number)
    )


@bad("D13", "two-rosters", "Nobody says two things under one number.")
def number_used_twice(run: Run) -> str:
    letter = run.one("reply", "teacher-1")
    double(run, run.one("roster-signature", "teacher-1"))
    run.letters[-1].header["sequence"] = letter.header["sequence"]
    return run.letters[-1].path()
