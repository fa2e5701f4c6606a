"""What is kept beside the messages: the release log's line, and the student."""

from __future__ import annotations

from typing import Any

from secure_fedsa import release_log
from secure_fedsa.audit.contributions import Contributions
from secure_fedsa.audit.evidence import Evidence, decode
from secure_fedsa.audit.failures import require
from secure_fedsa.audit.layout import ENCODER_FILE, STUDENT_FILES
from secure_fedsa.audit.ledgers import Segment
from secure_fedsa.audit.opening import Opening
from secure_fedsa.audit.rosters import Rosters
from secure_fedsa.engines.hashes import student_hash
from secure_fedsa.engines.run_folder import RELEASE_LOG_FILE
from secure_fedsa.messages import STUDENT, Release, Result
from secure_fedsa.wire import canonical


def check_release_log(
    evidence: Evidence,
    opening: Opening,
    segments: dict[str, Segment],
    rosters: Rosters,
    given: Contributions,
    release: Release,
) -> None:
    """Check the key holder's log entry of this run: one line, of exactly this release.

    Raises:
        VerificationError: If it is anything else.
    """
    file = RELEASE_LOG_FILE
    data = evidence.read(file)
    whole = data.endswith(b"\n") and data.count(b"\n") == 1
    require(whole, file, "does not have exactly one line.")
    entry = decode(data[:-1], file)
    fields = {"position", "previous", "body", "hash"}
    shaped = isinstance(entry, dict) and set(entry) == fields
    require(shaped, file, "does not have the fields of a log entry.")
    _check_place(entry)
    content = {name: value for name, value in entry.items() if name != "hash"}
    hashed = canonical.digest(release_log.DOMAIN, content)
    require(entry["hash"] == hashed, file, "has a hash that is not its content's.")
    logged = {
        "run_id": opening.run_id,
        "agreement": opening.transcript.agreed.hash,
        "roster_hash": rosters.final_hash,
        "members": list(rosters.members),
        "data_sets": {member: segments[member].data_set for member in rosters.members},
        "sum_hash": release.sum_hash,
        "signal_ids": given.signal_ids,
    }
    require(entry["body"] == logged, file, "logs another release than this run's.")


def _check_place(entry: dict[str, Any]) -> None:
    """Check an entry's place in a log of which only one line is here."""
    position, previous = entry["position"], entry["previous"]
    first = position == 0
    counted = type(position) is int and position >= 0
    require(counted, RELEASE_LOG_FILE, "has a position that is no whole number from 0.")
    hashed = isinstance(previous, str) and len(previous) == 64 and _is_hex(previous)
    require(hashed, RELEASE_LOG_FILE, "does not name the hash of the entry before it.")
    right = (previous == release_log.FIRST) == first
    require(right, RELEASE_LOG_FILE, "is not at the place in the log that it names.")


def _is_hex(text: str) -> bool:
    return set(text) <= set("0123456789abcdef")


def check_student(evidence: Evidence, opening: Opening) -> None:
    """Check that the student in the folder is the one that the student signed.

    Raises:
        VerificationError: If its files are others, or the encoder is not the agreed one.
    """
    result = opening.transcript.one("result", opening.agreement.only(STUDENT))
    hashes = {part: evidence.sha256(name) for part, name in STUDENT_FILES.items()}
    student = student_hash(hashes)
    require(
        result.says(Result).student_sha256 == student,
        result.file,
        f"signs another student than {', '.join(STUDENT_FILES.values())}.",
    )
    (source,) = opening.transcript.of("release" if opening.agreement.publish.sums else "sealed-sum")
    require(
        result.says(Result).opened == source.hash,
        result.file,
        f"says that its student came from another sum than that of {source.file}.",
    )
    agreed = opening.agreement.encoder.sha256
    require(
        evidence.sha256(ENCODER_FILE) == agreed,
        ENCODER_FILE,
        "is not the encoder whose hash is in the agreement.",
    )
