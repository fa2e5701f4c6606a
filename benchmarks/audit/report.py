"""From rows to tables, and whether the targets hold."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from scipy.stats import beta, binom

from benchmarks.audit.campaign import Row, Size

METHODS = ("parametric", "gdp", "generic")
_PACKAGES = ("secure-fedsa", "opendp", "opacus", "numpy", "scipy", "dp-accounting")
SHARES = {  # least mean share of the claim, by setting and method
    ("epsilon 1", "parametric"): 0.80,
    ("epsilon 2", "parametric"): 0.85,
    ("epsilon 4", "parametric"): 0.85,
    ("epsilon 8", "parametric"): 0.85,
    ("epsilon 1", "gdp"): 0.70,
    ("epsilon 4", "gdp"): 0.85,
}
MOST_FALSE, LEAST_FOUND = 0.05, 0.95


def report(rows: list[Row], size: Size) -> dict[str, Any]:
    """Return the whole result, JSON values."""
    bounds = {setting: shares(of) for setting, of in _by_setting(rows, "bounds")}
    trainings = {setting: shares(of) for setting, of in _by_setting(rows, "trainings")}
    power = {setting: found(of) for setting, of in _by_setting(rows, "power")}
    training_power = {setting: found(of) for setting, of in _by_setting(rows, "training-power")}
    sound = {
        "one teacher": rate(bool(row["alarms"]) for row in rows if row["kind"] == "bounds"),
        "one training": rate(bool(row["alarms"]) for row in rows if row["kind"] == "trainings"),
        "three teachers": rate(bool(row["alarms"]) for row in rows if row["kind"] == "sound"),
    }
    null = {setting: _null(of) for setting, of in _by_setting(rows, "null")}
    known = {setting: _known(of) for setting, of in _by_setting(rows, "known")}
    targets: list[dict[str, Any]] = []

    def target(what: str, measured: float, wanted: str, *, holds: bool) -> None:
        targets.append({"what": what, "measured": measured, "wanted": wanted, "holds": holds})

    for (setting, method), least in SHARES.items():
        if setting in bounds:
            mean = bounds[setting][method]["mean_share"]
            what = f"{method}, {setting}: mean share of the claim"
            target(what, mean, f">= {least}", holds=mean >= least)
    if sound["one teacher"]["of"]:
        false = sound["one teacher"]["rate"]
        what = "false alarms of sound code, audits of one teacher"
        target(what, false, f"<= {MOST_FALSE}", holds=false <= MOST_FALSE)
    for whom in ("one training", "three teachers"):  # too few for a rate: none that refutes 5%
        what = f"false alarms of sound code, audits of {whom}"
        target(what, sound[whom]["rate"], "5% at most", holds=_may_be(sound[whom]))
    for setting, nothing in null.items():
        for method, one in nothing["above_zero"].items():
            what = f"{method}, null scores ({setting}): a 95% bound above 0"
            target(what, one["rate"], "5% at most", holds=_may_be(one))
        above = nothing["above_claim"]["rate"]
        what = f"null scores ({setting}): an alarm by a bound"
        target(what, above, f"<= {MOST_FALSE}", holds=above <= MOST_FALSE)
    for setting, one in (*power.items(), *training_power.items()):
        what = f"found: {setting}"
        target(what, one["rate"], f">= {LEAST_FOUND}", holds=one["rate"] >= LEAST_FOUND)
    for setting, one in known.items():
        for method in METHODS:
            holds = _may_be(one[method])
            what = f"{method}, known {setting}: 95% bound above the truth"
            target(what, one[method]["rate"], "5%", holds=holds)
    return {
        "canaries": size.canaries,
        "bounds": bounds,
        "trainings": trainings,
        "sound": sound,
        "null": null,
        "power": power,
        "training_power": training_power,
        "known": known,
        "targets": targets,
        "versions": {name: version(name) for name in _PACKAGES},
    }


def _may_be(one: dict[str, Any]) -> bool:
    """Return whether a rate may be 5%, as it should be; wrong once in 10,000 if it is."""
    return bool(binom.sf(one["number"] - 1, one["of"], MOST_FALSE) > 1e-4)


def _by_setting(rows: Iterable[Row], kind: str) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["kind"] == kind:
            found.setdefault(row["setting"], []).append(row)
    return list(found.items())


def shares(rows: list[Row]) -> dict[str, Any]:
    """Return, by method, bounds over the claim: mean, tenth percentile and least of all rows."""
    result: dict[str, Any] = {"audits": len(rows), "claim": rows[0]["claim"]}
    for method in METHODS:
        given = [row for row in rows if row["epsilon"][method] is not None]
        found = [row["epsilon"][method] / row["claim"] for row in given]
        result[method] = {
            "mean_share": round(statistics.fmean(found), 4) if found else None,
            "tenth_percentile": round(sorted(found)[len(found) // 10], 4) if found else None,
            "least": round(min(found), 4) if found else None,
            "without_bound": len(rows) - len(found),
            "above_claim": sum(share > 1 for share in found),
        }
    result["alarms"] = dict(Counter(alarm for row in rows for alarm in row["alarms"]))
    return result


def rate(hits: Iterable[bool]) -> dict[str, Any]:
    """Return a rate and its 95% interval (Clopper and Pearson)."""
    found = list(hits)
    number, of = sum(found), len(found)
    return {"number": number, "of": of, **_interval(number, of)}


def _interval(number: int, of: int) -> dict[str, Any]:
    if not of:
        return {"rate": 0.0, "at_least": 0.0, "at_most": 1.0}
    low = 0.0 if number == 0 else float(beta.ppf(0.025, number, of - number + 1))
    high = 1.0 if number == of else float(beta.ppf(0.975, number + 1, of - number))
    return {"rate": number / of, "at_least": round(low, 4), "at_most": round(high, 4)}


def found(rows: list[Row]) -> dict[str, Any]:
    """Return how often a fault was found, and by what."""
    by = Counter(name for row in rows for name in row["by"])
    return {**rate(row["found"] for row in rows), "by": dict(by)}


def _null(kept: list[Row]) -> dict[str, Any]:
    rows = [one for row in kept for one in row["throws"]]
    return {
        "above_zero": {
            method: rate((row["epsilon"][method] or 0.0) > 0 for row in rows) for method in METHODS
        },
        "above_claim": rate(bool(set(METHODS) & set(row["alarms"])) for row in rows),
        "shift_alarm": rate("shift" in row["alarms"] for row in rows),
    }


def _known(rows: list[Row]) -> dict[str, Any]:
    audits = sum(row["audits"] for row in rows)
    return {
        method: {"number": above, "of": audits, **_interval(above, audits)}
        for method in METHODS
        for above in [sum(row["above"][method] for row in rows)]
    }
