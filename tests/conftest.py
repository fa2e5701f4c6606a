"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import World, make_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Four institutions on disk."""
    return make_world(tmp_path)
