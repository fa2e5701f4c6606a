"""The package's verifier against the reference, which was written from the text alone.

Where they disagree on one folder, one of the two or the text is wrong.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import sys
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import rfc8785
from cryptography.exceptions import InvalidSignature

from secure_fedsa.audit.verify import verify_folder
from secure_fedsa.errors import UsageError, VerificationError
from tests.audit import folders
from tests.protocols import make_vectors, mutants
from tests.protocols.bench.honest_runs import KINDS, RUNS, VECTORS
from tests.protocols.bench.reference_server import load
from tests.protocols.implementations import REFERENCE, Judgement, by_both, by_command, by_reference
from tests.protocols.test_vectors import cases

MUTANTS = 500
BATCH = 25
OVERLAYS = sorted(
    f"{folder}/{path.name}"
    for folder in ("runs-bad", "runs-good")
    for path in (VECTORS / folder).iterdir()
)


def trusted(name: str) -> dict[str, str]:
    """Return the keys of a trust file beside the runs."""
    keys: dict[str, str] = tomllib.loads((RUNS / name).read_text("utf-8"))["keys"]
    return keys


@pytest.mark.parametrize("name", KINDS)
def test_honest_vectors_are_consistent(name: str) -> None:
    """A verifier that refuses an honest run is of no use to anybody."""
    assert by_both(RUNS / name) == (Judgement(True), Judgement(True))
    assert by_both(RUNS / name, trusted("keys.toml")) == (Judgement(True), Judgement(True))
    for judgement in by_both(RUNS / name, trusted("other-keys.toml")):
        assert judgement.file == "agreement.toml"


@pytest.mark.slow
@pytest.mark.parametrize("variant", folders.VARIANTS)
def test_honest_runs_of_today_are_consistent(variant: str, tmp_path: Path) -> None:
    """Vectors are of the day on which they were made; these runs are of this code."""
    folder = folders.honest(variant).write(tmp_path / "run")
    assert by_both(folder) == (Judgement(True), Judgement(True))


@pytest.mark.parametrize("name", OVERLAYS)
def test_overlays(name: str, tmp_path: Path) -> None:
    """Each bad one is a forgery that nobody would find by any other check."""
    overlay = make_vectors.laid(VECTORS / name, tmp_path)
    package, reference = by_both(tmp_path)
    accepted = overlay["check"] is None
    assert package.accepted == reference.accepted == accepted, (package, reference)
    if not accepted:
        assert package.file == overlay["file"]
        assert package.reason.startswith(f"{package.file}: ")
        # It may check in another order, and name another file of two that do not fit together.
        named = {reference.section: overlay["check"][0], reference.file: overlay["file"]}
        found = overlay["check"] in reference.reason.split(":")[0]
        assert found or any(one == other for one, other in named.items()), reference


def test_wholly_forged_run_is_found_with_known_keys_only(tmp_path: Path) -> None:
    """Anybody can make up a whole run: without known keys nobody can tell."""
    make_vectors.laid(VECTORS / "runs-good" / "wholly-forged-run", tmp_path)
    assert all(judgement.accepted for judgement in by_both(tmp_path))
    package, reference = by_both(tmp_path, trusted("keys.toml"))
    assert (package.accepted, package.file) == (False, "agreement.toml")
    assert (reference.accepted, reference.section) == (False, "P")
    assert all(judgement.accepted for judgement in by_both(tmp_path, trusted("other-keys.toml")))


AGREEMENTS = json.loads((VECTORS / "agreements" / "cases.json").read_text("utf-8"))["cases"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose agreement tests replace."""
    folder = tmp_path_factory.mktemp("agreements") / "run"
    shutil.copytree(RUNS / "plain", folder)
    return folder


@pytest.mark.parametrize("case", AGREEMENTS, ids=lambda case: case["file"])
def test_agreements(case: Any, plain: Path) -> None:
    """Who reads a run folder must know which agreements no run may have."""
    shutil.copyfile(VECTORS / "agreements" / case["file"], plain / "agreement.toml")
    judgement = by_reference(plain)
    assert not judgement.accepted  # it is not this run's agreement
    simulated = case["file"] == "good/simulation.toml"
    assert (judgement.file != "agreement.toml") == (case["good"] and not simulated), judgement


