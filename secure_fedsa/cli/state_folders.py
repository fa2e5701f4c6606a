"""The parties' state folders when all are on this machine, and what is kept beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secure_fedsa.agreement import Agreement, parse
from secure_fedsa.engines.run_folder import AGREEMENT_FILE
from secure_fedsa.errors import StorageError, UsageError
from secure_fedsa.wire import canonical

_OPTIONS_FILE = "options.json"


class StateFolders:
    """One folder a party, by its name, and files that say whose ledgers these are.

    Args:
        root: Holds them.
        option: The command's option that chooses another place.
        data_options: The options that decide which records the teachers hold.
    """

    def __init__(self, root: Path, option: str, data_options: dict[str, Any]) -> None:
        self.root = root
        self._option = option
        self._data_options = data_options

    def of(self, party: str) -> Path:
        """Return a party's state folder."""
        return self.root / party

    def keep(self, name: str, data: bytes) -> Path:
        """Keep a file beside the parties' states, whole or not at all; return its path.

        Raises:
            StorageError: If it cannot be written.
        """
        partial = self.root / f"{name}.partial"
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial.write_bytes(data)
            return partial.rename(self.root / name)
        except OSError as error:
            raise StorageError(
                f"Cannot write {self.root}.",
                why=f"{error.strerror}.",
                do=f"Nothing was charged. Name a folder that you can write with {self._option}.",
            ) from error

    def check_data(self) -> None:
        """Refuse ledgers that belong to other data.

        Raises:
            UsageError: Naming the options that differ.
        """
        path, mine, option = self.root / _OPTIONS_FILE, self._data_options, self._option
        if not path.exists():
            return
        theirs = canonical.decode(path.read_bytes())
        if theirs != mine:
            names = sorted({*mine, *theirs})
            changed = ", ".join(f"--{n}" for n in names if mine.get(n) != theirs.get(n))
            raise UsageError(
                f"{self.root} holds ledgers that were made with another {changed}.",
                why="A ledger is of one data set, which is known by these options and places.",
                do="If the same data were moved, put them back where they were. For other data "
                f"name another folder with {option}. (The same data under another {option} start "
                "with an empty ledger: have each count the other's with secure-fedsa ledger link.)",
            )

    def remember_data(self) -> None:
        """Note which data the ledgers are of."""
        self.keep(_OPTIONS_FILE, canonical.encode(self._data_options))

    def take_agreement(self, agreement: Agreement, data: bytes) -> None:
        """Keep an agreement's file beside the ledgers; a cut-off run resumes under its own.

        Raises:
            UsageError: If a run under another agreement was cut off.
        """
        path = self.root / AGREEMENT_FILE
        unfinished = any((self.of(name) / "run").exists() for name in agreement.parties)
        if unfinished and path.exists():
            earlier = parse(path.read_bytes().decode())
            if earlier.content() != agreement.content():
                raise UsageError(
                    f"A run in {self.root} was cut off, under another agreement.",
                    do=f"Finish it first, with the options and the agreement that it began with "
                    f"({path}), or name another {self._option}.",
                )
        self.keep(AGREEMENT_FILE, data)
