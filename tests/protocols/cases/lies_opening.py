"""Lies about nonces, keys, ledgers and rosters: E to G."""

from __future__ import annotations

import base64

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import Run
from tests.protocols.cases.lies import Json, bad, double, without

# --- E: the opening ------------------------------------------------------------------------------


@bad("E1", "plain", "Every party has a nonce in the run id.")
def nonce_missing(run: Run) -> str:
    return without(run, run.one("nonce", "teacher-1"))


@bad("E1", "plain", "A party has one nonce.")
def nonce_twice(run: Run) -> str:
    return double(run, run.one("nonce", "student"))


@bad("E1", "plain", "A nonce has 32 bytes.")
def nonce_of_31_bytes(run: Run) -> str:
    letter = run.one("nonce", "student")
    letter.body["nonce"] = formulas.b64(bytes(31))
    return letter.path()


@bad("E1", "plain", "A nonce is the first message of its sender.")
def nonce_after_the_keys(run: Run) -> str:
    nonce, keys = run.one("nonce", "student"), run.one("keys", "student")
    nonce.header["sequence"], keys.header["sequence"] = 1, 0
    return nonce.path()


@bad("E2", "plain", "The run id follows from the nonces: nobody brings back an earlier run.")
def run_id_that_the_nonces_do_not_give(run: Run) -> str:
    run.one("nonce", "student").body["nonce"] = formulas.b64(bytes(range(32)))
    run.skipped.add("run-id")
    return "transcript/aggregator-001-keys.json"


@bad("E3", "plain", "Two parties with one sealing key read each other's messages.")
def sealing_key_of_another_party(run: Run) -> str:
    one, other = run.one("keys", "teacher-1"), run.one("keys", "teacher-2")
    other.body["sealing_key"] = one.body["sealing_key"]
    return other.path()


def _sealing(run: Run, key: bytes) -> str:
    letter = run.one("keys", "student")
    letter.body["sealing_key"] = formulas.b64(key)
    return letter.path()


def _sealing_key(run: Run) -> bytes:
    return base64.b64decode(run.one("keys", "student").body["sealing_key"])


@bad("E3", "plain", "A point of low order gives every sender the same secret.")
def sealing_key_with_a_point_of_low_order(run: Run) -> str:
    return _sealing(run, _sealing_key(run)[:1184] + bytes(32))


@bad("E3", "plain", "A coefficient of ML-KEM's key is below 3329.")
def sealing_key_with_a_coefficient_of_4095(run: Run) -> str:
    return _sealing(run, b"\xff\x0f" + _sealing_key(run)[2:])


@bad("E4", "plain", "There is one feature key: two could open two sums.")
def feature_key_twice(run: Run) -> str:
    return double(run, run.one("feature-key"))


@bad("E4", "plain", "A run without encryption has no feature key.")
def feature_key_without_encryption(run: Run) -> str:
    letter = run.one("feature-key")
    letter.body["public_key"] = formulas.b64(b"none ")
    return letter.path()


@bad("E4", "sealed", "A run with encryption has a feature key.")
def feature_key_none_with_encryption(run: Run) -> str:
    letter = run.one("feature-key")
    letter.body["public_key"] = formulas.b64(b"none")
    return letter.path()


@bad("E4", "sealed", "The feature key is well formed, though no ciphertext under it is shown.")
def feature_key_cut_short_where_ciphertexts_are_withheld(run: Run) -> str:
    letter = run.one("feature-key")
    letter.body["public_key"] = formulas.b64(base64.b64decode(letter.body["public_key"])[:-3])
    return letter.path()


def _query_key(run: Run, modulus: int, proof: list[bytes]) -> str:
    letter = run.one("query-key")
    letter.body["modulus"] = formulas.b64(modulus.to_bytes(256, "big"))
    letter.body["proof"] = [formulas.b64(each) for each in proof]
    return letter.path()


@bad("E5", "sealed", "The proof is for another run: its challenges are others.")
def query_modulus_with_the_proof_of_another_run(run: Run) -> str:
    p, q = run.primes
    return _query_key(run, p * q, formulas.prove(p, q, "00" * 32, "student"))


@bad("E5", "sealed", "N = p p: a reply under it shows a whole signal.")
def query_modulus_that_is_a_square(run: Run) -> str:
    p, _ = run.primes
    return _query_key(run, p * p, formulas.prove(p, p, run.run_id, "student"))


@bad("E5", "plain", "A run without encryption has no query modulus.")
def query_modulus_without_encryption(run: Run) -> str:
    letter = run.one("query-key")
    letter.body["modulus"] = formulas.b64(b"more")
    return letter.path()


@bad("E6", "plain", "A party saw other keys than the others.")
def ready_for_other_keys(run: Run) -> str:
    letter = run.one("ready", "teacher-3")
    letter.body["keys_hash"] = "00" * 32
    return letter.path()


