"""The auditor's report of real run folders: honest about what is shown, and by whom."""

from __future__ import annotations

import importlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import norm

from secure_fedsa.audit.answers import QUESTIONS, answer
from secure_fedsa.audit.answers.document import document
from secure_fedsa.audit.answers.model import STATUSES, Answer, Point, bound
from secure_fedsa.audit.answers.source import Source, read_source
from secure_fedsa.audit.evidence import InMemory
from secure_fedsa.audit.verify import verify_evidence
from secure_fedsa.planning.unit_claim import no_claim
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.events import events_to_list
from secure_fedsa.privacy.training_check import TrainingCheck
from secure_fedsa.report import wording
from secure_fedsa.report.claims import WORDS
from secure_fedsa.report.notices import FLOATING_POINT
from secure_fedsa.report.views import WHY_ONE_BOUND, WHY_SEVERAL_BOUNDS
from secure_fedsa.roles.charges import planned_event
from secure_fedsa.wire import canonical
from tests.audit.folders import VARIANTS, WORLDS, honest
from tests.audit.forging import Forgery

# It has no type information.
jsonschema: Any = importlib.import_module("jsonschema")

pytestmark = pytest.mark.slow  # an honest run of each kind is made first

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "audit-report.schema.json").read_text())
RUNS = (*VARIANTS, *WORLDS)
IDS = (
    *("unit", "neighbours", "parameters", "over-time", "trust", "sensitivity", "accountant"),
    *("choices", "randomness", "side-channels", "evidence", "measured", "utility"),
    *("small-groups", "not-covered", "custody"),
)


def source_of(files: Mapping[str, bytes], keys: Mapping[str, str] | None = None) -> Source:
    """Return what the answers are made from, of files that verify."""
    evidence = InMemory(files)
    verdict = verify_evidence(evidence, keys)
    return read_source(evidence, verdict, trusted="" if keys is None else "keys.toml")


@cache
def asked(variant: str) -> tuple[Source, dict[str, Answer]]:
    """Return a real run's source and its answers by question."""
    source = source_of(honest(variant).files)
    return source, {found.id: found for found in answer(source)}


def document_of(variant: str) -> dict[str, Any]:
    """Return a real run's report."""
    source, answers = asked(variant)
    return document(source, tuple(answers.values()))


def value_at(files: Mapping[str, bytes], file: str, pointer: str) -> Any:
    """Return what stands at a JSON pointer of a file of a run folder."""
    data = files[file]
    value: Any
    if file.endswith(".toml"):
        value = tomllib.loads(data.decode())
    elif file.endswith(".jsonl"):
        value = [json.loads(line) for line in data.splitlines()]
    else:
        value = json.loads(data) if pointer else None
    for name in pointer.split("/")[1:]:
        value = value[int(name)] if isinstance(value, list) else value[name]
    return value


def figures(found: Answer) -> dict[str, Any]:
    """Return all figures of an answer by name."""
    return {item.name: item.value for point in found.points for item in point.figures}


def words(found: Answer) -> str:
    """Return all that an answer says."""
    said = [found.text]
    for point in found.points:
        said += [point.text, point.how, *(f"{f.name}: {f.text}" for f in point.figures)]
    return "\n".join(said)


def carries(found: Answer, claim: str) -> Point:
    """Return the point of an answer that states a claim of the receipt in its own words."""
    (point,) = [point for point in found.points if point.text == WORDS[claim]]
    return point


# --- every run ---------------------------------------------------------------------------


@pytest.mark.parametrize("variant", RUNS)
def test_every_question_is_answered_and_fits_the_schema(variant: str) -> None:
    """Who reads the report by a program, or looks for a question, finds nothing."""
    made = document_of(variant)
    assert tuple(found["id"] for found in made["answers"]) == IDS
    assert len(QUESTIONS) == len(IDS)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    # As JSON: a tuple or NaN would not survive it.
    written = json.loads(json.dumps(made, allow_nan=False))
    problems = jsonschema.Draft202012Validator(SCHEMA).iter_errors(written)
    assert [f"{e.json_path}: {e.message[:200]}" for e in problems] == []
    assert next(iter(written)) == "form"
    counted = [found["status"] for found in made["answers"]]
    assert made["questions"] == {status: counted.count(status) for status in STATUSES}


