"""Files that the demo leaves beside the run folder: simulation.json and the trust file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tomli_w

from secure_fedsa.agreement import Agreement
from secure_fedsa.wire import canonical

_TRUST_NOTE = """\
# Keys of the parties, for: secure-fedsa verify FOLDER --trust THIS-FILE
#
# The command then also checks that a run folder's agreement names these very keys. A run
# folder alone cannot show whose keys it names: anybody can make up parties and sign as them.
# Such a file is worth as much as the way by which it came: have each party confirm its key
# itself, and never take the file from whoever hands you the run folder.
"""


def trust_file(agreement: Agreement) -> bytes:
    """Return the trust file of an agreement's parties (``keys.toml``)."""
    keys = {name: party.key for name, party in sorted(agreement.parties.items())}
    return f"{_TRUST_NOTE}\n{tomli_w.dumps({'keys': keys})}".encode()


def write_simulation(path: Path, values: dict[str, Any]) -> Path:
    """Write simulation.json; an earlier one keeps its content under another name."""
    if path.exists():
        earlier = path.read_bytes()
        mark = canonical.sha256(earlier)[:8]
        path.with_name(f"simulation.{mark}.json").write_bytes(earlier)
    path.write_bytes(canonical.encode(values))
    return path
