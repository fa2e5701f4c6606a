"""``secure-fedsa audit DIR --report``: the page and document that a privacy officer gets."""

from __future__ import annotations

import copy
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from secure_fedsa.audit.answers.model import bound
from secure_fedsa.audit.canaries.audit import claimed_epsilon
from secure_fedsa.cli.demo_files import trust_file
from secure_fedsa.cli.main import main
from secure_fedsa.report.audit_page import audit_page
from tests.audit.folders import VARIANTS, WORLDS, honest, swap_after_the_check

UNCHECKED = "consistent, identities not checked"
Capture = pytest.CaptureFixture[str]

# What `secure-fedsa audit CONFIG --canaries M --json` prints, the parts that are read.
RESULT: dict[str, Any] = {
    "verdict": "pass",
    "alarms": [],
    "runs": 1,
    "canaries": 16000,
    "delta": 1e-5,
    "confidence": 0.95,
    "teachers": [
        {
            "teacher": "teacher-1",
            "claim": 4.0,
            "bounds": {"parametric": {"epsilon": 3.5, "mu": 0.8}, "generic": {"epsilon": None}},
        },
        {"teacher": "teacher-2", "claim": 4.0, "bounds": {"gdp": {"epsilon": 3.25}}},
    ],
}


def command(*arguments: str) -> int:
    """Run the command as the shell does."""
    return main(["audit", *arguments, "--report"])


class _Reader(HTMLParser):
    """Collects a page's tags, anchors and links, and counts what is open."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if found.get("href"):
            self.links.append(str(found["href"]))
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> _Reader:
    """Return what a page consists of; its elements must close in order."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*VARIANTS, *WORLDS])
