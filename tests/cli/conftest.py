"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.agreements import PARTIES, copy_world, make_world, sign


@pytest.fixture(scope="session")
def _drafted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drafted")
    make_world(folder)
    return folder


@pytest.fixture(scope="session")
def _signed_once(_drafted_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_world(_drafted_once, tmp_path_factory.mktemp("signed"))
    for party in PARTIES:
        assert sign(folder, party) == 0
    return folder


@pytest.fixture
def drafted(_drafted_once: Path, tmp_path: Path) -> Path:
    """Seven parties with keys, and an agreement that nobody has signed."""
    return copy_world(_drafted_once, tmp_path)


@pytest.fixture
def signed(_signed_once: Path, tmp_path: Path) -> Path:
    """The same, signed by all."""
    return copy_world(_signed_once, tmp_path)
