"""``plan``: the figures by which people decide, of exactly the text in their hands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.agreement import parse
from secure_fedsa.cli.main import main
from secure_fedsa.planning import plan
from tests.cli.agreements import PARTIES, set_entry, sign

Capture = pytest.CaptureFixture[str]


def planned(folder: Path, capsys: Capture, *more: str) -> tuple[int, dict[str, Any]]:
    """Return exit code and JSON of ``plan``."""
    capsys.readouterr()
    code = main(["plan", str(folder / "agreement.toml"), "--json", *more])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, found


def test_a_plan_comes_before_the_signatures(drafted: Path, capsys: Capture) -> None:
    """Who may only plan what is signed signs what was not planned."""
    assert sign(drafted, "student") == 0
    code, found = planned(drafted, capsys, "--no-time")
    assert code == 0
    assert found["accounting"]["epsilon"] == pytest.approx(4.0, rel=1e-6)
    assert found["signatures"] == {**dict.fromkeys(PARTIES, "missing"), "student": "signed"}
    assert found["seconds"] is None
    assert main(["plan", str(drafted / "agreement.toml"), "--no-time"]) == 0
    words = capsys.readouterr().out
    others = ", ".join(name for name in PARTIES if name != "student")
    assert f"Not signed by: {others}" in words
    assert "computes" not in words


def test_a_text_that_was_changed_after_it_was_signed_is_no_ones_plan(
    signed: Path, capsys: Capture
) -> None:
    """A privacy officer must not take these figures for what was signed."""
    assert main(["plan", str(signed / "agreement.toml"), "--no-time"]) == 0
    assert "Signed by everybody" in capsys.readouterr().out
    set_entry(signed, "title", '"Another"')
    code, found = planned(signed, capsys, "--no-time")
    assert code == 1
    assert set(found["signatures"].values()) == {"wrong"}
    assert main(["plan", str(signed / "agreement.toml"), "--no-time"]) == 1
    said = capsys.readouterr()
    assert f"error: signatures: wrong: {', '.join(PARTIES)}." in said.err
    assert "Ask teacher-site-0" in said.err
    assert "everybody" not in said.out


def test_bytes_and_seconds_by_party(drafted: Path, capsys: Capture) -> None:
    """Each institution asks what it will cost: its network, its machine."""
    path = drafted / "agreement.toml"
    code, found = planned(drafted, capsys)
    assert code == 0
    proved = plan(parse(path.read_text()))
    assert found["bytes"] == proved.to_json()["bytes"]
    assert set(found["bytes"]["by_party"]) == set(PARTIES)
    assert found["seconds"]["records"] == 400  # as drafted
    by_party = found["seconds"]["by_party"]
    assert set(by_party) == set(PARTIES)
    for parts in by_party.values():
        assert parts["total"] == pytest.approx(sum(parts["by_operation"].values()))
        assert 0 < parts["total"] < 60
    teacher = by_party["teacher-site-0"]["by_operation"]
    assert teacher.keys() >= {"noise", "records", "question", "upload", "messages"}
    # The student encrypts every value of the question: nobody computes as long.
    assert max(by_party, key=lambda name: float(by_party[name]["total"])) == "student"
    assert main(["plan", str(path)]) == 0
    words = capsys.readouterr().out
    assert "teacher-site-0 and 3 more" in words
    assert "estimated on this machine with 400 records" in words


def test_more_records_take_longer(drafted: Path, capsys: Capture) -> None:
    """The flag must reach the estimate, and only the part that depends on it."""
    _, found = planned(drafted, capsys, "--records", "1000000")
    teacher = found["seconds"]["by_party"]["teacher-site-0"]["by_operation"]
    assert found["seconds"]["records"] == 1000000
    assert teacher["records"] > teacher["upload"]


def test_without_the_encoder_a_plan_says_what_it_leaves_out(drafted: Path, capsys: Capture) -> None:
    """A figure that lacks its largest part misleads."""
    (drafted / "encoder.safetensors").rename(drafted / "elsewhere")
    code, found = planned(drafted, capsys)
    assert code == 0
    assert found["seconds"]["records"] is None
    assert "records" not in found["seconds"]["by_party"]["teacher-site-0"]["by_operation"]
    assert main(["plan", str(drafted / "agreement.toml")]) == 0
    assert "name --encoder" in capsys.readouterr().out
    _, found = planned(drafted, capsys, "--encoder", str(drafted / "elsewhere"))
    assert found["seconds"]["records"] == 400


@pytest.mark.parametrize("content", [b"another", None])
def test_another_encoder_is_refused(content: bytes | None, drafted: Path, capsys: Capture) -> None:
    """Its speed says nothing about this agreement, and it may be what a teacher would use."""
    other = drafted / "other.safetensors"
    if content is not None:
        other.write_bytes(content)
    command = ["plan", str(drafted / "agreement.toml"), "--encoder", str(other)]
    assert main(command) == 2
    assert "other.safetensors" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("clause", "value"), [("encoder.dimension", "64"), ("privacy.clip_norm", "1.5")]
)
def test_what_the_agreement_says_of_its_encoder_must_be_so(
    clause: str, value: str, drafted: Path, capsys: Capture
) -> None:
    """Teachers would be charged and then fail, or clip at another length than the student."""
    set_entry(drafted, "saliency.directions", "2")
    set_entry(drafted, clause, value)
    assert main(["plan", str(drafted / "agreement.toml"), "--no-time"]) == 1
    assert f"error: {clause}: is {value}" in capsys.readouterr().err


@pytest.mark.parametrize("custody", ["key-holder", "aggregator"])
def test_without_encryption_a_plan_says_so(custody: str, drafted: Path, capsys: Capture) -> None:
    """Nobody should take the open arm for the protected one."""
    set_entry(drafted, "custody", f'"{custody}"')
    for clause in ("protection.he", "protection.masks", "publish.feature_key"):
        set_entry(drafted, clause, "false")
    assert main(["plan", str(drafted / "agreement.toml")]) == 0
    assert "ENCRYPTION AND MASKS ARE OFF" in capsys.readouterr().out


def test_help_is_there_at_once() -> None:
    """A command line that thinks for seconds before it answers is not used."""
    import subprocess
    import sys

    heavy = ("torch", "numpy", "tenseal", "cryptography", "scipy", "opendp", "tomlkit")
    code = (
        "import sys; from secure_fedsa.cli.main import build_parser; build_parser(); "
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert found.strip() == "[]"
