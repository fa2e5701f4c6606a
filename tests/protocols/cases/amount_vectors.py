"""Vectors of trainings, of what ledgers add up, and of what a new version inherits."""

from __future__ import annotations

import copy
import math

from tests.protocols.bench import formulas
from tests.protocols.bench.formulas import sha256
from tests.protocols.cases.given import AGREEMENT, File, Json

DELTA = 1e-5


def training(noise: float, rate: float, steps: int) -> Json:
    """Return the event of a training."""
    return {"kind": "dp-sgd", "noise_multiplier": noise, "sampling_rate": rate, "steps": steps}


def _rounded(epsilon: float) -> float | None:
    """Return seven digits, which every machine gets; null for infinity."""
    return float(f"{epsilon:.7g}") if math.isfinite(epsilon) else None


def trainings() -> File:
    """Composed trainings: merged, and their epsilon, null where there is none."""
    variants: list[tuple[str, list[Json], float]] = [
        ("the text's example", [training(4.0, 0.1, 200)], DELTA),
        ("every record in every step", [training(4.0, 1.0, 10)], DELTA),
        ("one step", [training(1.0, 0.5, 1)], DELTA),
        ("two that merge", [training(4.0, 0.1, 200), training(4.0, 0.1, 1)], DELTA),
        ("two that do not, out of order", [training(4.0, 0.5, 10), training(4.0, 0.1, 50)], DELTA),
        ("a smaller delta", [training(4.0, 0.1, 200)], 1e-9),
        ("so rare that delta covers it", [training(1.0, 1e-9, 1)], DELTA),
        ("hopeless", [training(0.05, 0.5, 10)], DELTA),
        ("hopeless at order 2, however rare", [training(0.05, 1e-9, 1)], DELTA),
        ("a delta below 10^-13", [training(4.0, 0.1, 200)], 1e-14),
        ("a delta too small for so many steps", [training(1000.0, 1.0, 10**6)], 1e-9),
        ("a delta that is large enough for them", [training(1000.0, 1.0, 10**6)], 1e-8),
    ]
    cases = []
    for name, events, delta in variants:
        none = "hopeless" in name or delta < 1e-13 + 1e-15 * sum(e["steps"] for e in events)
        spent = math.inf if none else formulas.trained_epsilon(events, delta)
        merged = formulas.merged(events)
        cases.append(
            {
                "name": name,
                "events": events,
                "merged": merged,
                "delta": delta,
                "epsilon": _rounded(spent),
            }
        )
    return {"source": "derivations.md, 2.1; epsilon to 1e-6", "cases": cases}


def _amount(rho: float, listed: list[Json], unprotected: int = 0) -> Json:
    return {"rho": rho, "trainings": listed, "unprotected": unprotected}


def amounts() -> File:
    """Amounts as a new version inherits them, and the epsilon of each."""
    two = [training(2.0, 0.5, 12), training(4.0, 0.1, 200)]
    good: list[tuple[str, Json]] = [
        ("releases", 0.03),
        ("trainings", _amount(0, two)),
        ("releases and trainings", _amount(0.03, two)),
        ("a use without differential privacy", _amount(0, [], 1)),
        ("everything", _amount(0.03, two, 2)),
    ]
    bad: list[tuple[str, Json]] = [
        ("nothing", _amount(0, [])),
        ("no rho", 0),
        ("rho below zero", _amount(-0.03, two)),
        ("releases as an object", _amount(0.03, [])),
        ("trainings out of order", _amount(0, two[::-1])),
        ("trainings that are not merged", _amount(0, [two[0], two[0]])),
        ("a release among trainings", _amount(0, [{"kind": "no-differential-privacy"}])),
        ("half a use", _amount(0, [], 1) | {"unprotected": 0.5}),
        ("a use true", _amount(0, []) | {"unprotected": True}),
        ("another member", _amount(0, two) | {"stated": True}),
        ("a text", "0.03"),
        ("null", None),
    ]
    cases: list[Json] = [
        {
            "name": name,
            "good": True,
            "amount": amount,
            "delta": DELTA,
            "epsilon": _rounded(formulas.amount_epsilon(amount, DELTA)),
        }
        for name, amount in good
    ]
    cases += [{"name": name, "good": False, "amount": amount} for name, amount in bad]
    return {
        "source": "derivations.md, 2.2 and 3; epsilon to 1e-6, null if infinite",
        "cases": cases,
    }


def inheritance() -> File:
    """First entries of ledgers of a new version, and what the data set has spent."""
    data_set = sha256(b"new version")[:32]
    spent: Json = {
        AGREEMENT: _amount(0.03, [training(2.0, 0.5, 12)]),
        sha256(b"another agreement"): 0.01,
        sha256(b"a third agreement"): _amount(0, [training(2.0, 0.5, 12)]),
    }
    inherits: Json = {
        "data_set": sha256(b"old version")[:32],
        "head": sha256(b"its last entry"),
        "spent": spent,
        "rosters": [["a", "b", "c"]],
    }
    lost = copy.deepcopy(inherits)
    lost["spent"][AGREEMENT]["unprotected"] = 1
    total = formulas.epsilon(0.04, DELTA / 2)
    total += formulas.trained_epsilon([training(2.0, 0.5, 24)], DELTA / 2)
    cases: list[Json] = []
    for name, body, epsilon in (
        ("a new data set", None, 0.0),
        ("releases and trainings of three agreements", inherits, total),
        ("a use without differential privacy", lost, math.inf),
        ("a training that is not merged", _with(inherits, [training(2.0, 0.5, 6)] * 2), None),
        ("without rosters", {k: v for k, v in inherits.items() if k != "rosters"}, None),
    ):
        entry = {
            "version": 1,
            "position": 0,
            "data_set": data_set,
            "kind": "genesis",
            "run_id": "",
            "body": {"delta": DELTA, "inherits": body},
            "previous": "0" * 64,
        }
        case = {"name": name, "good": epsilon is not None}
        case["entry"] = {**entry, "hash": formulas.entry_hash(entry)}
        if epsilon is not None:
            case["epsilon"] = _rounded(epsilon)
        cases.append(case)
    return {
        "source": "derivations.md, 2.2 and 3: what a data set has spent at its delta; to 1e-6",
        "cases": cases,
    }


def _with(inherits: Json, listed: list[Json]) -> Json:
    made = copy.deepcopy(inherits)
    made["spent"][AGREEMENT]["trainings"] = listed
    return made
