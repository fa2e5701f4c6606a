"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four institutions on disk."""
    from tests.support import make_world  # takes seconds, and most test files do without

    return make_world(tmp_path)


@pytest.fixture(autouse=True)
def _own_register(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give every test a register of data sets of its own: they all use the same toy records."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("user-state")))
