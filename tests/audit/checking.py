"""How these tests say what they expect of a refusal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from secure_fedsa.errors import VerificationError
from tests.audit.forging import Forgery, verify


def refused(files: Mapping[str, bytes], file: str, reason: str) -> None:
    """Verify files and expect the named file and a reason that matches."""
    with pytest.raises(VerificationError) as caught:
        verify(files)
    assert caught.value.file == file, str(caught.value)
    assert re.search(reason, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(f"{file}: ")


@dataclass(frozen=True)
class Lie:
    """One semantic lie and how it must be found.

    Attributes:
        tell: Changes an honest run.
        file: Where it shows.
        reason: A pattern of the reason.
        redo: The first step that is derived anew after the lie: all that rests on it.
        variant: The run that is bent.
    """

    tell: Callable[[Forgery], None]
    file: str
    reason: str
    redo: str = "receipt"
    variant: str = "default"


def check_lie(lie: Lie) -> None:
    """Tell a lie, make the rest fit, and expect it to be found."""
    forgery = Forgery(lie.variant)
    lie.tell(forgery)
    refused(forgery.build(lie.redo), lie.file, lie.reason)
