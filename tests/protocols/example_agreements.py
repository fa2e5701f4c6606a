"""Keys, hashes and signatures of the example agreements; run it after a change of one.

    python tests/protocols/example_agreements.py

The private keys are derived from texts that stand in protocols/v1/examples/README.md, so that
nobody can take them for anybody's. Comments and layout of the files stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

# As a script this file's folder is on the path, and the package's need not be.
if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from secure_fedsa.agreement import parse
from secure_fedsa.wire.agreement_signatures import sign
from secure_fedsa.wire.keys import IdentityKey

FOLDER = Path(__file__).resolve().parents[2] / "protocols" / "v1" / "examples"
NAMES = ("banks.toml", "clinics.toml", "hospitals.toml", "suppliers.toml")
KEY_TEXT = "secure-fedsa example key, known to everybody: {file} {party}"
ENCODER_TEXT = "secure-fedsa example: no such file"
PROBES_TEXT = "secure-fedsa example: no such probes"

_PARTY = re.compile(r"^\[parties\.([a-z0-9-]+)\]$")


def key(file: str, party: str) -> IdentityKey:
    """Return a party's published test key."""
    text = KEY_TEXT.format(file=file, party=party)
    return IdentityKey.from_bytes(hashlib.sha256(text.encode()).digest())


def filled(file: str, text: str) -> str:
    """Return an example with its keys, hashes and signatures."""
    body = text.partition("\n[signatures]")[0].rstrip() + "\n"
    lines, party = [], ""
    for line in body.splitlines():
        found = _PARTY.match(line)
        party = found[1] if found else party
        value = {
            "key": key(file, party).public.hex() if party else "",
            "sha256": hashlib.sha256(ENCODER_TEXT.encode()).hexdigest(),
            "probes_sha256": hashlib.sha256(PROBES_TEXT.encode()).hexdigest(),
        }.get(line.partition(" = ")[0])
        lines.append(line if value is None else f'{line.partition(" = ")[0]} = "{value}"')
    body = "\n".join(lines) + "\n"
    agreement = parse(body)
    for name in agreement.parties:
        agreement = sign(agreement, name, key(file, name))
    signatures = "".join(f'{name} = "{text}"\n' for name, text in agreement.signatures.items())
    return f"{body}\n[signatures]\n{signatures}"


if __name__ == "__main__":
    for example in NAMES:
        path = FOLDER / example
        path.write_text(filled(example, path.read_text("utf-8")), "utf-8")
        sys.stdout.write(f"{example} is signed.\n")
