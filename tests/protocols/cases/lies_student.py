"""Lies about the promise for the student's own labelled records."""

from __future__ import annotations

from tests.protocols.bench.resigning import RECEIPT, Run
from tests.protocols.cases.lies import bad, good

PROTECTED = "private-student"
AGREEMENT, SUMMARY = "agreement.toml", "summary.json"


@bad("B4", PROTECTED, "The student's noise gives the epsilon that is promised.")
def agreement_on_too_little_noise_for_the_student(run: Run) -> str:
    run.terms["student_privacy"]["noise_multiplier"] *= 0.99
    return AGREEMENT


@bad("B3", PROTECTED, "The budget for the student's records has room for one summary.")
def agreement_with_a_student_budget_below_its_epsilon(run: Run) -> str:
    run.terms["student_privacy"]["budget"] = 1.5
    return AGREEMENT


@bad("N3", PROTECTED, "The epsilon of the student's records is that of the agreed noise.")
def summary_with_a_smaller_epsilon_of_the_student(run: Run) -> str:
    run.summary["student_privacy"]["epsilon"] *= 0.999
    return SUMMARY


@bad("N3", PROTECTED, "What is promised about the student's records stands in the summary.")
def summary_that_does_not_say_what_the_student_spent(run: Run) -> str:
    del run.summary["student_privacy"]
    return SUMMARY


@bad("N3", "plain", "Without the agreed table the student's records are not protected.")
def summary_that_calls_an_unprotected_student_private(run: Run) -> str:
    run.summary["student_privacy"] = {"epsilon": 1, "delta": 1e-5, "rho": 0.03, "budget": 5}
    return SUMMARY


@bad("N3", PROTECTED, "A baseline would be made of the student's records without noise.")
def summary_with_a_baseline_of_protected_records(run: Run) -> str:
    run.summary["accuracy"]["scratch"] = 0.5
    return SUMMARY


@bad("O2", PROTECTED, "Whose word it is how the student's records were used stands in the receipt.")
def receipt_that_does_not_say_whose_word_the_summary_of_the_student_is(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    listed[:] = [entry for entry in listed if entry["claim"] != "student-summary"]
    return RECEIPT


@bad("O2", "plain", "Nothing is claimed of the student's records that was not agreed.")
def receipt_that_claims_a_summary_of_an_unprotected_student(run: Run) -> str:
    listed = run.statement["predicate"]["attested"]
    at = [entry["claim"] for entry in listed].index("student-training")
    listed.insert(at, {"claim": "student-summary", "by": ["student"]})
    return RECEIPT


@good(PROTECTED, "More noise than the promise needs is allowed, and its epsilon stands there.")
def student_with_more_noise_than_it_promised(run: Run) -> str:
    run.terms["student_privacy"]["noise_multiplier"] *= 2
    return SUMMARY
