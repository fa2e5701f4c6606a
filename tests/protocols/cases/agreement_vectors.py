"""Agreements, good and bad, each bad one with one thing wrong: vectors/agreements."""

from __future__ import annotations

import math
from collections.abc import Callable

from tests.protocols.bench import formulas
from tests.protocols.cases import agreements_of_retention, agreements_of_routes
from tests.protocols.cases.agreements import (
    HE_OFF,
    PERSON,
    Case,
    change,
    put,
    rename,
    without,
)


def bad() -> list[Case]:
    """Return the bad agreements."""
    own = agreements_of_retention.bad()
    return [*_forms(), *_rules(), *_numbers(), *_plans(), *agreements_of_routes.bad(), *own]


def _forms() -> list[Case]:
    toml: dict[str, Callable[[str], str]] = {
        "a-key-twice": lambda text: text.replace("version = 1\n", "version = 1\nversion = 1\n"),
        "a-table-twice": lambda text: text + "\n[limits]\n",
        "not-toml": lambda text: text + "\n???\n",
        "a-line-of-101-dots": lambda text: text.replace('"Test vector"', f'"{"." * 101}"'),
        "dots-behind-a-comment": lambda text: text.replace(
            "version = 1\n", f"version = 1 # {'.' * 101}\n"
        ),
        "dots-in-a-comment-beside-three-quotes": lambda text: (
            text.replace('"Test vector"', "'''Test vector'''") + f"# {'.' * 101}\n"
        ),
        "a-number-of-5000-digits": lambda text: text.replace(
            "version = 1\n", f"version = {'1' * 5000}\n"
        ),
        "deeply-nested": lambda text: text + f"\nx = {'[' * 3000}{']' * 3000}\n",
    }
    forms = [Case(name, "B1", "", text=edit) for name, edit in toml.items()]
    forms += [Case("nothing-but-a-comment", "B2", "", text=lambda _text: "# nothing\n")]
    forms += [
        put("patience", 1, "unknown", "B2"),
        put("limits.patience", 1, "unknown", "B2"),
        put("parties.student.note", "", "unknown", "B2"),
        without("title"),
        without("simulation"),
        without("privacy.count_floor"),
        without("publish.feature_key"),
        without("limits"),
        without("parties.student.role"),
        put("parties", 1, "an-int", "B2"),
        put("limits", [], "a-list", "B2"),
        put("title", 1, "an-int", "B2"),
        put("version", 1.0, "a-float", "B2"),
        put("version", True, "a-bool", "B2"),
        put("simulation", 0, "an-int", "B2"),
        put("simulation", "false", "a-text", "B2"),
        put("privacy.grid", 4096.0, "a-float", "B2"),
        put("privacy.grid", "4096", "a-text", "B2"),
        put("privacy.epsilon", "4", "a-text", "B2"),
        put("privacy.epsilon", True, "a-bool", "B2"),
        put("selection.threshold", 2**53, "an-integer-of-2-to-53", "B2"),
        put("limits.max_burned", 2**53, "an-integer-of-2-to-53", "B2"),
        put("limits.max_burned", -(2**63), "an-integer-of-minus-2-to-63", "B2"),
        put("route", "no-privacy", "another", "B2"),
        put("route", "Noisy-Release", "in-capitals", "B2"),
        put("custody", "student", "another", "B2"),
        put("privacy.unit", "records", "another", "B2"),
        put("privacy.neighbours", "replace", "another", "B2"),
        put("publish.scores", True, "a-bool", "B2"),
        put("encryption.scheme", "ckks", "another", "B2"),
        put("encryption.coeff_mod_bit_sizes", 54, "an-int", "B2"),
        put("encryption.coeff_mod_bit_sizes", [54, 55.0], "with-a-float", "B2"),
        put("encryption.coeff_mod_bit_sizes", [54, True], "with-a-bool", "B2"),
        put("parties.teacher-1.role", "auditor", "another", "B2"),
        put("parties.teacher-1.classes", "red", "a-text", "B2"),
        put("parties.teacher-1.classes", ["red", 1], "with-an-int", "B2"),
    ]
    return forms


