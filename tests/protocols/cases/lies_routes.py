"""Lies about what a route promises and what it does not: trainings, and no privacy at all."""

from __future__ import annotations

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import RECEIPT, Run
from tests.protocols.cases.lies import Json, bad, good

TRAINED, OPEN = "private-training", "encryption-only"
AGREEMENT, SUMMARY = "agreement.toml", "summary.json"
STATING, TRAINING = "teacher-1", "teacher-2"
RELEASE = {
    "kind": "discrete-gaussian",
    "sensitivity": 4222.060155424985,
    "noise_scale": 4887.3,
    "coordinates": 18,
}


def _charge(run: Run, teacher: str, **changes: Json) -> str:
    run.charges[teacher]["body"] |= changes
    return run.one("ledger", teacher).path()


def _recharge(run: Run, teacher: str, event: Json) -> str:
    """Put a charge of one event in the place of a teacher's, in that event's form."""
    body = run.charges[teacher]["body"]
    made: Json = {"agreement": body["agreement"], "events": [event]}
    terms = {"delta": 1e-5, "budget": 20}
    if event["kind"] == "discrete-gaussian":
        cost = formulas.rho([event])
        made |= {"rho": cost, "agreement_rho": cost, **terms}
    if event["kind"] == "dp-sgd":
        made |= {"stated": False, "agreement_trainings": [event], **terms}
    run.charges[teacher]["body"] = made
    return run.one("ledger", teacher).path()


def _training(run: Run, teacher: str) -> dict[str, Json]:
    return dict(run.charges[teacher]["body"]["events"][0])


# --- the agreement -------------------------------------------------------------------------------


@bad("B4", TRAINED, "No teacher's training costs more than is promised.")
def agreement_that_states_a_training_beyond_its_promise(run: Run) -> str:
    run.terms["parties"][STATING]["stated"]["steps"] = 30
    return AGREEMENT


@bad("B4", TRAINED, "The agreed training costs no more than is promised.")
def agreement_on_too_little_noise_for_its_training(run: Run) -> str:
    run.terms["training"]["noise_multiplier"] = 1.5
    return AGREEMENT


# --- ledgers -------------------------------------------------------------------------------------


@bad("F4", TRAINED, "What is only stated is charged as stated.")
def ledger_of_a_stated_training_that_does_not_say_so(run: Run) -> str:
    return _charge(run, STATING, stated=False)


@bad("F4", TRAINED, "What was trained in the run is charged so.")
def ledger_that_calls_a_training_of_the_run_stated(run: Run) -> str:
    return _charge(run, TRAINING, stated=True)


@bad("F4", TRAINED, "Another training was charged than was agreed.")
def ledger_charge_of_fewer_steps_than_agreed(run: Run) -> str:
    event = _training(run, TRAINING) | {"steps": 1}
    return _charge(run, TRAINING, events=[event], agreement_trainings=[event])


@bad("F4", TRAINED, "Another training was charged than was stated.")
def ledger_charge_of_more_noise_than_stated(run: Run) -> str:
    event = _training(run, STATING)
    event["noise_multiplier"] *= 2
    return _charge(run, STATING, events=[event], agreement_trainings=[event])


@bad("F3", TRAINED, "The total holds the charge.")
def ledger_total_below_the_charged_training(run: Run) -> str:
    event = _training(run, TRAINING)
    return _charge(run, TRAINING, agreement_trainings=[event | {"steps": event["steps"] - 1}])


@bad("F3", TRAINED, "Trainings of one kind are one entry of the total.")
def ledger_total_that_is_not_merged(run: Run) -> str:
    event = _training(run, TRAINING)
    return _charge(run, TRAINING, agreement_trainings=[event, event])


@bad("F4", TRAINED, "An agreement has one training for a teacher, and hundreds would take hours.")
def ledger_total_of_another_training_as_well(run: Run) -> str:
    event = _training(run, TRAINING)
    other = event | {"noise_multiplier": event["noise_multiplier"] + 1}
    return _charge(run, TRAINING, agreement_trainings=[event, other])


@bad("F4", TRAINED, "All trainings together are within the agreed budget.")
def ledger_total_of_trainings_past_the_budget(run: Run) -> str:
    event = _training(run, TRAINING)
    return _charge(run, TRAINING, agreement_trainings=[event | {"steps": 1200}])


@bad("F4", TRAINED, "The charge of a training is against the agreed budget.")
def ledger_training_against_another_budget(run: Run) -> str:
    return _charge(run, TRAINING, budget=1000)


@bad("F4", TRAINED, "A release is no training.")
def ledger_charge_of_a_release_where_models_are_trained(run: Run) -> str:
    return _recharge(run, TRAINING, RELEASE)


@bad("F4", TRAINED, "A use without differential privacy keeps no promise.")
def ledger_charge_without_privacy_where_models_are_trained(run: Run) -> str:
    return _recharge(run, TRAINING, {"kind": "no-differential-privacy"})


@bad("F4", "plain", "A use without differential privacy is no release.")
def ledger_charge_without_privacy_of_a_release(run: Run) -> str:
    return _recharge(run, TRAINING, {"kind": "no-differential-privacy"})


@bad("F4", OPEN, "Where nothing is promised, no epsilon is charged.")
def ledger_charge_of_a_training_that_was_never_agreed(run: Run) -> str:
    event = {"kind": "dp-sgd", "noise_multiplier": 2.0, "sampling_rate": 0.5, "steps": 12}
    return _recharge(run, TRAINING, event)


