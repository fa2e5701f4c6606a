"""Who looks at a run, alone and together, and what epsilon does not hide from them.

The names are those of protocols/v1/threat-model.toml, which a test holds them to. Every teacher
adds all of its noise for records by itself before anything leaves it, so one bound for records
holds against every view and coalition; a smaller one for a weaker view needs a release that is
linear in noise that teachers share. Only a sum that protects institutions has that, and for that
unit each view has its own figure. What differs is which facts about an *institution* a view
sees: these no noise for records hides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from secure_fedsa.agreement import NOISY_RELEASE, Agreement
from secure_fedsa.errors import counted
from secure_fedsa.messages import AGGREGATOR, KEY_HOLDER, STUDENT, TEACHER
from secure_fedsa.planning.promises import collusion_bits
from secure_fedsa.planning.unit_claim import NO_MU, UnitClaim
from secure_fedsa.planning.unit_claims import INSTITUTION_CLAIMS, unit_claims
from secure_fedsa.privacy.accountant import epsilon_from_rho
from secure_fedsa.privacy.shared_noise import View
from secure_fedsa.roles.noisy_release import share_plan

READER: Final = "reader"
OUTSIDER: Final = "outsider"

WHY_ONE_BOUND = (
    "Every teacher adds noise of full strength by itself before anything leaves it, and all that "
    "others compute comes after. So one bound holds against every view and every coalition; none "
    "is smaller, as no release here is linear in noise that teachers share."
)

WHY_SEVERAL_BOUNDS = (
    "For records one bound holds against every view and every coalition: every teacher adds noise "
    "of full strength for them by itself. For a whole institution the members' shares of noise add "
    "up in the opened sum, so who can take off fewer of them learns less, as long as masks and "
    "encryption hold."
)

STUDENT_FACTS = (
    "that it takes part, and the number of its classes: they stand in the agreement",
    "the student that it built, which shows its classes' geometry as far as the noise lets it",
    "the accuracies that are stated; no epsilon covers the records that they were measured on",
)
"""About the student as an institution, where its labelled records are protected: each view sees
them, as what it built lies in the run folder. It asks with public probes alone."""

FORGER_FACTS = ("none: it makes up what it shows",)

_EVERYBODY = (TEACHER, AGGREGATOR, KEY_HOLDER, STUDENT, READER, OUTSIDER)


@dataclass(frozen=True, slots=True)
class Seer:
    """A view or a coalition; ``colluding``: teachers in it that pool what they sent."""

    kind: str
    name: str
    parties: tuple[str, ...]
    colluding: str = "none"  # none, few (up to max_colluding), many, all others


SEERS: dict[str, Seer] = {
    "other-teachers": Seer("view", "all other teachers, each alone", (TEACHER,)),
    "aggregator": Seer("view", "aggregator", (AGGREGATOR,)),
    "key-holder": Seer("view", "key holder", (KEY_HOLDER,)),
    "student": Seer("view", "student", (STUDENT,)),
    "auditor": Seer("view", "auditor, or any reader of the run folder", (READER,)),
    "all-others-together": Seer("view", "all other parties together", _EVERYBODY, "all"),
    "coalitions.other-teachers": Seer(
        "coalition", "up to max_colluding other teachers", (TEACHER,), "few"
    ),
    "coalitions.aggregator-side": Seer(
        "coalition", "aggregator, alone or with the student", (AGGREGATOR, STUDENT)
    ),
    "coalitions.key-holder": Seer("coalition", "key holder", (KEY_HOLDER,)),
    "coalitions.reader": Seer("coalition", "reader of the run folder", (READER,)),
    "coalitions.aggregator-and-key-holder": Seer(
        "coalition",
        "aggregator with key holder, with or without the student",
        (AGGREGATOR, KEY_HOLDER, STUDENT),
    ),
    "coalitions.aggregator-and-teachers": Seer(
        "coalition",
        "aggregator, alone or with the student, and up to max_colluding teachers",
        (TEACHER, AGGREGATOR, STUDENT),
        "few",
    ),
    "coalitions.key-holder-and-teachers": Seer(
        "coalition",
        "key holder with j teachers, up to max_colluding",
        (KEY_HOLDER, TEACHER),
        "few",
    ),
    "coalitions.max-colluding": Seer(
        "coalition",
        "up to max_colluding teachers with aggregator, key holder and student",
        (TEACHER, AGGREGATOR, KEY_HOLDER, STUDENT),
        "few",
    ),
    "coalitions.more-teachers": Seer(
        "coalition", "more than max_colluding teachers, without the others", (TEACHER,), "many"
    ),
    "coalitions.aggregator-and-more-teachers": Seer(
        "coalition",
        "aggregator, alone or with the student, and more than max_colluding teachers",
        (TEACHER, AGGREGATOR, STUDENT),
        "many",
    ),
    "coalitions.key-holder-and-more-teachers": Seer(
        "coalition",
        "key holder with j teachers, more than max_colluding",
        (KEY_HOLDER, TEACHER),
        "many",
    ),
    "coalitions.all-others": Seer("coalition", "everybody else together", _EVERYBODY, "all"),
    "coalitions.forger": Seer("coalition", "anybody who makes up a run folder", (OUTSIDER,)),
}


def is_forger(seer: Seer) -> bool:
    """Return whether it makes up what it shows: nothing of anybody's records is in it."""
    return seer.parties == (OUTSIDER,)


