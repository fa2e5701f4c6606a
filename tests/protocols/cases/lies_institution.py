"""Lies about the promise of a sum for whole institutions."""

from __future__ import annotations

from tests.protocols.bench.resigning import RECEIPT, Run
from tests.protocols.cases.lies import bad, good

HIDDEN = "institution"
AGREEMENT, SUMMARY = "agreement.toml", "summary.json"


@bad("B4", HIDDEN, "The shares of noise give the epsilon that is promised.")
def agreement_on_too_small_shares(run: Run) -> str:
    run.terms["institution_privacy"]["share_scale"] *= 0.99
    return AGREEMENT


@bad("B4", HIDDEN, "Shares are counted for the smallest sum that may be opened.")
def agreement_whose_smallest_sum_has_too_few_shares(run: Run) -> str:
    run.terms["selection"]["max_colluding"] = 2
    return AGREEMENT


@bad("B3", HIDDEN, "Who is selected depends on no signal.")
def agreement_that_hides_institutions_and_selects_some(run: Run) -> str:
    run.terms["selection"]["select"] = 3
    return AGREEMENT


@bad("N3", HIDDEN, "The epsilon of an institution is that of the agreed shares.")
def summary_with_a_smaller_epsilon_of_an_institution(run: Run) -> str:
    run.summary["institution_privacy"]["sum-and-colluding"] *= 0.999
    return SUMMARY


@bad("N3", HIDDEN, "What everybody else together learns of an institution is not made smaller.")
def summary_that_promises_against_everybody_else(run: Run) -> str:
    told = run.summary["institution_privacy"]
    told["everybody-else"] = told["sum-and-colluding"]
    return SUMMARY


@bad("N3", HIDDEN, "What is promised about institutions stands in the summary.")
def summary_that_does_not_say_what_an_institution_lost(run: Run) -> str:
    del run.summary["institution_privacy"]
    return SUMMARY


@bad("N3", "plain", "Without the agreed table no noise hides an institution.")
def summary_that_calls_an_open_institution_hidden(run: Run) -> str:
    views = ("sum", "sum-and-colluding", "everybody-else")
    run.summary["institution_privacy"] = {**dict.fromkeys(views, 1), "delta": 1e-5}
    return SUMMARY


@bad("O2", HIDDEN, "Whose word it is that shares were drawn stands in the receipt.")
def receipt_that_does_not_say_whose_word_the_shares_are(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    listed[:] = [entry for entry in listed if entry["claim"] != "institution-share"]
    return RECEIPT


@bad("O2", "plain", "No shares are claimed that were not agreed.")
def receipt_that_claims_shares_of_nobody(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    at = [entry["claim"] for entry in listed].index("student-training")
    teachers = ["teacher-1", "teacher-2", "teacher-3"]
    listed.insert(at, {"claim": "institution-share", "by": teachers})
    return RECEIPT


@good(HIDDEN, "More noise than the promise needs is allowed, and its epsilons stand there.")
def institution_with_larger_shares_than_it_promised(run: Run) -> str:
    run.terms["institution_privacy"]["share_scale"] *= 2
    return SUMMARY