def _rules() -> list[Case]:
    other = formulas.public(formulas.known_key("teacher-2"))
    key = formulas.public(formulas.known_key("teacher-1"))
    return [
        put("version", 2, "two", "R1"),
        put("parties.student.role", "aggregator", "two-aggregators", "R2", "parties"),
        put("parties.key-holder.role", "teacher", "no-key-holder", "R2", "parties"),
        rename("teacher-1", "Teacher-1", "with-a-capital"),
        rename("teacher-1", "-teacher", "begins-with-a-hyphen"),
        rename("teacher-1", "t" * 41, "of-41-characters"),
        rename("teacher-1", "teacher.1", "with-a-dot"),
        rename("teacher-1", "teacher-1\n", "with-a-line-feed"),
        rename("teacher-1", "teacher-\u0661", "with-an-arabic-digit"),
        rename("teacher-1", "../teacher", "that-climbs"),
        rename("teacher-1", "*", "that-is-everybody"),
        rename("teacher-1", "", "that-is-empty"),
        put("parties.teacher-1.key", key.upper(), "in-capitals", "R4"),
        put("parties.teacher-1.key", key[:63], "of-63-digits", "R4"),
        put("parties.teacher-1.key", f"{key}\n", "with-a-line-feed", "R4"),
        put("parties.teacher-2.key", key, "of-another-party", "R4"),
        put("parties.teacher-1.key", other, "of-a-later-party", "R4", "parties.teacher-2.key"),
        put("parties.teacher-1.classes", ["red"], "one", "R5"),
        put("parties.teacher-1.classes", [], "none", "R5"),
        put("parties.teacher-1.classes", ["red", "blue", "red"], "twice", "R5"),
        put("parties.student.classes", ["red", "blue"], "of-the-student", "R5"),
        put("privacy.max_records", 2, "two-for-a-record", "R7"),
        put("privacy.max_records", 0, "zero", "R7"),
        put("protection.dp", False, "off", "R8"),
        put("protection.masks", False, "without-masks", "R8", "protection"),
        change(
            "masks-without-he",
            "R8",
            "protection",
            {"protection.he": False, "publish.feature_key": False},
        ),
        put("encoder.sha256", "0" * 63, "of-63-digits", "R10"),
        put("encoder.probes_sha256", "A" * 64, "in-capitals", "R10"),
        put("selection.max_colluding", 0, "zero", "R11"),
        put("selection.minimum_cohort", 0, "zero", "R11"),
        put("selection.select", 5, "more-than-teachers", "R11"),
        put("selection.select", 2, "below-the-smallest-sum", "R11"),
        put("selection.max_colluding", 3, "too-many", "R11", "selection.select"),
        put("limits.reply_seconds", 0, "zero", "R12"),
        put("limits.silence_seconds", -1, "below-zero", "R12"),
        put("limits.max_burned", 0, "zero", "R12"),
        put("publish.ciphertexts", False, "without-ciphertexts", "R13", "publish.feature_key"),
        put("publish.sums", False, "without-sums", "R13", "publish.feature_key"),
        change(
            "without-encryption",
            "R13",
            "publish.feature_key",
            {"protection.he": False, "protection.masks": False},
        ),
        change("open-uploads", "R14", "publish.ciphertexts", {**HE_OFF, "publish.sums": False}),
    ]


def _numbers() -> list[Case]:
    positive = [
        "privacy.epsilon",
        "privacy.delta",
        "privacy.clip_norm",
        "privacy.count_weight",
        "privacy.count_floor",
        "privacy.noise_multiplier",
        "privacy.agreement_budget",
        "privacy.data_set_budget",
        "saliency.unit",
        "saliency.teacher_bound",
        "saliency.query_bound",
        "features.scale",
    ]
    values = {"zero": 0, "minus-zero": -0.0, "below-zero": -1.5, "nan": math.nan, "inf": math.inf}
    cases = [
        put(path, value, name, "R6")
        for place, path in enumerate(positive)
        for name, value in [list(values.items())[(place + shift) % 5] for shift in (0, 2)]
    ]
    return [
        *cases,
        put("privacy.delta", 1, "one", "R6"),
        put("privacy.agreement_budget", 3.999, "below-epsilon", "R6"),
        put("privacy.data_set_budget", 3.999, "below-epsilon", "R6"),
        put("selection.threshold", -math.inf, "minus-inf", "R6"),
        put("selection.threshold", math.nan, "nan", "R6"),
        put("privacy.grid", 1, "one", "R7"),
        put("privacy.grid", 2**24 + 1, "beyond-2-to-24", "R7"),
        put("encoder.dimension", 0, "zero", "R9"),
        put("encoder.dimension", 2049, "2049", "R9"),
        put("saliency.directions", 0, "zero", "R9"),
        put("saliency.directions", 6, "more-than-dimension", "R9"),
        put("saliency.bits", 3, "three", "R9"),
        put("saliency.bits", 25, "25", "R9"),
        put("features.bound", 0, "zero", "R9"),
        put("encryption.query_modulus_bits", 2047, "2047", "R9"),
        put("encryption.query_modulus_bits", 8193, "8193", "R9"),
    ]


