"""The release gate: which sums stay closed, whoever asks."""

from __future__ import annotations

from collections.abc import Iterable

from secure_fedsa.errors import ReleaseRefused, counted
from secure_fedsa.roles.key_holder_facts import KeyHolder
from secure_fedsa.roles.rosters import CONFLICT_CLAUSE, opened_conflict


def gate(state: KeyHolder) -> None:
    """Refuse to open a sum that the agreement or the release log forbids.

    Raises:
        ReleaseRefused: Naming the rule.
    """
    agreement, roster = state.session.agreement, state.roster
    if roster is None or state.aggregate is None:
        raise ReleaseRefused("There is no sum to open.")
    members = set(roster.members)
    if not (members == state.signatures == set(state.uploads) == set(state.aggregate.members)):
        raise ReleaseRefused("The roster is not complete.", do="Wait for every member.")
    if len(members) < agreement.selection.smallest_sum:
        raise ReleaseRefused(
            f"A sum over {counted(len(members), 'teacher')} stays closed.",
            why=f"The agreement asks for {agreement.selection.smallest_sum} at least.",
            clause=agreement.selection.binding,
        )
    if not members <= set(state.segments):
        raise ReleaseRefused("A member's ledger does not show the charge.", clause="privacy")
    run_id = state.session.run_id
    used = {s for o in state.opened_before if o.run_id != run_id for s in o.signals}
    again = set(state.signal_ids.values()) & used
    if again or len(set(state.signal_ids.values())) != len(members):
        raise ReleaseRefused("A signal was in an opened sum before.", do="Start a new run.")
    conflict = conflict_of(state, members)
    if conflict:
        raise ReleaseRefused("The sum stays closed.", why=conflict, clause=CONFLICT_CLAUSE)


def conflict_of(state: KeyHolder, members: Iterable[str]) -> str | None:
    """Return why the release log forbids a sum over these members, or None.

    Compared by name and by data set: a new version of a data set has a new id.
    """
    names = frozenset(members)
    for roster in (names, frozenset(state.data_sets[name] for name in names)):
        conflict = opened_conflict(
            state.opened_before,
            roster,
            run_id=state.session.run_id,
            agreement=state.session.agreement,
        )
        if conflict:
            return conflict
    return None
