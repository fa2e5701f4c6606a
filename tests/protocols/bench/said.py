"""Changes of what a run says: bodies, agreement, ledgers, records, receipt."""

from __future__ import annotations

from typing import Any

from tests.protocols.bench import following, formulas
from tests.protocols.bench.draws import Draw, change_somewhere, other, retyped
from tests.protocols.bench.resigning import Letter, Run

Json = Any


OFTEN = {"roster": 6, "release": 6, "permit": 5, "sum": 5, "upload": 4, "nonce": 1, "keys": 1}
"""How often a kind of message is changed, where it is not twice."""


def any_letter(run: Run, draw: Draw, *, shown: bool = False) -> Letter:
    """Return a message; ``shown`` ones have a body."""
    found = [letter for letter in run.letters if not shown or letter.value.get("body")]
    kinds = {kind: OFTEN.get(kind, 2) for kind in sorted({one.header["kind"] for one in found})}
    kind = draw.weighted(kinds)
    return draw.pick([letter for letter in found if letter.header["kind"] == kind])


def body(run: Run, draw: Draw) -> str:
    """Change a body."""
    letter = any_letter(run, draw, shown=True)
    return f"{letter.path()}: {change_somewhere(draw, letter.body)}"


def header(run: Run, draw: Draw) -> str:
    """Change a header."""
    letter = any_letter(run, draw)
    path = letter.path()
    return f"{path}: {change_somewhere(draw, letter.header)}"


def envelope(run: Run, draw: Draw) -> str:
    """Change a message outside its header, signature included."""
    letter = any_letter(run, draw)
    path = letter.path()
    return f"{path}: {change_somewhere(draw, letter.value)}"


def agreement(run: Run, draw: Draw) -> str:
    """Change the agreement; everybody signs it."""
    signatures = run.terms.pop("signatures")
    table = draw.pick(list(run.terms))
    part = run.terms[table] if isinstance(run.terms[table], dict) else run.terms
    said = f"{table}: {change_somewhere(draw, part)}"
    run.terms["signatures"] = signatures
    return said


def signatures(run: Run, draw: Draw) -> str:
    """Change a signature of the agreement."""
    return change_somewhere(draw, run.terms["signatures"])


def noise(run: Run, draw: Draw) -> str:
    """Agree on other noise, and charge it."""
    if run.terms["route"] == formulas.TRAINED:
        return _training(run, draw)
    privacy = run.terms["privacy"]
    entry = draw.pick(
        ["noise_multiplier", "delta", "grid", "count_weight", "neighbours", "epsilon"]
    )
    if entry == "neighbours":
        privacy[entry] = "replace-one"
        privacy["noise_multiplier"] *= 2
    else:
        factors = [2, 1.0000001, 1.5, 0.5]
        privacy[entry] = type(privacy[entry])(privacy[entry] * draw.pick(factors))
    return f"{entry} becomes {privacy[entry]}"


def _training(run: Run, draw: Draw) -> str:
    """Agree on another training, or state another."""
    parties = run.terms["parties"].values()
    table = draw.pick([run.terms["training"], *(p["stated"] for p in parties if "stated" in p)])
    entry = draw.pick(["noise_multiplier", "sampling_rate", "steps"])
    table[entry] = type(table[entry])(table[entry] * draw.pick([2, 1.0000001, 1.25, 0.5]))
    return f"{entry} becomes {table[entry]}"