@dataclass(frozen=True, slots=True)
class ViewClaim:
    """What holds against one view or coalition, and what it sees all the same.

    Attributes:
        id: Its name in the threat model; that of a coalition begins with ``coalitions.``.
        kind: ``view`` or ``coalition``.
        name: Who that is, in words.
        parties: The roles in it.
        epsilon: Bound for the agreed unit of one teacher outside; None if nothing is promised, or
            for who makes up a run: nothing of anybody's records is in it.
        delta: The agreed delta; None likewise.
        institution_facts: Facts about one teacher as an institution that it sees, in words.
        institution: Bound at ``delta`` for one member's whole signal in the opened sum; None if
            nothing is promised.
        institution_claim: Id of the unit claim that ``institution`` belongs to, with its events,
            neighbours and accountant; empty where nothing is promised.
    """

    id: str
    kind: str
    name: str
    parties: tuple[str, ...]
    epsilon: float | None
    delta: float | None
    institution_facts: tuple[str, ...]
    institution: float | None = None
    institution_claim: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the claim as a JSON-able dict."""
        return {
            "id": self.id,
            "kind": self.kind,
            "name": self.name,
            "parties": list(self.parties),
            "epsilon": self.epsilon,
            "delta": self.delta,
            "claim": "agreed-unit",
            "institution_facts": list(self.institution_facts),
            **(
                {}
                if self.institution is None
                else {
                    "institution_epsilon": self.institution,
                    "institution_claim": self.institution_claim,
                }
            ),
        }


@dataclass(frozen=True, slots=True)
class ByView:
    """Everything that a run under an agreement promises, by unit and by view.

    Attributes:
        units: What holds for whom; the first is the agreed unit.
        views: Against whom; all by the claim of the agreed unit.
    """

    units: tuple[UnitClaim, ...]
    views: tuple[ViewClaim, ...]

    @property
    def why_one_bound(self) -> str:
        """Why the figures of views are, or are not, the same."""
        shared = any(view.institution is not None for view in self.views)
        return WHY_SEVERAL_BOUNDS if shared else WHY_ONE_BOUND

    def to_dict(self) -> dict[str, Any]:
        """Return all claims as a JSON-able dict."""
        return {
            "units": [claim.to_dict() for claim in self.units],
            "views": [claim.to_dict() for claim in self.views],
            "why_one_bound": self.why_one_bound if self.units[0].epsilon is not None else None,
            "mu": NO_MU,
        }


def by_view(agreement: Agreement) -> ByView:
    """Return what one run under an agreement promises, by unit and by view.

    Raises:
        PrivacyParameterError: If the agreement's numbers make no event.
    """
    units = unit_claims(agreement)
    agreed = units[0]
    views = tuple(
        ViewClaim(
            id=name,
            kind=seer.kind,
            name=seer.name,
            parties=seer.parties,
            epsilon=None if is_forger(seer) else agreed.epsilon,
            delta=None if is_forger(seer) else agreed.delta,
            institution_facts=institution_facts(agreement, seer),
            institution=institution_epsilon(agreement, seer),
            institution_claim=institution_claim(agreement, seer),
        )
        for name, seer in SEERS.items()
    )
    return ByView(units, views)


def institution_epsilon(agreement: Agreement, seer: Seer) -> float | None:
    """Return the bound of one run on a member's whole signal, where the sum protects institutions.

    A member knows its own share, so a teacher alone counts as colluding. Beyond ``max_colluding``
    only the member's own share is sure to be left.
    """
    view = _of_the_sum(agreement, seer)
    if view is None:
        return None
    return epsilon_from_rho(share_plan(agreement).rho(view), agreement.promise.delta)


def institution_claim(agreement: Agreement, seer: Seer) -> str:
    """Return the id of the unit claim that :func:`institution_epsilon` belongs to; empty if none.

    Its events, neighbours and accountant are those of the figure.
    """
    view = _of_the_sum(agreement, seer)
    return "" if view is None else INSTITUTION_CLAIMS[view]


def _of_the_sum(agreement: Agreement, seer: Seer) -> View | None:
    """Return whose noise stands before a member's signal for who looks; None without a promise."""
    if agreement.institution_privacy is None or is_forger(seer):
        return None
    if seer.colluding in {"many", "all"}:
        return "everybody-else"
    return "sum-and-colluding" if TEACHER in seer.parties else "sum"


