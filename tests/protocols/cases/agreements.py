"""One agreement, and how to vary it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import tomli_w

from tests.protocols.bench import formulas

Json = Any
KEYS = ("teacher-1", "teacher-2", "teacher-3", "teacher-4", "aggregator", "key-holder", "student")
COMMENT = "# A test vector: {}. Its keys are known to everybody.\n\n"


def terms() -> Json:
    """Return an agreement of four teachers, unsigned, on which all cases are variations."""
    parties: Json = {
        name: {
            "role": "teacher" if name.startswith("teacher") else name,
            "key": formulas.public(formulas.known_key(name)),
            "classes": ["red", "green", "blue"] if name.startswith("teacher") else [],
        }
        for name in KEYS
    }
    return {
        "version": 1,
        "title": "Test vector",
        "route": "noisy-release",
        "simulation": False,
        "custody": "key-holder",
        "parties": parties,
        "encoder": {
            "sha256": formulas.sha256(b"an encoder"),
            "dimension": 5,
            "probes_sha256": formulas.sha256(b"some probes"),
        },
        "privacy": {
            "unit": "record",
            "neighbours": "add-remove",
            "max_records": 1,
            "epsilon": 4.0,
            "delta": 1e-5,
            "clip_norm": 2.5,
            "grid": 4096,
            "count_weight": 0.25,
            "count_floor": 5.0,
            "noise_multiplier": 1.2,
            "agreement_budget": 20.0,
            "data_set_budget": 20.0,
        },
        "protection": {"dp": True, "he": True, "masks": True},
        "saliency": {
            "directions": 2,
            "unit": 0.5,
            "teacher_bound": 1.0,
            "query_bound": 2.0,
            "bits": 12,
        },
        "features": {"bound": 16_777_216, "scale": 4194.304},
        "encryption": {
            "scheme": "bfv",
            "poly_modulus_degree": 4096,
            "coeff_mod_bit_sizes": [54, 55],
            "plain_modulus": 17_179_754_497,
            "query_modulus_bits": 2048,
        },
        "selection": {"select": 4, "threshold": -100.0, "minimum_cohort": 3, "max_colluding": 1},
        "publish": {"scores": "values", "ciphertexts": True, "sums": True, "feature_key": True},
        "limits": {"reply_seconds": 5, "silence_seconds": 5, "max_burned": 2},
    }


def _asking(made: Json) -> Json:
    """Turn the agreement into one whose teachers are asked about probes."""
    made["answers"] = {"form": "sketch", "probes": 20, "width": 4, "saliency": "alignment"}
    return made


def trained(made: Json) -> None:
    """Turn the agreement into one of private-training, with one training stated."""
    _asking(made)["route"] = "private-training"
    for entry in ("clip_norm", "grid", "count_weight", "count_floor", "noise_multiplier"):
        del made["privacy"][entry]
    steps = {"sampling_rate": 0.5, "steps": 12, "noise_multiplier": 2.5}
    made["training"] = {
        **steps,
        "clip_norm": 1.0,
        "denominator": 100.0,
        "learning_rate": 0.5,
        "momentum": 0.9,
        "averaged": 0.5,
        "optimiser": "sgd",
        "seed": 0,
    }
    made["parties"]["teacher-1"]["stated"] = dict(steps)


def unprotected(made: Json) -> None:
    """Turn the agreement into one of encryption-only."""
    _asking(made)["route"] = "encryption-only"
    del made["privacy"]
    made["protection"]["dp"] = False


def signed(content: Json) -> Json:
    """Return an agreement with the signatures of all parties that have a test key."""
    try:
        value = formulas.content(content)
        signatures = {
            name: formulas.sign(formulas.known_key(name), "agreement", value)
            for name in content["parties"]
        }
    except (TypeError, KeyError, ValueError, AttributeError):
        signatures = {}  # it has no content that could be signed, and falls before that
    return {**content, "signatures": signatures}


def _unchanged(_terms: Json) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Case:
    """A variation of the agreement.

    Attributes:
        name: What it is, without the clause.
        rule: B1, B2, R1 to R17 or L1 to L9; empty for a good one.
        clause: The entry that a refusal names.
        change: What is changed.
        text: What becomes of the file's text.
        route: What makes the agreement one of another route, before it is changed.
    """

    name: str
    rule: str
    clause: str
    change: Callable[[Json], None] = _unchanged
    text: Callable[[str], str] = lambda text: text
    route: Callable[[Json], None] = _unchanged

    @property
    def file(self) -> str:
        """The file's name in its folder."""
        clause = "".join(c if c.isalnum() or c in "._" else "-" for c in self.clause)
        name = {"trained": "training-", "unprotected": "open-"}.get(self.route.__name__, "")
        name += self.name
        return f"{clause}-{name}.toml".lstrip("-") if self.rule else f"{name}.toml"

    def toml(self) -> str:
        """Return the file's text."""
        made = terms()
        self.route(made)
        self.change(made)
        about = f"{self.rule} {self.clause}, {self.name}" if self.rule else self.name
        return self.text(COMMENT.format(about.replace("\n", " ")) + tomli_w.dumps(signed(made)))


def put(path: str, value: Json, name: str, rule: str = "", clause: str = "") -> Case:
    """Return a case that sets one entry; its clause is the entry unless another is named."""

    def change(made: Json) -> None:
        *tables, entry = path.split(".")
        for table in tables:
            made = made[table]
        made[entry] = copy.deepcopy(value)

    return Case(name, rule, clause or path, change)


def change(name: str, rule: str, clause: str, changes: dict[str, Json]) -> Case:
    """Return a case that sets several entries."""

    def tell(made: Json) -> None:
        for path, value in changes.items():
            put(path, value, "").change(made)

    return Case(name, rule, clause, tell)


def rename(old: str, new: str, name: str, rule: str = "R3") -> Case:
    """Return a case that gives a party another name."""

    def tell(made: Json) -> None:
        made["parties"] = {
            new if party == old else party: entry for party, entry in made["parties"].items()
        }
        made["parties"][new]["key"] = formulas.public(formulas.known_key(new))

    return Case(name, rule, f"parties.{new}" if rule else "", tell)


def of_route(route: Callable[[Json], None], *cases: Case) -> list[Case]:
    """Return cases of another route."""
    return [replace(case, route=route) for case in cases]


def without(path: str, rule: str = "B2") -> Case:
    """Return a case that leaves an entry out."""

    def tell(made: Json) -> None:
        *tables, entry = path.split(".")
        for table in tables:
            made = made[table]
        del made[entry]

    return Case("missing", rule, path, tell)


HE_OFF = {"protection.he": False, "protection.masks": False, "publish.feature_key": False}
PERSON = {"privacy.unit": "person", "privacy.max_records": 4, "privacy.noise_multiplier": 4.8}