@bad("F3", OPEN, "A use without differential privacy has no budget.")
def ledger_charge_without_privacy_against_a_budget(run: Run) -> str:
    return _charge(run, TRAINING, delta=1e-5, budget=20)


# --- the summary ---------------------------------------------------------------------------------


@bad("N2", OPEN, "Without differential privacy there is no epsilon.")
def summary_with_an_epsilon_that_nothing_gives(run: Run) -> str:
    run.summary["epsilon"] = 1
    return SUMMARY


@bad("N2", OPEN, "Nor is there one against a single view.")
def summary_with_an_epsilon_for_one_view(run: Run) -> str:
    run.summary["epsilon_by_view"]["auditor"] = 1
    return SUMMARY


@bad("N2", OPEN, "Nor an accounting.")
def summary_that_accounts_for_nothing(run: Run) -> str:
    run.summary["accounting"] = {"epsilon": 1, "delta": 1e-5}
    return SUMMARY


@bad("N2", OPEN, "Nor differential privacy among the protections.")
def summary_that_calls_encryption_differential_privacy(run: Run) -> str:
    run.summary["protection"]["dp"] = True
    return SUMMARY


@bad("N1", OPEN, "That there is no differential privacy stands in the summary.")
def summary_without_its_notices(run: Run) -> str:
    del run.summary["notices"]
    return SUMMARY


@bad("N2", OPEN, "It stands there in these words.")
def summary_with_a_milder_notice(run: Run) -> str:
    run.summary["notices"] = ["Encryption and masks protect all records."]
    return SUMMARY


@bad("N2", TRAINED, "Epsilon follows from the trainings.")
def summary_with_a_smaller_epsilon_of_a_training(run: Run) -> str:
    run.summary["epsilon"] *= 0.99999
    return SUMMARY


@bad("N2", TRAINED, "A promise has its epsilon.")
def summary_without_the_epsilon_of_a_training(run: Run) -> str:
    run.summary["epsilon"] = None
    return SUMMARY


@bad("N2", TRAINED, "Who only states its training is named.")
def summary_that_does_not_name_who_stated_a_training(run: Run) -> str:
    run.summary["notices"].pop()
    return SUMMARY


@bad("N1", "plain", "A route without notices has none.")
def summary_with_a_notice_of_another_route(run: Run) -> str:
    run.summary["notices"] = [formulas.NOTICES[OPEN]]
    return SUMMARY


# --- the receipt ---------------------------------------------------------------------------------


@bad("O2", OPEN, "That there is no differential privacy stands in the receipt.")
def receipt_without_its_notices(run: Run) -> str:
    del run.statement["predicate"]["notices"]
    return RECEIPT


@bad("O2", TRAINED, "Who only states its training is named in the receipt.")
def receipt_that_does_not_name_who_stated_a_training(run: Run) -> str:
    run.statement["predicate"]["notices"].pop()
    return RECEIPT


@bad("O2", "plain", "A route without notices has none in its receipt.")
def receipt_with_a_notice_of_another_route(run: Run) -> str:
    run.statement["predicate"]["notices"] = [formulas.NOTICES[OPEN]]
    return RECEIPT


@bad("C6", OPEN, "Notices are texts.")
def receipt_with_notices_that_are_no_list(run: Run) -> str:
    run.statement["predicate"]["notices"] = formulas.NOTICES[OPEN]
    return RECEIPT


@bad("O2", OPEN, "What has no epsilon is not accounted.")
def receipt_that_claims_an_accounting_of_nothing(run: Run) -> str:
    claims = run.statement["predicate"]["recomputed"]
    claims[claims.index("no-differential-privacy")] = "accounting"
    return RECEIPT


@bad("O2", TRAINED, "A stated training was not done in the run.")
def receipt_that_counts_a_stated_training_as_done(run: Run) -> str:
    for entry in run.statement["predicate"]["attested"]:
        if entry["claim"] == "private-training":
            entry["by"] = sorted([*entry["by"], STATING])
    return RECEIPT


# --- what is allowed -----------------------------------------------------------------------------


@good(TRAINED, "Earlier runs under the agreement stand in the total of trainings.")
def ledger_training_after_an_earlier_run(run: Run) -> str:
    event = _training(run, TRAINING)
    return _charge(run, TRAINING, agreement_trainings=[event | {"steps": 2 * event["steps"]}])


@good(TRAINED, "All teachers may have trained before.")
def agreement_with_stated_trainings_alone(run: Run) -> str:
    for party in run.terms["parties"].values():
        if party["role"] == "teacher":
            party["stated"] = {"sampling_rate": 0.5, "steps": 10, "noise_multiplier": 3}
    return AGREEMENT


@good(TRAINED, "The costliest training that was agreed counts, also if its teacher fell silent.")
def epsilon_of_a_teacher_that_fell_silent(run: Run) -> str:
    (silent,) = set(formulas.names(run.terms, "teacher")) - set(run.roster["members"])
    costly = {"sampling_rate": 0.5, "steps": 14, "noise_multiplier": 2.0}
    run.terms["parties"][silent]["stated"] = costly
    for kind in ("blind", "reply", "ledger"):
        run.remove(run.one(kind, silent))
    del run.roster["ledger_heads"][silent]
    del run.roster["scores"][silent]
    return SUMMARY