def test_the_page_says_every_answer_with_its_status(
    variant: str, tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, an officer overlooks what is not shown, or follows a link to nothing."""
    folder = honest(variant).write(tmp_path / "a run: #1")
    assert command(str(folder)) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Verdict: {UNCHECKED}\n")
    page = (tmp_path / "a run: #1-audit.html").read_text()
    made = json.loads((tmp_path / "a run: #1-audit.json").read_text())
    reader = read(page)
    assert len(reader.ids) == len(set(reader.ids))
    assert not {"script", "img", "link", "iframe", "form"} & reader.tags
    contents = page.split('id="contents"')[1].split("</section>")[0]
    sections = dict(re.findall(r'(?s)<h2 id="([^"]+)">(.*?)</section>', page))
    for answer in made["answers"]:
        assert f'href="#{answer["id"]}"' in contents
        assert html.escape(answer["text"]) in contents
        mark = f"{answer['status']}</span>"
        assert mark in sections[answer["id"]]
        for point in answer["points"]:
            assert html.escape(point["text"].split("`")[0]) in sections[answer["id"]]
        assert f"{answer['status']:<14}  {answer['id']}: {answer['text']}" in told
    at_once = re.findall(r'<tr><th scope="row"><a href="#([^"]+)">.*?</a></th>(.*?)</tr>', contents)
    assert [name for name, _ in at_once] == [answer["id"] for answer in made["answers"]]
    for (_, row), answer in zip(at_once, made["answers"], strict=True):
        assert f"{answer['status']}</span>" in row
    for link in reader.links:
        if link.startswith("#"):
            assert link[1:] in reader.ids
        elif not link.startswith("https://"):
            assert (tmp_path / unquote(link)).is_file(), link
    if variant == "models":
        alarm = page.index('role="alert"')
        assert "NO DIFFERENTIAL PRIVACY" in page[alarm : page.index('id="contents"')]


@pytest.mark.slow
def test_names_the_trust_file_and_refuses_keys_that_are_not_in_it(
    tmp_path: Path, capsys: Capture
) -> None:
    """Whose keys these are is the one thing that the folder cannot say."""
    made = honest()
    folder, trust = made.write(tmp_path / "run"), tmp_path / "keys.toml"
    trust.write_bytes(trust_file(made.agreement))
    out = tmp_path / "pages" / "answers.html"
    arguments = (str(folder), "--trust", str(trust), "--out", str(out))
    assert main(["audit", *arguments, "--report", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.with_suffix(".json").read_text())
    assert printed["verdict"] == f"consistent, identities checked against {trust}"
    assert printed["identities_checked"] is True
    # The folder is not beside the page: what would lead nowhere is no link.
    assert not [link for link in read(out.read_text()).links if link.startswith("./")]
    trust.write_bytes(trust_file(honest("plain").agreement))
    out.unlink()
    assert command(*arguments) == 1
    assert "agreement.toml: parties." in capsys.readouterr().err
    assert not out.exists()
    trust.write_text("keys = 1")
    assert command(*arguments) == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["summary.json", "report.html", "ledger-teacher-1.jsonl", "more"])
def test_answers_nothing_about_a_folder_that_does_not_verify(
    name: str, tmp_path: Path, capsys: Capture
) -> None:
    """A page of answers about a folder that was tampered with would be our own forgery."""
    folder = honest().write(tmp_path / "run")
    with (folder / name).open("ab") as stream:
        stream.write(b" ")
    assert main(["audit", str(folder), "--report", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"] == "failed"
    assert f"error: {name}: " in told.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


@pytest.mark.slow
def test_never_writes_into_the_folder_or_over_other_peoples_files(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file more, and the folder does not verify; a slip could cost an identity key."""
    folder = honest().write(tmp_path / "run")
    before = sorted(path.name for path in folder.rglob("*"))
    for out in (folder / "a.html", folder / "student" / "x.html", folder, tmp_path):
        assert command(str(folder), "--out", str(out)) == 2
    page, data = tmp_path / "mine.html", tmp_path / "mine.json"
    for mine in (page, data):
        mine.write_bytes(b'{"form": "a letter"}')
        assert command(str(folder), "--out", str(page)) == 2
        assert "was not made by this command" in capsys.readouterr().err
        assert mine.read_bytes() == b'{"form": "a letter"}'
        mine.unlink()
    assert command(str(folder), "--out", str(data)) == 2
    assert command(str(folder), "--out", str(page)) == command(str(folder), "--out", str(page)) == 0
    monkeypatch.chdir(folder)
    assert command(".") == 0
    assert (tmp_path / "run-audit.html").exists()
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert command(str(tmp_path / "absent")) == 2
    assert main(["audit", str(folder)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_file_swapped_after_the_check_is_not_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The verdict would stand above numbers that nobody checked."""
    folder = honest().write(tmp_path / "run")
    swap_after_the_check(monkeypatch, folder)
    assert command(str(folder)) == 1
    assert "error: summary.json: changed while it was read" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


# --- the result of an empirical audit ----------------------------------------------------


def audited(tmp_path: Path, capsys: Capture, **entries: Any) -> tuple[int, dict[str, Any], str]:
    """Return exit code, document and errors of a report with a result of an empirical audit."""
    made = honest()
    folder, file = tmp_path / "run", tmp_path / "measured.json"
    if not folder.exists():
        made.write(folder)
    agreed = json.loads(made.files["release-log.jsonl"])["body"]["agreement"]
    content = copy.deepcopy({"agreement": agreed, **RESULT, **entries})
    claim = claimed_epsilon(made.agreement, "teacher-1", runs=1)
    for found in content["teachers"]:
        if isinstance(found, dict) and found["claim"] == 4.0:
            found["claim"] = claim
    file.write_text(json.dumps(content))
    capsys.readouterr()
    code = main(["audit", str(folder), "--report", "--json", "--audit-result", str(file)])
    said = capsys.readouterr()
    return code, json.loads(said.out), said.err


def measured(document: dict[str, Any]) -> dict[str, Any]:
    """Return the answer about measurements."""
    (found,) = [answer for answer in document["answers"] if answer["id"] == "measured"]
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
def test_a_measurement_is_shown_as_an_unsigned_file(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, a file from anybody passes for something that the run shows."""
    code, document, _ = audited(tmp_path, capsys)
    assert code == 0
    answer = measured(document)
    point = answer["points"][0]
    assert point["status"] == "attested"
    assert point["by"] == ["whoever made measured.json"]
    assert "nobody signed it" in point["text"]
    # The largest of many bounds would not hold with the confidence of each.
    assert "from 3.25 to 3.5, each by itself with 95% confidence" in answer["text"]
    claim = honest().summary["epsilon"]
    assert f"where {bound('', claim).text} is claimed" in answer["text"]
    assert "by chance" not in answer["text"]
    shown = {found["name"]: found["value"] for found in point["figures"]}
    assert shown["teacher-1: epsilon claimed"] == pytest.approx(claim)
    assert shown["teacher-1, parametric: epsilon at least"] == 3.5
    assert shown["teacher-1, generic: epsilon at least"] is None
    assert shown["teacher-2, gdp: epsilon at least"] == 3.25
    assert document["audit_result"]["content"]["canaries"] == 16000
    assert document["warnings"] == []


@pytest.mark.slow
def test_a_single_bound_above_the_claim_is_no_alarm_and_is_said(
    tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a reader takes chance for a proof, or does not see the figure at all."""
    one = {"teacher": "teacher-1", "claim": 4.0, "bounds": {"gdp": {"epsilon": 4.25}}}
    code, document, _ = audited(tmp_path, capsys, teachers=[one])
    assert code == 0
    assert document["warnings"] == []
    text = measured(document)["text"]
    assert "no alarm; lower bounds on epsilon 4.25, each" in text
    assert "A single one above its claim, as here, comes about by chance too." in text


@pytest.mark.slow
def test_a_measurement_above_the_claim_is_an_alarm(tmp_path: Path, capsys: Capture) -> None:
    """If this fails, noise that is too small is reported in small print."""
    alarm = "teacher-1: parametric: epsilon is at least 9, above the claim"
    code, document, _ = audited(tmp_path, capsys, verdict="fail", alarms=[alarm])
    assert code == 0
    warning = f"THE MEASURED LOSS DOES NOT FIT THE CLAIM: {alarm}."
    assert document["warnings"] == [warning]
    assert measured(document)["text"].startswith("By measured.json: THE MEASURED LOSS")
    page = (tmp_path / "run-audit.html").read_text()
    assert page.index('role="alert"') < page.index('id="contents"')


@pytest.mark.slow
@pytest.mark.parametrize(
    "entries",
    [
        {"agreement": "0" * 64},
        {"verdict": "fine"},
        {"verdict": "fail"},
        {"alarms": ["one"]},
        {"canaries": True},
        {"delta": None},
        {"confidence": -1},
        {"teachers": []},
        {"teachers": [{"teacher": "a", "claim": 1.0, "bounds": {"gdp": {"epsilon": "3"}}}]},
        {"teachers": {"teacher-1": 3}},
        {"teachers": [{"teacher": "student", "claim": 4.0, "bounds": {"gdp": {"epsilon": 3}}}]},
        {"teachers": [{"teacher": "teacher-1", "claim": 4.1, "bounds": {"gdp": {"epsilon": 3}}}]},
        {"delta": 1e-6},
        {"runs": 10**9},
        {"canaries": 0},
    ],
)
def test_another_files_result_is_refused(
    entries: dict[str, Any], tmp_path: Path, capsys: Capture
) -> None:
    """If this fails, a measurement of other code speaks for this run."""
    code, document, told = audited(tmp_path, capsys, **entries)
    assert code == 2
    assert document.keys() == {"error"}
    assert "measured.json" in document["error"]["what"]
    assert "Traceback" not in told
    assert not (tmp_path / "run-audit.html").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"verdict": NaN}', "[" * 5000, '"' + "\\" * 300000])
def test_what_is_no_result_is_refused(content: str, tmp_path: Path, capsys: Capture) -> None:
    """Somebody else's file must not stop the command with a traceback."""
    file = tmp_path / "measured.json"
    (tmp_path / "run").mkdir()
    file.write_text(content)
    assert command(str(tmp_path / "run"), "--audit-result", str(file)) == 2
    assert command(str(tmp_path / "run"), "--audit-result", str(tmp_path / "absent")) == 2
    assert command(str(tmp_path / "run"), "--audit-result", str(tmp_path)) == 2
    assert "Traceback" not in capsys.readouterr().err


# --- the page itself ---------------------------------------------------------------------


@pytest.mark.slow
def test_hostile_texts_stay_texts(tmp_path: Path, capsys: Capture) -> None:
    """Titles and class names are chosen by others; a page that runs them is theirs."""
    assert main(["audit", str(honest().write(tmp_path / "run")), "--report", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    attack = '<script>alert(1)</script>"><img src=x onerror=y>'
    document["title"] = document["verdict"] = attack
    document["answers"][0]["text"] = attack
    document["answers"][0]["points"][0]["figures"][0] |= {"name": attack, "text": attack}
    document["answers"][0]["points"][0]["evidence"][0]["file"] = attack
    document["registry"]["entry"]["deployment"]["basic"]["name"] = attack
    page = audit_page(document, folder='javascript:"')
    reader = read(page)
    assert not {"script", "img"} & reader.tags
    assert all(link.startswith(("#", "./javascript%3A%22/", "https://")) for link in reader.links)
    assert page.count("&lt;script&gt;") >= 5
