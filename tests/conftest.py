"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four institutions on disk."""
    return make_world(tmp_path)


@pytest.fixture(autouse=True)
def _own_register(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give every test a register of data sets of its own: they all use the same toy records."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("user-state")))
