"""``run``: under the agreement that was signed, on the data that were agreed on, or not at all."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.cli.agreed_run import check_fit
from secure_fedsa.cli.agreement_file import read_agreement
from secure_fedsa.cli.data_folder import load_folder
from secure_fedsa.cli.main import main
from secure_fedsa.engines.site import load_identity
from secure_fedsa.errors import DataError
from secure_fedsa.privacy.ledger import Ledger
from tests.cli.agreements import PARTIES, TEACHERS, new, set_entry, sign, write_trust
from tests.support import CLASSES, table

Capture = pytest.CaptureFixture[str]


def run(folder: Path, *more: str) -> int:
    """Run under the folder's agreement."""
    return main(
        [
            *("run", str(folder / "agreement.toml"), "--data", str(folder / "data")),
            *("--states", str(folder / "states"), "--out", str(folder / "out"), *more),
        ]
    )


def charges(folder: Path) -> int:
    """Return how many charges all ledgers hold."""
    return sum(
        len(Ledger.open(state).books().charges)
        for state in (folder / "states").iterdir()
        if (state / "ledger.sqlite").exists()
    )


@pytest.mark.slow
@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_a_signed_agreement_runs_and_verifies(custody: str, drafted: Path, capsys: Capture) -> None:
    """The whole way of institutions: keys, draft, signatures, run, receipt."""
    for name in ("agreement.toml", "encoder.safetensors"):
        (drafted / name).unlink()
    # Any score will do: the toy teachers are alike.
    flags = ("--custody", custody, "--threshold", "-100", "--publish-sums", "no")
    assert new(drafted, *flags) == 0
    for party in PARTIES:
        assert sign(drafted, party) == 0
    trust = write_trust(drafted, capsys)
    file = drafted / "agreement.toml"
    file.write_bytes(b"# Read by our board.\r\n" + file.read_bytes())
    assert run(drafted, "--json") == 0
    assert (drafted / "out" / "agreement.toml").read_bytes() == file.read_bytes()
    summary = json.loads(capsys.readouterr().out)
    assert summary["custody"] == custody
    assert summary["protection"] == {"dp": True, "he": True, "masks": True}
    assert charges(drafted) == len(TEACHERS)
    assert main(["verify", str(drafted / "out"), "--trust", str(trust)]) == 0
    if custody == "key-holder":  # a second run composes under the same agreement
        assert run(drafted) == 0
        assert charges(drafted) == 2 * len(TEACHERS)


@pytest.mark.slow
def test_institutions_are_not_shown_as_made_up_ones(drafted: Path, capsys: Capture) -> None:
    """Institutions would publish what their data file says a teacher is for, as if it were known.

    And keys that a command took out of its own agreement would be used to check identities.
    """
    states = drafted / "states"
    (states / "student").rename(states / "ward-7")
    for name in TEACHERS:
        file = drafted / "data" / f"{name}.npz"
        np.savez(file, **dict(np.load(file)), kind=np.array("other-domain"))
    for name in ("agreement.toml", "encoder.safetensors"):
        (drafted / name).unlink()
    key = load_identity(states / "ward-7").public.hex()
    flags = ("--student", f"ward-7={key}", "--threshold", "-100", "--publish-scores", "values")
    assert new(drafted, *flags) == 0
    parties = (*PARTIES[:-1], "ward-7")
    for party in parties:
        assert sign(drafted, party) == 0
    capsys.readouterr()
    assert run(drafted) == 0
    said = capsys.readouterr()
    assert "demo" not in said.out + said.err
    assert said.out.splitlines()[1].split() == ["selected", "teacher", "score"]
    assert "with keys that you know from elsewhere" in said.out
    summary = json.loads((drafted / "out" / "summary.json").read_text())
    assert [teacher["kind"] for teacher in summary["teachers"]] == [None] * len(TEACHERS)
    for page in ("report.html", "student/model-card.md"):
        assert not re.search("demo|other-domain", (drafted / "out" / page).read_text())
    folders = {path.name for path in states.iterdir() if path.is_dir()}
    assert folders == set(parties)  # the student's files are in its own
    assert (states / "ward-7" / "built" / "network.safetensors").exists()
    assert {path.name for path in states.iterdir() if path.is_file()} == {
        "agreement.toml",
        "options.json",
    }
    assert main(["verify", str(drafted / "out")]) == 0


def refused(folder: Path, capsys: Capture, clause: str, code: int = 2) -> None:
    """Check that a run is refused by a clause, before anything is charged."""
    capsys.readouterr()
    assert run(folder) == code
    assert f"error: {clause}" in capsys.readouterr().err
    assert charges(folder) == 0
    assert not (folder / "out").exists()