def scores(run: Run, draw: Draw) -> str:
    """Publish other scores or ranks, or agree on another threshold."""
    roster = draw.pick(run.of("roster"))
    shown = roster.body["scores"]
    names = sorted(shown)
    how = draw.pick(["shuffle", "tie", "whole", "drop", "threshold", "far"])
    if how == "shuffle":
        values = [shown[name] for name in names]
        roster.body["scores"] = dict(zip(names, values[1:] + values[:1], strict=True))
    elif how == "tie":
        roster.body["scores"] = dict.fromkeys(names, draw.pick([1, 0, 0.5, -0.0]))
    elif how == "whole":
        roster.body["scores"] = {name: place for place, name in enumerate(names, 1)}
    elif how == "drop":
        del shown[draw.pick(names)]
    elif how == "threshold":
        run.terms["selection"]["threshold"] = draw.pick([*shown.values(), 0, -1e300, 1e300])
    else:
        shown[draw.pick(names)] = draw.pick([-101.5, -100.0, 1e300, 5e-324, 2**53 - 1])
    return f"{roster.path()}: {how}, {roster.body['scores']}"


def ledger(run: Run, draw: Draw) -> str:
    """Change a teacher's segment, the file with it."""
    letter = draw.pick(run.of("ledger"))
    return f"{letter.path()}: {change_somewhere(draw, letter.body['entries'])}"


def ledger_note(run: Run, draw: Draw) -> str:
    """Add a note to a segment; mostly a good one."""
    letter = draw.pick(run.of("ledger"))
    entries = letter.body["entries"]
    notes: list[tuple[str, Json]] = [
        ("burn", {"reason": "lost"}),
        ("abort", {"reason": "", "missing": ["x"]}),
        ("erasure", {"items": []}),
        ("roster-opened", {"roster": "r", "members": []}),
        ("commit", {}),
        ("genesis", {"delta": 1e-5, "inherits": None}),
        ("burn", {"reason": 1}),
    ]
    kind, said = draw.pick(notes)
    at = draw.pick([0, len(entries), len(entries), len(entries)])
    beside = entries[at - 1] if at else entries[0]
    entry = {**beside, "kind": kind, "body": said, "hash": f"@{draw.below(10**9)}"}
    entry["position"] = beside["position"] + (1 if at else -1) * draw.pick([1, 1, 2, 0])
    entry["previous"] = beside["hash"] if at else "11" * 32
    entries.insert(at, entry)
    if at:
        letter.body["head"] = entry["hash"]
    return f"{letter.path()}: {kind} at place {at}, position {entry['position']}"


def ledger_file(run: Run, draw: Draw) -> str:
    """Change a ledger file alone."""
    name = draw.pick(sorted(run.ledgers))
    return f"{name}: {change_somewhere(draw, run.ledgers[name])}"


def release_log(run: Run, draw: Draw) -> str:
    """Change the release log."""
    return change_somewhere(draw, run.log)


def summary(run: Run, draw: Draw) -> str:
    """Change the summary."""
    return change_somewhere(draw, run.summary)


def predicate(run: Run, draw: Draw) -> str:
    """Change what the receipt says."""
    return change_somewhere(draw, run.statement["predicate"])


def statement(run: Run, draw: Draw) -> str:
    """Change the statement around what the receipt says, files included."""
    if draw.chance(50):
        run.skipped.add("subject")
        following.rebuilt(run.copy())
        return change_somewhere(draw, run.statement["subject"])
    run.statement.pop("subject")
    return change_somewhere(draw, run.statement)


def signers(run: Run, draw: Draw) -> str:
    """Have others sign the receipt."""
    if draw.chance(50):
        run.signers.remove(draw.pick(run.signers))
    else:
        run.signers.append(draw.pick(sorted(run.keys)))
    return ", ".join(run.signers)


def receipt(run: Run, draw: Draw) -> str:
    """Change the receipt around its payload."""
    said: list[str] = []

    def edit(made: Json) -> Json:
        said.append(change_somewhere(draw, made))
        return made

    run.edit_receipt = edit
    return "its envelope"


def anything(run: Run, draw: Draw) -> str:
    """Put a value of any type anywhere in a message."""
    letter = any_letter(run, draw)
    path = letter.path()
    part = draw.pick(["header", "signature", "body"])
    change = draw.pick([other, retyped])
    letter.value[part] = change(draw, letter.value.get(part))
    return f"{path}: {part}"