REFERENCE_CODE = load(str(REFERENCE))
NO_JSON = (json.JSONDecodeError, UnicodeDecodeError, rfc8785.CanonicalizationError)


def judged(
    case: Any, check: Callable[[], object], number: str, *library: type[Exception]
) -> str | None:
    """Expect a good case to pass, and a bad one to be refused by its check.

    Args:
        case: A case of a vector.
        check: The reference's function, on the case.
        number: The check that it must name.
        library: Errors by which a library of the reference refuses for that very reason.
    """
    found: str | None = None
    try:
        check()
    except REFERENCE_CODE.Refused as refusal:
        found = refusal.args[0]
        assert found == number, (case["name"], found)
    except library as error:
        found = type(error).__name__
    assert (found is None) == case["good"], (case["name"], found)
    return found


def test_a_crash_of_the_reference_is_no_refusal() -> None:
    """A reference that falls over everything would else pass every bad vector."""
    bad = {"name": "bad", "good": False}

    def crash(kind: type[Exception]) -> None:
        raise kind("E5")

    for error in (AttributeError, TypeError, NameError, KeyError, AssertionError):
        with pytest.raises(error):
            judged(bad, partial(crash, error), "E5", *NO_JSON)
    with pytest.raises(AssertionError, match="D1"):
        judged(bad, partial(REFERENCE_CODE.check, D1=False), "E5")
    with pytest.raises(AssertionError, match="bad"):
        judged(bad, lambda: None, "E5")
    with pytest.raises(AssertionError, match="good"):
        judged({"name": "good", "good": True}, partial(REFERENCE_CODE.check, E5=False), "E5")


def test_encodings() -> None:
    """JSON, base64, hashes and signatures, read by the reference alone."""
    reference = REFERENCE_CODE
    fates = Counter[str | None]()
    for case in cases("canonical-json"):
        read = partial(reference.parsed, bytes.fromhex(case["bytes"]))
        fates[judged(case, read, "D1", *NO_JSON)] += 1
    for case in cases("base64"):
        fates[judged(case, partial(reference.b64, case["text"]), "D11", ValueError)] += 1
    # Refused by the text's own words, and not all by a library's.
    assert fates["D1"] >= 15, fates
    assert fates["D11"] >= 8, fates
    for case in cases("digests"):
        domain = case["domain"].removeprefix("secure-fedsa/v1/")
        assert reference.digest(domain, case["value"]) == case["hash"]
    for case in cases("envelopes"):
        data = reference.canonical(case["header"])
        key, signature = case["public_key"], case["signature"]
        verify = partial(reference.signed, key, signature, data, "envelope")
        judged(case, verify, "no check of its own", InvalidSignature)


def test_trainings() -> None:
    """The epsilon of one training, by the reference alone."""
    found = 0
    for case in cases("trainings"):
        (event, *more), delta = case["merged"], case["delta"]
        if more:  # no agreed charge has several
            continue
        expected = math.inf if case["epsilon"] is None else case["epsilon"]
        assert REFERENCE_CODE.training(event, delta) == pytest.approx(expected, rel=1e-6)
        found += 1
    assert found >= 6


def test_query_moduli() -> None:
    """The proof of a modulus, by the reference alone."""
    for case in cases("query-moduli")[:-1]:
        v = SimpleNamespace(
            query_modulus_bits=case["query_modulus_bits"], the={"student": case["student"]}
        )
        modulus, *proof = (base64.b64decode(text) for text in (case["modulus"], *case["proof"]))
        check = partial(REFERENCE_CODE.check_modulus, v, modulus, proof, case["run_id"])
        judged(case, check, "E5")


def test_every_check_has_a_bad_vector() -> None:
    """A check without one may be missing in an implementation, and nobody would see it."""
    text = (VECTORS.parent / "verification.md").read_text("utf-8")
    checks = set(re.findall(r"^\* \*\*([A-P][0-9]+)\.\*\*", text, re.MULTILINE))
    assert len(checks) > 50
    told = {
        json.loads((VECTORS / name / "overlay.json").read_text("utf-8"))["check"]
        for name in OVERLAYS
    }
    # P2 needs a list of keys: the wholly forged run above.
    assert checks - told == {"P2"}