def test_what_not_everybody_signed_does_not_run(drafted: Path, capsys: Capture) -> None:
    """One party that does not want the run is enough."""
    for party in PARTIES[:-1]:
        assert sign(drafted, party) == 0
    refused(drafted, capsys, "signatures.student: is missing", 1)
    assert sign(drafted, "student") == 0
    set_entry(drafted, "limits.max_burned", "3")
    refused(drafted, capsys, f"signatures: wrong: {', '.join(PARTIES)}.", 1)


def test_a_simulation_does_not_run(drafted: Path, capsys: Capture) -> None:
    """Nobody could verify it."""
    set_entry(drafted, "simulation", "true")
    for party in PARTIES:
        assert sign(drafted, party) == 0
    refused(drafted, capsys, "simulation: is true", 1)


def test_other_keys_than_those_that_signed_do_not_run(signed: Path, capsys: Capture) -> None:
    """The run would stop at the first message, after hours of waiting."""
    key = signed / "states" / "aggregator" / "identity.key"
    key.unlink()
    refused(signed, capsys, f"{signed / 'states' / 'aggregator'} holds no identity key")
    assert main(["keys", "new", str(signed / "states" / "aggregator")]) == 0
    refused(signed, capsys, "parties.aggregator.key: ")


def test_another_encoder_does_not_run(signed: Path, capsys: Capture) -> None:
    """Every epsilon rests on the one that was agreed."""
    (signed / "encoder.safetensors").write_bytes(b"other")
    refused(signed, capsys, "encoder.sha256: ")
    (signed / "encoder.safetensors").unlink()
    refused(signed, capsys, "Cannot read")


def test_data_of_other_teachers_do_not_run(signed: Path, capsys: Capture) -> None:
    """A teacher without data, or data without a teacher, is a mistake in the folder."""
    file = signed / "data" / "teacher-site-2.npz"
    kept = file.read_bytes()
    file.unlink()
    refused(signed, capsys, "parties.teacher-site-2: has no file")
    file.write_bytes(kept)
    (signed / "data" / "teacher-site-9.npz").write_bytes(kept)
    refused(signed, capsys, "parties.teacher-site-9: has data")


def test_data_with_other_classes_do_not_run(signed: Path, capsys: Capture) -> None:
    """Classes in another order are other classes: noise would be drawn for another task."""
    records, labels = table(1, 400)
    file = signed / "data" / "teacher-site-1.npz"
    np.savez(file, x=records, y=labels, classes=np.array(CLASSES[::-1]))
    refused(signed, capsys, "parties.teacher-site-1.classes: ")


def test_other_probes_do_not_run(signed: Path, capsys: Capture) -> None:
    """The student would learn on a scale that nobody agreed to."""
    file = signed / "data" / "student.npz"
    arrays = dict(np.load(file))
    arrays["probes"] = arrays["probes"][::-1]
    np.savez(file, **arrays)
    refused(signed, capsys, "encoder.probes_sha256: ")


PLACES = ["data", "states", "states/teacher-site-0", "data/run", ".", "..", "home"]


@pytest.mark.parametrize("place", PLACES)
def test_out_is_no_place_of_anything_else(
    signed: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """It would be moved away: a ledger that is not found again begins with nothing spent."""
    home = signed / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("mine")
    monkeypatch.chdir(home)
    out = {".": ".", "..": ".."}.get(place, str(signed / place))
    before = sorted(path for path in signed.rglob("*") if path.is_file())
    assert run(signed, "--out", out) == 2
    assert "Nothing was charged" in capsys.readouterr().err
    assert charges(signed) == 0
    assert sorted(path for path in signed.rglob("*") if path.is_file()) == before


def test_a_promise_to_persons_is_refused_before_the_run_where_ids_are_missing(
    signed: Path,
) -> None:
    """If this fails, seven parties sign and begin what nobody can keep."""
    agreement = read_agreement(signed / "agreement.toml").agreement
    held = load_folder(signed / "data")
    check_fit(agreement, held)
    assert agreement.privacy is not None
    persons = replace(agreement, privacy=replace(agreement.privacy, unit="person"))
    with pytest.raises(DataError, match="come without person ids"):
        check_fit(persons, held)
    owned = tuple(replace(one, persons=np.arange(len(one.labels))) for one in held.teachers)
    check_fit(persons, replace(held, teachers=owned))
