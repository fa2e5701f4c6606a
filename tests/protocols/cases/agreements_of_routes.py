"""Agreements of the routes whose teachers are models, good and bad."""

from __future__ import annotations

import math

from tests.protocols.cases.agreements import (
    HE_OFF,
    PERSON,
    Case,
    Json,
    change,
    of_route,
    put,
    terms,
    trained,
    unprotected,
    without,
)

STATED = "parties.teacher-1.stated"
CLASSES = "parties.teacher-1.classes"
STUDENT = "student_privacy"
PROTECTED = {
    "epsilon": 2.0,
    "noise_multiplier": 2.15,
    "budget": 6.0,
    "classes": 3,
    "directions": 2,
}
SHARED = "institution_privacy"
HIDDEN = {
    "epsilon": 4.0,
    "neighbours": "member-to-zero",
    "norm_bound": 2**16,
    "share_scale": 53800.0,
    "records": 4500,
}
"""For one colluding teacher of the three that a sum has at least."""
EVERYBODY = {"selection.threshold": 0.0, "publish.scores": "none"}
MOST = {"sampling_rate": 0.5, "steps": 12, "noise_multiplier": 2.5}


def _stated(count: int) -> dict[str, object]:
    """Return changes that state so many different trainings, by as many teachers."""
    made: dict[str, object] = {}
    for number in range(1, count + 1):
        name = f"teacher-{number}" if number < 5 else f"further-{number}"
        if number >= 5:
            made[f"parties.{name}"] = {
                "role": "teacher",
                "key": f"{number:02x}" * 32,
                "classes": ["red", "green"],
            }
        made[f"parties.{name}.stated"] = {**MOST, "noise_multiplier": 2.5 + number / 4}
    return made


def _of_persons(made: Json) -> None:
    made["privacy"]["unit"] = "person"
    del made["parties"]["teacher-1"]["stated"]


def _of_four_records(made: Json) -> None:
    _of_persons(made)
    made["privacy"]["max_records"] = 4


def bad() -> list[Case]:
    """Return the bad agreements."""
    noisy = terms()["privacy"]
    return [
        put(
            "answers",
            {"form": "gram", "probes": 4, "width": 0, "saliency": "alignment"},
            "where-records-are-summed",
            "B2",
        ),
        put("route", "private-training", "with-the-tables-of-another", "B2", "answers"),
        put("route", "encryption-only", "with-the-tables-of-another", "B2", "privacy"),
        put(STATED, MOST, "where-records-are-summed", "R17"),
        *_of_the_student(),
        *_of_institutions(),
        *of_route(
            trained,
            put(STUDENT, PROTECTED, "where-models-are-trained", "B2"),
            put(SHARED, HIDDEN, "where-models-are-trained", "B2"),
            without("training"),
            without("answers"),
            without("privacy"),
            without("training.seed"),
            without("answers.width"),
            without(f"{STATED}.steps"),
            put("privacy.grid", noisy["grid"], "of-another-route", "B2"),
            put("training.delta", 1e-5, "unknown", "B2"),
            put("training.optimiser", "rmsprop", "another", "B2"),
            put("training.steps", 12.0, "a-float", "B2"),
            put("answers.form", "logits", "another", "B2"),
            put("answers.saliency", "Grad-CAM", "in-capitals", "B2"),
            put(STATED, [], "a-list", "B2"),
            put(CLASSES, [], "none", "R5"),
            put("privacy.neighbours", "replace-one", "replaced", "R7"),
            put("privacy.max_records", 4, "four-for-a-record", "R7"),
            put("privacy.unit", "person", "with-a-stated-training", "R17", STATED),
            put("privacy.data_set_budget", 3.999, "below-epsilon", "R6"),
            put("privacy.epsilon", math.nan, "nan", "R6"),
            put("protection.dp", False, "off", "R8"),
            put("training.sampling_rate", 0, "zero", "R15"),
            put("training.sampling_rate", 1.01, "above-1", "R15"),
            put("training.steps", 0, "zero", "R15"),
            put("training.steps", 10**6 + 1, "beyond-a-million", "R15"),
            put("training.noise_multiplier", 0, "zero", "R15"),
            put("training.noise_multiplier", 0.0499, "below-a-twentieth", "R15"),
            put("training.noise_multiplier", math.inf, "inf", "R15"),
            put("training.clip_norm", 0, "zero", "R15"),
            put("training.denominator", 1e13, "beyond-10-to-12", "R15"),
            put("training.learning_rate", math.nan, "nan", "R15"),
            put("training.momentum", 1, "one", "R15"),
            put("training.averaged", -0.1, "below-zero", "R15"),
            put("training.averaged", math.nan, "nan", "R15"),
            put("training.seed", -1, "below-zero", "R15"),
            put(f"{STATED}.noise_multiplier", 0.04, "below-a-twentieth", "R15"),
            put(f"{STATED}.sampling_rate", math.nan, "nan", "R15"),
            put(f"{STATED}.steps", -1, "below-zero", "R15"),
            put("answers.probes", 1, "one", "R16"),
            put("answers.width", 0, "zero-for-a-sketch", "R16"),
            put("answers.width", 4097, "4097", "R16"),
            put("answers.form", "gram", "with-a-width", "R16", "answers.width"),
            put("answers.saliency", "grad-cam", "of-less-than-a-map", "R16", "saliency.directions"),
            put("parties.student.stated", MOST, "of-the-student", "R17"),
            change("of-16-kinds", "R17", "parties", _stated(16)),
            put("training.noise_multiplier", 1.5, "too-little-noise", "L2"),
            put(f"{STATED}.steps", 40, "beyond-the-promise", "L2", STATED),
            put("privacy.delta", 0.11, "above-a-tenth", "L2"),
            put("privacy.delta", 1e-14, "below-10-to-minus-13", "L2"),
            put("privacy.agreement_budget", 1.1e6, "beyond-a-million", "L2"),
            change("hopeless", "L2", "privacy", {"training.noise_multiplier": 0.05}),
            put("features.bound", 2_147_469_313, "sums-could-wrap", "L5"),
        ),
        *of_route(
            unprotected,
            without("answers"),
            put("privacy", {}, "of-another-route", "B2"),
            put("training", {}, "of-another-route", "B2"),
            put(CLASSES, ["red", "red"], "twice", "R5"),
            put("protection.dp", True, "on", "R8"),
            change("off", "R8", "protection.he", HE_OFF),
            put("protection.masks", False, "without-masks", "R8", "protection"),
            put("answers.probes", 10**6 + 1, "beyond-a-million", "R16"),
            put(STATED, MOST, "where-nothing-is-promised", "R17"),
            put("saliency.unit", 0, "zero", "R6"),
        ),
    ]


