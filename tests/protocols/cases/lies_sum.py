"""Lies about contributions, the sum, and its release: H to K."""

from __future__ import annotations

import base64

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import Run
from tests.protocols.cases.lies import Json, bad, double, without

# --- H: the members ------------------------------------------------------------------------------


@bad("H1", "two-rosters", "Every member signs the roster.")
def roster_signature_of_a_member_missing(run: Run) -> str:
    letter = run.of("roster-signature", "teacher-2")[-1]
    return without(run, letter)


@bad("H1", "two-rosters", "A signature under an earlier roster is none under this one.")
def roster_signature_of_a_member_for_the_earlier_roster(run: Run) -> str:
    early, late = run.of("roster-signature", "teacher-2")
    late.body["roster_hash"] = early.body["roster_hash"]
    return "transcript/"


@bad("H2", "plain", "A member uploads once.")
def upload_twice(run: Run) -> str:
    return double(run, run.one("upload", "teacher-2"))


@bad("H2", "plain", "A member uploads.")
def upload_of_a_member_missing(run: Run) -> str:
    run.skipped |= {"uploads", "summed:sum", "summed:values"}
    return without(run, run.one("upload", "teacher-2"))


def _upload(run: Run, teacher: str = "teacher-2", **changes: Json) -> str:
    letter = run.one("upload", teacher)
    letter.body.update(changes)
    return letter.path()


@bad("H2", "two-rosters", "A member's upload is for the final roster.")
def upload_of_a_member_for_the_earlier_roster(run: Run) -> str:
    return _upload(run, roster_hash=run.one("upload", "teacher-1").body["roster_hash"])


@bad("H2", "two-rosters", "The upload of a teacher that was left out is for an earlier roster.")
def upload_of_a_teacher_that_was_left_out_for_the_final_roster(run: Run) -> str:
    final = run.one("upload", "teacher-2").body["roster_hash"]
    return _upload(run, "teacher-1", roster_hash=final)


@bad("H2", "plain", "The upload is under the key of this run.")
def upload_under_another_key(run: Run) -> str:
    return _upload(run, key_id="00" * 32)


@bad("H2", "plain", "The signal is the one that was charged for.")
def upload_of_a_signal_that_was_not_charged(run: Run) -> str:
    return _upload(run, signal_id="00" * 32)


@bad("H2", "plain", "All signals have the agreed length.")
def upload_that_states_another_length(run: Run) -> str:
    return _upload(run, values=17)


def _without_the_first_roster(run: Run) -> None:
    """Make the final roster the only one; teacher-1, left out, was on none."""
    first, final = run.of("roster")
    scores, last = first.body["scores"], max(first.body["scores"].values())
    for name, rank in scores.items():
        scores[name] = rank - (rank > scores["teacher-1"])
    scores["teacher-1"] = last
    first.body["members"] = [*final.body["members"]]
    run.remove(final)
    for sender in {letter.header["sender"] for letter in run.of("roster-signature")}:
        early, *late = run.of("roster-signature", sender)
        if late or sender == "teacher-1":
            run.remove(early)
    for recipient in ("", "teacher-1"):
        for letter in run.of("mask-share", "" if recipient else "teacher-1", recipient):
            run.remove(letter)
    for kind in ("roster-signature", "upload", "sum", "release"):
        for letter in run.of(kind):
            letter.body["roster_hash"] = "@final"
    run.log[0]["body"]["roster_hash"] = "@final"
    run.replace({"@final": formulas.roster_hash(run.run_id, first.body)})


@bad("H2", "two-rosters", "Who was on no roster uploads nothing.")
def upload_of_a_teacher_that_was_on_no_roster(run: Run) -> str:
    _without_the_first_roster(run)
    return run.one("upload", "teacher-1").path()


@bad("H3", "plain", "A teacher replies once.")
def reply_twice(run: Run) -> str:
    return double(run, run.one("reply", "teacher-1"))


@bad("H3", "plain", "A member's blind was there: without it nobody has its score.")
def blind_of_a_member_missing(run: Run) -> str:
    return without(run, run.one("blind", "teacher-2"))


