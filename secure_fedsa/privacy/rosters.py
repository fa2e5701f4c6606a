"""Which rosters may not both be opened.

The difference of two opened sums is the difference of the teachers that are in only one
of them. If those are at most ``max_colluding + 1``, a coalition of ``max_colluding`` of
them can single out the last one (protocol, release gate).
"""

from __future__ import annotations

from collections.abc import Iterable

from secure_fedsa.errors import PrivacyParameterError


def roster_conflict(
    previous: Iterable[frozenset[str]], roster: frozenset[str], max_colluding: int
) -> frozenset[str] | None:
    """Return the members that an earlier opened roster would expose, or None.

    Args:
        previous: Rosters opened earlier over the same data sets, as sets of names.
        roster: The roster that asks to be opened.
        max_colluding: How many teachers may collude, at least 0.

    Returns:
        The smallest symmetric difference of 1 to ``max_colluding + 1`` members (ties: the
        first in sorted order), or None. The same roster again is no conflict; only pairs
        are looked at: over three or more rosters only differential privacy is claimed.

    Raises:
        PrivacyParameterError: If ``max_colluding`` is not a whole number of at least 0.

    >>> sorted(roster_conflict([frozenset("abcd")], frozenset("abce"), 1))
    ['d', 'e']
    >>> roster_conflict([frozenset("abcd")], frozenset("abef"), 1) is None
    True
    """
    if isinstance(max_colluding, bool) or not isinstance(max_colluding, int) or max_colluding < 0:
        raise PrivacyParameterError(
            f"max_colluding is {max_colluding!r}.", do="Use a whole number of at least 0."
        )
    differences = (roster ^ earlier for earlier in previous)
    exposed = [part for part in differences if 1 <= len(part) <= max_colluding + 1]
    return min(exposed, key=lambda part: (len(part), sorted(part)), default=None)
