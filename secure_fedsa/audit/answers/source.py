"""What the answers are made from: a run folder that was verified, read once more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secure_fedsa.agreement import Agreement
from secure_fedsa.audit.answers.audit_result import AuditResult
from secure_fedsa.audit.answers.model import Figure, Link, Point
from secure_fedsa.audit.evidence import Evidence, decode
from secure_fedsa.audit.layout import ledger_file, sender_and_kind
from secure_fedsa.audit.verify import Verdict
from secure_fedsa.engines.run_folder import AGREEMENT_FILE, RELEASE_LOG_FILE, SUMMARY_FILE
from secure_fedsa.messages import Release, Roster
from secure_fedsa.planning import Promises, check_promises
from secure_fedsa.privacy.events import Event
from secure_fedsa.privacy.ledger_books import Charge, verify_segment
from secure_fedsa.report.receipt import FILE_NAME as RECEIPT_FILE
from secure_fedsa.report.summary import RunFacts, facts_of
from secure_fedsa.report.views import OUTSIDER, ByView, ViewClaim, by_view
from secure_fedsa.wire import bodies

Place = tuple[str, str]
"""A file of the folder and a JSON pointer into it."""

_ACCOUNTINGS = ("accounting", "training-accounting", "no-differential-privacy")


@dataclass(frozen=True, slots=True)
class Source:
    """The verified evidence of a run folder.

    Attributes:
        verdict: What the check found.
        trusted: Where the reader's keys came from; empty if no identity was checked.
        summary: What summary.json says.
        facts: The run as its report needs it.
        charges: What each teacher's ledger was charged, by teacher.
        places: Where each charge stands, by teacher: file, and the line of the reserve entry.
        positions: Place of each charge in its data set's ledger, by teacher.
        release: The message that opened the sum.
        release_file: Where it stands.
        roster_file: Where the final roster stands.
        log_position: Place of the release in the key holder's log.
        message_sizes: Bytes of each file of the transcript.
        hashes: SHA-256 of every file that an answer may name.
        by_view: What the agreed noise promises, by unit and by who looks.
        audit_result: An empirical audit that the reader brought along, if any.
    """

    verdict: Verdict
    trusted: str
    summary: dict[str, Any]
    facts: RunFacts
    charges: dict[str, Charge]
    places: dict[str, Place]
    positions: dict[str, int]
    release: Release
    release_file: str
    roster_file: str
    log_position: int
    message_sizes: dict[str, int]
    hashes: dict[str, str]
    by_view: ByView
    audit_result: AuditResult | None = None

    @property
    def agreement(self) -> Agreement:
        """The agreement."""
        return self.verdict.facts.agreement

    @property
    def plan(self) -> Promises:
        """What the agreement was proved to keep, recomputed on this machine."""
        return self.facts.plan

    @property
    def private(self) -> bool:
        """Whether there is differential privacy."""
        return self.agreement.privacy is not None

    @property
    def accounting_claim(self) -> str:
        """The claim of this route about what was spent."""
        return next(claim for claim in self.verdict.recomputed if claim in _ACCOUNTINGS)

    @property
    def worst_event(self) -> Event:
        """The charged event of the teacher that a run costs most, at the agreement's delta."""
        delta = self.agreement.promise.delta
        worst = max(self.charges.values(), key=lambda charge: charge.cost.epsilon(delta))
        return worst.events[0]

    @property
    def views(self) -> dict[str, ViewClaim]:
        """The views and coalitions by name, those that see the same once.

        Whoever makes up a run folder has nobody's records, so no bound against them says anything.
        """
        colluding = str(self.agreement.selection.max_colluding)
        found = {
            (view.parties, view.institution_facts): view
            for view in reversed(self.by_view.views)
            if view.parties != (OUTSIDER,)
        }
        return {
            view.name.replace("max_colluding", colluding): view for view in reversed(found.values())
        }

    @property
    def word_in_receipt(self) -> list[Place]:
        """Where it stands whose word a claim is: the receipt's second list."""
        return [(RECEIPT_FILE, "/payload")]

    def place_of(self, teacher: str, pointer: str) -> Place:
        """Return a place in the charge of a teacher's ledger."""
        file, line = self.places[teacher]
        return file, f"{line}{pointer}"

    def claim(
        self,
        claim: str,
        text: str,
        *,
        figures: Iterable[Figure] = (),
        at: Iterable[Place] = (),
    ) -> Point:
        """Return a point that a claim of the receipt carries: shown, or whose word it is.

        Args:
            claim: The claim. It must be one of this run's.
            text: The statement.
            figures: Its numbers.
            at: Where it stands.
        """
        shown = claim in self.verdict.recomputed
        by: tuple[str, ...] = ()
        if not shown:
            by = next(
                tuple(entry["by"]) for entry in self.verdict.attested if entry["claim"] == claim
            )
        links = tuple(self._link(place, claim, recomputed=shown) for place in at)
        return Point(
            "shown" if shown else "attested", text, by=by, figures=tuple(figures), evidence=links
        )

    def word(
        self,
        by: Iterable[str],
        text: str,
        *,
        figures: Iterable[Figure] = (),
        at: Iterable[Place] = (),
    ) -> Point:
        """Return a point that parties said in signed messages, and no claim of the receipt is."""
        links = tuple(self._link(place, "", recomputed=False) for place in at)
        return Point("attested", text, by=tuple(by), figures=tuple(figures), evidence=links)

    def missing(
        self, text: str, *, how: str = "", figures: Iterable[Figure] = (), at: Iterable[Place] = ()
    ) -> Point:
        """Return a point about what the folder does not show."""
        links = tuple(self._link(place, "", recomputed=False) for place in at)
        return Point("not shown", text, how=how, figures=tuple(figures), evidence=links)

    def _link(self, place: Place, check: str, *, recomputed: bool) -> Link:
        file, pointer = place
        return Link(file, pointer, self.hashes[file], check, recomputed)


