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