@bad("E6", "plain", "A party saw another query than the others.")
def ready_for_another_query(run: Run) -> str:
    letter = run.one("ready", "teacher-3")
    letter.body["query_hash"] = "00" * 32
    return letter.path()


@bad("E6", "plain", "Nobody is charged before everybody is ready.")
def ready_missing(run: Run) -> str:
    return without(run, run.one("ready", "teacher-3"))


@bad("E7", "plain", "Every teacher was asked.")
def query_to_a_teacher_missing(run: Run) -> str:
    return without(run, run.one("query", recipient="teacher-3"))


@bad("E7", "plain", "Nobody was asked twice.")
def query_to_a_teacher_twice(run: Run) -> str:
    return double(run, run.one("query", recipient="teacher-3"))


@bad("E8", "plain", "Without the primes the aggregator could not read a reply.")
def query_secret_missing(run: Run) -> str:
    return without(run, run.one("query-secret"))


# --- F: ledgers ----------------------------------------------------------------------------------


@bad("F1", "plain", "A teacher has one segment.")
def ledger_message_twice(run: Run) -> str:
    return double(run, run.one("ledger", "teacher-2"))


@bad("F2", "plain", "The last line is the head that the key holder countersigned.")
def ledger_file_with_another_countersigned_head(run: Run) -> str:
    file = "ledger-teacher-2.jsonl"
    run.ledgers[file][-1]["countersigned_head"] = "00" * 32
    return file


@bad("F2", "plain", "The file has the entries of the message.")
def ledger_file_with_fewer_entries_than_the_message(run: Run) -> str:
    file = "ledger-teacher-2.jsonl"
    del run.ledgers[file][1]
    return file


@bad("F2", "plain", "A teacher that sent a segment has a file.")
def ledger_file_missing(run: Run) -> str:
    file = "ledger-teacher-2.jsonl"
    del run.ledgers[file]
    return file


@bad("F2", "plain", "Nobody else has a file.")
def ledger_file_of_the_key_holder(run: Run) -> str:
    run.files["ledger-key-holder.jsonl"] = b"{}\n"
    return "ledger-key-holder.jsonl"


def _entry(run: Run, place: int, **changes: Json) -> str:
    letter = run.one("ledger", "teacher-2")
    letter.body["entries"][place] |= changes
    return letter.path()


def _charge(run: Run, **changes: Json) -> str:
    run.charges["teacher-2"]["body"] |= changes
    return run.one("ledger", "teacher-2").path()


@bad("F3", "plain", "An entry's hash is that of its content.")
def ledger_entry_with_another_hash(run: Run) -> str:
    return _entry(run, 1, hash="00" * 32)


@bad("F3", "plain", "Entries do not stand before earlier ones.")
def ledger_positions_that_fall(run: Run) -> str:
    return _entry(run, 1, position=0)