def _plans() -> list[Case]:
    encryption = "encryption"
    return [
        change(
            "count-unit-beyond-2-to-30",
            "L1",
            "privacy.count_weight",
            {"privacy.grid": 2**24, "privacy.count_weight": 64.01},
        ),
        change(
            "beyond-2-to-20",
            "L1",
            "privacy.max_records",
            {"privacy.unit": "person", "privacy.max_records": 2**20 + 1},
        ),
        put("privacy.noise_multiplier", 2.7e8, "noise-beyond-2-to-40", "L1"),
        put("privacy.noise_multiplier", 1.157, "too-little-noise", "L2"),
        put("privacy.epsilon", 3.8, "less-than-the-noise-gives", "L2", "privacy.noise_multiplier"),
        change(
            "beyond-100",
            "L2",
            "privacy.epsilon",
            {
                "privacy.epsilon": 150,
                "privacy.agreement_budget": 200,
                "privacy.data_set_budget": 200,
                "privacy.noise_multiplier": 0.08,
            },
        ),
        put("privacy.delta", 0.11, "above-a-tenth", "L2"),
        put(f"{encryption}.poly_modulus_degree", 2048, "2048", "L3"),
        put(f"{encryption}.poly_modulus_degree", 4097, "no-power-of-two", "L3"),
        put(f"{encryption}.coeff_mod_bit_sizes", [54], "one-prime", "L3"),
        put(f"{encryption}.coeff_mod_bit_sizes", [], "no-prime", "L3"),
        put(f"{encryption}.coeff_mod_bit_sizes", [54, 56], "110-bits", "L3"),
        put(f"{encryption}.coeff_mod_bit_sizes", [61, 48], "61-bits", "L3"),
        put(f"{encryption}.coeff_mod_bit_sizes", [60, 19], "19-bits", "L3"),
        put(f"{encryption}.plain_modulus", 17_179_754_499, "no-multiple-and-one", "L4"),
        put(f"{encryption}.plain_modulus", 17_179_754_497 + 8192, "no-prime", "L4"),
        change(
            "15-bits",
            "L4",
            "encryption.plain_modulus",
            {"encryption.plain_modulus": 24_577, "features.bound": 1},
        ),
        put(f"{encryption}.plain_modulus", 2**60 + 2**14 * 3 + 1, "61-bits", "L4"),
        put("features.bound", 2_147_469_313, "sums-could-wrap", "L5"),
        put(f"{encryption}.plain_modulus", 1_099_511_922_689, "no-noise-budget", "L6"),
        change(
            "scores-could-wrap",
            "L7",
            "saliency",
            {"encoder.dimension": 300, "saliency.directions": 300, "saliency.bits": 24},
        ),
        put("encryption.query_modulus_bits", 2056, "no-multiple-of-16", "L7"),
        put("privacy.agreement_budget", 1.1e6, "beyond-a-million", "L2"),
        put("privacy.count_floor", 0.99, "below-1", "L8"),
        put("privacy.clip_norm", 1.1e12, "beyond-10-to-12", "L8"),
        put("saliency.unit", 0.9e-9, "below-10-to-minus-9", "L8"),
        put("saliency.teacher_bound", 1e-300, "below-10-to-minus-9", "L8"),
        put("saliency.query_bound", 1e300, "beyond-10-to-12", "L8"),
        put("features.scale", 1e-10, "below-10-to-minus-9", "L8"),
        change(
            "query-too-long",
            "L9",
            "saliency.directions",
            {"encoder.dimension": 442, "saliency.directions": 442, "saliency.bits": 4},
        ),
    ]


