"""The report drawn after a check: it must say what was checked, and of which bytes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from secure_fedsa.cli.demo_files import trust_file
from secure_fedsa.cli.main import main
from secure_fedsa.errors import VerificationError
from secure_fedsa.report import claims
from secure_fedsa.report.html import report_html
from secure_fedsa.report.summary import facts_of
from secure_fedsa.wire import canonical
from tests.audit.folders import VARIANTS, Folder, honest, swap_after_the_check

UNCHECKED = "consistent, identities not checked"


def command(*arguments: str) -> int:
    """Run the command as the shell does."""
    return main(["report", *arguments])


def redrawn(made: Folder, summary: dict[str, Any]) -> str:
    """Return the page of a summary, as the command draws it."""
    facts = facts_of(
        summary,
        agreement=made.agreement,
        plan=made.facts.plan,
        roster=made.facts.roster,
        charged=made.agreement.teachers,
    )
    return report_html(facts, summary, verdict=UNCHECKED)


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_draws_the_whole_page_again_with_the_verdict_on_top(variant: str, tmp_path: Path) -> None:
    """The page that a forger wrote into the folder must not be the one that an auditor shows."""
    made = honest(variant)
    folder = made.write(tmp_path / "run")
    assert command(str(folder)) == 0
    text = (tmp_path / "run-report.html").read_text()
    assert f"<strong><bdi>{UNCHECKED}</bdi></strong>" in text
    own = (folder / "report.html").read_text()
    assert "Nothing on this page was checked by reading it." in own
    assert "Nothing on this page was checked by reading it." not in text
    # All but the verdict and the last line is what the run wrote.
    assert (
        own.split("</header>")[1].split("<footer>")[0]
        == (text.split("</header>")[1].split("<footer>")[0])
    )


@pytest.mark.slow
def test_names_the_trust_file_and_refuses_keys_that_are_not_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose keys these are is the one thing that the folder cannot say."""
    made = honest()
    folder, trust = made.write(tmp_path / "run"), tmp_path / "keys.toml"
    trust.write_bytes(trust_file(made.agreement))
    out = tmp_path / "pages" / "audited.html"
    assert command(str(folder), "--trust", str(trust), "--out", str(out)) == 0
    verdict = f"consistent, identities checked against {trust}"
    assert f"<bdi>{verdict}</bdi>" in out.read_text()
    assert f"Verdict: {verdict}" in capsys.readouterr().out
    trust.write_bytes(trust_file(honest("plain").agreement))
    assert command(str(folder), "--trust", str(trust), "--out", str(tmp_path / "not")) == 1
    assert "agreement.toml: parties." in capsys.readouterr().err
    assert not (tmp_path / "not").exists()
    trust.write_text("keys = 1")
    assert command(str(folder), "--trust", str(trust)) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"),
    [("summary.json", "summary.json"), ("report.html", "report.html"), ("more.txt", "more.txt")],
)
def test_draws_nothing_of_a_folder_that_does_not_verify(
    name: str, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page with a verdict about another folder would be a forgery of our own making."""
    folder = honest().write(tmp_path / "run")
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    assert command(str(folder)) == 1
    assert f"error: {file}: " in capsys.readouterr().err
    assert not (tmp_path / "run-report.html").exists()


@pytest.mark.slow
def test_never_writes_into_the_run_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file more in the folder, and it does not verify any longer."""
    folder = honest().write(tmp_path / "run")
    before = sorted(path.name for path in folder.rglob("*"))
    for out in (folder / "report.html", folder / "student" / "x", folder, tmp_path):
        assert command(str(folder), "--out", str(out)) == 2
    monkeypatch.chdir(folder)
    assert command(".", "--out", "page.html") == 2
    assert command(".") == 0
    assert (tmp_path / "run-report.html").exists()
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert command(str(tmp_path / "absent")) == 2
    assert command(str(folder / "summary.json")) == 2
    blocked = folder.parent / "run-report.html" / "page.html"
    assert command(str(folder), "--out", str(blocked)) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_swapped_after_the_check_is_not_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The verdict would stand above numbers that nobody checked."""
    folder = honest().write(tmp_path / "run")
    swap_after_the_check(monkeypatch, folder)
    assert command(str(folder)) == 1
    assert "error: summary.json: changed while it was read" in capsys.readouterr().err
    assert not (tmp_path / "run-report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", {"student": "very good"}),
        ("accuracy", {"student": -1}),
        ("accuracy", None),
        ("wall_seconds", {}),
        ("wall_seconds", {"total": True}),
        ("wall_seconds", {"total": 1, "query": None}),
        ("seed", "0"),
        ("seed", True),
        ("engine", 1),
        ("versions", {"python": 3}),
        ("versions", ["python"]),
        ("class_names", {"a": "b"}),
        ("class_names", [1]),
        ("payload_bytes", 1.5),
        ("bytes_by_kind", {"nonce": "many"}),
        ("resumed", 0),
        ("teachers", [{"id": "teacher-1", "kind": 5}]),
    ],
)
def test_what_is_only_somebodys_word_may_still_be_nonsense(name: str, value: Any) -> None:
    """Signers may agree on anything in a summary; an auditor's command must not fall over it."""
    made = honest()
    summary = canonical.decode(made.files["summary.json"])
    assert redrawn(made, summary)
    entry = "kind" if name == "teachers" else name
    with pytest.raises(VerificationError, match=rf"summary.json: {entry}: has another type"):
        redrawn(made, {**summary, name: value})


@pytest.mark.slow
def test_no_run_is_ever_called_more_than_consistent(tmp_path: Path) -> None:
    """The word 'verified' on a page is quoted by people who read nothing else."""
    folder = honest().write(tmp_path / "run")
    assert command(str(folder)) == 0
    text = (tmp_path / "run-report.html").read_text()
    assert not re.search("verified|proven|authentic|genuine", text, re.IGNORECASE)
    assert claims.WORDS["noise-was-drawn"] in text


@pytest.mark.slow
def test_only_a_page_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A slip of the keyboard could else cost an identity key."""
    folder, key = honest().write(tmp_path / "run"), tmp_path / "identity.key"
    key.write_bytes(bytes(32))
    assert command(str(folder), "--out", str(key)) == 2
    assert "was not made by this command" in capsys.readouterr().err
    assert key.read_bytes() == bytes(32)
    page = tmp_path / "page.html"
    assert command(str(folder), "--out", str(page)) == command(str(folder), "--out", str(page)) == 0
