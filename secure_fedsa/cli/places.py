"""What to say of a path that is not there: where it ends, and what has nearly its name."""

from __future__ import annotations

import difflib
from itertools import islice
from pathlib import Path

_MOST_LISTED = 2_000


def why_not_there(path: Path) -> str:
    """Return where a path that does not exist ends, and at most three names like it there.

    >>> from tempfile import mkdtemp
    >>> folder = Path(mkdtemp()); (folder / "student").mkdir()
    >>> why_not_there(folder / "studnet"), why_not_there(folder), why_not_there(folder / "else")
    ('Names like it there: student.', '', '')
    """
    if path.exists():
        return ""
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    try:
        beside = [entry.name for entry in islice(missing.parent.iterdir(), _MOST_LISTED)]
    except OSError:  # a file, or nothing that this user may list
        beside = []
    near = difflib.get_close_matches(missing.name, sorted(beside), n=3)
    said = [] if missing == path else [f"There is no {missing}."]
    said += [f"Names like it there: {', '.join(near)}."] if near else []
    return " ".join(said)
