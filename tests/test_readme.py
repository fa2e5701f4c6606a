"""What the README tells people to type, typed in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def blocks(text: str) -> list[str]:
    """Return the indented blocks of a Markdown text."""
    found = re.findall(r"(?m)(?:^    .+\n)+", text)
    return [textwrap.dedent(block) for block in found]


@pytest.mark.slow
def test_the_way_of_an_agreement_works_as_it_stands(tmp_path: Path) -> None:
    """Institutions copy it line by line; one line that fails, and they stop reading."""
    (data,) = re.findall(r"(?s)```python\n(.*?)```", (ROOT / "docs" / "data.md").read_text())
    subprocess.run([sys.executable, "-c", data], cwd=tmp_path, check=True)
    section = (ROOT / "README.md").read_text().split("\n## An agreement between institutions\n")[1]
    (script,) = [block for block in blocks(section.split("\n## ")[0]) if "my-data" in block]
    commands = ("keys new", "agree new", "plan", "agree sign", "agree check", "run", "verify")
    for command in commands:
        assert f"secure-fedsa {command} " in script
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["/bin/sh", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "consistent, identities checked against keys.toml" in done.stdout
    summary = json.loads((tmp_path / "runs" / "first" / "summary.json").read_text())
    assert sum(teacher["selected"] for teacher in summary["teachers"]) >= 3
    assert (tmp_path / "keys.toml").read_text().startswith("[keys]\n")