def test_the_officers_page_explains_every_question() -> None:
    """A question that nobody explains is skipped."""
    text = (DOCS / "auditor.md").read_text()
    rows = re.findall(r"(?m)^\| ([a-z ]+) \|", text.split("## Question by question")[1])
    assert [row.replace(" ", "-") for row in rows if row != "question"] == list(IDS)
    for status in STATUSES:
        assert f"| **{status}** |" in text


def test_the_schema_finds_what_is_wrong() -> None:
    """A schema that takes everything protects no reader."""
    made = document_of("default")
    validator = jsonschema.Draft202012Validator(SCHEMA)
    shown = next(p for a in made["answers"] for p in a["points"] if p["status"] == "shown")
    for broken in (
        {**made, "more": 1},
        {**made, "verdict": "verified"},
        {**made, "answers": [{**made["answers"][0], "status": "proved"}]},
        {**made, "answers": [{**made["answers"][0], "points": [{**shown, "evidence": []}]}]},
        {**made, "answers": [{**made["answers"][0], "points": [{**shown, "by": ["me"]}]}]},
    ):
        assert not validator.is_valid(broken)


@pytest.mark.parametrize("variant", RUNS)
def test_a_status_is_what_the_receipt_and_the_check_say(variant: str) -> None:
    """If this fails, somebody's word is called recomputed, or a gap is called evidence."""
    source, answers = asked(variant)
    recomputed = set(source.verdict.recomputed)
    word_of = {entry["claim"]: tuple(entry["by"]) for entry in source.verdict.attested}
    for found in answers.values():
        ranks = [list(STATUSES).index(point.status) for point in found.points]
        strongest_last = [rank for rank in ranks if rank < 3]
        weakest = max(strongest_last) if strongest_last else 3
        assert list(STATUSES).index(found.status) == weakest, found.id
        for point in found.points:
            checks = {link.check for link in point.evidence}
            assert all(link.recomputed == (link.check in recomputed) for link in point.evidence)
            if point.status == "shown":
                assert checks
                assert checks <= recomputed, (found.id, point.text)
            if point.status == "attested":
                assert point.by in word_of.values(), (found.id, point.text)
                claims = checks - {""}  # in signed messages only
                assert claims <= set(word_of)
                assert all(word_of[claim] == point.by for claim in claims)
            else:
                assert point.by == ()


@pytest.mark.parametrize("variant", RUNS)
def test_every_link_leads_to_where_it_says(variant: str) -> None:
    """An auditor who follows a link to nothing trusts no other."""
    files = honest(variant).files
    _, answers = asked(variant)
    links = [link for found in answers.values() for p in found.points for link in p.evidence]
    assert len(links) > 30
    for link in links:
        assert link.sha256 == canonical.sha256(files[link.file])
        value_at(files, link.file, link.pointer)


@pytest.mark.parametrize("variant", RUNS)
def test_withheld_evidence_turns_what_was_shown_into_a_word(variant: str) -> None:
    """If this fails, a sum that nobody can add up again is called recomputed."""
    source, answers = asked(variant)
    publish, found = source.agreement.publish, answers["evidence"]
    if publish.ciphertexts:
        assert figures(found)["homomorphic-sum"] == WORDS["homomorphic-sum"]
    else:
        point = carries(found, "homomorphic-sum")
        assert point.status == "attested"
        assert point.by == ("aggregator", "key-holder")
        assert "homomorphic-sum" not in figures(found)
    custody = words(answers["custody"])
    assert ("not published; their signed hashes are" in custody) == (not publish.ciphertexts)
    assert ("goes to the student, sealed" in custody) == (not publish.sums)
    assert figures(answers["not-covered"])["scores"] == publish.scores
    counted = "noisy number of records behind the sum" in figures(answers["not-covered"])
    counts = source.agreement.answers is None and source.agreement.institution_privacy is None
    assert counted == (publish.sums and counts)
    # Whoever has the key stands for there having been one release.
    holder = "aggregator" if source.agreement.custody == "aggregator" else "key-holder"
    (point,) = [p for p in answers["custody"].points if p.text.startswith("That no other sum")]
    assert point.by == (holder,)


