"""Makes all of protocols/v1/vectors again, or some of it.

    python tests/protocols/make_vectors.py [derivations] [agreements] [runs] [overlays] [RUN...]

Derivations and agreements repeat byte for byte. Runs are made by real parties, whose identity
keys are the published test keys, but which draw nonces, keys and noise afresh; overlays are made
from the runs. So runs and overlays are other bytes each time, and are made together. With names of
runs, those and what is made from them are made again, and overlays that are not there yet.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

# As a script this file's folder is on the path, and the package's need not be.
if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.errors import VerificationError
from tests.protocols.bench import following, formulas, honest_runs
from tests.protocols.bench.honest_runs import RUNS, VECTORS
from tests.protocols.cases import (
    agreement_vectors,
    amount_vectors,
    derivation_vectors,
    encoding_vectors,
    ledger_vectors,
    lies_folder,
    lies_institution,
    lies_keys,
    lies_messages,
    lies_opening,
    lies_records,
    lies_retention,
    lies_routes,
    lies_student,
    lies_sum,
    oddities,
    query_vectors,
    receipt_vectors,
    sum_vectors,
)
from tests.protocols.cases.lies import BAD, GOOD, Lie

_REPEATED = re.compile(rb"(.{1,3}?)\1{20000,}")
REGISTERED = (
    lies_folder,
    lies_institution,
    lies_messages,
    lies_opening,
    lies_sum,
    lies_keys,
    lies_records,
    lies_routes,
    lies_student,
    lies_retention,
    oddities,
)
"""Modules whose import fills the register of lies."""

DERIVATIONS: dict[str, Callable[[], Any]] = {
    "canonical-json": encoding_vectors.json_documents,
    "base64": encoding_vectors.base64_texts,
    "digests": encoding_vectors.digests,
    "envelopes": encoding_vectors.envelopes,
    "run-keys-query-roster": derivation_vectors.opening,
    "noise": derivation_vectors.noise,
    "score-bounds": derivation_vectors.scores,
    "blinded-scores": derivation_vectors.blinded_scores,
    "selection": derivation_vectors.selection,
    "masks": sum_vectors.masks,
    "mask-values": sum_vectors.mask_values,
    "residues": sum_vectors.residues,
    "bfv": sum_vectors.bfv,
    "release-log": derivation_vectors.release_log,
    "student-and-transcript": derivation_vectors.student_and_transcript,
    "receipts": receipt_vectors.receipts,
    "query-moduli": query_vectors.query_moduli,
    "query-ciphertexts": query_vectors.query_ciphertexts,
    "ledger-segments": ledger_vectors.ledger_segments,
    "trainings": amount_vectors.trainings,
    "amounts": amount_vectors.amounts,
    "inheritance": amount_vectors.inheritance,
}


def fresh(folder: Path) -> Path:
    """Return an empty folder in the place of one."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def shown(value: Any) -> str:
    """Return JSON for people."""
    return json.dumps(value, indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def derivations() -> dict[str, str]:
    """Return the files of vectors/derivations."""
    return {f"{name}.json": shown(make()) for name, make in DERIVATIONS.items()}


def agreements() -> dict[str, str]:
    """Return the files of vectors/agreements."""
    files, listed = {}, []
    for kind, cases in (("good", agreement_vectors.good()), ("bad", agreement_vectors.bad())):
        for case in cases:
            files[f"{kind}/{case.file}"] = case.toml()
            entry = {"file": f"{kind}/{case.file}", "good": kind == "good"}
            if kind == "bad":
                entry |= {"rule": case.rule, "clause": case.clause}
            listed.append(entry)
    assert len(files) == len(listed), "two cases have one name"
    source = "agreement.md; verification.md, B1 and B2"
    return {**files, "cases.json": shown({"source": source, "cases": listed})}


def write_texts(folder: Path, files: Mapping[str, str]) -> None:
    """Write text files into a folder of their own."""
    fresh(folder)
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(text.encode())


def make_runs(only: Collection[str] = ()) -> None:
    """Run, and write the honest runs (or some of them) and two lists of keys."""
    if not only:
        fresh(RUNS)
    for name in only or honest_runs.KINDS:
        kind = honest_runs.KINDS[name]
        fresh(RUNS / name)
        with tempfile.TemporaryDirectory() as place:
            write(RUNS / name, honest_runs.make(name, Path(place)))
        verify_folder(RUNS / name)
        sys.stdout.write(f"runs/{name}: {kind.about}.\n")
    names = honest_runs.parties(honest_runs.KINDS["two-rosters"])
    for file, text, head in (
        ("keys.toml", "", "The test keys of the runs here. Everybody has their private parts."),
        ("other-keys.toml", "forger of ", "Keys that no run here was signed with."),
    ):
        keys = {name: formulas.public(formulas.known_key(f"{text}{name}")) for name in names}
        (RUNS / file).write_text(honest_runs.keys_toml(head, keys), "utf-8")


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def repeated(data: bytes) -> dict[str, Any]:
    """Return how to make a file that repeats one short text very often; empty for others."""
    found = _REPEATED.search(data)
    if found is None:
        return {}
    text = found[1]
    return {
        "before": data[: found.start()].decode(),
        "text": text.decode(),
        "times": len(found[0]) // len(text),
        "behind": data[found.end() :].decode(),
    }


def make_overlay(folder: Path, lie: Lie) -> None:
    """Tell one lie, and write what it changes."""
    base, run = honest_runs.read(RUNS / lie.base), honest_runs.honest(lie.base).copy()
    file = lie.tell(run)
    files = following.rebuilt(run)
    changed = {name: data for name, data in files.items() if base.get(name) != data}
    fills = {name: fill for name, data in changed.items() if (fill := repeated(data))}
    stored = {name: data for name, data in changed.items() if name not in {*fills, *run.links}}
    write(fresh(folder), stored)
    overlay: dict[str, Any] = {"base": lie.base, "delete": sorted(set(base) - set(files))}
    if fills:
        overlay["fill"] = fills
    if run.links:
        overlay["link"] = run.links
    overlay |= {"check": lie.check, "file": file} if lie.check else {"check": None}
    (folder / "overlay.json").write_text(shown({**overlay, "reason": lie.reason}), "utf-8")


def laid(folder: Path, target: Path) -> dict[str, Any]:
    """Lay an overlay over its run in an empty folder; return its overlay.json."""
    overlay: dict[str, Any] = json.loads((folder / "overlay.json").read_text("utf-8"))
    files = honest_runs.read(RUNS / overlay["base"]) | honest_runs.read(folder)
    files.pop("overlay.json")
    for name in overlay["delete"]:
        del files[name]
    for name, fill in overlay.get("fill", {}).items():
        text = f"{fill['before']}{fill['text'] * fill['times']}{fill['behind']}"
        files[name] = text.encode()
    for name in overlay.get("link", {}):
        files.pop(name, None)
    write(target, files)
    for name, place in overlay.get("link", {}).items():
        (target / name).symlink_to(place)
    return overlay


def make_overlays(bases: Collection[str] = ()) -> None:
    """Write every lie and every oddity, after the verifier has judged it as expected.

    With names of honest runs, only those of these, and those that are not there yet.
    """
    for kind, register in (("runs-bad", BAD), ("runs-good", GOOD)):
        if not bases:
            fresh(VECTORS / kind)
        for name, lie in register.items():
            if bases and lie.base not in bases and (VECTORS / kind / name).exists():
                continue
            make_overlay(VECTORS / kind / name, lie)
            with tempfile.TemporaryDirectory() as place:
                overlay = laid(VECTORS / kind / name, Path(place))
                found = ""
                try:
                    verify_folder(Path(place))
                except VerificationError as error:
                    found = error.file
            if found != overlay.get("file", ""):
                sys.stdout.write(f"{kind}/{name}: unexpected: {found or 'accepted'}.\n")


def main(wanted: list[str]) -> None:
    """Make what was asked for, or everything."""
    if not wanted or "derivations" in wanted:
        write_texts(VECTORS / "derivations", derivations())
    if not wanted or "agreements" in wanted:
        write_texts(VECTORS / "agreements", agreements())
    only = [name for name in honest_runs.KINDS if name in wanted]
    if not wanted or "runs" in wanted or only:
        make_runs(only)
    if not wanted or {"overlays", "runs"} & set(wanted) or only:
        make_overlays(only)


if __name__ == "__main__":
    main(sys.argv[1:])
