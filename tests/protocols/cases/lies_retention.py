"""Lies about how long parties keep what runs leave."""

from __future__ import annotations

from tests.protocols.bench.resigning import RECEIPT, Run
from tests.protocols.cases.lies import bad, good

LIMITED = "limited"
AGREEMENT = "agreement.toml"


@bad("B2", LIMITED, "The record of what was spent is never erased: no entry is about it.")
def agreement_that_limits_how_long_ledgers_are_kept(run: Run) -> str:
    run.terms["retention"]["ledger_days"] = 30
    return AGREEMENT


@bad("B3", LIMITED, "A run that is given up on the day that it stopped could not be taken up.")
def agreement_that_gives_runs_up_at_once(run: Run) -> str:
    run.terms["retention"]["unfinished_days"] = 0
    return AGREEMENT


@bad("O2", LIMITED, "Whose word it is that the limits were kept stands in the receipt.")
def receipt_that_does_not_say_whose_word_the_limits_are(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    listed[:] = [entry for entry in listed if entry["claim"] != "retention"]
    return RECEIPT


@bad("O2", LIMITED, "Who did not sign the receipt attests no limits by it.")
def receipt_that_has_the_student_attest_the_limits(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    (entry,) = (entry for entry in listed if entry["claim"] == "retention")
    entry["by"] = sorted([*entry["by"], "student"])
    return RECEIPT


@bad("O2", "plain", "Without the agreed table nobody attests limits.")
def receipt_that_claims_limits_that_were_not_agreed(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    (signers,) = (entry["by"] for entry in listed if entry["claim"] == "erasure")
    listed.append({"claim": "retention", "by": signers})
    return RECEIPT


@good(LIMITED, "Nothing need be kept beyond a run's end.")
def agreement_that_keeps_no_line_of_a_log(run: Run) -> str:
    run.terms["retention"]["local_log_days"] = 0
    return AGREEMENT
