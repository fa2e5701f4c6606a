"""The ledger under crashes, full disks and several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from secure_fedsa.privacy.accountant import rho_of
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
from secure_fedsa.privacy.mechanisms import calibrate

DELTA = 1e-5
SCALE = 1024.0 * calibrate(1.0, DELTA)
ONE = [DiscreteGaussianRelease(1024.0, SCALE, 257)]

PRELUDE = f"""
import os, resource, sys, time
from pathlib import Path
from secure_fedsa.errors import BudgetError, StorageError
from secure_fedsa.privacy.events import DiscreteGaussianRelease
from secure_fedsa.privacy.ledger import Ledger
from secure_fedsa.privacy.ledger_books import Terms
ONE = [DiscreteGaussianRelease(1024.0, {SCALE!r}, 257)]
folder, name = Path(sys.argv[1]), sys.argv[2]
ledger = Ledger.open(folder)
def reserve():
    return ledger.reserve(name, "agreement", ONE, Terms(1.0, {DELTA!r}), 9.0)
"""
CRASH_AFTER_RESERVE = "reserve(); os._exit(9)"
CRASH_BEFORE_COMMIT = """
import secure_fedsa.privacy.ledger as module
def stop(*_):
    os._exit(9)
module.charge_of = stop
reserve()
"""
RACE = """
(folder / name).touch()
while not (folder / "go").exists():
    time.sleep(0.001)
try:
    reserve()
except BudgetError:
    sys.exit(3)
"""
FULL_DISK = """
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
try:
    reserve()
except StorageError as error:
    print(error)
    sys.exit(4)
"""
READ_ONLY = """
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    reserve()
except StorageError as error:
    print(error)
    sys.exit(4)
"""


def start(script: str, folder: Path, name: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    arguments = [sys.executable, "-c", PRELUDE + script, str(folder), name]
    return subprocess.Popen(
        arguments,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_crash_after_the_charge_leaves_it_spent(tmp_path: Path) -> None:
    """If this fails, killing the process at the right moment gives noise for nothing."""
    Ledger.create(tmp_path, delta=DELTA)
    assert finish(start(CRASH_AFTER_RESERVE, tmp_path, "run")) == (9, "")
    ledger = Ledger.open(tmp_path)
    assert ledger.spent().rho == rho_of(ONE)
    charge = ledger.reserve("run", "agreement", ONE, Terms(1.0, DELTA), 9.0)
    assert not charge.committed
    assert ledger.head().position == 1


def test_a_crash_before_the_charge_is_on_disk_charges_nothing(tmp_path: Path) -> None:
    """If this fails, half a charge blocks the data set."""
    Ledger.create(tmp_path, delta=DELTA)
    assert finish(start(CRASH_BEFORE_COMMIT, tmp_path, "run")) == (9, "")
    assert Ledger.open(tmp_path).head().position == 0


def test_processes_at_once_cannot_both_pass_the_budget(tmp_path: Path) -> None:
    """If this fails, two runs at the same moment spend twice the budget."""
    Ledger.create(tmp_path, delta=DELTA)
    names = [f"run-{index}" for index in range(4)]
    processes = [start(RACE, tmp_path, name) for name in names]
    while not all((tmp_path / name).exists() for name in names):
        assert all(process.poll() is None for process in processes)
    (tmp_path / "go").touch()
    codes = [finish(process)[0] for process in processes]
    assert sorted(codes) == [0, 3, 3, 3]
    assert Ledger.open(tmp_path).spent().epsilon <= 1.0


def test_a_full_disk_charges_nothing_and_says_so(tmp_path: Path) -> None:
    """If this fails, noise is drawn against a charge that was never written."""
    Ledger.create(tmp_path, delta=DELTA)
    code, output = finish(start(FULL_DISK, tmp_path, "run"))
    assert code == 4, output
    assert "Nothing was charged" in output
    assert Ledger.open(tmp_path).head().position == 0


def test_a_read_only_folder_charges_nothing_and_says_so(tmp_path: Path) -> None:
    """If this fails, a mounted backup is charged in memory only."""
    ledger = Ledger.create(tmp_path, delta=DELTA)
    for path in tmp_path.parents[:2]:  # root becomes nobody below, who must get this far
        path.chmod(0o711)
    ledger.path.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        code, output = finish(start(READ_ONLY, tmp_path, "run"))
    finally:
        for path in (tmp_path, *tmp_path.parents[:2]):
            path.chmod(0o700)
    assert code == 4, output
    assert "writable" in output


@pytest.mark.slow
def test_a_long_ledger_stays_quick(tmp_path: Path) -> None:
    """If this fails, an institution with years of runs cannot use its ledger."""
    small = [DiscreteGaussianRelease(1.0, 1e4, 257)]
    ledger = Ledger.create(tmp_path, delta=DELTA)
    for index in range(60):
        ledger.reserve(f"run-{index}", "agreement", small, Terms(1.0, DELTA), 9.0)
    assert ledger.spent().rho == pytest.approx(60 * rho_of(small))