@pytest.mark.parametrize("variant", VARIANTS)
def test_figures_are_the_runs_own(variant: str) -> None:
    """If this fails, an officer signs for numbers of another run."""
    made, (_, answers) = honest(variant), asked(variant)
    parameters = figures(answers["parameters"])
    assert parameters["epsilon"] == made.summary["epsilon"]
    assert parameters["delta"] == 1e-5
    assert parameters["rho (zCDP)"] == made.summary["accounting"]["rho"]
    assert parameters["epsilon at delta 1e-5"] == pytest.approx(made.summary["epsilon"])
    # Of two Gaussians that far apart (Neyman and Pearson), the best test hits less than allowed.
    rho = made.summary["accounting"]["rho"]
    best = norm.cdf(norm.ppf(0.05) + math.sqrt(2 * rho))
    (share,) = [value for name, value in parameters.items() if name.startswith("share of hits")]
    assert best < share < 1.5 * best
    event = json.loads(made.files["ledger-teacher-1.jsonl"].splitlines()[0])["body"]["events"][0]
    found = figures(answers["sensitivity"])
    assert found["L2 sensitivity, grid units"] == event["sensitivity"]
    assert found["noise scale, grid units"] == event["noise_scale"]
    assert figures(answers["utility"])["Student (with the public encoder)"] == 0.875
    assert figures(answers["choices"])["privacy.count_floor"] == 5.0
    assert figures(answers["randomness"])["simulation"] is False
    against = [n for n in figures(answers["trust"]) if n.startswith("epsilon against")]
    assert len(against) >= 6


def test_spends_of_earlier_runs_are_in_the_total() -> None:
    """If this fails, the second run looks as cheap as the first."""
    first, second = (
        figures({a.id: a for a in answer(source_of(honest("default", number).files))}["over-time"])
        for number in (0, 1)
    )
    spent = "epsilon so far, teacher-1"
    before = "entries before this run's, teacher-1"
    assert second[spent] > 1.3 * first[spent]
    assert second["epsilon of this run, teacher-1"] == first["epsilon of this run, teacher-1"]
    assert first[before] == 1
    assert second[before] > 1
    shown = [
        {
            f.name: f.text
            for a in answer(source_of(honest("default", number).files))
            if a.id == "over-time"
            for p in a.points
            for f in p.figures
        }[before]
        for number in (0, 1)
    ]
    assert shown[0] == "1 (it opens the ledger: no earlier run)"
    assert f"(1 opens the ledger, {second[before] - 1} of earlier runs" in shown[1]


def test_a_teacher_that_showed_no_charge_is_named() -> None:
    """If this fails, a charge that nobody shows looks like no charge."""
    source, answers = asked("default")
    fewer = {name: charge for name, charge in source.charges.items() if name != "teacher-1"}
    (found,) = [f for f in answer(replace(source, charges=fewer)) if f.id == "over-time"]
    assert figures(found)["teachers without an entry"] == "teacher-1"
    assert "teachers without an entry" not in figures(answers["over-time"])


def test_a_ledgers_own_total_is_a_word_and_no_proof() -> None:
    """If this fails, a teacher that hides its earlier runs gets a total that is called shown."""
    forgery = Forgery("plain")
    for message in forgery.all("ledger"):
        entry = message["body"]["entries"][0]
        entry["body"]["agreement_rho"] = 2 * entry["body"]["rho"]
    lied = {found.id: found for found in answer(source_of(forgery.build("ledgers")))}["over-time"]
    honestly = asked("plain")[1]["over-time"]
    spent = "epsilon so far, teacher-1"
    assert figures(lied)[spent] > figures(honestly)[spent]
    for found in (lied, honestly):
        (point,) = [p for p in found.points if spent in {f.name for f in p.figures}]
        assert point.status == "attested"
        assert "teacher-1" in point.by


# --- routes ------------------------------------------------------------------------------


def test_a_run_without_differential_privacy_cannot_be_missed() -> None:
    """If this fails, a run that promises nothing reads like one that promises something."""
    source, answers = asked("models")
    statuses = {name: found.status for name, found in answers.items()}
    nothing_to_ask = ("unit", "neighbours", "sensitivity", "accountant", "randomness", "measured")
    for name in nothing_to_ask:
        assert statuses[name] == "not applicable"
    assert statuses["parameters"] == "not shown"
    assert "shown" not in statuses.values()
    for name in (*nothing_to_ask, "parameters", "over-time", "not-covered"):
        assert "NO DIFFERENTIAL PRIVACY" in answers[name].text, name
    for found in answers.values():
        assert not [n for n in figures(found) if n.startswith(("epsilon", "delta", "rho"))]
    made = document(source, tuple(answers.values()))
    assert made["warnings"][0].startswith("NO DIFFERENTIAL PRIVACY")
    entry = made["registry"]["entry"]["deployment"]
    assert entry["dp_variant"]["variant_name"] is None
    assert set(entry["privacy_loss"].values()) == {None}
    assert "NO DIFFERENTIAL PRIVACY" in entry["administrative"]["notes"]


