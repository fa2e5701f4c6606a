"""What the two test files of the campaign share: a bench, and the faults of each half."""

from __future__ import annotations

from tests.mutation.bench import Bench
from tests.mutation.catalogue import Fault, load

HALVES = 2


def half(number: int) -> tuple[Fault, ...]:
    """Return every second fault that is not for offline: two processes of pytest share the work."""
    return tuple(fault for fault in load() if not fault.offline)[number::HALVES]


def notice(bench: Bench, fault: Fault) -> None:
    """Fail unless the fault is caught, or is what it is stated to be."""
    outcome = bench.judge(fault)
    assert outcome.good, f"{outcome.outcome}: {outcome.why}. {fault.loses}"
