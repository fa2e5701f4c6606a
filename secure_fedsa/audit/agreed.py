"""The agreement of a run folder: well formed, able to hold, signed by every party."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from secure_fedsa.agreement import Agreement, parse
from secure_fedsa.audit.evidence import Evidence
from secure_fedsa.audit.failures import blaming, require
from secure_fedsa.engines.run_folder import AGREEMENT_FILE
from secure_fedsa.errors import DataError
from secure_fedsa.planning import Promises, check_promises
from secure_fedsa.wire.agreement_signatures import directory, verify_signatures
from secure_fedsa.wire.envelope import Directory


@dataclass(frozen=True, slots=True)
class Agreed:
    """An agreement that passed every check of its own.

    Attributes:
        agreement: The agreement.
        directory: Who is who in it, and its hash.
        promises: What it was found to be able to keep.
    """

    agreement: Agreement
    directory: Directory
    promises: Promises

    @property
    def hash(self) -> str:
        """The hash that names the agreement."""
        return self.directory.agreement

    @property
    def keys(self) -> dict[str, str]:
        """Ed25519 public keys by party, hexadecimal."""
        return {name: party.key for name, party in self.agreement.parties.items()}


def check_agreement(evidence: Evidence) -> Agreed:
    """Return the folder's agreement.

    Raises:
        VerificationError: If it is not TOML, an entry is unknown, missing or out of range,
            it cannot keep its promises, a signature is missing or wrong, or it allows
            seeded noise.
    """
    with blaming(AGREEMENT_FILE):
        return _judged(evidence.read(AGREEMENT_FILE))


@lru_cache(maxsize=16)
def _judged(data: bytes) -> Agreed:
    """Return the agreement of a file's bytes; every signer of a run asks about the same."""
    agreement = parse(_text(data))
    verify_signatures(agreement)
    kept = check_promises(agreement)
    require(
        not agreement.simulation,
        AGREEMENT_FILE,
        "simulation: is true.",
        why="Its noise may come from a seed, so the run protects nobody.",
    )
    return Agreed(agreement, directory(agreement), kept)


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text.") from error
