"""Who saw what of a data set over all its runs: one bound, and facts about its institution.

The views and coalitions are those of protocols/v1/threat-model.toml. One claim holds against all
of them, as every run of a ledger is noise of full strength; what differs is which facts about the
institution each of them sees, and these no noise for records hides. The facts come from the
agreements whose texts are kept beside the ledger; of another run they are not shown, and nothing
is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from secure_fedsa.agreement import Agreement
from secure_fedsa.errors import counted
from secure_fedsa.messages import STUDENT
from secure_fedsa.planning.unit_claim import NO_MU, curve_deltas
from secure_fedsa.planning.unit_words import INSTITUTION
from secure_fedsa.privacy import shown
from secure_fedsa.privacy.amounts import Amount
from secure_fedsa.privacy.budgets import Spend
from secure_fedsa.report.views import (
    FORGER_FACTS,
    SEERS,
    STUDENT_FACTS,
    Seer,
    institution_epsilon,
    institution_facts,
    is_forger,
)

CLAIM: Final = "all-charges"
"""Id of the one claim that views refer to."""

AT_MOST = (
    "What each view saw of the institution over all runs, by the agreements whose texts are kept: "
    "at most this, as a run that ended early showed less."
)
NO_RHO = (
    "No rho (zCDP) is claimed: DP-SGD is accounted for by its privacy losses, and a use without "
    "differential privacy has none."
)
_FORGER_ID = "coalitions.forger"
_FORGER = "It makes up what it shows: nothing of anybody's records is in it."
_OWN = "The records are its own."
_UNPROTECTED = "NO DIFFERENTIAL PRIVACY: the data were used without it, and no epsilon holds."
_BEYOND = "The total is beyond what any accountant here states."

OVER_RUNS = (
    "Who sees the sums of several runs can subtract one from another: what the members that are in "
    "only one of them tell together. No two sums are opened that differ by max_colluding + 1 "
    "members or fewer; of three and more nothing stands between but noise, if there is any."
)

Curve = tuple[tuple[float, float | None], ...]
Fact = tuple[str, tuple[str, ...]]
"""What is seen, and the hashes of the agreements under which it is."""


@dataclass(frozen=True, slots=True)
class Source:
    """Something that a data set's total came from.

    Attributes:
        name: A run's id, what an import was described as, or the id of a linked data set; empty for
            what was inherited without its runs.
        kind: ``run``, ``outside`` (secure-fedsa), ``inherited`` or ``linked``.
        data_set: Whose ledger was charged.
        agreement: Hash; empty without one.
        events: Number of events by their kind; of what is known as an amount alone, of its parts.
        stated: Whether it is somebody's word.
    """

    name: str
    kind: str
    data_set: str
    agreement: str
    events: Mapping[str, int]
    stated: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the source as JSON values."""
        return {
            "name": self.name or None,
            "kind": self.kind,
            "data_set": self.data_set,
            "agreement": self.agreement or None,
            "events": dict(self.events),
            "stated": self.stated,
        }


@dataclass(frozen=True, slots=True)
class UnitOfAll:
    """Whom all charges of a data set are for.

    Attributes:
        unit: With neighbours, in words, for instance "record (add-remove)"; several if agreements
            differ, empty if not known.
        neighbours: The relation's name; likewise.
        not_shown: Of what part of it that is not known, and why; empty if of none.
    """

    unit: str
    neighbours: str
    not_shown: str

    def to_dict(self) -> dict[str, str | None]:
        """Return it as JSON values; null for what is not known, with the reason."""
        return {
            "unit": self.unit or None,
            "neighbours": self.neighbours or None,
            "unit_not_shown": self.not_shown or None,
        }


