"""Institutions that draft and sign an agreement with the real commands, each in its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from secure_fedsa.cli.main import main
from tests.support import CLASSES, table

TEACHERS = tuple(f"teacher-site-{number}" for number in range(4))
PARTIES = (*TEACHERS, "aggregator", "key-holder", "student")


def write_data(folder: Path) -> None:
    """Write a data folder: a student and four teachers."""
    folder.mkdir()
    probes, _ = table(100, 300)
    records, labels = table(101, 30)
    test_records, test_labels = table(102, 200)
    np.savez(
        folder / "student.npz",
        probes=probes,
        x=records,
        y=labels,
        x_test=test_records,
        y_test=test_labels,
        classes=np.array(CLASSES),
    )
    for number, name in enumerate(TEACHERS):
        mine, own_labels = table(number, 400)
        np.savez(folder / f"{name}.npz", x=mine, y=own_labels, classes=np.array(CLASSES))


def new(folder: Path, *more: str, out: str = "agreement.toml") -> int:
    """Draft an agreement from the data folder and the state folders of ``folder``."""
    return main(
        [
            "agree",
            "new",
            *("--data", str(folder / "data"), "--states", str(folder / "states")),
            *("--out", str(folder / out), "--epsilon", "4", "--records", "400", *more),
        ]
    )


def sign(folder: Path, party: str, *more: str) -> int:
    """Sign the folder's agreement with a party's key."""
    state = folder / "states" / party
    return main(["agree", "sign", str(folder / "agreement.toml"), "--state", str(state), *more])


def check(folder: Path, *more: str) -> int:
    """Check the folder's agreement."""
    return main(["agree", "check", str(folder / "agreement.toml"), *more])


def make_world(folder: Path) -> None:
    """Make data, keys and an unsigned agreement."""
    write_data(folder / "data")
    for name in PARTIES:
        assert main(["keys", "new", str(folder / "states" / name)]) == 0
    assert new(folder) == 0


def copy_world(source: Path, target: Path) -> Path:
    """Return a copy of a world that a test may change."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    return target


def edit(folder: Path, old: str, new_text: str) -> None:
    """Change the agreement's text as an editor would; ``old`` must stand there once."""
    path = folder / "agreement.toml"
    text = path.read_text()
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new_text))


def set_entry(folder: Path, clause: str, value: str) -> None:
    """Set one entry of the agreement's text, ``table.name`` or ``name``, to TOML ``value``."""
    path = folder / "agreement.toml"
    *tables, name = clause.split(".")
    lines = path.read_text().splitlines()
    start = lines.index(f"[{'.'.join(tables)}]") if tables else 0
    at = next(n for n in range(start, len(lines)) if lines[n].startswith(f"{name} = "))
    lines[at] = f"{name} = {value}"
    path.write_text("\n".join(lines) + "\n")


def write_trust(folder: Path, capsys: pytest.CaptureFixture[str], *, without: str = "") -> Path:
    """Write keys.toml of what ``keys show`` prints."""
    capsys.readouterr()
    for name in PARTIES:
        if name != without:
            assert main(["keys", "show", str(folder / "states" / name)]) == 0
    path = folder / "keys.toml"
    path.write_text("[keys]\n" + capsys.readouterr().out)
    return path
