"""The keys that a reader knows from elsewhere: the only thing that names institutions."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.failures import require
from secure_fedsa.engines.run_folder import AGREEMENT_FILE
from secure_fedsa.errors import UsageError
from secure_fedsa.toml_text import read_toml

_MAXIMUM_BYTES = 2**20
_KEY = re.compile(r"[0-9a-f]{64}")
_FORM = 'Write a [keys] table with a line NAME = "64 hexadecimal digits" for each party.'


def read_trust(path: Path) -> dict[str, str]:
    """Return the keys by party of a trust file.

    Raises:
        UsageError: If it cannot be read or has another form.
    """
    try:
        info = path.stat()
        if not stat.S_ISREG(info.st_mode) or info.st_size > _MAXIMUM_BYTES:
            raise UsageError(f"{path} is not a file of at most 1 MiB.", do=_FORM)
        content = read_toml(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", why=f"{error.strerror}.", do=_FORM) from error
    except (ValueError, RecursionError) as error:  # no text, no TOML, a path with a null
        raise UsageError(f"{path} is not TOML.", why=f"{error}.", do=_FORM) from error
    return _keys(content, path)


def _keys(content: dict[str, Any], path: Path) -> dict[str, str]:
    keys = content.get("keys")
    if set(content) != {"keys"} or not isinstance(keys, dict) or not keys:
        raise UsageError(f"{path} does not have exactly one table, keys.", do=_FORM)
    for name, key in keys.items():
        if not (isinstance(key, str) and _KEY.fullmatch(key)):
            raise UsageError(f"{path}: keys.{name[:40]!r} is no key.", do=_FORM)
    return keys


def check_trust(agreement: Agreement, trust: Mapping[str, str]) -> None:
    """Check that every party of the agreement has the key that the reader knows.

    Raises:
        VerificationError: Naming the first party that is unknown or has another key.
    """
    for name, party in sorted(agreement.parties.items()):
        require(
            name in trust,
            AGREEMENT_FILE,
            f"parties.{name}: is not in the trust file.",
            do=f"Get {name}'s public key from {name} itself and add it to the trust file.",
        )
        require(
            trust[name] == party.key,
            AGREEMENT_FILE,
            f"parties.{name}.key: is not the key that the trust file has for {name}.",
            why="Somebody else may have signed in this name.",
            do=f"Do not use the result, unless {name} itself tells you that your trust file has "
            "an old or another key.",
        )