def _of_the_student() -> list[Case]:
    """Return bad promises about the student's records."""

    def broken(entry: str, value: object, name: str, rule: str, clause: str = "") -> Case:
        where = f"{STUDENT}.{entry}"
        return change(name, rule, clause or where, {STUDENT: {**PROTECTED, entry: value}})

    return [
        change(
            "missing",
            "B2",
            f"{STUDENT}.budget",
            {STUDENT: {name: PROTECTED[name] for name in PROTECTED if name != "budget"}},
        ),
        broken("delta", 1e-5, "unknown", "B2"),
        broken("classes", 3.0, "a-float", "B2"),
        change("where-persons-are-protected", "R18", STUDENT, {**PERSON, STUDENT: PROTECTED}),
        broken("epsilon", 0, "zero", "R18"),
        broken("noise_multiplier", math.nan, "nan", "R18"),
        broken("budget", 1.99, "below-epsilon", "R18"),
        broken("classes", 1, "one", "R18"),
        broken("directions", 6, "beyond-the-encoder", "R18"),
        broken("noise_multiplier", 2.0, "too-little-noise", "L11"),
        broken("budget", 1.1e6, "beyond-a-million", "L11", STUDENT),
        broken("noise_multiplier", 1e12, "beyond-int64", "L11", STUDENT),
    ]


def _hiding(name: str, rule: str = "", clause: str = "", **changes: object) -> Case:
    """Return a case whose sum hides single institutions; changes are to that table."""
    return change(name, rule, clause, {**EVERYBODY, SHARED: {**HIDDEN, **changes}})


