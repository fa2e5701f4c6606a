"""Changes of files and their bytes, and changes that are nobody's business."""

from __future__ import annotations

import json
from collections.abc import Callable

from tests.protocols.bench.draws import Draw
from tests.protocols.bench.resigning import LOG, RECEIPT, Run

STUDENT_FILES = (
    "network.safetensors",
    "architecture.json",
    "head.safetensors",
    "encoder.safetensors",
)


def file_bytes(run: Run, draw: Draw) -> str:
    """Flip bits of a file, or cut it; the receipt is of the changed file."""
    name = _any_file(run, draw)
    run.edits[name] = _damage(draw)
    return name


def file_bytes_unsigned(run: Run, draw: Draw) -> str:
    """The same after the receipt was signed."""
    name = draw.pick([_any_file(run, draw), RECEIPT])
    damage = _damage(draw)

    def after(files: dict[str, bytes]) -> None:
        files[name] = damage(files[name])

    run.after = after
    return name


def _any_file(run: Run, draw: Draw) -> str:
    groups = [
        [letter.path() for letter in run.letters],
        sorted(run.ledgers),
        sorted(run.files),
        [LOG, "summary.json", "agreement.toml"],
    ]
    return draw.pick(draw.pick([group for group in groups if group]))


def _damage(draw: Draw) -> Callable[[bytes], bytes]:
    seed, how = draw.below(2**60), draw.pick(["flip", "flip", "flip", "cut", "add", "swap"])

    def damage(data: bytes) -> bytes:
        made, at = bytearray(data), seed % (len(data) or 1)
        if how == "flip" and made:
            made[at] ^= 1 << seed % 8
        elif how == "cut":
            del made[at:]
        elif how == "add":
            made[at:at] = bytes([seed % 256])
        elif made:
            made[at], made[-1] = made[-1], made[at]
        return bytes(made)

    return damage


def spelling(run: Run, draw: Draw) -> str:
    """Spell a JSON file in another way; the receipt is of that."""
    name = _any_file(run, draw)
    edits: dict[str, Callable[[bytes], bytes]] = {
        "spaces": lambda data: data.replace(b'":', b'": '),
        "pretty": lambda data: json.dumps(json.loads(data), indent=1).encode(),
        "other order": lambda data: json.dumps(
            dict(reversed(json.loads(data).items())), separators=(",", ":"), ensure_ascii=False
        ).encode(),
        "escape": lambda data: data.replace(b'"run_id"', rb'"run\u005fid"', 1),
        "number": lambda data: data.replace(b":1,", b":1.0,", 1),
        "exponent": lambda data: data.replace(b":0,", b":0e0,", 1),
        "minus zero": lambda data: data.replace(b":0,", b":-0,", 1),
        "line feed": lambda data: data + b"\n",
        "carriage return": lambda data: data.replace(b"\n", b"\r\n"),
        "mark": lambda data: b"\xef\xbb\xbf" + data,
        "key twice": lambda data: data.replace(b"{", b'{"header":0,', 1),
        "comment": lambda data: b"# ... \n" + data,
        "nothing": lambda _data: b"",
    }
    how = draw.pick(list(edits))

    def edit(data: bytes) -> bytes:
        try:
            return edits[how](data)
        except (ValueError, AttributeError, TypeError):
            return data

    run.edits[name] = edit
    return f"{name}: {how}"


def file_set(run: Run, draw: Draw) -> str:
    """Leave out or add a file, named in the receipt."""
    if draw.chance(40) and run.files:
        name = draw.pick(sorted(run.files))
        del run.files[name]
        return f"without {name}"
    if draw.chance(30):
        name = draw.pick(sorted(run.ledgers))
        del run.ledgers[name]
        return f"without {name}"
    names = ["ledger-teacher-9.jsonl", "ledger-student.jsonl", "transcript/x-000-nonce.json"]
    names += ["a", "student/b", "transcript/", "ledger-.jsonl", "Summary.json", "é", "transcript/c"]
    name = draw.pick([one for one in names if not one.endswith("/")])
    run.files[name] = draw.pick([b"", b"{}", b"{}\n"])
    return f"with {name}"


def student(run: Run, draw: Draw) -> str:
    """Change the student's or the encoder's files; the hash follows, or not."""
    name = f"student/{draw.pick(STUDENT_FILES)}"
    run.files[name] = draw.pick([b"", run.files[name] + b"\x00", run.files["report.html"]])
    if draw.chance(40):
        run.skipped.add(draw.pick(["student", "encoder"]))
    return name


def harmless(run: Run, draw: Draw) -> str:
    """Change what is nobody's business but its author's."""
    said: dict[str, Callable[[], None]] = {
        "engine": lambda: run.summary.update(engine=draw.pick(["", "é", "across machines"])),
        "accuracy": lambda: run.summary.update(accuracy={"student": 0.5, "more": None}),
        "seed": lambda: run.summary.update(seed=draw.pick([-1, 2**53 - 1])),
        "kind": lambda: run.summary["teachers"][0].update(kind="a kind"),
        "accounting": lambda: run.summary["accounting"].update(more={"x": [1.5]}),
        "position": lambda: run.log[0].update(position=7, previous="22" * 32),
        "report": lambda: run.files.update({"report.html": b"\xff\x00"}),
        "card": lambda: run.files.update({"student/model-card.md": b""}),
        "total": lambda: run.charges["teacher-2"]["body"].update(agreement_rho=draw.pick([5, 5.5])),
        "title": lambda: run.terms.update(title=draw.pick(["", "é", "e\u0301", "\u2028", "#"])),
        "limits": lambda: run.terms["limits"].update(max_burned=draw.pick([1, 2**53 - 1])),
        "epsilon": lambda: run.summary.update(epsilon=run.summary["epsilon"] * (1 + 1e-12)),
    }
    about = draw.pick(list(said))
    said[about]()
    return about
