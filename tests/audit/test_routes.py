"""Run folders of the routes whose teachers are models: what they say, and lies about it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from securesystemslib.dsse import Envelope

from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.encryption.paillier import generate_paillier
from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import DiscreteGaussianRelease, DpSgdTraining, Unprotected
from secure_fedsa.privacy.mechanisms import calibrate
from secure_fedsa.report.notices import (
    FLOATING_POINT,
    NO_DIFFERENTIAL_PRIVACY,
    OWN_CODE,
    notices,
)
from secure_fedsa.report.receipt import FILE_NAME as RECEIPT
from secure_fedsa.wire import canonical
from tests.audit.checking import Lie, check_lie, refused
from tests.audit.folders import WORLDS, honest
from tests.audit.forging import Forgery, verify
from tests.routes import PROMISE

pytestmark = pytest.mark.slow  # an honest run of each route is made first

SUMMARY = "summary.json"
CONDITIONAL = r"epsilon [\d.]+ at delta .*, if the noise were exact"
Tell = Callable[[Forgery], None]


def predicate_of(files: dict[str, bytes]) -> dict[str, Any]:
    """Return what the receipt of a folder states, read by another library."""
    envelope = Envelope.from_dict(canonical.decode(files[RECEIPT]))
    statement: dict[str, Any] = canonical.decode(envelope.payload)
    predicate: dict[str, Any] = statement["predicate"]
    return predicate


def in_words(data: bytes) -> str:
    """Return a page's or card's text on one line, without marks of HTML or Markdown."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", data.decode()))
    return " ".join(re.sub(r"^[>*\s-]+", "", line) for line in text.splitlines())


def said(text: str, notice: str) -> bool:
    """Return whether a text says a notice, wherever its lines break."""
    return " ".join(notice.split()) in " ".join(text.split())


@pytest.mark.parametrize("variant", WORLDS)
def test_an_honest_folder_is_accepted_and_says_its_notices_four_times(
    variant: str, tmp_path: Path
) -> None:
    """Whoever reads only one of the four must not take the run for a protected one."""
    made = honest(variant)
    folder = made.write(tmp_path / "run")
    verify_folder(folder, made.keys)
    told = notices(made.agreement)
    assert len(told) == {"trainings": 3, "models": 1}[variant]
    assert made.summary["notices"] == told
    assert predicate_of(made.files)["notices"] == told
    for file in ("report.html", "student/model-card.md"):
        text = in_words(made.files[file])
        for notice in told:
            assert said(text, notice), (file, notice)


def test_a_run_without_differential_privacy_names_no_epsilon() -> None:
    """If this fails, a number stands where there is no promise."""
    made = honest("models")
    assert made.summary["notices"] == [NO_DIFFERENTIAL_PRIVACY]
    assert made.summary["protection"] == {"dp": False, "he": True, "masks": True}
    for name in ("epsilon", "delta", "privacy_unit", "neighbours", "accountant", "accounting"):
        assert made.summary[name] is None, name
    assert set(made.summary["epsilon_by_view"].values()) == {None}
    claims = predicate_of(made.files)
    assert "no-differential-privacy" in claims["recomputed"]
    assert not {"accounting", "training-accounting"} & set(claims["recomputed"])
    attested = {entry["claim"]: entry["by"] for entry in claims["attested"]}
    assert attested["own-model"] == [f"teacher-{number}" for number in range(1, 5)]
    assert not {"noise-was-drawn", "private-training", "private-summary"} & set(attested)
    for file in ("report.html", "student/model-card.md"):
        text = in_words(made.files[file])
        assert text.count("NO DIFFERENTIAL PRIVACY") >= 2, file
        assert not re.search(r"differentially private with|epsilon \d", text), file


def test_a_private_training_says_what_its_epsilon_is_not() -> None:
    """If this fails, floating-point noise, or an institution's word, is taken for a proof."""
    made = honest("trainings")
    worst = Amount.of([DpSgdTraining(2.0, 0.5, 12)]).epsilon(PROMISE.delta)
    assert made.summary["epsilon"] == pytest.approx(worst, rel=1e-9)
    assert made.summary["accounting"]["delta"] == PROMISE.delta
    assert made.summary["notices"][:2] == [FLOATING_POINT, OWN_CODE]
    assert made.summary["notices"][2].startswith("STATED, NOT WITNESSED")
    assert made.summary["notices"][2].endswith(": teacher-3.")
    claims = predicate_of(made.files)
    assert "training-accounting" in claims["recomputed"]
    attested = {entry["claim"]: entry["by"] for entry in claims["attested"]}
    trained = ["teacher-1", "teacher-2", "teacher-4"]
    assert attested["private-training"] == attested["noise-was-drawn"] == trained
    assert attested["stated-training"] == attested["own-model"] == ["teacher-3"]
    for file in ("report.html", "student/model-card.md"):
        text = in_words(made.files[file])
        assert re.search(CONDITIONAL, text), file
        assert "NO DIFFERENTIAL PRIVACY" not in text, file
    assert "notices" not in honest().summary
    assert "notices" not in predicate_of(honest().files)