@cache
def fates(first: int) -> tuple[tuple[mutants.Mutant, Judgement, Judgement], ...]:
    """Return a batch of mutants, and what the package and the reference say of each."""
    told = []
    with tempfile.TemporaryDirectory(prefix="secure-fedsa-mutants-") as place:
        folder = Path(place) / "run"
        for number in range(first, first + BATCH):
            made = mutants.mutant(number)
            mutants.write(made, folder)
            told.append((made, *by_both(folder)))
            shutil.rmtree(folder)
    return tuple(told)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, MUTANTS, BATCH))
def test_verifiers_agree_on_mutants(first: int) -> None:
    """A folder that only one of two readers takes convinces that one wrongly, or the other not."""
    assert [
        (first + place, made.base, made.about, package, reference)
        for place, (made, package, reference) in enumerate(fates(first))
        if package.accepted != reference.accepted
    ] == []


def _kind(judgement: Judgement) -> str:
    """Return what kind of file a refusal names."""
    name = re.sub(r"^transcript/.*-[0-9]+-", "transcript/", judgement.file)
    return re.sub(r"^ledger-.*", "ledger", name)


def _reason(judgement: Judgement) -> str:
    """Return a reason without names, numbers and hashes."""
    reason = judgement.reason.removeprefix(judgement.file)
    return re.sub(r"'[^']*'|\S*[0-9]\S*|aggregator|key-holder|student", "", reason)


@pytest.mark.slow
def test_mutants_die_of_many_things() -> None:
    """Hundreds of mutants that all die of a broken signature would have shown nothing."""
    seen = Counter(
        (_kind(package), _reason(package), reference.section)
        for first in range(0, MUTANTS, BATCH)
        for _, package, reference in fates(first)
    )
    total = sum(seen.values())
    assert total == MUTANTS
    sections = Counter[str]()
    for (_, _, section), count in seen.items():
        sections[section or "accepted"] += count
    refusals = {(kind, reason) for kind, reason, section in seen if kind}
    told = f"{total} mutants, {len(refusals)} kinds of refusal, by section {dict(sections)}"
    sys.stdout.write(f"{told}\n")
    assert len(refusals) >= 40, told
    later = sum(count for section, count in sections.items() if section in "DEFGHIJKLMNO")
    assert later >= total // 2, told
    assert sections["accepted"] >= total // 20, told
    assert set("ABCDEFGHIKLMNOP") <= set(sections), told


def test_the_reference_is_short_enough_to_be_read() -> None:
    """It is the proof that the text suffices, and nobody checks a proof of thousands of lines."""
    lines = len(REFERENCE.read_text("utf-8").splitlines())
    readme = (REFERENCE.parent / "README.md").read_text("utf-8")
    stated = re.search(r"at most ([0-9]+) lines", readme)
    assert stated
    assert lines <= int(stated[1]) <= 480


def test_the_reference_runs_as_its_text_says(tmp_path: Path) -> None:
    """The tests above ask it within one process; a reader starts it from a shell."""
    assert by_command(RUNS / "plain") == (0, "consistent, identities not checked")
    keys = RUNS / "keys.toml"
    assert by_command(RUNS / "plain", keys) == (
        0,
        f"consistent, identities checked against {keys}",
    )
    code, words = by_command(RUNS / "plain", RUNS / "other-keys.toml")
    assert code == 1
    assert words.startswith("failed: agreement.toml: ")
    assert by_command(tmp_path / "nothing")[0] == 2
    (tmp_path / "agreement.toml").touch()
    assert by_command(tmp_path) == (2, "cannot be used: it is no run folder")
    with pytest.raises(UsageError):
        verify_folder(tmp_path)
    (tmp_path / "summary.json").touch()
    assert by_command(tmp_path)[0] == 1
    with pytest.raises(VerificationError):
        verify_folder(tmp_path)
    assert not by_reference(tmp_path).accepted
