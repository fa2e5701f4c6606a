"""The campaign behind docs/audit.md: it goes on where it stopped, and judges what it found."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scipy.stats import binom

from benchmarks.audit.campaign import Size, run, tasks
from benchmarks.audit.report import report, shares

TINY = Size(canaries=200, bounds=1, sound=1, null=1, power=1, trainings=0, known=0, full=0)


@pytest.mark.slow
def test_a_campaign_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """An hour's rows would be lost, or counted twice."""
    out, said = tmp_path / "audit.json", list[str]()
    rows = run(out, TINY, said.append)
    kept = tmp_path / "audit.json.rows"
    assert [json.loads(line) for line in kept.read_text().splitlines()] == rows
    assert len(rows) == sum(task.number for task in tasks(TINY)) == 12
    assert run(out, TINY, said.append) == rows
    lines = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join(lines[:4]))
    assert len(run(out, TINY, said.append)) == 12

    result = report(rows, TINY)
    assert set(result["bounds"]) == {f"epsilon {epsilon}" for epsilon in (1, 2, 4, 8)}
    assert set(result["power"]) == {
        "noise 10% too small",
        "one of three teachers without noise",
        "a clip that does not clip",
        "sensitivity off by sqrt(2)",
        "a budget counted once for two releases",
    }
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    for target in result["targets"]:
        if "mean share" in target["what"]:
            least = float(target["wanted"].removeprefix(">= "))
            assert target["holds"] == (target["measured"] >= least)


def test_a_bound_of_zero_counts_and_a_missing_one_does_not() -> None:
    """Left out, the worst audits would not lower the mean."""
    rows = [
        {
            "claim": 2.0,
            "epsilon": {"parametric": parametric, "gdp": 0.0, "generic": 1.0},
            "alarms": alarms,
        }
        for parametric, alarms in ((1.0, []), (0.0, []), (None, ["distribution"]))
    ]
    found = shares(rows)
    assert found["parametric"]["mean_share"] == 0.25
    assert found["parametric"]["without_bound"] == 1
    assert found["gdp"]["mean_share"] == 0.0
    assert found["generic"]["mean_share"] == 0.5
    assert found["alarms"] == {"distribution": 1}


def test_the_page_has_the_figures_of_the_results() -> None:
    """If this fails, a reader takes figures of an older campaign for what the code reaches."""
    root = Path(__file__).parents[2]
    found = json.loads((root / "benchmarks" / "results" / "audit.json").read_text("utf-8"))
    page = (root / "docs" / "audit.md").read_text("utf-8")
    said = " ".join(page.split())

    def cell(method: dict[str, float]) -> str:
        return f"{method['mean_share']:.2f} ({method['tenth_percentile']:.2f})".replace("0.", ".")

    for kind in ("bounds", "trainings"):
        for setting, one in found[kind].items():
            cells = (cell(one[name]) for name in ("parametric", "gdp", "generic"))
            assert f"| {setting} | {one['audits']} | {' | '.join(cells)} |" in page
    left_out = {
        (setting, name): one
        for kind in ("bounds", "trainings")
        for setting, one in found[kind].items()
        for name in ("parametric", "gdp", "generic")
        if one[name]["without_bound"]
    }
    assert {name for _, name in left_out} == {"parametric"}
    for (setting, name), one in left_out.items():
        missing, audits = one[name]["without_bound"], one["audits"]
        mean = f"{one[name]['mean_share'] * (1 - missing / audits):.2f}".removeprefix("0")
        assert f"| {setting} | {missing} of {audits} | {mean} |" in page
    assert len(re.findall(r"(?m)^\| [^|]+ \| \d+ of \d+ \| \.\d\d \|$", page)) == len(left_out)
    by = found["power"]["noise 10% too small"]["by"]
    bounds = f"Only {by['parametric']} of 60 parametric bounds and {by['gdp']} of 60 GDP bounds"
    assert bounds in said
    assert f"in {by['noise']} of 60 is the check of the noise" in said
    zeros = [one for null in found["null"].values() for one in null["above_zero"].values()]
    above = max(one["number"] for one in zeros)
    assert f"{above} of 200 is {above / 2}%" in said
    assert 0.35 < binom.sf(above - 1, 200, 0.05) < 0.45
    for null in found["null"].values():
        assert (null["above_claim"]["number"], null["shift_alarm"]["number"]) == (0, 200)
    for whom, one in found["sound"].items():
        assert f"| audits of {whom} that alarmed | {one['number']} of {one['of']} |" in page
    assert all(target["holds"] for target in found["targets"])