def agreed(*clauses: str) -> list[Place]:
    """Return places in the agreement, from clauses as its errors name them.

    >>> agreed("privacy.unit")
    [('agreement.toml', '/privacy/unit')]
    """
    return [(AGREEMENT_FILE, "/" + clause.replace(".", "/")) for clause in clauses]


def summed_up(*pointers: str) -> list[Place]:
    """Return places in the summary."""
    return [(SUMMARY_FILE, pointer) for pointer in pointers]


def read_source(
    evidence: Evidence,
    verdict: Verdict,
    *,
    trusted: str = "",
    audit_result: AuditResult | None = None,
) -> Source:
    """Return what the answers need of files that were verified.

    Args:
        evidence: The same files that gave the verdict: one that changed since is refused.
        verdict: What :func:`secure_fedsa.audit.verify.verify_evidence` returned for them.
        trusted: Where the keys came from that identities were checked against.
        audit_result: An empirical audit that came along.

    Raises:
        VerificationError: If a file changed since it was checked.
        UsageError: If the empirical audit is not of the run's agreement.
    """
    agreement = verdict.facts.agreement
    if audit_result is not None:
        audit_result.require_of(agreement, verdict.facts.agreement_hash)
    kinds = {name: found[1] for name in evidence.names if (found := sender_and_kind(name))}
    bodies_of = {
        kind: {
            name: decode(evidence.read(name), name)["body"] for name in kinds if kinds[name] == kind
        }
        for kind in ("roster", "release")
    }
    roster_file = max(
        bodies_of["roster"], key=lambda name: int(bodies_of["roster"][name]["number"])
    )
    (release_file,) = bodies_of["release"]
    roster = bodies.from_json(Roster, bodies_of["roster"][roster_file])
    release = bodies.from_json(Release, bodies_of["release"][release_file])
    assert isinstance(roster, Roster)
    assert isinstance(release, Release)
    summary: dict[str, Any] = decode(evidence.read(SUMMARY_FILE), SUMMARY_FILE)
    log = decode(evidence.read(RELEASE_LOG_FILE).splitlines()[0], RELEASE_LOG_FILE)
    charges, places, positions = _charges(evidence, verdict.facts.charged)
    return Source(
        verdict=verdict,
        trusted=trusted,
        summary=summary,
        facts=facts_of(
            summary,
            agreement=agreement,
            plan=check_promises(agreement),
            roster=roster,
            charged=verdict.facts.charged,
        ),
        charges=charges,
        places=places,
        positions=positions,
        release=release,
        release_file=release_file,
        roster_file=roster_file,
        log_position=int(log["position"]),
        message_sizes={name: evidence.size(name) for name in kinds},
        hashes={name: evidence.sha256(name) for name in evidence.names},
        by_view=by_view(agreement),
        audit_result=audit_result,
    )


def _charges(
    evidence: Evidence, charged: Iterable[str]
) -> tuple[dict[str, Charge], dict[str, Place], dict[str, int]]:
    charges: dict[str, Charge] = {}
    places: dict[str, Place] = {}
    positions: dict[str, int] = {}
    for teacher in charged:
        file = ledger_file(teacher)
        entries = [decode(line, file) for line in evidence.read(file).splitlines()[:-1]]
        charges[teacher] = verify_segment(entries)
        line, entry = _reserve(entries)
        places[teacher] = (file, f"/{line}")
        positions[teacher] = int(entry["position"])
    return charges, places, positions


def _reserve(entries: list[dict[str, Any]]) -> tuple[int, Mapping[str, Any]]:
    return next((at, entry) for at, entry in enumerate(entries) if entry["kind"] == "reserve")