def test_a_stated_training_is_its_institutions_word() -> None:
    """If this fails, a training that nobody witnessed passes for one of this run."""
    _, answers = asked("trainings")
    assert answers["parameters"].status == "not shown"
    assert FLOATING_POINT in words(answers["parameters"])
    trained = ("teacher-1", "teacher-2", "teacher-4")
    words_of = [p for p in answers["parameters"].points if p.status == "attested"]
    assert [p.by for p in words_of] == [trained, ("teacher-3",)]
    (drawn,) = [p for p in answers["randomness"].points if p.status == "attested"]
    assert drawn.by == trained
    by = {p.by for p in answers["sensitivity"].points if p.status == "attested"}
    assert by == {trained, ("teacher-3",)}


def test_a_trainings_epsilon_stands_between_two_others() -> None:
    """If this fails, nothing in the report could show that a training's epsilon is too small."""
    source, answers = asked("trainings")
    found = answers["accountant"]
    (point,) = [p for p in found.points if p.status == "shown"]
    shown = {item.name: item for item in point.figures}
    least = shown["least epsilon, which a test certainly reaches"]
    assert isinstance(source.plan.accounting, TrainingCheck)
    assert least.value == source.plan.accounting.least_epsilon
    assert isinstance(least.value, float)
    assert 0 < float(least.text) <= least.value <= source.plan.accounting.epsilon
    assert "certainly reaches" not in words(asked("default")[1]["accountant"])


def test_a_unit_without_a_figure_is_named_in_the_answer_too() -> None:
    """If this fails, what is too weak to be stated is passed over in silence."""
    source, answers = asked("default")
    agreed, *others = source.by_view.units
    unstated = no_claim("person-with-10-records", "one person with at most 10 records", "Why not.")
    kept = (claim for claim in others if claim.id != unstated.id)
    made = replace(source, by_view=replace(source.by_view, units=(agreed, unstated, *kept)))
    (found,) = [found for found in answer(made) if found.id == "unit"]
    said = "No figure for one person with at most 10 records: Why not."
    assert said in words(found)
    assert "No figure for" not in words(answers["unit"])
    assert "No figure for" not in words(asked("institution")[1]["unit"])


def test_who_counted_the_persons_of_a_training_is_named() -> None:
    """If this fails, a training that promises persons gets no report, or others' word."""
    source, _ = asked("trainings")
    agreement = source.agreement
    assert agreement.privacy is not None
    persons = replace(agreement, privacy=replace(agreement.privacy, unit="person"))
    facts = replace(source.verdict.facts, agreement=persons)
    made = replace(
        source,
        verdict=replace(source.verdict, facts=facts),
        facts=replace(source.facts, agreement=persons),
    )
    answers = {found.id: found for found in answer(made)}
    (point,) = [p for p in answers["unit"].points if p.status == "attested"]
    assert "at most 1 record added anything" in point.text
    assert point.by == ("teacher-1", "teacher-2", "teacher-4")
    # What is sampled and clipped is a person, and one record is less than that only in number.
    moves = words(answers["sensitivity"])
    for said in ("mean of its gradients is clipped", "a person takes part", "persons were sampled"):
        assert said in moves
    for false in ("One record moves", "a record takes part", "each record's gradient"):
        assert false not in moves
        assert false in words(asked("trainings")[1]["sensitivity"])
    compared = words(answers["neighbours"])
    assert "One record more or less is covered" not in compared
    assert "All of a person's records come or go together" in compared
    assert "One record more or less is covered" in words(asked("trainings")[1]["neighbours"])


def test_a_loss_rests_on_noise_that_nobody_saw() -> None:
    """If this fails, a charged epsilon passes for one that was kept."""
    for variant in ("default", "trainings"):
        found = asked(variant)[1]["parameters"]
        assert found.status != "shown"
        assert "That it was drawn is each teacher's word" in found.text
        assert any("was drawn" in p.text and p.status == "attested" for p in found.points)


