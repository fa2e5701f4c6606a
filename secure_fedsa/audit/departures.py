"""Who left the run before its end."""

from __future__ import annotations

from secure_fedsa.audit.failures import require
from secure_fedsa.audit.rosters import Rosters
from secure_fedsa.audit.transcript import Transcript


def check_departures(transcript: Transcript, rosters: Rosters) -> None:
    """Check that nobody gave up whom the run could not do without.

    Raises:
        VerificationError: If a party sent an abort and is no teacher outside the roster.
    """
    left_out = set(transcript.agreement.teachers) - set(rosters.members)
    for message in transcript.of("abort"):
        sender = message.header.sender
        require(sender in left_out, message.file, f"stops a run that {sender} was needed for.")