def institution_facts(agreement: Agreement, seer: Seer) -> tuple[str, ...]:
    """Return which facts about one teacher as an institution a view sees in a run, in words.

    At most these: a run that ended early showed less.
    """
    if is_forger(seer):
        return FORGER_FACTS
    found = [
        "the names of its classes, and that it takes part: they stand in the agreement",
        "whether it was selected: rosters are public",
        "its data set's id, and what runs under this agreement spent of it: from its ledger",
    ]
    found += _score(agreement, seer)
    found += _signals(agreement, seer)
    return tuple(found)


def _score(agreement: Agreement, seer: Seer) -> list[str]:
    he, published = agreement.protection.he, agreement.publish.scores
    if agreement.institution_privacy is not None:
        return []  # it is zero, for everybody
    if published == "values" or KEY_HOLDER in seer.parties:
        fits = "its noisy saliency" if agreement.route == NOISY_RELEASE else "its model's saliency"
        found = [f"its score: how well {fits} fits the student's question"]
        return found + _bits(agreement, seer)
    if not he and AGGREGATOR in seer.parties:
        return ["its score, as encryption is off"]
    return ["its place in the order of scores"] if published == "order" else []


def _bits(agreement: Agreement, seer: Seer) -> list[str]:
    """Return how much of a saliency who has both a reply and its blind can learn."""
    bits = collusion_bits(agreement)
    if bits is None or not {AGGREGATOR, KEY_HOLDER} <= set(seer.parties):
        return []
    most = f"at most {counted(bits, 'bit')} of its saliency a run, through its reply and its blind"
    return [f"{most}: for an honest question its score and no more"]


def _signals(agreement: Agreement, seer: Seer) -> list[str]:
    """Return what is seen of a teacher's signals: the sum, a smaller sum, or the signal itself."""
    he, publish = agreement.protection.he, agreement.publish
    own = _own_signal(agreement)
    if seer.colluding == "all":
        return [f"at most {own}: masks and encryption no longer help"]
    inside = publish.ciphertexts or {AGGREGATOR, KEY_HOLDER} & set(seer.parties)
    if not he and inside:
        return [f"{own}, as encryption is off"]
    if not (publish.sums or STUDENT in seer.parties or agreement.custody in seer.parties):
        return []
    told = _what_a_sum_tells(agreement)
    if seer.colluding == "many":
        return [f"the sum over the members outside it; if only one is outside, {own}"]
    if seer.colluding == "few":
        return [f"the sum over the members outside it, at least two: {told}"]
    return [f"the sum over all members: {told}"]


def _own_signal(agreement: Agreement) -> str:
    if agreement.institution_privacy is not None:
        return (
            "its noisy signal with its own share of noise, which shows its classes' geometry as "
            "far as both noises let it"
        )
    if agreement.route == NOISY_RELEASE:
        return (
            "its noisy signals, which show its classes' number, balance and geometry as far as the "
            "noise lets them, and about how many records it has"
        )
    return "its model's signals, which show what its model tells apart, and how well"


def _what_a_sum_tells(agreement: Agreement) -> str:
    if agreement.institution_privacy is not None:
        return "what their classes together tell apart, under the noise that hides each of them"
    if agreement.route == NOISY_RELEASE:
        return "what their classes together tell apart, and about how many records they have in all"
    return "what their models together tell apart"