def good() -> list[Case]:
    """Return the good agreements."""
    loud = {"privacy.noise_multiplier": 2.4}
    return [
        Case("the-agreement", "", ""),
        change("custody-aggregator", "", "", {"custody": "aggregator"}),
        change(
            "nothing-published",
            "",
            "",
            {
                "publish.scores": "none",
                "publish.ciphertexts": False,
                "publish.sums": False,
                "publish.feature_key": False,
            },
        ),
        change("sums-sealed", "", "", {"publish.sums": False, "publish.feature_key": False}),
        change("without-encryption", "", "", HE_OFF),
        change(
            "without-encryption-sealed",
            "",
            "",
            {
                **HE_OFF,
                "publish.sums": False,
                "publish.ciphertexts": False,
            },
        ),
        change("persons", "", "", PERSON),
        put("privacy.unit", "person", "with-one-record"),
        change("replace-one", "", "", {"privacy.neighbours": "replace-one"} | loud),
        change("persons-replaced", "", "", {**PERSON, "privacy.neighbours": "replace-one"}),
        change("simulation", "", "", {"simulation": True}),
        change(
            "smallest-of-everything",
            "",
            "",
            {
                "encoder.dimension": 1,
                "saliency.directions": 1,
                "saliency.bits": 4,
                "features.bound": 1,
                "privacy.grid": 2,
                "limits.reply_seconds": 1,
                "limits.silence_seconds": 1,
                "limits.max_burned": 1,
                "selection.select": 3,
            },
        ),
        change(
            "integers-for-floats",
            "",
            "",
            {
                "privacy.epsilon": 4,
                "privacy.agreement_budget": 20,
                "selection.threshold": -100,
                "saliency.teacher_bound": 1,
            },
        ),
        change("largest-integer", "", "", {"limits.silence_seconds": 2**53 - 1}),
        change("delta-of-a-tenth", "", "", {"privacy.delta": 0.1}),
        change("count-floor-of-1", "", "", {"privacy.count_floor": 1}),
        change(
            "least-and-largest-scales",
            "",
            "",
            {
                "saliency.unit": 1e-9,
                "saliency.query_bound": 1e-9,
                "saliency.teacher_bound": 1e12,
                "privacy.clip_norm": 1e12,
                "features.scale": 1e12,
                "privacy.count_floor": 1e12,
            },
        ),
        change(
            "largest-budgets",
            "",
            "",
            {
                "privacy.agreement_budget": 1e6,
                "privacy.data_set_budget": 1e300,
            },
        ),
        change(
            "longest-query",
            "",
            "",
            {
                "encoder.dimension": 441,
                "saliency.directions": 441,
                "saliency.bits": 4,
            },
        ),
        change("query-modulus-of-8192-bits", "", "", {"encryption.query_modulus_bits": 8192}),
        change(
            "degree-8192",
            "",
            "",
            {
                "encryption.poly_modulus_degree": 8192,
                "encryption.coeff_mod_bit_sizes": [60, 60, 60],
                "encryption.plain_modulus": 1_099_511_922_689,
                "features.bound": 2**34,
            },
        ),
        change("all-three-colluding", "", "", {"selection.max_colluding": 2}),
        rename("teacher-1", "a" * 40, "name-of-40-characters", ""),
        rename("teacher-1", "0-", "name-with-a-hyphen-at-its-end", ""),
        put("title", "Größe \u2028 \U0001f600 \t", "title-beyond-ascii"),
        put("title", "", "title-empty"),
        put("parties.teacher-1.classes", ["", " "], "class-names-of-any-text"),
        Case("comment-with-dots", "", "", text=lambda text: f" \t# {'.' * 200}\n{text}"),
        Case("carriage-returns", "", "", text=lambda text: text.replace("\n", "\r\n")),
        *agreements_of_routes.good(),
        *agreements_of_retention.good(),
    ]