def test_no_epsilon_is_claimed_against_who_makes_up_a_run() -> None:
    """If this fails, a made-up run seems to protect somebody from its maker."""
    for variant in RUNS:
        forger = next(
            view
            for view in document_of(variant)["by_view"]["views"]
            if view["id"] == "coalitions.forger"
        )
        assert forger["epsilon"] is None
        for name in ("trust", "not-covered"):
            assert forger["name"] not in words(asked(variant)[1][name])


def test_one_process_is_named_among_those_to_trust() -> None:
    """If this fails, "nobody else" is said of parties whose memory one process shared."""
    for variant in RUNS:
        found = asked(variant)[1]["trust"]
        assert "In this run one process drove all parties: whoever ran it, too." in found.text
    source, _ = asked("default")
    apart = replace(source, summary={**source.summary, "engine": "tcp"})
    (found,) = [found for found in answer(apart) if found.id == "trust"]
    assert "one process" not in words(found)
    (point,) = [p for p in found.points if "machines of their own" in p.text]
    assert (point.status, point.by) == ("attested", ("aggregator",))


def test_the_list_of_choices_is_named_and_is_no_evidence() -> None:
    """If this fails, the software's own list passes for something that the run shows."""
    name = "docs/data-dependent-choices.toml"
    assert (DOCS.parent / name).is_file()
    for variant in RUNS:
        (point,) = [p for p in asked(variant)[1]["choices"].points if name in p.how]
        assert (point.status, point.evidence) == ("not shown", ())
        assert "does not show what the parties ran" in point.how


@pytest.mark.parametrize("variant", RUNS)
def test_every_parameter_that_could_tell_of_records_is_listed(variant: str) -> None:
    """If this fails, an officer cannot see what was fixed before the run, and takes it for all."""
    source, answers = asked(variant)
    content = source.agreement.content()
    told = figures(answers["choices"])
    named = ("privacy", "student_privacy", "institution_privacy", "training", "limits")
    agreed = [table for table in named if table in content]
    assert "limits" in agreed
    for table in agreed:
        for name, value in content[table].items():
            assert told[f"{table}.{name}"] == value


def test_a_published_key_is_said_to_open_the_uploads() -> None:
    """If this fails, uploads that every reader can decrypt look encrypted."""
    for variant in VARIANTS:
        source, answers = asked(variant)
        said = "It opens every upload too" in words(answers["custody"])
        assert said == (source.agreement.protection.he and source.agreement.publish.feature_key)


def test_open_signals_are_said_to_be_open() -> None:
    """If this fails, a run whose single signals were readable looks like any other."""
    _, answers = asked("plain")
    for name in ("trust", "not-covered"):
        assert "ENCRYPTION" in words(answers[name]) or "open" in words(answers[name])
    assert "ENCRYPTION AND MASKS ARE OFF" in words(answers["trust"])
    assert "There was no key" in words(answers["custody"])
    assert document_of("plain")["warnings"][0].startswith("ENCRYPTION AND MASKS ARE OFF")
    assert "ENCRYPTION AND MASKS ARE OFF" not in words(asked("default")[1]["trust"])


def test_identities_are_shown_with_keys_only() -> None:
    """If this fails, made-up institutions pass for those that the reader knows."""
    made = honest()
    _, unknown = asked("default")
    assert unknown["evidence"].status == "not shown"
    assert "no key was compared" in words(unknown["evidence"])
    known = {found.id: found for found in answer(source_of(made.files, made.keys))}
    assert known["evidence"].status == "attested"
    assert "no key was compared" not in words(known["evidence"])
    assert figures(known["evidence"])["trust file"] == "keys.toml"
    assert figures(known["evidence"])["keys compared"] == len(made.agreement.parties)


# --- another agreement, another answer -----------------------------------------------------


def changed(**clauses: Any) -> dict[str, Answer]:
    """Return the answers of a run under an agreement with other clauses, all else made to fit."""
    forgery = Forgery("plain")
    for clause, value in clauses.items():
        *tables, name = clause.split("__")
        found = forgery.terms
        for table in tables:
            found = found[table]
        found[name] = value
    agreement = forgery.agreement
    for message in forgery.all("ledger"):
        teacher = message["header"]["sender"]
        for entry in message["body"]["entries"]:
            if entry["kind"] == "reserve":
                event = planned_event(agreement, teacher)
                entry["body"]["events"] = events_to_list([event])
                entry["body"]["rho"] = entry["body"]["agreement_rho"] = Amount.of([event]).rho
                entry["body"]["budget"] = agreement.promise.agreement_budget
    for teacher in forgery.summary["teachers"]:
        teacher["task"] = list(agreement.parties[teacher["id"]].classes)
    forgery.summary["privacy_unit"] = agreement.promise.unit
    forgery.summary["neighbours"] = agreement.promise.neighbours
    return {found.id: found for found in answer(source_of(forgery.build("agreement")))}