@bad("H4", "plain", "The aggregator sends the scores once.")
def blinded_scores_twice(run: Run) -> str:
    return double(run, run.one("blinded-scores"))


@bad("H4", "plain", "The aggregator sends the scores.")
def blinded_scores_missing(run: Run) -> str:
    return without(run, run.one("blinded-scores"))


@bad("H5", "two-rosters", "Every two members share a mask.")
def mask_value_between_two_members_missing(run: Run) -> str:
    for letter in run.of("mask-share", "teacher-2", "teacher-3"):
        run.remove(letter)
    return "transcript/"


@bad("H5", "two-rosters", "Nobody outside gets a mask value.")
def mask_value_for_a_teacher_on_no_roster(run: Run) -> str:
    _without_the_first_roster(run)
    run.remove(run.one("upload", "teacher-1"))
    return run.add(run.one("mask-share", "teacher-2"), recipient="teacher-1").path()


# --- I: the sum ----------------------------------------------------------------------------------


@bad("I1", "plain", "There is one sum.")
def sum_twice(run: Run) -> str:
    return double(run, run.one("sum"))


@bad("I1", "sealed", "There is a sum.")
def sum_missing(run: Run) -> str:
    return without(run, run.one("sum"))


def _sum(run: Run, **changes: Json) -> str:
    letter = run.one("sum")
    letter.body.update(changes)
    return letter.path()


@bad("I2", "two-rosters", "The sum is over the final roster.")
def sum_over_the_earlier_roster(run: Run) -> str:
    return _sum(run, roster_hash=run.one("upload", "teacher-1").body["roster_hash"])


@bad("I2", "two-rosters", "The sum is of exactly the members' uploads.")
def sum_that_names_the_upload_of_a_teacher_left_out(run: Run) -> str:
    letter = run.one("upload", "teacher-1")
    uploads = dict(run.one("sum").body["uploads"])
    return _sum(run, uploads={**uploads, "teacher-1": formulas.digest("envelope", letter.header)})


@bad("I2", "plain", "The sum has the agreed length.")
def sum_that_states_another_length(run: Run) -> str:
    return _sum(run, values=17)


@bad("I2", "plain", "The sum is what the uploads add up to.")
def sum_that_is_not_the_sum_of_the_uploads(run: Run) -> str:
    total = formulas.residues(base64.b64decode(run.one("sum").body["ciphertext"]))
    total[0] += 1
    shown = [formulas.centred(v, run.terms["encryption"]["plain_modulus"]) for v in total]
    run.one("release").body["values"] = formulas.b64(formulas.packed(shown))
    return _sum(run, ciphertext=formulas.b64(formulas.packed(total)))


@bad("I2", "plain", "Values are residues modulo the plain modulus.")
def upload_with_a_value_of_the_plain_modulus(run: Run) -> str:
    letter = run.one("upload", "teacher-2")
    values = formulas.residues(base64.b64decode(letter.body["ciphertext"]))
    values[0] += run.terms["encryption"]["plain_modulus"]
    letter.body["ciphertext"] = formulas.b64(formulas.packed(values))
    return letter.path()


@bad("I2", "published", "The sum is of all members, not of one.")
def encrypted_sum_that_is_one_upload(run: Run) -> str:
    return _sum(run, ciphertext=run.one("upload", "teacher-1").body["ciphertext"])


@bad("E4", "published", "A public key is one container and nothing else.")
def feature_key_with_a_byte_too_many(run: Run) -> str:
    letter = run.one("feature-key")
    data = base64.b64decode(letter.body["public_key"])
    letter.body["public_key"] = formulas.b64(data + b"\x00")
    return letter.path()


# --- J, K: permit and release --------------------------------------------------------------------


@bad("J1", "plain", "What the key holder opens itself it permits to nobody.")
def permit_with_custody_key_holder(run: Run) -> str:
    release = run.one("release")
    letter = run.add(release, kind="permit")
    letter.value["body"] = {
        name: release.body[name] for name in ("roster_hash", "sum_hash", "signal_ids")
    }
    return letter.path()