def _of_institutions() -> list[Case]:
    """Return bad promises about whole institutions."""

    def broken(entry: str, value: object, name: str, rule: str, clause: str = "") -> Case:
        return _hiding(name, rule, clause or f"{SHARED}.{entry}", **{entry: value})

    def beside(path: str, value: object, name: str) -> Case:
        return change(name, "R19", path, {**EVERYBODY, SHARED: HIDDEN, path: value})

    incomplete = {name: HIDDEN[name] for name in HIDDEN if name != "records"}
    return [
        change("missing", "B2", f"{SHARED}.records", {**EVERYBODY, SHARED: incomplete}),
        broken("delta", 1e-5, "unknown", "B2"),
        broken("neighbours", "add-remove", "of-records", "B2"),
        broken("norm_bound", 65536.0, "a-float", "B2"),
        change(
            "without-encryption", "R19", "protection.he", {**HE_OFF, **EVERYBODY, SHARED: HIDDEN}
        ),
        beside("selection.select", 3, "of-some"),
        beside("selection.threshold", 0.01, "above-zero"),
        beside("publish.scores", "order", "shown"),
        broken("epsilon", 0, "zero", "R19"),
        broken("epsilon", math.inf, "infinite", "R19"),
        broken("share_scale", 0.49, "below-the-theorem", "R19"),
        broken("share_scale", math.nan, "nan", "R19"),
        broken("norm_bound", 0, "zero", "R19"),
        broken("norm_bound", 2**30 + 1, "beyond-the-grid", "R19"),
        broken("records", 0, "zero", "R19"),
        broken("share_scale", 53500.0, "too-little-noise", "L12"),
        broken("neighbours", "member-to-any", "half-the-noise", "L12", f"{SHARED}.share_scale"),
        change(
            "told-by-one-more",
            "L12",
            f"{SHARED}.share_scale",
            {
                **EVERYBODY,
                SHARED: {**HIDDEN, "share_scale": 43900.0},
                "selection.max_colluding": 2,
                "selection.minimum_cohort": 4,
            },
        ),
        broken("norm_bound", 2**29, "too-long", "L12", f"{SHARED}.share_scale"),
        change(
            "that-wraps",
            "L12",
            f"{SHARED}.norm_bound",
            {**EVERYBODY, SHARED: {**HIDDEN, "norm_bound": 2**30, "share_scale": 53800.0 * 2**14}},
        ),
    ]


def good() -> list[Case]:
    """Return the good agreements."""
    forms = [
        change("gram", "", "", {"answers.form": "gram", "answers.width": 0}),
        change("scatter", "", "", {"answers.form": "scatter", "answers.width": 0}),
        put(CLASSES, ["risk"], "one-value"),
        change(
            "grad-cam",
            "",
            "",
            {"encoder.dimension": 6, "saliency.directions": 6, "answers.saliency": "grad-cam"},
        ),
    ]
    return [
        _hiding("with-a-promise-about-institutions"),
        change(
            "with-a-promise-from-three-shares",
            "",
            "",
            {
                **EVERYBODY,
                SHARED: {**HIDDEN, "share_scale": 43900.0},
                "selection.minimum_cohort": 4,
            },
        ),
        _hiding("with-a-whole-epsilon-for-institutions", epsilon=4, share_scale=60000),
        _hiding("with-any-other-institution", neighbours="member-to-any", share_scale=2 * 53800.0),
        put(STUDENT, PROTECTED, "with-a-promise-about-the-student"),
        put(STUDENT, {**PROTECTED, "epsilon": 2, "budget": 2}, "with-one-summary-of-the-student"),
        *of_route(
            trained,
            Case("the-agreement", "", ""),
            *forms,
            change("without-encryption", "", "", HE_OFF),
            change("adam", "", "", {"training.optimiser": "adam", "training.momentum": 0}),
            change(
                "integers-for-floats",
                "",
                "",
                {
                    "training.noise_multiplier": 3,
                    "training.averaged": 1,
                    "training.clip_norm": 1,
                    f"{STATED}.sampling_rate": 0.5,
                },
            ),
            change(
                "every-record-in-every-step",
                "",
                "",
                {"training.sampling_rate": 1, "training.steps": 1},
            ),
            change(
                "most-steps-and-noise",
                "",
                "",
                {"training.steps": 10**6, "training.noise_multiplier": 1e5},
            ),
            change(
                "least-noise",
                "",
                "",
                {
                    "training.sampling_rate": 1e-120,
                    "training.steps": 1,
                    "training.noise_multiplier": 0.05,
                },
            ),
            put(f"{STATED}.noise_multiplier", 1e5, "much-noise-stated"),
            Case("one-record-of-each-person", "", "", _of_persons),
            Case("four-records-of-each-person", "", "", _of_four_records),
            change(  # whose privacy losses cost more than its Renyi divergences do
                "rare-records-in-many-steps",
                "",
                "",
                {
                    "training.sampling_rate": 2.4e-4,
                    "training.steps": 22_759,
                    "training.noise_multiplier": 2.55,
                },
            ),
        ),
        *of_route(
            unprotected,
            Case("the-agreement", "", ""),
            *forms,
            change("most-probes", "", "", {"answers.probes": 4096, "answers.width": 64}),
        ),
    ]