@bad("F3", "plain", "A commit comes after its charge.")
def ledger_commit_before_the_charge(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    first, second = letter.body["entries"]
    first["position"], second["position"] = second["position"], first["position"]
    first["previous"], second["previous"] = second["hash"], first["previous"]
    letter.body["entries"].reverse()
    letter.body["head"] = first["hash"]
    return letter.path()


@bad("F3", "plain", "A run is charged once.")
def ledger_with_two_charges(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    charge, last = letter.body["entries"]
    again = {**charge, "position": last["position"] + 1, "previous": last["hash"], "hash": "@1"}
    letter.body["entries"].append(again)
    letter.body["head"] = "@1"
    return letter.path()


@bad("F3", "plain", "The charge is the rho of its events.")
def ledger_charge_below_the_rho_of_its_events(run: Run) -> str:
    return _charge(run, rho=run.charges["teacher-2"]["body"]["rho"] / 2)


@bad("F4", "plain", "Less noise was charged than was agreed.")
def ledger_charge_of_other_noise_than_agreed(run: Run) -> str:
    event = dict(run.charges["teacher-2"]["body"]["events"][0])
    event["noise_scale"] *= 2
    cost = formulas.rho([event])
    return _charge(run, events=[event], rho=cost, agreement_rho=cost)


@bad("F4", "plain", "The charge is against the agreed budget.")
def ledger_charge_against_another_budget(run: Run) -> str:
    return _charge(run, budget=1000.0)


@bad("F4", "plain", "All charges together are within the agreed budget.")
def ledger_total_past_the_budget(run: Run) -> str:
    return _charge(run, agreement_rho=50.0)


@bad("F4", "plain", "The segment is of this run.")
def ledger_segment_of_another_run(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    for entry in letter.body["entries"]:
        entry["run_id"] = "00" * 32
    return letter.path()


@bad("F4", "plain", "A charge that was not committed covers no summary.")
def ledger_without_commit(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    letter.body["entries"].pop()
    letter.body["head"] = letter.body["entries"][-1]["hash"]
    return letter.path()


@bad("F5", "plain", "Two institutions with one data set are one.")
def data_set_of_another_teacher(run: Run) -> str:
    data_set = run.charges["teacher-2"]["data_set"]
    letter = run.one("ledger", "teacher-3")
    for entry in letter.body["entries"]:
        entry["data_set"] = data_set
    return letter.path()


@bad("F6", "plain", "The head is the hash of the last entry.")
def ledger_head_of_the_first_entry(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    letter.body["head"] = letter.body["entries"][0]["hash"]
    return letter.path()


# --- G: rosters ----------------------------------------------------------------------------------


@bad("G1", "two-rosters", "Rosters are numbered from 1.")
def rosters_numbered_from_2(run: Run) -> str:
    for roster in run.of("roster"):
        roster.body["number"] += 1
    return run.one("roster").path()


@bad("G1", "plain", "There is a roster.")
def roster_missing(run: Run) -> str:
    for roster in run.of("roster"):
        run.remove(roster)
    return "transcript/"


@bad("G2", "plain", "Members stand in ascending order.")
def roster_with_unsorted_members(run: Run) -> str:
    roster = run.of("roster")[0]
    roster.body["members"].reverse()
    return roster.path()


@bad("G2", "plain", "Members are teachers.")
def roster_with_the_student(run: Run) -> str:
    roster = run.of("roster")[0]
    roster.body["members"][0] = "student"
    roster.body["members"].sort()
    return roster.path()


@bad("G2", "two-rosters", "A sum of two teachers shows one to the other.")
def roster_below_the_smallest_sum(run: Run) -> str:
    roster = run.of("roster")[-1]
    roster.body["members"].pop()
    return roster.path()


@bad("G2", "two-rosters", "No more than select.")
def roster_of_more_than_select(run: Run) -> str:
    run.terms["selection"]["select"] = 3
    return run.of("roster")[0].path()


@bad("G3", "plain", "The roster is over the keys of this run.")
def roster_over_other_keys(run: Run) -> str:
    roster = run.of("roster")[0]
    roster.body["keys_hash"] = "00" * 32
    return roster.path()


@bad("G4", "two-rosters", "What is countersigned is what the teacher sent.")
def roster_with_a_head_that_nobody_sent(run: Run) -> str:
    roster = run.of("roster")[-1]
    roster.body["ledger_heads"]["teacher-1"] = "00" * 32
    return roster.path()


@bad("G4", "two-rosters", "Every member's head is countersigned.")
def roster_without_the_head_of_a_member(run: Run) -> str:
    roster = run.of("roster")[-1]
    del roster.body["ledger_heads"]["teacher-2"]
    roster.body["scores"] = {}
    return roster.path()


@bad("G5", "two-rosters", "Ranks are 1, 2, 3, …, each once.")
def ranks_with_a_gap(run: Run) -> str:
    roster = run.of("roster")[0]
    scores = roster.body["scores"]
    roster.body["scores"] = {name: rank + (rank == len(scores)) for name, rank in scores.items()}
    return roster.path()


@bad("G5", "two-rosters", "Only teachers have a rank.")
def rank_of_the_student(run: Run) -> str:
    roster = run.of("roster")[0]
    roster.body["scores"]["student"] = len(roster.body["scores"]) + 1
    return roster.path()


@bad("G5", "two-rosters", "A later roster does not choose anew.")
def second_roster_with_other_ranks(run: Run) -> str:
    roster = run.of("roster")[-1]
    turned = {name: 5 - rank for name, rank in roster.body["scores"].items()}
    roster.body["scores"] = turned
    return roster.path()


@bad("G5", "sealed", "The agreement publishes no scores.")
def scores_shown_though_none_are_published(run: Run) -> str:
    roster = run.one("roster")
    roster.body["scores"] = {"teacher-1": 1}
    return roster.path()


@bad("G6", "two-rosters", "The members are the first ranks.")
def members_that_are_not_the_first_ranks(run: Run) -> str:
    first, final = run.of("roster")
    first.body["members"].remove(
        min(first.body["members"], key=lambda name: first.body["scores"][name])
    )
    final.body["members"] = [*first.body["members"]]
    run.remove(final)
    return first.path()


@bad("G6", "plain", "The members are those with the best published scores.")
def member_below_the_threshold(run: Run) -> str:
    roster = run.one("roster")
    roster.body["scores"]["teacher-3"] = -101.5
    return roster.path()


@bad("G7", "two-rosters", "A later roster has fewer members.")
def roster_that_is_no_smaller_than_the_one_before(run: Run) -> str:
    first, final = run.of("roster")
    final.body["members"] = [*first.body["members"]]
    return final.path()