@bad("J2", "sealed", "The aggregator opens only with leave.")
def permit_missing(run: Run) -> str:
    return without(run, run.one("permit"))


@bad("J2", "sealed", "Leave for another sum is none for this one.")
def permit_of_another_sum(run: Run) -> str:
    letter = run.one("permit")
    letter.body["sum_hash"] = "00" * 32
    return letter.path()


@bad("J2", "sealed", "There is one permit.")
def permit_twice(run: Run) -> str:
    return double(run, run.one("permit"))


@bad("K1", "plain", "There is one release.")
def release_twice(run: Run) -> str:
    return double(run, run.one("release"))


def _release(run: Run, **changes: Json) -> str:
    letter = run.one("release")
    letter.body.update(changes)
    return letter.path()


@bad("K1", "two-rosters", "The sum of the final roster is released.")
def release_of_the_earlier_roster(run: Run) -> str:
    return _release(run, roster_hash=run.one("upload", "teacher-1").body["roster_hash"])


@bad("K2", "plain", "The release is of the sum that is there.")
def release_of_another_sum(run: Run) -> str:
    return _release(run, sum_hash="00" * 32)


@bad("K3", "plain", "The release names the members' signals.")
def release_that_leaves_out_a_signal(run: Run) -> str:
    letter = run.one("release")
    del letter.body["signal_ids"]["teacher-2"]
    return letter.path()


@bad("K4", "plain", "The released sum has the agreed length.")
def release_of_fewer_values(run: Run) -> str:
    data = base64.b64decode(run.one("release").body["values"])
    return _release(run, values=formulas.b64(data[:-8]))


@bad("K4", "plain", "No honest members give such a sum, though it is the sum of these uploads.")
def release_beyond_the_bound(run: Run) -> str:
    bound = run.terms["features"]["bound"]
    letter = run.one("upload", "teacher-2")
    values = formulas.residues(base64.b64decode(letter.body["ciphertext"]))
    letter.body["ciphertext"] = formulas.b64(formulas.packed([4 * bound, *values[1:]]))
    return run.one("release").path()


@bad("K4", "sealed", "A sum that is not published is not in the release.")
def release_of_values_that_are_not_published(run: Run) -> str:
    return _release(run, values=formulas.b64(formulas.packed([0] * 16)))


@bad("K4", "sealed", "The student gets the sum.")
def sealed_sum_missing(run: Run) -> str:
    return without(run, run.one("sealed-sum"))


@bad("K4", "plain", "A published sum is not sealed to anybody as well.")
def sealed_sum_though_sums_are_published(run: Run) -> str:
    letter = run.one("blinded-scores")
    sealed = {"sender": "key-holder", "recipient": "student", "kind": "sealed-sum"}
    run.add(letter, **sealed)
    return "transcript/"


@bad("K5", "published", "The agreement publishes the feature key.")
def release_without_the_feature_key(run: Run) -> str:
    return _release(run, secret_key="")


@bad("K5", "plain", "The agreement publishes no feature key.")
def release_with_a_feature_key_that_is_not_published(run: Run) -> str:
    return _release(run, secret_key=formulas.b64(b"key"))


@bad("K6", "published", "A secret key is one container and nothing else.")
def secret_key_with_a_byte_too_many(run: Run) -> str:
    data = base64.b64decode(run.one("release").body["secret_key"])
    return _release(run, secret_key=formulas.b64(data + b"\x00"))


@bad("K7", "plain", "The released values are those of the sum.")
def release_of_other_values_than_the_sum(run: Run) -> str:
    values = formulas.residues(base64.b64decode(run.one("release").body["values"]))
    return _release(run, values=formulas.b64(formulas.packed([values[0] + 1, *values[1:]])))


@bad("K7", "published", "The released values are what the sum decrypts to.")
def release_of_other_values_than_the_sum_decrypts_to(run: Run) -> str:
    return release_of_other_values_than_the_sum(run)