@pytest.mark.parametrize(
    ("clauses", "question", "said"),
    [
        (
            {"privacy__unit": "person", "privacy__max_records": 3},
            "unit",
            "of whom at most 3 records count",
        ),
        ({"privacy__unit": "person", "privacy__max_records": 3}, "unit", "two persons"),
        ({"privacy__unit": "person", "privacy__max_records": 3}, "sensitivity", "unit: 3"),
        ({"privacy__unit": "person"}, "neighbours", "records come or go together. One of them"),
        (
            {"privacy__unit": "person", "privacy__neighbours": "replace-one"},
            "neighbours",
            "records are replaced together",
        ),
        ({"privacy__neighbours": "replace-one"}, "neighbours", "replacing one record"),
        ({"privacy__neighbours": "replace-one"}, "neighbours", "data sets of one size"),
        ({"privacy__agreement_budget": 25.0}, "over-time", "all its runs: 25"),
        ({"privacy__count_floor": 7.0}, "small-groups", "count floor, records: 7"),
        ({"limits__reply_seconds": 9}, "side-channels", "a reply leaves: 9"),
        ({"selection__max_colluding": 2}, "small-groups", "smallest sum: 4"),
        ({"parties__teacher-1__classes": ["red", "green", "teal"]}, "small-groups", "teal (teac"),
        ({"parties__teacher-1__classes": ["red", "green", "teal"]}, "not-covered", "green, teal"),
    ],
)
def test_another_agreement_gets_another_answer(
    clauses: dict[str, Any], question: str, said: str
) -> None:
    """If this fails, the report says the same of every run, whatever was agreed."""
    assert said in words(changed(**clauses)[question])
    assert said not in words(asked("plain")[1][question])


@pytest.mark.parametrize(
    ("variant", "paced"), [("default", True), ("trainings", False), ("models", False)]
)
def test_a_pace_is_told_where_noise_has_one(variant: str, paced: bool) -> None:
    """If this fails, a training's noise is said to be drawn before records, at a pace."""
    assert ("at the pace of another batch" in words(asked(variant)[1]["side-channels"])) == paced


# --- the registry ------------------------------------------------------------------------

FIELDS = {
    "basic": "name data_curators intended_use data_product_type data_product_region description "
    "publication_date data_product_sector",
    "dp_variant": "variant_name data_domain unprotected_quantities",
    "privacy_loss": "privacy_unit privacy_unit_details privacy_parameters "
    "privacy_parameters_details",
    "deployment_model": "model_name model_name_details actors release_type release_type_details "
    "data_source_type data_source_type_details access_type access_type_details",
    "accounting": "post_processing composition",
    "implementation": "preprocessing_and_hyperparameter_tuning mechanisms justification",
    "administrative": "sources notes registry_authors",
}
"""The fields of the registry's schema of 2026-07-15, by group."""
ALLOWED: dict[str, set[str | None]] = {
    "data_product_type": {"Machine learning model"},
    "variant_name": {"Approximate DP", None},
    "model_name": {"Federated", None},
    "release_type": {"One release"},
    "access_type": {"Non-interactive"},
    "data_source_type": {None},
}
"""Of its lists of allowed words, those that a run can have."""


@pytest.mark.parametrize("variant", RUNS)
def test_the_draft_has_the_registrys_fields(variant: str) -> None:
    """If this fails, an entry made from the report is refused for its field names."""
    made = document_of(variant)["registry"]
    assert re.fullmatch(r"https://github\.com/opendp/.*/[0-9a-f]{40}/schemas/.*", made["schema"])
    entry = made["entry"]
    assert set(entry) == {"url_slug", "status", "tier", "deployment"}
    assert entry["status"] == "Draft"
    groups = entry["deployment"]
    assert {name: set(group) for name, group in groups.items()} == {
        name: set(fields.split()) for name, fields in FIELDS.items()
    }
    for group in groups.values():
        for name in set(group) & set(ALLOWED):
            assert group[name] in ALLOWED[name], name
    parameters = groups["privacy_loss"]["privacy_parameters"]
    if variant != "models":
        assert parameters["epsilon"] == honest(variant).summary["epsilon"]
        assert set(parameters) == {"epsilon", "delta", "rho"}


