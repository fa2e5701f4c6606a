"""Lies about records, the summary, the receipt's meaning, and who left: L to P."""

from __future__ import annotations

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import LOG, RECEIPT, Run
from tests.protocols.cases.lies import abort, bad, double, pretty

SUMMARY = "summary.json"

# --- L, M: the log and the student ---------------------------------------------------------------


@bad("L1", "plain", "A folder has the one line of its run.")
def release_log_with_two_lines(run: Run) -> str:
    run.log.append(dict(run.log[0]))
    return LOG


@bad("L1", "plain", "A line ends with a line feed.")
def release_log_without_a_line_feed(run: Run) -> str:
    run.edits[LOG] = lambda data: data.rstrip(b"\n")
    return LOG


@bad("L1", "plain", "A line is canonical JSON.")
def release_log_with_white_space(run: Run) -> str:
    run.edits[LOG] = lambda data: data.replace(b'":', b'": ', 1)
    return LOG


@bad("L2", "plain", "A line's hash is that of its content.")
def release_log_with_another_hash(run: Run) -> str:
    run.log[0]["hash"] = "00" * 32
    return LOG


@bad("L2", "plain", "A line has exactly its members.")
def release_log_with_another_member(run: Run) -> str:
    run.log[0]["time"] = "noon"
    return LOG


@bad("L2", "plain", "Nothing stands before the first line.")
def release_log_whose_first_line_has_one_before(run: Run) -> str:
    run.log[0]["previous"] = "11" * 32
    return LOG


@bad("L2", "plain", "A later line names the one before.")
def release_log_whose_second_line_has_none_before(run: Run) -> str:
    run.log[0]["position"] = 1
    return LOG


@bad("L3", "plain", "The log is of this release.")
def release_log_of_another_sum(run: Run) -> str:
    run.log[0]["body"]["sum_hash"] = "00" * 32
    return LOG


@bad("L3", "plain", "The log names the data sets of the ledgers.")
def release_log_of_another_data_set(run: Run) -> str:
    run.log[0]["body"]["data_sets"]["teacher-2"] = "another"
    return LOG


@bad("L3", "plain", "The log has all members.")
def release_log_that_leaves_out_a_member(run: Run) -> str:
    run.log[0]["body"]["members"].pop()
    return LOG


@bad("M1", "plain", "The student is the one that was signed.")
def student_that_was_not_signed(run: Run) -> str:
    run.skipped.add("student")
    run.files["student/head.safetensors"] += b"\x00"
    return run.one("result").path()


@bad("M1", "plain", "There is one result.")
def result_twice(run: Run) -> str:
    return double(run, run.one("result"))


@bad("M1", "plain", "The student came from the released sum.")
def result_of_another_release(run: Run) -> str:
    run.one("result").body["opened"] = "00" * 32
    return run.one("result").path()


@bad("M1", "sealed", "The student came from the sum that was sealed to it.")
def result_of_the_release_where_the_sum_was_sealed(run: Run) -> str:
    release = run.one("release")
    run.one("result").body["opened"] = formulas.digest("envelope", release.header)
    return run.one("result").path()


@bad("M2", "plain", "The encoder is the agreed one.")
def encoder_that_was_not_agreed(run: Run) -> str:
    run.skipped.add("encoder")
    run.files["student/encoder.safetensors"] += b"\x00"
    return "student/encoder.safetensors"


# --- N: the summary ------------------------------------------------------------------------------


@bad("N1", "plain", "The summary is canonical JSON.")
def summary_with_white_space(run: Run) -> str:
    run.edits[SUMMARY] = pretty
    return SUMMARY


@bad("N1", "plain", "The summary has exactly its members.")
def summary_with_another_member(run: Run) -> str:
    run.summary["verified"] = True
    return SUMMARY


@bad("N2", "plain", "Epsilon follows from the events that were charged.")
def summary_with_a_smaller_epsilon(run: Run) -> str:
    run.summary["epsilon"] *= 0.999
    return SUMMARY