@dataclass(frozen=True, slots=True)
class TotalClaim:
    """What holds for all charges of a data set together, links included.

    Attributes:
        unit: Whom it is for.
        epsilon: Bound at ``delta``; None if none holds.
        delta: The ledger's.
        curve: (delta, epsilon) over several deltas; epsilon None where none is stated.
        rho: zCDP parameter; None where the total has none.
        sources: What it came from.
        accountants: Name and version of whatever states it.
        why: Why it holds against every view, or why there is no epsilon.
    """

    unit: UnitOfAll
    epsilon: float | None
    delta: float
    curve: Curve
    rho: float | None
    sources: tuple[Source, ...]
    accountants: tuple[tuple[str, str], ...]
    why: str

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as JSON values; ``mu`` is there, and null, with the reason."""
        return {
            "id": CLAIM,
            **self.unit.to_dict(),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "curve": [list(point) for point in self.curve],
            "rho": self.rho,
            "rho_not_there": None if self.rho is not None else NO_RHO,
            "mu": None,
            "mu_not_there": NO_MU,
            "events": [source.to_dict() for source in self.sources],
            "accountants": [{"name": n, "version": v} for n, v in self.accountants],
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class SeenBy:
    """One view or coalition.

    Attributes:
        id: Its name in the threat model; that of a coalition begins with ``coalitions.``.
        kind: ``view`` or ``coalition``.
        name: Who that is, in words.
        parties: The roles in it.
        why_none: Why no epsilon is stated against it; empty if the claim holds.
        facts: What it saw of the institution: by fact, the hashes of the agreements that say so.
        institution: By agreement, the epsilon of one run for the institution's whole signal in the
            opened sum, where the sum promises that; a ledger does not add it up.
    """

    id: str
    kind: str
    name: str
    parties: tuple[str, ...]
    why_none: str
    facts: Mapping[str, tuple[str, ...]]
    institution: Mapping[str, float]

    @property
    def bounded(self) -> bool:
        """Whether the claim holds against it."""
        return not self.why_none

    @property
    def apart(self) -> str:
        """Why it has no epsilon although the data set may have one; else empty."""
        return self.why_none if self.why_none in {_FORGER, _OWN} else ""

    def to_dict(self, claim: TotalClaim, not_shown: Iterable[str]) -> dict[str, Any]:
        """Return it as JSON values, the curve left out: that stands in the claim.

        Args:
            claim: That of the data set.
            not_shown: What is not known of what views saw.
        """
        bounded = self.bounded
        makes_up = self.parties == SEERS[_FORGER_ID].parties
        return {
            "kind": self.kind,
            "name": self.name,
            "parties": list(self.parties),
            "epsilon": claim.epsilon if bounded else None,
            "delta": claim.delta if bounded else None,
            "rho": claim.rho if bounded else None,
            "unit": claim.unit.unit if bounded else None,
            "neighbours": claim.unit.neighbours or None if bounded else None,
            "accountants": claim.to_dict()["accountants"] if bounded else [],
            "claim": CLAIM if bounded else None,
            "why_no_epsilon": self.why_none or None,
            "institution_facts": [
                {"fact": fact, "agreements": list(names)} for fact, names in self.facts.items()
            ],
            "institution_facts_not_shown": [] if makes_up else list(not_shown),
            "institution_epsilon_of_one_run": dict(self.institution),
        }


def total_curve(amount: Amount, delta: float) -> Curve:
    """Return the epsilon of an amount over several deltas; None where none is stated."""
    found = ((at, Spend.of(amount, at).epsilon) for at in curve_deltas(delta))
    return tuple((at, value if math.isfinite(value) else None) for at, value in found)


def upward(epsilon: float | None) -> str:
    """Return a bound to four digits, never below it; where none is stated, that.

    >>> upward(1.00001), upward(0.0), upward(None)
    ('1.001', '0', 'not stated')
    """
    if epsilon is None:
        return "not stated"
    return shown.at_most(epsilon)


def why_no_epsilon(amount: Amount, delta: float) -> str:
    """Return why a total has no epsilon; empty if it has one."""
    if amount.unprotected:
        return _UNPROTECTED
    return "" if math.isfinite(Spend.of(amount, delta).epsilon) else _BEYOND


def seen_by(
    used: Iterable[str], agreements: Mapping[str, Agreement], *, of_student: bool, why_none: str
) -> tuple[SeenBy, ...]:
    """Return every view and coalition of the threat model, with what it saw.

    Args:
        used: Hashes of the agreements that the data set was charged under.
        agreements: Those whose texts are known, by hash.
        of_student: Whether the ledger is of the student's labelled records.
        why_none: Why the total has no epsilon; empty if it has one.
    """
    known = {name: agreements[name] for name in used if name in agreements}
    return tuple(
        SeenBy(
            id=name,
            kind=seer.kind,
            name=seer.name,
            parties=seer.parties,
            why_none=_why_none(seer, why_none, of_student=of_student),
            facts=_facts(seer, known, of_student=of_student),
            institution={}
            if of_student
            else {
                digest: epsilon
                for digest, agreement in known.items()
                if (epsilon := institution_epsilon(agreement, seer)) is not None
            },
        )
        for name, seer in SEERS.items()
    )


def _why_none(seer: Seer, why_none: str, *, of_student: bool) -> str:
    if is_forger(seer):
        return _FORGER
    return _OWN if of_student and seer.parties == (STUDENT,) else why_none


def _facts(
    seer: Seer, known: Mapping[str, Agreement], *, of_student: bool
) -> dict[str, tuple[str, ...]]:
    if is_forger(seer):
        return dict.fromkeys(FORGER_FACTS, ())
    if of_student and seer.parties == (STUDENT,):
        return {}
    found: dict[str, list[str]] = {}
    for name, agreement in known.items():
        facts = STUDENT_FACTS if of_student else institution_facts(agreement, seer)
        for fact in facts:
            found.setdefault(fact, []).append(name)
    return {fact: tuple(names) for fact, names in found.items()}


def numbered(seen: Iterable[SeenBy]) -> tuple[list[Fact], dict[str, list[int]]]:
    """Return each fact with its agreements once; and by view the numbers of its facts, from 1.

    That a forger sees nothing is no fact of an agreement, and has no number.
    """
    facts: dict[Fact, int] = {}
    numbers = {
        one.id: [facts.setdefault(fact, len(facts) + 1) for fact in one.facts.items() if fact[1]]
        for one in seen
    }
    return list(facts), numbers


def institution_told(seen: Iterable[SeenBy]) -> list[str]:
    """Return in words what one run promises of the institution's whole signal, by agreement."""
    against: dict[tuple[str, float], list[str]] = {}
    for one in seen:
        for name, epsilon in one.institution.items():
            against.setdefault((name, epsilon), []).append(one.id)
    return [
        f"Of one run under agreement {name[:12]}, for the {INSTITUTION}'s whole signal in the "
        f"opened sum: epsilon {upward(epsilon)} at its delta, against {', '.join(ids)}. No ledger "
        "adds it up."
        for (name, epsilon), ids in against.items()
    ]


def of_events(sources: Iterable[Source]) -> str:
    """Return in words what a total came from.

    >>> of_events([Source("a", "run", "d", "", {"dp-sgd": 1}, stated=False)])
    '1 run (dp-sgd)'
    """
    nouns = {
        "run": "run",
        "outside": "use outside",
        "inherited": "inherited amount",
        "linked": "linked data set",
    }
    told = []
    for kind, noun in nouns.items():
        found = [source for source in sources if source.kind == kind]
        kinds = sorted({event for source in found for event in source.events})
        if found:
            told.append(f"{counted(len(found), noun)} ({', '.join(kinds) or 'nothing spent'})")
    return ", ".join(told) or "nothing"
