"""Changes of who says what, when and to whom."""

from __future__ import annotations

from collections.abc import Callable

from tests.protocols.bench import following, formulas, honest_runs, republish
from tests.protocols.bench.draws import NAMES, Draw, change_somewhere
from tests.protocols.bench.resigning import Run
from tests.protocols.bench.said import any_letter


def left_out(run: Run, draw: Draw) -> str:
    """Leave a message out."""
    letter = any_letter(run, draw)
    path = letter.path()
    if draw.chance(75):
        run.remove(letter)
    else:
        run.letters.remove(letter)
    return path


def doubled(run: Run, draw: Draw) -> str:
    """Send a message again, perhaps changed."""
    letter = run.add(any_letter(run, draw))
    if draw.chance(30) and letter.value.get("body"):
        return f"{letter.path()}: {change_somewhere(draw, letter.body)}"
    if draw.chance(20):
        letter.header["sequence"] -= draw.pick([1, 2])
    return letter.path()


def moved(run: Run, draw: Draw) -> str:
    """Let two messages of one sender change places."""
    one = any_letter(run, draw)
    mine = [letter for letter in run.letters if letter.header["sender"] == one.header["sender"]]
    two = draw.pick(mine)
    said = f"{one.path()} and {two.path()}"
    one.header["sequence"], two.header["sequence"] = two.header["sequence"], one.header["sequence"]
    return said


def readdressed(run: Run, draw: Draw) -> str:
    """Send a message to somebody else, or in another name, or as another kind."""
    letter = any_letter(run, draw)
    path = letter.path()
    entry = draw.pick(["recipient", "recipient", "sender", "kind"])
    kinds = sorted({one.header["kind"] for one in run.letters})
    letter.header[entry] = draw.pick([*kinds, "gossip"] if entry == "kind" else [*NAMES, "*"])
    if entry == "sender" and draw.chance(80):
        run.letters.remove(letter)
        run.letters.append(run.add(letter))
        run.letters.pop()
    return f"{path}: {entry} {letter.header[entry]}"


def renamed_file(run: Run, draw: Draw) -> str:
    """Give a message's file another name."""
    letter = any_letter(run, draw)
    path = letter.path()
    options = [
        path.replace("-0", "-00", 1),
        path.replace("-0", "-", 1),
        path.replace(".json", ".JSON"),
        path.replace("teacher-", "teacher-0"),
        path.replace("transcript/", "student/"),
        path.replace("-0", "-1", 1),
        any_letter(run, draw).path(),
    ]
    letter.file = draw.pick(options)
    return f"{path} as {letter.file}"


def of_another_run(run: Run, draw: Draw) -> str:
    """Take a piece from another run, perhaps signed for this one."""
    name = draw.pick(["plain", "two-rosters", "sealed"])
    source = honest_runs.honest(name).copy()
    letter = any_letter(run, draw)
    same_kind = source.of(letter.header["kind"])
    taken = draw.pick(same_kind)
    said = f"{letter.path()} is {taken.path()} of {name}"
    header = letter.header
    letter.value = taken.value
    if draw.chance(50):
        letter.value["header"] = {**header, "body_sha256": taken.header["body_sha256"]}
    else:
        letter.was = taken.was
        letter.file = letter.path()
    return said


def extra_message(run: Run, draw: Draw) -> str:
    """Add a message that may be there: a mask value, a signature, an abort."""
    kind = draw.pick(["mask-share", "roster-signature", "abort", "abort"])
    teachers = [name for name in NAMES if name.startswith("teacher")]
    if kind == "abort":
        letter = run.add(run.one("ready"), kind="abort", sender=draw.pick(["teacher-1", *NAMES]))
        reason = draw.pick(["", "x", "\u2028é\x07", "a" * 65_000, "a" * 65_500])
        letter.value["body"] = {"phase": "sum", "reason": reason, "missing": ["somebody"]}
    elif kind == "mask-share":
        letter = run.add(draw.pick(run.of(kind)), recipient=draw.pick(teachers))
    else:
        letter = run.add(draw.pick(run.of(kind)), sender=draw.pick(teachers))
        letter.body["roster_hash"] = draw.pick(["11" * 32, "x", letter.body["roster_hash"]])
    return letter.path()


def party_renamed(run: Run, draw: Draw) -> str:
    """Give a party another name, everywhere."""
    old = draw.pick(sorted(run.terms["parties"]))
    new = draw.pick(["zoe", "a", "0", "teacher-10", "t" * 40, "t" * 41, "Zoe", "-z", "é", "a b"])
    republish.rename(run, old, new)
    return f"{old} is {new}"


def keys_swapped(run: Run, draw: Draw) -> str:
    """Sign with other keys than the published ones, or as two parties with one."""
    one, two = draw.pick(sorted(run.keys)), draw.pick(sorted(run.keys))
    if draw.chance(50):
        run.keys[one] = formulas.known_key(f"another {one}")
    else:
        run.keys[one], run.keys[two] = run.keys[two], run.keys[one]
    if draw.chance(40):
        run.skipped.add("keys")
    return f"{one}, {two}"


def published_otherwise(run: Run, draw: Draw) -> str:
    """Agree on publishing something else, and mostly do so."""
    return republish.otherwise(run, draw)


def not_followed(run: Run, draw: Draw) -> str:
    """Change something early, and let one thing not follow from it."""
    step = draw.pick(list(following.STEPS))
    early: list[Callable[[], None]] = [
        lambda: run.terms.update(title="Another title"),
        lambda: run.one("nonce").body.update(nonce=formulas.b64(bytes(range(32)))),
        lambda: run.one("query-key").body.update(query_hash="11" * 32),
        lambda: run.files.update({"student/head.safetensors": b"another"}),
        lambda: run.files.update({"student/encoder.safetensors": b"another"}),
        lambda: run.charges["teacher-2"]["body"].update(agreement_rho=9.0),
    ]
    draw.pick(early)()
    run.skipped.add(step)
    return step
