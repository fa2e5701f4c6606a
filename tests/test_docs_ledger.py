"""docs/ledger.md: the session that it shows is what the commands print."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from dp_accounting.dp_event import GaussianDpEvent

from secure_fedsa.cli.main import main
from secure_fedsa.privacy.dp_events import from_dp_accounting

PAGE = Path(__file__).parents[1] / "docs" / "ledger.md"


def sessions() -> list[tuple[str, str]]:
    """Return each command of the page's session with the output that it shows."""
    (block,) = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(part.split("\n", 1)[0], part.split("\n", 1)[1]) for part in parts]


def plain(text: str) -> str:
    """Return a text without the random ids of data sets, and the day on which it was made."""
    return re.sub(r"\b20\d\d-\d\d-\d\d\b", "<day>", re.sub(r"\b[0-9a-f]{12}\b", "<id>", text))


def test_the_session_is_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A privacy officer who follows the page would see other words and other numbers."""
    monkeypatch.chdir(tmp_path)
    Path("survey.json").write_text(json.dumps(from_dp_accounting(GaussianDpEvent(4.0))))
    for command, shown in sessions():
        program, *arguments = shlex.split(command)
        assert program == "secure-fedsa"
        capsys.readouterr()
        code = main(arguments)
        printed = capsys.readouterr().out
        assert plain(printed) == plain(shown), command
        assert code == (1 if "NOT FIT" in shown else 0)
