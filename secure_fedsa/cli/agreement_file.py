"""An agreement's file: read, judged, and given one more signature."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from secure_fedsa.agreement import Agreement, unchecked
from secure_fedsa.errors import AgreementError, DataError, SignatureError, StorageError, UsageError
from secure_fedsa.toml_text import read_toml
from secure_fedsa.wire import canonical, keys
from secure_fedsa.wire.agreement_signatures import DOMAIN

LARGEST_BYTES = 2**20
HEX_KEY = re.compile(r"[0-9a-f]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/=]*")

SignatureState = Literal["signed", "missing", "wrong", "not a party"]


class SignedTextError(AgreementError):
    """A signature that does not belong to the text it stands under."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class AgreementFile:
    """An agreement as it stands in a file, in the right form but not yet judged.

    Attributes:
        path: The file.
        data: Its bytes.
        agreement: What they say; its rules were not checked.
    """

    path: Path
    data: bytes
    agreement: Agreement


def read_text(path: Path, what: str) -> tuple[bytes, str]:
    """Return the bytes of a small UTF-8 file, and its text with its line ends as they are.

    Raises:
        UsageError: If it cannot be read, is too long or is not UTF-8.
    """
    do = f"Name {what}."
    if path.exists() and not path.is_file():
        raise UsageError(f"{path} is not a file.", do=do)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"Cannot read {path}.", why=f"{error.strerror}.", do=do) from error
    if len(data) > LARGEST_BYTES:
        raise UsageError(f"{path} is longer than {LARGEST_BYTES} bytes.", do=do)
    try:
        return data, data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text.", do=do) from error


def read_agreement(path: Path) -> AgreementFile:
    """Return the agreement of a file that has the form of one.

    Raises:
        UsageError: If the file cannot be read.
        AgreementError: If it is not TOML, or an entry is unknown, missing or of another type.
    """
    data, text = read_text(path, "an agreement's file")
    return AgreementFile(path, data, in_form(text))


def in_form(text: str) -> Agreement:
    """Return the agreement of a TOML text; its rules are for the plan to judge.

    Raises:
        AgreementError: As :func:`read_agreement`.
    """
    try:
        data = read_toml(text)
    except (ValueError, RecursionError) as error:
        raise AgreementError(
            "",
            "The agreement is not valid TOML.",
            why=f"{error}.",
            do="Ask for the file as it was drafted or signed.",
        ) from error
    return unchecked(data)


def signature_states(agreement: Agreement) -> dict[str, SignatureState]:
    """Return how it stands with every party's signature, and with other names that signed.

    Args:
        agreement: Its rules must hold.
    """
    content = canonical.encode(agreement.content())
    states: dict[str, SignatureState] = {}
    for name, party in agreement.parties.items():
        if name not in agreement.signatures:
            states[name] = "missing"
            continue
        try:
            signature = canonical.from_base64(agreement.signatures[name], maximum_bytes=64)
            keys.verify(bytes.fromhex(party.key), signature, DOMAIN, content, party=name)
            states[name] = "signed"
        except (SignatureError, DataError):
            states[name] = "wrong"
    others = set(agreement.signatures) - set(agreement.parties)
    return states | dict.fromkeys(sorted(others), "not a party")


def check_signatures(states: Mapping[str, SignatureState]) -> None:
    """Refuse signatures that are not as they should be, all of them at once.

    Raises:
        SignedTextError: Naming every one.
    """
    wrong = {name: state for name, state in states.items() if state != "signed"}
    if not wrong:
        return
    by_state: dict[str, list[str]] = {}
    for name, state in wrong.items():
        by_state.setdefault(state, []).append(name)
    if len(wrong) == 1:
        ((name, state),) = wrong.items()
        clause, what = f"signatures.{name}", f"is {state}."
    else:
        clause = "signatures"
        what = "; ".join(f"{state}: {', '.join(names)}" for state, names in by_state.items()) + "."
    if set(by_state) == {"missing"}:
        raise SignedTextError(clause, what, do=f"Have {', '.join(wrong)} sign: agree sign.")
    raise SignedTextError(
        clause,
        what,
        why="The agreement was changed after it was signed, or another key signed it.",
        do=f"Ask {', '.join(wrong)}. If the change is meant, take the old signatures out: "
        "everybody signs again.",
    )


def with_signature(file: AgreementFile, party: str, signature: str) -> bytes:
    """Return the file's bytes with one signature set; everything else stays as it was.

    Raises:
        AgreementError: If the text cannot take it without a change of what is agreed.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    refusal = AgreementError(
        "signatures",
        "no line can be added to this text without a change elsewhere.",
        do="Write the signatures as a table of their own, [signatures], at the end of the file.",
    )
    try:
        document = tomlkit.parse(file.data.decode("utf-8"))
        if "signatures" not in document:
            document["signatures"] = tomlkit.table()
        table = document["signatures"]
        table[party] = signature
        text = tomlkit.dumps(document)
        signed = in_form(text)
    except (TOMLKitError, AgreementError, TypeError, ValueError) as error:
        raise refusal from error
    expected = {**file.agreement.signatures, party: signature}
    changed = signed.content() != file.agreement.content() or signed.signatures != expected
    data = text.encode("utf-8")
    if changed or not _differ_by_a_signature(file.data, data):
        raise refusal
    return data


def _differ_by_a_signature(old: bytes, new: bytes) -> bool:
    """Return whether all of ``old`` is in ``new`` but, perhaps, an earlier signature."""
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    return _BASE64.fullmatch(old[start : len(old) - end]) is not None


def _common(first: bytes, second: bytes) -> int:
    """Return with how many equal bytes both begin."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(first), len(second)))


def replace_file(file: AgreementFile, data: bytes) -> None:
    """Write new bytes in a file's place, whole or not at all, if nobody changed it meanwhile.

    Raises:
        UsageError: If the file is not as it was read.
        StorageError: If it cannot be written; it is then as it was.
    """
    path = file.path.resolve()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("xb") as new:
            try:
                os.fchmod(new.fileno(), path.stat().st_mode & 0o777)
                new.write(data)
                new.flush()
                os.fsync(new.fileno())
                _unchanged(file, path)
                partial.replace(path)
            except BaseException:
                partial.unlink()
                raise
    except OSError as error:
        raise StorageError(
            f"Cannot write {file.path}.", why=f"{error.strerror}.", do="Nothing was signed."
        ) from error


def _unchanged(file: AgreementFile, path: Path) -> None:
    if path.read_bytes() != file.data:
        raise UsageError(
            f"{file.path} was changed while it was being signed.", do="Read and sign it again."
        )