@bad("N2", "plain", "Against everybody together, the same epsilon holds.")
def summary_with_a_smaller_epsilon_for_one_view(run: Run) -> str:
    run.summary["epsilon_by_view"]["auditor"] *= 0.999
    return SUMMARY


@bad("N2", "plain", "false is not 0.")
def summary_simulated_zero(run: Run) -> str:
    run.summary["simulated"] = 0
    return SUMMARY


@bad("N2", "two-rosters", "Who was selected, the roster says.")
def summary_with_another_teacher_selected(run: Run) -> str:
    run.summary["teachers"][0]["selected"] = True
    return SUMMARY


@bad("N2", "plain", "A score that is not published is not in the summary.")
def summary_with_a_score_that_is_not_published(run: Run) -> str:
    run.summary["teachers"][1]["score"] = 1
    return SUMMARY


@bad("N2", "plain", "The summary is of this run.")
def summary_of_another_run(run: Run) -> str:
    run.summary["run_id"] = "00" * 32
    return SUMMARY


# --- O, P: what the receipt says, and who left ---------------------------------------------------


@bad("O1", "plain", "The receipt is of this run.")
def receipt_of_another_run(run: Run) -> str:
    run.statement["predicate"]["run_id"] = "00" * 32
    return RECEIPT


@bad("O1", "plain", "The receipt is of these messages.")
def receipt_of_other_messages(run: Run) -> str:
    run.statement["predicate"]["transcript_root"] = "00" * 32
    return RECEIPT


@bad("O1", "plain", "The receipt is of this agreement.")
def receipt_of_another_agreement(run: Run) -> str:
    run.statement["predicate"]["agreement"] = "00" * 32
    return RECEIPT


@bad("O2", "sealed", "What nobody can recompute is not called recomputed.")
def receipt_that_claims_a_decryption_nobody_can_repeat(run: Run) -> str:
    run.statement["predicate"]["recomputed"].insert(-1, "decryption")
    return RECEIPT


@bad("O2", "plain", "Nobody can recompute that noise was drawn.")
def receipt_that_does_not_say_whose_word_the_noise_is(run: Run) -> str:
    attested = run.statement["predicate"]["attested"]
    run.statement["predicate"]["attested"] = [
        entry for entry in attested if entry["claim"] != "noise-was-drawn"
    ]
    return RECEIPT


@bad("O2", "plain", "The claims have an order.")
def receipt_with_claims_in_another_order(run: Run) -> str:
    run.statement["predicate"]["recomputed"].reverse()
    return RECEIPT


@bad("O2", "plain", "The word for the accuracy is the aggregator's.")
def receipt_with_the_accuracy_attested_by_the_student(run: Run) -> str:
    next(entry for entry in run.statement["predicate"]["attested"] if entry["claim"] == "accuracy")[
        "by"
    ] = ["student"]
    return RECEIPT


@bad("O3", "two-rosters", "Every member signs.")
def receipt_that_a_member_did_not_sign(run: Run) -> str:
    run.signers.remove("teacher-2")
    return RECEIPT


@bad("O3", "plain", "The student does not sign.")
def receipt_that_the_student_signed_too(run: Run) -> str:
    run.signers.append("student")
    return RECEIPT


@bad("O3", "two-rosters", "A teacher that was left out has nothing to sign.")
def receipt_signed_by_the_wrong_roles(run: Run) -> str:
    run.signers[:] = ["student", "teacher-1"]
    return RECEIPT


@bad("P1", "two-rosters", "A member that gave up was no member.")
def abort_of_a_member(run: Run) -> str:
    letter = abort(run, "none")
    run.letters.remove(letter)
    moved = run.add(letter, sender="teacher-2")
    return moved.path()


@bad("P1", "two-rosters", "Without the key holder there is no release.")
def abort_of_the_key_holder(run: Run) -> str:
    letter = abort(run, "none")
    run.letters.remove(letter)
    return run.add(letter, sender="key-holder").path()
