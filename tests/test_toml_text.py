"""TOML from strangers."""

from __future__ import annotations

from pathlib import Path

import pytest

from secure_fedsa.cli.main import main
from secure_fedsa.toml_text import MOST_DOTS, read_toml

DEEP = "a" + ".a" * 200_000
HIDDEN = f'x = ["""\n#""", {{{DEEP} = 1}}]\n'


@pytest.mark.parametrize("text", [f"{DEEP} = 1", f"[{DEEP}]", HIDDEN, "# text\n" + HIDDEN])
def test_a_key_of_many_parts_is_not_read(text: str) -> None:
    """One small file would keep whoever checks it busy for hours."""
    with pytest.raises(ValueError, match="dots; it was not read"):
        read_toml(text)


def test_comments_may_have_dots() -> None:
    """A ruler of dots in a comment harms nobody."""
    assert read_toml("# " + "." * 10 * MOST_DOTS + "\nx = 1") == {"x": 1}


@pytest.mark.parametrize(
    "command", [["agree", "check", "FILE"], ["plan", "FILE"], ["verify", ".", "--trust", "FILE"]]
)
def test_every_command_reads_so(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bound that one reader of five keeps protects nobody."""
    path = tmp_path / "text.toml"
    path.write_text(HIDDEN)
    assert main([part.replace("FILE", str(path)) for part in command]) == 2
    assert "dots" in capsys.readouterr().err