def test_the_students_own_promise_is_its_word_and_nothing_else_is_promised_to_it() -> None:
    """If this fails, an officer reads that labelled records are protected where they are not."""
    name = "epsilon for one labelled record of the student"
    made = honest("private-student")
    (point,) = (
        p for p in asked("private-student")[1]["unit"].points if name in {f.name for f in p.figures}
    )
    assert (point.status, point.by) == ("attested", ("student",))
    (told,) = (f.value for f in point.figures if f.name == name)
    assert told == pytest.approx(made.summary["student_privacy"]["epsilon"], rel=1e-6)
    assert "comes from public probes" in words(asked("private-student")[1]["choices"])
    report = document_of("private-student")
    assert report["limits"][-1] == wording.OWN_EPSILON
    loss = report["registry"]["entry"]["deployment"]["privacy_loss"]
    assert "labelled records are protected" in loss["privacy_parameters_details"]
    for variant in ("default", "trainings"):
        assert name not in figures(asked(variant)[1]["unit"])
        assert "or to the student's own records" in words(asked(variant)[1]["unit"])
        assert "without noise" in words(asked(variant)[1]["choices"])


def test_a_whole_institutions_promise_is_the_members_word_and_said_only_where_agreed() -> None:
    """If this fails, an officer reads that noise hides an institution where none does."""
    source, answers = asked("institution")
    (point,) = (p for p in answers["unit"].points if "whole signal in the opened sum" in p.text)
    assert point.status == "attested"
    assert set(point.by) == set(source.verdict.facts.members)
    told = {f.name: f.value for f in point.figures}
    (claim,) = (unit for unit in source.by_view.units if unit.id == "institution")
    assert told[f"epsilon for {claim.unit}"] == pytest.approx(claim.epsilon, rel=1e-6)
    assert len(told) == 3
    assert "every teacher that was ready is in the sum" in words(answers["choices"])
    made = document_of("institution")
    assert made["limits"][-1] == wording.OF_INSTITUTIONS
    several = made["by_view"]["why_one_bound"]
    assert several == WHY_SEVERAL_BOUNDS
    assert several in words(answers["trust"])
    assert WHY_ONE_BOUND not in words(answers["trust"])
    assert "that for a whole institution rests on them" in words(answers["trust"])
    assert "change none. That" not in words(answers["trust"])
    entry = made["registry"]["entry"]["deployment"]
    assert "scores" not in entry["accounting"]["post_processing"]
    assert "selected" not in entry["dp_variant"]["unprotected_quantities"]
    promised = entry["privacy_loss"]["privacy_parameters_details"]
    assert f"with epsilon {bound('', claim.epsilon or 0.0).text} at delta" in promised
    assert "rests on masks" in entry["deployment_model"]["model_name_details"]
    share = source.agreement.institution_promise.share_scale
    assert f"share of scale {share:g}" in entry["implementation"]["mechanisms"]
    units = {unit["id"]: unit for unit in made["by_view"]["units"]}
    for view in made["by_view"]["views"]:
        if view["id"] != "coalitions.forger":
            assert units[view["institution_claim"]]["epsilon"] == view["institution_epsilon"]
            assert units[view["institution_claim"]]["events"]["sum"]
    unsaid = asked("default")[1]
    assert WHY_ONE_BOUND in words(unsaid["trust"])
    assert "They make no epsilon and change none." in words(unsaid["trust"])
    entry = document_of("default")["registry"]["entry"]["deployment"]
    assert "scores against" in entry["accounting"]["post_processing"]
    assert "who was selected" in entry["dp_variant"]["unprotected_quantities"]
    assert "whole" not in str(entry["privacy_loss"]) + str(entry["deployment_model"])
    assert wording.OF_INSTITUTIONS not in document_of("default")["limits"]
    assert "promised to an institution as a whole" in words(unsaid["unit"])
    assert "whole signal in the opened sum" not in words(unsaid["unit"])


def test_a_limit_of_what_is_kept_is_the_signers_word() -> None:
    """If this fails, an officer reads that logs go away where nobody agreed on it."""
    assert figures(asked("limited")[1]["custody"])["days of a local log, at most"] >= 0
    (unsaid,) = (p for p in asked("default")[1]["custody"].points if "local logs" in p.text)
    assert unsaid.status == "not shown"
