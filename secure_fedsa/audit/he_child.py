"""The process that loads ciphertexts and keys which nobody vouches for.

``python -m secure_fedsa.audit.he_child`` reads one request (:mod:`.he_request`) from
standard input and answers on standard output. Native code reads hostile bytes here, so the
process limits its own memory, time and output first, holds nothing worth stealing, and its
end, however it comes, is the verifier's to judge. It loads no more of the package than
encryption needs. These are limits, not a sandbox: bytes that take the library over can do
what its user may do.
"""

from __future__ import annotations

import os
import resource
import sys

_MIB = 2**20
_ADDRESS_SPACE = 2 * 2**30  # the interpreter and its libraries reserve most of it unused
_SECONDS = 60


def seconds_for(request_bytes: int) -> int:
    """Return the processor seconds that a request of some size may take: far above its need."""
    return _SECONDS + 2 * request_bytes // _MIB


def _limit(request_bytes: int) -> None:
    limits = {
        resource.RLIMIT_AS: _ADDRESS_SPACE + 4 * request_bytes,
        resource.RLIMIT_CPU: seconds_for(request_bytes),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: _MIB,
        resource.RLIMIT_NOFILE: 256,
    }
    for limit, value in limits.items():
        _, most = resource.getrlimit(limit)
        least = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (least, least))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Check one request; return 0 whatever the verdict."""
    _limit(os.fstat(0).st_size)
    # Only now: importing runs native code too.
    from secure_fedsa.audit.he_request import HELD, from_file
    from secure_fedsa.audit.he_stages import Refused, stages

    claim = from_file(sys.stdin.buffer)
    try:
        for stage in stages(claim):
            _say(stage)
    except Refused as refusal:
        _say(refusal.line())
        return 0
    _say(HELD)
    return 0


if __name__ == "__main__":
    sys.exit(main())