# --- lies in the summary -----------------------------------------------------------------


def stated(**entries: Any) -> Tell:
    """Return a change of the summary."""

    def tell(forgery: Forgery) -> None:
        forgery.summary.update(entries)

    return tell


def view(**entries: Any) -> Tell:
    """Return a change of the bounds by view."""

    def tell(forgery: Forgery) -> None:
        forgery.summary["epsilon_by_view"].update(entries)

    return tell


def unstated(name: str) -> Tell:
    """Return what leaves an entry out."""

    def tell(forgery: Forgery) -> None:
        del forgery.summary[name]

    return tell


def fewer_notices(forgery: Forgery) -> None:
    forgery.summary["notices"] = forgery.summary["notices"][:-1]


def other_order(forgery: Forgery) -> None:
    forgery.summary["notices"] = forgery.summary["notices"][::-1]


def summarised(tell: Tell, reason: str, variant: str) -> Lie:
    """Return a lie of the summary."""
    return Lie(tell, SUMMARY, reason, "receipt", variant)


ACCOUNTED = {"epsilon": 1.0, "delta": 1e-5}
SUMMARY_LIES = {
    "an epsilon where there is none": summarised(stated(epsilon=1.0), "epsilon", "models"),
    "an epsilon of zero where there is none": summarised(stated(epsilon=0), "epsilon", "models"),
    "an epsilon for one view": summarised(view(auditor=1.0), "epsilon_by_view", "models"),
    "a view less": summarised(stated(epsilon_by_view={}), "epsilon_by_view", "models"),
    "an accountant of nothing": summarised(stated(accountant="PLD"), "accountant", "models"),
    "an accounting of nothing": summarised(stated(accounting=ACCOUNTED), "accounting", "models"),
    "a delta of nothing": summarised(stated(delta=1e-5), "delta", "models"),
    "a unit of nothing": summarised(stated(privacy_unit="record"), "privacy_unit", "models"),
    "neighbours of nothing": summarised(stated(neighbours="add-remove"), "neighbours", "models"),
    "the protection of another route": summarised(
        stated(protection={"dp": True, "he": True, "masks": True}), "protection", "models"
    ),
    "another route": summarised(stated(route="private-training"), "route", "models"),
    "no notices": summarised(unstated("notices"), "notices: is missing", "models"),
    "an empty list of notices": summarised(stated(notices=[]), "notices", "models"),
    "a friendlier notice": summarised(stated(notices=["All is well."]), "notices", "models"),
    "a notice as a text": summarised(stated(notices=NO_DIFFERENTIAL_PRIVACY), "notices", "models"),
    "no notices of trainings": summarised(unstated("notices"), "notices: is missing", "trainings"),
    "a stated training left out": summarised(fewer_notices, "notices", "trainings"),
    "notices turned around": summarised(other_order, "notices", "trainings"),
    "notices where there are none": summarised(
        stated(notices=[FLOATING_POINT]), "notices: is no entry", "default"
    ),
    "a smaller epsilon": summarised(stated(epsilon=4.3), "epsilon: is 4.3", "trainings"),
    "no epsilon": summarised(stated(epsilon=None), "epsilon: is no number", "trainings"),
    "no accounting": summarised(stated(accounting=None), "accounting: is not", "trainings"),
    "another epsilon accounted": summarised(
        stated(accounting=ACCOUNTED), "accounting.epsilon", "trainings"
    ),
    "the route of models": summarised(stated(route="encryption-only"), "route", "trainings"),
}


@pytest.mark.parametrize("name", SUMMARY_LIES)
def test_a_lie_about_the_route_in_the_summary_is_found(name: str) -> None:
    """Most readers see nothing but the summary."""
    check_lie(SUMMARY_LIES[name])


# --- lies in the ledger --------------------------------------------------------------------


def charged(teacher: str, change: Callable[[dict[str, Any]], None]) -> Tell:
    """Return a change of what a teacher's ledger was charged for."""

    def tell(forgery: Forgery) -> None:
        change(forgery.body("ledger", teacher)["entries"][0]["body"])

    return tell


