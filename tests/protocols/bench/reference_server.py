"""Runs the reference verifier on many folders: one fork a folder, so that nothing is left over.

    python reference_server.py PATH-OF-verify.py

reads a JSON list [folder, trusted keys or null] a line, and answers with the line [file, reason]
that the reference's own child process prints. Hundreds of folders would take many minutes if each
began with starting a process, reading libraries and holding the same messages against the same
schemas. So the fork is of a process that has the libraries, and what fitted a schema once is not
held against it again. All else is as the reference does it, limits on memory and time included.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import io
import json
import os
import sys
from typing import Any

Seen = set[str]
_DIED = '["folder", "?: its process ended"]'


def load(path: str) -> Any:
    """Return the reference verifier, from its file: it is no part of any package."""
    spec = importlib.util.spec_from_file_location("protocol_reference_verify", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def remember_forms(reference: Any, seen: Seen) -> None:
    """Have the reference remember what fitted its schemas."""
    really = reference.formed

    def formed(name: str, value: Any) -> Any:
        try:
            text = json.dumps(value, sort_keys=True)
        except (TypeError, ValueError):  # a date of TOML
            return really(name, value)
        key = hashlib.sha256(f"{name}\n{text}".encode()).hexdigest()
        if key not in seen:
            really(name, value)
            seen.add(key)
        return value

    reference.formed = formed


def answer_of(reference: Any, folder: str, trust: dict[str, str] | None) -> str:
    """Return what the reference's child process prints."""
    printed = io.StringIO()
    sys.stdin, sys.stdout = io.StringIO(json.dumps(trust)), printed
    reference.child(folder)
    return printed.getvalue().strip()


def main(path: str) -> None:
    """Answer until there are no more questions."""
    reference, seen = load(path), Seen()
    importlib.import_module("dp_accounting.pld")  # it reads them when it needs them, which is slow
    importlib.import_module("dp_accounting.rdp")
    remember_forms(reference, seen)
    for line in sys.stdin:
        folder, trust = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            before = set(seen)
            answer = answer_of(reference, folder, trust)
            with os.fdopen(writer, "w") as pipe:
                json.dump([answer, sorted(seen - before)], pipe)
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        printed, fitted = json.loads(told) if told else (_DIED, [])
        seen |= set(fitted)
        sys.stdout.write(f"{printed}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
