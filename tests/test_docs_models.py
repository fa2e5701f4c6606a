"""What docs/models.md tells people to type, typed in a fresh folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_readme import ROOT, blocks


@pytest.mark.slow
def test_four_kinds_of_models_teach_one_student_as_the_page_says(tmp_path: Path) -> None:
    """Engineers embed from this page; a line that fails, and their models never come in."""
    text = (ROOT / "docs" / "models.md").read_text()
    (program,) = re.findall(r"(?s)```python\n(.*?)```", text)
    (script,) = [block for block in blocks(text) if "agree sign" in block]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in (["/bin/sh", "-e", "-c", script], [sys.executable, "-c", program]):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        if command[0] == "/bin/sh":
            assert "NO DIFFERENTIAL PRIVACY" in done.stdout
    assert json.loads(done.stdout)["accuracy"] > 0.85