def put(**entries: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of a charge."""
    return lambda body: body.update(entries)


def instead(**entries: Any) -> Callable[[dict[str, Any]], None]:
    """Return another charge altogether."""

    def change(body: dict[str, Any]) -> None:
        kept = body["agreement"]
        body.clear()
        body.update({"agreement": kept, **entries})

    return change


def training(**changes: Any) -> dict[str, Any]:
    """Return the agreed training with changes, as a ledger has it."""
    return {**DpSgdTraining(2.0, 0.5, 12).to_dict(), **changes}


def trained(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return the charge of another training, its total as small."""
    other = training(**changes)
    return put(events=[other], agreement_trainings=[other])


RELEASED = DiscreteGaussianRelease(1024.0, 1024.0 * calibrate(4.0, 1e-5), 18)
RELEASE, RHO = RELEASED.to_dict(), rho_of([RELEASED])
AS_TRAINING = {
    "events": [training()],
    "stated": False,
    "agreement_trainings": [training()],
    "delta": PROMISE.delta,
    "budget": PROMISE.agreement_budget,
}
NOT_AGREED = "without the agreed charge"
LEDGER_LIES: dict[str, tuple[str, str, Callable[[dict[str, Any]], None], str]] = {
    "the run's training, as stated": ("trainings", "teacher-1", put(stated=True), NOT_AGREED),
    "a stated one, as the run's": ("trainings", "teacher-3", put(stated=False), NOT_AGREED),
    "more noise than was agreed": (
        "trainings",
        "teacher-1",
        trained(noise_multiplier=4.0),
        NOT_AGREED,
    ),
    "fewer steps": ("trainings", "teacher-2", trained(steps=11), NOT_AGREED),
    "a smaller sampling rate": ("trainings", "teacher-1", trained(sampling_rate=0.1), NOT_AGREED),
    "the run's training for the stated one": ("trainings", "teacher-3", trained(), NOT_AGREED),
    "another budget": ("trainings", "teacher-1", put(budget=99.0), NOT_AGREED),
    "another delta": ("trainings", "teacher-1", put(delta=1e-6), NOT_AGREED),
    "two trainings": (
        "trainings",
        "teacher-1",
        put(events=[training(), training()], agreement_trainings=[training(steps=24)]),
        NOT_AGREED,
    ),
    "a total past the budget": (
        "trainings",
        "teacher-1",
        put(agreement_trainings=[training(steps=1200)]),
        "past the agreed budget",
    ),
    "a total beyond any claim": (
        "trainings",
        "teacher-1",
        put(agreement_trainings=[training(steps=900_000)]),
        "past the agreed budget",
    ),
    "a total of many kinds": (
        "trainings",
        "teacher-1",
        put(agreement_trainings=[training(noise_multiplier=1.5), training()]),
        NOT_AGREED,
    ),
    "a use without protection for a training": (
        "trainings",
        "teacher-1",
        instead(events=[Unprotected().to_dict()]),
        NOT_AGREED,
    ),
    "a release for a training": (
        "trainings",
        "teacher-1",
        instead(events=[RELEASE], rho=RHO, agreement_rho=RHO, delta=PROMISE.delta, budget=20.0),
        NOT_AGREED,
    ),
    "a training for a use without protection": (
        "models",
        "teacher-1",
        instead(**AS_TRAINING),
        NOT_AGREED,
    ),
    "a release for a use without protection": (
        "models",
        "teacher-2",
        instead(events=[RELEASE], rho=RHO, agreement_rho=RHO, delta=PROMISE.delta, budget=20.0),
        NOT_AGREED,
    ),
    "two uses without protection": (
        "models",
        "teacher-1",
        put(events=[Unprotected().to_dict()] * 2),
        NOT_AGREED,
    ),
    "an epsilon of a use without protection": (
        "models",
        "teacher-1",
        put(epsilon=1.0),
        "damaged ledger segment",
    ),
    "a training where noise was agreed": (
        "default",
        "teacher-1",
        instead(**AS_TRAINING),
        NOT_AGREED,
    ),
    "a use without protection where noise was agreed": (
        "default",
        "teacher-1",
        instead(events=[Unprotected().to_dict()]),
        NOT_AGREED,
    ),
    "a training stated by a text": (
        "trainings",
        "teacher-1",
        put(stated="no"),
        "damaged ledger segment",
    ),
    "a total below its training": (
        "trainings",
        "teacher-1",
        put(agreement_trainings=[training(steps=11)]),
        "damaged ledger segment",
    ),
}


@pytest.mark.parametrize("name", LEDGER_LIES)
def test_another_charge_than_was_agreed_is_found(name: str) -> None:
    """If this fails, a teacher pays less than its model spends, or for another mechanism."""
    variant, teacher, change, reason = LEDGER_LIES[name]
    forgery = Forgery(variant)
    charged(teacher, change)(forgery)
    file = forgery.name(forgery.message("ledger", teacher))
    refused(forgery.build("ledgers"), file, reason)


def test_an_earlier_training_within_the_budget_passes() -> None:
    """If this fails, the lies above are refused for another reason than the one they mean."""
    forgery = Forgery("trainings")
    charged("teacher-1", put(agreement_trainings=[training(steps=24)]))(forgery)
    verify(forgery.build("ledgers"))


# --- another agreement ------------------------------------------------------------------------


def test_a_stated_training_that_the_agreement_no_longer_states_is_found() -> None:
    """If this fails, parties can agree afterwards that a stated training was the run's own."""
    forgery = Forgery("trainings")
    forgery.primes = generate_paillier(2048)  # the run has another id then
    del forgery.terms["parties"]["teacher-3"]["stated"]
    file = forgery.name(forgery.message("ledger", "teacher-3"))
    refused(forgery.build("agreement"), file, NOT_AGREED)


def test_a_weaker_training_agreed_afterwards_is_found() -> None:
    """If this fails, parties can agree afterwards on more noise than they drew."""
    forgery = Forgery("trainings")
    forgery.primes = generate_paillier(2048)
    forgery.terms["training"]["noise_multiplier"] = 3.0
    file = forgery.name(forgery.message("ledger", "teacher-1"))
    refused(forgery.build("agreement"), file, NOT_AGREED)


def test_an_agreement_whose_training_breaks_its_promise_is_refused() -> None:
    """If this fails, a folder shows an epsilon that its training never had."""
    forgery = Forgery("trainings")
    forgery.terms["privacy"]["epsilon"] = 1.0
    refused(forgery.build("agreement"), "agreement.toml", "gives epsilon")
    forgery = Forgery("trainings")
    forgery.terms["parties"]["teacher-3"]["stated"]["noise_multiplier"] = 0.5
    refused(forgery.build("agreement"), "agreement.toml", r"parties\.teacher-3\.stated")


# --- lies in the receipt --------------------------------------------------------------------


def without_notices(forgery: Forgery) -> None:
    del forgery.predicate["notices"]


def predicate(**entries: Any) -> Tell:
    """Return a change of what the receipt states."""

    def tell(forgery: Forgery) -> None:
        forgery.predicate.update(entries)

    return tell


def accounted(forgery: Forgery) -> None:
    forgery.predicate["recomputed"] = [
        "accounting" if claim == "no-differential-privacy" else claim
        for claim in forgery.predicate["recomputed"]
    ]


def all_trained(forgery: Forgery) -> None:
    for entry in forgery.predicate["attested"]:
        if entry["claim"] == "private-training":
            entry["by"] = sorted([*entry["by"], "teacher-3"])


def lie_of_receipt(tell: Tell, reason: str, variant: str) -> Lie:
    """Return a lie of the receipt."""
    return Lie(tell, RECEIPT, reason, "receipt", variant)


OTHER_NOTICES = "states another notices"
RECEIPT_LIES = {
    "no notices": lie_of_receipt(without_notices, OTHER_NOTICES, "models"),
    "no notices of trainings": lie_of_receipt(without_notices, OTHER_NOTICES, "trainings"),
    "an empty list": lie_of_receipt(predicate(notices=[]), OTHER_NOTICES, "models"),
    "a friendlier notice": lie_of_receipt(predicate(notices=["Fine."]), OTHER_NOTICES, "models"),
    "the other route's": lie_of_receipt(
        predicate(notices=[FLOATING_POINT]), OTHER_NOTICES, "models"
    ),
    "one of three": lie_of_receipt(predicate(notices=[FLOATING_POINT]), OTHER_NOTICES, "trainings"),
    "some where there are none": lie_of_receipt(
        predicate(notices=[FLOATING_POINT]), OTHER_NOTICES, "default"
    ),
    "accounting of nothing": lie_of_receipt(accounted, "states another recomputed", "models"),
    "a stated training as the run's own": lie_of_receipt(
        all_trained, "states another attested", "trainings"
    ),
}


@pytest.mark.parametrize("name", RECEIPT_LIES)
def test_a_receipt_says_what_its_route_does_not_promise(name: str) -> None:
    """The receipt is what people keep when the folder is gone."""
    check_lie(RECEIPT_LIES[name])
