"""Odd runs that are consistent all the same: a verifier that refuses one is too strict."""

from __future__ import annotations

import tomllib

from tests.protocols.bench import formulas
from tests.protocols.bench.resigning import Run
from tests.protocols.cases.lies import abort, good

AGREEMENT = "agreement.toml"


@good("plain", "Keys and runs can be made up by anybody: without known keys this is consistent.")
def wholly_forged_run(run: Run) -> str:
    run.terms["title"] = "Test vector: a run that never took place"
    run.keys = {name: formulas.known_key(f"forger of {name}") for name in run.keys}
    return AGREEMENT


@good("plain", "Comments are for people: their dots do not count.")
def agreement_with_a_comment_of_many_dots(run: Run) -> str:
    run.edits[AGREEMENT] = lambda data: b"  # " + b"." * 500 + b"\n" + data
    return AGREEMENT


@good("plain", "The layout of the agreement's file is not signed.")
def agreement_in_another_layout(run: Run) -> str:
    def edit(data: bytes) -> bytes:
        terms = tomllib.loads(data.decode())
        lines = []
        for name, value in terms.items():
            table = isinstance(value, dict) and name not in ("parties", "signatures")
            for entry, inner in value.items() if table else ():
                lines.append(f"{name}.{entry} = {_toml(inner)}\n")
            if not isinstance(value, dict):
                lines.append(f"{name} = {_toml(value)}\n")
        lines.insert(0, f"signatures = {_toml(terms['signatures'])}\r\n")
        lines.append(f"parties = {_toml(terms['parties'])}\n")
        return "".join(lines).encode()

    run.edits[AGREEMENT] = edit
    return AGREEMENT


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{name}" = {_toml(item)}' for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f"'{value}'" if isinstance(value, str) else repr(value)


@good("plain", "A float entry may be spelled as an integer, and the hash is the same.")
def agreement_with_an_integer_for_a_float(run: Run) -> str:
    assert run.terms["selection"]["threshold"] == -100.0
    run.terms["selection"]["threshold"] = -100
    return AGREEMENT


@good("plain", "Parties that are no teachers may leave out their empty list of classes.")
def agreement_without_empty_lists_of_classes(run: Run) -> str:
    for party in run.terms["parties"].values():
        if party["classes"] == []:
            del party["classes"]
    return AGREEMENT


@good("two-rosters", "A teacher that was left out may say why it stopped.")
def abort_of_a_teacher_that_was_left_out(run: Run) -> str:
    return abort(run, 'No power: "maintenance" \u0007\u2028 \U0001f50c').path()


@good("plain", "Two members may send a mask value again.")
def mask_value_sent_twice(run: Run) -> str:
    return run.add(run.one("mask-share")).path()


@good("plain", "A signature under some other roster does no harm beside the right one.")
def roster_signature_for_something_else_as_well(run: Run) -> str:
    letter = run.add(run.one("roster-signature"))
    letter.body["roster_hash"] = "11" * 32
    return letter.path()


@good("plain", "Notes of the same run may stand in its segment, before the charge too.")
def ledger_segment_with_notes(run: Run) -> str:
    letter = run.one("ledger", "teacher-2")
    charge, commit = letter.body["entries"]
    note = {**commit, "kind": "abort", "body": {"reason": "", "missing": []}, "hash": "@1"}
    letter.body["entries"].insert(0, {**note, "previous": "11" * 32, "position": 7})
    charge["position"], commit["position"] = 9, 10
    letter.body["entries"].append(
        {**note, "kind": "burn", "body": {"reason": "é"}, "position": 20, "hash": "@2"}
    )
    letter.body["head"] = "@2"
    return letter.path()


@good("plain", "Earlier runs under the agreement stand in the total.")
def ledger_charge_after_earlier_runs(run: Run) -> str:
    charge = run.charges["teacher-2"]["body"]
    charge["agreement_rho"] = charge["rho"] * 3
    return run.one("ledger", "teacher-2").path()


@good("plain", "A folder has one line of a longer log.")
def release_log_line_after_others(run: Run) -> str:
    run.log[0] |= {"position": 12, "previous": "11" * 32}
    return "release-log.jsonl"


@good("plain", "What the second table of the summary says is somebody's word.")
def summary_with_other_words_of_the_aggregator(run: Run) -> str:
    run.summary |= {"engine": "", "seed": -1, "payload_bytes": 0, "class_names": []}
    run.summary["accounting"]["more"] = [None]
    run.summary["teachers"][0]["kind"] = "a kind"
    return "summary.json"


@good("plain", "Nothing but their hashes is said of these files.")
def files_that_are_empty(run: Run) -> str:
    for name in ("report.html", "student/model-card.md", "student/network.safetensors"):
        run.files[name] = b""
    return "report.html"
